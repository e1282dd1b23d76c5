//! The model: a plain interpreter of the specification's async semantics, written from the text of
//! `definitions.py` and `CanonicalABI.md` alone.
//!
//! The specification leaves open which thread goes on, which event of a set comes first, and
//! whether a thread that could go on at once waits nevertheless. The model follows a trace: what
//! comes next there decides, if the specification allows that. As the trace names the task of all
//! that code of guests does, and no thread goes on without that its code does something, the first
//! two are always known. The third is not if others are on the stack below the thread: then both
//! are tried.
//!
//! ```text
//! mod: the trace, and what happens where no thread runs (`Store.tick`)
//! tasks: calls, tasks and their threads (`canon_lift`, `canon_lower`, `Task`, `Thread`)
//! ops: the built-in functions; copies: those of streams and futures
//! state: what is remembered; rules: where the loader differs, and wrong models
//! ```

mod copies;
mod ops;
mod rules;
mod state;
mod tasks;

use std::collections::BTreeMap;

use cwasm::TrapCode;

use super::program::{INSTANCES, Op, Program};
use super::trace::Entry;
pub use rules::{Mutant, Rules};
use state::{Caller, End, Instance, Run, Set, Shared, Stop, Subtask, Task, TaskState, Until};

/// How often something has happened, by its name.
pub type Coverage = BTreeMap<String, u64>;

/// What a trace has that the model cannot explain.
#[derive(Clone, Debug)]
pub struct Mismatch {
    /// The place of the entry.
    pub at: usize,
    pub message: String,
}

/// Explains a trace of a program, and adds what was seen.
///
/// # Errors
/// The first entry that cannot be explained.
pub fn explain(
    program: &Program,
    trace: &[Entry],
    rules: Rules,
    coverage: &mut Coverage,
) -> Result<(), Mismatch> {
    let mut choices = Vec::new();
    let mut farthest: Option<Mismatch> = None;
    for _ in 0..MAX_ATTEMPTS {
        let mut model = Model::new(program, trace, rules, choices);
        let result = model.explain();
        (choices, model.choices) = (model.choices, Vec::new());
        let Err(mismatch) = result else {
            for (name, count) in model.coverage {
                *coverage.entry(name).or_default() += count;
            }
            return Ok(());
        };
        if farthest
            .as_ref()
            .is_none_or(|farthest| farthest.at < mismatch.at)
        {
            farthest = Some(mismatch);
        }
        // The last choice that can be another.
        while choices.pop_if(|choice| choice.is_changed).is_some() {}
        let Some(last) = choices.last_mut() else {
            break;
        };
        last.is_changed = true;
    }
    Err(farthest.unwrap_or_else(|| unreachable!("it was tried")))
}

/// Choices that are tried for a trace: far more than any has needed.
const MAX_ATTEMPTS: u32 = 2000;

/// A choice between two things that both go on with the next entry.
#[derive(Clone, Copy, Debug, Default)]
struct Choice {
    /// Whether the second is tried.
    is_changed: bool,
}

struct Model<'a> {
    program: &'a Program,
    trace: &'a [Entry],
    /// The next entry.
    at: usize,
    rules: Rules,
    coverage: Coverage,
    /// Those that were made, and are made again; and how many have been.
    choices: Vec<Choice>,
    chosen: usize,
    /// How many threads are on the stack.
    depth: u32,
    instances: Vec<Instance>,
    /// Those that were called, also if they are over.
    tasks: BTreeMap<u32, Task>,
    subtasks: Vec<Subtask>,
    sets: Vec<Set>,
    ends: Vec<End>,
    shared: Vec<Shared>,
}

/// The name by which an operation is counted: calls by how they are made.
fn name_of(op: Op) -> String {
    match op {
        Op::Call { callee, is_sync } => {
            let how = if is_sync { "sync" } else { "async" };
            format!("{how} call of {}", callee.lift.name())
        }
        _ => op.to_string(),
    }
}

fn mismatch<T>(message: impl Into<String>) -> Run<T> {
    Err(Stop::Mismatch(message.into()))
}

impl<'a> Model<'a> {
    fn new(
        program: &'a Program,
        trace: &'a [Entry],
        rules: Rules,
        choices: Vec<Choice>,
    ) -> Model<'a> {
        let lowest = rules.mutant == Some(Mutant::LowestHandle);
        Model {
            program,
            trace,
            at: 0,
            rules,
            coverage: Coverage::new(),
            choices,
            chosen: 0,
            depth: 0,
            instances: (0..INSTANCES).map(|_| Instance::new(lowest)).collect(),
            tasks: BTreeMap::new(),
            subtasks: Vec::new(),
            sets: Vec::new(),
            ends: Vec::new(),
            shared: Vec::new(),
        }
    }

    /// Explains the trace with these choices.
    fn explain(&mut self) -> Result<(), Mismatch> {
        let message = match self.run() {
            Ok(()) => return Ok(()),
            Err(Stop::Mismatch(message)) => message,
            Err(Stop::Trap(codes)) => match self.next_entry() {
                Some(Entry::End { trap: Some(code) }) if codes.contains(&code) => {
                    self.count(format!("trap {code:?}"));
                    return Ok(());
                }
                _ => format!("the model traps with {codes:?}"),
            },
        };
        let at = self.at;
        Err(Mismatch { at, message })
    }

    /// Makes a choice: whether it is the second thing.
    fn choose(&mut self) -> bool {
        if self.chosen == self.choices.len() {
            self.choices.push(Choice::default());
        }
        self.chosen += 1;
        self.choices[self.chosen - 1].is_changed
    }

    fn count(&mut self, what: impl Into<String>) {
        *self.coverage.entry(what.into()).or_default() += 1;
    }

    /// Whether this wrong model is tried.
    fn is(&self, mutant: Mutant) -> bool {
        self.rules.mutant == Some(mutant)
    }

    fn next_entry(&self) -> Option<Entry> {
        self.trace.get(self.at).copied()
    }

    /// The task whose code does what comes next.
    fn next_task(&self) -> Option<u32> {
        self.next_entry()?.task()
    }

    /// Takes the next entry, which must be this.
    fn expect(&mut self, expected: Entry) -> Run<()> {
        if self.next_entry() != Some(expected) {
            return mismatch(format!("the model has: {expected}"));
        }
        self.at += 1;
        Ok(())
    }

    fn task(&mut self, task: u32) -> &mut Task {
        match self.tasks.get_mut(&task) {
            Some(task) => task,
            None => unreachable!("tasks are called before they are used"),
        }
    }

    fn instance_of(&mut self, task: u32) -> &mut Instance {
        let instance = self.task(task).callee.instance;
        &mut self.instances[instance as usize]
    }

    /// All of the trace, where no thread runs.
    fn run(&mut self) -> Run<()> {
        loop {
            let Some(entry) = self.next_entry() else {
                return mismatch("the trace has no end");
            };
            match entry {
                Entry::HostCall { task } => {
                    self.at += 1;
                    let callee = self.program.scripts[task as usize].callee;
                    self.tasks.insert(task, Task::new(callee, Caller::Host));
                    self.canon_lift(task)?;
                }
                Entry::HostResult { task, value } => {
                    self.at += 1;
                    let found = self
                        .tasks
                        .get_mut(&task)
                        .and_then(|task| task.result.take());
                    if found != Some(value) {
                        return mismatch(format!("the model has the result {found:?}"));
                    }
                    self.count("host result");
                }
                Entry::End { trap: None } => return self.end(),
                Entry::End { trap: Some(_) } => return mismatch("the model does not trap"),
                Entry::Begin { task, .. }
                | Entry::Event { task, .. }
                | Entry::Result { task, .. }
                | Entry::Act { task, .. } => self.tick(task)?,
            }
        }
    }

    /// `Store.tick`, with this thread.
    fn tick(&mut self, task: u32) -> Run<()> {
        if !self.is_ready(task) {
            let found = self.tasks.get(&task).map(|task| task.thread.waits);
            return mismatch(format!("task {task} cannot go on: it waits for {found:?}"));
        }
        self.count("tick");
        self.resume(task, false)
    }

    /// Nothing goes on: nothing must be able to.
    fn end(&mut self) -> Run<()> {
        let tasks: Vec<u32> = self.tasks.keys().copied().collect();
        for task in tasks {
            if self.is_ready(task) {
                return mismatch(format!("the model has that task {task} can go on"));
            }
            let roots = &mut self.program.roots.iter();
            let is_dropped = roots.any(|root| root.task == task && root.patience.is_some());
            match (self.task(task).result.is_some(), is_dropped) {
                (true, true) => self.count("result of a call that the host has dropped"),
                (true, false) => return mismatch(format!("the host has no result of {task}")),
                (false, _) => {}
            }
            match self.task(task).state {
                TaskState::Resolved => self.count("end: resolved"),
                state => self.count(format!("end: {state:?}")),
            }
        }
        self.count("end of all");
        Ok(())
    }

    /// Whether a thread waits, and need not (`Thread.ready`).
    fn is_ready(&self, task: u32) -> bool {
        let waits = self.tasks.get(&task).and_then(|task| task.thread.waits);
        waits.is_some_and(|(until, _)| self.is_so(task, until))
    }

    /// `ready_func`.
    fn is_so(&self, task: u32, until: Until) -> bool {
        let task = &self.tasks[&task];
        let instance = &self.instances[task.callee.instance as usize];
        let is_free = instance.exclusive_thread.is_none() || self.is(Mutant::NotExclusive);
        match until {
            Until::MayStart => !self.has_backpressure(task),
            Until::Turn => true,
            Until::NotExclusive => is_free,
            Until::Event(set) => self.has_event(set),
            Until::NotExclusiveAndEvent(set) => is_free && self.has_event(set),
            Until::Resolved(subtask) => self.subtasks[subtask].resolved(),
            Until::Pending(waitable) => self.waitable(waitable).pending_event.is_some(),
        }
    }

    /// `has_backpressure`.
    fn has_backpressure(&self, task: &Task) -> bool {
        let instance = &self.instances[task.callee.instance as usize];
        let is_locked = task.needs_exclusive() && instance.exclusive_thread.is_some();
        instance.backpressure > 0 && !self.is(Mutant::NoBackpressure) || is_locked
    }

    fn trap<T>(&self, codes: &'static [TrapCode]) -> Run<T> {
        Err(Stop::Trap(codes))
    }
}
