//! TCP sockets: what a guest may do with one, and when.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_io::Async;
use rustix::io::Errno;

use super::tcp_streams::{TcpSink, TcpSource};
use super::{of_io, unspecified};
use crate::bindings::wasi::sockets::network::ErrorCode;
use crate::open_files::Place;
use crate::sockets::{
    BACKLOG, Family, NetworkPolicy, Socket, SocketError, SocketOptions, connect_code, not_zero,
};

/// A TCP socket. Copies are the same socket.
#[derive(Clone, Debug)]
pub struct TcpSocket {
    family: Family,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// `None` once the socket is closed: it could not be connected.
    socket: Option<Arc<Async<Socket>>>,
    stage: Stage,
    backlog: i32,
}

/// Where a socket is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Unbound,
    Bound,
    Listening,
    Connecting,
    /// With the streams that the guest has not taken yet.
    Connected {
        sends: bool,
        receives: bool,
    },
}

const CONNECTED: Stage = Stage::Connected {
    sends: true,
    receives: true,
};

impl State {
    /// The socket, unless it is closed.
    fn socket(&self) -> Result<&Arc<Async<Socket>>, SocketError> {
        Ok(self.socket.as_ref().ok_or(ErrorCode::InvalidState)?)
    }

    /// The socket, if it is on its way so far.
    fn socket_if(
        &self,
        is_right: impl FnOnce(Stage) -> bool,
    ) -> Result<&Arc<Async<Socket>>, SocketError> {
        match is_right(self.stage) {
            true => self.socket(),
            false => Err(ErrorCode::InvalidState.into()),
        }
    }
}

impl TcpSocket {
    pub(super) fn new(family: Family, place: Place) -> Result<TcpSocket, SocketError> {
        TcpSocket::with(Socket::tcp(family, place)?, Stage::Unbound)
    }

    /// A connection that was accepted.
    pub(super) fn accepted(socket: Socket) -> Result<TcpSocket, SocketError> {
        TcpSocket::with(socket, CONNECTED)
    }

    fn with(socket: Socket, stage: Stage) -> Result<TcpSocket, SocketError> {
        Ok(TcpSocket {
            family: socket.family,
            state: Arc::new(Mutex::new(State {
                socket: Some(Arc::new(Async::new_nonblocking(socket).map_err(of_io)?)),
                stage,
                backlog: BACKLOG,
            })),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bind(
        &self,
        address: SocketAddr,
        policy: &NetworkPolicy,
    ) -> Result<(), SocketError> {
        let mut state = self.state();
        let socket = state.socket_if(|stage| stage == Stage::Unbound)?;
        socket.get_ref().bind_tcp(address, policy)?;
        state.stage = Stage::Bound;
        Ok(())
    }

    /// Connects the socket. If that fails, or the future is dropped, the socket is closed.
    ///
    /// # Errors
    /// The system's; or the socket is not as it must be, or the address cannot be a peer's or is
    /// not allowed: then nothing has changed.
    pub(super) async fn connect(
        self,
        address: SocketAddr,
        policy: &NetworkPolicy,
    ) -> Result<(), SocketError> {
        let (socket, mut result) = {
            let mut state = self.state();
            let may_connect = |stage| matches!(stage, Stage::Unbound | Stage::Bound);
            let socket = Arc::clone(state.socket_if(may_connect)?);
            let result = socket.get_ref().connect_tcp(address, policy)?;
            state.stage = Stage::Connecting;
            (socket, result)
        };
        let attempt = Attempt(&self);
        let result = loop {
            if let Some(result) = result {
                break result;
            }
            if let Err(error) = socket.writable().await {
                break Err(Errno::from_io_error(&error).unwrap_or(Errno::IO));
            }
            result = socket.get_ref().connected();
        };
        result.map_err(connect_code)?;
        attempt.succeed();
        Ok(())
    }

    /// Makes the socket listen: it, to accept connections from.
    pub(super) fn listen(&self, policy: &NetworkPolicy) -> Result<Arc<Async<Socket>>, SocketError> {
        let mut state = self.state();
        let may_listen = |stage| matches!(stage, Stage::Unbound | Stage::Bound);
        let socket = Arc::clone(state.socket_if(may_listen)?);
        if state.stage == Stage::Unbound {
            socket
                .get_ref()
                .bind_tcp(unspecified(self.family), policy)?;
            state.stage = Stage::Bound;
        }
        socket.get_ref().listen(state.backlog)?;
        state.stage = Stage::Listening;
        Ok(socket)
    }

    /// Where bytes that the guest sends go, once.
    pub(super) fn sink(&self) -> Result<TcpSink, SocketError> {
        let mut state = self.state();
        let socket = state.socket_if(|stage| matches!(stage, Stage::Connected { sends: true, .. }));
        let sink = TcpSink(Arc::clone(socket?));
        if let Stage::Connected { sends, .. } = &mut state.stage {
            *sends = false;
        }
        Ok(sink)
    }

    /// Where bytes that the guest receives come from, once.
    pub(super) fn source(&self) -> Result<TcpSource, SocketError> {
        let mut state = self.state();
        let receives = |stage| matches!(stage, Stage::Connected { receives: true, .. });
        let source = TcpSource(Arc::clone(state.socket_if(receives)?));
        if let Stage::Connected { receives, .. } = &mut state.stage {
            *receives = false;
        }
        Ok(source)
    }

    pub(super) fn local_address(&self) -> Result<SocketAddr, SocketError> {
        let state = self.state();
        let socket = state.socket_if(|stage| stage != Stage::Unbound)?;
        socket.get_ref().local_address()
    }

    pub(super) fn remote_address(&self) -> Result<SocketAddr, SocketError> {
        let state = self.state();
        let socket = state.socket_if(|stage| matches!(stage, Stage::Connected { .. }))?;
        socket.get_ref().remote_address()
    }

    pub(super) fn is_listening(&self) -> bool {
        self.state().stage == Stage::Listening
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    pub(super) fn set_backlog(&self, value: u64) -> Result<(), SocketError> {
        let backlog = i32::try_from(not_zero(value)?).unwrap_or(i32::MAX);
        let mut state = self.state();
        let has_one = |stage| matches!(stage, Stage::Unbound | Stage::Bound | Stage::Listening);
        let socket = state.socket_if(has_one)?;
        if state.stage == Stage::Listening {
            let listened = socket.get_ref().listen(backlog);
            listened.map_err(|_| ErrorCode::NotSupported)?;
        }
        state.backlog = backlog;
        Ok(())
    }

    /// Does something with the options of the socket, unless it is closed.
    pub(super) fn with_options<R>(
        &self,
        body: impl FnOnce(SocketOptions<'_>) -> Result<R, SocketError>,
    ) -> Result<R, SocketError> {
        body(self.state().socket()?.get_ref().options())
    }
}

/// The socket while it is being connected: closed, unless that succeeds.
struct Attempt<'a>(&'a TcpSocket);

impl Attempt<'_> {
    fn succeed(self) {
        self.0.state().stage = CONNECTED;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if state.stage == Stage::Connecting {
            state.socket = None;
        }
    }
}
