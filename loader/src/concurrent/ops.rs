//! The built-in functions (`canon` of the specification).

use std::ptr::NonNull;

use cwasm_format::TrapCode;
use cwasm_format::abi::{Extent, MAX_FLAT_PARAMS};
use cwasm_format::concurrent::{Op, OpRecord};
use cwasm_format::header::NONE;
use cwasm_format::resources::HandleUse;
use cwasm_format::types::ResourceNumber;
use cwasm_format::vmctx::{RawReturn, VmContext, VmHandle, VmHostImport, flags};

use super::{BLOCKED, Run, calls, copies, error_contexts, imports, values};
use crate::error::{Error, Result};
use crate::values::LowerContext;
use crate::vm::call::Ready;
use crate::vm::caller;
use crate::vm::enter::Entered;
use crate::vm::handles;
use crate::vm::instance::InstanceData;
use crate::vm::tasks::TaskState;
use crate::vm::tasks::slab::Id;
use crate::vm::tasks::waitables::{Event, Set, WaitableRef, event};

/// The number of `backpressure.inc`s that traps.
const MAX_BACKPRESSURE: u32 = 1 << 16;

/// Runs an operation: its result.
pub(super) fn run(
    run: Run,
    context: NonNull<VmContext>,
    op: NonNull<OpRecord>,
    args: &[u64],
) -> Result<u64> {
    // SAFETY: a record of the artifact of the calling code.
    let record = unsafe { op.as_ref() };
    let Some(what) = Op::from_number(record.op) else {
        let number = record.op;
        return Err(Error::msg(format_args!(
            "operation {number} is none that this loader knows"
        )));
    };
    let instance = run.enter_instance(context, record.instance)?;
    let trap = |code| Err(Error::trapped(code));
    let arg = |place: usize| args.get(place).copied().unwrap_or(0) as u32;
    match what {
        Op::BackpressureInc => {
            let count = &mut run.instance(instance).backpressure;
            *count += 1;
            return match *count {
                MAX_BACKPRESSURE => trap(TrapCode::BackpressureOverflow),
                _ => Ok(0),
            };
        }
        Op::BackpressureDec => {
            let count = &mut run.instance(instance).backpressure;
            let Some(less) = count.checked_sub(1) else {
                return trap(TrapCode::BackpressureOverflow);
            };
            *count = less;
            if less == 0 {
                run.tasks().wake_instance(instance);
            }
            return Ok(0);
        }
        _ => {}
    }
    if may_leave(run, instance) == 0 {
        return trap(TrapCode::CannotLeave);
    }
    match what {
        Op::BackpressureInc | Op::BackpressureDec => Ok(0),
        Op::Call => calls::call(run, instance, op, args),
        Op::CallHost => call_host(run, context, op, args),
        Op::ResourceDrop => drop_resource(run, instance, record, arg(0)),
        Op::TaskReturn => task_return(run, instance, record, args),
        Op::TaskCancel => task_cancel(run),
        Op::ThreadYield => thread_yield(run),
        Op::SubtaskCancel => cancel_subtask(run, instance, arg(0), record.is_async != 0),
        Op::SubtaskDrop => drop_subtask(run, instance, arg(0)),
        Op::WaitableSetNew => {
            let set = run.tasks().sets.add(Set::default());
            calls::add_handle(run, instance, VmHandle::WAITABLE_SET, set).map(u64::from)
        }
        Op::WaitableSetWait => wait(run, instance, record, args),
        Op::WaitableSetPoll => {
            let set = set_of(run, instance, arg(0))?;
            let event = run.take_event(set).unwrap_or([event::NONE, 0, 0]);
            write_event(run, instance, record, args[1], event)
        }
        Op::WaitableSetDrop => {
            let set = set_of(run, instance, arg(0))?;
            let found = &run.tasks().sets[set];
            if found.is_in_use() {
                return trap(TrapCode::SetInUse);
            }
            handles::remove_number(run.handles(instance), arg(0));
            run.tasks().sets.remove(set);
            Ok(0)
        }
        Op::WaitableJoin => {
            let of = waitable_of(run, instance, arg(0))?;
            if run.tasks().waitable(of).waiter.is_some() {
                return trap(TrapCode::WaitableInUse);
            }
            let set = match arg(1) {
                0 => None,
                set => Some(set_of(run, instance, set)?),
            };
            run.tasks().join(of, set);
            Ok(0)
        }
        Op::StreamNew => copies::new(run, instance, record, false),
        Op::FutureNew => copies::new(run, instance, record, true),
        Op::StreamRead | Op::StreamWrite | Op::FutureRead | Op::FutureWrite => {
            copies::copy(run, instance, op, what, args)
        }
        Op::StreamCancelRead
        | Op::StreamCancelWrite
        | Op::FutureCancelRead
        | Op::FutureCancelWrite => copies::cancel(run, instance, record, what, arg(0)),
        Op::StreamDropReadable
        | Op::StreamDropWritable
        | Op::FutureDropReadable
        | Op::FutureDropWritable => copies::drop_end(run, instance, record, what, arg(0)),
        Op::ErrorContextNew => error_contexts::new(run, instance, record, args),
        Op::ErrorContextDebugMessage => error_contexts::debug_message(run, instance, record, args),
        Op::ErrorContextDrop => error_contexts::drop(run, instance, arg(0)),
    }
}

fn may_leave(run: Run, instance: Id) -> u32 {
    let offset = run.record(instance).flags;
    // SAFETY: the plan has checked the record.
    let slot = unsafe { run.data(instance).slot::<u32>(offset) };
    // SAFETY: the store is ours, and so the contexts of its instances.
    let found = unsafe { slot.read() };
    found & flags::MAY_LEAVE
}

fn set_of(run: Run, instance: Id, handle: u32) -> Result<Id> {
    let number = handles::number(run.handles(instance), handle, VmHandle::WAITABLE_SET);
    number.map(Id).map_err(Error::trapped)
}

fn subtask_of(run: Run, instance: Id, handle: u32) -> Result<Id> {
    let number = handles::number(run.handles(instance), handle, VmHandle::SUBTASK);
    number.map(Id).map_err(Error::trapped)
}

fn waitable_of(run: Run, instance: Id, handle: u32) -> Result<WaitableRef> {
    let table = run.handles(instance);
    if let Ok(number) = handles::number(table, handle, VmHandle::SUBTASK) {
        return Ok(WaitableRef::Subtask(Id(number)));
    }
    let number = handles::number(table, handle, VmHandle::END);
    number
        .map(|number| WaitableRef::End(Id(number)))
        .map_err(Error::trapped)
}

/// Calls an import.
fn call_host(
    run: Run,
    context: NonNull<VmContext>,
    op: NonNull<OpRecord>,
    args: &[u64],
) -> Result<u64> {
    // SAFETY: the context of an instance of the store.
    let data = unsafe { InstanceData::of(context) };
    // SAFETY: a record of the artifact of the calling code.
    let record = unsafe { op.as_ref() };
    let imports = data.unit().artifact();
    let Some(import) = imports.imports().get(record.target as usize) else {
        return Err(imports::missing());
    };
    // SAFETY: the plan has checked the slots of all imports.
    let slot = unsafe { data.slot::<VmHostImport>(import.slot) };
    // SAFETY: the store is ours, and so the contexts of its instances.
    let import = unsafe { slot.read() };
    let code = std::ptr::with_exposed_provenance_mut::<u8>(import.code as usize);
    let of = std::ptr::with_exposed_provenance_mut::<u8>(import.data as usize);
    let (Some(code), Some(of)) = (NonNull::new(code), NonNull::new(of)) else {
        return Err(imports::missing());
    };
    // SAFETY: the linker has given a function of this kind to an import of this type.
    let code = unsafe { std::mem::transmute::<NonNull<u8>, HostCode>(code) };
    // SAFETY: its own data, the context of an instance of the store, whose code calls, and as many
    // arguments as the record says.
    let returned = unsafe { code(of, context, op, args.as_ptr()) };
    let code = u8::try_from(returned.status)
        .ok()
        .and_then(TrapCode::from_number);
    let _ = run;
    match code {
        None => Ok(returned.value),
        Some(code) => Err(Error::trapped(code)),
    }
}

/// A function of the host that is called through the loader.
pub(crate) type HostCode = unsafe extern "C" fn(
    NonNull<u8>,
    NonNull<VmContext>,
    NonNull<OpRecord>,
    *const u64,
) -> RawReturn;

fn task_return(run: Run, instance: Id, record: &OpRecord, args: &[u64]) -> Result<u64> {
    let tasks = run.tasks();
    let current = tasks
        .current
        .and_then(|id| Some((id, tasks.tasks.get(id)?)));
    let Some((id, task)) = current.filter(|(_, task)| task.instance == instance) else {
        return Err(Error::trapped(TrapCode::SyncTask));
    };
    let of = task.record();
    if of.is_async == 0 {
        return Err(Error::trapped(TrapCode::SyncTask));
    }
    // Where nothing of the result is in memory, `task.return` need not have one.
    let (lifted, returned) = (of.options.memory, record.options.memory);
    let same = of.result == record.ty
        && (lifted == returned || returned == NONE)
        && of.options.string_encoding == record.options.string_encoding;
    if !same {
        return Err(Error::trapped(TrapCode::InvalidTaskReturn));
    }
    values::return_flat(run, id, args, MAX_FLAT_PARAMS)?;
    Ok(0)
}

fn task_cancel(run: Run) -> Result<u64> {
    let tasks = run.tasks();
    let current = tasks
        .current
        .and_then(|id| Some((id, tasks.tasks.get(id)?)));
    let Some((id, task)) = current else {
        return Err(Error::trapped(TrapCode::SyncTask));
    };
    if task.record().is_async == 0 {
        return Err(Error::trapped(TrapCode::SyncTask));
    }
    match task.state {
        TaskState::CancelDelivered => {}
        TaskState::Resolved => return Err(Error::trapped(TrapCode::TaskResolved)),
        _ => return Err(Error::trapped(TrapCode::TaskNotCancelled)),
    }
    calls::resolve_cancelled(run, id)?;
    Ok(0)
}

fn thread_yield(run: Run) -> Result<u64> {
    // A destructor or start function has no task, and goes on at once.
    if take_turns(run) {
        calls::block(run)?;
    }
    Ok(0)
}

/// The task that runs will go on in its next turn, on its fiber: whether there is one.
pub(super) fn take_turns(run: Run) -> bool {
    let tasks = run.tasks();
    let Some(current) = tasks.current else {
        return false;
    };
    tasks.tasks[current].wait = crate::vm::tasks::Wait::Turn;
    tasks.enqueue(current);
    true
}

fn wait(run: Run, instance: Id, record: &OpRecord, args: &[u64]) -> Result<u64> {
    let set = set_of(run, instance, args[0] as u32)?;
    let tasks = run.tasks();
    if !tasks.has_event(set) {
        let Some(current) = tasks.current else {
            return Err(Error::trapped(TrapCode::CannotBlock));
        };
        let wait = crate::vm::tasks::Wait::EventOnFiber(set);
        tasks.wait_for_set(current, set, wait);
        let result = calls::block(run);
        run.tasks().stop_waiting(current, set);
        run.tasks().tasks[current].wait = crate::vm::tasks::Wait::Nothing;
        result?;
    }
    let Some(event) = run.take_event(set) else {
        return Err(Error::msg("a task was woken without an event"));
    };
    write_event(run, instance, record, args[1], event)
}

/// Writes an event to memory, and returns its code.
fn write_event(
    run: Run,
    instance: Id,
    record: &OpRecord,
    pointer: u64,
    event: Event,
) -> Result<u64> {
    let options = run.options(instance, &record.options);
    // SAFETY: an instance of the store, whose code does not run.
    let mut cx = unsafe { LowerContext::new(run.store(), &options) };
    let offset = cx.out_extent(pointer, Extent { size: 8, align: 4 })?;
    cx.write(offset, &event[1].to_le_bytes());
    cx.write(offset + 4, &event[2].to_le_bytes());
    Ok(event[0].into())
}

fn cancel_subtask(run: Run, instance: Id, handle: u32, is_async: bool) -> Result<u64> {
    let id = subtask_of(run, instance, handle)?;
    let of = WaitableRef::Subtask(id);
    let subtask = &mut run.tasks().subtasks[id];
    if subtask.is_delivered || subtask.is_cancelled {
        return Err(Error::trapped(TrapCode::SubtaskCancelled));
    }
    if !is_async && subtask.waitable.is_in_set() {
        return Err(Error::trapped(TrapCode::WaitableInUse));
    }
    if !subtask.state.is_resolved() {
        subtask.is_cancelled = true;
        match (subtask.task, subtask.host) {
            (Some(task), _) => calls::request_cancellation(run, task)?,
            (None, Some(future)) => imports::cancel(run, id, future),
            (None, None) => {}
        }
        while !run.tasks().subtasks[id].state.is_resolved() {
            if is_async {
                return Ok(BLOCKED);
            }
            run.tasks().clear_event(of);
            calls::wait_for(run, of)?;
        }
    }
    let [_, _, state] = run.deliver(of);
    Ok(state.into())
}

fn drop_subtask(run: Run, instance: Id, handle: u32) -> Result<u64> {
    let id = subtask_of(run, instance, handle)?;
    if !run.tasks().subtasks[id].is_delivered {
        return Err(Error::trapped(TrapCode::SubtaskUnresolved));
    }
    run.tasks().join(WaitableRef::Subtask(id), None);
    handles::remove_number(run.handles(instance), handle);
    run.tasks().subtasks.remove(id);
    Ok(0)
}

/// `resource.drop`.
fn drop_resource(run: Run, instance: Id, record: &OpRecord, handle: u32) -> Result<u64> {
    let resource = ResourceNumber(record.target);
    let own = HandleUse::own(resource);
    let removed = handles::remove(run.handles(instance), handle, own);
    let (rep, scope) = removed.map_err(Error::trapped)?;
    if let Some(scope) = scope {
        if let Some(task) = run.tasks().tasks.get_mut(Id(scope)) {
            task.borrows = task.borrows.saturating_sub(1);
        }
        return Ok(0);
    }
    let data = run.data(instance);
    let artifact = data.unit().artifact();
    let Some(found) = artifact.resources().get(resource.0 as usize) else {
        return Err(Error::msg("a resource type that is not there"));
    };
    let context = data.context();
    if found.flags == NONE {
        let slot = artifact
            .imports()
            .get(found.import as usize)
            .map(|import| import.slot);
        let Some(slot) = slot.filter(|slot| *slot != NONE) else {
            return Ok(0);
        };
        // SAFETY: the plan has checked the slots of all imports.
        let slot = unsafe { data.slot::<VmHostImport>(slot) };
        // SAFETY: the store is ours, and so the contexts of its instances.
        let import = unsafe { slot.read() };
        let code = std::ptr::with_exposed_provenance_mut::<u8>(import.code as usize);
        let of = std::ptr::with_exposed_provenance_mut::<u8>(import.data as usize);
        let (Some(code), Some(of)) = (NonNull::new(code), NonNull::new(of)) else {
            return Ok(0);
        };
        type Destructor = unsafe extern "C" fn(NonNull<u8>, NonNull<VmContext>, u64) -> RawReturn;
        // SAFETY: destructors of the host have this signature.
        let code = unsafe { std::mem::transmute::<NonNull<u8>, Destructor>(code) };
        // SAFETY: its own data, and the context of an instance of the store.
        let returned = unsafe { code(of, context, rep.into()) };
        let code = u8::try_from(returned.status)
            .ok()
            .and_then(TrapCode::from_number);
        return match code {
            None => Ok(0),
            Some(code) => Err(Error::trapped(code)),
        };
    }
    if found.dtor == NONE {
        return Ok(0);
    }
    // SAFETY: the plan has checked the record.
    let code = unsafe { data.text().at(found.dtor) };
    without_task(run, data, found.flags, || {
        let ready = Ready::of(run.store(), caller::Caller::Host)?;
        // SAFETY: an instance of this store, which is ours; references into it are made anew.
        let entered = unsafe { Entered::new(context) };
        // SAFETY: the thunk of a destructor, which has one parameter; no reference is held.
        unsafe { ready.call(code, context, &[rep.into()]) }?;
        entered.leave();
        Ok(0)
    })
}

/// Runs code of a component instance, known by the offset of its flags, that is not a task's.
fn without_task<R>(
    run: Run,
    data: &crate::vm::instance::InstanceData,
    flags: u32,
    body: impl FnOnce() -> Result<R>,
) -> Result<R> {
    let storage = data.storage(flags);
    let exchange = |with: [u64; 2]| match storage {
        // SAFETY: the store is ours, and so the contexts of its instances.
        Some(storage) => unsafe { storage.replace(with) },
        None => with,
    };
    let outer = run.tasks().current.take();
    let before = exchange([0; 2]);
    let result = body();
    exchange(before);
    run.tasks().current = outer;
    result
}
