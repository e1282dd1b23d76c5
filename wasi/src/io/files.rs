//! Streams of files: each has a position of its own.

use std::io;
use std::sync::Arc;

use cap_std::fs::File;
use rustix::buffer::spare_capacity;
use rustix::io::{ReadWriteFlags, pread, pwrite, pwritev2, retry_on_intr};

use super::input::Source;
use super::output::Sink;
use super::wait::Interest;
use crate::open_files::Counted;

/// Reads a file from a position on.
pub(crate) struct FileReader {
    pub(crate) file: Arc<Counted<File>>,
    pub(crate) position: u64,
}

/// Writes a file from a position on; at its end, if there is none.
pub(crate) struct FileWriter {
    pub(crate) file: Arc<Counted<File>>,
    pub(crate) position: Option<u64>,
}

impl Source for FileReader {
    fn read(&mut self, bytes: &mut Vec<u8>, len: usize) -> io::Result<()> {
        bytes.reserve_exact(len);
        let read = || pread(&*self.file, spare_capacity(bytes), self.position);
        self.position += retry_on_intr(read)? as u64;
        Ok(())
    }

    fn interest(&self) -> Interest<'_> {
        Interest::Ready
    }
}

impl Sink for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file = &*self.file;
        let Some(position) = &mut self.position else {
            return append(file, bytes);
        };
        let count = retry_on_intr(|| pwrite(file, bytes, *position))?;
        *position += count as u64;
        Ok(count)
    }

    fn interest(&self) -> Interest<'_> {
        Interest::Ready
    }
}

/// Writes at the end of a file, wherever that is when it is written.
fn append(file: &Counted<File>, bytes: &[u8]) -> io::Result<usize> {
    let bytes = [io::IoSlice::new(bytes)];
    let write = || pwritev2(file, &bytes, u64::MAX, ReadWriteFlags::APPEND);
    Ok(retry_on_intr(write)?)
}
