//! Input streams.

use std::io;

use cwasm::{Resource, Result};

use super::CHUNK;
use super::error::StreamError;
use super::pollable::{Pollable, Subscribe};
use super::wait::Interest;
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
}

impl WasiCtx {
    /// Reads at least a byte, if `len` is not 0.
    pub(super) fn wait_read(
        &mut self,
        stream: &Resource<InputStream>,
        len: u64,
    ) -> Result<Vec<u8>, StreamError> {
        loop {
            let bytes = self.table.get_mut(stream)?.read(len)?;
            if len == 0 || !bytes.is_empty() {
                return Ok(bytes);
            }
            self.wait_for(|table| Ok(vec![table.get(stream)?.interest()]))?;
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
        self.wait_read(&stream, len)
    }

    fn skip(&mut self, stream: Resource<InputStream>, len: u64) -> Result<u64, StreamError> {
        Ok(self.table.get_mut(&stream)?.read(len)?.len() as u64)
    }

    fn blocking_skip(
        &mut self,
        stream: Resource<InputStream>,
        len: u64,
    ) -> Result<u64, StreamError> {
        Ok(self.wait_read(&stream, len)?.len() as u64)
    }

    fn subscribe(&mut self, stream: Resource<InputStream>) -> Result<Resource<Pollable>> {
        self.subscribe_to(&stream)
    }

    fn drop(&mut self, stream: Resource<InputStream>) -> Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}
