//! `wasi:filesystem/types`: operations on descriptors.

use std::sync::Arc;

use cap_fs_ext::DirExt as _;
use cwasm::{Resource, Result};
use rustix::buffer::spare_capacity;
use rustix::fs::{fadvise, fdatasync, fsync, ftruncate, futimens};
use rustix::io::{Errno, pread, pwrite, retry_on_intr};

use super::descriptor::{Descriptor, Kind};
use super::entries::DirectoryEntries;
use super::error::FsError;
use super::metadata::{hash_of, stat_of, type_of};
use super::open::open;
use super::paths::{check_move, metadata_at, rename, without_slashes};
use super::times::{set_times_at, timestamps};
use super::{DirPerms, FilePerms};
use crate::bindings::wasi::filesystem::types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, HostDescriptor,
    MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use crate::ctx::WasiCtx;
use crate::io::{CHUNK, FileReader, FileWriter, InputStream, OutputStream};

type FsResult<T> = Result<T, FsError>;

impl WasiCtx {
    /// A stream that writes a file from a position on, or at its end.
    fn writer(
        &mut self,
        descriptor: &Resource<Descriptor>,
        position: Option<u64>,
    ) -> FsResult<Resource<OutputStream>> {
        let file = Arc::clone(&self.descriptor(descriptor)?.writable()?.file);
        let writer = FileWriter { file, position };
        Ok(self.table.push(OutputStream::new(writer))?)
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
        self.writer(&descriptor, Some(offset))
    }

    fn append_via_stream(
        &mut self,
        descriptor: Resource<Descriptor>,
    ) -> FsResult<Resource<OutputStream>> {
        self.writer(&descriptor, None)
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
        let dir = self.dir(&descriptor)?;
        let entries = DirectoryEntries::of(dir, self.open_files.place()?)?;
        Ok(self.table.push(entries)?)
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
        let times = timestamps(access, change)?;
        set_times_at(dir, path_flags, &path, &times)
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
        if old_path_flags.contains(PathFlags::SYMLINK_FOLLOW) {
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
        let place = self.open_files.place()?;
        let opened = open(dir, path_flags, &path, open_flags, flags, place)?;
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
        let dir = &self.mutable_dir(&descriptor)?.dir;
        Ok(dir.remove_dir(without_slashes(&path))?)
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
        rename(&old.dir, &old_path, &new.dir, &new_path)
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

/// Some files, such as terminals, cannot be synchronised: then there is nothing to do.
fn ignore_invalid(result: rustix::io::Result<()>) -> FsResult<()> {
    match result {
        Ok(()) | Err(Errno::INVAL | Errno::ROFS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
