//! Core modules on their own: the suites of WebAssembly, and what they leave open.

#[path = "../common/mod.rs"]
mod common;

mod bounds;
mod core_suite;
mod exceptions;
mod folding;
mod threads;
mod vectors;
