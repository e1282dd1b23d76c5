//! Open files and folders.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use cap_std::fs::{Dir, File, Metadata};
use cwasm::Resource;
use rustix::fs::fstat;

use super::error::FsError;
use super::{DirPerms, FilePerms, Perms};
use crate::bindings::wasi::filesystem::types::{DescriptorFlags, ErrorCode};
use crate::ctx::WasiCtx;
use crate::open_files::Counted;

/// An open file or folder of a guest.
#[derive(Clone, Debug)]
pub struct Descriptor(pub(super) Kind);

#[derive(Clone, Debug)]
pub(super) enum Kind {
    File(OpenFile),
    Dir(OpenDir),
}

#[derive(Clone)]
pub(crate) struct OpenFile {
    pub(crate) file: Arc<Counted<File>>,
    /// What was asked for when it was opened, as far as it is allowed.
    pub(super) perms: FilePerms,
    /// What the folder allows.
    pub(super) allowed: FilePerms,
    pub(super) flags: DescriptorFlags,
}

#[derive(Clone)]
pub(super) struct OpenDir {
    pub(super) dir: Arc<Counted<Dir>>,
    pub(super) perms: Perms,
    pub(super) flags: DescriptorFlags,
}

impl Descriptor {
    pub(super) fn preopened(dir: &Arc<Counted<Dir>>, perms: Perms) -> Descriptor {
        let mut flags = DescriptorFlags::empty();
        if perms.dirs.contains(DirPerms::READ) {
            flags |= DescriptorFlags::READ;
        }
        if perms.dirs.contains(DirPerms::MUTATE) {
            flags |= DescriptorFlags::MUTATE_DIRECTORY;
        }
        Descriptor(Kind::Dir(OpenDir {
            dir: Arc::clone(dir),
            perms,
            flags,
        }))
    }

    /// The file.
    ///
    /// # Errors
    /// [`ErrorCode::IsDirectory`]
    pub(super) fn file(&self) -> Result<&OpenFile, FsError> {
        match &self.0 {
            Kind::File(file) => Ok(file),
            Kind::Dir(_) => Err(ErrorCode::IsDirectory.into()),
        }
    }

    /// The file, if it may be read.
    ///
    /// # Errors
    /// [`ErrorCode::IsDirectory`]; [`ErrorCode::NotPermitted`] if the folder does not allow it;
    /// [`ErrorCode::BadDescriptor`] if the file was not opened for it.
    pub(crate) fn readable(&self) -> Result<&OpenFile, FsError> {
        self.file_with(FilePerms::READ)
    }

    /// The file, if it may be written to; errors as for [`readable`](Descriptor::readable).
    pub(crate) fn writable(&self) -> Result<&OpenFile, FsError> {
        self.file_with(FilePerms::WRITE)
    }

    fn file_with(&self, perms: FilePerms) -> Result<&OpenFile, FsError> {
        let file = self.file()?;
        if file.perms.contains(perms) {
            Ok(file)
        } else if file.allowed.contains(perms) {
            Err(ErrorCode::BadDescriptor.into())
        } else {
            Err(ErrorCode::NotPermitted.into())
        }
    }

    /// The folder.
    ///
    /// # Errors
    /// [`ErrorCode::NotDirectory`]
    pub(super) fn dir(&self) -> Result<&OpenDir, FsError> {
        match &self.0 {
            Kind::Dir(dir) => Ok(dir),
            Kind::File(_) => Err(ErrorCode::NotDirectory.into()),
        }
    }

    pub(crate) fn metadata(&self) -> Result<Metadata, FsError> {
        Ok(match &self.0 {
            Kind::File(file) => file.file.metadata()?,
            Kind::Dir(dir) => dir.dir.dir_metadata()?,
        })
    }

    /// Device and number: the same for all descriptors of an object.
    pub(super) fn identity(&self) -> Result<(u64, u64), FsError> {
        let stat = fstat(self)?;
        Ok((stat.st_dev, stat.st_ino))
    }
}

impl WasiCtx {
    pub(crate) fn descriptor(
        &self,
        descriptor: &Resource<Descriptor>,
    ) -> Result<&Descriptor, FsError> {
        Ok(self.table.get(descriptor)?)
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Kind::File(file) => file.file.as_fd(),
            Kind::Dir(dir) => dir.dir.as_fd(),
        }
    }
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenFile")
            .field("perms", &self.perms)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for OpenDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenDir")
            .field("perms", &self.perms)
            .finish_non_exhaustive()
    }
}
