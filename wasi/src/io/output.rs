//! Output streams.

use std::io;

use cwasm::{Error, Resource, Result};

use super::CHUNK;
use super::error::StreamError;
use super::input::InputStream;
use super::pollable::{Pollable, Subscribe};
use super::wait::{Interest, wait};
use crate::bindings::wasi::io::streams;
use crate::ctx::WasiCtx;

/// Where the bytes of an output stream go.
pub(crate) trait Sink: Send {
    /// Takes some of the bytes, which are not empty, without waiting: how many.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if it takes nothing yet; [`io::ErrorKind::BrokenPipe`] if
    /// nobody reads any more; the system's.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Passes on what it keeps to itself.
    ///
    /// # Errors
    /// The system's.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// The condition on which `write` takes something.
    fn interest(&self) -> Interest<'_>;

    /// Whether the guest has ended it by other means: what the stream keeps is still written.
    fn has_ended(&self) -> bool {
        false
    }
}

/// A stream that a guest writes to.
///
/// What the system does not take at once is kept, [`CHUNK`] bytes at most, and written before
/// anything else.
pub struct OutputStream {
    /// `None` after an error.
    sink: Option<Box<dyn Sink>>,
    kept: Vec<u8>,
    /// Bytes of `kept` that were written.
    written: usize,
    /// Bytes that the guest may write.
    permit: usize,
}

impl OutputStream {
    pub(crate) fn new(sink: impl Sink + 'static) -> OutputStream {
        OutputStream {
            sink: Some(Box::new(sink)),
            kept: Vec::new(),
            written: 0,
            permit: 0,
        }
    }

    /// A stream that nobody reads.
    pub(crate) fn closed() -> OutputStream {
        OutputStream {
            sink: None,
            kept: Vec::new(),
            written: 0,
            permit: 0,
        }
    }

    /// Calls the sink; an error closes the stream. `None` if it would wait.
    fn with_sink<R>(
        &mut self,
        operation: impl FnOnce(&mut dyn Sink, &[u8]) -> io::Result<R>,
    ) -> Result<Option<R>, StreamError> {
        let sink = self.sink.as_mut().ok_or(StreamError::Closed)?;
        match operation(sink.as_mut(), &self.kept[self.written..]) {
            Ok(result) => Ok(Some(result)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => {
                self.sink = None;
                self.kept = Vec::new();
                self.written = 0;
                match error.kind() {
                    io::ErrorKind::BrokenPipe => Err(StreamError::Closed),
                    _ => Err(error.into()),
                }
            }
        }
    }

    /// Writes what is kept, as far as that goes without waiting: whether nothing is left.
    fn drain(&mut self) -> Result<bool, StreamError> {
        while self.written < self.kept.len() {
            match self.with_sink(|sink, kept| sink.write(kept))? {
                Some(count) => self.written += count,
                None => return Ok(false),
            }
        }
        self.kept.clear();
        self.written = 0;
        match &self.sink {
            Some(_) => Ok(true),
            None => Err(StreamError::Closed),
        }
    }

    /// How many bytes may be written without waiting.
    pub(crate) fn check_write(&mut self) -> Result<u64, StreamError> {
        self.permit = if self.drain()? { CHUNK } else { 0 };
        Ok(self.permit as u64)
    }

    /// Writes bytes, and keeps those that are not taken at once.
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), StreamError> {
        if bytes.len() > self.permit {
            let (found, permit) = (bytes.len(), self.permit);
            return Err(StreamError::Trap(Error::msg(format!(
                "`write` of {found} bytes, where `check-write` has permitted {permit}"
            ))));
        }
        self.permit -= bytes.len();
        while self.drain()? && !bytes.is_empty() {
            match self.with_sink(|sink, _| sink.write(bytes))? {
                Some(count) => bytes = &bytes[count..],
                None => break,
            }
        }
        self.kept.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes all bytes, and waits until they are written.
    pub(crate) fn write_all(
        &mut self,
        mut bytes: &[u8],
        deadline: Option<u64>,
    ) -> Result<(), StreamError> {
        self.wait_drained(deadline)?;
        while !bytes.is_empty() {
            match self.with_sink(|sink, _| sink.write(bytes))? {
                Some(count) => bytes = &bytes[count..],
                None => self.wait(deadline)?,
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        self.drain()?;
        self.with_sink(|sink, _| sink.flush())?;
        Ok(())
    }

    fn blocking_flush(&mut self, deadline: Option<u64>) -> Result<(), StreamError> {
        self.wait_drained(deadline)?;
        self.flush()
    }

    fn wait_drained(&mut self, deadline: Option<u64>) -> Result<(), StreamError> {
        while !self.drain()? {
            self.wait(deadline)?;
        }
        Ok(())
    }

    fn wait(&self, deadline: Option<u64>) -> Result<(), StreamError> {
        let interest = match &self.sink {
            Some(sink) => sink.interest(),
            None => Interest::Ready,
        };
        match wait(&[interest], deadline) {
            Ok(_) => Ok(()),
            Err(error) => Err(StreamError::Trap(error.into())),
        }
    }
}

impl Subscribe for OutputStream {
    fn interest(&self) -> Interest<'_> {
        match &self.sink {
            Some(sink) if self.written < self.kept.len() => sink.interest(),
            _ => Interest::Ready,
        }
    }
}

static ZEROES: [u8; CHUNK] = [0; CHUNK];

impl streams::HostOutputStream for WasiCtx {
    fn check_write(&mut self, stream: Resource<OutputStream>) -> Result<u64, StreamError> {
        self.table.get_mut(&stream)?.check_write()
    }

    fn write(
        &mut self,
        stream: Resource<OutputStream>,
        contents: Vec<u8>,
    ) -> Result<(), StreamError> {
        self.table.get_mut(&stream)?.write(&contents)
    }

    fn blocking_write_and_flush(
        &mut self,
        stream: Resource<OutputStream>,
        contents: Vec<u8>,
    ) -> Result<(), StreamError> {
        let deadline = self.deadline;
        let stream = self.table.get_mut(&stream)?;
        stream.write_all(&contents, deadline)?;
        stream.blocking_flush(deadline)
    }

    fn flush(&mut self, stream: Resource<OutputStream>) -> Result<(), StreamError> {
        self.table.get_mut(&stream)?.flush()
    }

    fn blocking_flush(&mut self, stream: Resource<OutputStream>) -> Result<(), StreamError> {
        let deadline = self.deadline;
        self.table.get_mut(&stream)?.blocking_flush(deadline)
    }

    fn subscribe(&mut self, stream: Resource<OutputStream>) -> Result<Resource<Pollable>> {
        self.subscribe_to(&stream)
    }

    fn write_zeroes(
        &mut self,
        stream: Resource<OutputStream>,
        len: u64,
    ) -> Result<(), StreamError> {
        // What is permitted is at most a chunk.
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let zeroes = ZEROES.get(..len).ok_or_else(|| {
            StreamError::Trap(Error::msg("`write-zeroes` of more than is permitted"))
        })?;
        self.table.get_mut(&stream)?.write(zeroes)
    }

    fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<OutputStream>,
        mut len: u64,
    ) -> Result<(), StreamError> {
        let deadline = self.deadline;
        let stream = self.table.get_mut(&stream)?;
        while len > 0 {
            let part = len.min(CHUNK as u64);
            stream.write_all(&ZEROES[..part as usize], deadline)?;
            len -= part;
        }
        stream.blocking_flush(deadline)
    }

    fn splice(
        &mut self,
        stream: Resource<OutputStream>,
        from: Resource<InputStream>,
        len: u64,
    ) -> Result<u64, StreamError> {
        let permit = self.table.get_mut(&stream)?.check_write()?;
        let bytes = self.table.get_mut(&from)?.read(len.min(permit))?;
        self.table.get_mut(&stream)?.write(&bytes)?;
        Ok(bytes.len() as u64)
    }

    fn blocking_splice(
        &mut self,
        stream: Resource<OutputStream>,
        from: Resource<InputStream>,
        len: u64,
    ) -> Result<u64, StreamError> {
        let deadline = self.deadline;
        self.table.get_mut(&stream)?.wait_drained(deadline)?;
        let bytes = self.table.get_mut(&from)?.blocking_read(len, deadline)?;
        self.table.get_mut(&stream)?.write_all(&bytes, deadline)?;
        Ok(bytes.len() as u64)
    }

    /// What is kept is written first.
    fn drop(&mut self, stream: Resource<OutputStream>) -> Result<()> {
        let mut stream = self.table.delete(stream)?;
        if !stream.kept.is_empty() {
            match stream.wait_drained(self.deadline) {
                Err(StreamError::Trap(error)) => return Err(error),
                // Nobody asks for the error any more.
                Ok(()) | Err(StreamError::Closed | StreamError::Failed(_)) => {}
            }
        }
        Ok(())
    }
}
