//! The limits of a build, its time and memory, and the time that a program may take.
//!
//! Compilation cannot be stopped, so the command exits: the thread that notices that a limit is
//! exceeded prints an error and exits. A file is written after the build is done and its limits are
//! lifted, so nothing must be undone. A pipe is written to within the limits, since its reader may
//! never finish; it may get a part of the output.

use std::io::Write as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{process, thread};

use cwasm::{Error, Result};

use crate::allocator;
use crate::args::BuildLimits;

/// The exit code of a program that has taken too long, as the command `timeout` has it.
const EXIT_TIMEOUT: i32 = 124;

/// The limits of a running build. Dropping this lifts them.
pub(crate) struct Limits {
    _time: Option<Watched>,
}

/// The time that a program may take. Dropping this lifts the limit.
///
/// A program that runs cannot be stopped unless its code was compiled for that, and one that waits
/// for input neither, so the command exits.
pub(crate) struct Timeout {
    _time: Watched,
}

/// A clock that a thread watches; dropping this ends the thread.
struct Watched(Arc<Clock>);

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
        let time = limits.time_limit.map(|limit| {
            Watched::start(limit, move || {
                exceeded(format_args!(
                    "time limit exceeded: not done after {limit:?} (--time-limit)"
                ))
            })
        });
        let time = time.transpose()?;
        Ok(Limits { _time: time })
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        allocator::unlimit();
    }
}

impl Timeout {
    /// Exits, as the command `timeout` does, if this is not dropped in time. Calls `before_exit`
    /// before.
    ///
    /// # Errors
    /// As [`Limits::start`].
    pub(crate) fn start(
        limit: Duration,
        before_exit: impl FnOnce() + Send + 'static,
    ) -> Result<Timeout> {
        let time = Watched::start(limit, move || {
            before_exit();
            exit_with(
                EXIT_TIMEOUT,
                format_args!("the program has not ended after {limit:?} (--timeout)"),
            )
        })?;
        Ok(Timeout { _time: time })
    }
}

impl Watched {
    fn start(limit: Duration, exceeded: impl FnOnce() + Send + 'static) -> Result<Watched> {
        let clock = Arc::new(Clock::default());
        let (watched, end) = (Arc::clone(&clock), Instant::now().checked_add(limit));
        let thread = thread::Builder::new().spawn(move || watched.watch(end, exceeded));
        thread.map_err(|error| {
            Error::from(error).context("cannot start the thread that watches the time")
        })?;
        Ok(Watched(clock))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Blocks for ever if the time is over, because the process exits while the lock is held.
        *self.0.lock() = true;
        self.0.changed.notify_all();
    }
}

impl Clock {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `exceeded`, which exits, if the work is not done in time.
    fn watch(&self, end: Option<Instant>, exceeded: impl FnOnce()) {
        // An end that no clock can show is never reached.
        let Some(end) = end else { return };
        let mut done = self.lock();
        while !*done {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return exceeded();
            }
            let woken = self.changed.wait_timeout(done, left);
            done = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Prints which limit is exceeded, and exits. Needs no memory.
#[cold]
pub(crate) fn exceeded(what: std::fmt::Arguments<'_>) -> ! {
    exit_with(1, what)
}

/// Prints an error, and exits. Needs no memory.
fn exit_with(code: i32, what: std::fmt::Arguments<'_>) -> ! {
    let mut stderr = std::io::stderr().lock();
    if std::io::IsTerminal::is_terminal(&stderr) {
        // There may be a progress bar on the line.
        let _ = writeln!(stderr);
    }
    let _ = writeln!(stderr, "error: {what}");
    process::exit(code)
}
