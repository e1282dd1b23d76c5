//! Errors of files as guests get them.

use std::io;

use cwasm::{Resource, ResourceTableError, Result};
use rustix::io::Errno;

use crate::bindings::wasi::filesystem::types;
use crate::bindings::wasi::filesystem::types::ErrorCode;
use crate::ctx::WasiCtx;
use crate::io::IoError;
use crate::open_files::TooManyOpen;

pub(crate) type FsResult<T> = Result<T, FsError>;

/// Why an operation on files failed.
#[derive(Debug)]
pub enum FsError {
    /// What the guest is told.
    Code(ErrorCode),
    /// The guest broke a rule: its call ends as with a trap.
    Trap(cwasm::Error),
}

impl From<ErrorCode> for FsError {
    fn from(code: ErrorCode) -> FsError {
        FsError::Code(code)
    }
}

impl From<io::Error> for FsError {
    fn from(error: io::Error) -> FsError {
        FsError::Code(code_of(&error))
    }
}

impl From<Errno> for FsError {
    fn from(error: Errno) -> FsError {
        FsError::from(io::Error::from(error))
    }
}

impl From<TooManyOpen> for FsError {
    fn from(_: TooManyOpen) -> FsError {
        // As if the system had no more.
        FsError::from(Errno::MFILE)
    }
}

impl From<ResourceTableError> for FsError {
    fn from(error: ResourceTableError) -> FsError {
        FsError::Trap(error.into())
    }
}

/// The code of the system's error. One that has none is an [`ErrorCode::Io`].
pub(crate) fn code_of(error: &io::Error) -> ErrorCode {
    if let Some(errno) = Errno::from_io_error(error)
        && let Some(code) = code_of_errno(errno)
    {
        return code;
    }
    match error.kind() {
        io::ErrorKind::NotFound => ErrorCode::NoEntry,
        // What `cap-std` says of a path that leads out.
        io::ErrorKind::PermissionDenied => ErrorCode::NotPermitted,
        io::ErrorKind::AlreadyExists => ErrorCode::Exist,
        io::ErrorKind::InvalidInput => ErrorCode::Invalid,
        io::ErrorKind::InvalidData => ErrorCode::IllegalByteSequence,
        io::ErrorKind::Unsupported => ErrorCode::Unsupported,
        io::ErrorKind::OutOfMemory => ErrorCode::InsufficientMemory,
        _ => ErrorCode::Io,
    }
}

fn code_of_errno(errno: Errno) -> Option<ErrorCode> {
    Some(match errno {
        Errno::ACCESS => ErrorCode::Access,
        Errno::AGAIN => ErrorCode::WouldBlock,
        Errno::ALREADY => ErrorCode::Already,
        Errno::BADF => ErrorCode::BadDescriptor,
        Errno::BUSY => ErrorCode::Busy,
        Errno::DEADLK => ErrorCode::Deadlock,
        Errno::DQUOT => ErrorCode::Quota,
        Errno::EXIST => ErrorCode::Exist,
        Errno::FBIG => ErrorCode::FileTooLarge,
        Errno::ILSEQ => ErrorCode::IllegalByteSequence,
        Errno::INPROGRESS => ErrorCode::InProgress,
        Errno::INTR => ErrorCode::Interrupted,
        Errno::INVAL => ErrorCode::Invalid,
        Errno::IO => ErrorCode::Io,
        Errno::ISDIR => ErrorCode::IsDirectory,
        Errno::LOOP => ErrorCode::Loop,
        Errno::MLINK => ErrorCode::TooManyLinks,
        Errno::MSGSIZE => ErrorCode::MessageSize,
        Errno::NAMETOOLONG => ErrorCode::NameTooLong,
        Errno::NODEV => ErrorCode::NoDevice,
        Errno::NOENT => ErrorCode::NoEntry,
        Errno::NOLCK => ErrorCode::NoLock,
        Errno::NOMEM | Errno::MFILE | Errno::NFILE => ErrorCode::InsufficientMemory,
        Errno::NOSPC => ErrorCode::InsufficientSpace,
        Errno::NOTDIR => ErrorCode::NotDirectory,
        Errno::NOTEMPTY => ErrorCode::NotEmpty,
        Errno::NOTRECOVERABLE => ErrorCode::NotRecoverable,
        Errno::NOTSUP | Errno::NOSYS => ErrorCode::Unsupported,
        Errno::NOTTY => ErrorCode::NoTty,
        Errno::NXIO => ErrorCode::NoSuchDevice,
        Errno::OVERFLOW => ErrorCode::Overflow,
        Errno::PERM => ErrorCode::NotPermitted,
        Errno::PIPE => ErrorCode::Pipe,
        Errno::ROFS => ErrorCode::ReadOnly,
        Errno::SPIPE => ErrorCode::InvalidSeek,
        Errno::TXTBSY => ErrorCode::TextFileBusy,
        Errno::XDEV => ErrorCode::CrossDevice,
        _ => return None,
    })
}

impl types::Host for WasiCtx {
    fn convert_error_code(&mut self, error: FsError) -> Result<ErrorCode> {
        match error {
            FsError::Code(code) => Ok(code),
            FsError::Trap(error) => Err(error),
        }
    }

    fn filesystem_error_code(&mut self, error: Resource<IoError>) -> Result<Option<ErrorCode>> {
        Ok(Some(code_of(&self.table.get(&error)?.0)))
    }
}
