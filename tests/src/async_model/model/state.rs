//! What the specification's async semantics remember: component instances, tasks with their
//! threads, and what is in handle tables. Names are those of `definitions.py`.

use std::collections::BTreeMap;

use cwasm::TrapCode;

use crate::async_model::program::{Callee, End as EndOp, Kind, Lift, Op};

/// Why a run of the model ends early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// `trap()`: which codes say that.
    Trap(&'static [TrapCode]),
    /// The trace says what the model cannot do.
    Mismatch(String),
}

pub(crate) type Run<T> = Result<T, Stop>;

pub(crate) fn trap_if(cond: bool, codes: &'static [TrapCode]) -> Run<()> {
    match cond {
        true => Err(Stop::Trap(codes)),
        false => Ok(()),
    }
}

/// `Table`: the handle that became free last is used first.
#[derive(Debug)]
pub(crate) struct Table {
    array: Vec<Option<Handle>>,
    free: Vec<u32>,
    /// Whether the lowest is used first instead.
    lowest: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handle {
    Set(usize),
    Waitable(WaitableId),
}

/// A waitable: its place among its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitableId {
    Subtask(usize),
    End(usize),
}

impl Table {
    pub(crate) fn new(lowest: bool) -> Table {
        Table {
            array: vec![None],
            free: Vec::new(),
            lowest,
        }
    }

    pub(crate) fn get(&self, index: u32) -> Run<Handle> {
        let found = self.array.get(index as usize).copied().flatten();
        found.ok_or(Stop::Trap(&[TrapCode::UnknownHandle]))
    }

    pub(crate) fn add(&mut self, handle: Handle) -> u32 {
        if self.lowest {
            self.free.sort_by(|one, other| other.cmp(one));
        }
        match self.free.pop() {
            Some(index) => {
                self.array[index as usize] = Some(handle);
                index
            }
            None => {
                self.array.push(Some(handle));
                self.array.len() as u32 - 1
            }
        }
    }

    pub(crate) fn remove(&mut self, index: u32) -> Run<Handle> {
        let handle = self.get(index)?;
        self.array[index as usize] = None;
        self.free.push(index);
        Ok(handle)
    }
}

/// `ComponentInstance`. `may_enter` and `may_leave` are left out: no instance calls one that it was
/// called by, and none has a `realloc` or `post-return`.
#[derive(Debug)]
pub(crate) struct Instance {
    pub handles: Table,
    /// Tasks whose threads are registered (`threads`).
    pub threads: Vec<u32>,
    pub backpressure: u32,
    pub num_waiting_to_enter: u32,
    pub exclusive_thread: Option<u32>,
    /// Bytes that are not 0.
    pub memory: BTreeMap<u32, u8>,
}

impl Instance {
    pub(crate) fn new(lowest_handle: bool) -> Instance {
        Instance {
            handles: Table::new(lowest_handle),
            threads: Vec::new(),
            backpressure: 0,
            num_waiting_to_enter: 0,
            exclusive_thread: None,
            memory: BTreeMap::new(),
        }
    }

    pub(crate) fn load(&self, address: u32, size: u32) -> Vec<u8> {
        let byte = |at| self.memory.get(&at).copied().unwrap_or(0);
        (address..address + size).map(byte).collect()
    }

    pub(crate) fn store(&mut self, address: u32, bytes: &[u8]) {
        let places = (address..).zip(bytes.iter().copied());
        self.memory.extend(places);
    }
}

/// `Task`, and its implicit thread, which is its only one.
#[derive(Debug)]
pub(crate) struct Task {
    pub callee: Callee,
    pub on_resolve: Caller,
    pub state: TaskState,
    pub thread: Thread,
    /// The result for the host.
    pub result: Option<u32>,
}

/// Who is told that a task starts and is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    Host,
    Subtask(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskState {
    Initial,
    Started,
    PendingCancel,
    CancelDelivered,
    Resolved,
}

impl Task {
    pub(crate) fn new(callee: Callee, on_resolve: Caller) -> Task {
        Task {
            callee,
            on_resolve,
            state: TaskState::Initial,
            thread: Thread {
                waits: None,
                cancellable: false,
                storage: 0,
            },
            result: None,
        }
    }

    pub(crate) fn needs_exclusive(&self) -> bool {
        matches!(self.callee.lift, Lift::Callback | Lift::Blocking)
    }
}

/// `Thread`.
#[derive(Debug)]
pub(crate) struct Thread {
    /// What it waits for (`ready_func`), and what it does then (`cont`).
    pub waits: Option<(Until, Then)>,
    pub cancellable: bool,
    /// What `context.get` returns.
    pub storage: u32,
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// That its task has no backpressure.
    MayStart,
    /// Nothing but another turn.
    Turn,
    /// That no thread of the instance is exclusive.
    NotExclusive,
    /// An event of a set.
    Event(usize),
    /// Both.
    NotExclusiveAndEvent(usize),
    Resolved(usize),
    Pending(WaitableId),
}

/// Where a thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It starts its function.
    Start,
    /// It calls its callback, with an event of a set if it waits for one.
    CallBack(Option<usize>),
    /// It has what a built-in returns.
    Return(Op, Blocked),
}

/// A built-in function in which a thread waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    Yield,
    SetWait {
        set: usize,
        address: u32,
    },
    /// A call, for its result.
    Call(usize),
    SubtaskCancel(usize),
    /// A read, write or cancel of one.
    Copy(usize),
}

/// `Waitable`.
#[derive(Debug, Default)]
pub(crate) struct Waitable {
    pub pending_event: Option<Event>,
    pub set: Option<usize>,
    pub has_sync_waiter: bool,
}

/// `pending_event`: what is told when it is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The subtask's state then.
    Subtask,
    /// The progress of a copy then; if `reclaims`, the buffer could be used up to then.
    Copy { result: CopyResult, reclaims: bool },
}

/// `WaitableSet`.
#[derive(Debug, Default)]
pub(crate) struct Set {
    pub elems: Vec<WaitableId>,
    pub num_waiting: u32,
}

/// `Subtask`.
#[derive(Debug)]
pub(crate) struct Subtask {
    pub waitable: Waitable,
    pub state: SubtaskState,
    pub task: u32,
    pub cancellation_requested: bool,
    pub resolve_delivered: bool,
    /// Its handle, once it has one: then there are events.
    pub handle: Option<u32>,
    /// The instance that calls.
    pub instance: u32,
    /// What is given to the callee, and where its result is put if the caller does not wait.
    pub arg: u32,
    pub address: Option<u32>,
    pub flat_result: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubtaskState {
    Starting = 0,
    Started = 1,
    Returned = 2,
    CancelledBeforeStarted = 3,
    CancelledBeforeReturned = 4,
}

impl Subtask {
    pub(crate) fn resolved(&self) -> bool {
        !matches!(self.state, SubtaskState::Starting | SubtaskState::Started)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyResult {
    Completed = 0,
    Dropped = 1,
    Cancelled = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyState {
    Idle,
    Copying,
    CancellingCopy,
    Done,
}

/// `CopyEnd`: an end of a stream or future.
#[derive(Debug)]
pub(crate) struct End {
    pub waitable: Waitable,
    pub op: EndOp,
    pub state: CopyState,
    pub shared: usize,
    pub instance: u32,
    pub handle: u32,
    /// Of its last read or write.
    pub buffer: Buffer,
}

impl End {
    pub(crate) fn copying(&self) -> bool {
        matches!(self.state, CopyState::Copying | CopyState::CancellingCopy)
    }
}

/// `BufferGuestImpl`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Buffer {
    pub address: u32,
    pub progress: u32,
    pub length: u32,
}

impl Buffer {
    pub(crate) fn remain(&self) -> u32 {
        self.length - self.progress
    }
}

/// `SharedStreamImpl`, `SharedFutureImpl`.
#[derive(Debug)]
pub(crate) struct Shared {
    pub kind: Kind,
    pub dropped: bool,
    /// The end whose buffer is pending.
    pub pending: Option<usize>,
}

/// A value that passes between components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Nothing,
    Number(u32),
    Shared(usize),
}
