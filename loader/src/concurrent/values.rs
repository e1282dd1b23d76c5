//! Values that pass between tasks and their callers.

use cwasm_format::TrapCode;
use cwasm_format::abi::{MAX_FLAT_ASYNC_PARAMS, MAX_FLAT_PARAMS, MAX_FLAT_RESULTS};
use cwasm_format::types::{FuncType, Types};

use super::calls::progress;
use super::{Run, host};
use crate::dynamic;
use crate::error::{Error, Result};
use crate::val::Val;
use crate::values::{LiftContext, LowerContext};
use crate::vm::tasks::slab::Id;
use crate::vm::tasks::{Caller, SubtaskState, TaskState};

/// The type of a function of a component instance.
fn func_type<'a>(run: Run, instance: Id, index: u32) -> Result<(&'a Types, &'a FuncType)> {
    let description = run.description(instance)?;
    match description.funcs.get(index as usize) {
        Some(func) => Ok((&description.types, func)),
        None => Err(Error::new(cwasm_format::FormatError::Describe)),
    }
}

/// Takes the parameters from a task's caller, and lowers them: how many arguments they are.
pub(super) fn lower_params(run: Run, id: Id, args: &mut [u64; 17]) -> Result<usize> {
    let task = &run.tasks().tasks[id];
    let options = task.options;
    let caller = match &task.caller {
        Caller::Guest(subtask) => Ok(*subtask),
        Caller::Host(call) => Err(Some(call.raw)),
        Caller::Nobody => Err(None),
    };
    let store = run.store();
    let (lent, borrowed) = (
        store.resources.begin_guest_call(),
        store.resources.begin_host_call(),
    );
    let result = match caller {
        Ok(subtask) => {
            progress(run, subtask, SubtaskState::Started);
            lift_params(run, subtask).and_then(|params| {
                let task = &run.tasks().tasks[id];
                let (types, func) = func_type(run, task.instance, task.record().func_type)?;
                // SAFETY: an instance of the store, whose code does not run.
                let mut cx = unsafe { LowerContext::new(run.store(), &options) };
                cx.borrow_for(id.0);
                let count = dynamic::lower_params(types, func, &params, &mut cx, args)?;
                run.tasks().tasks[id].borrows += cx.borrows();
                Ok(count)
            })
        }
        Err(Some(call)) => {
            // SAFETY: as above.
            let mut cx = unsafe { LowerContext::new(run.store(), &options) };
            cx.borrow_for(id.0);
            let count = host::lower(call, &mut cx, args);
            run.tasks().tasks[id].borrows += cx.borrows();
            count
        }
        Err(None) => Err(Error::msg("the caller of a task is gone")),
    };
    let store = run.store();
    store.resources.end_guest_call(lent);
    store.resources.end_host_call(borrowed);
    result
}

/// Lifts the parameters of a guest's call.
fn lift_params(run: Run, subtask: Id) -> Result<Vec<Val>> {
    let found = &run.tasks().subtasks[subtask];
    let (instance, options, args) = (found.instance, found.options, found.args);
    // SAFETY: a record of the artifact of the calling code.
    let op = unsafe { found.op.as_ref() };
    let (types, func) = func_type(run, instance, op.ty)?;
    let max = match op.is_async {
        0 => MAX_FLAT_PARAMS,
        _ => MAX_FLAT_ASYNC_PARAMS,
    };
    let mut loans = Vec::new();
    // SAFETY: an instance of the store, whose code does not run.
    let mut cx = unsafe { LiftContext::with_handles(&options, run.store(), 0) };
    cx.keep_loans(&mut loans);
    let vals = dynamic::lift_params(types, func, &mut cx, &args, max);
    run.tasks().subtasks[subtask].lenders = loans;
    vals
}

/// How many flat results the function of a task has, that are returned by its code.
pub(super) fn flat_result_count(run: Run, id: Id) -> Result<usize> {
    let task = &run.tasks().tasks[id];
    let (types, func) = func_type(run, task.instance, task.record().func_type)?;
    Ok(types.result_flat(func).count().min(MAX_FLAT_RESULTS))
}

/// A task returns these flat values, or a pointer if they would be more than `max`.
pub(super) fn return_flat(run: Run, id: Id, flat: &[u64], max: usize) -> Result<()> {
    let task = &mut run.tasks().tasks[id];
    if task.state == TaskState::Resolved {
        return Err(Error::trapped(TrapCode::TaskResolved));
    }
    if task.borrows != 0 {
        return Err(Error::trapped(TrapCode::BorrowsRemain));
    }
    let caller = std::mem::replace(&mut task.caller, Caller::Nobody);
    let returned = return_to(run, id, &caller, flat, max);
    let task = &mut run.tasks().tasks[id];
    match returned {
        Ok(()) => task.state = TaskState::Resolved,
        Err(_) => task.caller = caller,
    }
    returned
}

fn return_to(run: Run, id: Id, caller: &Caller, flat: &[u64], max: usize) -> Result<()> {
    let task = &run.tasks().tasks[id];
    let (instance, options) = (task.instance, task.options);
    let (types, func) = func_type(run, instance, task.record().func_type)?;
    match caller {
        Caller::Guest(subtask) => {
            // SAFETY: an instance of the store, whose code does not run.
            let mut cx = unsafe { LiftContext::with_handles(&options, run.store(), 0) };
            let result = func
                .result
                .map(|ty| dynamic::lift_result(types, ty, &mut cx, flat, max));
            let result = result.transpose()?;
            lower_result(run, *subtask, result)?;
            progress(run, *subtask, SubtaskState::Returned);
        }
        Caller::Host(call) => {
            let handles = values_before_result(types, func);
            // SAFETY: as above.
            let mut cx = unsafe { LiftContext::with_handles(&options, run.store(), handles) };
            host::lift(call.raw, &mut cx, flat, max)?;
        }
        Caller::Nobody => {}
    }
    Ok(())
}

/// How many handles of resources are in the parameters.
fn values_before_result(types: &Types, func: &FuncType) -> usize {
    let params = FuncType {
        result: None,
        ..func.clone()
    };
    types
        .handles(&params, usize::MAX)
        .map_or(0, |handles| handles.len())
}

/// Lowers the result of a guest's call.
fn lower_result(run: Run, subtask: Id, result: Option<Val>) -> Result<()> {
    let Some(result) = result else { return Ok(()) };
    let found = &run.tasks().subtasks[subtask];
    let (instance, options, args) = (found.instance, found.options, found.args);
    // SAFETY: a record of the artifact of the calling code.
    let op = unsafe { found.op.as_ref() };
    let (types, func) = func_type(run, instance, op.ty)?;
    let Some(ty) = func.result else { return Ok(()) };
    // SAFETY: an instance of the store, whose code does not run.
    let mut cx = unsafe { LowerContext::new(run.store(), &options) };
    // The last argument says where it goes.
    let pointer = args[(op.count as usize).saturating_sub(1).min(16)];
    let place = (op.is_async == 0, pointer);
    let value = dynamic::lower_result(types, ty, &mut cx, &result, place)?;
    run.tasks().subtasks[subtask].result = value;
    Ok(())
}
