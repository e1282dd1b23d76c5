//! Sockets of the system's, as both versions of WASI use them: each address is checked first.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    SendFlags, Shutdown, SocketFlags, SocketType, accept_with, bind, connect, getpeername,
    getsockname, listen, send, shutdown, sockopt,
};

use super::address::{Family, check_unicast, from_system};
use super::error::{SocketError, bind_code, code_of};
use super::options::{SocketOptions, new_socket};
use super::{NetworkPolicy, SocketUse};
use crate::bindings::wasi::sockets::network::ErrorCode;
use crate::io::is_ready;
use crate::open_files::{Counted, Place};

/// How many connections wait to be accepted, unless the guest says otherwise.
pub(crate) const BACKLOG: i32 = 128;

/// A socket of one version of IP. It never waits.
#[derive(Debug)]
pub(crate) struct Socket {
    descriptor: Counted<OwnedFd>,
    pub(crate) family: Family,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Socket {
    pub(crate) fn tcp(family: Family, place: Place) -> Result<Socket, SocketError> {
        Socket::new(family, SocketType::STREAM, place)
    }

    pub(crate) fn udp(family: Family, place: Place) -> Result<Socket, SocketError> {
        Socket::new(family, SocketType::DGRAM, place)
    }

    fn new(family: Family, kind: SocketType, place: Place) -> Result<Socket, SocketError> {
        let descriptor = place.of(new_socket(family, kind)?);
        Ok(Socket { descriptor, family })
    }

    pub(crate) fn local_address(&self) -> Result<SocketAddr, SocketError> {
        Ok(from_system(getsockname(self)?)?)
    }

    pub(crate) fn remote_address(&self) -> Result<SocketAddr, SocketError> {
        match getpeername(self)? {
            Some(address) => Ok(from_system(address)?),
            None => Err(ErrorCode::InvalidState.into()),
        }
    }

    pub(crate) fn options(&self) -> SocketOptions<'_> {
        SocketOptions {
            socket: self.as_fd(),
            family: self.family,
        }
    }
}

/// TCP.
impl Socket {
    pub(crate) fn bind_tcp(
        &self,
        address: SocketAddr,
        policy: &NetworkPolicy,
    ) -> Result<(), SocketError> {
        self.family.check_local(address)?;
        check_unicast(address)?;
        policy.check(address, SocketUse::TcpBind)?;
        // Connections of before that are not quite over are in nobody's way. Of a port that the
        // system chooses there is none yet, and nobody else is to have it: see `share_port`.
        sockopt::set_socket_reuseaddr(self, address.port() != 0)?;
        Ok(bind(self, &address).map_err(bind_code)?)
    }

    /// Begins to connect: the result, if the system tells it at once.
    ///
    /// # Errors
    /// If the address cannot be one of a peer, or is not allowed. Then nothing has begun.
    pub(crate) fn connect_tcp(
        &self,
        address: SocketAddr,
        policy: &NetworkPolicy,
    ) -> Result<Option<Result<(), Errno>>, SocketError> {
        self.family.check_remote(address)?;
        check_unicast(address)?;
        policy.check(address, SocketUse::TcpConnect)?;
        self.share_port()?;
        Ok(match connect(self, &address) {
            Err(Errno::INPROGRESS | Errno::INTR) => None,
            result => Some(result),
        })
    }

    /// How connecting went, if it is over.
    pub(crate) fn connected(&self) -> Option<Result<(), Errno>> {
        match is_ready(self.as_fd(), PollFlags::OUT) {
            Ok(true) => Some(sockopt::socket_error(self).and_then(|result| result)),
            Ok(false) => None,
            Err(error) => Some(Err(Errno::from_io_error(&error).unwrap_or(Errno::IO))),
        }
    }

    pub(crate) fn listen(&self, backlog: i32) -> Result<(), Errno> {
        self.share_port()?;
        listen(self, backlog)
    }

    /// Lets others bind to the port while the connections that this socket is going to have are
    /// not quite over. Nobody can while it listens.
    fn share_port(&self) -> Result<(), Errno> {
        sockopt::set_socket_reuseaddr(self, true)
    }

    /// The next connection. The system gives it the options of this socket.
    ///
    /// # Errors
    /// [`ErrorCode::WouldBlock`] if there is none, [`ErrorCode::ConnectionAborted`] if there is one
    /// no longer; the system's.
    pub(crate) fn accept(&self, place: Place) -> Result<Socket, ErrorCode> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = retry_on_intr(|| accept_with(self, flags)).map_err(accept_code)?;
        Ok(Socket {
            descriptor: place.of(socket),
            family: self.family,
        })
    }

    /// Sends some of the bytes: how many.
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        retry_on_intr(|| send(self, bytes, SendFlags::NOSIGNAL))
    }

    pub(crate) fn shut_down(&self, direction: Shutdown) -> Result<(), Errno> {
        match shutdown(self, direction) {
            // The other end has reset the connection: both directions have ended.
            Ok(()) | Err(Errno::NOTCONN) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The code of an error of `accept`, which also tells what befell a connection that nobody has.
fn accept_code(error: Errno) -> ErrorCode {
    match error {
        Errno::HOSTDOWN
        | Errno::HOSTUNREACH
        | Errno::NETDOWN
        | Errno::NETUNREACH
        | Errno::NONET
        | Errno::NOPROTOOPT
        | Errno::OPNOTSUPP
        | Errno::PROTO => ErrorCode::ConnectionAborted,
        error => code_of(error),
    }
}
