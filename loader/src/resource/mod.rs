//! Resources: those that the host defines for guests, and those of guests that it holds.
//!
//! ```text
//! guest's handle table  <-- lower, lift -->  Resource<T>   host-defined: its representation
//!                                            ResourceAny   any: an entry of the store's own table
//! ```
//!
//! A function's type says by its hash where handles are. Of which resource each is, is compared
//! once, when the function is looked up or linked; a call finds it by the handle's place in the
//! type.

pub(crate) mod any;
mod handle;
pub(crate) mod ownership;
pub(crate) mod typed;
mod values;

pub use any::ResourceAny;
pub use ownership::{Borrow, Own};
pub use typed::Resource;
