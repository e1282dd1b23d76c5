//! UDP sockets.

use std::net::SocketAddr;
use std::sync::Arc;

use super::NetworkPolicy;
use super::address::Family;
use super::error::SocketError;
use super::options::SocketOptions;
use super::socket::Socket;
use super::udp_stream::{IncomingDatagrams, OutgoingDatagrams, Shared};
use crate::bindings::wasi::sockets::network::ErrorCode;
use crate::io::{Interest, Subscribe};
use crate::open_files::Place;

/// A UDP socket.
#[derive(Debug)]
pub struct UdpSocket {
    shared: Arc<Shared>,
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
        let socket = Socket::udp(family, place)?;
        Ok(UdpSocket {
            shared: Arc::new(Shared::new(socket)),
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
        let address = self.shared.socket.bind_udp(address, policy)?;
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
            self.shared.socket.check_peer(remote, policy)?;
        }
        self.shared.end_streams();
        if self.remote.take().is_some() {
            // Another socket may have been faster.
            self.state = State::Unbound;
            self.shared.socket.disconnect_udp(local)?;
            self.state = State::Bound(local);
        }
        if let Some(remote) = remote {
            self.shared.socket.connect_udp(remote)?;
            self.remote = Some(remote);
        }
        Ok(self.shared.streams(remote))
    }

    pub(super) fn local_address(&self) -> Result<SocketAddr, SocketError> {
        match self.state {
            State::Unbound => Err(ErrorCode::InvalidState.into()),
            State::BindStarted(_) => Err(ErrorCode::ConcurrencyConflict.into()),
            State::Bound(_) => self.shared.socket.local_address(),
        }
    }

    pub(super) fn remote_address(&self) -> Result<SocketAddr, SocketError> {
        Ok(self.remote.ok_or(ErrorCode::InvalidState)?)
    }

    pub(super) fn family(&self) -> Family {
        self.shared.socket.family
    }

    pub(super) fn options(&self) -> SocketOptions<'_> {
        self.shared.socket.options()
    }
}

/// Binding takes no time.
impl Subscribe for UdpSocket {
    fn interest(&self) -> Interest<'_> {
        Interest::Ready
    }
}
