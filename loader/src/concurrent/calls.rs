//! Tasks and subtasks: how they begin, wait, go on and end (`canon_lift`, `canon_lower`, `Task` and
//! `Subtask` of the specification).

use std::panic::resume_unwind;
use std::ptr::NonNull;
use std::task::{Context, Waker};

use cwasm_format::TrapCode;
use cwasm_format::concurrent::{OpRecord, TaskRecord};
use cwasm_format::header::NONE;
use cwasm_format::vmctx::{VmContext, VmHandle};

use super::{Run, values};
use crate::artifact::Code;
use crate::error::{Error, Result};
use crate::vm::call::Ready;
use crate::vm::caller::{self, SUSPENDABLE, apart};
use crate::vm::enter::Entered;
use crate::vm::fiber::Fiber;
use crate::vm::handles;
use crate::vm::suspend::Resume;
use crate::vm::tasks::slab::Id;
use crate::vm::tasks::waitables::{Event, WaitableRef, event};
use crate::vm::tasks::{Args, Caller, Subtask, SubtaskState, Task, TaskState, Wait};

/// What a callback returns: that the task is over.
const EXIT: u32 = 0;
/// That it wants another turn.
const YIELD: u32 = 1;
/// That it waits for an event of the set whose handle is above.
const WAIT: u32 = 2;
const CODE_BITS: u32 = 4;

/// A guest calls a function of another component instance: the flat result, or the subtask's state
/// and handle.
pub(super) fn call(run: Run, caller: Id, op: NonNull<OpRecord>, args: &[u64]) -> Result<u64> {
    let subtask = apart(|| begin_subtask(run, caller, op, args))?;
    // SAFETY: a record of the artifact of the calling code.
    let record = unsafe { op.as_ref() };
    let context = run.instance(caller).context;
    let (task, may_wait) = apart(|| new_task(run, context, record.target, Caller::Guest(subtask)))?;
    run.tasks().subtasks[subtask].task = Some(task);
    let instance = run.tasks().tasks[task].instance;
    start(run, task)?;
    if !may_wait {
        let state = |run: Run| run.tasks().subtasks[subtask].state;
        finish_synchronously(run, instance, &|| state(run).is_resolved())?;
    }
    end_of_call(run, subtask, record.is_async != 0)
}

/// The state of a call that has begun, or its result if the caller waits for it.
pub(super) fn end_of_call(run: Run, subtask: Id, is_async: bool) -> Result<u64> {
    let found = &mut run.tasks().subtasks[subtask];
    if found.state.is_resolved() {
        run.subtask_seen(subtask);
    } else if is_async {
        let handle = add_handle(run, found.instance, VmHandle::SUBTASK, subtask)?;
        let found = &mut run.tasks().subtasks[subtask];
        found.handle = handle;
        return Ok(u64::from(found.state as u32 | handle << CODE_BITS));
    } else {
        let waitable = WaitableRef::Subtask(subtask);
        while !run.tasks().subtasks[subtask].state.is_resolved() {
            run.tasks().clear_event(waitable);
            wait_for(run, waitable)?;
        }
        run.subtask_seen(subtask);
    }
    let removed = run.tasks().subtasks.remove(subtask);
    let result = removed.map_or(0, |subtask| subtask.result);
    Ok(match is_async {
        true => SubtaskState::Returned as u64,
        false => result,
    })
}

/// Adds a number to a handle table.
pub(super) fn add_handle(run: Run, instance: Id, kind: u32, id: Id) -> Result<u32> {
    let table = run.handles(instance);
    let room = run.store().handle_room();
    let handle = cwasm_format::resources::HandleUse(kind);
    handles::add(table, id.0, handle, room).map_err(Error::trapped)
}

pub(super) fn begin_subtask(
    run: Run,
    instance: Id,
    op: NonNull<OpRecord>,
    given: &[u64],
) -> Result<Id> {
    let subtask = Subtask::new(instance, op, Args::new(given));
    Ok(run.tasks().subtasks.add(subtask))
}

/// A task of a function of this artifact's instance that has not begun, and whether it may wait.
pub(super) fn new_task(
    run: Run,
    context: NonNull<VmContext>,
    index: u32,
    caller: Caller,
) -> Result<(Id, bool)> {
    // SAFETY: the context of an instance of the store.
    let data = unsafe { crate::vm::instance::InstanceData::of(context) };
    let Some(record) = data.unit().artifact().tasks().get(index as usize) else {
        return Err(Error::msg("a call of a task that is not there"));
    };
    let instance = run.enter_instance(context, record.instance)?;
    let task = Task::new(instance, NonNull::from(record), caller);
    let may_wait = record.may_wait != 0;
    let count = run.tasks().tasks.len() + 1;
    run.store().limits().check_tasks(count)?;
    Ok((run.tasks().tasks.add(task), may_wait))
}

/// Starts a task, as far as it gets.
pub(super) fn start(run: Run, id: Id) -> Result<()> {
    let instance = run.tasks().tasks[id].instance;
    while must_wait(run, id) {
        // What keeps it from beginning can perhaps go on.
        let Some(other) = run.tasks().next(Some(instance)) else {
            let tasks = run.tasks();
            tasks.wait_to_enter(id);
            // Perhaps it only waits for its turn.
            tasks.wake_instance(instance);
            return Ok(());
        };
        go_on(run, other)?;
    }
    begin(run, id)
}

/// Whether a task must not begin yet.
fn must_wait(run: Run, id: Id) -> bool {
    let tasks = run.tasks();
    let task = &tasks.tasks[id];
    let instance = &tasks.instances[task.instance.index()];
    task.record().may_wait != 0 && (tasks.has_backpressure(task) || !instance.entering.is_empty())
}

/// Lowers the parameters of a task, and calls its function.
fn begin(run: Run, id: Id) -> Result<()> {
    let mut args = [0; 17];
    let (code, count) = apart(|| {
        let task = &mut run.tasks().tasks[id];
        task.wait = Wait::Nothing;
        task.state = TaskState::Started;
        let (instance, needs_exclusive) = (task.instance, task.needs_exclusive());
        let code = code_at(run, instance, task.record().thunk);
        if needs_exclusive {
            run.instance(instance).exclusive = Some(id);
        }
        let count = values::lower_params(run, id, &mut args)?;
        Ok::<_, Error>((code, count))
    })?;
    run_code(run, id, code, &args[..count])
}

fn code_at(run: Run, instance: Id, offset: u32) -> Code {
    // SAFETY: the plan has checked the offsets of all tasks.
    unsafe { run.data(instance).text().at(offset) }
}

/// Runs code of a task, on a fiber if it may wait in the middle.
fn run_code(run: Run, id: Id, code: Code, args: &[u64]) -> Result<()> {
    let instance = run.tasks().tasks[id].instance;
    if run.record(instance).may_block == 0 && run.store().fibers.slice.is_none() {
        let value = with_task(run, id, || {
            enter(run, instance, code, args, caller::Caller::Host)
        })?;
        return end_of_code(run, id, value);
    }
    let mut owned = [0; 17];
    owned[..args.len()].copy_from_slice(args);
    let count = args.len();
    let fibers = run.tasks().fibers + 1;
    run.store().limits().check_async_stacks(fibers)?;
    let stack = run.store().take_stack()?;
    run.tasks().fibers = fibers;
    let call = move || enter(run, instance, code, &owned[..count], caller::Caller::Fiber);
    // SAFETY: the store resumes it until it is over, at the latest when it is dropped; the call
    // borrows nothing.
    let fiber = unsafe { Fiber::new(run.store, stack, call) };
    run.tasks().tasks[id].is_on_fiber = true;
    resume(run, id, Box::new(fiber))
}

/// Enters an instance.
fn enter(run: Run, instance: Id, code: Code, args: &[u64], caller: caller::Caller) -> Result<u64> {
    let context = run.instance(instance).context;
    let ready = apart(|| Ready::of(run.store(), caller))?;
    // SAFETY: an instance of this store, which is ours; references into it are made anew.
    let entered = unsafe { Entered::new(context) };
    // SAFETY: a thunk of the instance's artifact, with as many arguments as its function takes; no
    // reference into the store is held.
    let value = unsafe { ready.call(code, context, args) }?;
    entered.leave();
    Ok(value)
}

/// Runs a task's fiber until it waits or is over.
fn resume(run: Run, id: Id, mut fiber: Box<Fiber<Result<u64>>>) -> Result<()> {
    let mut idle = Context::from_waker(Waker::noop());
    let polled = run.tasks().polled;
    let context = polled.unwrap_or_else(|| NonNull::from(&mut idle).cast());
    let outcome = with_task(run, id, || fiber.resume(run.store, Resume::Poll(context)))?;
    match outcome {
        None => {
            run.tasks().tasks[id].fiber = Some(fiber);
            Ok(())
        }
        Some(outcome) => {
            run.store().keep_stack(fiber.into_stack());
            run.tasks().fibers -= 1;
            let value = outcome.unwrap_or_else(|payload| resume_unwind(payload))?;
            run.tasks().tasks[id].is_on_fiber = false;
            end_of_code(run, id, value)
        }
    }
}

/// Runs `body` with this task as the one that runs.
fn with_task<R>(run: Run, id: Id, body: impl FnOnce() -> Result<R>) -> Result<R> {
    let tasks = run.tasks();
    let instance = tasks.tasks[id].instance;
    let outer = tasks.current.replace(id);
    let own = tasks.tasks[id].storage;
    let before = std::mem::replace(&mut run.shared(instance).storage, own);
    let result = body();
    let own = std::mem::replace(&mut run.shared(instance).storage, before);
    let tasks = run.tasks();
    if let Some(task) = tasks.tasks.get_mut(id) {
        task.storage = own;
    }
    tasks.current = outer;
    result
}

/// The function or callback of a task has returned.
fn end_of_code(run: Run, id: Id, value: u64) -> Result<()> {
    let record: TaskRecord = *run.tasks().tasks[id].record();
    if record.is_async == 0 {
        apart(|| values::return_flat(run, id, &[value], 1))?;
        post_return(run, id, record.post_return, value)?;
        return exit(run, id);
    }
    if record.callback == NONE {
        return exit(run, id);
    }
    let mut value = value;
    while let Some(event) = apart(|| end_of_callback(run, id, value as u32))? {
        // It was cancelled meanwhile: it hears of it at once.
        let instance = run.tasks().tasks[id].instance;
        let code = code_at(run, instance, record.callback);
        let args = event.map(u64::from);
        if run.record(instance).may_block != 0 || run.store().fibers.slice.is_some() {
            return call_back(run, id, event);
        }
        value = with_task(run, id, || {
            enter(run, instance, code, &args, caller::Caller::Host)
        })?;
    }
    Ok(())
}

fn post_return(run: Run, id: Id, offset: u32, value: u64) -> Result<()> {
    if offset == NONE {
        return Ok(());
    }
    let task = &run.tasks().tasks[id];
    let (instance, options) = (task.instance, run.task_options(id));
    let code = code_at(run, instance, offset);
    let count = values::flat_result_count(run, id)?;
    // SAFETY: flags of an instance of the store, which is ours.
    let flags = unsafe { options.flags() };
    // SAFETY: as above.
    unsafe { options.set_flags(0) };
    let values = [value];
    let result = with_task(run, id, || {
        enter(run, instance, code, &values[..count], caller::Caller::Host)
    });
    result?;
    // SAFETY: as above.
    unsafe { options.set_flags(flags) };
    Ok(())
}

/// What a callback has returned: the task waits, is over, or must hear at once that it is
/// cancelled.
fn end_of_callback(run: Run, id: Id, packed: u32) -> Result<Option<Event>> {
    let (code, set) = (packed & ((1 << CODE_BITS) - 1), packed >> CODE_BITS);
    let instance = run.tasks().tasks[id].instance;
    if code == EXIT {
        exit(run, id)?;
        return Ok(None);
    }
    let set = match code {
        YIELD => None,
        WAIT => {
            let number = handles::number(run.handles(instance), set, VmHandle::WAITABLE_SET);
            Some(Id(number.map_err(Error::trapped)?))
        }
        _ => return Err(Error::trapped(TrapCode::InvalidCallbackCode)),
    };
    let tasks = run.tasks();
    if tasks.tasks[id].state == TaskState::PendingCancel {
        tasks.tasks[id].state = TaskState::CancelDelivered;
        return Ok(Some([event::TASK_CANCELLED, 0, 0]));
    }
    run.instance(instance).exclusive = None;
    match set {
        None => {
            tasks.tasks[id].wait = Wait::Yield;
            tasks.enqueue(id);
        }
        Some(set) => tasks.wait_for_set(id, set, Wait::Event(set)),
    }
    tasks.wake_instance(instance);
    Ok(None)
}

/// A task is over.
fn exit(run: Run, id: Id) -> Result<()> {
    let tasks = run.tasks();
    let task = &tasks.tasks[id];
    if task.state != TaskState::Resolved {
        return Err(Error::trapped(TrapCode::NoReturn));
    }
    let instance = task.instance;
    tasks.tasks.remove(id);
    let found = run.instance(instance);
    if found.exclusive == Some(id) {
        found.exclusive = None;
    }
    run.tasks().wake_instance(instance);
    Ok(())
}

/// Ends a task that waits: what it has on its stack is dropped.
pub(super) fn end(run: Run, id: Id) {
    run.tasks().stop(id);
    let task = run.tasks().tasks.get_mut(id);
    if let Some(mut fiber) = task.and_then(|task| task.fiber.take()) {
        match fiber.resume(run.store, Resume::Cancel) {
            // Panics of what is dropped have nobody to go to.
            Ok(Some(_)) => {
                run.store().keep_stack(fiber.into_stack());
                run.tasks().fibers -= 1;
            }
            Ok(None) | Err(_) => std::mem::forget(fiber),
        }
    }
    run.tasks().tasks.remove(id);
}

/// Runs a task that can go on.
pub(super) fn go_on(run: Run, id: Id) -> Result<()> {
    let task = &mut run.tasks().tasks[id];
    let (instance, wait) = (task.instance, task.wait);
    match wait {
        Wait::Nothing => Ok(()),
        Wait::Entry => {
            run.tasks().stop_entering(id);
            begin(run, id)?;
            // The next one perhaps as well.
            run.tasks().wake_instance(instance);
            Ok(())
        }
        Wait::Yield => call_back(run, id, [event::NONE, 0, 0]),
        Wait::Event(set) => {
            run.tasks().stop_waiting(id, set);
            let event = run.take_event(set).unwrap_or([event::NONE, 0, 0]);
            call_back(run, id, event)
        }
        Wait::Turn | Wait::EventOnFiber(_) | Wait::Waitable(_) => {
            task.wait = Wait::Nothing;
            match task.fiber.take() {
                Some(fiber) => resume(run, id, fiber),
                None => Ok(()),
            }
        }
    }
}

/// Calls the callback of a task.
fn call_back(run: Run, id: Id, event: Event) -> Result<()> {
    let task = &mut run.tasks().tasks[id];
    task.wait = Wait::Nothing;
    task.in_callback = true;
    let (instance, offset) = (task.instance, task.record().callback);
    run.instance(instance).exclusive = Some(id);
    let code = code_at(run, instance, offset);
    run_code(run, id, code, &event.map(u64::from))
}

/// Lets tasks of an instance go on until a call is resolved that cannot wait.
///
/// # Errors
/// [`TrapCode::CannotBlock`] if none of them can.
pub(super) fn finish_synchronously(
    run: Run,
    instance: Id,
    is_done: &dyn Fn() -> bool,
) -> Result<()> {
    while !is_done() {
        match run.tasks().next_beside(instance) {
            Some(task) => go_on(run, task)?,
            None => return Err(Error::trapped(TrapCode::CannotBlock)),
        }
    }
    Ok(())
}

/// The running task waits, on its fiber, until somebody lets it go on.
pub(super) fn block(run: Run) -> Result<()> {
    let tasks = run.tasks();
    let is_on_fiber = tasks
        .current
        .is_some_and(|current| tasks.tasks[current].is_on_fiber);
    if !is_on_fiber || run.store().vm.stack_limit & SUSPENDABLE == 0 {
        return Err(Error::trapped(TrapCode::CannotBlock));
    }
    let waiter = run.store().waiter(caller::Caller::Guest)?;
    Ok(waiter.pause()?)
}

/// The running task waits for an event of a waitable.
pub(super) fn wait_for(run: Run, of: WaitableRef) -> Result<()> {
    let tasks = run.tasks();
    let Some(current) = tasks.current else {
        return Err(Error::trapped(TrapCode::CannotBlock));
    };
    tasks.waitable_mut(of).waiter = Some(current);
    tasks.tasks[current].wait = Wait::Waitable(of);
    let result = block(run);
    run.tasks().waitable_mut(of).waiter = None;
    run.tasks().tasks[current].wait = Wait::Nothing;
    result
}

/// A subtask has returned or was cancelled, or has begun.
pub(super) fn progress(run: Run, subtask: Id, state: SubtaskState) {
    let tasks = run.tasks();
    let found = &mut tasks.subtasks[subtask];
    found.state = state;
    if state.is_resolved() {
        found.task = None;
    }
    if found.handle != 0 || found.waitable.waiter.is_some() && state.is_resolved() {
        tasks.set_event(WaitableRef::Subtask(subtask));
    }
}

/// A task is resolved without a result, because it was cancelled.
pub(super) fn resolve_cancelled(run: Run, id: Id) -> Result<()> {
    let task = &mut run.tasks().tasks[id];
    if task.borrows != 0 {
        return Err(Error::trapped(TrapCode::BorrowsRemain));
    }
    task.state = TaskState::Resolved;
    match std::mem::replace(&mut task.caller, Caller::Nobody) {
        Caller::Guest(subtask) => {
            let state = match run.tasks().subtasks[subtask].state {
                SubtaskState::Starting => SubtaskState::CancelledBeforeStarted,
                _ => SubtaskState::CancelledBeforeReturned,
            };
            progress(run, subtask, state);
        }
        Caller::Host(call) => super::host::cancelled(&call),
        Caller::Nobody => {}
    }
    Ok(())
}

/// The caller of a task wants it no more.
pub(super) fn request_cancellation(run: Run, id: Id) -> Result<()> {
    let tasks = run.tasks();
    let task = &mut tasks.tasks[id];
    let instance = task.instance;
    if task.state == TaskState::Initial {
        task.state = TaskState::CancelDelivered;
        run.tasks().stop_entering(id);
        resolve_cancelled(run, id)?;
        run.tasks().tasks.remove(id);
        run.tasks().wake_instance(instance);
        return Ok(());
    }
    let wait = task.wait;
    let can_hear =
        matches!(wait, Wait::Yield | Wait::Event(_)) && run.instance(instance).exclusive.is_none();
    if !can_hear {
        task.state = TaskState::PendingCancel;
        return Ok(());
    }
    task.state = TaskState::CancelDelivered;
    if let Wait::Event(set) = wait {
        run.tasks().stop_waiting(id, set);
    }
    call_back(run, id, [event::TASK_CANCELLED, 0, 0])
}
