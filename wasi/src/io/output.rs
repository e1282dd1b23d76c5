//! Output streams.

use std::io;

use cwasm::{Error, Resource, Result};

use super::CHUNK;
use super::error::StreamError;
use super::input::InputStream;
use super::pollable::{Pollable, Subscribe};
use super::wait::Interest;
use crate::bindings::wasi::io::streams;
use crate::ctx::WasiCtx;

/// The most streams of a guest that may keep output at a time: with [`CHUNK`] bytes each, 64 MiB.
const MAX_BEHIND: usize = 1024;

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
/// What the system does not take at once is kept, 64 KiB at most, and written before
/// anything else: when the guest uses the stream again, or waits for anything.
pub struct OutputStream {
    /// `None` after an error.
    sink: Option<Box<dyn Sink>>,
    kept: Vec<u8>,
    /// Bytes of `kept` that were written.
    written: usize,
    /// Why what was kept could not be written, which the guest has not been told.
    failure: Option<io::Error>,
    /// Bytes that the guest may write.
    permit: usize,
}

impl OutputStream {
    pub(crate) fn new(sink: impl Sink + 'static) -> OutputStream {
        OutputStream::of(Some(Box::new(sink)))
    }

    /// A stream that nobody reads.
    pub(crate) fn closed() -> OutputStream {
        OutputStream::of(None)
    }

    fn of(sink: Option<Box<dyn Sink>>) -> OutputStream {
        OutputStream {
            sink,
            kept: Vec::new(),
            written: 0,
            failure: None,
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

    /// Writes what is kept while the guest does something else: whether there is still some.
    pub(super) fn write_kept(&mut self) -> bool {
        if let Err(StreamError::Failed(error)) = self.drain() {
            self.failure = Some(error);
        }
        self.is_behind()
    }

    /// Whether bytes are kept.
    fn is_behind(&self) -> bool {
        self.written < self.kept.len()
    }

    /// The condition on which what is kept can be written; `None` if nothing is.
    pub(super) fn kept_interest(&self) -> Option<Interest<'_>> {
        let sink = self.sink.as_ref().filter(|_| self.is_behind())?;
        Some(sink.interest())
    }

    /// That the guest may still write.
    fn check_open(&mut self) -> Result<(), StreamError> {
        if let Some(error) = self.failure.take() {
            return Err(StreamError::Failed(error));
        }
        match &self.sink {
            Some(sink) if !sink.has_ended() => Ok(()),
            _ => Err(StreamError::Closed),
        }
    }

    /// How many bytes may be written without waiting.
    pub(crate) fn check_write(&mut self) -> Result<u64, StreamError> {
        self.check_open()?;
        self.permit = if self.drain()? { CHUNK } else { 0 };
        Ok(self.permit as u64)
    }

    /// Writes bytes, and keeps those that are not taken at once.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        if bytes.len() > self.permit {
            let (found, permit) = (bytes.len(), self.permit);
            return Err(StreamError::Trap(Error::msg(format!(
                "`write` of {found} bytes, where `check-write` has permitted {permit}"
            ))));
        }
        self.permit -= bytes.len();
        let count = self.write_part(bytes)?;
        self.kept.extend_from_slice(&bytes[count..]);
        Ok(())
    }

    /// Writes bytes, and keeps a chunk of those that are not taken, if nothing was kept: how many
    /// are the stream's now.
    fn write_part(&mut self, bytes: &[u8]) -> Result<usize, StreamError> {
        self.check_open()?;
        let mut rest = bytes;
        while self.drain()? && !rest.is_empty() {
            let count = match self.with_sink(|sink, _| sink.write(rest))? {
                Some(count) => count,
                None => {
                    let count = rest.len().min(CHUNK);
                    self.kept.extend_from_slice(&rest[..count]);
                    count
                }
            };
            rest = &rest[count..];
        }
        Ok(bytes.len() - rest.len())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        self.check_open()?;
        self.drain()?;
        self.with_sink(|sink, _| sink.flush())?;
        Ok(())
    }
}

impl Subscribe for OutputStream {
    fn interest(&self) -> Interest<'_> {
        match &self.sink {
            Some(sink) if self.is_behind() && !sink.has_ended() => sink.interest(),
            _ => Interest::Ready,
        }
    }
}

impl WasiCtx {
    /// Uses a stream, and remembers it if it keeps bytes then.
    fn with_output<R>(
        &mut self,
        stream: &Resource<OutputStream>,
        operation: impl FnOnce(&mut OutputStream) -> Result<R, StreamError>,
    ) -> Result<R, StreamError> {
        let output = self.table.get_mut(stream)?;
        let result = operation(output);
        if output.is_behind() {
            self.behind.insert(stream.rep());
            if self.behind.len() > MAX_BEHIND {
                return Err(StreamError::Trap(Error::msg(format!(
                    "more than {MAX_BEHIND} streams keep output that nobody reads"
                ))));
            }
        }
        result
    }

    /// Writes all bytes, and waits until they are written.
    fn write_all(
        &mut self,
        stream: &Resource<OutputStream>,
        mut bytes: &[u8],
    ) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            let count = self.with_output(stream, |output| output.write_part(bytes))?;
            bytes = &bytes[count..];
            self.wait_written(stream)?;
        }
        Ok(())
    }

    /// Waits until nothing is kept.
    fn wait_written(&mut self, stream: &Resource<OutputStream>) -> Result<(), StreamError> {
        while !self.table.get_mut(stream)?.drain()? {
            self.wait_for(|table| {
                let interest = table.get(stream)?.kept_interest();
                Ok(vec![interest.unwrap_or(Interest::Ready)])
            })?;
        }
        Ok(())
    }

    fn wait_flushed(&mut self, stream: &Resource<OutputStream>) -> Result<(), StreamError> {
        self.table.get_mut(stream)?.check_open()?;
        self.wait_written(stream)?;
        self.table.get_mut(stream)?.flush()
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
        self.with_output(&stream, |output| output.write(&contents))
    }

    fn blocking_write_and_flush(
        &mut self,
        stream: Resource<OutputStream>,
        contents: Vec<u8>,
    ) -> Result<(), StreamError> {
        self.write_all(&stream, &contents)?;
        self.wait_flushed(&stream)
    }

    fn flush(&mut self, stream: Resource<OutputStream>) -> Result<(), StreamError> {
        self.table.get_mut(&stream)?.flush()
    }

    fn blocking_flush(&mut self, stream: Resource<OutputStream>) -> Result<(), StreamError> {
        self.wait_flushed(&stream)
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
        self.with_output(&stream, |output| output.write(zeroes))
    }

    fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<OutputStream>,
        mut len: u64,
    ) -> Result<(), StreamError> {
        while len > 0 {
            let part = len.min(CHUNK as u64);
            self.write_all(&stream, &ZEROES[..part as usize])?;
            len -= part;
        }
        self.wait_flushed(&stream)
    }

    fn splice(
        &mut self,
        stream: Resource<OutputStream>,
        from: Resource<InputStream>,
        len: u64,
    ) -> Result<u64, StreamError> {
        let permit = self.table.get_mut(&stream)?.check_write()?;
        let bytes = self.table.get_mut(&from)?.read(len.min(permit))?;
        self.with_output(&stream, |output| output.write(&bytes))?;
        Ok(bytes.len() as u64)
    }

    fn blocking_splice(
        &mut self,
        stream: Resource<OutputStream>,
        from: Resource<InputStream>,
        len: u64,
    ) -> Result<u64, StreamError> {
        self.wait_written(&stream)?;
        self.table.get_mut(&stream)?.check_open()?;
        let bytes = self.wait_read(&from, len)?;
        self.write_all(&stream, &bytes)?;
        Ok(bytes.len() as u64)
    }

    /// What is kept is written first.
    fn drop(&mut self, stream: Resource<OutputStream>) -> Result<()> {
        match self.wait_written(&stream) {
            Err(StreamError::Trap(error)) => return Err(error),
            // Nobody asks for the error any more.
            Ok(()) | Err(StreamError::Closed | StreamError::Failed(_)) => {}
        }
        self.behind.remove(&stream.rep());
        self.table.delete(stream)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WasiCtxBuilder;
    use crate::bindings::wasi::cli::stdout::Host as _;
    use crate::bindings::wasi::io::streams::HostOutputStream as _;

    /// A pipe whose other end is open and not read.
    fn full_pipe() -> (std::io::PipeReader, std::os::fd::OwnedFd) {
        let (reader, writer) = std::io::pipe().unwrap();
        (reader, writer.into())
    }

    #[test]
    fn output_that_nobody_reads_takes_bounded_memory() {
        let (_reader, writer) = full_pipe();
        let mut wasi = WasiCtxBuilder::new().stdout(writer).build();
        let mut accepted = 0;
        let error = loop {
            let stream = wasi.get_stdout().unwrap();
            let rep = stream.rep();
            let stream = || Resource::new_borrow(rep);
            let permit = wasi.check_write(stream()).unwrap();
            assert_eq!(permit, CHUNK as u64);
            match wasi.write(stream(), vec![0; CHUNK]) {
                Ok(()) => accepted += 1,
                Err(error) => break error,
            }
            // It keeps what it has, and takes no more.
            if accepted > 1 {
                assert_eq!(wasi.check_write(stream()).unwrap(), 0);
            }
        };
        assert!(matches!(error, StreamError::Trap(_)), "{error:?}");
        // The pipe has taken those of one at most.
        assert!(accepted - MAX_BEHIND <= 1, "{accepted}");
    }
}
