//! Programs: what the tasks of three component instances do, one step after the other.

use std::fmt;

/// How many component instances there are. Each can call those after it.
pub const INSTANCES: u32 = 3;

/// A stream (of `u8`) or a future (of a `u32`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Stream,
    Future,
}

impl Kind {
    pub const ALL: [Kind; 2] = [Kind::Stream, Kind::Future];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Stream => "stream",
            Kind::Future => "future",
        }
    }

    /// The size and alignment of a payload.
    pub fn payload_size(self) -> u32 {
        match self {
            Kind::Stream => 1,
            Kind::Future => 4,
        }
    }
}

/// An end of a stream or future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    pub kind: Kind,
    pub is_readable: bool,
}

impl End {
    pub const ALL: [End; 4] = [
        End::new(Kind::Stream, true),
        End::new(Kind::Stream, false),
        End::new(Kind::Future, true),
        End::new(Kind::Future, false),
    ];

    pub const fn new(kind: Kind, is_readable: bool) -> End {
        End { kind, is_readable }
    }

    /// What is done with it.
    pub fn verb(self) -> &'static str {
        match self.is_readable {
            true => "read",
            false => "write",
        }
    }

    /// The code of its events.
    pub fn event_code(self) -> u32 {
        match (self.kind, self.is_readable) {
            (Kind::Stream, true) => 2,
            (Kind::Stream, false) => 3,
            (Kind::Future, true) => 4,
            (Kind::Future, false) => 5,
        }
    }
}

/// What a function returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    Nothing,
    Number,
    End(Kind),
}

/// The type of a function: each has a `u32` for the number of its task first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Number,
    TakesStream,
    TakesFuture,
    GivesStream,
    GivesFuture,
}

impl Shape {
    pub const ALL: [Shape; 5] = [
        Shape::Number,
        Shape::TakesStream,
        Shape::TakesFuture,
        Shape::GivesStream,
        Shape::GivesFuture,
    ];

    fn name(self) -> &'static str {
        match self {
            Shape::Number => "number",
            Shape::TakesStream => "takes-stream",
            Shape::TakesFuture => "takes-future",
            Shape::GivesStream => "gives-stream",
            Shape::GivesFuture => "gives-future",
        }
    }

    /// The readable end that is its second parameter.
    pub fn takes(self) -> Option<Kind> {
        match self {
            Shape::TakesStream => Some(Kind::Stream),
            Shape::TakesFuture => Some(Kind::Future),
            _ => None,
        }
    }

    pub fn returns(self) -> Returns {
        match self {
            Shape::Number | Shape::TakesStream => Returns::Number,
            Shape::TakesFuture => Returns::Nothing,
            Shape::GivesStream => Returns::End(Kind::Stream),
            Shape::GivesFuture => Returns::End(Kind::Future),
        }
    }
}

/// How a function is lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lift {
    /// `async`, with a callback.
    Callback,
    /// `async`, without one.
    Stackful,
    /// Of an `async` type, without the option `async`.
    Blocking,
    /// Of a type that is not `async`.
    Plain,
}

impl Lift {
    pub const ALL: [Lift; 4] = [Lift::Callback, Lift::Stackful, Lift::Blocking, Lift::Plain];

    pub fn has_async_type(self) -> bool {
        self != Lift::Plain
    }

    /// Whether its tasks return by `task.return`.
    pub fn has_async_option(self) -> bool {
        matches!(self, Lift::Callback | Lift::Stackful)
    }

    pub fn name(self) -> &'static str {
        match self {
            Lift::Callback => "callback",
            Lift::Stackful => "stackful",
            Lift::Blocking => "blocking",
            Lift::Plain => "plain",
        }
    }
}

/// A function of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Callee {
    pub instance: u32,
    pub lift: Lift,
    pub shape: Shape,
}

impl Callee {
    /// The functions of an instance.
    pub fn of(instance: u32) -> impl Iterator<Item = Callee> {
        Lift::ALL.into_iter().flat_map(move |lift| {
            Shape::ALL.into_iter().map(move |shape| Callee {
                instance,
                lift,
                shape,
            })
        })
    }
}

impl fmt::Display for Callee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lift, shape) = (self.lift.name(), self.shape.name());
        write!(f, "{lift}{}-{shape}", self.instance)
    }
}

/// What a guest can do. Those with `is_sync` wait until it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Returns from the function or callback.
    Finish,
    Return(Returns),
    TaskCancel,
    SubtaskCancel {
        is_sync: bool,
    },
    SubtaskDrop,
    SetNew,
    SetWait,
    SetPoll,
    SetDrop,
    Join,
    New(Kind),
    Copy {
        end: End,
        is_sync: bool,
    },
    Cancel {
        end: End,
        is_sync: bool,
    },
    Drop(End),
    BackpressureInc,
    BackpressureDec,
    Yield,
    ContextGet,
    ContextSet,
    /// Reads eight bytes of memory.
    Peek,
    /// Writes eight bytes of memory.
    Poke,
    Unreachable,
    Call {
        callee: Callee,
        is_sync: bool,
    },
}

impl Op {
    /// What guests of an instance can do, in the order of the numbers that they know it by.
    pub fn all(instance: u32) -> Vec<Op> {
        let mut all = vec![
            Op::Finish,
            Op::TaskCancel,
            Op::SubtaskDrop,
            Op::SetNew,
            Op::SetWait,
            Op::SetPoll,
            Op::SetDrop,
            Op::Join,
            Op::BackpressureInc,
            Op::BackpressureDec,
            Op::Yield,
            Op::ContextGet,
            Op::ContextSet,
            Op::Peek,
            Op::Poke,
            Op::Unreachable,
            Op::Return(Returns::Nothing),
            Op::Return(Returns::Number),
        ];
        all.extend(Kind::ALL.map(Op::New));
        all.extend(Kind::ALL.map(|kind| Op::Return(Returns::End(kind))));
        all.extend(End::ALL.map(Op::Drop));
        for is_sync in [false, true] {
            all.push(Op::SubtaskCancel { is_sync });
            all.extend(End::ALL.map(|end| Op::Copy { end, is_sync }));
            all.extend(End::ALL.map(|end| Op::Cancel { end, is_sync }));
            let callees = (instance + 1..INSTANCES).flat_map(Callee::of);
            // Only calls of `async` functions can be asynchronous.
            let callees = callees.filter(|callee| is_sync || callee.lift.has_async_type());
            all.extend(callees.map(|callee| Op::Call { callee, is_sync }));
        }
        all
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sync = |is_sync: &bool| if *is_sync { "-sync" } else { "" };
        match self {
            Op::Finish => write!(f, "finish"),
            Op::Return(Returns::Nothing) => write!(f, "task.return-nothing"),
            Op::Return(Returns::Number) => write!(f, "task.return-number"),
            Op::Return(Returns::End(kind)) => write!(f, "task.return-{}", kind.name()),
            Op::TaskCancel => write!(f, "task.cancel"),
            Op::SubtaskCancel { is_sync } => write!(f, "subtask.cancel{}", sync(is_sync)),
            Op::SubtaskDrop => write!(f, "subtask.drop"),
            Op::SetNew => write!(f, "waitable-set.new"),
            Op::SetWait => write!(f, "waitable-set.wait"),
            Op::SetPoll => write!(f, "waitable-set.poll"),
            Op::SetDrop => write!(f, "waitable-set.drop"),
            Op::Join => write!(f, "waitable.join"),
            Op::New(kind) => write!(f, "{}.new", kind.name()),
            Op::Copy { end, is_sync } => {
                write!(f, "{}.{}{}", end.kind.name(), end.verb(), sync(is_sync))
            }
            Op::Cancel { end, is_sync } => {
                let (kind, verb) = (end.kind.name(), end.verb());
                write!(f, "{kind}.cancel-{verb}{}", sync(is_sync))
            }
            Op::Drop(end) => {
                let side = if end.is_readable {
                    "readable"
                } else {
                    "writable"
                };
                write!(f, "{}.drop-{side}", end.kind.name())
            }
            Op::BackpressureInc => write!(f, "backpressure.inc"),
            Op::BackpressureDec => write!(f, "backpressure.dec"),
            Op::Yield => write!(f, "thread.yield"),
            Op::ContextGet => write!(f, "context.get"),
            Op::ContextSet => write!(f, "context.set"),
            Op::Peek => write!(f, "peek"),
            Op::Poke => write!(f, "poke"),
            Op::Unreachable => write!(f, "unreachable"),
            Op::Call { callee, is_sync } => write!(f, "call-{callee}{}", sync(is_sync)),
        }
    }
}

/// Something that a guest does, with its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    pub op: Op,
    pub args: [u32; 3],
}

/// A step of a task. Which handles it uses is decided when it is run, by what there is then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// An operation on handles for which it makes sense, the `pick`th of them; skipped if there are
    /// none.
    Tame { op: Op, pick: u32 },
    /// An operation on handles of this number, or if it is none, on the `pick`th of those that
    /// there are.
    Wild { op: Op, pick: u32, raw: Option<u32> },
    /// A call whose task does the steps of this number.
    Call {
        callee: Callee,
        is_sync: bool,
        task: u32,
    },
    /// Puts all that is under way in sets, and waits for an event of one of them.
    Await,
    /// Lets others go on.
    Turn,
    /// Returns from the function or callback with this number.
    Finish(u32),
}

/// What a task does before it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub callee: Callee,
    pub steps: Vec<Step>,
    /// How many events it waits for in the end, if something is under way.
    pub patience: u32,
    /// Whether it ends as it should: with a result.
    pub is_tidy: bool,
}

/// A program: the scripts of tasks, of which the host calls some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub seed: u64,
    pub scripts: Vec<Script>,
    pub roots: Vec<Root>,
}

/// A call of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// The script.
    pub task: u32,
    /// After how many polls it begins.
    pub delay: u32,
    /// After how many polls more the host does not wait for its result any longer.
    pub patience: Option<u32>,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "program {}", self.seed)?;
        for (number, script) in self.scripts.iter().enumerate() {
            let root = self.roots.iter().find(|root| root.task == number as u32);
            let root = root.map_or(String::new(), |root| {
                let Root {
                    delay, patience, ..
                } = root;
                format!(", of the host after {delay}, which waits for {patience:?}")
            });
            let Script {
                callee,
                patience,
                is_tidy,
                ..
            } = script;
            let tidy = if *is_tidy { "" } else { ", untidy" };
            writeln!(
                f,
                "  task {number}: {callee}, patience {patience}{tidy}{root}"
            )?;
            for step in &script.steps {
                writeln!(f, "    {step}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Tame { op, pick } => write!(f, "{op} #{pick}"),
            Step::Wild {
                op, raw: Some(raw), ..
            } => write!(f, "wild {op} {raw}"),
            Step::Wild {
                op,
                pick,
                raw: None,
            } => write!(f, "wild {op} #{pick}"),
            Step::Call {
                callee,
                is_sync,
                task,
            } => {
                let how = if *is_sync { "sync" } else { "async" };
                write!(f, "call {callee} {how}: task {task}")
            }
            Step::Await => write!(f, "await"),
            Step::Turn => write!(f, "turn"),
            Step::Finish(value) => write!(f, "finish {value}"),
        }
    }
}
