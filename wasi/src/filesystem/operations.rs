//! What can be done with open files and folders, whatever version of WASI asks for it.

use std::num::NonZeroU64;

use cap_fs_ext::DirExt as _;
use cap_std::fs::Metadata;
use rustix::fs::{Timestamps, fadvise, fdatasync, fsync, ftruncate, futimens};
use rustix::io::Errno;

use super::descriptor::{Descriptor, Kind, OpenDir};
use super::entries::Entries;
use super::error::{FsResult, code_of};
use super::open::open;
use super::paths::{check_move, metadata_at, rename, without_slashes};
use super::times::set_times_at;
use super::{DirPerms, FilePerms};
use crate::bindings::wasi::filesystem::types::{
    Advice, DescriptorFlags, ErrorCode, OpenFlags, PathFlags,
};
use crate::open_files::Place;

impl Descriptor {
    /// A folder in which paths are looked up.
    fn listed(&self) -> FsResult<&OpenDir> {
        self.dir_with(DirPerms::READ)
    }

    /// A folder in which names are created, changed or removed.
    fn mutable(&self) -> FsResult<&OpenDir> {
        self.dir_with(DirPerms::MUTATE)
    }

    fn dir_with(&self, perms: DirPerms) -> FsResult<&OpenDir> {
        let dir = self.dir()?;
        match dir.perms.dirs.contains(perms) {
            true => Ok(dir),
            false => Err(ErrorCode::NotPermitted.into()),
        }
    }

    pub(crate) fn advise(&self, offset: u64, length: u64, advice: Advice) -> FsResult<()> {
        let advice = match advice {
            Advice::Normal => rustix::fs::Advice::Normal,
            Advice::Sequential => rustix::fs::Advice::Sequential,
            Advice::Random => rustix::fs::Advice::Random,
            Advice::WillNeed => rustix::fs::Advice::WillNeed,
            Advice::DontNeed => rustix::fs::Advice::DontNeed,
            Advice::NoReuse => rustix::fs::Advice::NoReuse,
        };
        let Kind::File(file) = &self.0 else {
            return Err(ErrorCode::BadDescriptor.into());
        };
        fadvise(&*file.file, offset, NonZeroU64::new(length), advice)?;
        Ok(())
    }

    pub(crate) fn sync_data(&self) -> FsResult<()> {
        ignore_invalid(fdatasync(self))
    }

    pub(crate) fn sync(&self) -> FsResult<()> {
        ignore_invalid(fsync(self))
    }

    pub(crate) fn flags(&self) -> DescriptorFlags {
        match &self.0 {
            Kind::File(file) => file.flags,
            Kind::Dir(dir) => dir.flags,
        }
    }

    pub(crate) fn set_size(&self, size: u64) -> FsResult<()> {
        Ok(ftruncate(&*self.writable()?.file, size)?)
    }

    pub(crate) fn set_times(&self, times: &Timestamps) -> FsResult<()> {
        let is_allowed = match &self.0 {
            Kind::File(file) => file.perms.contains(FilePerms::WRITE),
            Kind::Dir(dir) => dir.perms.dirs.contains(DirPerms::MUTATE),
        };
        if !is_allowed {
            return Err(ErrorCode::NotPermitted.into());
        }
        Ok(futimens(self, times)?)
    }

    /// The entries of the folder, which takes a place of its own.
    pub(crate) fn entries(&self, place: Place) -> FsResult<Entries> {
        Entries::of(self.listed()?, place)
    }

    pub(crate) fn create_directory_at(&self, path: &str) -> FsResult<()> {
        Ok(self.mutable()?.dir.create_dir(path)?)
    }

    pub(crate) fn metadata_at(&self, flags: PathFlags, path: &str) -> FsResult<Metadata> {
        metadata_at(&self.listed()?.dir, flags, path)
    }

    pub(crate) fn set_times_at(
        &self,
        flags: PathFlags,
        path: &str,
        times: &Timestamps,
    ) -> FsResult<()> {
        set_times_at(self.mutable()?, flags, path, times)
    }

    pub(crate) fn link_at(
        &self,
        old_flags: PathFlags,
        old_path: &str,
        new: &Descriptor,
        new_path: &str,
    ) -> FsResult<()> {
        let (old, new) = (self.mutable()?, new.mutable()?);
        check_move(old, new)?;
        if old_flags.contains(PathFlags::SYMLINK_FOLLOW) {
            return Err(ErrorCode::Invalid.into());
        }
        Ok(old.dir.hard_link(old_path, &new.dir, new_path)?)
    }

    pub(crate) fn open_at(
        &self,
        path_flags: PathFlags,
        path: &str,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
        place: Place,
    ) -> FsResult<Descriptor> {
        open(self.listed()?, path_flags, path, open_flags, flags, place)
    }

    /// The flags that a file gets when it is opened for neither reading nor writing, or created:
    /// those that the system opens it with, as far as they are allowed.
    #[cfg(feature = "p3")]
    pub(crate) fn implied_flags(&self, open: OpenFlags, flags: DescriptorFlags) -> DescriptorFlags {
        let may = |perms| matches!(&self.0, Kind::Dir(dir) if dir.perms.files.contains(perms));
        let mut implied = flags;
        if !flags.contains(DescriptorFlags::WRITE) && may(FilePerms::READ) {
            implied |= DescriptorFlags::READ;
        }
        let writes = open.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE);
        if writes && may(FilePerms::WRITE) {
            implied |= DescriptorFlags::WRITE;
        }
        implied
    }

    pub(crate) fn readlink_at(&self, path: &str) -> FsResult<String> {
        let target = self.listed()?.dir.read_link(path)?;
        let target = target.into_os_string().into_string();
        target.map_err(|_| ErrorCode::IllegalByteSequence.into())
    }

    pub(crate) fn remove_directory_at(&self, path: &str) -> FsResult<()> {
        let dir = &self.mutable()?.dir;
        dir.remove_dir(without_slashes(path)).map_err(|error| {
            match (code_of(&error), dir.metadata(path)) {
                // A link, whose target is none of the guest's.
                (ErrorCode::NotDirectory, Err(target))
                    if code_of(&target) == ErrorCode::NotPermitted =>
                {
                    ErrorCode::NotPermitted.into()
                }
                _ => error.into(),
            }
        })
    }

    pub(crate) fn rename_at(
        &self,
        old_path: &str,
        new: &Descriptor,
        new_path: &str,
    ) -> FsResult<()> {
        let (old, new) = (self.mutable()?, new.mutable()?);
        check_move(old, new)?;
        rename(&old.dir, old_path, &new.dir, new_path)
    }

    pub(crate) fn symlink_at(&self, target: &str, path: &str) -> FsResult<()> {
        Ok(self.mutable()?.dir.symlink(target, path)?)
    }

    pub(crate) fn unlink_file_at(&self, path: &str) -> FsResult<()> {
        Ok(self.mutable()?.dir.remove_file_or_symlink(path)?)
    }

    pub(crate) fn is_same_object(&self, other: &Descriptor) -> bool {
        let identities = (self.identity(), other.identity());
        matches!(identities, (Ok(one), Ok(other)) if one == other)
    }
}

/// Some files, such as terminals, cannot be synchronised: then there is nothing to do.
fn ignore_invalid(result: rustix::io::Result<()>) -> FsResult<()> {
    match result {
        Ok(()) | Err(Errno::INVAL | Errno::ROFS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
