//! TCP sockets: what a guest may do with one, and when.

use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use rustix::event::PollFlags;
use rustix::io::Errno;

use super::NetworkPolicy;
use super::address::Family;
use super::error::{SocketError, connect_code};
use super::options::{SocketOptions, not_zero};
use super::socket::{BACKLOG, Socket};
use super::tcp_stream::Connection;
use crate::bindings::wasi::sockets::network::ErrorCode;
use crate::bindings::wasi::sockets::tcp::ShutdownType;
use crate::io::{InputStream, Interest, OutputStream, Subscribe};
use crate::open_files::Place;

/// A TCP socket.
#[derive(Debug)]
pub struct TcpSocket {
    connection: Arc<Connection>,
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
        let socket = Socket::tcp(family, place)?;
        Ok(TcpSocket::with(socket, State::Unbound))
    }

    fn with(socket: Socket, state: State) -> TcpSocket {
        TcpSocket {
            connection: Arc::new(Connection::new(socket)),
            state,
            backlog: BACKLOG,
        }
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
        self.connection.socket.bind_tcp(address, policy)?;
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
        let result = self.connection.socket.connect_tcp(address, policy)?;
        self.state = State::Connecting(result);
        Ok(())
    }

    pub(super) fn finish_connect(&mut self) -> Result<(InputStream, OutputStream), SocketError> {
        let State::Connecting(result) = self.state else {
            return Err(ErrorCode::NotInProgress.into());
        };
        let result = result.or_else(|| self.connection.socket.connected());
        let result = result.ok_or(ErrorCode::WouldBlock)?;
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
        self.connection.socket.listen(self.backlog)?;
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

    /// The next connection.
    pub(super) fn accept(&self, place: Place) -> Result<TcpSocket, SocketError> {
        let State::Listening = self.state else {
            return Err(ErrorCode::InvalidState.into());
        };
        let socket = self.connection.socket.accept(place)?;
        Ok(TcpSocket::with(socket, State::Connected))
    }

    /// The streams of a connection that was accepted.
    pub(super) fn streams(&self) -> (InputStream, OutputStream) {
        self.connection.streams()
    }

    pub(super) fn local_address(&self) -> Result<SocketAddr, SocketError> {
        match self.state {
            State::Unbound | State::Closed => Err(ErrorCode::InvalidState.into()),
            State::BindStarted => Err(ErrorCode::ConcurrencyConflict.into()),
            _ => self.connection.socket.local_address(),
        }
    }

    pub(super) fn remote_address(&self) -> Result<SocketAddr, SocketError> {
        match self.state {
            State::Connected => self.connection.socket.remote_address(),
            State::Connecting(_) => Err(ErrorCode::ConcurrencyConflict.into()),
            _ => Err(ErrorCode::InvalidState.into()),
        }
    }

    pub(super) fn is_listening(&self) -> bool {
        matches!(self.state, State::Listening)
    }

    pub(super) fn family(&self) -> Family {
        self.connection.socket.family
    }

    pub(super) fn set_backlog(&mut self, value: u64) -> Result<(), SocketError> {
        let backlog = i32::try_from(not_zero(value)?).unwrap_or(i32::MAX);
        match self.state {
            State::Unbound | State::BindStarted | State::Bound => {}
            State::ListenStarted | State::Listening => {
                let listened = self.connection.socket.listen(backlog);
                listened.map_err(|_| ErrorCode::NotSupported)?;
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
            _ => Ok(self.connection.socket.options()),
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
