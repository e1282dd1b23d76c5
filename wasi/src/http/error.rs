//! Errors of HTTP as guests get them.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::{fmt, io};

use cwasm::{ResourceTableError, Result};

use super::ErrorCode;
use super::bindings::wasi::http::types::{DnsErrorPayload, TlsAlertReceivedPayload};

/// Why an operation of HTTP failed.
#[derive(Debug)]
pub enum HttpError {
    /// What the guest is told.
    Code(ErrorCode),
    /// The guest broke a rule: its call ends as with a trap.
    Trap(cwasm::Error),
}

impl HttpError {
    /// What the guest is told, if it lives on.
    pub(super) fn code(self) -> Result<ErrorCode> {
        match self {
            HttpError::Code(code) => Ok(code),
            HttpError::Trap(error) => Err(error),
        }
    }
}

impl From<ErrorCode> for HttpError {
    fn from(code: ErrorCode) -> HttpError {
        HttpError::Code(code)
    }
}

impl From<ResourceTableError> for HttpError {
    fn from(error: ResourceTableError) -> HttpError {
        HttpError::Trap(error.into())
    }
}

impl From<cwasm::Error> for HttpError {
    fn from(error: cwasm::Error) -> HttpError {
        HttpError::Trap(error)
    }
}

/// A code as an error of Rust's: of bodies, and of the streams of bodies.
#[derive(Clone, Debug)]
pub struct BodyError(pub ErrorCode);

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl StdError for BodyError {}

impl From<ErrorCode> for BodyError {
    fn from(code: ErrorCode) -> BodyError {
        BodyError(code)
    }
}

/// Of bodies in memory.
impl From<Infallible> for BodyError {
    fn from(never: Infallible) -> BodyError {
        match never {}
    }
}

impl From<hyper::Error> for BodyError {
    fn from(error: hyper::Error) -> BodyError {
        BodyError(code_of(&error))
    }
}

impl From<BodyError> for io::Error {
    fn from(error: BodyError) -> io::Error {
        io::Error::other(error)
    }
}

/// The code in the error of a stream, if it is one of a body.
pub(crate) fn code_in(error: &io::Error) -> Option<ErrorCode> {
    let BodyError(code) = error.get_ref()?.downcast_ref()?;
    Some(code.clone())
}

/// An error and those that have caused it.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        let error: &'a (dyn StdError + 'static) = *error;
        // An `io::Error` passes over the error in it.
        match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    })
}

/// The code of an error of the library, while a request or a response is received.
pub(super) fn code_of(error: &(dyn StdError + 'static)) -> ErrorCode {
    let mut otherwise = ErrorCode::HttpProtocolError;
    for cause in causes(error) {
        if let Some(BodyError(code)) = cause.downcast_ref() {
            return code.clone();
        }
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            return tls_code(error);
        }
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            // There may be another error in it, which says more.
            otherwise = io_code(error);
        }
        if let Some(error) = cause.downcast_ref::<hyper::Error>()
            && let Some(code) = hyper_code(error)
        {
            return code;
        }
    }
    otherwise
}

fn hyper_code(error: &hyper::Error) -> Option<ErrorCode> {
    if error.is_parse_too_large() {
        Some(ErrorCode::HttpResponseHeaderSectionSize(None))
    } else if error.is_parse() || error.is_parse_status() {
        Some(ErrorCode::HttpProtocolError)
    } else if error.is_incomplete_message() {
        Some(ErrorCode::HttpResponseIncomplete)
    } else if error.is_timeout() {
        Some(ErrorCode::ConnectionReadTimeout)
    } else if error.is_closed() || error.is_canceled() || error.is_body_write_aborted() {
        Some(ErrorCode::ConnectionTerminated)
    } else {
        None
    }
}

fn io_code(error: &io::Error) -> ErrorCode {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ErrorCode::HttpResponseIncomplete,
        io::ErrorKind::TimedOut => ErrorCode::ConnectionTimeout,
        io::ErrorKind::ConnectionRefused => ErrorCode::ConnectionRefused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            ErrorCode::DestinationIpUnroutable
        }
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::NetworkDown => {
            ErrorCode::DestinationUnavailable
        }
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => ErrorCode::HttpProtocolError,
        _ => ErrorCode::ConnectionTerminated,
    }
}

fn tls_code(error: &rustls::Error) -> ErrorCode {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            ErrorCode::TlsCertificateError
        }
        rustls::Error::AlertReceived(alert) => {
            ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload {
                alert_id: Some(u8::from(*alert)),
                alert_message: alert.as_str().map(str::to_owned),
            })
        }
        _ => ErrorCode::TlsProtocolError,
    }
}

/// The code of an error of connecting.
pub(super) fn connect_code(error: &io::Error) -> ErrorCode {
    match causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        Some(error) => tls_code(error),
        None => io_code(error),
    }
}

/// The code of a name that was not found.
pub(super) fn dns_code() -> ErrorCode {
    ErrorCode::DnsError(DnsErrorPayload {
        rcode: Some("address not available".to_owned()),
        info_code: None,
    })
}
