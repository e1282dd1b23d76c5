//! Output that the host reads afterwards.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::output::Sink;
use super::wait::Interest;

/// What a guest has written, in memory; clones are the same buffer.
///
/// ```
/// use cwasm_wasi::{OutputBuffer, WasiCtxBuilder};
///
/// let output = OutputBuffer::new(1 << 20);
/// let wasi = WasiCtxBuilder::new().stdout(output.clone()).build();
/// // Run a guest with it, then:
/// assert_eq!(output.contents(), b"");
/// # drop(wasi);
/// ```
#[derive(Clone, Debug)]
pub struct OutputBuffer {
    bytes: Arc<Mutex<Vec<u8>>>,
    limit: usize,
}

impl OutputBuffer {
    /// A buffer for so many bytes. A guest that writes more gets an error.
    pub fn new(limit: usize) -> OutputBuffer {
        OutputBuffer {
            bytes: Arc::default(),
            limit,
        }
    }

    /// The bytes so far.
    pub fn contents(&self) -> Vec<u8> {
        self.with(|bytes| bytes.clone())
    }

    /// The bytes so far, which are no longer in the buffer then.
    pub fn take(&self) -> Vec<u8> {
        self.with(std::mem::take)
    }

    fn with<R>(&self, operation: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        operation(&mut self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for OutputBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let limit = self.limit;
        self.with(|buffer| match limit.saturating_sub(buffer.len()) {
            0 => Err(io::ErrorKind::StorageFull.into()),
            room => {
                let count = bytes.len().min(room);
                buffer.extend_from_slice(&bytes[..count]);
                Ok(count)
            }
        })
    }

    fn interest(&self) -> Interest<'_> {
        Interest::Ready
    }
}
