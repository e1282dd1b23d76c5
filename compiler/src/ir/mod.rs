//! The basis of all generated code: symbols, signatures, trap codes, checks, calls that exceptions
//! do not cross, flags, and what debuggers must know of values and frames.

pub(crate) mod boundary;
pub(crate) mod check;
pub(crate) mod flags;
pub(crate) mod function;
pub(crate) mod label;
pub(crate) mod reference;
pub(crate) mod saved;
pub(crate) mod symbol;
pub(crate) mod trap;
pub(crate) mod try_call;
pub(crate) mod types;
