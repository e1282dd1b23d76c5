//! Core dumps of guests that have trapped.

use std::fs::File;
use std::path::Path;

use cwasm::{CoreDump, Error, Result, Store, Trap};

use crate::input::Name;
use crate::output;

/// Writes what the guests of a store had when one has trapped to a file, and says so. Nothing is
/// written for other errors.
pub(crate) fn write<T: 'static>(store: &Store<T>, error: &Error, guest: &Path, to: &Path) {
    let Some(trap) = error.trap() else { return };
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
    let size = dump.write(File::create(to)?)?;
    let mut note = format!("core dump in {}: {} bytes", Name(to), size.bytes);
    if size.left_out != 0 {
        let left_out = size.left_out;
        note.push_str(&format!(", without {left_out} more bytes of memories"));
    }
    Ok(note)
}
