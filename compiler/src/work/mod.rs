//! The work list: every function of the text, compiled in parallel.
//!
//! Core functions, trampolines, thunks and the functions that run at instantiation are entries of
//! one list; an entry's place is its [`FuncId`](crate::ir::symbol::FuncId) and its place in the
//! text. Each thread takes the largest remaining entry. Results are put in the list's order, so the
//! output does not depend on threads.

mod barriers;
mod build;
mod clif;
mod compile;
mod cost;
mod extend;
mod init;
mod inline;
mod leaves;
mod list;
mod loops;
mod machine;
pub(crate) mod origins;
mod peephole;
#[cfg(test)]
mod tests;
mod timing;

pub(crate) use build::{Job, size_hint};
pub(crate) use clif::clif;
pub(crate) use compile::{CatchCall, Compiled, CompiledFunction, compile};
pub(crate) use list::{Entry, WorkList};
