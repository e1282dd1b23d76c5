//! The host of the guests: says what tasks do next, by the program and by what it has learned, and
//! keeps the trace.

use std::collections::VecDeque;

use super::known::{Known, State, What};
use super::program::{Action, Callee, End, Kind, Lift, Op, Program, Returns, Script, Step};
use super::trace::Entry;

/// What a built-in function returns that cannot end now.
const BLOCKED: u32 = 0xffff_ffff;
/// A place that no memory of a guest has.
const BEYOND: u32 = 65536;
/// More payloads than a buffer may have.
const TOO_LONG: u32 = 1 << 28;
/// How many payloads are read or written: often none, as that has rules of its own.
const LENGTHS: [u32; 8] = [0, 0, 0, 1, 2, 3, 5, 8];
/// What a callback returns: that it wants another turn, or waits for the set above it.
const YIELD: u32 = 1;
const WAIT: u32 = 2;
/// The event that a task is cancelled.
const TASK_CANCELLED: u32 = 6;
const SUBTASK: u32 = 1;

/// The state of the host.
#[derive(Debug)]
pub struct Driver {
    program: Program,
    known: Vec<Known>,
    ops: Vec<Vec<Op>>,
    tasks: Vec<Task>,
    /// The arguments of what is done now.
    args: [u32; 3],
    pub trace: Vec<Entry>,
}

/// How far a task is.
#[derive(Debug)]
struct Task {
    /// The next step.
    place: usize,
    /// What is done before that.
    queue: VecDeque<Todo>,
    doing: Option<Todo>,
    is_resolved: bool,
    is_cancelled: bool,
    patience: u32,
}

/// Something to do, and what its result says.
#[derive(Clone, Copy, Debug)]
struct Todo {
    action: Action,
    learn: Learn,
}

#[derive(Clone, Copy, Debug)]
enum Learn {
    /// What the operation always says.
    Own,
    /// What an event with this code is of.
    Event(u32),
    /// The result of a call.
    Result(Returns),
}

impl Todo {
    fn new(op: Op, args: [u32; 3]) -> Todo {
        Todo {
            action: Action { op, args },
            learn: Learn::Own,
        }
    }

    fn peek(address: u32, learn: Learn) -> Todo {
        Todo {
            learn,
            ..Todo::new(Op::Peek, [address, 0, 0])
        }
    }
}

impl Driver {
    pub fn new(program: &Program) -> Driver {
        let task = |script: &Script| Task {
            place: 0,
            queue: VecDeque::new(),
            doing: None,
            is_resolved: false,
            is_cancelled: false,
            patience: script.patience,
        };
        let instances = 0..super::program::INSTANCES;
        Driver {
            tasks: program.scripts.iter().map(task).collect(),
            known: instances.clone().map(|_| Known::new()).collect(),
            ops: instances.map(Op::all).collect(),
            program: program.clone(),
            args: [0; 3],
            trace: Vec::new(),
        }
    }

    fn callee(&self, task: u32) -> Callee {
        self.program.scripts[task as usize].callee
    }

    fn task(&mut self, task: u32) -> &mut Task {
        &mut self.tasks[task as usize]
    }

    fn known(&mut self, task: u32) -> &mut Known {
        let instance = self.callee(task).instance;
        &mut self.known[instance as usize]
    }

    /// The function of a task begins.
    pub fn begin(&mut self, instance: u32, task: u32, arg: u32) {
        self.trace.push(Entry::Begin {
            task,
            instance,
            arg,
        });
        if let Some(kind) = self.callee(task).shape.takes() {
            let what = What::End(End::new(kind, true));
            self.known(task).add(arg, what, State::Idle, 0);
        }
    }

    /// The callback of a task begins.
    pub fn event(&mut self, task: u32, event: [u32; 3]) {
        self.trace.push(Entry::Event { task, event });
        self.learn_event(task, event);
    }

    /// The number of what a task does next.
    pub fn next(&mut self, task: u32) -> u32 {
        let queued = self.task(task).queue.pop_front();
        let todo = queued.unwrap_or_else(|| self.decide(task));
        self.begin_to(task, todo.action);
        self.trace.push(Entry::Act {
            task,
            action: todo.action,
        });
        self.args = todo.action.args;
        self.task(task).doing = Some(todo);
        let ops = &self.ops[self.callee(task).instance as usize];
        let number = ops.iter().position(|op| *op == todo.action.op);
        number.expect("steps are of what the instance can do") as u32
    }

    /// An argument of that.
    pub fn arg(&self, place: u32) -> u32 {
        self.args.get(place as usize).copied().unwrap_or(0)
    }

    /// What has come of it.
    pub fn report(&mut self, task: u32, value: u64) {
        self.trace.push(Entry::Result { task, value });
        if let Some(todo) = self.task(task).doing.take() {
            self.learn(task, todo, value);
        }
    }

    /// What an operation changes before it has a result.
    fn begin_to(&mut self, task: u32, Action { op, args }: Action) {
        let returns = self.callee(task).shape.returns();
        let is_async = self.callee(task).lift.has_async_option();
        let known = self.known(task);
        match op {
            Op::Copy { is_sync, .. } => {
                if let Some(item) = known.items.get_mut(&args[0]) {
                    item.state = if is_sync { State::Waited } else { State::Busy };
                    item.address = args[1];
                }
            }
            Op::SubtaskCancel { is_sync: true } => {
                if let Some(item) = known.items.get_mut(&args[0]) {
                    item.state = State::Waited;
                }
            }
            Op::Call { callee, .. } if callee.shape.takes().is_some() => {
                known.items.remove(&args[1]);
            }
            Op::Finish if !is_async && matches!(returns, Returns::End(_)) => {
                known.items.remove(&args[0]);
            }
            _ => {}
        }
    }

    fn learn(&mut self, task: u32, Todo { action, learn }: Todo, value: u64) {
        let Action { op, args } = action;
        let (low, high) = (value as u32, (value >> 32) as u32);
        let known = self.known(task);
        match op {
            Op::Peek => match learn {
                Learn::Own => {}
                Learn::Event(code) => self.learn_event(task, [code, low, high]),
                Learn::Result(returns) => self.learn_result(task, returns, low),
            },
            Op::New(kind) => {
                for (handle, is_readable) in [(low, true), (high, false)] {
                    known.add(
                        handle,
                        What::End(End::new(kind, is_readable)),
                        State::Idle,
                        0,
                    );
                }
            }
            Op::SetNew => known.add(low, What::Set, State::Idle, 0),
            Op::SetDrop | Op::SubtaskDrop | Op::Drop(_) => drop(known.items.remove(&args[0])),
            Op::Join => {
                if let Some(item) = known.items.get_mut(&args[0]) {
                    item.set = Some(args[1]).filter(|set| *set != 0);
                }
            }
            Op::SetWait | Op::SetPoll if low != 0 => {
                let peek = Todo::peek(args[1], Learn::Event(low));
                self.task(task).queue.push_front(peek);
            }
            Op::Copy { .. } | Op::Cancel { .. } if low != BLOCKED => {
                self.learn_copied(task, args[0], low);
            }
            Op::SubtaskCancel { .. } if low == BLOCKED => {
                if let Some(item) = known.items.get_mut(&args[0]) {
                    item.state = State::Cancelling;
                }
            }
            Op::SubtaskCancel { .. } => self.learn_event(task, [SUBTASK, args[0], low]),
            Op::Call { callee, is_sync } => self.learn_call(task, callee, is_sync, args, low),
            Op::Return(returns) => {
                if let Returns::End(_) = returns {
                    known.items.remove(&args[0]);
                }
                self.task(task).is_resolved = true;
            }
            Op::TaskCancel => self.task(task).is_resolved = true,
            Op::BackpressureInc => known.backpressure += 1,
            Op::BackpressureDec => known.backpressure = known.backpressure.saturating_sub(1),
            _ => {}
        }
    }

    fn learn_call(&mut self, task: u32, callee: Callee, is_sync: bool, args: [u32; 3], low: u32) {
        let returns = callee.shape.returns();
        if is_sync {
            return self.learn_result(task, returns, low);
        }
        let address = result_address(callee, args);
        match low & 15 {
            2 if returns != Returns::Nothing => {
                let peek = Todo::peek(address, Learn::Result(returns));
                self.task(task).queue.push_front(peek);
            }
            2 => {}
            _ => self
                .known(task)
                .add(low >> 4, What::Subtask(returns), State::Busy, address),
        }
    }

    fn learn_result(&mut self, task: u32, returns: Returns, value: u32) {
        if let Returns::End(kind) = returns {
            let what = What::End(End::new(kind, true));
            self.known(task).add(value, what, State::Idle, 0);
        }
    }

    fn learn_event(&mut self, task: u32, [code, handle, payload]: [u32; 3]) {
        match code {
            TASK_CANCELLED => self.task(task).is_cancelled = true,
            SUBTASK => {
                if let Some((address, returns)) = self.known(task).progressed(handle, payload) {
                    let peek = Todo::peek(address, Learn::Result(returns));
                    self.task(task).queue.push_front(peek);
                }
            }
            2..=5 => self.learn_copied(task, handle, payload),
            _ => {}
        }
    }

    fn learn_copied(&mut self, task: u32, handle: u32, payload: u32) {
        if let Some(address) = self.known(task).copied(handle, payload)
            && address < BEYOND
        {
            let peek = Todo::peek(address & !7, Learn::Own);
            self.task(task).queue.push_front(peek);
        }
    }

    /// The next step of a task that makes sense, or its end.
    fn decide(&mut self, task: u32) -> Todo {
        loop {
            let script = &self.program.scripts[task as usize];
            let place = self.tasks[task as usize].place;
            let Some(step) = script.steps.get(place).cloned() else {
                return self.finish(task);
            };
            self.task(task).place += 1;
            let todo = match step {
                Step::Tame { op, pick } => self.tame(task, op, pick),
                Step::Wild { op, pick, raw } => self.wild(task, op, pick, raw),
                Step::Call {
                    callee,
                    is_sync,
                    task: of,
                } => Some(self.call(task, callee, is_sync, of)),
                Step::Await => self.wait(task).map(|(todo, is_over)| {
                    if !is_over {
                        self.task(task).place -= 1;
                    }
                    todo
                }),
                Step::Turn if self.callee(task).lift == Lift::Callback => {
                    Some(Todo::new(Op::Finish, [YIELD, 0, 0]))
                }
                Step::Turn => Some(Todo::new(Op::Yield, [0; 3])),
                Step::Finish(value) => Some(Todo::new(Op::Finish, [value, 0, 0])),
            };
            if let Some(todo) = todo {
                return todo;
            }
        }
    }

    /// An operation that makes sense, if there is what it needs.
    fn tame(&mut self, task: u32, op: Op, pick: u32) -> Option<Todo> {
        let Task {
            is_resolved,
            is_cancelled,
            ..
        } = *self.task(task);
        let is_over = is_resolved || !self.callee(task).lift.has_async_option();
        let known = self.known(task);
        let args = match op {
            Op::Return(_) if is_over => return None,
            Op::Return(Returns::Nothing | Returns::Number) => [pick, 0, 0],
            Op::TaskCancel if is_over || !is_cancelled => return None,
            Op::BackpressureDec if known.backpressure == 0 => return None,
            Op::SetNew
            | Op::New(_)
            | Op::TaskCancel
            | Op::BackpressureInc
            | Op::BackpressureDec
            | Op::Yield
            | Op::ContextGet
            | Op::Unreachable => [0; 3],
            Op::ContextSet => [context_of(task, pick), 0, 0],
            Op::Peek => [known.old_address(pick), 0, 0],
            Op::Poke | Op::Finish | Op::Call { .. } => return None,
            Op::Copy { end, .. } if known.suitable(op, 0).is_none() && !pick.is_multiple_of(3) => {
                self.task(task).place -= 1;
                return Some(Todo::new(Op::New(end.kind), [0; 3]));
            }
            _ => {
                let handle = known.suitable(op, pick / 8)?;
                return Some(self.with_handle(task, op, pick, handle));
            }
        };
        Some(Todo::new(op, args))
    }

    /// An operation that may make no sense.
    fn wild(&mut self, task: u32, op: Op, pick: u32, raw: Option<u32>) -> Option<Todo> {
        let known = self.known(task);
        let other = match pick % 4 {
            _ if op == Op::SetDrop => known.of_kind(op, pick / 16),
            0 => known.pick(pick / 16, |_| true),
            1 => known.pick(pick / 16, |item| item.set.is_some()),
            2 => known.of_kind(op, pick / 16),
            _ => known.suitable(op, pick / 16),
        };
        let handle = raw.or(other)?;
        let mut todo = self.with_handle(task, op, pick, handle);
        if let Op::Copy { .. } = op {
            let queue = &mut self.task(task).queue;
            let copy = match todo.action.op {
                Op::Poke => queue.front_mut()?,
                _ => &mut todo,
            };
            let [_, address, length] = &mut copy.action.args;
            match pick % 16 {
                3 => *address = BEYOND - 1,
                7 => *address += 1,
                11 => (*address, *length) = (BEYOND - 4, 5),
                15 => *length = TOO_LONG,
                _ => {}
            }
        }
        Some(todo)
    }

    /// An operation with this handle. What it writes is put into memory before.
    fn with_handle(&mut self, task: u32, op: Op, pick: u32, handle: u32) -> Todo {
        let known = self.known(task);
        match op {
            Op::Copy { end, .. } => {
                let address = known.new_address();
                let length = match end.kind {
                    Kind::Stream => LENGTHS[pick as usize % LENGTHS.len()],
                    Kind::Future => 1,
                };
                let copy = Todo::new(op, [handle, address, length]);
                if end.is_readable {
                    return copy;
                }
                let noise = address.wrapping_mul(0x9e37_79b9).wrapping_add(pick);
                self.task(task).queue.push_front(copy);
                Todo::new(Op::Poke, [address, noise, !noise])
            }
            Op::Join => {
                let set = known.pick(pick, |item| item.what == What::Set);
                let set = set.filter(|_| !pick.is_multiple_of(5)).unwrap_or(0);
                Todo::new(op, [handle, set, 0])
            }
            Op::SetWait | Op::SetPoll => {
                let address = known.new_address();
                Todo::new(op, [handle, address, 0])
            }
            Op::ContextSet => Todo::new(op, [context_of(task, handle), 0, 0]),
            _ => Todo::new(op, [handle, 0, 0]),
        }
    }

    /// A call; before it, what it takes is made.
    fn call(&mut self, task: u32, callee: Callee, is_sync: bool, of: u32) -> Todo {
        let known = self.known(task);
        let address = known.new_address();
        let args = match callee.shape.takes() {
            None => [of, address, 0],
            Some(kind) => match known.givable(kind) {
                Some(handle) => [of, handle, address],
                None => {
                    self.task(task).place -= 1;
                    return Todo::new(Op::New(kind), [0; 3]);
                }
            },
        };
        Todo::new(Op::Call { callee, is_sync }, args)
    }

    /// Waits for what is under way, and whether that is all: before, it is put in sets.
    fn wait(&mut self, task: u32) -> Option<(Todo, bool)> {
        let lift = self.callee(task).lift;
        let place = self.task(task).place as u32;
        let known = self.known(task);
        let first = known.pick(place, |item| item.is_under_way())?;
        let alone = known.pick(place, |item| item.is_under_way() && item.set.is_none());
        let set = known.pick(place, |item| item.what == What::Set);
        let todo = match (alone, set) {
            (Some(_), None) => return Some((Todo::new(Op::SetNew, [0; 3]), false)),
            (Some(handle), Some(set)) => {
                return Some((Todo::new(Op::Join, [handle, set, 0]), false));
            }
            (None, _) => {
                let set = known.items[&first].set.unwrap_or(0);
                let address = known.new_address();
                match lift {
                    Lift::Callback => Todo::new(Op::Finish, [WAIT | set << 4, 0, 0]),
                    Lift::Stackful | Lift::Blocking => Todo::new(Op::SetWait, [set, address, 0]),
                    // Would trap as a rule.
                    Lift::Plain => Todo::new(Op::SetPoll, [set, address, 0]),
                }
            }
        };
        Some((todo, true))
    }

    /// What a task does after its last step: it waits for a while, returns a result, and ends.
    fn finish(&mut self, task: u32) -> Todo {
        let Script {
            callee,
            is_tidy,
            patience,
            ..
        } = self.program.scripts[task as usize];
        let returns = callee.shape.returns();
        let is_patient = self.task(task).patience > 0;
        let waits_first = patience % 2 == 1 || !callee.lift.has_async_option();
        let must_return = !self.task(task).is_resolved && callee.lift.has_async_option() && is_tidy;
        if is_patient
            && (waits_first || !must_return)
            && let Some((todo, is_over)) = self.wait(task)
        {
            self.task(task).patience -= u32::from(is_over);
            return todo;
        }
        if is_tidy && self.known(task).backpressure > 0 && !patience.is_multiple_of(4) {
            return Todo::new(Op::BackpressureDec, [0; 3]);
        }
        if must_return && self.task(task).is_cancelled && !patience.is_multiple_of(3) {
            return Todo::new(Op::TaskCancel, [0; 3]);
        }
        if !must_return && callee.lift.has_async_option() {
            return Todo::new(Op::Finish, [0; 3]);
        }
        let value = match returns {
            Returns::Nothing => 0,
            Returns::Number => 1000 + task,
            Returns::End(kind) => match self.known(task).givable(kind) {
                Some(handle) => handle,
                None if is_tidy => return Todo::new(Op::New(kind), [0; 3]),
                None => 0,
            },
        };
        let op = if must_return {
            Op::Return(returns)
        } else {
            Op::Finish
        };
        Todo::new(op, [value, 0, 0])
    }
}

/// What a task keeps in its context: its number, which guests ask for, and more.
pub fn context_of(task: u32, more: u32) -> u32 {
    more << 8 | task
}

/// Where the result of a call is written.
pub fn result_address(callee: Callee, args: [u32; 3]) -> u32 {
    match callee.shape.takes() {
        Some(_) => args[2],
        None => args[1],
    }
}
