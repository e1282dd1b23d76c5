//! Core dumps of guests that have trapped.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use cwasm::{CoreDump, Error, Result, Store, Trap};
use cwasm_wasi::Exit;

use crate::input::Name;
use crate::output;

/// Whether an error is one that there are core dumps of: a guest was stopped, and has not asked for
/// that itself, as a program does that exits.
pub(crate) fn is_due(error: &Error) -> bool {
    error.trap().is_some() && error.downcast_ref::<Exit>().is_none()
}

/// Writes what the guests of a store had when one was stopped to a file, and says so. Nothing is
/// written if none is [due](is_due).
pub(crate) fn write<T: 'static>(store: &Store<T>, error: &Error, guest: &Path, to: &Path) {
    let Some(trap) = error.trap().filter(|_| is_due(error)) else {
        return;
    };
    match dump(store, trap, guest, to) {
        Ok(note) => output::note(&note),
        // The trap is what is reported as the error.
        Err(error) => output::note(&format!("no core dump in {}: {error}", Name(to))),
    }
}

/// Writes the dump; what is said of it.
fn dump<T: 'static>(store: &Store<T>, trap: &Trap, guest: &Path, to: &Path) -> Result<String> {
    let mut dump = CoreDump::new(store);
    dump.trap(trap)?.name(&guest.to_string_lossy());
    let size = dump.write(create(to)?)?;
    let mut note = format!("core dump in {}: {} bytes", Name(to), size.bytes);
    if size.left_out != 0 {
        let left_out = size.left_out;
        note.push_str(&format!(", without {left_out} more bytes of memories"));
    }
    Ok(note)
}

/// A new or emptied file. A new one is for its owner alone: a guest's memory may hold secrets.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)
}
