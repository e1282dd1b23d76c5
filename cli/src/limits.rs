//! The limits of a build: its time and memory.
//!
//! Compilation does not end early, but the command does: whoever notices that a limit is exceeded
//! says so and exits. Nothing is written before the build is done and its limits are lifted, so there
//! is nothing to take back.

use std::io::Write as _;
use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::allocator;
use crate::args::BuildLimits;

/// The limits of a build that goes on; dropping it lifts them.
pub(crate) struct Limits {
    time: Option<Arc<Clock>>,
}

/// Tells the thread that watches the time that the build is done.
#[derive(Default)]
struct Clock {
    done: Mutex<bool>,
    changed: Condvar,
}

impl Limits {
    /// Starts to watch the time and memory of this process.
    pub(crate) fn start(limits: &BuildLimits) -> Limits {
        if let Some(bytes) = limits.memory_limit {
            allocator::limit(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
        let time = limits.time_limit.map(|limit| {
            let clock = Arc::new(Clock::default());
            let (watched, end) = (clock.clone(), Instant::now().checked_add(limit));
            std::thread::spawn(move || watched.watch(limit, end));
            clock
        });
        Limits { time }
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        if let Some(clock) = &self.time {
            // Waits for ever if the time is over: the process exits with the lock held.
            *clock.lock() = true;
            clock.changed.notify_all();
        }
        allocator::unlimit();
    }
}

impl Clock {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the process if the build is not done in time.
    fn watch(&self, limit: Duration, end: Option<Instant>) {
        // What cannot be reckoned does not come.
        let Some(end) = end else { return };
        let mut done = self.lock();
        while !*done {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                exceeded(format_args!(
                    "time limit exceeded: not done after {limit:?} (--time-limit)"
                ));
            }
            let woken = self.changed.wait_timeout(done, left);
            done = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Says which limit is exceeded and exits. Needs no memory.
#[cold]
pub(crate) fn exceeded(what: std::fmt::Arguments<'_>) -> ! {
    let mut stderr = std::io::stderr().lock();
    if std::io::IsTerminal::is_terminal(&stderr) {
        // There may be a progress bar.
        let _ = writeln!(stderr);
    }
    let _ = writeln!(stderr, "error: {what}");
    process::exit(1)
}
