//! Text on the standard streams.

use wasip2::cli::{stderr::get_stderr, stdout::get_stdout};

use crate::{Failed, write};

/// Writes to the standard output, and waits until it is written.
pub fn print(text: &str) -> Result<(), Failed> {
    let stdout = get_stdout();
    write(&stdout, text.as_bytes())?;
    stdout.blocking_flush().map_err(Failed::Write)
}

/// Writes a line to the standard error.
pub fn note(line: &str) {
    let _ = write(&get_stderr(), format!("{line}\n").as_bytes());
}
