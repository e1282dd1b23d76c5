//! The built-in functions of error contexts.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use cwasm_format::abi::Layout;
use cwasm_format::concurrent::OpRecord;
use cwasm_format::vmctx::VmHandle;

use super::{Run, calls};
use crate::error::{Error, Result};
use crate::values::{LiftContext, Lower, LowerContext, lift_short_string};
use crate::vm::error_context::ErrorContext;
use crate::vm::handles;
use crate::vm::tasks::slab::Id;

/// `error-context.new`: the handle.
pub(super) fn new(run: Run, instance: Id, record: &OpRecord, args: &[u64]) -> Result<u64> {
    let used = Arc::clone(&run.tasks().message_bytes);
    let limit = run.store().limits().get_error_context_size();
    let options = run.options(instance, &record.options);
    // SAFETY: an instance of the store, whose code does not run.
    let cx = unsafe { LiftContext::new(&options, run.store()) };
    let pair = (options.pointer(args[0]), options.pointer(args[1]));
    let message = lift_short_string(&cx, pair, limit.saturating_sub(used.load(Relaxed)))?;
    let made = ErrorContext::of_guest(message.unwrap_or_default(), &used);
    let id = run.tasks().error_contexts.add(made);
    calls::add_handle(run, instance, VmHandle::ERROR_CONTEXT, id).map(u64::from)
}

/// `error-context.debug-message`: writes the place of the message, for which `realloc` makes room,
/// to where a pointer says.
pub(super) fn debug_message(
    run: Run,
    instance: Id,
    record: &OpRecord,
    args: &[u64],
) -> Result<u64> {
    let id = of(run, instance, args[0] as u32)?;
    let found = run.tasks().error_contexts[id].clone();
    let options = run.options(instance, &record.options);
    // SAFETY: an instance of the store, whose code does not run.
    let mut cx = unsafe { LowerContext::new(run.store(), &options) };
    let extent = Layout::POINTER_PAIR.at(options.width());
    let offset = cx.out_extent(args[1], extent)?;
    found.debug_message().store(&mut cx, offset)?;
    Ok(0)
}

/// `error-context.drop`.
pub(super) fn drop(run: Run, instance: Id, handle: u32) -> Result<u64> {
    let id = of(run, instance, handle)?;
    handles::remove_number(run.handles(instance), handle);
    run.tasks().error_contexts.remove(id);
    Ok(0)
}

fn of(run: Run, instance: Id, handle: u32) -> Result<Id> {
    let number = handles::number(run.handles(instance), handle, VmHandle::ERROR_CONTEXT);
    number.map(Id).map_err(Error::trapped)
}
