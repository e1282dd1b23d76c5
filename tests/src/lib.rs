//! Code that the suites that cross crates share: above all the runner of `.wast` files.
//!
//! ```text
//! file -> wast (parse) -> script (one directive after the other) -> Report
//!                         | artifact: compile, write, map
//!                         | core_script: core modules on their own
//!                         | closed_script, wrap: core modules linked by a component
//!                         | spectest, host: what scripts may import
//!                         | values, messages: what they expect
//! ```
//!
//! **Invariant:** every module and component of a script takes the real path: it is compiled to an
//! artifact, written to a file, mapped, instantiated and called.
//!
//! [`hostile`] compares calls of guests that do what they can with the [`mod@reference`], the
//! canonical ABI written for that alone. [`async_model`] compares random programs of components
//! that wait with a model. [`wasi`] runs programs.

pub mod artifact;
pub mod async_components;
pub mod async_model;
mod closed_script;
mod core_script;
mod host;
pub mod hostile;
pub mod messages;
pub mod parallel;
pub mod random;
pub mod reference;
pub mod report;
mod script;
pub mod skips;
mod spectest;
pub mod suite;
mod tally;
mod values;
mod walk;
pub mod wasi;
mod wrap;

pub use report::Report;
pub use script::run;
pub use skips::Skips;

/// The guides: their blocks are tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/async.md")]
struct Async;
#[cfg(doctest)]
#[doc = include_str!("../../docs/embedding.md")]
struct Embedding;
#[cfg(doctest)]
#[doc = include_str!("../../docs/wasi.md")]
struct Wasi;
