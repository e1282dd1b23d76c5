//! Bytes from streams to streams, without more than a piece in memory.

use std::fmt;

use wasip2::io::poll::{Pollable, poll};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// The most bytes that are read at once.
const PIECE: u64 = 64 << 10;

/// Why bytes could not be copied.
#[derive(Debug)]
pub enum Failed {
    Read(StreamError),
    Write(StreamError),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, error) = match self {
            Failed::Read(error) => ("reading", error),
            Failed::Write(error) => ("writing", error),
        };
        match error {
            StreamError::Closed => write!(f, "{what}: closed"),
            StreamError::LastOperationFailed(error) => {
                write!(f, "{what}: {}", error.to_debug_string())
            }
        }
    }
}

/// Bytes on their way from a stream to another.
pub struct Copy<'a> {
    from: &'a InputStream,
    to: &'a OutputStream,
    pub count: u64,
}

/// How far a copy came without waiting.
pub enum Progress {
    Waits(Pollable),
    Done,
}

impl<'a> Copy<'a> {
    pub fn new(from: &'a InputStream, to: &'a OutputStream) -> Copy<'a> {
        Copy { from, to, count: 0 }
    }

    /// Goes on until it has to wait.
    pub fn advance(&mut self) -> Result<Progress, Failed> {
        loop {
            let room = self.to.check_write().map_err(Failed::Write)?;
            if room == 0 {
                return Ok(Progress::Waits(self.to.subscribe()));
            }
            match self.from.read(room.min(PIECE)) {
                Ok(bytes) if bytes.is_empty() => {
                    return Ok(Progress::Waits(self.from.subscribe()));
                }
                Ok(bytes) => {
                    self.to.write(&bytes).map_err(Failed::Write)?;
                    self.count += bytes.len() as u64;
                    self.to.flush().map_err(Failed::Write)?;
                }
                Err(StreamError::Closed) => return Ok(Progress::Done),
                Err(error) => return Err(Failed::Read(error)),
            }
        }
    }
}

/// Copies all of a stream, and flushes the other: how many bytes there were.
pub fn copy(from: &InputStream, to: &OutputStream) -> Result<u64, Failed> {
    let mut copy = Copy::new(from, to);
    while let Progress::Waits(pollable) = copy.advance()? {
        pollable.block();
    }
    to.blocking_flush().map_err(Failed::Write)?;
    Ok(copy.count)
}

/// Goes on with all copies until one is done, whose place it is, or `until` is ready.
pub fn advance_all(
    copies: &mut [Copy<'_>],
    until: Option<&Pollable>,
) -> Result<Option<usize>, Failed> {
    loop {
        let mut waits = Vec::new();
        for (place, copy) in copies.iter_mut().enumerate() {
            match copy.advance()? {
                Progress::Done => return Ok(Some(place)),
                Progress::Waits(pollable) => waits.push(pollable),
            }
        }
        let all: Vec<&Pollable> = until.into_iter().chain(&waits).collect();
        let ready = poll(&all);
        if until.is_some() && ready.contains(&0) {
            return Ok(None);
        }
    }
}

/// Reads a piece; nothing at the end.
pub fn read(from: &InputStream) -> Result<Vec<u8>, Failed> {
    match from.blocking_read(PIECE) {
        Err(StreamError::Closed) => Ok(Vec::new()),
        result => result.map_err(Failed::Read),
    }
}

/// Writes all of some bytes, as fast as the stream takes them.
pub fn write(to: &OutputStream, mut bytes: &[u8]) -> Result<(), Failed> {
    while !bytes.is_empty() {
        let room = to.check_write().map_err(Failed::Write)?;
        if room == 0 {
            to.subscribe().block();
            continue;
        }
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let (now, later) = bytes.split_at(bytes.len().min(room));
        to.write(now).map_err(Failed::Write)?;
        bytes = later;
    }
    to.flush().map_err(Failed::Write)
}
