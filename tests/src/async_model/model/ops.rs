//! The built-in functions, but those of streams and futures.

use cwasm::TrapCode;

use super::state::{
    Blocked, CopyResult, Event, Handle, Run, Set, TaskState, Until, Waitable, WaitableId, trap_if,
};
use super::tasks::{Done, NONE, SUBTASK};
use super::{Model, Mutant, mismatch, name_of};
use crate::async_model::program::{Action, Op, Returns};
use crate::async_model::trace::Entry;

/// What a built-in function returns that cannot end now.
pub(super) const BLOCKED: u32 = 0xffff_ffff;
/// The number of `backpressure.inc`s that traps.
const MAX_BACKPRESSURE: u32 = 1 << 16;

impl Model<'_> {
    /// A guest does something.
    pub(super) fn operate(&mut self, task: u32, action: Action) -> Run<Done> {
        let Action {
            op,
            args: [first, second, _],
        } = action;
        let instance = self.task(task).callee.instance;
        let value: u64 = match op {
            Op::Finish => return Ok(Done::Finishes),
            Op::Return(returns) => self.task_return(task, returns, first)?,
            Op::TaskCancel => {
                let is_async = self.task(task).callee.lift.has_async_option();
                trap_if(!is_async, &[TrapCode::SyncTask])?;
                self.cancel(task)?;
                0
            }
            Op::SubtaskCancel { is_sync } => return self.subtask_cancel(task, op, first, is_sync),
            Op::SubtaskDrop => self.subtask_drop(task, first)?,
            Op::SetNew => {
                self.sets.push(Set::default());
                let set = Handle::Set(self.sets.len() - 1);
                self.instance_of(task).handles.add(set).into()
            }
            Op::SetWait => {
                let set = self.get_set(task, first)?;
                self.sets[set].num_waiting += 1;
                let blocked = Blocked::SetWait {
                    set,
                    address: second,
                };
                return self.block(task, op, Until::Event(set), blocked);
            }
            Op::SetPoll => {
                let set = self.get_set(task, first)?;
                let event = match self.has_event(set) {
                    true => self.take_reported_event(set)?,
                    false => [NONE, 0, 0],
                };
                self.unpack_event(instance, second, event)
            }
            Op::SetDrop => {
                let Handle::Set(set) = self.instance_of(task).handles.remove(first)? else {
                    return self.trap(&[TrapCode::WrongHandleKind]);
                };
                let Set { elems, num_waiting } = &self.sets[set];
                let is_full = !elems.is_empty() && !self.is(Mutant::DropsFullSets);
                trap_if(is_full || *num_waiting > 0, &[TrapCode::SetInUse])?;
                0
            }
            Op::Join => self.join(task, first, second)?,
            Op::New(kind) => self.new_ends(task, kind),
            Op::Copy { end, is_sync } => return self.copy(task, action, end, is_sync),
            Op::Cancel { end, is_sync } => return self.cancel_copy(task, op, first, end, is_sync),
            Op::Drop(end) => self.drop_end(task, first, end)?,
            Op::BackpressureInc => {
                let backpressure = &mut self.instance_of(task).backpressure;
                *backpressure += 1;
                let is_over = *backpressure == MAX_BACKPRESSURE;
                trap_if(is_over, &[TrapCode::BackpressureOverflow])?;
                0
            }
            Op::BackpressureDec => {
                let backpressure = &mut self.instance_of(task).backpressure;
                trap_if(*backpressure == 0, &[TrapCode::BackpressureOverflow])?;
                *backpressure -= 1;
                0
            }
            Op::Yield => return self.block(task, op, Until::Turn, Blocked::Yield),
            Op::ContextGet => self.storage(task).into(),
            Op::ContextSet => {
                self.set_storage(task, first);
                0
            }
            Op::Peek => {
                let bytes = self.instance_of(task).load(first, 8);
                bytes
                    .iter()
                    .rev()
                    .fold(0, |value, byte| value << 8 | u64::from(*byte))
            }
            Op::Poke => {
                let memory = self.instance_of(task);
                memory.store(first, &second.to_le_bytes());
                memory.store(first + 4, &action.args[2].to_le_bytes());
                0
            }
            Op::Unreachable => return self.trap(&[TrapCode::Unreachable]),
            Op::Call { .. } => return self.canon_lower(task, action),
        };
        Ok(Done::Returns(value))
    }

    /// What a built-in function returns whose thread has waited.
    pub(super) fn after_wait(&mut self, blocked: Blocked) -> Run<u64> {
        Ok(match blocked {
            Blocked::Yield => 0,
            Blocked::SetWait { set, address } => {
                let event = self.take_reported_event(set)?;
                self.sets[set].num_waiting -= 1;
                let instance = self.instance_of_reporter()?;
                self.unpack_event(instance, address, event)
            }
            Blocked::Call(subtask) => {
                self.deliver_resolve(subtask);
                self.subtasks[subtask].flat_result.into()
            }
            Blocked::SubtaskCancel(subtask) => {
                let of = WaitableId::Subtask(subtask);
                self.waitable_mut(of).has_sync_waiter = false;
                let [_, _, state] = self.get_pending_event(of);
                state.into()
            }
            Blocked::Copy(end) => {
                let of = WaitableId::End(end);
                self.waitable_mut(of).has_sync_waiter = false;
                let [_, _, payload] = self.get_pending_event(of);
                payload.into()
            }
        })
    }

    fn storage(&mut self, task: u32) -> u32 {
        let of = self.storage_of(task);
        self.task(of).thread.storage
    }

    pub(super) fn set_storage(&mut self, task: u32, value: u32) {
        let of = self.storage_of(task);
        self.task(of).thread.storage = value;
    }

    /// The task whose thread has the storage of this one.
    fn storage_of(&self, task: u32) -> u32 {
        let first = self.tasks.keys().next().copied();
        first
            .filter(|_| self.is(Mutant::SharedStorage))
            .unwrap_or(task)
    }

    fn task_return(&mut self, task: u32, returns: Returns, flat: u32) -> Run<u64> {
        let callee = self.task(task).callee;
        trap_if(!callee.lift.has_async_option(), &[TrapCode::SyncTask])?;
        trap_if(
            returns != callee.shape.returns(),
            &[TrapCode::InvalidTaskReturn],
        )?;
        // The text lifts the value before it traps; it traps in any case.
        let is_resolved = self.task(task).state == TaskState::Resolved;
        trap_if(is_resolved, &[TrapCode::TaskResolved])?;
        let value = self.lift_value(task, returns, flat)?;
        self.return_(task, value)?;
        Ok(0)
    }

    fn subtask_cancel(&mut self, task: u32, op: Op, handle: u32, is_sync: bool) -> Run<Done> {
        let Handle::Waitable(of @ WaitableId::Subtask(id)) = self.get(task, handle)? else {
            return self.trap(&[TrapCode::WrongHandleKind]);
        };
        let subtask = &self.subtasks[id];
        let is_late = subtask.resolve_delivered || subtask.cancellation_requested;
        trap_if(is_late, &[TrapCode::SubtaskCancelled])?;
        let is_in_set = subtask.waitable.set.is_some();
        trap_if(is_in_set && is_sync, &[TrapCode::WaitableInUse])?;
        if !subtask.resolved() {
            let callee = subtask.task;
            self.subtasks[id].cancellation_requested = true;
            self.request_cancellation(callee)?;
            if !self.subtasks[id].resolved() {
                if !is_sync {
                    return Ok(Done::Returns(BLOCKED.into()));
                }
                // The text waits for a pending event here, and asserts that it is the last one;
                // that the subtask has started can be pending as well.
                self.waitable_mut(of).has_sync_waiter = true;
                return self.block(task, op, Until::Resolved(id), Blocked::SubtaskCancel(id));
            }
        }
        let [_, _, state] = self.get_pending_event(of);
        Ok(Done::Returns(state.into()))
    }

    fn subtask_drop(&mut self, task: u32, handle: u32) -> Run<u64> {
        let removed = self.instance_of(task).handles.remove(handle)?;
        let Handle::Waitable(of @ WaitableId::Subtask(id)) = removed else {
            return self.trap(&[TrapCode::WrongHandleKind]);
        };
        trap_if(
            !self.subtasks[id].resolve_delivered,
            &[TrapCode::SubtaskUnresolved],
        )?;
        self.join_set(of, None);
        Ok(0)
    }

    /// `waitable.join`.
    fn join(&mut self, task: u32, handle: u32, set: u32) -> Run<u64> {
        let Handle::Waitable(of) = self.get(task, handle)? else {
            return self.trap(&[TrapCode::WrongHandleKind]);
        };
        trap_if(
            self.waitable(of).has_sync_waiter,
            &[TrapCode::WaitableInUse],
        )?;
        let set = match set {
            0 => None,
            set => Some(self.get_set(task, set)?),
        };
        self.join_set(of, set);
        Ok(0)
    }

    pub(super) fn get(&mut self, task: u32, handle: u32) -> Run<Handle> {
        self.instance_of(task).handles.get(handle)
    }

    pub(super) fn get_set(&mut self, task: u32, handle: u32) -> Run<usize> {
        match self.get(task, handle)? {
            Handle::Set(set) => Ok(set),
            Handle::Waitable(_) => self.trap(&[TrapCode::WrongHandleKind]),
        }
    }

    pub(super) fn waitable(&self, of: WaitableId) -> &Waitable {
        match of {
            WaitableId::Subtask(id) => &self.subtasks[id].waitable,
            WaitableId::End(id) => &self.ends[id].waitable,
        }
    }

    pub(super) fn waitable_mut(&mut self, of: WaitableId) -> &mut Waitable {
        match of {
            WaitableId::Subtask(id) => &mut self.subtasks[id].waitable,
            WaitableId::End(id) => &mut self.ends[id].waitable,
        }
    }

    /// `Waitable.join`.
    pub(super) fn join_set(&mut self, of: WaitableId, set: Option<usize>) {
        let before = std::mem::replace(&mut self.waitable_mut(of).set, set);
        if let Some(before) = before {
            self.sets[before].elems.retain(|elem| *elem != of);
        }
        if let Some(set) = set {
            self.sets[set].elems.push(of);
        }
    }

    /// `WaitableSet.has_pending_event`.
    pub(super) fn has_event(&self, set: usize) -> bool {
        let elems = &self.sets[set].elems;
        elems
            .iter()
            .any(|elem| self.waitable(*elem).pending_event.is_some())
    }

    /// Takes the event of the member of a set with this handle.
    pub(super) fn take_event(&mut self, set: usize, handle: u32) -> Run<[u32; 3]> {
        let elems = self.sets[set].elems.clone();
        let pending = |elem: &WaitableId| self.waitable(*elem).pending_event.is_some();
        let elems: Vec<WaitableId> = elems.into_iter().filter(pending).collect();
        if elems.len() > 1 {
            self.count("choice between events");
        }
        let chosen = elems.iter().find(|elem| self.handle_of(**elem) == handle);
        match chosen {
            Some(elem) => Ok(self.get_pending_event(*elem)),
            None => {
                let handles: Vec<u32> = elems.iter().map(|elem| self.handle_of(*elem)).collect();
                mismatch(format!("the model has events of {handles:?}"))
            }
        }
    }

    /// Takes the event of a set that a built-in returns: the guest reads its handle afterwards.
    fn take_reported_event(&mut self, set: usize) -> Run<[u32; 3]> {
        let peeked = match self.trace.get(self.at..).unwrap_or_default() {
            [
                Entry::Result { .. },
                Entry::Act { action, .. },
                Entry::Result { value, .. },
                ..,
            ] if action.op == Op::Peek => *value as u32,
            _ => 0,
        };
        self.take_event(set, peeked)
    }

    /// The instance whose code has the next result.
    fn instance_of_reporter(&mut self) -> Run<u32> {
        match self.next_task() {
            Some(task) => Ok(self.task(task).callee.instance),
            None => mismatch("the model has a result of a built-in"),
        }
    }

    fn handle_of(&self, of: WaitableId) -> u32 {
        match of {
            WaitableId::Subtask(id) => self.subtasks[id].handle.unwrap_or(0),
            WaitableId::End(id) => self.ends[id].handle,
        }
    }

    /// `Waitable.get_pending_event`, of one that has an event.
    pub(super) fn get_pending_event(&mut self, of: WaitableId) -> [u32; 3] {
        let event = self.waitable_mut(of).pending_event.take();
        match (of, event) {
            (WaitableId::End(id), Some(Event::Copy { result, reclaims })) => {
                self.event_of_copy(id, result, reclaims)
            }
            (WaitableId::End(id), _) => self.event_of_copy(id, CopyResult::Completed, false),
            (WaitableId::Subtask(id), _) => self.event_of_subtask(id),
        }
    }

    /// `unpack_event`.
    fn unpack_event(&mut self, instance: u32, address: u32, event: [u32; 3]) -> u64 {
        let [code, first, second] = event;
        let memory = &mut self.instances[instance as usize];
        memory.store(address, &first.to_le_bytes());
        memory.store(address + 4, &second.to_le_bytes());
        self.count_event("set", event);
        code.into()
    }

    pub(super) fn count_event(&mut self, by: &str, [code, _, payload]: [u32; 3]) {
        let what = match code {
            NONE => "nothing".to_owned(),
            SUBTASK => format!("subtask {}", state_name(payload)),
            2 => format!("stream read {}", result_name(payload)),
            3 => format!("stream write {}", result_name(payload)),
            4 => format!("future read {}", result_name(payload)),
            5 => format!("future write {}", result_name(payload)),
            _ => "cancelled".to_owned(),
        };
        self.count(format!("event of {by}: {what}"));
    }

    pub(super) fn count_result(&mut self, op: Op, value: u64) {
        let name = name_of(op);
        let low = value as u32;
        let what = match op {
            Op::Copy { .. } | Op::Cancel { .. } => result_name(low),
            Op::SubtaskCancel { .. } if low == BLOCKED => "blocked",
            Op::SubtaskCancel { .. } => state_name(low),
            Op::Call { is_sync: false, .. } => state_name(low & 15),
            _ => "",
        };
        self.count(format!("{name} {what}").trim_end().to_owned());
    }
}

fn result_name(payload: u32) -> &'static str {
    match (payload == BLOCKED, payload & 15) {
        (true, _) => "blocked",
        (_, 0) => "completed",
        (_, 1) => "dropped",
        _ => "cancelled",
    }
}

fn state_name(state: u32) -> &'static str {
    match state {
        0 => "starting",
        1 => "started",
        2 => "returned",
        3 => "cancelled before start",
        _ => "cancelled before return",
    }
}
