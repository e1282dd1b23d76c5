//! `wasi:filesystem/types`: operations on descriptors.

use std::sync::Arc;

use cap_fs_ext::{
    DirExt as _, FollowSymlinks, OpenOptionsFollowExt as _, OpenOptionsMaybeDirExt as _,
    OpenOptionsSyncExt as _,
};
use cap_std::fs::{Dir, File, OpenOptions};
use cwasm::{Resource, Result};
use rustix::buffer::spare_capacity;
use rustix::fs::{fadvise, fdatasync, fsync, ftruncate, futimens};
use rustix::io::{Errno, pread, pwrite, retry_on_intr};

use super::descriptor::{Descriptor, DirectoryEntries, Kind, OpenDir, OpenFile};
use super::error::FsError;
use super::metadata::{hash_of, stat_of, time_spec, timestamps, type_of};
use super::{DirPerms, FilePerms};
use crate::bindings::wasi::filesystem::types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode,
    HostDescriptor, HostDirectoryEntryStream, MetadataHashValue, NewTimestamp, OpenFlags,
    PathFlags,
};
use crate::ctx::WasiCtx;
use crate::io::{CHUNK, FileReader, FileWriter, InputStream, OutputStream};

type FsResult<T> = Result<T, FsError>;

impl WasiCtx {
    fn descriptor(&self, descriptor: &Resource<Descriptor>) -> FsResult<&Descriptor> {
        Ok(self.table.get(descriptor)?)
    }

    /// A folder in which paths are looked up.
    fn dir(&self, descriptor: &Resource<Descriptor>) -> FsResult<&OpenDir> {
        let dir = self.descriptor(descriptor)?.dir()?;
        match dir.perms.dirs.contains(DirPerms::READ) {
            true => Ok(dir),
            false => Err(ErrorCode::NotPermitted.into()),
        }
    }

    /// A folder in which names are created, changed or removed.
    fn mutable_dir(&self, descriptor: &Resource<Descriptor>) -> FsResult<&OpenDir> {
        let dir = self.descriptor(descriptor)?.dir()?;
        match dir.perms.dirs.contains(DirPerms::MUTATE) {
            true => Ok(dir),
            false => Err(ErrorCode::NotPermitted.into()),
        }
    }
}

impl HostDescriptor for WasiCtx {
    fn read_via_stream(
        &mut self,
        descriptor: Resource<Descriptor>,
        offset: u64,
    ) -> FsResult<Resource<InputStream>> {
        let file = Arc::clone(&self.descriptor(&descriptor)?.readable()?.file);
        let position = offset;
        Ok(self
            .table
            .push(InputStream::new(FileReader { file, position }))?)
    }

    fn write_via_stream(
        &mut self,
        descriptor: Resource<Descriptor>,
        offset: u64,
    ) -> FsResult<Resource<OutputStream>> {
        let file = Arc::clone(&self.descriptor(&descriptor)?.writable()?.file);
        let position = Some(offset);
        Ok(self
            .table
            .push(OutputStream::new(FileWriter { file, position }))?)
    }

    fn append_via_stream(
        &mut self,
        descriptor: Resource<Descriptor>,
    ) -> FsResult<Resource<OutputStream>> {
        let file = Arc::clone(&self.descriptor(&descriptor)?.writable()?.file);
        let position = None;
        Ok(self
            .table
            .push(OutputStream::new(FileWriter { file, position }))?)
    }

    fn advise(
        &mut self,
        descriptor: Resource<Descriptor>,
        offset: u64,
        length: u64,
        advice: Advice,
    ) -> FsResult<()> {
        let advice = match advice {
            Advice::Normal => rustix::fs::Advice::Normal,
            Advice::Sequential => rustix::fs::Advice::Sequential,
            Advice::Random => rustix::fs::Advice::Random,
            Advice::WillNeed => rustix::fs::Advice::WillNeed,
            Advice::DontNeed => rustix::fs::Advice::DontNeed,
            Advice::NoReuse => rustix::fs::Advice::NoReuse,
        };
        let file = &self.descriptor(&descriptor)?.file()?.file;
        fadvise(&**file, offset, std::num::NonZeroU64::new(length), advice)?;
        Ok(())
    }

    fn sync_data(&mut self, descriptor: Resource<Descriptor>) -> FsResult<()> {
        ignore_invalid(fdatasync(self.descriptor(&descriptor)?))
    }

    fn get_flags(&mut self, descriptor: Resource<Descriptor>) -> FsResult<DescriptorFlags> {
        Ok(match &self.descriptor(&descriptor)?.0 {
            Kind::File(file) => file.flags,
            Kind::Dir(dir) => dir.flags,
        })
    }

    fn get_type(&mut self, descriptor: Resource<Descriptor>) -> FsResult<DescriptorType> {
        let metadata = self.descriptor(&descriptor)?.metadata()?;
        Ok(type_of(metadata.file_type()))
    }

    fn set_size(&mut self, descriptor: Resource<Descriptor>, size: u64) -> FsResult<()> {
        let file = &self.descriptor(&descriptor)?.writable()?.file;
        ftruncate(&**file, size)?;
        Ok(())
    }

    fn set_times(
        &mut self,
        descriptor: Resource<Descriptor>,
        access: NewTimestamp,
        change: NewTimestamp,
    ) -> FsResult<()> {
        let descriptor = self.descriptor(&descriptor)?;
        let is_allowed = match &descriptor.0 {
            Kind::File(file) => file.perms.contains(FilePerms::WRITE),
            Kind::Dir(dir) => dir.perms.dirs.contains(DirPerms::MUTATE),
        };
        if !is_allowed {
            return Err(ErrorCode::NotPermitted.into());
        }
        futimens(descriptor, &timestamps(access, change)?)?;
        Ok(())
    }

    fn read(
        &mut self,
        descriptor: Resource<Descriptor>,
        length: u64,
        offset: u64,
    ) -> FsResult<(Vec<u8>, bool)> {
        let file = &self.descriptor(&descriptor)?.readable()?.file;
        let length = length.min(CHUNK as u64) as usize;
        let mut bytes = Vec::with_capacity(length);
        if length == 0 {
            return Ok((bytes, false));
        }
        retry_on_intr(|| pread(&**file, spare_capacity(&mut bytes), offset))?;
        let is_end = bytes.is_empty();
        Ok((bytes, is_end))
    }

    fn write(
        &mut self,
        descriptor: Resource<Descriptor>,
        buffer: Vec<u8>,
        offset: u64,
    ) -> FsResult<u64> {
        let file = &self.descriptor(&descriptor)?.writable()?.file;
        Ok(retry_on_intr(|| pwrite(&**file, &buffer, offset))? as u64)
    }

    fn read_directory(
        &mut self,
        descriptor: Resource<Descriptor>,
    ) -> FsResult<Resource<DirectoryEntries>> {
        let entries = self.dir(&descriptor)?.dir.entries()?;
        Ok(self.table.push(DirectoryEntries(entries))?)
    }

    fn sync(&mut self, descriptor: Resource<Descriptor>) -> FsResult<()> {
        ignore_invalid(fsync(self.descriptor(&descriptor)?))
    }

    fn create_directory_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        let dir = self.mutable_dir(&descriptor)?;
        Ok(dir.dir.create_dir(&path)?)
    }

    fn stat(&mut self, descriptor: Resource<Descriptor>) -> FsResult<DescriptorStat> {
        Ok(stat_of(&self.descriptor(&descriptor)?.metadata()?))
    }

    fn stat_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        Ok(stat_of(&metadata_at(
            &self.dir(&descriptor)?.dir,
            path_flags,
            &path,
        )?))
    }

    fn set_times_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        access: NewTimestamp,
        change: NewTimestamp,
    ) -> FsResult<()> {
        let dir = self.mutable_dir(&descriptor)?;
        let (perms, dir) = (dir.perms, &dir.dir);
        let (access, change) = (time_spec(access)?, time_spec(change)?);
        if !perms.files.contains(FilePerms::WRITE) && !metadata_at(dir, path_flags, &path)?.is_dir()
        {
            return Err(ErrorCode::NotPermitted.into());
        }
        match follows(path_flags) {
            true => dir.set_times(&path, access, change)?,
            false => dir.set_symlink_times(&path, access, change)?,
        }
        Ok(())
    }

    fn link_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        old_path_flags: PathFlags,
        old_path: String,
        new_descriptor: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        let old = self.mutable_dir(&descriptor)?;
        let new = self.mutable_dir(&new_descriptor)?;
        check_move(old, new)?;
        if follows(old_path_flags) {
            return Err(ErrorCode::Invalid.into());
        }
        Ok(old.dir.hard_link(&old_path, &new.dir, &new_path)?)
    }

    fn open_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let dir = self.dir(&descriptor)?;
        let opened = open(dir, path_flags, &path, open_flags, flags)?;
        Ok(self.table.push(opened)?)
    }

    fn readlink_at(&mut self, descriptor: Resource<Descriptor>, path: String) -> FsResult<String> {
        let target = self.dir(&descriptor)?.dir.read_link(&path)?;
        let target = target.into_os_string().into_string();
        target.map_err(|_| ErrorCode::IllegalByteSequence.into())
    }

    fn remove_directory_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        Ok(self.mutable_dir(&descriptor)?.dir.remove_dir(&path)?)
    }

    fn rename_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        old_path: String,
        new_descriptor: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        let old = self.mutable_dir(&descriptor)?;
        let new = self.mutable_dir(&new_descriptor)?;
        check_move(old, new)?;
        Ok(old.dir.rename(&old_path, &new.dir, &new_path)?)
    }

    fn symlink_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        target: String,
        path: String,
    ) -> FsResult<()> {
        let dir = &self.mutable_dir(&descriptor)?.dir;
        Ok(dir.symlink(&target, &path)?)
    }

    fn unlink_file_at(&mut self, descriptor: Resource<Descriptor>, path: String) -> FsResult<()> {
        let dir = &self.mutable_dir(&descriptor)?.dir;
        Ok(dir.remove_file_or_symlink(&path)?)
    }

    fn is_same_object(
        &mut self,
        descriptor: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> Result<bool> {
        let descriptor = self.table.get(&descriptor)?;
        let other = self.table.get(&other)?;
        let identities = (descriptor.identity(), other.identity());
        Ok(matches!(identities, (Ok(one), Ok(other)) if one == other))
    }

    fn metadata_hash(&mut self, descriptor: Resource<Descriptor>) -> FsResult<MetadataHashValue> {
        Ok(hash_of(&self.descriptor(&descriptor)?.metadata()?))
    }

    fn metadata_hash_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        Ok(hash_of(&metadata_at(
            &self.dir(&descriptor)?.dir,
            path_flags,
            &path,
        )?))
    }

    fn drop(&mut self, descriptor: Resource<Descriptor>) -> Result<()> {
        self.table.delete(descriptor)?;
        Ok(())
    }
}

impl HostDirectoryEntryStream for WasiCtx {
    fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntries>,
    ) -> FsResult<Option<DirectoryEntry>> {
        let Some(entry) = self.table.get_mut(&stream)?.0.next() else {
            return Ok(None);
        };
        let entry = entry?;
        let name = entry.file_name().into_string();
        Ok(Some(DirectoryEntry {
            r#type: type_of(entry.file_type()?),
            name: name.map_err(|_| ErrorCode::IllegalByteSequence)?,
        }))
    }

    fn drop(&mut self, stream: Resource<DirectoryEntries>) -> Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}

fn follows(flags: PathFlags) -> bool {
    flags.contains(PathFlags::SYMLINK_FOLLOW)
}

fn metadata_at(dir: &Dir, flags: PathFlags, path: &str) -> FsResult<cap_std::fs::Metadata> {
    Ok(match follows(flags) {
        true => dir.metadata(path)?,
        false => dir.symlink_metadata(path)?,
    })
}

/// Some files, such as terminals, cannot be synchronised: then there is nothing to do.
fn ignore_invalid(result: rustix::io::Result<()>) -> FsResult<()> {
    match result {
        Ok(()) | Err(Errno::INVAL | Errno::ROFS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Checks that a file gets no more permissions by a name in another folder.
fn check_move(old: &OpenDir, new: &OpenDir) -> FsResult<()> {
    match old.perms.contains(new.perms) {
        true => Ok(()),
        false => Err(ErrorCode::NotPermitted.into()),
    }
}

/// Opens what is at a path.
fn open(
    dir: &OpenDir,
    path_flags: PathFlags,
    path: &str,
    open_flags: OpenFlags,
    flags: DescriptorFlags,
) -> FsResult<Descriptor> {
    let creates = open_flags.contains(OpenFlags::CREATE);
    let truncates = open_flags.contains(OpenFlags::TRUNCATE);
    let wants_dir = open_flags.contains(OpenFlags::DIRECTORY);
    let writes = flags.contains(DescriptorFlags::WRITE);
    let mutates = flags.contains(DescriptorFlags::MUTATE_DIRECTORY);
    if wants_dir && (creates || truncates || open_flags.contains(OpenFlags::EXCLUSIVE)) {
        return Err(ErrorCode::Invalid.into());
    }
    if (creates || mutates) && !dir.perms.dirs.contains(DirPerms::MUTATE) {
        return Err(ErrorCode::NotPermitted.into());
    }
    if (writes || truncates) && !dir.perms.files.contains(FilePerms::WRITE) {
        return Err(ErrorCode::NotPermitted.into());
    }
    let reads = flags.contains(DescriptorFlags::READ);
    // A folder may be opened for reading also where files may not.
    let is_unreadable = reads && !dir.perms.files.contains(FilePerms::READ);
    if is_unreadable && creates {
        return Err(ErrorCode::NotPermitted.into());
    }
    // What they mean is not defined yet, and guests expect that there is no such thing.
    let sync = DescriptorFlags::FILE_INTEGRITY_SYNC
        | DescriptorFlags::DATA_INTEGRITY_SYNC
        | DescriptorFlags::REQUESTED_WRITE_SYNC;
    if flags.intersects(sync) {
        return Err(ErrorCode::Unsupported.into());
    }
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(writes || creates || truncates)
        .truncate(truncates)
        .maybe_dir(true)
        // So that a pipe without another end does not wait.
        .nonblock(true)
        .follow(match follows(path_flags) {
            true => FollowSymlinks::Yes,
            false => FollowSymlinks::No,
        });
    match (creates, open_flags.contains(OpenFlags::EXCLUSIVE)) {
        (true, true) => options.create_new(true),
        (true, false) => options.create(true),
        (false, _) => &mut options,
    };
    if writes && !reads {
        options.read(false);
    }
    let opened = dir.dir.open_with(path, &options)?;
    let is_dir = opened.metadata()?.is_dir();
    match (is_dir, wants_dir) {
        (true, _) => Ok(opened_dir(dir, opened, flags)),
        (false, true) => Err(ErrorCode::NotDirectory.into()),
        (false, false) if is_unreadable => Err(ErrorCode::NotPermitted.into()),
        (false, false) => Ok(opened_file(dir, opened, flags)),
    }
}

fn opened_dir(dir: &OpenDir, opened: File, flags: DescriptorFlags) -> Descriptor {
    Descriptor(Kind::Dir(OpenDir {
        dir: Arc::new(Dir::from_std_file(opened.into_std())),
        perms: dir.perms,
        flags,
    }))
}

fn opened_file(dir: &OpenDir, opened: File, flags: DescriptorFlags) -> Descriptor {
    let mut perms = FilePerms::empty();
    perms.set(FilePerms::READ, flags.contains(DescriptorFlags::READ));
    perms.set(FilePerms::WRITE, flags.contains(DescriptorFlags::WRITE));
    Descriptor(Kind::File(OpenFile {
        file: Arc::new(opened),
        perms: perms & dir.perms.files,
        allowed: dir.perms.files,
        flags,
    }))
}
