//! UDP sockets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_io::Async;

use super::{of_io, unspecified};
use crate::bindings::wasi::sockets::network::ErrorCode;
use crate::open_files::Place;
use crate::sockets::{Family, MAX_SIZE, NetworkPolicy, Socket, SocketError, SocketOptions};

/// A UDP socket. Copies are the same socket.
#[derive(Clone, Debug)]
pub struct UdpSocket(Arc<Udp>);

#[derive(Debug)]
struct Udp {
    socket: Async<Socket>,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// What the socket was bound to, if it is bound.
    local: Option<SocketAddr>,
    /// The only peer, if there is one.
    remote: Option<SocketAddr>,
}

impl UdpSocket {
    pub(super) fn new(family: Family, place: Place) -> Result<UdpSocket, SocketError> {
        let socket = Async::new_nonblocking(Socket::udp(family, place)?).map_err(of_io)?;
        Ok(UdpSocket(Arc::new(Udp {
            socket,
            state: Mutex::default(),
        })))
    }

    fn socket(&self) -> &Socket {
        self.0.socket.get_ref()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bind(
        &self,
        address: SocketAddr,
        policy: &NetworkPolicy,
    ) -> Result<(), SocketError> {
        let mut state = self.state();
        match state.local {
            Some(_) => return Err(ErrorCode::InvalidState.into()),
            None => state.local = Some(self.socket().bind_udp(address, policy)?),
        }
        Ok(())
    }

    /// Where the socket is bound: it is bound if the guest has not done it.
    fn bound(&self, state: &mut State, policy: &NetworkPolicy) -> Result<SocketAddr, SocketError> {
        let local = match state.local {
            Some(local) => local,
            None => {
                let any = unspecified(self.family());
                self.socket().bind_udp(any, policy)?
            }
        };
        state.local = Some(local);
        Ok(local)
    }

    pub(super) fn connect(
        &self,
        remote: SocketAddr,
        policy: &NetworkPolicy,
    ) -> Result<(), SocketError> {
        let mut state = self.state();
        self.socket().check_peer(remote, policy)?;
        let local = self.bound(&mut state, policy)?;
        if state.remote.is_some() {
            self.leave(&mut state, local)?;
        }
        self.socket().connect_udp(remote)?;
        state.remote = Some(remote);
        Ok(())
    }

    pub(super) fn disconnect(&self) -> Result<(), SocketError> {
        let mut state = self.state();
        match *state {
            State {
                local: Some(local),
                remote: Some(_),
            } => self.leave(&mut state, local),
            _ => Err(ErrorCode::InvalidState.into()),
        }
    }

    /// Has no peer any more.
    fn leave(&self, state: &mut State, local: SocketAddr) -> Result<(), SocketError> {
        // Another socket may have been faster.
        *state = State::default();
        self.socket().disconnect_udp(local)?;
        state.local = Some(local);
        Ok(())
    }

    /// Sends a datagram to an address, or to the peer.
    pub(super) async fn send(
        self,
        data: Vec<u8>,
        to: Option<SocketAddr>,
        policy: &NetworkPolicy,
    ) -> Result<(), SocketError> {
        if data.len() > MAX_SIZE {
            return Err(ErrorCode::DatagramTooLarge.into());
        }
        loop {
            match self.send_now(&data, to, policy) {
                Err(SocketError::Code(ErrorCode::WouldBlock)) => {}
                result => return result,
            }
            // Its peer may be another one then.
            self.0.socket.writable().await.map_err(of_io)?;
        }
    }

    fn send_now(
        &self,
        data: &[u8],
        to: Option<SocketAddr>,
        policy: &NetworkPolicy,
    ) -> Result<(), SocketError> {
        let mut state = self.state();
        self.socket().check_destination(to, state.remote, policy)?;
        self.bound(&mut state, policy)?;
        self.socket().send_datagram(data, to, state.remote)
    }

    /// Receives a datagram: its sender as well.
    pub(super) async fn receive(self) -> Result<(Vec<u8>, SocketAddr), SocketError> {
        loop {
            if let Some(received) = self.receive_now()? {
                return Ok(received);
            }
            self.0.socket.readable().await.map_err(of_io)?;
        }
    }

    fn receive_now(&self) -> Result<Option<(Vec<u8>, SocketAddr)>, SocketError> {
        let state = self.state();
        if state.local.is_none() {
            return Err(ErrorCode::InvalidState.into());
        }
        let mut data = Vec::with_capacity(MAX_SIZE);
        let sender = self.socket().receive_datagram(&mut data, state.remote)?;
        data.shrink_to_fit();
        Ok(sender.map(|sender| (data, sender)))
    }

    pub(super) fn local_address(&self) -> Result<SocketAddr, SocketError> {
        match self.state().local {
            Some(_) => self.socket().local_address(),
            None => Err(ErrorCode::InvalidState.into()),
        }
    }

    pub(super) fn remote_address(&self) -> Result<SocketAddr, SocketError> {
        Ok(self.state().remote.ok_or(ErrorCode::InvalidState)?)
    }

    pub(super) fn family(&self) -> Family {
        self.socket().family
    }

    pub(super) fn options(&self) -> SocketOptions<'_> {
        self.socket().options()
    }
}
