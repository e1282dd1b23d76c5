//! Files and folders (`wasi:filesystem`).
//!
//! ```text
//! path of a guest -> Descriptor (a folder) -> cap-std, which stays below it -> a descriptor
//! ```
//!
//! What a guest may do is decided by the permissions of the folder that it was given, and these are
//! passed on to all that it opens there.

mod descriptor;
mod entries;
mod error;
mod host;
mod metadata;
mod open;
mod operations;
mod paths;
#[cfg(test)]
mod tests;
mod times;

use std::sync::Arc;

use bitflags::bitflags;
use cap_std::fs::Dir;
use cwasm::{Resource, Result};

use crate::bindings::wasi::filesystem::preopens;
use crate::ctx::WasiCtx;
use crate::open_files::Counted;

pub use descriptor::Descriptor;
pub use entries::DirectoryEntries;
pub use error::FsError;

#[cfg(feature = "p3")]
pub(crate) use {
    descriptor::OpenFile,
    entries::Entries,
    error::{FsResult, code_of},
    metadata::{hash_of, kind_of},
    times::{NewTime, timestamps},
};

bitflags! {
    /// What a guest may do with folders.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DirPerms: u8 {
        /// List them, and open what is in them.
        const READ = 1;
        /// Create, rename and remove what is in them.
        const MUTATE = 2;
    }
}

bitflags! {
    /// What a guest may do with files.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct FilePerms: u8 {
        /// Read them.
        const READ = 1;
        /// Write to them, and set their size and times.
        const WRITE = 2;
    }
}

/// What a guest may do with a folder that it was given, and all that is below it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Perms {
    pub(crate) dirs: DirPerms,
    pub(crate) files: FilePerms,
}

impl Perms {
    /// Whether whatever is allowed by `other` is allowed by this.
    pub(crate) fn contains(self, other: Perms) -> bool {
        self.dirs.contains(other.dirs) && self.files.contains(other.files)
    }
}

/// A folder that a guest is given.
pub(crate) struct Preopen {
    dir: Arc<Counted<Dir>>,
    perms: Perms,
    guest_path: String,
}

impl Preopen {
    pub(crate) fn new(dir: Dir, guest_path: String, dirs: DirPerms, files: FilePerms) -> Preopen {
        Preopen {
            dir: Arc::new(Counted::of_host(dir)),
            perms: Perms { dirs, files },
            guest_path,
        }
    }
}

impl preopens::Host for WasiCtx {
    fn get_directories(&mut self) -> Result<Vec<(Resource<Descriptor>, String)>> {
        let mut found = Vec::new();
        for preopen in &self.preopens {
            let descriptor = Descriptor::preopened(&preopen.dir, preopen.perms);
            let descriptor = self.table.push(descriptor)?;
            found.push((descriptor, preopen.guest_path.clone()));
        }
        Ok(found)
    }
}
