//! What Rust types that are handles have in common.

use crate::error::Result;
use crate::values::handles::HandleType;
use crate::values::{LiftContext, LowerContext};

/// A Rust type that is a handle.
pub trait Handle: Sized {
    /// What the handle must be.
    fn handle() -> HandleType;

    /// The handle that a guest is given.
    ///
    /// # Errors
    /// If there is no resource to give.
    fn lower(&self, cx: &mut LowerContext<'_>) -> Result<u32>;

    /// What a guest's handle stands for.
    ///
    /// # Errors
    /// The traps of the specification.
    fn lift(cx: &mut LiftContext<'_>, handle: u32) -> Result<Self>;
}
