//! The limits of a build: its time and memory.
//!
//! Compilation cannot be stopped, so the command exits: the thread that notices that a limit is
//! exceeded prints an error and exits. A file is written after the build is done and its limits are
//! lifted, so nothing must be undone. A pipe is written to within the limits, since its reader may
//! never finish; it may get a part of the output.

use std::io::Write as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, process, thread};

use cwasm::{Error, Result};

use crate::allocator;
use crate::args::BuildLimits;

/// The limits of a running build. Dropping this lifts them.
pub(crate) struct Limits {
    time: Option<Arc<Clock>>,
}

/// Tells the thread that watches the time when the build is done.
#[derive(Default)]
struct Clock {
    done: Mutex<bool>,
    changed: Condvar,
}

impl Limits {
    /// Starts to watch time and memory of this process.
    ///
    /// # Errors
    /// If the thread that watches the time cannot be started.
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
            // Blocks for ever if the time is over, because the process exits while the lock is
            // held.
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

    /// Exits if the build is not done in time.
    fn watch(&self, limit: Duration, end: Option<Instant>) {
        // An end that no clock can show is never reached.
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

/// Prints which limit is exceeded, and exits. Needs no memory.
#[cold]
pub(crate) fn exceeded(what: std::fmt::Arguments<'_>) -> ! {
    let mut stderr = std::io::stderr().lock();
    if std::io::IsTerminal::is_terminal(&stderr) {
        // There may be a progress bar on the line.
        let _ = writeln!(stderr);
    }
    let _ = writeln!(stderr, "error: {what}");
    process::exit(1)
}
