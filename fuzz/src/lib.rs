//! Differential fuzzing: random modules through cwasm and through something else that must do the
//! same.
//!
//! ```text
//! seed -> Case -> Program --------> Log --compare--> Report or Finding
//!         bytes   module, imports,  one for each
//!                 calls             side
//! ```
//!
//! [`Lab::check`] runs one case; [`campaign`] runs many in processes that may crash.

pub mod campaign;

mod accesses;
mod dwarf;
mod exceptions;
mod host;
mod interpreter;
mod ours;
mod program;
mod reduce;
mod rng;
mod run;
mod shape;
mod smith;
mod targets;
mod value;

pub use program::Case;
pub use targets::{Finding, Lab, Report, Target};
