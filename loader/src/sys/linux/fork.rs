//! Forks of the process.
#![allow(unsafe_code, reason = "registers handlers of forks")]

use std::io;

/// Makes each fork call `before` on the thread that forks, and then `after` there, and `in_child`
/// on the child's only thread. This cannot be undone.
///
/// # Errors
/// If there is not enough memory.
pub(crate) fn install(
    before: extern "C" fn(),
    after: extern "C" fn(),
    in_child: extern "C" fn(),
) -> io::Result<()> {
    // SAFETY: functions without arguments, which stay.
    match unsafe { libc::pthread_atfork(Some(before), Some(after), Some(in_child)) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
