//! The limits of a build: its time and memory.
//!
//! Compilation does not end early, but the command does: whoever notices that a limit is exceeded
//! says so and exits. A file is written after the build is done and its limits are lifted, so there
//! is nothing to take back. A pipe is written to within the limits, since its reader may never end;
//! it may get a part.

use std::io::Write as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, process, thread};

use cwasm::{Error, Result};

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
    ///
    /// # Errors
    /// If there can be no thread that watches the time.
    pub(crate) fn start(limits: &BuildLimits) -> Result<Limits> {
        if let Some(bytes) = limits.memory_limit {
            allocator::limit(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
        let clock = |limit| -> io::Result<_> {
            let clock = Arc::new(Clock::default());
            let (watched, end) = (clock.clone(), Instant::now().checked_add(limit));
            thread::Builder::new().spawn(move || watched.watch(limit, end))?;
            Ok(clock)
        };
        let time = limits.time_limit.map(clock).transpose();
        let time = time.map_err(|error| {
            Error::from(error).context("cannot start the thread that watches --time-limit")
        })?;
        Ok(Limits { time })
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
