//! TCP sockets: what a guest may do with one, and when.

use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use rustix::event::PollFlags;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    SocketFlags, SocketType, accept_with, bind, connect, getpeername, getsockname, listen, sockopt,
};

use super::address::{Family, check_unicast, from_system};
use super::error::{SocketError, bind_code, code_of, connect_code};
use super::options::{SocketOptions, new_socket, not_zero};
use super::tcp_stream::Connection;
use super::{NetworkPolicy, SocketUse};
use crate::bindings::wasi::sockets::network::ErrorCode;
use crate::bindings::wasi::sockets::tcp::ShutdownType;
use crate::io::{InputStream, Interest, OutputStream, Subscribe, is_ready};
use crate::open_files::Place;

/// How many connections wait to be accepted, unless the guest says otherwise.
const BACKLOG: i32 = 128;

/// A TCP socket.
#[derive(Debug)]
pub struct TcpSocket {
    connection: Arc<Connection>,
    family: Family,
    state: State,
    backlog: i32,
}

/// Where a socket is on its way. Nothing but connecting takes time, but guests finish all.
#[derive(Clone, Copy, Debug)]
enum State {
    Unbound,
    BindStarted,
    Bound,
    ListenStarted,
    Listening,
    /// With the result, if the system has told it at once.
    Connecting(Option<Result<(), Errno>>),
    Connected,
    /// It could not be connected.
    Closed,
}

impl TcpSocket {
    pub(super) fn new(family: Family, place: Place) -> Result<TcpSocket, SocketError> {
        let socket = new_socket(family, SocketType::STREAM)?;
        Ok(TcpSocket {
            connection: Arc::new(Connection::new(place.of(socket))),
            family,
            state: State::Unbound,
            backlog: BACKLOG,
        })
    }

    pub(super) fn start_bind(
        &mut self,
        address: SocketAddr,
        policy: &NetworkPolicy,
    ) -> Result<(), SocketError> {
        match self.state {
            State::Unbound => {}
            State::BindStarted => return Err(ErrorCode::ConcurrencyConflict.into()),
            _ => return Err(ErrorCode::InvalidState.into()),
        }
        self.family.check_local(address)?;
        check_unicast(address)?;
        policy.check(address, SocketUse::TcpBind)?;
        let socket = &self.connection.socket;
        // Connections of before that are not quite over are in nobody's way. Of a port that the
        // system chooses there is none.
        sockopt::set_socket_reuseaddr(socket, address.port() != 0)?;
        bind(socket, &address).map_err(bind_code)?;
        self.state = State::BindStarted;
        Ok(())
    }

    pub(super) fn finish_bind(&mut self) -> Result<(), SocketError> {
        match self.state {
            State::BindStarted => self.state = State::Bound,
            _ => return Err(ErrorCode::NotInProgress.into()),
        }
        Ok(())
    }

    pub(super) fn start_connect(
        &mut self,
        address: SocketAddr,
        policy: &NetworkPolicy,
    ) -> Result<(), SocketError> {
        match self.state {
            State::Unbound | State::Bound => {}
            State::BindStarted | State::ListenStarted | State::Connecting(_) => {
                return Err(ErrorCode::ConcurrencyConflict.into());
            }
            _ => return Err(ErrorCode::InvalidState.into()),
        }
        self.family.check_remote(address)?;
        check_unicast(address)?;
        policy.check(address, SocketUse::TcpConnect)?;
        self.state = State::Connecting(match connect(&self.connection.socket, &address) {
            Err(Errno::INPROGRESS | Errno::INTR) => None,
            result => Some(result),
        });
        Ok(())
    }

    pub(super) fn finish_connect(&mut self) -> Result<(InputStream, OutputStream), SocketError> {
        let State::Connecting(result) = self.state else {
            return Err(ErrorCode::NotInProgress.into());
        };
        let socket = &self.connection.socket;
        let result = match result {
            Some(result) => result,
            None => match is_ready(socket.as_fd(), PollFlags::OUT) {
                Ok(true) => sockopt::socket_error(socket).and_then(|result| result),
                Ok(false) => return Err(ErrorCode::WouldBlock.into()),
                Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
            },
        };
        match result {
            Ok(()) => {
                self.state = State::Connected;
                Ok(self.connection.streams())
            }
            Err(error) => {
                self.state = State::Closed;
                Err(connect_code(error).into())
            }
        }
    }

    pub(super) fn start_listen(&mut self) -> Result<(), SocketError> {
        match self.state {
            State::Bound => {}
            State::BindStarted | State::ListenStarted | State::Connecting(_) => {
                return Err(ErrorCode::ConcurrencyConflict.into());
            }
            _ => return Err(ErrorCode::InvalidState.into()),
        }
        listen(&self.connection.socket, self.backlog)?;
        self.state = State::ListenStarted;
        Ok(())
    }

    pub(super) fn finish_listen(&mut self) -> Result<(), SocketError> {
        match self.state {
            State::ListenStarted => self.state = State::Listening,
            _ => return Err(ErrorCode::NotInProgress.into()),
        }
        Ok(())
    }

    /// The next connection. The system gives it the options of this socket.
    pub(super) fn accept(&self, place: Place) -> Result<TcpSocket, SocketError> {
        let State::Listening = self.state else {
            return Err(ErrorCode::InvalidState.into());
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = retry_on_intr(|| accept_with(&self.connection.socket, flags));
        let socket = socket.map_err(accept_code)?;
        Ok(TcpSocket {
            connection: Arc::new(Connection::new(place.of(socket))),
            family: self.family,
            state: State::Connected,
            backlog: BACKLOG,
        })
    }

    /// The streams of a connection that was accepted.
    pub(super) fn streams(&self) -> (InputStream, OutputStream) {
        self.connection.streams()
    }

    pub(super) fn local_address(&self) -> Result<SocketAddr, SocketError> {
        match self.state {
            State::Unbound | State::Closed => Err(ErrorCode::InvalidState.into()),
            State::BindStarted => Err(ErrorCode::ConcurrencyConflict.into()),
            _ => Ok(from_system(getsockname(&self.connection.socket)?)?),
        }
    }

    pub(super) fn remote_address(&self) -> Result<SocketAddr, SocketError> {
        match self.state {
            State::Connected => match getpeername(&self.connection.socket)? {
                Some(address) => Ok(from_system(address)?),
                None => Err(ErrorCode::InvalidState.into()),
            },
            State::Connecting(_) => Err(ErrorCode::ConcurrencyConflict.into()),
            _ => Err(ErrorCode::InvalidState.into()),
        }
    }

    pub(super) fn is_listening(&self) -> bool {
        matches!(self.state, State::Listening)
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    pub(super) fn set_backlog(&mut self, value: u64) -> Result<(), SocketError> {
        let backlog = i32::try_from(not_zero(value)?).unwrap_or(i32::MAX);
        match self.state {
            State::Unbound | State::BindStarted | State::Bound => {}
            State::ListenStarted | State::Listening => {
                listen(&self.connection.socket, backlog).map_err(|_| ErrorCode::NotSupported)?;
            }
            State::Connecting(_) | State::Connected | State::Closed => {
                return Err(ErrorCode::InvalidState.into());
            }
        }
        self.backlog = backlog;
        Ok(())
    }

    pub(super) fn options(&self) -> Result<SocketOptions<'_>, SocketError> {
        match self.state {
            State::Closed => Err(ErrorCode::InvalidState.into()),
            _ => Ok(SocketOptions {
                socket: self.connection.socket.as_fd(),
                family: self.family,
            }),
        }
    }

    pub(super) fn shutdown(&self, directions: ShutdownType) -> Result<(), SocketError> {
        match self.state {
            State::Connected => {}
            State::Connecting(_) => return Err(ErrorCode::ConcurrencyConflict.into()),
            _ => return Err(ErrorCode::InvalidState.into()),
        }
        if let ShutdownType::Receive | ShutdownType::Both = directions {
            self.connection.end_receiving()?;
        }
        if let ShutdownType::Send | ShutdownType::Both = directions {
            self.connection.end_sending()?;
        }
        Ok(())
    }
}

impl Subscribe for TcpSocket {
    fn interest(&self) -> Interest<'_> {
        let socket = self.connection.socket.as_fd();
        match self.state {
            State::Connecting(None) => Interest::Descriptor(socket, PollFlags::OUT),
            State::Listening => Interest::Descriptor(socket, PollFlags::IN),
            _ => Interest::Ready,
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
