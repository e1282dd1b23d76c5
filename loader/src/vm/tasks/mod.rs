//! The tasks of a store, and what they wait for: subtasks, streams and futures, and sets of them
//! (`Task`, `Waitable` and so on of the specification).
//!
//! Only what is remembered: what a task does when it runs is in [`concurrent`](crate::concurrent).

mod queues;
pub(crate) mod slab;
pub(crate) mod streams;
pub(crate) mod waitables;

use std::any::Any;
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::Context;

use cwasm_format::TrapCode;
use cwasm_format::abi::MAX_FLAT_ASYNC_PARAMS;
use cwasm_format::concurrent::{ConcurrentRecord, OpRecord, TaskRecord};
use cwasm_format::describe::Description;
use cwasm_format::vmctx::VmContext;

use super::error_context::ErrorContext;
use super::fiber::Fiber;
use super::random::Random;
use super::store::StoreOpaque;
use crate::error::Result;
use queues::{Entering, Ready};
use slab::{Id, Slab};
use streams::{End, Shared};
use waitables::{Set, Waitable, WaitableRef};

/// The tasks of a store.
#[derive(Default)]
pub(crate) struct Tasks {
    /// Component instances that have had tasks.
    pub(crate) instances: Vec<Instance>,
    pub(crate) tasks: Slab<Task>,
    pub(crate) subtasks: Slab<Subtask>,
    pub(crate) sets: Slab<Set>,
    pub(crate) streams: Slab<Shared>,
    pub(crate) ends: Slab<End>,
    /// One for each handle; those of the same error context are clones.
    pub(crate) error_contexts: Slab<ErrorContext>,
    /// The bytes of all messages that guests have made.
    pub(crate) message_bytes: Arc<AtomicUsize>,
    /// How many streams and futures there have been.
    pub(crate) serial: u64,
    /// How many tasks have stacks.
    pub(crate) fibers: usize,
    /// The task that runs.
    pub(crate) current: Option<Id>,
    /// The task that has just trapped, until the others of its component have ended, and with what.
    pub(crate) failed: Option<(Id, TrapCode)>,
    /// Tasks that can perhaps go on.
    ready: Ready,
    /// Chooses among them, for tests.
    pub(crate) random: Option<Random>,
    /// The host's futures, of a type that [`concurrent`](crate::concurrent) knows.
    pub(crate) futures: Option<Box<dyn Any + Send>>,
    /// Whether a time slice is over, so that the executor is asked next.
    pub(crate) is_slice_over: bool,
    /// The context of the poll that runs tasks.
    pub(crate) polled: Option<NonNull<Context<'static>>>,
}

// SAFETY: pointers to records of artifacts and contexts of instances that live as long as the
// store, followed by who has the store; the calls are `Send`.
#[allow(unsafe_code, reason = "holds pointers")]
unsafe impl Send for Tasks {}
// SAFETY: shared access follows nothing.
#[allow(unsafe_code, reason = "holds pointers")]
unsafe impl Sync for Tasks {}

/// A component instance that has tasks.
pub(crate) struct Instance {
    pub(crate) context: NonNull<VmContext>,
    pub(crate) record: NonNull<ConcurrentRecord>,
    /// Of the artifact.
    pub(crate) description: NonNull<Description>,
    pub(crate) backpressure: u32,
    /// The task that runs, of those of which one can at a time.
    pub(crate) exclusive: Option<Id>,
    /// Tasks that have not begun.
    pub(crate) entering: Entering,
    /// Tasks that could go on if `exclusive` did not.
    pub(crate) locked: VecDeque<Id>,
}

/// The state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskState {
    Initial,
    Started,
    PendingCancel,
    CancelDelivered,
    Resolved,
}

/// A call of a function of a concurrent instance.
pub(crate) struct Task {
    pub(crate) instance: Id,
    pub(crate) record: NonNull<TaskRecord>,
    pub(crate) caller: Caller,
    pub(crate) state: TaskState,
    /// Handles that it has borrowed and not dropped.
    pub(crate) borrows: u32,
    /// What `context.get` returns, while it does not run.
    pub(crate) storage: [u64; 2],
    pub(crate) wait: Wait,
    /// The next one and the one before in the [`List`](queues::List) of those that wait for the
    /// same.
    next_waiting: Option<Id>,
    previous_waiting: Option<Id>,
    /// Its code, while that is suspended in the middle.
    pub(crate) fiber: Option<Box<Fiber<Result<u64>>>>,
    /// Whether the code that runs is on a fiber of its own.
    pub(crate) is_on_fiber: bool,
    /// Whether the code is that of the callback, or else of the function.
    pub(crate) in_callback: bool,
    /// Whether it is in the queue of those that can perhaps go on.
    pub(crate) is_queued: bool,
    /// Whether it is in the queue of those that wait for the exclusive task.
    pub(crate) is_locked: bool,
}

/// Who called a task.
pub(crate) enum Caller {
    /// A guest, by this subtask.
    Guest(Id),
    Host(HostCall),
    /// Nobody waits any more.
    Nobody,
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nothing: it runs.
    Nothing,
    /// To begin.
    Entry,
    /// Its next turn, to call its callback.
    Yield,
    /// An event of a set, to call its callback with.
    Event(Id),
    /// Its next turn, on its fiber.
    Turn,
    /// An event of a set, on its fiber.
    EventOnFiber(Id),
    /// An event of a waitable, on its fiber.
    Waitable(WaitableRef),
}

/// A call that a guest has made.
pub(crate) struct Subtask {
    pub(crate) waitable: Waitable,
    pub(crate) state: SubtaskState,
    /// The task of the callee, as long as it has not returned.
    pub(crate) task: Option<Id>,
    /// The future of the host, as long as it is not ready.
    pub(crate) host: Option<Id>,
    /// Handles that it has lent.
    pub(crate) lenders: Box<[u32]>,
    pub(crate) is_cancelled: bool,
    pub(crate) is_delivered: bool,
    /// Its handle; 0 if it has none.
    pub(crate) handle: u32,
    /// The caller.
    pub(crate) instance: Id,
    pub(crate) op: NonNull<OpRecord>,
    pub(crate) args: Args,
    /// The flat result of a call that waits for it.
    pub(crate) result: u64,
}

/// The flat arguments of a guest's call.
#[derive(Clone)]
pub(crate) enum Args {
    /// All that a call can have which does not wait.
    Few([u64; FEW_ARGS]),
    Many(Box<[u64]>),
}

/// Flat parameters of an async call, and where its result goes.
const FEW_ARGS: usize = MAX_FLAT_ASYNC_PARAMS + 1;

impl Args {
    pub(crate) fn new(args: &[u64]) -> Args {
        let mut few = [0; FEW_ARGS];
        match few.get_mut(..args.len()) {
            Some(few) => few.copy_from_slice(args),
            None => return Args::Many(args.into()),
        }
        Args::Few(few)
    }

    /// At least as many as there are.
    pub(crate) fn values(&self) -> &[u64] {
        match self {
            Args::Few(args) => args,
            Args::Many(args) => args,
        }
    }
}

impl Subtask {
    /// A call that has not begun.
    pub(crate) fn new(instance: Id, op: NonNull<OpRecord>, args: Args) -> Subtask {
        Subtask {
            waitable: Waitable::default(),
            state: SubtaskState::Starting,
            task: None,
            host: None,
            lenders: Box::default(),
            is_cancelled: false,
            is_delivered: false,
            handle: 0,
            instance,
            op,
            args,
            result: 0,
        }
    }
}

/// The state of a subtask, by the specification's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum SubtaskState {
    Starting = 0,
    Started = 1,
    Returned = 2,
    CancelledBeforeStarted = 3,
    CancelledBeforeReturned = 4,
}

impl SubtaskState {
    pub(crate) fn is_resolved(self) -> bool {
        !matches!(self, SubtaskState::Starting | SubtaskState::Started)
    }
}

/// A call of the host: its parameters, and a place for its results.
pub(crate) struct HostCall {
    pub(crate) raw: RawHostCall,
    /// Is called when the task needs it no more.
    pub(crate) release: fn(RawHostCall),
}

/// Where a call of the host is.
#[derive(Clone, Copy)]
pub(crate) struct RawHostCall {
    /// What [`concurrent`](crate::concurrent) knows the type of. It stays where it is as long as
    /// there is the [`HostCall`].
    pub(crate) data: NonNull<()>,
    /// The functions of that type.
    pub(crate) functions: NonNull<()>,
}

impl Drop for HostCall {
    fn drop(&mut self) {
        (self.release)(self.raw);
    }
}

/// The tasks of a store, if there are any yet.
pub(crate) fn those_of(kept: &mut Option<Box<dyn Any + Send + Sync>>) -> Option<&mut Tasks> {
    kept.as_mut()?.downcast_mut()
}

/// The tasks of a store, made when they are needed.
pub(crate) fn of(store: &mut StoreOpaque) -> &mut Tasks {
    let seed = store.engine().schedule_seed();
    let tasks = store.tasks.get_or_insert_with(|| {
        Box::new(Tasks {
            random: seed.map(Random::new),
            ..Tasks::default()
        })
    });
    match tasks.downcast_mut() {
        Some(tasks) => tasks,
        None => unreachable!("nothing else is kept there"),
    }
}

impl Tasks {
    /// Whether a task of an async function must not begin.
    pub(crate) fn has_backpressure(&self, task: &Task) -> bool {
        let instance = &self.instances[task.instance.index()];
        instance.backpressure > 0 || task.needs_exclusive() && instance.exclusive.is_some()
    }
}

impl Task {
    /// A task that has not begun.
    pub(crate) fn new(instance: Id, record: NonNull<TaskRecord>, caller: Caller) -> Task {
        Task {
            instance,
            record,
            caller,
            state: TaskState::Initial,
            borrows: 0,
            storage: [0; 2],
            wait: Wait::Nothing,
            next_waiting: None,
            previous_waiting: None,
            fiber: None,
            is_on_fiber: false,
            in_callback: false,
            is_queued: false,
            is_locked: false,
        }
    }

    /// The function's record.
    #[allow(unsafe_code, reason = "follows a pointer to an artifact's record")]
    pub(crate) fn record(&self) -> &TaskRecord {
        // SAFETY: a record of the artifact of an instance, both of which live as long as the store.
        unsafe { self.record.as_ref() }
    }

    /// Whether only one such task of the instance runs at a time.
    pub(crate) fn needs_exclusive(&self) -> bool {
        let record = self.record();
        record.may_wait != 0 && (record.is_async == 0 || record.callback != u32::MAX)
    }
}
