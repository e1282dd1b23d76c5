//! The canonical ABI once more: slow, plain, and written from the specification's text alone
//! (`CanonicalABI.md` of the component model), to compare the compiler and the loader with.
//!
//! ```text
//! types (Type, Value) -> layout (alignment, size, flat form)
//!                        lift   guest's memory and flat values -> Value
//!                        lower  Value -> guest's memory and flat values, strings
//!                        guest  a memory, and a `realloc` that follows a script; its handles
//! ```
//!
//! **Invariant:** nothing here calls what it is compared with; of `cwasm` it has the names of the
//! traps alone.
//!
//! Two things go beyond the specification, so that what it leaves open is not taken for a mistake:
//!
//! - A memory knows of each byte whether its content follows from the specification. Padding does
//!   not, nor does what a `realloc` gives away twice: there the order of writes would decide.
//! - An adapter between two components may lower one part of a value before it lifts the next. So
//!   lifting does not stop at what is wrong, but leaves [`Value::Bad`] in its place, at which
//!   lowering traps.

mod guest;
mod handles;
mod layout;
mod lift;
mod lower;
mod strings;
mod types;

pub use guest::{Action, Behaviour, Guest, PAGE, State, Step};
pub use handles::{Handle, HandleStep, Handles};
pub use layout::{Core, MAX_FLAT_PARAMS, MAX_FLAT_RESULTS, alignment, flat_count, flatten, size};
pub use lift::Lift;
pub use lower::{Flat, Lower, Meaning, Place, Site};
pub use types::{Encoding, Shape, Source, Text, Type, Value, Width};
