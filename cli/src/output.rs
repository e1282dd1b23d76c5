//! Standard output and standard error.

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

use cwasm::{Error, Result};

/// The exit code after a trap: that of a process which ended by SIGABRT.
const EXIT_TRAP: u8 = 134;

/// Prints to standard output.
///
/// # Errors
/// If it cannot be written to.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// Prints a line to standard error. If that cannot be written to, there is nobody to tell.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints an error and its causes; the exit code for it.
pub(crate) fn report(error: &Error) -> ExitCode {
    if error
        .downcast_ref::<io::Error>()
        .is_some_and(|io| io.kind() == ErrorKind::BrokenPipe)
    {
        // Whoever read our output has seen enough.
        return ExitCode::SUCCESS;
    }
    let mut text = String::from("error: ");
    let mut last = String::new();
    for (index, cause) in error.chain().enumerate() {
        let message = cause.to_string();
        if index == 0 {
            text.push_str(&message);
        } else if !last.ends_with(&message) {
            text.push_str("\n  caused by: ");
            text.push_str(&message);
        }
        last = message;
    }
    note(&text);
    if error.trap().is_some() {
        ExitCode::from(EXIT_TRAP)
    } else {
        ExitCode::FAILURE
    }
}
