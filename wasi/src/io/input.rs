//! Input streams.

use std::io;

use cwasm::{Resource, Result};

use super::CHUNK;
use super::error::StreamError;
use super::pollable::{Pollable, Subscribe};
use super::wait::{Interest, wait};
use crate::bindings::wasi::io::streams;
use crate::ctx::WasiCtx;

/// Where the bytes of an input stream come from.
pub(crate) trait Source: Send {
    /// Appends up to `len` bytes, which is not 0, without waiting. None of them are the end.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if there is nothing yet; the system's.
    fn read(&mut self, bytes: &mut Vec<u8>, len: usize) -> io::Result<()>;

    /// The condition on which `read` has something.
    fn interest(&self) -> Interest<'_>;
}

/// A stream that a guest reads from.
pub struct InputStream {
    /// `None` at the end, or after an error.
    source: Option<Box<dyn Source>>,
}

impl InputStream {
    pub(crate) fn new(source: impl Source + 'static) -> InputStream {
        InputStream {
            source: Some(Box::new(source)),
        }
    }

    /// A stream at its end.
    pub(crate) fn closed() -> InputStream {
        InputStream { source: None }
    }

    /// Reads up to `len` bytes without waiting; none if there is nothing yet.
    pub(crate) fn read(&mut self, len: u64) -> Result<Vec<u8>, StreamError> {
        let source = self.source.as_mut().ok_or(StreamError::Closed)?;
        let (mut bytes, len) = (Vec::new(), len.min(CHUNK as u64) as usize);
        if len == 0 {
            return Ok(bytes);
        }
        match source.read(&mut bytes, len) {
            Ok(()) if bytes.is_empty() => {
                self.source = None;
                Err(StreamError::Closed)
            }
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(bytes),
            Err(error) => {
                self.source = None;
                Err(error.into())
            }
        }
    }

    /// Reads at least a byte, if `len` is not 0.
    pub(crate) fn blocking_read(
        &mut self,
        len: u64,
        deadline: Option<u64>,
    ) -> Result<Vec<u8>, StreamError> {
        loop {
            let bytes = self.read(len)?;
            if len == 0 || !bytes.is_empty() {
                return Ok(bytes);
            }
            self.wait(deadline)?;
        }
    }

    fn wait(&self, deadline: Option<u64>) -> Result<(), StreamError> {
        match wait(&[self.interest()], deadline) {
            Ok(_) => Ok(()),
            Err(error) => Err(StreamError::Trap(error.into())),
        }
    }
}

impl Subscribe for InputStream {
    fn interest(&self) -> Interest<'_> {
        match &self.source {
            Some(source) => source.interest(),
            None => Interest::Ready,
        }
    }
}

impl streams::HostInputStream for WasiCtx {
    fn read(&mut self, stream: Resource<InputStream>, len: u64) -> Result<Vec<u8>, StreamError> {
        self.table.get_mut(&stream)?.read(len)
    }

    fn blocking_read(
        &mut self,
        stream: Resource<InputStream>,
        len: u64,
    ) -> Result<Vec<u8>, StreamError> {
        let deadline = self.deadline;
        self.table.get_mut(&stream)?.blocking_read(len, deadline)
    }

    fn skip(&mut self, stream: Resource<InputStream>, len: u64) -> Result<u64, StreamError> {
        Ok(self.table.get_mut(&stream)?.read(len)?.len() as u64)
    }

    fn blocking_skip(
        &mut self,
        stream: Resource<InputStream>,
        len: u64,
    ) -> Result<u64, StreamError> {
        let deadline = self.deadline;
        let stream = self.table.get_mut(&stream)?;
        Ok(stream.blocking_read(len, deadline)?.len() as u64)
    }

    fn subscribe(&mut self, stream: Resource<InputStream>) -> Result<Resource<Pollable>> {
        self.subscribe_to(&stream)
    }

    fn drop(&mut self, stream: Resource<InputStream>) -> Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}
