//! The CPU that a thread runs on.
#![allow(unsafe_code, reason = "asks the C library")]

use std::sync::atomic::{AtomicUsize, Ordering};

/// CPUs that are told apart at most.
const MOST: usize = 64;

/// How many CPUs are told apart: those of the machine, up to 64.
pub(crate) fn count() -> usize {
    // No lock, so that no fork can leave it held in a child: whoever comes first may ask twice.
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let known = COUNT.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    // SAFETY: asks for a number, or -1.
    let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
    let count = usize::try_from(count).unwrap_or(1).clamp(1, MOST);
    COUNT.store(count, Ordering::Relaxed);
    count
}

/// A number below [`count`] for the CPU that this thread runs on now; a moment later it may run on
/// another.
pub(crate) fn current() -> usize {
    // SAFETY: takes nothing, and returns a number or -1.
    let cpu = unsafe { libc::sched_getcpu() };
    usize::try_from(cpu).unwrap_or(0) % count()
}
