//! The CPU that a thread runs on.
#![allow(unsafe_code, reason = "asks the C library")]

use std::sync::OnceLock;

/// CPUs that are told apart at most.
const MOST: usize = 64;

/// How many CPUs are told apart: those of the machine, up to 64.
pub(crate) fn count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        // SAFETY: asks for a number, or -1.
        let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
        usize::try_from(count).unwrap_or(1).clamp(1, MOST)
    })
}

/// A number below [`count`] for the CPU that this thread runs on now; a moment later it may run on
/// another.
pub(crate) fn current() -> usize {
    // SAFETY: takes nothing, and returns a number or -1.
    let cpu = unsafe { libc::sched_getcpu() };
    usize::try_from(cpu).unwrap_or(0) % count()
}
