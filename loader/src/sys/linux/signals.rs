//! The signals that traps raise.
//!
//! Our handlers ask [`Handler`] about each fault. What it does not know goes to the handler that
//! was there before, exactly as if ours were not installed.
#![allow(
    unsafe_code,
    reason = "handles signals and changes the interrupted context"
)]

#[cfg(feature = "profile")]
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::error::{Context as _, Error, Result};
#[cfg(feature = "async")]
use crate::sys::detour::Detour;
use crate::sys::registers::{Registers, Resume};

/// A fault of the running program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) registers: Registers,
    pub(crate) cause: Cause,
}

/// Why an instruction failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It may not access what is at this address; 0 if the number that it computed is none.
    Access(usize),
    /// There is no such instruction: how code raises a trap.
    Instruction,
    /// It divided by zero, or the quotient is too large.
    Division,
}

/// Decides what happens after a fault; `None`: it is not ours. Runs in a signal handler: it must
/// not allocate, lock or panic.
pub(crate) type Handler = fn(&Fault) -> Option<Answer>;

/// What happens after a fault.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// The instruction is executed again.
    #[cfg(feature = "recycle")]
    Again,
    /// It is a trap.
    Resume(Resume),
    /// A function is called, and then the instruction is executed again.
    #[cfg(feature = "async")]
    Detour(Detour),
}

/// The signals that faults of code raise. (`SIGBUS` is never a guest's doing: pages that are there
/// cannot be read or written, because a mapped file was cut off or the hardware failed.)
const SIGNALS: [c_int; 3] = [libc::SIGSEGV, libc::SIGILL, libc::SIGFPE];

/// The state that our signal handlers need; set before they are installed.
struct Installed {
    handler: Handler,
    /// The actions that were there before, in the order of [`SIGNALS`].
    previous: [libc::sigaction; SIGNALS.len()],
    /// Whether a previous handler that is for one signal only (`SA_RESETHAND`) has had it.
    spent: [AtomicBool; SIGNALS.len()],
}

static INSTALLED: OnceLock<Installed> = OnceLock::new();

#[cfg(feature = "profile")]
thread_local! {
    /// The code whose fault the handler looks at.
    static FAULT: Cell<Option<Registers>> = const { Cell::new(None) };
}

/// The code of this thread whose fault is looked at, on another stack. Safe in signal handlers.
#[cfg(feature = "profile")]
pub(crate) fn noted_fault() -> Option<Registers> {
    FAULT.with(Cell::get)
}

/// Installs the signal handlers, once in a process.
///
/// # Errors
/// If the operating system refuses.
pub(crate) fn install(handler: Handler) -> Result<()> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    if INSTALLED.get().is_some() {
        return Ok(());
    }
    let _guard = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if INSTALLED.get().is_some() {
        return Ok(());
    }
    install_handlers(handler).context("cannot install signal handlers")
}

fn install_handlers(handler: Handler) -> io::Result<()> {
    let mut previous = [EMPTY; SIGNALS.len()];
    for (signal, previous) in SIGNALS.iter().zip(&mut previous) {
        *previous = replace_action(*signal, None)?;
    }
    let set = INSTALLED.set(Installed {
        handler,
        previous,
        spent: Default::default(),
    });
    assert!(set.is_ok(), "installed once");
    let function: unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_signal;
    let action = libc::sigaction {
        sa_sigaction: function as usize,
        // A fault in a handler that we call must reach us, so that it is passed on as well.
        sa_flags: libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER,
        ..EMPTY
    };
    for signal in SIGNALS {
        replace_action(signal, Some(&action))?;
    }
    Ok(())
}

/// Checks that the signals of traps are not blocked on this thread: the kernel ends a process that
/// cannot be told of a fault.
///
/// # Errors
/// Which are blocked.
pub(crate) fn check_unblocked() -> Result<()> {
    let mut blocked = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: asks only; fills `blocked` when it succeeds.
    let error =
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), blocked.as_mut_ptr()) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error).into());
    }
    let names = ["SIGSEGV", "SIGILL", "SIGFPE"];
    let blocked = SIGNALS.iter().zip(names).filter(|(signal, _)| {
        // SAFETY: a set that was filled, and a number of a signal.
        unsafe { libc::sigismember(blocked.as_ptr(), **signal) == 1 }
    });
    let blocked: Vec<_> = blocked.map(|(_, name)| name).collect();
    match blocked.is_empty() {
        true => Ok(()),
        false => Err(Error::msg(format_args!(
            "this thread blocks {}, by which traps of wasm are noticed",
            blocked.join(", ")
        ))),
    }
}

/// The default action.
pub(super) const EMPTY: libc::sigaction = libc::sigaction {
    sa_sigaction: libc::SIG_DFL,
    // SAFETY: a signal set is plain bits, and the empty one is all zeros.
    sa_mask: unsafe { MaybeUninit::zeroed().assume_init() },
    sa_flags: 0,
    sa_restorer: None,
};

/// Sets the action of a signal, if one is given, and returns the one before. Safe in signal
/// handlers.
pub(super) fn replace_action(
    signal: c_int,
    action: Option<&libc::sigaction>,
) -> io::Result<libc::sigaction> {
    let mut previous = EMPTY;
    let action = action.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: both point to actions or are null; handlers given here are of the right signature.
    if unsafe { libc::sigaction(signal, action, &raw mut previous) } == 0 {
        Ok(previous)
    } else {
        Err(io::Error::last_os_error())
    }
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
    // A signal that another process or thread sent is no fault, whatever was running.
    if details.si_code > 0 {
        // SAFETY: the kernel passes a valid pointer, which nothing else uses meanwhile.
        let machine = unsafe { &mut *context.cast::<libc::ucontext_t>() };
        let cause = match signal {
            libc::SIGILL => Cause::Instruction,
            libc::SIGFPE => Cause::Division,
            // SAFETY: faults of this signal have an address.
            _ => Cause::Access(unsafe { details.si_addr() }.addr()),
        };
        let fault = Fault {
            registers: Registers::of_signal(machine),
            cause,
        };
        #[cfg(feature = "profile")]
        FAULT.with(|noted| noted.set(Some(fault.registers)));
        let answer = (installed.handler)(&fault);
        #[cfg(feature = "profile")]
        FAULT.with(|noted| noted.set(None));
        match answer {
            #[cfg(feature = "recycle")]
            Some(Answer::Again) => return,
            Some(Answer::Resume(resume)) => return resume.set(machine),
            #[cfg(feature = "async")]
            // SAFETY: compiled code leaves the host as much stack.
            Some(Answer::Detour(detour)) => return unsafe { detour.set(machine) },
            None => {}
        }
    }
    let index = SIGNALS.iter().position(|known| *known == signal);
    if let Some(index) = index {
        let previous = &installed.previous[index];
        let is_once = previous.sa_flags & libc::SA_RESETHAND != 0;
        let previous = match is_once && installed.spent[index].swap(true, Ordering::Relaxed) {
            true => &EMPTY,
            false => previous,
        };
        // SAFETY: these are the arguments of the kernel, and the action was installed for them.
        unsafe { chain(previous, signal, info, context) };
    }
}

/// Does what would happen without our handler.
///
/// # Safety
/// - `info` and `context` are what the kernel passed for `signal`.
/// - `previous` was installed for this signal.
pub(super) unsafe fn chain(
    previous: &libc::sigaction,
    signal: c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) {
    // SAFETY: the kernel passed a valid pointer.
    let sent = unsafe { (*info).si_code } <= 0;
    match previous.sa_sigaction {
        libc::SIG_IGN if sent => {}
        // The kernel does not let faults be ignored.
        libc::SIG_DFL | libc::SIG_IGN => {
            // The instruction runs again and ends the process as it would have. A signal that was
            // sent must be sent again.
            let restored = replace_action(signal, Some(&EMPTY));
            if sent || restored.is_err() {
                // SAFETY: has no preconditions.
                unsafe { libc::raise(signal) };
            }
        }
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            type Handler = unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
            // SAFETY: an action with `SA_SIGINFO` holds a function of this signature.
            let handler = unsafe { std::mem::transmute::<usize, Handler>(handler) };
            // SAFETY: called as the kernel would.
            unsafe { handler(signal, info, context) };
        }
        handler => {
            type Handler = unsafe extern "C" fn(c_int);
            // SAFETY: an action without `SA_SIGINFO` holds a function of this signature.
            let handler = unsafe { std::mem::transmute::<usize, Handler>(handler) };
            // SAFETY: called as the kernel would.
            unsafe { handler(signal) };
        }
    }
}
