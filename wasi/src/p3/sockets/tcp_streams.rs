//! The bytes of TCP connections.

use std::io;
use std::sync::Arc;

use async_io::Async;
use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, Shutdown, recv};

use crate::p3::bytes::{Next, Sink, Source};
use crate::sockets::Socket;

/// The bytes that come. When it is dropped, the guest receives no more.
#[derive(Debug)]
pub(super) struct TcpSource(pub(super) Arc<Async<Socket>>);

/// Sends bytes to the peer.
#[derive(Debug)]
pub(super) struct TcpSink(pub(super) Arc<Async<Socket>>);

impl Source for TcpSource {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let socket = self.0.get_ref();
        let (count, _) = retry_on_intr(|| recv(socket, &mut *bytes, RecvFlags::empty()))?;
        Ok(count)
    }

    async fn wait(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.0.readable().await?;
        Ok(None)
    }
}

impl Drop for TcpSource {
    fn drop(&mut self) {
        // Nobody is there to be told an error.
        let _ = self.0.get_ref().shut_down(Shutdown::Read);
    }
}

impl Sink for TcpSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.0.get_ref().send(bytes)?)
    }

    async fn wait(&mut self) -> io::Result<Next> {
        self.0.writable().await?;
        Ok(Next::Write)
    }

    fn finish(&mut self) {
        // All that was sent is the system's, which has told its errors.
        let _ = self.0.get_ref().shut_down(Shutdown::Write);
    }
}
