//! Processes that come from the one that a test runs in.

/// Runs `body` in a forked process, which has 10 seconds: whether it returned. Whatever other
/// threads of this process do goes on, and is not in the child.
#[allow(unsafe_code, reason = "forks")]
pub(crate) fn in_fork(body: impl FnOnce()) -> bool {
    // SAFETY: the child runs `body` alone, which needs no other thread, and ends at once.
    match unsafe { libc::fork() } {
        -1 => panic!("cannot fork"),
        0 => {
            // SAFETY: has no preconditions; the signal ends the process.
            unsafe { libc::alarm(10) };
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_ok();
            // SAFETY: ends the process, and runs nothing that other threads would be needed for.
            unsafe { libc::_exit(if done { 0 } else { 1 }) }
        }
        child => {
            let mut status = 0;
            // SAFETY: a child of this process, which nobody else waits for.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            status == 0
        }
    }
}
