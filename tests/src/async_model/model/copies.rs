//! Streams and futures.

use cwasm::TrapCode;

use super::ops::BLOCKED;
use super::state::{
    Blocked, Buffer, CopyResult, CopyState, End, Event, Handle, Run, Shared, Until, Waitable,
    WaitableId, trap_if,
};
use super::tasks::Done;
use super::{Model, Mutant};
use crate::async_model::program::{Action, End as EndOp, Kind, Op};

/// The size of a guest's memory.
const MEMORY: u64 = 65536;
/// `Buffer.MAX_LENGTH`.
const MAX_LENGTH: u32 = (1 << 28) - 1;

impl Model<'_> {
    fn add_end(&mut self, instance: u32, op: EndOp, shared: usize) -> u32 {
        let id = Handle::Waitable(WaitableId::End(self.ends.len()));
        let handle = self.instances[instance as usize].handles.add(id);
        self.ends.push(End {
            waitable: Waitable::default(),
            op,
            state: CopyState::Idle,
            shared,
            instance,
            handle,
            buffer: Buffer::default(),
        });
        handle
    }

    /// `canon_stream_new`, `canon_future_new`.
    pub(super) fn new_ends(&mut self, task: u32, kind: Kind) -> u64 {
        let instance = self.task(task).callee.instance;
        let shared = self.shared.len();
        self.shared.push(Shared {
            kind,
            dropped: false,
            pending: None,
        });
        let readable = self.add_end(instance, EndOp::new(kind, true), shared);
        let writable = self.add_end(instance, EndOp::new(kind, false), shared);
        u64::from(readable) | u64::from(writable) << 32
    }

    /// `lift_async_value`.
    pub(super) fn lift_end(&mut self, instance: u32, handle: u32, kind: Kind) -> Run<usize> {
        let removed = self.instances[instance as usize].handles.remove(handle)?;
        let id = self.checked(removed, EndOp::new(kind, true))?;
        self.check_idle(id, &[TrapCode::EndBusy])?;
        let end = &self.ends[id];
        trap_if(end.waitable.set.is_some(), &[TrapCode::WaitableInUse])?;
        Ok(end.shared)
    }

    /// `lower_stream`, `lower_future`.
    pub(super) fn lower_end(&mut self, instance: u32, shared: usize) -> u32 {
        let kind = self.shared[shared].kind;
        self.add_end(instance, EndOp::new(kind, true), shared)
    }

    /// A handle that must be of such an end.
    fn checked(&self, handle: Handle, op: EndOp) -> Run<usize> {
        match handle {
            Handle::Waitable(WaitableId::End(id)) if self.ends[id].op == op => Ok(id),
            _ => self.trap(&[TrapCode::WrongHandleKind]),
        }
    }

    fn check_idle(&self, id: usize, busy: &'static [TrapCode]) -> Run<()> {
        let end = &self.ends[id];
        trap_if(end.copying(), busy)?;
        trap_if(end.state == CopyState::Done, &[TrapCode::EndDone])
    }

    /// `stream_copy`, `future_copy`.
    pub(super) fn copy(
        &mut self,
        task: u32,
        action: Action,
        op: EndOp,
        is_sync: bool,
    ) -> Run<Done> {
        let [handle, address, length] = action.args;
        let length = if op.kind == Kind::Stream { length } else { 1 };
        let found = self.get(task, handle)?;
        let id = self.checked(found, op)?;
        self.check_idle(id, &[TrapCode::CopyInProgress])?;
        let is_in_set = self.ends[id].waitable.set.is_some();
        trap_if(is_in_set && is_sync, &[TrapCode::WaitableInUse])?;
        trap_if(length > MAX_LENGTH, &[TrapCode::StreamTooLong])?;
        if length > 0 {
            let size = op.kind.payload_size();
            trap_if(!address.is_multiple_of(size), &[TrapCode::UnalignedPointer])?;
            let end = u64::from(address) + u64::from(length) * u64::from(size);
            trap_if(end > MEMORY, &[TrapCode::StreamOutOfBounds])?;
        }
        let end = &mut self.ends[id];
        end.buffer = Buffer {
            address,
            progress: 0,
            length,
        };
        end.state = CopyState::Copying;
        match op.kind {
            Kind::Stream => self.stream_copy(id),
            Kind::Future => self.future_copy(id),
        }
        self.copy_result(task, action.op, id, is_sync)
    }

    /// The result of a read, write or cancel, if its event is there.
    fn copy_result(&mut self, task: u32, op: Op, id: usize, is_sync: bool) -> Run<Done> {
        let of = WaitableId::End(id);
        if self.waitable(of).pending_event.is_none() {
            if !is_sync {
                return Ok(Done::Returns(BLOCKED.into()));
            }
            self.waitable_mut(of).has_sync_waiter = true;
            return self.block(task, op, Until::Pending(of), Blocked::Copy(id));
        }
        let [_, _, payload] = self.get_pending_event(of);
        Ok(Done::Returns(payload.into()))
    }

    /// `SharedStreamImpl.read` and `write`.
    fn stream_copy(&mut self, mine: usize) {
        let shared = self.ends[mine].shared;
        if self.shared[shared].dropped {
            return self.notify(mine, CopyResult::Dropped);
        }
        let Some(other) = self.shared[shared].pending else {
            self.shared[shared].pending = Some(mine);
            return;
        };
        if self.ends[other].buffer.remain() > 0 {
            let count = self.ends[other]
                .buffer
                .remain()
                .min(self.ends[mine].buffer.remain());
            if count > 0 {
                self.transfer(mine, other, count);
                let reclaims = !self.is(Mutant::KeepsBuffer);
                if !reclaims {
                    self.shared[shared].pending = None;
                }
                let result = CopyResult::Completed;
                self.ends[other].waitable.pending_event = Some(Event::Copy { result, reclaims });
            }
            return self.notify(mine, CopyResult::Completed);
        }
        let is_zero = |id: usize| self.ends[id].buffer.length == 0;
        let is_write = !self.ends[mine].op.is_readable && !self.is(Mutant::ZeroMeetsZero);
        if is_write && is_zero(mine) && is_zero(other) {
            return self.notify(mine, CopyResult::Completed);
        }
        self.notify(other, CopyResult::Completed);
        self.shared[shared].pending = Some(mine);
    }

    /// `SharedFutureImpl.read` and `write`.
    fn future_copy(&mut self, mine: usize) {
        let shared = self.ends[mine].shared;
        if self.shared[shared].dropped {
            return self.notify(mine, CopyResult::Dropped);
        }
        let Some(other) = self.shared[shared].pending.take() else {
            self.shared[shared].pending = Some(mine);
            return;
        };
        self.transfer(mine, other, 1);
        self.notify(other, CopyResult::Completed);
        self.notify(mine, CopyResult::Completed);
    }

    /// Payloads pass between two buffers.
    fn transfer(&mut self, mine: usize, other: usize, count: u32) {
        let (source, target) = match self.ends[mine].op.is_readable {
            true => (other, mine),
            false => (mine, other),
        };
        let size = self.ends[source].op.kind.payload_size();
        let at = |end: &End| end.buffer.address + end.buffer.progress * size;
        let (from, to) = (&self.ends[source], &self.ends[target]);
        let bytes = self.instances[from.instance as usize].load(at(from), count * size);
        self.instances[to.instance as usize].store(at(to), &bytes);
        for id in [source, target] {
            self.ends[id].buffer.progress += count;
        }
        self.count("payloads pass");
    }

    /// `on_copy_done`.
    fn notify(&mut self, id: usize, result: CopyResult) {
        let event = Event::Copy {
            result,
            reclaims: false,
        };
        self.ends[id].waitable.pending_event = Some(event);
    }

    /// `stream_event`, `future_event`.
    pub(super) fn event_of_copy(
        &mut self,
        id: usize,
        result: CopyResult,
        reclaims: bool,
    ) -> [u32; 3] {
        let is_idle = self.is(Mutant::FutureIsIdle);
        let End {
            op,
            shared,
            handle,
            buffer,
            ..
        } = self.ends[id];
        if reclaims {
            self.shared[shared].pending = None;
        }
        let is_done = match op.kind {
            Kind::Stream => result == CopyResult::Dropped,
            Kind::Future => result != CopyResult::Cancelled && !is_idle,
        };
        self.ends[id].state = if is_done {
            CopyState::Done
        } else {
            CopyState::Idle
        };
        let payload = match op.kind {
            Kind::Stream => result as u32 | buffer.progress << 4,
            Kind::Future => result as u32,
        };
        [op.event_code(), handle, payload]
    }

    /// `cancel_copy`.
    pub(super) fn cancel_copy(
        &mut self,
        task: u32,
        action: Op,
        handle: u32,
        op: EndOp,
        is_sync: bool,
    ) -> Run<Done> {
        let found = self.get(task, handle)?;
        let id = self.checked(found, op)?;
        let Waitable {
            set,
            has_sync_waiter,
            pending_event,
        } = &self.ends[id].waitable;
        let (is_in_set, event) = (set.is_some(), *pending_event);
        let is_none = self.ends[id].state != CopyState::Copying || *has_sync_waiter;
        trap_if(is_none, &[TrapCode::NoCopy])?;
        if is_in_set && is_sync {
            trap_if(!self.rules.cancels_ends_in_sets, &[TrapCode::WaitableInUse])?;
            self.count("deviation: a synchronous cancel of an end in a set");
        }
        self.ends[id].state = CopyState::CancellingCopy;
        match event {
            None => {
                let shared = self.ends[id].shared;
                self.shared[shared].pending = None;
                self.notify(id, CopyResult::Cancelled);
            }
            Some(Event::Copy {
                result: CopyResult::Completed,
                reclaims,
            }) if op.kind == Kind::Stream && self.rules.cancelled_after_progress => {
                self.count("deviation: a cancel after progress");
                let event = Event::Copy {
                    result: CopyResult::Cancelled,
                    reclaims,
                };
                self.ends[id].waitable.pending_event = Some(event);
            }
            Some(_) => {}
        }
        self.copy_result(task, action, id, is_sync)
    }

    /// `canon_{stream,future}_drop_{readable,writable}`.
    pub(super) fn drop_end(&mut self, task: u32, handle: u32, op: EndOp) -> Run<u64> {
        let removed = self.instance_of(task).handles.remove(handle)?;
        let id = self.checked(removed, op)?;
        let end = &self.ends[id];
        let is_future_writer = op == EndOp::new(Kind::Future, false);
        trap_if(end.copying(), &[TrapCode::EndBusy])?;
        let is_unwritten = is_future_writer && end.state != CopyState::Done;
        trap_if(is_unwritten, &[TrapCode::FutureUnwritten])?;
        let shared = end.shared;
        if !self.shared[shared].dropped {
            self.shared[shared].dropped = true;
            if let Some(pending) = self.shared[shared].pending.take()
                && !self.is(Mutant::DropIsSilent)
            {
                self.notify(pending, CopyResult::Dropped);
            }
        }
        self.join_set(WaitableId::End(id), None);
        Ok(0)
    }
}
