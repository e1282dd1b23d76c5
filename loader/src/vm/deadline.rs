//! Deadlines of stores: one thread for each engine waits for all of them, from the first on.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, Thread};
use std::time::Instant;

use crate::fork::{self, Locked};
use crate::vm::interrupt::Interrupts;

/// The time at which a store is stopped; no two are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline {
    at: Instant,
    number: u64,
}

/// The deadlines of an engine's stores.
#[derive(Debug, Default)]
pub(crate) struct Timer(Arc<Shared>);

/// The state that the timer shares with its thread.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The first comes first.
    deadlines: BTreeMap<Deadline, Weak<Interrupts>>,
    last_number: u64,
    /// When the thread wakes by itself; `None` if it does not.
    wakes_at: Option<Instant>,
    /// The thread, and the [generation](fork::generation) of the process that it is in.
    thread: Option<(Thread, u32)>,
    /// The engine is gone, and the thread must end.
    is_over: bool,
}

/// All timers that have had a thread: in a child after a fork, they have none.
static TIMERS: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

impl Timer {
    /// A new deadline, for which nobody waits yet.
    pub(crate) fn deadline(&self, at: Instant) -> Deadline {
        let mut state = self.0.state();
        state.last_number += 1;
        let number = state.last_number;
        Deadline { at, number }
    }

    /// Waits for a deadline from now on.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(crate) fn add(&self, deadline: Deadline, interrupts: Weak<Interrupts>) -> io::Result<()> {
        self.0.ensure_thread()?;
        let mut state = self.0.state();
        state.deadlines.insert(deadline, interrupts);
        // Time slices come and go thousands of times a second, and few of them are used up.
        if state.wakes_at.is_none_or(|wakes_at| deadline.at < wakes_at) {
            state.wakes_at = Some(deadline.at);
            state.wake();
        }
        Ok(())
    }

    /// Waits for a deadline no more.
    pub(crate) fn remove(&self, deadline: Deadline) {
        // The removed deadline is dropped when the lock is free again.
        let removed = self.0.state().deadlines.remove(&deadline);
        drop(removed);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_over = true;
        state.wake();
    }
}

impl State {
    fn wake(&self) {
        if let Some((thread, _)) = &self.thread {
            thread.unpark();
        }
    }
}

impl Shared {
    fn state(&self) -> Locked<'_, State> {
        fork::lock(&self.state)
    }

    /// Starts the thread, if this process does not have it.
    fn ensure_thread(self: &Arc<Self>) -> io::Result<()> {
        let mut state = self.state();
        let generation = fork::generation();
        if let Some((_, before)) = &state.thread
            && *before == generation
        {
            return Ok(());
        }
        let shared = Arc::clone(self);
        let thread = thread::Builder::new().name("cwasm deadlines".to_owned());
        let handle = thread.spawn(move || shared.run())?;
        let is_new = state.thread.is_none();
        state.thread = Some((handle.thread().clone(), generation));
        drop(state);
        if is_new {
            let mut timers = fork::lock(&TIMERS);
            timers.retain(|timer| timer.strong_count() != 0);
            timers.push(Arc::downgrade(self));
        }
        Ok(())
    }

    fn run(&self) {
        while let Some((deadline, interrupts)) = self.next_due() {
            // Without the lock: this may be the last who knows the store, and with it the engine.
            if let Some(interrupts) = interrupts.upgrade() {
                // There is nobody to tell if the operating system refuses, which it has no reason
                // to: the page has been protected and mapped like this before.
                let _ = interrupts.expire(deadline);
            }
        }
    }

    /// Waits for the next deadline; `None` if the engine is gone.
    fn next_due(&self) -> Option<(Deadline, Weak<Interrupts>)> {
        loop {
            let mut state = self.state();
            if state.is_over {
                return None;
            }
            let now = Instant::now();
            let first = state.deadlines.first_key_value().map(|(first, _)| first.at);
            if first.is_some_and(|at| at <= now) {
                return state.deadlines.pop_first();
            }
            state.wakes_at = first;
            drop(state);
            // Who adds an earlier one wakes this thread, whether it waits already or not yet.
            match first {
                None => thread::park(),
                Some(at) => thread::park_timeout(at - now),
            }
        }
    }
}

/// In a child after a fork: waits for its deadlines again. Where no thread can be started for them,
/// they pass at once: code that would run too long is stopped too early.
pub(crate) fn after_fork() {
    let timers: Vec<_> = {
        let timers = fork::lock(&TIMERS);
        timers.iter().filter_map(Weak::upgrade).collect()
    };
    for timer in timers {
        let is_needed = !timer.state().deadlines.is_empty();
        if is_needed && timer.ensure_thread().is_err() {
            let all = std::mem::take(&mut timer.state().deadlines);
            for (deadline, interrupts) in all {
                let interrupts = interrupts.upgrade();
                let _ = interrupts.map(|interrupts| interrupts.expire(deadline));
            }
        }
    }
}
