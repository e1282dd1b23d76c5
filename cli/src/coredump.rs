//! Core dumps of guests that have trapped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// A folder for core dumps, and how many may still be written to it.
pub(crate) struct Folder {
    path: PathBuf,
    max: usize,
    /// Dumps that were begun.
    count: AtomicUsize,
}

impl Folder {
    /// At most `max` dumps for the folder at `path`.
    ///
    /// # Errors
    /// If there is no such folder.
    pub(crate) fn new(path: &Path, max: usize) -> Result<Folder> {
        let is_folder = path.metadata().map(|found| found.is_dir());
        if !is_folder.map_err(|error| Error::from(error).context(format!("{}", Name(path))))? {
            return Err(Error::msg(format!("{} is no folder", Name(path))));
        }
        Ok(Folder {
            path: path.to_owned(),
            max,
            count: AtomicUsize::new(0),
        })
    }

    /// As [`write`], to a file of its own: `cwasm-PROCESS-NUMBER.core`. Nothing is written once
    /// there are as many dumps as there may be.
    pub(crate) fn write<T: 'static>(&self, store: &Store<T>, error: &Error, guest: &Path) {
        let next = |count: usize| (count < self.max).then_some(count + 1);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        if error.trap().is_none() {
            return;
        }
        if let Ok(count) = self.count.fetch_update(set, fetch, next) {
            let name = format!("cwasm-{}-{}.core", std::process::id(), count + 1);
            write(store, error, guest, &self.path.join(name));
        }
    }
}
