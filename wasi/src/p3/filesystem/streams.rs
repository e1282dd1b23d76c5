//! The bytes of files: each stream has a position of its own.

use std::io::{self, IoSlice, IoSliceMut};
use std::sync::Arc;

use cap_std::fs::File;
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2, pwrite, pwritev2, retry_on_intr};

use crate::filesystem::OpenFile;
use crate::io::CHUNK;
use crate::open_files::Counted;
use crate::p3::Pool;
use crate::p3::bytes::{Next, Sink, Source};

/// The last position that the system knows: beyond are numbers with another meaning.
const LAST: u64 = i64::MAX as u64;

/// Reads a file from a position on.
pub(super) struct FileSource {
    file: Arc<Counted<File>>,
    position: u64,
    pool: Pool,
}

/// Writes a file from a position on; at its end, if there is none.
pub(super) struct FileSink {
    file: Arc<Counted<File>>,
    position: Option<u64>,
    pool: Pool,
}

impl FileSource {
    pub(super) fn new(file: &OpenFile, position: u64, pool: &Pool) -> FileSource {
        FileSource {
            file: Arc::clone(&file.file),
            position,
            pool: pool.clone(),
        }
    }
}

impl FileSink {
    pub(super) fn new(file: &OpenFile, position: Option<u64>, pool: &Pool) -> FileSink {
        FileSink {
            file: Arc::clone(&file.file),
            position,
            pool: pool.clone(),
        }
    }
}

/// An operation that would wait, or cannot say that it would, is done by a thread that may.
fn without_waiting(result: Result<usize, Errno>) -> io::Result<usize> {
    match result {
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS) => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        result => Ok(result?),
    }
}

impl Source for FileSource {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.position > LAST {
            return Err(Errno::INVAL.into());
        }
        let mut room = [IoSliceMut::new(bytes)];
        let flags = ReadWriteFlags::NOWAIT;
        let read = || preadv2(&*self.file, &mut room, self.position, flags);
        let count = without_waiting(retry_on_intr(read))?;
        self.position += count as u64;
        Ok(count)
    }

    async fn wait(&mut self) -> io::Result<Option<Vec<u8>>> {
        let (file, position) = (Arc::clone(&self.file), self.position);
        let read = move || {
            let mut bytes = Vec::with_capacity(CHUNK);
            retry_on_intr(|| pread(&*file, spare_capacity(&mut bytes), position))?;
            Ok::<_, io::Error>(bytes)
        };
        let bytes = self.pool.run(read).await?;
        self.position += bytes.len() as u64;
        Ok(Some(bytes))
    }
}

impl Sink for FileSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = [IoSlice::new(bytes)];
        let write = |position, flags| {
            let flags = flags | ReadWriteFlags::NOWAIT;
            retry_on_intr(|| pwritev2(&*self.file, &bytes, position, flags))
        };
        match &mut self.position {
            None => without_waiting(write(u64::MAX, ReadWriteFlags::APPEND)),
            Some(position) if *position > LAST => Err(Errno::INVAL.into()),
            Some(position) => {
                let count = without_waiting(write(*position, ReadWriteFlags::empty()))?;
                *position += count as u64;
                Ok(count)
            }
        }
    }

    async fn wait(&mut self) -> io::Result<Next> {
        Ok(Next::WriteAll)
    }

    async fn write_all(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        let (file, position) = (Arc::clone(&self.file), self.position);
        let count = bytes.len();
        let write = move || {
            let mut written = 0;
            while written < bytes.len() {
                let rest = &bytes[written..];
                let at = position.map(|position| position + written as u64);
                written += match retry_on_intr(|| write_at(&file, rest, at))? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    count => count,
                };
            }
            Ok::<_, io::Error>(())
        };
        self.pool.run(write).await?;
        if let Some(position) = &mut self.position {
            *position += count as u64;
        }
        Ok(())
    }
}

/// Writes at a position, or at the file's end.
fn write_at(file: &File, bytes: &[u8], position: Option<u64>) -> rustix::io::Result<usize> {
    match position {
        Some(position) => pwrite(file, bytes, position),
        None => pwritev2(
            file,
            &[IoSlice::new(bytes)],
            u64::MAX,
            ReadWriteFlags::APPEND,
        ),
    }
}
