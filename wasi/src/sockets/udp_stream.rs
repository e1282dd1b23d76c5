//! The streams of a UDP socket's datagrams.

use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cwasm::Error;
use rustix::event::PollFlags;

use super::NetworkPolicy;
use super::datagram::MAX_SIZE;
use super::error::SocketError;
use super::socket::Socket;
use crate::bindings::wasi::sockets::network::ErrorCode;
use crate::bindings::wasi::sockets::udp::{IncomingDatagram, OutgoingDatagram};
use crate::io::{Interest, Subscribe, is_ready};

/// The most datagrams that one call sends or receives.
const MAX_DATAGRAMS: usize = 16;

/// What a socket and its streams share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) socket: Socket,
    /// How often streams were made: those of the last time are good.
    generation: AtomicU64,
}

/// A stream of a socket: of one generation, with the peer that it is for, if that is only one.
#[derive(Clone, Debug)]
struct Stream {
    shared: Arc<Shared>,
    generation: u64,
    remote: Option<SocketAddr>,
}

/// The datagrams that come in at a UDP socket.
#[derive(Debug)]
pub struct IncomingDatagrams(Stream);

/// The datagrams that go out of a UDP socket.
#[derive(Debug)]
pub struct OutgoingDatagrams {
    stream: Stream,
    /// How many the guest may send next, if it has asked.
    permit: Option<usize>,
}

impl Shared {
    pub(super) fn new(socket: Socket) -> Shared {
        Shared {
            socket,
            generation: AtomicU64::new(0),
        }
    }

    /// Makes the streams of before useless.
    pub(super) fn end_streams(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// New streams from and to one peer, or all.
    pub(super) fn streams(
        self: &Arc<Shared>,
        remote: Option<SocketAddr>,
    ) -> (IncomingDatagrams, OutgoingDatagrams) {
        let stream = Stream {
            shared: self.clone(),
            generation: self.generation.load(Ordering::Relaxed),
            remote,
        };
        let outgoing = OutgoingDatagrams {
            stream: stream.clone(),
            permit: None,
        };
        (IncomingDatagrams(stream), outgoing)
    }
}

impl Stream {
    fn check(&self) -> Result<(), ErrorCode> {
        match self.shared.generation.load(Ordering::Relaxed) == self.generation {
            true => Ok(()),
            false => Err(ErrorCode::InvalidState),
        }
    }

    fn interest(&self, events: PollFlags) -> Interest<'_> {
        match self.check() {
            Ok(()) => Interest::Descriptor(self.shared.socket.as_fd(), events),
            Err(_) => Interest::Ready,
        }
    }

    fn send(&self, datagram: &OutgoingDatagram, policy: &NetworkPolicy) -> Result<(), SocketError> {
        let socket = &self.shared.socket;
        let to = datagram.remote_address.map(SocketAddr::from);
        socket.check_destination(to, self.remote, policy)?;
        socket.send_datagram(&datagram.data, to, self.remote)
    }
}

impl IncomingDatagrams {
    pub(super) fn receive(&self, max_results: u64) -> Result<Vec<IncomingDatagram>, SocketError> {
        let IncomingDatagrams(stream) = self;
        stream.check()?;
        let (mut datagrams, mut buffer) = (Vec::new(), Vec::with_capacity(MAX_SIZE));
        while datagrams.len() < MAX_DATAGRAMS && (datagrams.len() as u64) < max_results {
            let socket = &stream.shared.socket;
            match socket.receive_datagram(&mut buffer, stream.remote) {
                Ok(Some(remote)) => datagrams.push(IncomingDatagram {
                    data: buffer.clone(),
                    remote_address: remote.into(),
                }),
                Ok(None) => break,
                // What came before it is not lost.
                Err(_) if !datagrams.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(datagrams)
    }
}

impl Subscribe for IncomingDatagrams {
    fn interest(&self) -> Interest<'_> {
        self.0.interest(PollFlags::IN)
    }
}

impl OutgoingDatagrams {
    pub(super) fn check_send(&mut self) -> Result<u64, SocketError> {
        self.stream.check()?;
        let socket = self.stream.shared.socket.as_fd();
        let is_ready = is_ready(socket, PollFlags::OUT);
        let permit = match is_ready.map_err(|_| ErrorCode::Unknown)? {
            true => MAX_DATAGRAMS,
            false => 0,
        };
        self.permit = Some(permit);
        Ok(permit as u64)
    }

    pub(super) fn send(
        &mut self,
        datagrams: &[OutgoingDatagram],
        policy: &NetworkPolicy,
    ) -> Result<u64, SocketError> {
        let found = datagrams.len();
        match self.permit.take() {
            Some(permit) if found <= permit => {}
            Some(permit) => {
                return Err(SocketError::Trap(Error::msg(format!(
                    "`send` of {found} datagrams, where `check-send` has permitted {permit}"
                ))));
            }
            None => {
                return Err(SocketError::Trap(Error::msg(
                    "`send` of datagrams without a `check-send` before",
                )));
            }
        }
        self.stream.check()?;
        for (sent, datagram) in (0..).zip(datagrams) {
            match self.stream.send(datagram, policy) {
                Ok(()) => {}
                Err(SocketError::Code(ErrorCode::WouldBlock)) => return Ok(sent),
                Err(_) if sent > 0 => return Ok(sent),
                Err(error) => return Err(error),
            }
        }
        Ok(found as u64)
    }
}

impl Subscribe for OutgoingDatagrams {
    fn interest(&self) -> Interest<'_> {
        self.stream.interest(PollFlags::OUT)
    }
}
