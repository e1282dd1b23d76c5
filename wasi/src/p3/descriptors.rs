//! Bytes from and to descriptors and the host's readers and writers, which may wait.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use async_io::Async;
use rustix::event::PollFlags;
use rustix::fs::{FileType, fstat};
use rustix::io::{Errno, ReadWriteFlags, fcntl_dupfd_cloexec, preadv2, pwritev2, retry_on_intr};

use super::Pool;
use super::bytes::{Next, Sink, Source};
use crate::io::{CHUNK, is_ready};
use crate::open_files::{Counted, OpenFiles};

/// For `preadv2` and `pwritev2`: where the descriptor is.
const HERE: u64 = u64::MAX;

/// Bytes that a pipe takes without waiting if it is ready for writing at all (`PIPE_BUF`).
const ATOMIC: usize = 4096;

/// A descriptor that others use as well, so that its mode is left alone.
#[derive(Debug)]
pub(crate) struct Descriptor<D> {
    descriptor: D,
    how: How,
    /// Made when it waits for the first time.
    readiness: Option<Async<Counted<OwnedFd>>>,
    open_files: OpenFiles,
    pool: Pool,
}

/// How to read and write without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// By calls that say so themselves (`RWF_NOWAIT`).
    Calls,
    /// By looking first whether it is ready, for what does not know such calls.
    Looking,
    /// Not at all.
    Pool,
}

impl<D: AsFd> Descriptor<D> {
    pub(crate) fn new(descriptor: D, open_files: &OpenFiles, pool: &Pool) -> Descriptor<D> {
        Descriptor {
            descriptor,
            how: How::Calls,
            readiness: None,
            open_files: open_files.clone(),
            pool: pool.clone(),
        }
    }

    /// What to do after a call of the first kind: `None` if that went well.
    fn after<R>(&mut self, result: Result<R, Errno>) -> io::Result<Option<R>> {
        match result {
            Ok(result) => Ok(Some(result)),
            Err(Errno::AGAIN) if self.is_file() => {
                self.how = How::Pool;
                Err(io::ErrorKind::WouldBlock.into())
            }
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::SPIPE) => {
                self.how = match self.is_file() {
                    true => How::Pool,
                    false => How::Looking,
                };
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether it is ready at all times, for those who ask, and may wait for a disk.
    fn is_file(&self) -> bool {
        let ty = fstat(&self.descriptor).map(|stat| FileType::from_raw_mode(stat.st_mode));
        matches!(ty, Ok(FileType::RegularFile | FileType::BlockDevice))
    }

    fn check_ready(&self, events: PollFlags) -> io::Result<()> {
        match is_ready(self.descriptor.as_fd(), events)? {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// What tells when it is ready: a copy, since one descriptor can be waited for by one only.
    fn readiness(&mut self) -> io::Result<&Async<Counted<OwnedFd>>> {
        if self.readiness.is_none() {
            let place = self.open_files.place().map_err(|_| Errno::MFILE)?;
            let copy = fcntl_dupfd_cloexec(&self.descriptor, 0)?;
            self.readiness = Some(Async::new_nonblocking(place.of(copy))?);
        }
        match &self.readiness {
            Some(readiness) => Ok(readiness),
            None => Err(io::ErrorKind::Other.into()),
        }
    }
}

impl<D: AsFd + Send + Sync + Clone + 'static> Source for Descriptor<D> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.how == How::Calls {
            let mut room = [IoSliceMut::new(bytes)];
            let read = || {
                let flags = ReadWriteFlags::NOWAIT;
                preadv2(&self.descriptor, &mut room, HERE, flags)
            };
            let result = retry_on_intr(read);
            if let Some(count) = self.after(result)? {
                return Ok(count);
            }
        }
        if self.how == How::Pool {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.check_ready(PollFlags::IN)?;
        Ok(retry_on_intr(|| {
            rustix::io::read(&self.descriptor, &mut *bytes)
        })?)
    }

    async fn wait(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.how != How::Pool {
            self.readiness()?.readable().await?;
            return Ok(None);
        }
        let descriptor = self.descriptor.clone();
        let read = move || {
            let mut bytes = vec![0; CHUNK];
            let count = retry_on_intr(|| rustix::io::read(&descriptor, &mut bytes[..]))?;
            bytes.truncate(count);
            Ok(Some(bytes))
        };
        self.pool.run(read).await
    }
}

impl<D: AsFd + Send + Sync + Clone + 'static> Sink for Descriptor<D> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.how == How::Calls {
            let all = [IoSlice::new(bytes)];
            let flags = ReadWriteFlags::NOWAIT;
            let result = retry_on_intr(|| pwritev2(&self.descriptor, &all, HERE, flags));
            if let Some(count) = self.after(result)? {
                return Ok(count);
            }
        }
        if self.how == How::Pool {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.check_ready(PollFlags::OUT)?;
        let part = &bytes[..bytes.len().min(ATOMIC)];
        Ok(retry_on_intr(|| rustix::io::write(&self.descriptor, part))?)
    }

    async fn wait(&mut self) -> io::Result<Next> {
        if self.how == How::Pool {
            return Ok(Next::WriteAll);
        }
        self.readiness()?.writable().await?;
        Ok(Next::Write)
    }

    async fn write_all(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        let descriptor = self.descriptor.clone();
        self.pool
            .run(move || {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    match retry_on_intr(|| rustix::io::write(&descriptor, rest))? {
                        0 => return Err(io::ErrorKind::WriteZero.into()),
                        count => rest = &rest[count..],
                    }
                }
                Ok(())
            })
            .await
    }
}

/// A reader or writer of the host's that several streams share. It may wait.
#[derive(Debug)]
pub(crate) struct Shared<T: ?Sized> {
    shared: Arc<Mutex<T>>,
    pool: Pool,
}

impl<T: ?Sized> Shared<T> {
    pub(crate) fn new(shared: &Arc<Mutex<T>>, pool: &Pool) -> Shared<T> {
        Shared {
            shared: Arc::clone(shared),
            pool: pool.clone(),
        }
    }
}

impl Source for Shared<dyn Read + Send> {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    async fn wait(&mut self) -> io::Result<Option<Vec<u8>>> {
        let reader = Arc::clone(&self.shared);
        let read = move || {
            let mut bytes = vec![0; CHUNK];
            let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            let count = loop {
                match reader.read(&mut bytes) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => break result?,
                }
            };
            bytes.truncate(count);
            Ok(Some(bytes))
        };
        self.pool.run(read).await
    }
}

impl Sink for Shared<dyn Write + Send> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    async fn wait(&mut self) -> io::Result<Next> {
        Ok(Next::WriteAll)
    }

    async fn write_all(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        let writer = Arc::clone(&self.shared);
        let write = move || {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.write_all(&bytes)?;
            writer.flush()
        };
        self.pool.run(write).await
    }
}

/// No bytes.
#[derive(Debug)]
pub(crate) struct Empty;

impl Source for Empty {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }

    async fn wait(&mut self) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }
}

/// A sink that never waits: a function that takes bytes.
pub(crate) struct Taker<F>(pub(crate) F);

impl<F: FnMut(&[u8]) -> io::Result<usize> + Send + 'static> Sink for Taker<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)(bytes)
    }

    async fn wait(&mut self) -> io::Result<Next> {
        Ok(Next::Write)
    }
}
