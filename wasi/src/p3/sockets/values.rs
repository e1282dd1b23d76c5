//! Errors as 0.3 tells them.

use std::io;

use rustix::io::Errno;

use crate::bindings::wasi::sockets::network::ErrorCode as Code;
use crate::p3::bindings::wasi::sockets::{ip_name_lookup, types};
use crate::sockets::code_of;

/// The code of 0.3 for one of 0.2.
pub(super) fn code(code: Code) -> types::ErrorCode {
    match code {
        Code::AccessDenied => types::ErrorCode::AccessDenied,
        Code::NotSupported => types::ErrorCode::NotSupported,
        Code::InvalidArgument => types::ErrorCode::InvalidArgument,
        Code::OutOfMemory => types::ErrorCode::OutOfMemory,
        Code::Timeout => types::ErrorCode::Timeout,
        Code::InvalidState | Code::ConcurrencyConflict | Code::NotInProgress => {
            types::ErrorCode::InvalidState
        }
        Code::AddressNotBindable => types::ErrorCode::AddressNotBindable,
        Code::AddressInUse => types::ErrorCode::AddressInUse,
        Code::RemoteUnreachable => types::ErrorCode::RemoteUnreachable,
        Code::ConnectionRefused => types::ErrorCode::ConnectionRefused,
        Code::ConnectionReset => types::ErrorCode::ConnectionReset,
        Code::ConnectionAborted => types::ErrorCode::ConnectionAborted,
        Code::DatagramTooLarge => types::ErrorCode::DatagramTooLarge,
        Code::Unknown => types::ErrorCode::Other(None),
        Code::NewSocketLimit => other("too many files and sockets are open"),
        Code::WouldBlock => other("it would block"),
        Code::NameUnresolvable
        | Code::TemporaryResolverFailure
        | Code::PermanentResolverFailure => other("a name could not be looked up"),
    }
}

fn other(text: &str) -> types::ErrorCode {
    types::ErrorCode::Other(Some(text.to_owned()))
}

/// The code of an error of a connection's streams.
pub(super) fn stream_code(error: io::Error) -> types::ErrorCode {
    match Errno::from_io_error(&error) {
        Some(Errno::PIPE) => types::ErrorCode::ConnectionBroken,
        Some(error) => code(code_of(error)),
        None => other(&error.to_string()),
    }
}

/// The code of 0.3 for one of 0.2, of a name that was looked up.
pub(super) fn name_code(code: Code) -> ip_name_lookup::ErrorCode {
    match code {
        Code::AccessDenied => ip_name_lookup::ErrorCode::AccessDenied,
        Code::InvalidArgument => ip_name_lookup::ErrorCode::InvalidArgument,
        Code::NameUnresolvable => ip_name_lookup::ErrorCode::NameUnresolvable,
        // There may be room for a look-up later.
        Code::TemporaryResolverFailure | Code::NewSocketLimit => {
            ip_name_lookup::ErrorCode::TemporaryResolverFailure
        }
        Code::PermanentResolverFailure => ip_name_lookup::ErrorCode::PermanentResolverFailure,
        Code::OutOfMemory => ip_name_lookup::ErrorCode::Other(Some("not enough memory".to_owned())),
        _ => ip_name_lookup::ErrorCode::Other(None),
    }
}
