//! What the components share.

mod copy;
mod request;

pub use copy::{Copy, Failed, Progress, advance_all, copy, read, write};
pub use request::{Sent, name_of, response, send};
