//! Values that pass between tasks and their callers.

use cwasm_format::TrapCode;
use cwasm_format::abi::{Extent, MAX_FLAT_ASYNC_PARAMS, MAX_FLAT_PARAMS, MAX_FLAT_RESULTS};
use cwasm_format::concurrent::{OpRecord, PLAIN};
use cwasm_format::types::{FuncType, Types};

use super::calls::progress;
use super::{Run, host};
use crate::dynamic::{Copier, Side};
use crate::error::{Error, Result};
use crate::values::{LiftContext, LowerContext};
use crate::vm::canon::CanonOptions;
use crate::vm::tasks::slab::Id;
use crate::vm::tasks::{Args, Caller, Subtask, SubtaskState, TaskState};

/// The type of a function of a component instance.
fn func_type<'a>(run: Run, instance: Id, index: u32) -> Result<(&'a Types, &'a FuncType)> {
    let description = run.description(instance);
    match description.funcs.get(index as usize) {
        Some(func) => Ok((&description.types, func)),
        None => Err(Error::new(cwasm_format::FormatError::Describe)),
    }
}

/// Takes the parameters from a task's caller, and lowers them: how many arguments they are.
pub(super) fn lower_params(run: Run, id: Id, args: &mut [u64; 17]) -> Result<usize> {
    let caller = match &run.tasks().tasks[id].caller {
        Caller::Guest(subtask) => Ok(*subtask),
        Caller::Host(call) => Err(Some(call.raw)),
        Caller::Nobody => Err(None),
    };
    if let Ok(subtask) = caller
        && let Some(count) = pass_params(run, subtask, args)
    {
        progress(run, subtask, SubtaskState::Started);
        return Ok(count);
    }
    let store = run.store();
    let (lent, borrowed) = (
        store.resources.begin_guest_call(),
        store.resources.begin_host_call(),
    );
    let result = match caller {
        Ok(subtask) => {
            progress(run, subtask, SubtaskState::Started);
            copy_params(run, id, subtask, args)
        }
        Err(Some(call)) => {
            let options = run.task_options(id);
            // SAFETY: an instance of the store, whose code does not run.
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

/// Passes parameters that need neither checks nor copies, if a call's are such: how many they are.
fn pass_params(run: Run, subtask: Id, args: &mut [u64; 17]) -> Option<usize> {
    let found = &run.tasks().subtasks[subtask];
    let (op, size) = plain(found)?;
    // The place of the result comes after the parameters.
    let count = op.count as usize - usize::from(size != 0 && op.is_async != 0);
    let given = found.args.values().get(..count)?;
    args.get_mut(..count)?.copy_from_slice(given);
    Some(count)
}

/// Passes a result that needs no checks, if a call's is such: whether it is.
fn pass_result(run: Run, subtask: Id, flat: &[u64]) -> Result<bool> {
    let found = &run.tasks().subtasks[subtask];
    let (Some((op, size)), instance) = (plain(found), found.instance) else {
        return Ok(false);
    };
    let value = flat.first().copied().unwrap_or(0);
    if size == 0 || op.is_async == 0 {
        run.tasks().subtasks[subtask].result = value;
        return Ok(true);
    }
    let pointer = found.args.values().get(op.count as usize - 1);
    let options = run.options(instance, &op.options);
    // SAFETY: an instance of the store, whose code does not run.
    let mut cx = unsafe { LowerContext::new(run.store(), &options) };
    let extent = Extent { size, align: size };
    let offset = cx.out_extent(pointer.copied().unwrap_or(0), extent)?;
    cx.write(offset, &value.to_le_bytes()[..size as usize]);
    Ok(true)
}

/// The record of a call whose parameters and result are numbers that pass as they are, and the
/// bytes of the result.
fn plain<'t>(subtask: &Subtask) -> Option<(&'t OpRecord, u32)> {
    // SAFETY: a record of the artifact of the calling code, which lives as long as the store.
    let op: &OpRecord = unsafe { subtask.op.as_ref() };
    (op.align & PLAIN != 0).then_some((op, op.align & !PLAIN))
}

/// Copies the parameters of a guest's call.
fn copy_params(run: Run, id: Id, subtask: Id, args: &mut [u64; 17]) -> Result<usize> {
    let given = given(run, subtask);
    let (caller, from) = caller_of(run, &given)?;
    let (callee, to) = callee_of(run, id)?;
    // SAFETY: instances of the store, whose code does not run.
    let mut copier = unsafe { Copier::new(run.store(), caller, callee) };
    copier.borrow_for(id.0);
    let count = copier.params((from, to), (given.args(), given.max_flat()), args);
    let (loans, borrows) = copier.handles();
    run.tasks().subtasks[subtask].lenders = loans.into();
    run.tasks().tasks[id].borrows += borrows;
    count
}

/// What a guest has given to a call.
pub(super) struct Given<'t> {
    args: Args,
    pub(super) options: CanonOptions,
    instance: Id,
    op: &'t OpRecord,
}

impl Given<'_> {
    /// The most parameters that are flat.
    pub(super) fn max_flat(&self) -> usize {
        match self.op.is_async {
            0 => MAX_FLAT_PARAMS,
            _ => MAX_FLAT_ASYNC_PARAMS,
        }
    }

    /// Whether the result may be flat, and where it goes else: the last argument.
    pub(super) fn result_place(&self) -> (bool, u64) {
        let last = (self.op.count as usize).saturating_sub(1);
        let pointer = self.args().get(last).copied().unwrap_or(0);
        (self.op.is_async == 0, pointer)
    }

    pub(super) fn args(&self) -> &[u64] {
        self.args.values()
    }
}

pub(super) fn given<'t>(run: Run, subtask: Id) -> Given<'t> {
    let found = &run.tasks().subtasks[subtask];
    // SAFETY: a record of the artifact of the calling code, which lives as long as the store.
    let op = unsafe { found.op.as_ref() };
    Given {
        args: found.args.clone(),
        options: run.options(found.instance, &op.options),
        instance: found.instance,
        op,
    }
}

/// A function as its caller sees it.
fn caller_of<'t>(run: Run, given: &Given<'_>) -> Result<(Side<'t>, &'t FuncType)> {
    let (types, func) = func_type(run, given.instance, given.op.ty)?;
    let options = given.options;
    Ok((Side { types, options }, func))
}

/// A task's function.
fn callee_of<'t>(run: Run, id: Id) -> Result<(Side<'t>, &'t FuncType)> {
    let task = &run.tasks().tasks[id];
    let (types, func) = func_type(run, task.instance, task.record().func_type)?;
    let options = run.task_options(id);
    Ok((Side { types, options }, func))
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
    match caller {
        Caller::Guest(subtask) => {
            if !pass_result(run, *subtask, flat)? {
                copy_result(run, id, *subtask, (flat, max))?;
            }
            progress(run, *subtask, SubtaskState::Returned);
        }
        Caller::Host(call) => {
            let (side, func) = callee_of(run, id)?;
            let handles = values_before_result(side.types, func);
            // SAFETY: an instance of the store, whose code does not run.
            let mut cx = unsafe { LiftContext::with_handles(&side.options, run.store(), handles) };
            host::lift(call.raw, &mut cx, flat, max)?;
        }
        Caller::Nobody => {}
    }
    Ok(())
}

/// Copies the result of a guest's call.
fn copy_result(run: Run, id: Id, subtask: Id, flat: (&[u64], usize)) -> Result<()> {
    let given = given(run, subtask);
    let (caller, to) = caller_of(run, &given)?;
    let (callee, from) = callee_of(run, id)?;
    let (Some(from), Some(to)) = (from.result, to.result) else {
        return Ok(());
    };
    // SAFETY: instances of the store, whose code does not run.
    let mut copier = unsafe { Copier::new(run.store(), callee, caller) };
    let value = copier.result((from, to), flat, given.result_place())?;
    run.tasks().subtasks[subtask].result = value;
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
