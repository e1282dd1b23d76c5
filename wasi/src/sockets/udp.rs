//! UDP sockets.

use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{SocketType, bind, connect, connect_unspec, getsockname};

use super::address::{Family, from_system};
use super::error::{SocketError, bind_code, connect_code};
use super::options::{SocketOptions, new_socket};
use super::udp_stream::{IncomingDatagrams, OutgoingDatagrams, Shared};
use super::{NetworkPolicy, SocketUse};
use crate::bindings::wasi::sockets::network::ErrorCode;
use crate::io::{Interest, Subscribe};
use crate::open_files::Place;

/// A UDP socket.
#[derive(Debug)]
pub struct UdpSocket {
    shared: Arc<Shared>,
    family: Family,
    state: State,
    remote: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Unbound,
    BindStarted(SocketAddr),
    Bound(SocketAddr),
}

impl UdpSocket {
    pub(super) fn new(family: Family, place: Place) -> Result<UdpSocket, SocketError> {
        let socket = new_socket(family, SocketType::DGRAM)?;
        Ok(UdpSocket {
            shared: Arc::new(Shared::new(place.of(socket))),
            family,
            state: State::Unbound,
            remote: None,
        })
    }

    pub(super) fn start_bind(
        &mut self,
        address: SocketAddr,
        policy: &NetworkPolicy,
    ) -> Result<(), SocketError> {
        match self.state {
            State::Unbound => {}
            State::BindStarted(_) => return Err(ErrorCode::ConcurrencyConflict.into()),
            State::Bound(_) => return Err(ErrorCode::InvalidState.into()),
        }
        self.family.check_local(address)?;
        policy.check(address, SocketUse::UdpBind)?;
        bind(&self.shared.socket, &address).map_err(bind_code)?;
        let address = from_system(getsockname(&self.shared.socket)?)?;
        self.state = State::BindStarted(address);
        Ok(())
    }

    pub(super) fn finish_bind(&mut self) -> Result<(), SocketError> {
        match self.state {
            State::BindStarted(address) => self.state = State::Bound(address),
            _ => return Err(ErrorCode::NotInProgress.into()),
        }
        Ok(())
    }

    /// Streams from and to one peer, or all. Those of before are good no longer.
    pub(super) fn stream(
        &mut self,
        remote: Option<SocketAddr>,
        policy: &NetworkPolicy,
    ) -> Result<(IncomingDatagrams, OutgoingDatagrams), SocketError> {
        let State::Bound(local) = self.state else {
            return Err(ErrorCode::InvalidState.into());
        };
        if let Some(remote) = remote {
            self.family.check_remote(remote)?;
            policy.check(remote, SocketUse::UdpConnect)?;
        }
        self.shared.end_streams();
        if self.remote.take().is_some() {
            self.disconnect(local)?;
        }
        if let Some(remote) = remote {
            connect(&self.shared.socket, &remote).map_err(|error| match error {
                Errno::CONNRESET => ErrorCode::RemoteUnreachable,
                error => connect_code(error),
            })?;
            self.remote = Some(remote);
        }
        Ok(self.shared.streams(self.family, remote))
    }

    /// Makes datagrams of all peers come again, to the address that the socket was bound to.
    fn disconnect(&mut self, local: SocketAddr) -> Result<(), SocketError> {
        let socket = &self.shared.socket;
        connect_unspec(socket)?;
        // The system has given up a port that it chose itself.
        if from_system(getsockname(socket)?)?.port() == 0 {
            bind(socket, &local).map_err(|error| {
                // Another socket was faster.
                self.state = State::Unbound;
                bind_code(error)
            })?;
        }
        Ok(())
    }

    pub(super) fn local_address(&self) -> Result<SocketAddr, SocketError> {
        match self.state {
            State::Unbound => Err(ErrorCode::InvalidState.into()),
            State::BindStarted(_) => Err(ErrorCode::ConcurrencyConflict.into()),
            State::Bound(_) => Ok(from_system(getsockname(&self.shared.socket)?)?),
        }
    }

    pub(super) fn remote_address(&self) -> Result<SocketAddr, SocketError> {
        Ok(self.remote.ok_or(ErrorCode::InvalidState)?)
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    pub(super) fn options(&self) -> SocketOptions<'_> {
        SocketOptions {
            socket: self.shared.socket.as_fd(),
            family: self.family,
        }
    }
}

/// Binding takes no time.
impl Subscribe for UdpSocket {
    fn interest(&self) -> Interest<'_> {
        Interest::Ready
    }
}
