//! What the components share.

mod copy;
mod request;
mod text;

pub use copy::{Copy, Failed, Progress, advance_all, copy, read, write};
pub use request::{Sent, name_of, response, send};
pub use text::{note, print};
