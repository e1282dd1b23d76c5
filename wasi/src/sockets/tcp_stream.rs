//! The two directions of a TCP connection.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::buffer::spare_capacity;
use rustix::event::PollFlags;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, Shutdown, recv};

use super::socket::Socket;
use crate::io::{InputStream, Interest, OutputStream, Sink, Source};

/// A socket, which its streams share. It is closed when the last of them is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Socket,
    /// The guest receives nothing more.
    receiving_ended: AtomicBool,
    /// The guest sends nothing more.
    sending_ended: AtomicBool,
    /// The output stream keeps bytes that the system has not taken yet.
    is_behind: AtomicBool,
}

impl Connection {
    pub(super) fn new(socket: Socket) -> Connection {
        Connection {
            socket,
            receiving_ended: AtomicBool::new(false),
            sending_ended: AtomicBool::new(false),
            is_behind: AtomicBool::new(false),
        }
    }

    /// The streams, once it is connected.
    pub(super) fn streams(self: &Arc<Connection>) -> (InputStream, OutputStream) {
        let input = InputStream::new(TcpSource(self.clone()));
        (input, OutputStream::new(TcpSink(self.clone())))
    }

    /// Ends the input, with what has come already.
    pub(super) fn end_receiving(&self) -> Result<(), Errno> {
        self.receiving_ended.store(true, Ordering::Relaxed);
        self.socket.shut_down(Shutdown::Read)
    }

    /// Ends the output, after what the stream keeps.
    pub(super) fn end_sending(&self) -> Result<(), Errno> {
        self.sending_ended.store(true, Ordering::Relaxed);
        match self.is_behind.load(Ordering::Relaxed) {
            true => Ok(()),
            false => self.socket.shut_down(Shutdown::Write),
        }
    }

    /// Sends some bytes; nothing is left then, or what the stream keeps.
    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let has_ended = self.sending_ended.load(Ordering::Relaxed);
        if has_ended && !self.is_behind.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let result = self.socket.send(bytes);
        let is_behind = match result {
            Ok(count) => count < bytes.len(),
            Err(error) => error == Errno::AGAIN,
        };
        self.is_behind.store(is_behind, Ordering::Relaxed);
        if has_ended && !is_behind {
            self.socket.shut_down(Shutdown::Write)?;
        }
        Ok(result?)
    }
}

struct TcpSource(Arc<Connection>);

struct TcpSink(Arc<Connection>);

impl Source for TcpSource {
    fn read(&mut self, bytes: &mut Vec<u8>, len: usize) -> io::Result<()> {
        let TcpSource(connection) = self;
        // The system still has what came before.
        if connection.receiving_ended.load(Ordering::Relaxed) {
            return Ok(());
        }
        bytes.reserve_exact(len);
        let flags = RecvFlags::empty();
        retry_on_intr(|| recv(&connection.socket, spare_capacity(bytes), flags))?;
        Ok(())
    }

    fn interest(&self) -> Interest<'_> {
        Interest::Descriptor(self.0.socket.as_fd(), PollFlags::IN)
    }
}

impl Sink for TcpSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes)
    }

    fn interest(&self) -> Interest<'_> {
        Interest::Descriptor(self.0.socket.as_fd(), PollFlags::OUT)
    }

    fn has_ended(&self) -> bool {
        self.0.sending_ended.load(Ordering::Relaxed)
    }
}
