//! Timers that interrupt one thread again and again, by `SIGPROF`.
//!
//! A timer of a thread's CPU time interrupts nothing that waits, as it does not go on then. The
//! kernel looks at such timers at its ticks (`CONFIG_HZ`, often 250 a second), so that interrupts
//! may be rarer than was asked for: whoever is interrupted asks how much time has passed.
#![allow(unsafe_code, reason = "makes timers and handles their signal")]

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::signals::{EMPTY, chain, replace_action};
use crate::error::{Context as _, Result};
use crate::sys::registers::Registers;

/// Called on a thread that a timer interrupts, with its registers. Runs in a signal handler: it
/// must not allocate, wait or panic.
pub(crate) type Handler = fn(&Registers);

/// The state that our signal handler needs; set before it is installed.
struct Installed {
    handler: Handler,
    /// The action that was there before.
    previous: libc::sigaction,
}

static INSTALLED: OnceLock<Installed> = OnceLock::new();

/// Its address marks our timers.
static MARK: u8 = 0;

/// Installs the signal handler, once in a process. Signals that no timer of ours has sent go to the
/// handler that was there before.
///
/// # Errors
/// If the operating system refuses.
pub(crate) fn install(handler: Handler) -> Result<()> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _guard = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if INSTALLED.get().is_some() {
        return Ok(());
    }
    install_handler(handler).context("cannot install a handler of SIGPROF")
}

fn install_handler(handler: Handler) -> io::Result<()> {
    let previous = replace_action(libc::SIGPROF, None)?;
    INSTALLED.get_or_init(|| Installed { handler, previous });
    let function: unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_signal;
    let action = libc::sigaction {
        sa_sigaction: function as usize,
        // System calls that were interrupted go on.
        sa_flags: libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART,
        ..EMPTY
    };
    replace_action(libc::SIGPROF, Some(&action)).map(drop)
}

/// The signal handler.
///
/// # Safety
/// - The kernel calls it.
unsafe extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let Some(installed) = INSTALLED.get() else {
        return;
    };
    // SAFETY: the kernel passes a valid pointer, and nothing writes to it.
    let details = unsafe { &*info };
    // SAFETY: signals of timers have a value.
    let is_ours = || unsafe { details.si_value() }.sival_ptr.addr() == (&raw const MARK).addr();
    if details.si_code == libc::SI_TIMER && is_ours() {
        // SAFETY: the kernel passes a valid pointer, and nothing writes to it.
        let machine = unsafe { &*context.cast::<libc::ucontext_t>() };
        return (installed.handler)(&Registers::of_signal(machine));
    }
    // SAFETY: these are the arguments of the kernel, and the action was installed for them.
    unsafe { chain(&installed.previous, signal, info, context) };
}

/// A clock of the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(libc::clockid_t);

impl Clock {
    /// Time that passes.
    pub(crate) const WALL: Clock = Clock(libc::CLOCK_MONOTONIC);

    /// Nanoseconds that it shows; 0 if its thread has ended. Safe in signal handlers.
    pub(crate) fn now(self) -> u64 {
        let mut time = MaybeUninit::<libc::timespec>::zeroed();
        // SAFETY: fills `time` when it succeeds.
        unsafe { libc::clock_gettime(self.0, time.as_mut_ptr()) };
        // SAFETY: filled above, or zeros.
        let time = unsafe { time.assume_init() };
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
}

/// A thread, as the kernel knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadId {
    pub(crate) id: u32,
    /// The time that it has run.
    pub(crate) cpu_time: Clock,
}

impl ThreadId {
    /// This thread.
    ///
    /// # Errors
    /// If its time is not measured.
    pub(crate) fn current() -> io::Result<ThreadId> {
        let mut clock = 0;
        // SAFETY: has no preconditions.
        let this = unsafe { libc::pthread_self() };
        // SAFETY: this thread runs; sets `clock` when it succeeds.
        let error = unsafe { libc::pthread_getcpuclockid(this, &raw mut clock) };
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        Ok(ThreadId {
            // SAFETY: has no preconditions.
            id: unsafe { libc::gettid() }.cast_unsigned(),
            cpu_time: Clock(clock),
        })
    }
}

/// A timer that interrupts a thread.
pub(crate) struct Ticks(libc::timer_t);

// SAFETY: a number of the process, which any thread may use.
unsafe impl Send for Ticks {}

impl Ticks {
    /// Interrupts the thread whenever `clock` has gone on by `interval`, until this is dropped.
    ///
    /// # Errors
    /// If the operating system refuses, as for a thread that has ended.
    pub(crate) fn start(thread: ThreadId, clock: Clock, interval: Duration) -> io::Result<Ticks> {
        // SAFETY: plain numbers and pointers, which may be zero.
        let mut event: libc::sigevent = unsafe { MaybeUninit::zeroed().assume_init() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_notify_thread_id = thread.id.cast_signed();
        event.sigev_signo = libc::SIGPROF;
        event.sigev_value.sival_ptr = (&raw const MARK).cast_mut().cast();
        let mut timer = ptr::null_mut();
        // SAFETY: `event` says all that it must; sets `timer` when it succeeds.
        if unsafe { libc::timer_create(clock.0, &raw mut event, &raw mut timer) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let ticks = Ticks(timer);
        let interval = libc::timespec {
            tv_sec: interval.as_secs().cast_signed(),
            tv_nsec: interval.subsec_nanos().into(),
        };
        let times = libc::itimerspec {
            it_interval: interval,
            it_value: interval,
        };
        // SAFETY: a timer of ours; `times` is only read.
        match unsafe { libc::timer_settime(timer, 0, &raw const times, ptr::null_mut()) } {
            0 => Ok(ticks),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Ticks {
    fn drop(&mut self) {
        // SAFETY: a timer of ours, which is not used again.
        unsafe { libc::timer_delete(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_thread_is_interrupted_while_it_runs() {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        install(|registers| {
            assert_ne!(registers.pc, 0);
            COUNT.fetch_add(1, Ordering::Relaxed);
        })
        .unwrap();
        let thread = ThreadId::current().unwrap();
        let ticks = Ticks::start(thread, thread.cpu_time, Duration::from_millis(1)).unwrap();
        let began = Instant::now();
        while COUNT.load(Ordering::Relaxed) < 3 {
            assert!(began.elapsed() < Duration::from_secs(60), "no interrupts");
        }
        drop(ticks);
        assert!(thread.cpu_time.now() > 2_000_000);
    }
}
