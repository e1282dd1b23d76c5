//! Components, from end to end: compiled, mapped, linked and called. Each file has one subject.
//! They are one binary, so that compiler and loader are linked once.

#[path = "../common/mod.rs"]
mod common;

mod adapters;
mod after_failure;
mod cases;
mod component_calls;
mod coredumps;
mod dylink;
mod errors;
mod exports;
mod grown;
mod handle_matrix;
mod host_resources;
mod labels;
mod large;
mod layouts;
mod limits;
mod linker;
mod metrics;
mod mismatch;
mod modules;
mod pass_through;
mod preview1;
mod recycled;
mod reentrance;
mod reference;
mod reflection;
mod resources;
mod shared_everything;
mod trap_matrix;
mod trap_matrix64;
mod trap_matrix_calls;
mod typed;
