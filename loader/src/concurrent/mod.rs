//! Tasks: what the asynchronous canonical ABI does (`CanonicalABI.md` of the specification).
//!
//! ```text
//! host -> call -> task -+-> code on this stack, up to where it returns or waits for its callback
//!                       +-> code on a fiber, if it can wait in the middle
//! guest -> trampoline -> run_op -> ops: built-in functions
//!                                  calls: subtask -> task of another instance
//!                                  copies: from one memory to another
//! ```
//!
//! A task that waits is remembered ([`tasks`](crate::vm::tasks)). It goes on when the host polls
//! ([`drive`]), or when a call that cannot wait needs it.
//!
//! **Invariant:** no reference into the store is kept while code of a guest runs: all are made
//! anew.
//! **Invariant:** functions whose frames may be on a fiber while it waits have their parts
//! [`apart`](crate::vm::caller::apart), as in [`fiber`](crate::vm::fiber).
#![allow(unsafe_code, reason = "follows addresses that compiled code gives")]

mod accessor;
mod calls;
mod copies;
mod ends;
mod error_contexts;
mod exchange;
mod futures;
mod host;
mod imports;
mod ops;
mod values;
mod waking;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};

use cwasm_format::TrapCode;
use cwasm_format::concurrent::{ConcurrentRecord, OpRecord};
use cwasm_format::describe::Description;
use cwasm_format::vmctx::{VmConcurrent, VmContext, VmHandles};

use crate::error::{Error, Result};
use crate::vm::canon::CanonOptions;
use crate::vm::enter::{Entered, Failure, fail, panicked};
use crate::vm::instance::InstanceData;
use crate::vm::store::{StoreOpaque, TaskFuncs};
use crate::vm::tasks::slab::Id;
use crate::vm::tasks::waitables::{Event, WaitableRef};
use crate::vm::tasks::{self, Instance, Tasks};
use futures::Futures;

pub use accessor::{Access, Accessor};
pub(crate) use accessor::{poll, run_concurrent};
pub use ends::{FutureReader, FutureWriter, StreamReader, StreamWriter};
pub use exchange::Payload;
pub(crate) use host::{HostCall, Target, call, call_concurrent, poll_call};
pub(crate) use imports::{BoxedFuture, Values, call_host};

/// What a built-in function returns that cannot end now.
const BLOCKED: u64 = 0xffff_ffff;

/// Turns that tasks have before the executor is asked whether there is something else to do.
const TURNS: u32 = 64;

/// A store whose tasks run.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// Invariant 1: a store that this thread has for itself, as long as this is used.
    store: NonNull<StoreOpaque>,
    /// Invariant 2: the tasks of that store, which stay where they are as long as it.
    tasks: NonNull<Tasks>,
}

impl Run {
    pub(crate) fn new(store: &mut StoreOpaque) -> Run {
        // The provenance of all of a store's allocation was exposed when it was made.
        let address = std::ptr::from_mut(store).addr();
        let tasks = std::ptr::from_mut(tasks::of(store)).expose_provenance();
        let store = NonNull::new(std::ptr::with_exposed_provenance_mut(address));
        let tasks = NonNull::new(std::ptr::with_exposed_provenance_mut(tasks));
        match (store, tasks) {
            (Some(store), Some(tasks)) => Run { store, tasks },
            _ => unreachable!("references are not null"),
        }
    }

    /// The store, until code of a guest runs.
    fn store<'a>(self) -> &'a mut StoreOpaque {
        // SAFETY: ours (invariant 1); references are not kept (see above).
        unsafe { &mut *self.store.as_ptr() }
    }

    /// The tasks, until code of a guest runs.
    fn tasks<'a>(self) -> &'a mut Tasks {
        // SAFETY: ours (invariants 1 and 2); references are not kept (see above).
        unsafe { &mut *self.tasks.as_ptr() }
    }

    /// The host's futures, until one of them is polled.
    fn futures<'a>(self) -> &'a mut Futures {
        let futures = &mut self.tasks().futures;
        let futures = futures.get_or_insert_with(|| Box::<Futures>::default());
        match futures.downcast_mut() {
            Some(futures) => futures,
            None => unreachable!("nothing else is kept there"),
        }
    }

    fn instance<'a>(self, id: Id) -> &'a mut Instance {
        &mut self.tasks().instances[id.index()]
    }

    fn record<'a>(self, id: Id) -> &'a ConcurrentRecord {
        // SAFETY: of the artifact of an instance, both of which live as long as the store.
        unsafe { self.instance(id).record.as_ref() }
    }

    fn data<'a>(self, id: Id) -> &'a InstanceData {
        // SAFETY: an instance of the store, which lives as long.
        unsafe { InstanceData::of(self.instance(id).context) }
    }

    fn description<'a>(self, id: Id) -> &'a Description {
        // SAFETY: of the artifact of an instance, both of which live as long as the store.
        unsafe { self.instance(id).description.as_ref() }
    }

    /// The handles of a component instance.
    fn handles<'a>(self, id: Id) -> &'a mut VmHandles {
        let offset = self.record(id).handles;
        // SAFETY: the plan has checked the record.
        let table = unsafe { self.data(id).slot::<VmHandles>(offset) };
        // SAFETY: the store is ours (invariant 1), and so its tables.
        unsafe { &mut *table.as_ptr() }
    }

    /// What a component instance shares with its code.
    fn shared<'a>(self, id: Id) -> &'a mut VmConcurrent {
        let offset = self.record(id).slot;
        // SAFETY: the plan has checked the record.
        let slot = unsafe { self.data(id).slot::<VmConcurrent>(offset) };
        // SAFETY: the store is ours (invariant 1), and so the contexts of its instances.
        unsafe { &mut *slot.as_ptr() }
    }

    /// The number of the component instance with this record, of the instance with this context.
    fn enter_instance(self, context: NonNull<VmContext>, index: u32) -> Result<Id> {
        // SAFETY: the context of an instance of the store.
        let data = unsafe { InstanceData::of(context) };
        let Some(record) = data.unit().artifact().concurrent().get(index as usize) else {
            return Err(Error::msg("an operation of an instance that is not there"));
        };
        // SAFETY: the plan has checked the record.
        let slot = unsafe { data.slot::<VmConcurrent>(record.slot) };
        // SAFETY: the store is ours (invariant 1), and so the contexts of its instances.
        let shared = unsafe { &mut *slot.as_ptr() };
        if let Some(number) = shared.number.checked_sub(1) {
            return Ok(Id(number as u32));
        }
        let description = NonNull::from(&**data.unit().description()?);
        let instances = &mut self.tasks().instances;
        instances.push(Instance {
            context,
            record: NonNull::from(record),
            description,
            backpressure: 0,
            exclusive: None,
            entering: Default::default(),
            locked: Default::default(),
        });
        shared.number = instances.len() as u64;
        Ok(Id(instances.len() as u32 - 1))
    }

    /// Does something for a component instance: nothing of its component runs any more if that
    /// fails or panics.
    fn closing<R>(self, id: Id, body: impl FnOnce() -> Result<R>) -> Result<R> {
        // SAFETY: an instance of the store, which is ours (invariant 1); references are not kept.
        let entered = unsafe { Entered::new(self.instance(id).context) };
        let result = body()?;
        entered.leave();
        Ok(result)
    }

    /// The options of a record of a component instance.
    fn options(self, id: Id, options: &cwasm_format::exports::CanonOptions) -> CanonOptions {
        let (data, flags) = (self.data(id), self.record(id).flags);
        // SAFETY: the context of a live instance, and the plan has checked the options of its
        // artifact's records, and the flags.
        unsafe { CanonOptions::new(data.context(), || data.text(), options, flags) }
    }

    /// The options of a task's function.
    fn task_options(self, id: Id) -> CanonOptions {
        let task = &self.tasks().tasks[id];
        self.options(task.instance, &task.record().options)
    }

    /// Takes an event of a set, if there is one.
    fn take_event(self, set: Id) -> Option<Event> {
        let of = self.tasks().next_event(set)?;
        Some(self.deliver(of))
    }

    /// Takes the event of a waitable, which has one.
    fn deliver(self, of: WaitableRef) -> Event {
        let event = self.tasks().deliver(of);
        if let WaitableRef::Subtask(id) = of {
            self.subtask_seen(id);
        }
        event
    }

    /// The caller has seen the state of a subtask.
    fn subtask_seen(self, id: Id) {
        let subtask = &mut self.tasks().subtasks[id];
        if !subtask.state.is_resolved() || subtask.is_delivered {
            return;
        }
        let instance = subtask.instance;
        subtask.is_delivered = true;
        let lenders = std::mem::take(&mut subtask.lenders);
        for handle in lenders {
            crate::vm::handles::unlend(self.handles(instance), handle);
        }
    }
}

/// What stores do for tasks.
pub(crate) const FUNCS: TaskFuncs = TaskFuncs {
    run: run_op,
    end,
    give_way,
};

/// How many tasks there are.
pub(crate) fn task_count(store: &mut StoreOpaque) -> usize {
    match store.tasks {
        Some(_) => Run::new(store).tasks().tasks.len(),
        None => 0,
    }
}

/// The time slice of the task that runs, if one does, is over.
fn give_way(store: &mut StoreOpaque) {
    if store.tasks.is_some() {
        let run = Run::new(store);
        run.tasks().is_slice_over = ops::take_turns(run);
    }
}

/// Ends the tasks of a store that is dropped: what they have on their stacks is dropped.
fn end(store: &mut StoreOpaque) {
    let run = Run::new(store);
    let futures = run.futures().clear();
    accessor::with_store(run, || drop(futures));
    let ids: Vec<Id> = run.tasks().tasks.ids().collect();
    for id in ids {
        calls::end(run, id);
    }
}

/// Runs an operation of compiled code: the status.
///
/// # Safety
/// - As for [`RunOp`](crate::vm::store::RunOp).
unsafe fn run_op(
    store: &mut StoreOpaque,
    context: NonNull<VmContext>,
    op: NonNull<OpRecord>,
    values: NonNull<u64>,
) -> u64 {
    let run = Run::new(store);
    // SAFETY: a record of an artifact that is mapped (the caller's contract).
    let record = unsafe { op.as_ref() };
    // SAFETY: there are as many values (the caller's contract), which nobody changes.
    let args = unsafe { std::slice::from_raw_parts(values.as_ptr(), record.count as usize) };
    let run_it = AssertUnwindSafe(|| ops::run(run, context, op, args));
    match catch_unwind(run_it) {
        Ok(Ok(value)) => {
            // SAFETY: there is a place for the result (the caller's contract).
            unsafe { values.write(value) };
            0
        }
        Ok(Err(error)) => fail(run.store(), Failure::Guest(error)).status,
        Err(payload) => panicked(run.store(), payload).status,
    }
}

/// What a turn was.
pub(crate) enum Turn {
    /// Something has gone on.
    Taken,
    /// All tasks wait for the host.
    Waits,
    /// Nothing can ever go on.
    Deadlock,
}

/// Lets one task go on, or futures of the host that were woken.
///
/// # Errors
/// Those of a task or future.
fn take_turn(run: Run, context: &mut Context<'_>) -> Result<Turn> {
    let polled = NonNull::from(&mut *context).cast::<Context<'static>>();
    let outer = run.tasks().polled.replace(polled);
    let turn = take_turn_polled(run);
    run.tasks().polled = outer;
    turn
}

fn take_turn_polled(run: Run) -> Result<Turn> {
    if futures::poll_woken(run)? {
        return Ok(Turn::Taken);
    }
    if let Some(task) = run.tasks().next(None) {
        let instance = run.tasks().tasks[task].instance;
        run.closing(instance, || calls::go_on(run, task))
            .inspect_err(|error| {
                let code = error.trap().map(|trap| trap.code());
                run.tasks().failed = code.map(|code| (task, code));
            })?;
        return Ok(Turn::Taken);
    }
    Ok(match run.futures().is_empty() {
        false => Turn::Waits,
        true => Turn::Deadlock,
    })
}

/// Runs tasks until `is_done`, or until all of them wait.
///
/// # Errors
/// A trap of a task, or an error of the host; [`TrapCode::Deadlock`] if none of them can ever go
/// on.
pub(crate) fn drive(
    run: Run,
    context: &mut Context<'_>,
    is_done: &dyn Fn() -> bool,
) -> Poll<Result<()>> {
    run.futures().set_waker(context.waker());
    for _ in 0..TURNS {
        if is_done() {
            return Poll::Ready(Ok(()));
        }
        match take_turn(run, context)? {
            Turn::Taken if std::mem::take(&mut run.tasks().is_slice_over) => break,
            Turn::Taken => {}
            Turn::Waits => return Poll::Pending,
            Turn::Deadlock => return Poll::Ready(Err(Error::trapped(TrapCode::Deadlock))),
        }
    }
    context.waker().wake_by_ref();
    Poll::Pending
}

/// As [`drive`], for a caller that cannot wait.
///
/// # Errors
/// As [`drive`]; or all tasks wait for the host.
pub(crate) fn drive_to_end(run: Run, is_done: &dyn Fn() -> bool) -> Result<()> {
    let mut context = Context::from_waker(Waker::noop());
    while !is_done() {
        match take_turn(run, &mut context)? {
            Turn::Taken => {}
            Turn::Waits => return Err(accessor::waits()),
            Turn::Deadlock => return Err(Error::trapped(TrapCode::Deadlock)),
        }
    }
    Ok(())
}
