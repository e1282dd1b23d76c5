//! Debug information: from the DWARF that a core module brings to what artifacts have of it.
//!
//! ```text
//! custom sections -> dwarf -> rows, scopes -> source -> lines    positions for backtraces
//! ```
//!
//! All of it is what a guest says: what is not well-formed, or would take more than its size
//! explains (`budget`), is left out, and compilation goes on.

mod budget;
pub(crate) mod demangle;
mod dwarf;
pub(crate) mod lines;
mod rows;
mod scopes;
mod source;
mod texts;
