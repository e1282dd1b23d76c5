//! The trait of the Rust types that are handles.

use crate::error::Result;
use crate::values::handles::HandleType;
use crate::values::{LiftContext, LowerContext};

/// A Rust type that is a handle.
pub trait Handle: Sized {
    /// The handles that the type stands for.
    fn handle() -> HandleType;

    /// The handle that a guest is given.
    ///
    /// # Errors
    /// If there is no resource to give.
    fn lower(&self, cx: &mut LowerContext<'_>) -> Result<u32>;

    /// The resource of a guest's handle.
    ///
    /// # Errors
    /// The traps of the specification.
    fn lift(cx: &mut LiftContext<'_>, handle: u32) -> Result<Self>;
}
