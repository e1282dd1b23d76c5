//! Errors of streams, and `wasi:io/error`.

use std::io;

use cwasm::{Resource, ResourceTableError, Result};

use crate::bindings::wasi::io::{error, streams};
use crate::ctx::WasiCtx;

/// The error of a stream that failed, as guests hold it.
#[derive(Debug)]
pub struct IoError(pub(crate) io::Error);

/// Why an operation on a stream failed.
#[derive(Debug)]
pub enum StreamError {
    /// The stream is closed.
    Closed,
    /// The system's error; the stream is closed from now on.
    Failed(io::Error),
    /// The guest broke a rule: its call ends as with a trap.
    Trap(cwasm::Error),
}

impl From<io::Error> for StreamError {
    fn from(error: io::Error) -> StreamError {
        StreamError::Failed(error)
    }
}

impl From<ResourceTableError> for StreamError {
    fn from(error: ResourceTableError) -> StreamError {
        StreamError::Trap(error.into())
    }
}

impl From<cwasm::Error> for StreamError {
    fn from(error: cwasm::Error) -> StreamError {
        StreamError::Trap(error)
    }
}

impl streams::Host for WasiCtx {
    fn convert_stream_error(&mut self, error: StreamError) -> Result<streams::StreamError> {
        match error {
            StreamError::Closed => Ok(streams::StreamError::Closed),
            StreamError::Failed(error) => {
                let error = self.table.push(IoError(error))?;
                Ok(streams::StreamError::LastOperationFailed(error))
            }
            StreamError::Trap(error) => Err(error),
        }
    }
}

impl error::Host for WasiCtx {}

impl error::HostError for WasiCtx {
    fn to_debug_string(&mut self, error: Resource<IoError>) -> Result<String> {
        Ok(self.table.get(&error)?.0.to_string())
    }

    fn drop(&mut self, error: Resource<IoError>) -> Result<()> {
        self.table.delete(error)?;
        Ok(())
    }
}
