//! HTTP (`wasi:http`): requests that guests make, and requests that they answer.
//!
//! ```text
//! guest -> OutgoingBody -> pipe -> SentBody -> connection (a task of the runtime)
//! guest <- IncomingBody <- receiver <- body of the library <- connection
//! ```
//!
//! Guests block their threads, connections are driven by threads of the runtime. Between them are
//! buffers with a limit each. A guest that waits does so as for anything else, in one `ppoll`; what
//! the runtime does for it wakes the guest by an event descriptor.

mod bindings;
mod client;
mod error;
mod fields;
mod handler;
mod incoming;
mod incoming_body;
mod message;
mod options;
mod outgoing;
mod outgoing_body;
mod state;
#[cfg(test)]
mod tests;

use cwasm::{Linker, Resource, Result};

use crate::ctx::WasiCtx;
use crate::io::IoError;

pub use bindings::Proxy;
pub use bindings::wasi::http::types::{ErrorCode, HeaderError};
pub use client::HttpClient;
pub use error::{BodyError, HttpError};
pub use fields::{Fields, FieldsError};
pub use handler::FutureIncomingResponse;
pub use incoming::{IncomingRequest, IncomingResponse};
pub use incoming_body::{FutureTrailers, IncomingBody};
pub use options::RequestOptions;
pub use outgoing::{
    OutgoingRequest, OutgoingResponse, Response, ResponseOutparam, ResponseReceiver,
};
pub use outgoing_body::{OutgoingBody, SentBody};
pub(crate) use state::HttpState;

#[cfg(feature = "p3")]
pub(crate) use {
    bindings::wasi::http::types as types_of_0_2,
    client::Received,
    error::code_in,
    fields::size_of,
    handler::Destination,
    incoming_body::AnyBody,
    message::{is_authority, is_path, is_scheme, method_of},
    outgoing_body::{Message, Pipe, declared_size},
};

use bindings::wasi::http::{outgoing_handler, types};

/// Defines `wasi:http`, but for `wasi:http/incoming-handler`, which components export; `get` finds
/// the state in the store's data. Guests need `wasi:io` beside it.
///
/// # Errors
/// If it is defined already.
pub fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    get: fn(&mut T) -> &mut WasiCtx,
) -> Result<()> {
    types::add_to_linker(linker, get)?;
    outgoing_handler::add_to_linker(linker, get)
}

impl types::Host for WasiCtx {
    fn convert_error_code(&mut self, error: HttpError) -> Result<ErrorCode> {
        error.code()
    }

    fn convert_header_error(&mut self, error: FieldsError) -> Result<HeaderError> {
        match error {
            FieldsError::Kind(kind) => Ok(kind),
            FieldsError::TooLarge(error) | FieldsError::Trap(error) => Err(error),
        }
    }

    fn http_error_code(&mut self, error: Resource<IoError>) -> Result<Option<ErrorCode>> {
        Ok(error::code_in(&self.table.get(&error)?.0))
    }
}
