//! Deadlines of stores: one thread for each engine waits for all of them, from the first on.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use crate::vm::interrupt::Interrupts;

/// When a store shall stop; no two are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline {
    at: Instant,
    number: u64,
}

/// The deadlines of an engine's stores.
#[derive(Debug, Default)]
pub(crate) struct Timer(Arc<Shared>);

/// What the timer shares with its thread.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The first comes first.
    deadlines: BTreeMap<Deadline, Weak<Interrupts>>,
    last_number: u64,
    has_thread: bool,
    /// The engine is gone, and the thread shall be.
    is_over: bool,
}

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
        let mut state = self.0.state();
        if !state.has_thread {
            let shared = Arc::clone(&self.0);
            let thread = std::thread::Builder::new().name("cwasm deadlines".to_owned());
            thread.spawn(move || shared.run())?;
            state.has_thread = true;
        }
        state.deadlines.insert(deadline, interrupts);
        let is_first = state.deadlines.first_key_value().map(|(first, _)| *first) == Some(deadline);
        if is_first {
            self.0.changed.notify_one();
        }
        Ok(())
    }

    /// Waits for a deadline no more.
    pub(crate) fn remove(&self, deadline: Deadline) {
        // What is removed is dropped when the lock is free again.
        let removed = self.0.state().deadlines.remove(&deadline);
        drop(removed);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.state().is_over = true;
        self.0.changed.notify_one();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut state = self.state();
        loop {
            if state.is_over {
                return None;
            }
            let now = Instant::now();
            state = match state.deadlines.first_key_value() {
                None => self.changed.wait(state),
                Some((first, _)) if first.at <= now => return state.deadlines.pop_first(),
                Some((first, _)) => {
                    let left = first.at - now;
                    let waited = self.changed.wait_timeout(state, left);
                    waited
                        .map(|(state, _)| state)
                        .map_err(|error| PoisonError::new(error.into_inner().0))
                }
            }
            .unwrap_or_else(PoisonError::into_inner);
        }
    }
}
