//! The part of instantiation that is code of the artifact.
#![allow(unsafe_code, reason = "enters machine code")]

use super::call::Ready;
use super::caller::Caller;
use super::instance::InstanceData;
use super::store_context::StoreContextMut;
use crate::artifact::Code;
use crate::artifact::plan::InstancePlan;
use crate::error::Result;

/// Runs the rest of instantiation.
///
/// # Errors
/// The guest's trap.
///
/// # Safety
/// - `data` is an instance of the store, made by `plan`, all of whose imports and references are
///   in place.
pub(crate) unsafe fn initialize<T: 'static>(
    context: &mut StoreContextMut<'_, T>,
    data: &InstanceData,
    plan: &InstancePlan,
    caller: Caller,
) -> Result<()> {
    match plan.init {
        // SAFETY: a thunk without arguments, which can run (the caller's contract).
        Some(init) => unsafe { run(context, data, init, caller) },
        None => Ok(()),
    }
}

/// Runs a part of instantiation. A frame of its own, for the case that it is on a fiber.
///
/// # Errors
/// The guest's trap.
///
/// # Safety
/// - `init` is a thunk without arguments of the instance `data` of the store, and what it needs is
///   in place.
#[inline(never)]
pub(crate) unsafe fn run<T: 'static>(
    context: &mut StoreContextMut<'_, T>,
    data: &InstanceData,
    init: Code,
    caller: Caller,
) -> Result<()> {
    let ready = Ready::of(context.opaque(), caller)?;
    // SAFETY: a thunk without arguments, of this instance, which can run (the caller's contract).
    unsafe { ready.call(init, data.context(), &[]) }.map(drop)
}
