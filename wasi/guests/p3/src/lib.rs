//! What the components share.

mod addresses;
mod files;
mod http;
mod text;

pub use addresses::{LOCALHOST, connect, socket_address, text_of};
pub use files::open;
pub use http::{fields, no_trailers, received, text};
pub use text::{complain, print};
