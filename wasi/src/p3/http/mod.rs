//! HTTP (`wasi:http`): requests that guests make, and requests that they answer.
//!
//! ```text
//! guest -> stream -> pipe -> SentBody -> connection (a task of the runtime)     (sent)
//! guest <- stream <- body of the library <- connection                          (received)
//! ```
//!
//! Types of fields, errors and the client are those of 0.2. A body that passes through a guest
//! untouched is not copied.

pub(crate) mod bindings;
mod body;
mod client;
mod fields;
mod message;
mod options;
mod service;

use cwasm::{Linker, Result};

use self::bindings::wasi::http::{client as client_interface, handler, types};
use crate::ctx::WasiCtx;

pub use bindings::Service;
pub use message::{Request, Response};
pub use options::RequestOptions;

/// Defines `wasi:http`: types, `client`, and the `handler` that middleware passes requests on to,
/// which sends them as `client` does; `get` finds the state in the store's data.
///
/// # Errors
/// If it is defined already.
pub fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    get: fn(&mut T) -> &mut WasiCtx,
) -> Result<()> {
    types::add_to_linker(linker, get)?;
    client_interface::add_to_linker(linker, get)?;
    handler::add_to_linker(linker, get)
}
