//! The entries of a folder.

use std::fmt;

use cwasm::{Resource, Result};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};

use super::descriptor::OpenDir;
use super::error::{FsError, FsResult};
use super::metadata::type_of;
use crate::bindings::wasi::filesystem::types::{
    DirectoryEntry, ErrorCode, HostDirectoryEntryStream,
};
use crate::ctx::WasiCtx;
use crate::open_files::{Counted, Place};

/// The entries of a folder that are still to be read.
pub(crate) struct Entries(Counted<Dir>);

impl Entries {
    pub(super) fn of(dir: &OpenDir, place: Place) -> FsResult<Entries> {
        // Opened once more: a stream has a position of its own.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(&dir.dir, ".", flags, Mode::empty())?;
        Ok(Entries(place.of(Dir::new(opened)?)))
    }

    /// Type and name of the next entry, but for the folder itself and its parent; `None` at the
    /// end.
    pub(crate) fn next(&mut self) -> FsResult<Option<(FileType, String)>> {
        let Entries(entries) = self;
        while let Some(entry) = entries.read() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let ty = match entry.file_type() {
                // Some file systems do not say it here.
                FileType::Unknown => {
                    let stat = statat(entries.fd()?, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    FileType::from_raw_mode(stat.st_mode)
                }
                ty => ty,
            };
            let name = name.to_str().map_err(|_| ErrorCode::IllegalByteSequence)?;
            return Ok(Some((ty, name.to_owned())));
        }
        Ok(None)
    }
}

/// A stream of a folder's entries.
pub struct DirectoryEntries(pub(super) Entries);

impl HostDirectoryEntryStream for WasiCtx {
    fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntries>,
    ) -> Result<Option<DirectoryEntry>, FsError> {
        let entry = self.table.get_mut(&stream)?.0.next()?;
        Ok(entry.map(|(ty, name)| DirectoryEntry {
            r#type: type_of(ty),
            name,
        }))
    }

    fn drop(&mut self, stream: Resource<DirectoryEntries>) -> Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}

impl fmt::Debug for DirectoryEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectoryEntries").finish_non_exhaustive()
    }
}
