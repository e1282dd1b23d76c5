//! Errors of sockets as guests get them.

use cwasm::{ResourceTableError, Result};
use rustix::io::Errno;

use crate::bindings::wasi::sockets::network::ErrorCode;
use crate::open_files::TooManyOpen;

/// Why an operation on a socket failed.
#[derive(Debug)]
pub enum SocketError {
    /// What the guest is told.
    Code(ErrorCode),
    /// The guest broke a rule: its call ends as with a trap.
    Trap(cwasm::Error),
}

impl SocketError {
    /// What the guest is told, if it lives on.
    pub(crate) fn code(self) -> Result<ErrorCode> {
        match self {
            SocketError::Code(code) => Ok(code),
            SocketError::Trap(error) => Err(error),
        }
    }
}

impl From<ErrorCode> for SocketError {
    fn from(code: ErrorCode) -> SocketError {
        SocketError::Code(code)
    }
}

impl From<Errno> for SocketError {
    fn from(error: Errno) -> SocketError {
        SocketError::Code(code_of(error))
    }
}

impl From<TooManyOpen> for SocketError {
    fn from(_: TooManyOpen) -> SocketError {
        SocketError::Code(ErrorCode::NewSocketLimit)
    }
}

impl From<ResourceTableError> for SocketError {
    fn from(error: ResourceTableError) -> SocketError {
        SocketError::Trap(error.into())
    }
}

impl From<cwasm::Error> for SocketError {
    fn from(error: cwasm::Error) -> SocketError {
        SocketError::Trap(error)
    }
}

/// The code of the system's error, where the operation gives it no other meaning.
pub(crate) fn code_of(error: Errno) -> ErrorCode {
    match error {
        Errno::ACCESS | Errno::PERM => ErrorCode::AccessDenied,
        Errno::ADDRINUSE => ErrorCode::AddressInUse,
        Errno::ADDRNOTAVAIL => ErrorCode::AddressNotBindable,
        Errno::AFNOSUPPORT
        | Errno::NOPROTOOPT
        | Errno::OPNOTSUPP
        | Errno::PFNOSUPPORT
        | Errno::PROTONOSUPPORT
        | Errno::SOCKTNOSUPPORT => ErrorCode::NotSupported,
        Errno::AGAIN => ErrorCode::WouldBlock,
        Errno::ALREADY => ErrorCode::ConcurrencyConflict,
        Errno::CONNABORTED => ErrorCode::ConnectionAborted,
        Errno::CONNREFUSED => ErrorCode::ConnectionRefused,
        Errno::CONNRESET => ErrorCode::ConnectionReset,
        Errno::DESTADDRREQ | Errno::INVAL => ErrorCode::InvalidArgument,
        Errno::HOSTDOWN
        | Errno::HOSTUNREACH
        | Errno::NETDOWN
        | Errno::NETRESET
        | Errno::NETUNREACH
        | Errno::NONET => ErrorCode::RemoteUnreachable,
        Errno::ISCONN | Errno::NOTCONN => ErrorCode::InvalidState,
        Errno::MFILE | Errno::NFILE => ErrorCode::NewSocketLimit,
        Errno::MSGSIZE => ErrorCode::DatagramTooLarge,
        Errno::NOBUFS | Errno::NOMEM => ErrorCode::OutOfMemory,
        Errno::TIMEDOUT => ErrorCode::Timeout,
        _ => ErrorCode::Unknown,
    }
}

/// The code of an error of `bind`.
pub(super) fn bind_code(error: Errno) -> ErrorCode {
    match error {
        Errno::AFNOSUPPORT => ErrorCode::InvalidArgument,
        error => code_of(error),
    }
}

/// The code of an error of `connect`.
pub(crate) fn connect_code(error: Errno) -> ErrorCode {
    match error {
        Errno::AFNOSUPPORT => ErrorCode::InvalidArgument,
        // No port was free.
        Errno::ADDRNOTAVAIL | Errno::AGAIN => ErrorCode::AddressInUse,
        error => code_of(error),
    }
}
