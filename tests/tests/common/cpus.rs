//! The CPUs that a thread may run on.
#![allow(unsafe_code, reason = "asks the C library")]

/// The numbers of those that this thread may run on.
pub(crate) fn allowed() -> Vec<usize> {
    // SAFETY: bits, of which any are valid.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: writes as many bytes as the set has; 0 is this thread.
    let done = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    assert_eq!(done, 0);
    let has = |cpu: &usize| {
        // SAFETY: a number that the set has a bit for.
        unsafe { libc::CPU_ISSET(*cpu, &set) }
    };
    (0..libc::CPU_SETSIZE as usize).filter(has).collect()
}

/// Has this thread run on these from now on.
pub(crate) fn run_on(cpus: &[usize]) {
    // SAFETY: bits, of which any are valid.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for cpu in cpus {
        // SAFETY: a number that the set has a bit for: `allowed` has it from there.
        unsafe { libc::CPU_SET(*cpu, &mut set) };
    }
    // SAFETY: reads as many bytes as the set has; 0 is this thread.
    let done = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    assert_eq!(done, 0);
}
