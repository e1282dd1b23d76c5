//! Standard output and standard error. All text for people passes through here, where control
//! characters that guests, files and arguments may contain are escaped.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::process::ExitCode;

use cwasm::{Error, Result, Trap, TrapCode};
use cwasm_format::escape;

/// The exit code after a trap: that of a process that SIGABRT ended.
const EXIT_TRAP: u8 = 134;

/// The most characters of an error's line that are shown.
const MAX_LINE: usize = 600;

/// The most characters of a name in a row of a table.
const MAX_NAME: usize = 100;

/// Prints text to standard output.
///
/// # Errors
/// If it cannot be written to.
pub(crate) fn print(text: &str) -> Result<()> {
    Ok(write(escape::text(text).to_string().as_bytes())?)
}

/// Prints JSON to standard output. Control characters are only in its strings, where they are
/// escaped in JSON's syntax.
///
/// # Errors
/// As [`print`].
pub(crate) fn print_json(json: &str) -> Result<()> {
    let mut text = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        match escape::is_control(c) && c != '\n' {
            // All control characters have 16 bits.
            true => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => text.push(c),
        }
    }
    text.push('\n');
    Ok(write(text.as_bytes())?)
}

/// Checks that standard output may be given binary data.
///
/// # Errors
/// If it is a terminal.
pub(crate) fn check_takes_binary() -> Result<()> {
    if io::stdout().is_terminal() {
        let message = "standard output is a terminal, which binaries are not written to";
        return Err(Error::msg(message).context("choose another output with -o"));
    }
    Ok(())
}

/// Writes binary data to standard output, which [takes it](check_takes_binary).
///
/// # Errors
/// As [`print`].
pub(crate) fn write_binary(bytes: &[u8]) -> Result<()> {
    // Half a binary is useless, so here a reader that has gone is an error like any other.
    write(bytes).map_err(|error| Error::msg(format!("cannot write to standard output: {error}")))
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Prints a line to standard error. Ignores failure, which nobody could be told of.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{}", escape::text(text));
}

/// Prints the help, or the error of the command line; returns the exit code.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let has_control = |arg: OsString| arg.to_string_lossy().contains(escape::is_control);
    if std::env::args_os().any(has_control) {
        // Control characters would be mixed with those for colours.
        note(error.render().to_string().trim_end());
    } else {
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// The lines of a message, all but the first indented, so that a name in a message cannot forge a
/// line of ours.
fn indented(message: &str) -> String {
    let mut text = String::new();
    for (index, line) in message.lines().enumerate() {
        match index {
            0 => {}
            _ if line.starts_with(' ') => text.push('\n'),
            _ => text.push_str("\n  "),
        }
        text.push_str(&shortened(line));
    }
    text
}

/// A line of limited length, because names and source lines may be as long as a file.
fn shortened(line: &str) -> Cow<'_, str> {
    match line.char_indices().nth(MAX_LINE) {
        Some((end, _)) => format!("{}...", &line[..end]).into(),
        None => line.into(),
    }
}

/// A name for a row of a table: on one line, of limited length.
pub(crate) fn short_name(name: &str) -> String {
    let escaped = escape::name(name).to_string();
    match escaped.char_indices().nth(MAX_NAME) {
        Some((end, _)) => format!("{}...", &escaped[..end]),
        None => escaped,
    }
}

/// Prints an error and its causes; returns the exit code.
pub(crate) fn report(error: &Error) -> ExitCode {
    if error
        .downcast_ref::<io::Error>()
        .is_some_and(|io| io.kind() == ErrorKind::BrokenPipe)
    {
        // The reader of our output has closed it.
        return ExitCode::SUCCESS;
    }
    let mut text = String::from("error: ");
    let mut last = String::new();
    for (index, cause) in error.chain().enumerate() {
        let message = cause.to_string();
        let lines = indented(&message);
        if index == 0 {
            text.push_str(&lines);
        } else if !last.ends_with(&message) {
            text.push_str("\n  caused by: ");
            text.push_str(&lines);
        }
        last = message;
    }
    note(&text);
    match error.trap().map(Trap::code) {
        // The guest has not failed, but what it asked for; so it is on other systems.
        None | Some(TrapCode::HostError) => ExitCode::FAILURE,
        Some(_) => ExitCode::from(EXIT_TRAP),
    }
}
