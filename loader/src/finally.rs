//! Clean-up after the code of a host, whether it returns or panics.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs `body`, and then `after`, even if `body` panics; the panic continues after it.
#[inline(always)]
pub(crate) fn finally<S: ?Sized, R>(
    state: &mut S,
    body: impl FnOnce(&mut S) -> R,
    after: impl FnOnce(&mut S),
) -> R {
    let result = catch_unwind(AssertUnwindSafe(|| body(state)));
    after(state);
    result.unwrap_or_else(|payload| resume_unwind(payload))
}
