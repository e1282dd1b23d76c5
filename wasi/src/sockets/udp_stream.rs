//! The streams of a UDP socket's datagrams.

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cwasm::Error;
use rustix::buffer::spare_capacity;
use rustix::event::PollFlags;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags, recvfrom, send, sendto};

use super::address::{Family, from_system};
use super::error::{SocketError, code_of};
use super::{NetworkPolicy, SocketUse};
use crate::bindings::wasi::sockets::network::ErrorCode;
use crate::bindings::wasi::sockets::udp::{IncomingDatagram, OutgoingDatagram};
use crate::io::{Interest, Subscribe, is_ready};
use crate::open_files::Counted;

/// The most datagrams that one call sends or receives.
const MAX_DATAGRAMS: usize = 16;
/// No datagram is larger.
const MAX_SIZE: usize = 64 << 10;

/// What a socket and its streams share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) socket: Counted<OwnedFd>,
    /// How often streams were made: those of the last time are good.
    generation: AtomicU64,
}

/// A stream of a socket: of one generation, with the peer that it is for, if that is only one.
#[derive(Clone, Debug)]
struct Stream {
    shared: Arc<Shared>,
    generation: u64,
    family: Family,
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
    pub(super) fn new(socket: Counted<OwnedFd>) -> Shared {
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
        family: Family,
        remote: Option<SocketAddr>,
    ) -> (IncomingDatagrams, OutgoingDatagrams) {
        let stream = Stream {
            shared: self.clone(),
            generation: self.generation.load(Ordering::Relaxed),
            family,
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

    /// Receives a datagram with an empty buffer; `None` if none is there.
    fn receive(&self, buffer: &mut Vec<u8>) -> Result<Option<SocketAddr>, SocketError> {
        loop {
            buffer.clear();
            let receive = || {
                let buffer = spare_capacity(buffer);
                recvfrom(&self.shared.socket, buffer, RecvFlags::empty())
            };
            let sender = match retry_on_intr(receive) {
                Ok((_, _, sender)) => sender.ok_or(ErrorCode::Unknown)?,
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(datagram_code(error).into()),
            };
            let sender = from_system(sender)?;
            match self.remote {
                None => return Ok(Some(sender)),
                // Others' may have come before this was the only peer.
                Some(remote) if (remote.ip(), remote.port()) != (sender.ip(), sender.port()) => {}
                Some(remote) => return Ok(Some(remote)),
            }
        }
    }

    fn send(&self, datagram: &OutgoingDatagram, policy: &NetworkPolicy) -> Result<(), SocketError> {
        let socket = &self.shared.socket;
        let (data, flags) = (&datagram.data, SendFlags::NOSIGNAL);
        let result = match (self.remote, datagram.remote_address.map(SocketAddr::from)) {
            (None, Some(address)) => {
                self.family.check_remote(address)?;
                policy.check(address, SocketUse::UdpOutgoingDatagram)?;
                retry_on_intr(|| sendto(socket, data, flags, &address))
            }
            (Some(remote), address) if address.is_none_or(|address| address == remote) => {
                retry_on_intr(|| send(socket, data, flags))
            }
            _ => return Err(ErrorCode::InvalidArgument.into()),
        };
        match result {
            Ok(_) => Ok(()),
            Err(error) => Err(datagram_code(error).into()),
        }
    }
}

/// The code of an error of sending or receiving.
fn datagram_code(error: Errno) -> ErrorCode {
    match error {
        Errno::CONNRESET => ErrorCode::RemoteUnreachable,
        Errno::AFNOSUPPORT => ErrorCode::InvalidArgument,
        // No port was free.
        Errno::ADDRNOTAVAIL => ErrorCode::AddressInUse,
        error => code_of(error),
    }
}

impl IncomingDatagrams {
    pub(super) fn receive(&self, max_results: u64) -> Result<Vec<IncomingDatagram>, SocketError> {
        let IncomingDatagrams(stream) = self;
        stream.check()?;
        let (mut datagrams, mut buffer) = (Vec::new(), Vec::with_capacity(MAX_SIZE));
        while datagrams.len() < MAX_DATAGRAMS && (datagrams.len() as u64) < max_results {
            match stream.receive(&mut buffer) {
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
