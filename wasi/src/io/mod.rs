//! Streams and what can be waited for (`wasi:io`).
//!
//! ```text
//! read, write -> InputStream, OutputStream -> Source, Sink -> one system call, which never waits
//! poll        -> Pollable -> Interest of each -> one `ppoll`
//! ```
//!
//! An operation that waits tries, waits for the stream's interest, and tries again. Meanwhile all
//! output streams that keep bytes go on writing them.

mod buffer;
mod error;
mod files;
mod host;
mod input;
mod output;
mod pollable;
mod signal;
mod wait;

pub use buffer::OutputBuffer;
pub use error::{IoError, StreamError};
pub use input::InputStream;
pub use output::OutputStream;
pub use pollable::Pollable;

pub(crate) use files::{FileReader, FileWriter};
pub(crate) use host::{FdSink, FdSource, Shared, is_ready};
pub(crate) use input::Source;
pub(crate) use output::Sink;
pub(crate) use pollable::Subscribe;
pub(crate) use signal::Signal;
pub(crate) use wait::{Interest, now};

/// The most bytes that one operation of a guest moves: a guest that asks for more gets less, and
/// asks again.
pub(crate) const CHUNK: usize = 64 << 10;
