//! A folder for core dumps of instances.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use cwasm::{Error, Result, Store};

use crate::coredump;
use crate::input::Name;

/// A folder for core dumps, and how many may still be written to it.
pub(super) struct Folder {
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
    pub(super) fn new(path: &Path, max: usize) -> Result<Folder> {
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

    /// As [`coredump::write`], to a file of its own: `cwasm-PROCESS-NUMBER.core`. Nothing is
    /// written once there are as many dumps as there may be.
    pub(super) fn write<T: 'static>(&self, store: &Store<T>, error: &Error, guest: &Path) {
        let next = |count: usize| (count < self.max).then_some(count + 1);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        if !coredump::is_due(error) {
            return;
        }
        if let Ok(count) = self.count.fetch_update(set, fetch, next) {
            let name = format!("cwasm-{}-{}.core", std::process::id(), count + 1);
            coredump::write(store, error, guest, &self.path.join(name));
        }
    }
}
