//! Streams of descriptors, and of the host's readers and writers.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::input::Source;
use super::output::Sink;
use super::wait::Interest;

/// Bytes that a pipe takes without waiting if it is ready for writing at all (`PIPE_BUF`).
const ATOMIC: usize = 4096;

/// Input of a descriptor, which may wait: others may use it, so that its mode is left alone.
pub(crate) struct FdSource<D>(pub(crate) D);

/// Output to a descriptor, as [`FdSource`].
pub(crate) struct FdSink<D>(pub(crate) D);

/// Whether a descriptor is ready for one of these events, or has failed.
pub(crate) fn is_ready(descriptor: BorrowedFd<'_>, events: PollFlags) -> io::Result<bool> {
    let mut descriptors = [PollFd::from_borrowed_fd(descriptor, events)];
    let at_once = Timespec::default();
    loop {
        match poll(&mut descriptors, Some(&at_once)) {
            Ok(count) => return Ok(count > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl<D: AsFd + Send> Source for FdSource<D> {
    fn read(&mut self, bytes: &mut Vec<u8>, len: usize) -> io::Result<()> {
        if !is_ready(self.0.as_fd(), PollFlags::IN)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        bytes.reserve_exact(len);
        rustix::io::retry_on_intr(|| rustix::io::read(&self.0, spare_capacity(bytes)))?;
        Ok(())
    }

    fn interest(&self) -> Interest<'_> {
        Interest::Descriptor(self.0.as_fd(), PollFlags::IN)
    }
}

impl<D: AsFd + Send> Sink for FdSink<D> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !is_ready(self.0.as_fd(), PollFlags::OUT)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let part = &bytes[..bytes.len().min(ATOMIC)];
        Ok(rustix::io::retry_on_intr(|| {
            rustix::io::write(&self.0, part)
        })?)
    }

    fn interest(&self) -> Interest<'_> {
        Interest::Descriptor(self.0.as_fd(), PollFlags::OUT)
    }
}

/// A reader or writer of the host's that several streams share. It may wait.
pub(crate) struct Shared<T: ?Sized>(pub(crate) Arc<Mutex<T>>);

impl Source for Shared<dyn Read + Send> {
    fn read(&mut self, bytes: &mut Vec<u8>, len: usize) -> io::Result<()> {
        bytes.resize(len, 0);
        let mut reader = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let result = loop {
            match reader.read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        bytes.truncate(result.as_ref().map_or(0, |count| *count));
        result.map(drop)
    }

    fn interest(&self) -> Interest<'_> {
        Interest::Ready
    }
}

impl Sink for Shared<dyn Write + Send> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match writer.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writer.flush()
    }

    fn interest(&self) -> Interest<'_> {
        Interest::Ready
    }
}
