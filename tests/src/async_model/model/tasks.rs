//! Calls, tasks and their threads.

use cwasm::TrapCode;

use super::state::{
    Blocked, Caller, Event, Handle, Run, Subtask, SubtaskState, Task, TaskState, Then, Until,
    Value, Waitable, WaitableId, trap_if,
};
use super::{Model, Mutant, mismatch, name_of};
use crate::async_model::driver::{context_of, result_address};
use crate::async_model::program::{Action, Callee, Lift, Op, Returns};
use crate::async_model::trace::Entry;

/// What a built-in function does.
pub(super) enum Done {
    Returns(u64),
    /// Its thread waits.
    Blocks,
    /// It is no built-in: the function or callback returns.
    Finishes,
}

/// What an event is: code and two numbers.
type EventTuple = [u32; 3];

pub(super) const NONE: u32 = 0;
pub(super) const SUBTASK: u32 = 1;
pub(super) const TASK_CANCELLED: u32 = 6;

const EXIT: u32 = 0;
const YIELD: u32 = 1;
const WAIT: u32 = 2;

impl Model<'_> {
    /// `canon_lift`, without `request_cancellation`.
    pub(super) fn canon_lift(&mut self, task: u32) -> Run<()> {
        self.depth += 1;
        self.enter_implicit_thread(task)?;
        self.depth -= 1;
        if self.task(task).callee.lift.has_async_type() {
            return Ok(());
        }
        while self.task(task).state != TaskState::Resolved {
            let instance = self.instance_of(task);
            let (mut threads, exclusive) = (instance.threads.clone(), instance.exclusive_thread);
            if self.is(Mutant::PlainBlocks) {
                threads = self.tasks.keys().copied().collect();
            }
            let is_candidate = |thread: &u32| self.is_ready(*thread) && exclusive != Some(*thread);
            let candidates: Vec<u32> = threads.into_iter().filter(is_candidate).collect();
            trap_if(candidates.is_empty(), &[TrapCode::CannotBlock])?;
            match self.next_task().filter(|next| candidates.contains(next)) {
                Some(next) => self.resume(next, false)?,
                None => {
                    return mismatch(format!("the model goes on with one of {candidates:?}"));
                }
            }
            self.count("thread goes on in a plain call");
        }
        Ok(())
    }

    /// `Task.enter_implicit_thread`, and what follows.
    fn enter_implicit_thread(&mut self, task: u32) -> Run<()> {
        if self.task(task).callee.lift.has_async_type() {
            while self.must_wait(task) {
                let Some(other) = self.other_before_start(task) else {
                    self.instance_of(task).num_waiting_to_enter += 1;
                    if self
                        .wait_until(task, Until::MayStart, true, Then::Start)?
                        .is_none()
                    {
                        return Ok(());
                    }
                    self.instance_of(task).num_waiting_to_enter -= 1;
                    break;
                };
                self.count("deviation: another thread before a start");
                self.resume(other, false)?;
            }
        }
        self.start(task)
    }

    fn must_wait(&mut self, task: u32) -> bool {
        let waiting = self.instance_of(task).num_waiting_to_enter;
        let overtakes = self.is(Mutant::Overtakes);
        self.has_backpressure(&self.tasks[&task]) || waiting > 0 && !overtakes
    }

    /// The thread that the loader lets go on before a call is left waiting to start.
    fn other_before_start(&mut self, task: u32) -> Option<u32> {
        let other = self
            .next_task()
            .filter(|_| self.rules.others_before_start)?;
        let is_here = self.tasks.get(&other)?.callee.instance == self.task(task).callee.instance;
        (is_here && self.is_ready(other)).then_some(other)
    }

    /// The function of a task is called, and runs until it waits or is over.
    fn start(&mut self, task: u32) -> Run<()> {
        let Callee { instance, lift, .. } = self.task(task).callee;
        if lift.has_async_type() && self.task(task).needs_exclusive() {
            self.instance_of(task).exclusive_thread = Some(task);
        }
        self.instance_of(task).threads.push(task);
        self.task(task).state = TaskState::Started;
        let arg = self.on_start(task)?;
        self.expect(Entry::Begin {
            task,
            instance,
            arg,
        })?;
        // The guest keeps the number of its task.
        self.set_storage(task, context_of(task, 0));
        self.count(format!("{} task starts", lift.name()));
        self.core(task)
    }

    /// Code of a guest runs, until its thread waits or is over.
    fn core(&mut self, task: u32) -> Run<()> {
        loop {
            let action = match self.next_entry() {
                Some(Entry::Act { task: of, action }) if of == task => action,
                _ => return mismatch(format!("the model has that task {task} does something")),
            };
            self.at += 1;
            match self.operate(task, action)? {
                Done::Returns(value) => self.returned(task, action.op, value)?,
                Done::Blocks => return Ok(()),
                Done::Finishes => {
                    if !self.finish(task, action.args[0])? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// A built-in function has returned.
    fn returned(&mut self, task: u32, op: Op, value: u64) -> Run<()> {
        self.count_result(op, value);
        self.expect(Entry::Result { task, value })
    }

    /// The function or callback has returned: whether the callback runs now.
    fn finish(&mut self, task: u32, value: u32) -> Run<bool> {
        let Callee { lift, shape, .. } = self.task(task).callee;
        match lift {
            Lift::Plain | Lift::Blocking => {
                let value = self.lift_value(task, shape.returns(), value)?;
                self.return_(task, value)?;
            }
            Lift::Stackful => {}
            Lift::Callback => {
                let (code, set) = (value & 0xf, value >> 4);
                trap_if(code > WAIT, &[TrapCode::InvalidCallbackCode])?;
                if code != EXIT {
                    return self.wait_in_callback(task, code, set);
                }
            }
        }
        self.exit_implicit_thread(task)?;
        Ok(false)
    }

    /// Whether the callback runs now.
    fn wait_in_callback(&mut self, task: u32, code: u32, set: u32) -> Run<bool> {
        self.instance_of(task).exclusive_thread = None;
        let (until, set) = match code {
            YIELD => (Until::NotExclusive, None),
            _ => {
                let set = self.get_set(task, set)?;
                self.sets[set].num_waiting += 1;
                (Until::NotExclusiveAndEvent(set), Some(set))
            }
        };
        self.count(if code == YIELD {
            "callback yields"
        } else {
            "callback waits"
        });
        let hears = !self.is(Mutant::DeafCallback);
        match self.wait_until(task, until, hears, Then::CallBack(set))? {
            None => Ok(false),
            Some(cancelled) => {
                self.call_back(task, set, cancelled)?;
                Ok(true)
            }
        }
    }

    /// The callback begins, with an event.
    fn call_back(&mut self, task: u32, set: Option<usize>, cancelled: bool) -> Run<()> {
        let event = match set {
            _ if cancelled => [TASK_CANCELLED, 0, 0],
            None => [NONE, 0, 0],
            Some(set) => {
                let hint = match self.next_entry() {
                    Some(Entry::Event {
                        event: [_, handle, _],
                        ..
                    }) => handle,
                    _ => 0,
                };
                self.take_event(set, hint)?
            }
        };
        if let Some(set) = set {
            self.sets[set].num_waiting -= 1;
        }
        self.instance_of(task).exclusive_thread = Some(task);
        self.count_event("callback", event);
        self.expect(Entry::Event { task, event })
    }

    /// `Task.exit_implicit_thread`.
    fn exit_implicit_thread(&mut self, task: u32) -> Run<()> {
        self.instance_of(task)
            .threads
            .retain(|thread| *thread != task);
        let state = self.task(task).state;
        trap_if(state != TaskState::Resolved, &[TrapCode::NoReturn])?;
        if self.task(task).callee.lift.has_async_type() && self.task(task).needs_exclusive() {
            self.instance_of(task).exclusive_thread = None;
        }
        self.count("task ends");
        Ok(())
    }

    /// `Thread.wait_until`: nothing if the thread waits, else whether it is cancelled.
    pub(super) fn wait_until(
        &mut self,
        task: u32,
        until: Until,
        cancellable: bool,
        then: Then,
    ) -> Run<Option<bool>> {
        if self.deliver_pending_cancel(task, cancellable) {
            return Ok(Some(true));
        }
        if self.is_so(task, until) && self.next_task() == Some(task) && self.goes_on(until) {
            return Ok(Some(false));
        }
        let thread = &mut self.task(task).thread;
        thread.waits = Some((until, then));
        thread.cancellable = cancellable;
        Ok(None)
    }

    /// Whether a thread that need not wait, and has the next entry, does not. If it is alone on the
    /// stack, it makes no difference.
    fn goes_on(&mut self, until: Until) -> bool {
        if self.depth == 1 {
            return true;
        }
        // What the loader does is tried first.
        self.choose() == (until == Until::Turn)
    }

    /// `Task.deliver_pending_cancel`.
    fn deliver_pending_cancel(&mut self, task: u32, cancellable: bool) -> bool {
        let forgets = self.is(Mutant::ForgetsCancellation);
        let task = self.task(task);
        if !cancellable || task.state != TaskState::PendingCancel || forgets {
            return false;
        }
        task.state = TaskState::CancelDelivered;
        self.count("pending cancellation is delivered");
        true
    }

    /// `Thread.resume`: a thread that waits goes on.
    pub(super) fn resume(&mut self, task: u32, cancelled: bool) -> Run<()> {
        self.depth += 1;
        self.resume_thread(task, cancelled)?;
        self.depth -= 1;
        Ok(())
    }

    fn resume_thread(&mut self, task: u32, cancelled: bool) -> Run<()> {
        let Some((_, then)) = self.task(task).thread.waits.take() else {
            return mismatch(format!("task {task} does not wait"));
        };
        match then {
            Then::Start => {
                self.instance_of(task).num_waiting_to_enter -= 1;
                match cancelled {
                    true => self.cancel(task),
                    false => self.start(task),
                }
            }
            Then::CallBack(set) => {
                self.call_back(task, set, cancelled)?;
                self.core(task)
            }
            Then::Return(op, blocked) => {
                let value = self.after_wait(blocked)?;
                self.returned(task, op, value)?;
                self.core(task)
            }
        }
    }

    /// `Task.request_cancellation`.
    pub(super) fn request_cancellation(&mut self, task: u32) -> Run<()> {
        let exclusive = self.instance_of(task).exclusive_thread;
        let found = self.task(task);
        if found.state == TaskState::Initial {
            found.state = TaskState::CancelDelivered;
            self.count("cancelled before it starts");
            return self.resume(task, true);
        }
        let is_locked = found.needs_exclusive() && exclusive.is_some_and(|thread| thread != task);
        if found.thread.waits.is_some() && found.thread.cancellable && !is_locked {
            found.state = TaskState::CancelDelivered;
            self.count("cancelled while it waits");
            return self.resume(task, true);
        }
        found.state = TaskState::PendingCancel;
        self.count("cancellation is pending");
        Ok(())
    }

    /// `Task.return_`.
    pub(super) fn return_(&mut self, task: u32, value: Value) -> Run<()> {
        let state = self.task(task).state;
        trap_if(state == TaskState::Resolved, &[TrapCode::TaskResolved])?;
        self.on_resolve(task, Some(value))?;
        self.task(task).state = TaskState::Resolved;
        Ok(())
    }

    /// `Task.cancel`.
    pub(super) fn cancel(&mut self, task: u32) -> Run<()> {
        match self.task(task).state {
            TaskState::CancelDelivered => {}
            TaskState::Resolved => return self.trap(&[TrapCode::TaskResolved]),
            _ => return self.trap(&[TrapCode::TaskNotCancelled]),
        }
        self.on_resolve(task, None)?;
        self.task(task).state = TaskState::Resolved;
        Ok(())
    }

    /// `canon_lower`.
    pub(super) fn canon_lower(&mut self, task: u32, action: Action) -> Run<Done> {
        let Op::Call { callee, is_sync } = action.op else {
            unreachable!("a call is lowered");
        };
        let instance = self.task(task).callee.instance;
        let [callee_task, arg, _] = action.args;
        let id = self.subtasks.len();
        self.subtasks.push(Subtask {
            waitable: Waitable::default(),
            state: SubtaskState::Starting,
            task: callee_task,
            cancellation_requested: false,
            resolve_delivered: false,
            handle: None,
            instance,
            arg,
            address: (!is_sync).then(|| result_address(callee, action.args)),
            flat_result: 0,
        });
        self.tasks
            .insert(callee_task, Task::new(callee, Caller::Subtask(id)));
        if self.is(Mutant::EarlyArguments)
            && let Some(kind) = callee.shape.takes()
        {
            self.subtasks[id].arg = self.lift_end(instance, arg, kind)? as u32;
        }
        self.canon_lift(callee_task)?;
        if is_sync {
            let until = Until::Resolved(id);
            if !self.subtasks[id].resolved() {
                return self.block(task, action.op, until, Blocked::Call(id));
            }
            return Ok(Done::Returns(self.after_wait(Blocked::Call(id))?));
        }
        if self.subtasks[id].resolved() {
            self.deliver_resolve(id);
            return Ok(Done::Returns(SubtaskState::Returned as u64));
        }
        let waitable = Handle::Waitable(WaitableId::Subtask(id));
        let handle = self.instance_of(task).handles.add(waitable);
        let subtask = &mut self.subtasks[id];
        subtask.handle = Some(handle);
        Ok(Done::Returns(u64::from(subtask.state as u32 | handle << 4)))
    }

    /// Waits in a built-in function.
    pub(super) fn block(&mut self, task: u32, op: Op, until: Until, blocked: Blocked) -> Run<Done> {
        match self.wait_until(task, until, false, Then::Return(op, blocked))? {
            None => {
                self.count(format!("{} waits", name_of(op)));
                Ok(Done::Blocks)
            }
            Some(_) => Ok(Done::Returns(self.after_wait(blocked)?)),
        }
    }

    /// `Subtask.deliver_resolve`.
    pub(super) fn deliver_resolve(&mut self, id: usize) {
        self.subtasks[id].resolve_delivered = true;
    }

    /// The caller's `on_progress`.
    fn on_progress(&mut self, id: usize) {
        if self.subtasks[id].handle.is_some() {
            self.waitable_mut(WaitableId::Subtask(id)).pending_event = Some(Event::Subtask);
        }
    }

    /// `on_start`: the second argument of the function.
    fn on_start(&mut self, task: u32) -> Run<u32> {
        let Caller::Subtask(id) = self.task(task).on_resolve else {
            return Ok(0);
        };
        self.on_progress(id);
        let callee = self.task(task).callee;
        let subtask = &mut self.subtasks[id];
        subtask.state = SubtaskState::Started;
        let (instance, arg) = (subtask.instance, subtask.arg);
        let Some(kind) = callee.shape.takes() else {
            return Ok(0);
        };
        let shared = match self.is(Mutant::EarlyArguments) {
            true => arg as usize,
            false => self.lift_end(instance, arg, kind)?,
        };
        Ok(self.lower_end(callee.instance, shared))
    }

    /// `on_resolve`.
    fn on_resolve(&mut self, task: u32, value: Option<Value>) -> Run<()> {
        let id = match self.task(task).on_resolve {
            Caller::Subtask(id) => id,
            Caller::Host => {
                if let Some(Value::Number(value)) = value {
                    self.task(task).result = Some(value);
                }
                return Ok(());
            }
        };
        self.on_progress(id);
        let had_started = self.subtasks[id].state == SubtaskState::Started
            || self.is(Mutant::CancelledAfterStart);
        let Some(value) = value else {
            self.subtasks[id].state = match had_started {
                true => SubtaskState::CancelledBeforeReturned,
                false => SubtaskState::CancelledBeforeStarted,
            };
            return Ok(());
        };
        let instance = self.subtasks[id].instance;
        let flat = match value {
            Value::Nothing => None,
            Value::Number(value) => Some(value),
            Value::Shared(shared) => Some(self.lower_end(instance, shared)),
        };
        let subtask = &mut self.subtasks[id];
        subtask.state = SubtaskState::Returned;
        subtask.flat_result = flat.unwrap_or(0);
        if let (Some(flat), Some(address)) = (flat, subtask.address) {
            self.instances[instance as usize].store(address, &flat.to_le_bytes());
        }
        Ok(())
    }

    /// A value of a task, which may be a handle.
    pub(super) fn lift_value(&mut self, task: u32, returns: Returns, flat: u32) -> Run<Value> {
        let instance = self.task(task).callee.instance;
        Ok(match returns {
            Returns::Nothing => Value::Nothing,
            Returns::Number => Value::Number(flat),
            Returns::End(kind) => Value::Shared(self.lift_end(instance, flat, kind)?),
        })
    }

    pub(super) fn event_of_subtask(&mut self, id: usize) -> EventTuple {
        let subtask = &self.subtasks[id];
        let event = [SUBTASK, subtask.handle.unwrap_or(0), subtask.state as u32];
        if subtask.resolved() {
            self.deliver_resolve(id);
        }
        event
    }
}
