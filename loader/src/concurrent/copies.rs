//! Streams and futures: what passes from one end to the other.

use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;

use cwasm_format::TrapCode;
use cwasm_format::concurrent::{Op, OpRecord, PLAIN};
use cwasm_format::hash::TypeHash;
use cwasm_format::types::ValueType;
use cwasm_format::vmctx::VmHandle;

use super::exchange::{Exchange, bytes_of, too_many_used};
use super::host::fail_closed;
use super::{BLOCKED, Run, calls};
use crate::dynamic::{Copier, Side};
use crate::error::{Error, Result};
use crate::vm::handles;
use crate::vm::tasks::slab::Id;
use crate::vm::tasks::streams::{CopyResult, Copying, End, EndState, Pending, Shared};
use crate::vm::tasks::waitables::WaitableRef;

/// The most payloads of a read or write.
const MAX_LENGTH: u64 = (1 << 28) - 1;

/// The payload of a stream or future operation.
fn payload_of(run: Run, instance: Id, record: &OpRecord) -> Result<(TypeHash, Option<ValueType>)> {
    let Some(place) = record.ty.checked_sub(1) else {
        return Ok((TypeHash::NONE, None));
    };
    let description = run.description(instance);
    match description.numbered.get(place as usize) {
        Some(ty) => Ok((description.types.abi(*ty).hash, Some(*ty))),
        None => Err(Error::new(cwasm_format::FormatError::Describe)),
    }
}

/// `stream.new`, `future.new`.
pub(super) fn new(run: Run, instance: Id, record: &OpRecord, is_future: bool) -> Result<u64> {
    let (payload, _) = payload_of(run, instance, record)?;
    let tasks = run.tasks();
    tasks.serial += 1;
    let shared = tasks.streams.add(Shared {
        serial: tasks.serial,
        is_held: false,
        is_of_host: false,
        is_future,
        payload,
        is_dropped: false,
        pending: None,
        watcher: None,
        ends: 2,
    });
    let add = |is_readable| {
        let end = run
            .tasks()
            .ends
            .add(End::new(shared, is_future, is_readable));
        let handle = calls::add_handle(run, instance, VmHandle::END, end)?;
        run.tasks().ends[end].handle = handle;
        Ok::<_, Error>(u64::from(handle))
    };
    let readable = add(true)?;
    let writable = add(false)?;
    Ok(readable | writable << 32)
}

/// The end that a handle of an operation is.
fn end_of(run: Run, instance: Id, record: &OpRecord, what: Op, handle: u32) -> Result<Id> {
    let number = handles::number(run.handles(instance), handle, VmHandle::END);
    let id = Id(number.map_err(Error::trapped)?);
    let (is_future, is_readable) = match what {
        Op::StreamRead | Op::StreamCancelRead | Op::StreamDropReadable => (false, true),
        Op::StreamWrite | Op::StreamCancelWrite | Op::StreamDropWritable => (false, false),
        Op::FutureRead | Op::FutureCancelRead | Op::FutureDropReadable => (true, true),
        _ => (true, false),
    };
    let end = &run.tasks().ends[id];
    let (payload, _) = payload_of(run, instance, record)?;
    let is_right = end.is_future == is_future
        && end.is_readable == is_readable
        && run.tasks().streams[end.shared].payload == payload;
    match is_right {
        true => Ok(id),
        false => Err(Error::trapped(TrapCode::WrongHandleKind)),
    }
}

/// `stream.read`, `stream.write`, `future.read`, `future.write`.
pub(super) fn copy(
    run: Run,
    instance: Id,
    op: NonNull<OpRecord>,
    what: Op,
    args: &[u64],
) -> Result<u64> {
    let trap = |code| Err(Error::trapped(code));
    // SAFETY: a record of the artifact of the calling code.
    let record = unsafe { op.as_ref() };
    let id = end_of(run, instance, record, what, args[0] as u32)?;
    let is_async = record.is_async != 0;
    let end = &run.tasks().ends[id];
    match end.state {
        EndState::Idle => {}
        EndState::Copying | EndState::Cancelling => return trap(TrapCode::CopyInProgress),
        EndState::Done => return trap(TrapCode::EndDone),
    }
    if !is_async && end.waitable.is_in_set() {
        return trap(TrapCode::WaitableInUse);
    }
    let options = run.options(instance, &record.options);
    let (pointer, length) = match what {
        Op::StreamRead | Op::StreamWrite => (options.pointer(args[1]), options.pointer(args[2])),
        _ => (options.pointer(args[1]), 1),
    };
    if length > MAX_LENGTH {
        return trap(TrapCode::StreamTooLong);
    }
    if record.ty != 0 && length > 0 {
        let align = u64::from(record.align & !PLAIN);
        if !pointer.is_multiple_of(align.max(1)) {
            return trap(TrapCode::UnalignedPointer);
        }
        // SAFETY: the instance is live, and the slice is not kept.
        let memory = unsafe { options.memory() }.len() as u64;
        let bytes = length * u64::from(record.target);
        if bytes > memory || pointer > memory - bytes {
            return trap(TrapCode::StreamOutOfBounds);
        }
    }
    let end = &mut run.tasks().ends[id];
    end.state = EndState::Copying;
    end.progress = 0;
    let copying = Copying {
        end: id,
        instance,
        op,
        options,
        pointer,
        remaining: length as u32,
    };
    meet(run, copying)?;
    finish(run, WaitableRef::End(id), is_async)
}

/// The result of a read, write or cancel, if it is there, or the caller waits for it.
fn finish(run: Run, of: WaitableRef, is_async: bool) -> Result<u64> {
    while !run.tasks().waitable(of).has_event() {
        if is_async {
            return Ok(BLOCKED);
        }
        calls::wait_for(run, of)?;
    }
    let [_, _, payload] = run.deliver(of);
    Ok(payload.into())
}

/// A read or write has ended, or may go on until somebody sees it.
fn notify(run: Run, id: Id, result: CopyResult, reclaims: bool) {
    let end = &mut run.tasks().ends[id];
    end.result = result;
    end.reclaims = reclaims;
    end.is_over = match end.is_future {
        true => result != CopyResult::Cancelled,
        false => result == CopyResult::Dropped,
    };
    run.tasks().set_event(WaitableRef::End(id));
}

/// What comes of a read and a write that meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meeting {
    Copies,
    /// Nothing is copied: the one that comes is over, and the other one waits on.
    EndsMine,
    /// Nothing is copied: the one that waited is over, and the one that comes waits.
    EndsOther,
}

/// What comes of a read (`is_readable`) or write of so many payloads that meets a write or read
/// with so many left. One of none is over when the other end is there; of two such, the write is.
/// `is_empty` says that the other one is of none, and not one that has copied all.
fn meeting(is_readable: bool, mine: usize, (other, is_empty): (usize, bool)) -> Meeting {
    match (mine, other) {
        (0, 0) if is_readable || !is_empty => Meeting::EndsOther,
        (0, _) => Meeting::EndsMine,
        (_, 0) => Meeting::EndsOther,
        _ => Meeting::Copies,
    }
}

/// What is left of a guest's read or write, and whether it is of no payloads.
fn left_of_guest(run: Run, copying: &Copying) -> (usize, bool) {
    let is_empty = copying.remaining == 0 && run.tasks().ends[copying.end].progress == 0;
    (copying.remaining as usize, is_empty)
}

/// The same of one of the host, which is over once it has copied anything.
fn left_of_host(exchange: &Exchange) -> (usize, bool) {
    let left = exchange.remaining();
    (left, left == 0)
}

/// A read or write meets the one of the other end, or waits for it.
fn meet(run: Run, mut mine: Copying) -> Result<()> {
    let (shared, is_readable) = {
        let end = &run.tasks().ends[mine.end];
        (end.shared, end.is_readable)
    };
    let found = &mut run.tasks().streams[shared];
    if found.is_dropped {
        notify(run, mine.end, CopyResult::Dropped, false);
        return Ok(());
    }
    let mut other = match found.pending.take() {
        None => {
            found.pending = Some(Pending::Guest(mine));
            return Ok(());
        }
        Some(Pending::Host(other)) => {
            return meet_exchange(run, (shared, is_readable), mine, of_any(other));
        }
        Some(Pending::Guest(other)) => other,
    };
    // SAFETY: a record of the artifact of the code that called.
    let record = unsafe { mine.op.as_ref() };
    if other.instance == mine.instance && !is_number(run, mine.instance, record)? {
        return Err(Error::trapped(TrapCode::SameInstanceCopy));
    }
    let other_left = left_of_guest(run, &other);
    let over = match meeting(is_readable, mine.remaining as usize, other_left) {
        Meeting::Copies => {
            let count = mine.remaining.min(other.remaining);
            let (from, to) = match is_readable {
                true => (&mut other, &mut mine),
                false => (&mut mine, &mut other),
            };
            transfer(run, from, to, count)?;
            for side in [&mine, &other] {
                run.tasks().ends[side.end].progress += count;
            }
            wait_on(run, shared, other);
            mine.end
        }
        Meeting::EndsMine => {
            wait_for_other(run, shared, Pending::Guest(other));
            mine.end
        }
        Meeting::EndsOther => {
            wait_for_other(run, shared, Pending::Guest(mine));
            other.end
        }
    };
    notify(run, over, CopyResult::Completed, false);
    Ok(())
}

/// A read or write waits for the other end.
fn wait_for_other(run: Run, shared: Id, pending: Pending) {
    run.tasks().streams[shared].pending = Some(pending);
}

/// A read or write that has waited has copied payloads: it may copy more until somebody sees that.
fn wait_on(run: Run, shared: Id, copying: Copying) {
    let found = &mut run.tasks().streams[shared];
    let is_future = found.is_future;
    found.pending = match is_future {
        true => None,
        false => Some(Pending::Guest(copying)),
    };
    notify(run, copying.end, CopyResult::Completed, !is_future);
}

/// Gives an end of the host the memory of the other end's read or write of bytes, of which it uses
/// the first ones: how many. `None` if there is no such read or write now. There are no bytes if it
/// is one of none.
///
/// # Errors
/// It says that it has used more than there are.
pub(super) fn use_memory(
    run: Run,
    (shared, is_readable): (Id, bool),
    body: impl FnOnce(&mut [u8]) -> usize,
) -> Result<Option<usize>> {
    let mut other = match &run.tasks().streams[shared].pending {
        Some(Pending::Guest(other)) => *other,
        Some(Pending::Host(other)) => {
            return use_buffer(run, (shared, is_readable), Arc::clone(other), body);
        }
        None => return Ok(None),
    };
    let (left, is_empty) = left_of_guest(run, &other);
    if left == 0 && !is_empty {
        return Ok(None);
    }
    let range = bytes_of(&other, 1, other.remaining as usize)?;
    let len = range.len();
    // SAFETY: the instance is live, no code runs, and the slice is not kept: the host has no store
    // meanwhile.
    let memory = unsafe { other.options.memory_mut() };
    let used = body(&mut memory[range]);
    if used > len {
        return Err(too_many_used(used, len));
    }
    if used > 0 {
        other.pointer += used as u64;
        other.remaining -= used as u32;
        run.tasks().ends[other.end].progress += used as u32;
        wait_on(run, shared, other);
    }
    Ok(Some(used))
}

/// As [`use_memory`], of a read or write of the host's.
fn use_buffer(
    run: Run,
    (shared, is_readable): (Id, bool),
    other: Arc<dyn Any + Send + Sync>,
    body: impl FnOnce(&mut [u8]) -> usize,
) -> Result<Option<usize>> {
    // One is ours, one is the pending's, and one its future's, unless that is gone.
    if Arc::strong_count(&other) < 3 {
        return Ok(None);
    }
    let other = of_any(other);
    let used = other.use_bytes(body)?;
    if used.is_some_and(|used| used > 0) {
        run.tasks().streams[shared].pending = None;
        end_exchange(run, shared, !is_readable, &other);
    }
    Ok(used)
}

fn of_any(exchange: Arc<dyn Any + Send + Sync>) -> Arc<Exchange> {
    match exchange.downcast() {
        Ok(exchange) => exchange,
        Err(_) => unreachable!("nothing else of the host waits for an end"),
    }
}

/// A guest's read or write meets one of the host.
fn meet_exchange(
    run: Run,
    (shared, is_readable): (Id, bool),
    mut mine: Copying,
    other: Arc<Exchange>,
) -> Result<()> {
    if Arc::strong_count(&other) == 1 {
        // Its future is gone.
        wait_for_other(run, shared, Pending::Guest(mine));
        return Ok(());
    }
    let result = match meeting(is_readable, mine.remaining as usize, left_of_host(&other)) {
        Meeting::Copies => exchange(run, &mut mine, &other)?,
        Meeting::EndsMine => {
            wait_for_other(run, shared, Pending::Host(other));
            CopyResult::Completed
        }
        Meeting::EndsOther => {
            wait_for_other(run, shared, Pending::Guest(mine));
            other.end(CopyResult::Completed);
            return Ok(());
        }
    };
    notify(run, mine.end, result, false);
    Ok(())
}

/// Payloads pass between a guest and the host: what the guest sees.
fn exchange(run: Run, guest: &mut Copying, host: &Exchange) -> Result<CopyResult> {
    // SAFETY: a record of the artifact of the code that called.
    let size = unsafe { guest.op.as_ref() }.target;
    let count = host.remaining().min(guest.remaining as usize);
    match run.tasks().ends[guest.end].is_readable {
        true => host.lower(run, guest, count)?,
        false => host.lift(run, guest, count)?,
    }
    guest.pointer += count as u64 * u64::from(size);
    guest.remaining -= count as u32;
    let end = &mut run.tasks().ends[guest.end];
    end.progress += count as u32;
    let (shared, is_readable) = (end.shared, !end.is_readable);
    Ok(end_exchange(run, shared, is_readable, host))
}

/// A read or write of the host is over, and its end is closed if it was the last: what the other
/// end sees.
fn end_exchange(run: Run, shared: Id, is_readable: bool, host: &Exchange) -> CopyResult {
    host.end(CopyResult::Completed);
    if !host.closes() {
        return CopyResult::Completed;
    }
    close(run, shared, is_readable);
    CopyResult::Dropped
}

/// Closes an end of the host.
pub(super) fn close(run: Run, shared: Id, is_readable: bool) {
    if is_readable {
        run.tasks().streams[shared].is_held = false;
    }
    release(run, shared);
}

/// A read or write of the host meets the one of the other end, or waits for it.
pub(super) fn meet_host(
    run: Run,
    shared: Id,
    is_readable: bool,
    mine: Arc<Exchange>,
) -> Result<()> {
    let found = &mut run.tasks().streams[shared];
    if found.is_dropped {
        mine.end(CopyResult::Dropped);
        return Ok(());
    }
    match found.pending.take() {
        None => found.pending = Some(Pending::Host(mine)),
        Some(Pending::Host(other)) if Arc::strong_count(&other) == 1 => {
            found.pending = Some(Pending::Host(mine));
        }
        Some(Pending::Host(other)) => {
            let other = of_any(other);
            match meeting(is_readable, mine.remaining(), left_of_host(&other)) {
                Meeting::Copies => {
                    match is_readable {
                        true => other.pass(&mine)?,
                        false => mine.pass(&other)?,
                    }
                    end_exchange(run, shared, is_readable, &mine);
                    end_exchange(run, shared, !is_readable, &other);
                }
                Meeting::EndsMine => {
                    wait_for_other(run, shared, Pending::Host(other));
                    mine.end(CopyResult::Completed);
                }
                Meeting::EndsOther => {
                    wait_for_other(run, shared, Pending::Host(mine));
                    other.end(CopyResult::Completed);
                }
            }
        }
        Some(Pending::Guest(mut other)) => {
            match meeting(is_readable, mine.remaining(), left_of_guest(run, &other)) {
                Meeting::Copies => {
                    let passed = run.closing(other.instance, || exchange(run, &mut other, &mine));
                    if passed.is_err() {
                        fail_closed(run);
                    }
                    match passed? {
                        CopyResult::Completed => wait_on(run, shared, other),
                        result => notify(run, other.end, result, false),
                    }
                }
                Meeting::EndsMine => {
                    wait_for_other(run, shared, Pending::Guest(other));
                    mine.end(CopyResult::Completed);
                }
                Meeting::EndsOther => {
                    wait_for_other(run, shared, Pending::Host(mine));
                    notify(run, other.end, CopyResult::Completed, false);
                }
            }
        }
    }
    Ok(())
}

/// Whether the payload is nothing or a number.
fn is_number(run: Run, instance: Id, record: &OpRecord) -> Result<bool> {
    let (_, payload) = payload_of(run, instance, record)?;
    Ok(!matches!(
        payload,
        Some(ValueType::Bool | ValueType::Char | ValueType::String | ValueType::Def(_))
    ))
}

/// Copies payloads from one guest's memory to another's.
fn transfer(run: Run, from: &mut Copying, to: &mut Copying, count: u32) -> Result<()> {
    // SAFETY: records of the artifacts of the code that called.
    let source = unsafe { from.op.as_ref() };
    // SAFETY: as above.
    let target = unsafe { to.op.as_ref() };
    let is_plain = source.align & PLAIN != 0;
    let (from_size, to_size) = (u64::from(source.target), u64::from(target.target));
    if is_plain {
        copy_bytes(from, to, u64::from(count) * from_size)?;
    } else {
        copy_values(run, from, to, count)?;
    }
    for (side, size) in [(from, from_size), (to, to_size)] {
        side.pointer += u64::from(count) * size;
        side.remaining -= count;
    }
    Ok(())
}

fn copy_bytes(from: &Copying, to: &Copying, size: u64) -> Result<()> {
    if size == 0 {
        return Ok(());
    }
    let out = || Error::trapped(TrapCode::StreamOutOfBounds);
    let range = |pointer: u64, len: usize| {
        let end = pointer.checked_add(size).filter(|end| *end <= len as u64);
        end.map(|end| pointer as usize..end as usize)
            .ok_or_else(out)
    };
    // SAFETY: live instances, and no code runs; the slice is not kept.
    let source = unsafe { from.options.memory() };
    let source_range = range(from.pointer, source.len())?;
    let start = source.as_ptr();
    // SAFETY: as above; if it is the same memory, the other slice is not used any more.
    let target = unsafe { to.options.memory_mut() };
    let target_range = range(to.pointer, target.len())?;
    match std::ptr::eq(start, target.as_ptr()) {
        true => target.copy_within(source_range, target_range.start),
        false => target[target_range].copy_from_slice(&source[source_range]),
    }
    Ok(())
}

fn copy_values(run: Run, from: &Copying, to: &Copying, count: u32) -> Result<()> {
    let side = |side: &Copying| {
        // SAFETY: a record of the artifact of the code that called.
        let op = unsafe { side.op.as_ref() };
        let (_, ty) = payload_of(run, side.instance, op)?;
        let types = &run.description(side.instance).types;
        let options = side.options;
        Ok::<_, Error>((Side { types, options }, ty))
    };
    let (source, from_ty) = side(from)?;
    let (target, to_ty) = side(to)?;
    let (Some(from_ty), Some(to_ty)) = (from_ty, to_ty) else {
        return Ok(());
    };
    // SAFETY: instances of the store, whose code does not run.
    let mut copier = unsafe { Copier::new(run.store(), source, target) };
    copier.elements((from_ty, to_ty), (from.pointer, to.pointer), count)
}

/// `stream.cancel-read` and so on.
pub(super) fn cancel(
    run: Run,
    instance: Id,
    record: &OpRecord,
    what: Op,
    handle: u32,
) -> Result<u64> {
    let id = end_of(run, instance, record, what, handle)?;
    let is_async = record.is_async != 0;
    let end = &mut run.tasks().ends[id];
    if end.state != EndState::Copying || end.waitable.waiter.is_some() {
        return Err(Error::trapped(TrapCode::NoCopy));
    }
    // The specification traps if a synchronous cancel is of an end in a set, since it might wait
    // there. This never waits, and guests of wit-bindgen that are older than the trap do that.
    end.state = EndState::Cancelling;
    let (shared, has_event) = (end.shared, end.waitable.has_event());
    let end = &mut run.tasks().ends[id];
    if !has_event {
        run.tasks().streams[shared].pending = None;
        notify(run, id, CopyResult::Cancelled, false);
    } else if !end.is_future && end.result == CopyResult::Completed {
        // What was copied is told, and that there will be no more of it.
        end.result = CopyResult::Cancelled;
    }
    finish(run, WaitableRef::End(id), is_async)
}

/// `stream.drop-readable` and so on.
pub(super) fn drop_end(
    run: Run,
    instance: Id,
    record: &OpRecord,
    what: Op,
    handle: u32,
) -> Result<u64> {
    let id = end_of(run, instance, record, what, handle)?;
    let end = &run.tasks().ends[id];
    if end.is_copying() {
        return Err(Error::trapped(TrapCode::EndBusy));
    }
    if what == Op::FutureDropWritable && end.state != EndState::Done {
        return Err(Error::trapped(TrapCode::FutureUnwritten));
    }
    let shared = end.shared;
    run.tasks().join(WaitableRef::End(id), None);
    handles::remove_number(run.handles(instance), handle);
    run.tasks().ends.remove(id);
    release(run, shared);
    Ok(0)
}

/// An end of a stream or future is gone.
pub(super) fn release(run: Run, id: Id) {
    let shared = &mut run.tasks().streams[id];
    shared.ends -= 1;
    if !shared.is_dropped {
        shared.is_dropped = true;
        if let Some(watcher) = shared.watcher.take() {
            watcher.wake();
        }
        match shared.pending.take() {
            Some(Pending::Guest(pending)) => notify(run, pending.end, CopyResult::Dropped, false),
            Some(Pending::Host(pending)) => of_any(pending).end(CopyResult::Dropped),
            None => {}
        }
    }
    if run.tasks().streams[id].ends == 0 {
        run.tasks().streams.remove(id);
    }
}
