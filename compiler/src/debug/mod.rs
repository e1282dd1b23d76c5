//! Debug information: from the DWARF that a core module brings to what artifacts have of it.
//!
//! ```text
//! custom sections -> dwarf -> rows, scopes -> source -> lines     positions for backtraces
//!                          \-----------------------> native    DWARF of the machine code
//! ```
//!
//! All of it is what a guest says: what is not well-formed, or would take more than its size
//! explains (`budget`), is left out, and compilation goes on.

mod budget;
pub(crate) mod demangle;
mod dwarf;
pub(crate) mod lines;
pub(crate) mod modules;
pub(crate) mod native;
mod rows;
mod scopes;
mod source;
#[cfg(test)]
mod tests;
mod texts;
