//! Labels of values whose places debuggers want to know: the locals of a function by their index,
//! and its context.

/// The label of the context. No function has as many locals.
pub(crate) const CONTEXT: u32 = 1 << 20;
