//! `wasi:filesystem/types` of WASI 0.2.

use std::sync::Arc;

use cwasm::{Resource, Result};
use rustix::buffer::spare_capacity;
use rustix::fs::Timestamps;
use rustix::io::{pread, pwrite, retry_on_intr};

use super::descriptor::Descriptor;
use super::entries::DirectoryEntries;
use super::error::FsResult;
use super::metadata::{hash_of, kind_of, stat_of, type_of};
use super::times::{NewTime, timestamps};
use crate::bindings::wasi::filesystem::types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, HostDescriptor,
    MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use crate::ctx::WasiCtx;
use crate::io::{CHUNK, FileReader, FileWriter, InputStream, OutputStream};

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
        self.descriptor(&descriptor)?.advise(offset, length, advice)
    }

    fn sync_data(&mut self, descriptor: Resource<Descriptor>) -> FsResult<()> {
        self.descriptor(&descriptor)?.sync_data()
    }

    fn get_flags(&mut self, descriptor: Resource<Descriptor>) -> FsResult<DescriptorFlags> {
        Ok(self.descriptor(&descriptor)?.flags())
    }

    fn get_type(&mut self, descriptor: Resource<Descriptor>) -> FsResult<DescriptorType> {
        let metadata = self.descriptor(&descriptor)?.metadata()?;
        Ok(type_of(kind_of(&metadata)))
    }

    fn set_size(&mut self, descriptor: Resource<Descriptor>, size: u64) -> FsResult<()> {
        self.descriptor(&descriptor)?.set_size(size)
    }

    fn set_times(
        &mut self,
        descriptor: Resource<Descriptor>,
        access: NewTimestamp,
        change: NewTimestamp,
    ) -> FsResult<()> {
        let descriptor = self.descriptor(&descriptor)?;
        descriptor.set_times(&times(access, change)?)
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
        let place = self.open_files.place()?;
        let entries = self.descriptor(&descriptor)?.entries(place)?;
        Ok(self.table.push(DirectoryEntries(entries))?)
    }

    fn sync(&mut self, descriptor: Resource<Descriptor>) -> FsResult<()> {
        self.descriptor(&descriptor)?.sync()
    }

    fn create_directory_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        self.descriptor(&descriptor)?.create_directory_at(&path)
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
        let descriptor = self.descriptor(&descriptor)?;
        Ok(stat_of(&descriptor.metadata_at(path_flags, &path)?))
    }

    fn set_times_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        access: NewTimestamp,
        change: NewTimestamp,
    ) -> FsResult<()> {
        let descriptor = self.descriptor(&descriptor)?;
        descriptor.set_times_at(path_flags, &path, &times(access, change)?)
    }

    fn link_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        old_path_flags: PathFlags,
        old_path: String,
        new_descriptor: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        let (old, new) = (
            self.descriptor(&descriptor)?,
            self.descriptor(&new_descriptor)?,
        );
        old.link_at(old_path_flags, &old_path, new, &new_path)
    }

    fn open_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let place = self.open_files.place()?;
        let descriptor = self.descriptor(&descriptor)?;
        let opened = descriptor.open_at(path_flags, &path, open_flags, flags, place)?;
        Ok(self.table.push(opened)?)
    }

    fn readlink_at(&mut self, descriptor: Resource<Descriptor>, path: String) -> FsResult<String> {
        self.descriptor(&descriptor)?.readlink_at(&path)
    }

    fn remove_directory_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        self.descriptor(&descriptor)?.remove_directory_at(&path)
    }

    fn rename_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        old_path: String,
        new_descriptor: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        let (old, new) = (
            self.descriptor(&descriptor)?,
            self.descriptor(&new_descriptor)?,
        );
        old.rename_at(&old_path, new, &new_path)
    }

    fn symlink_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        target: String,
        path: String,
    ) -> FsResult<()> {
        self.descriptor(&descriptor)?.symlink_at(&target, &path)
    }

    fn unlink_file_at(&mut self, descriptor: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.descriptor(&descriptor)?.unlink_file_at(&path)
    }

    fn is_same_object(
        &mut self,
        descriptor: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> Result<bool> {
        let descriptor = self.table.get(&descriptor)?;
        Ok(descriptor.is_same_object(self.table.get(&other)?))
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
        let descriptor = self.descriptor(&descriptor)?;
        Ok(hash_of(&descriptor.metadata_at(path_flags, &path)?))
    }

    fn drop(&mut self, descriptor: Resource<Descriptor>) -> Result<()> {
        self.table.delete(descriptor)?;
        Ok(())
    }
}

/// Times of access and modification as the system takes them.
fn times(access: NewTimestamp, change: NewTimestamp) -> FsResult<Timestamps> {
    timestamps(new_time(access)?, new_time(change)?)
}

fn new_time(time: NewTimestamp) -> FsResult<NewTime> {
    Ok(match time {
        NewTimestamp::NoChange => NewTime::NoChange,
        NewTimestamp::Now => NewTime::Now,
        NewTimestamp::Timestamp(time) => NewTime::At {
            seconds: i64::try_from(time.seconds).map_err(|_| ErrorCode::Overflow)?,
            nanoseconds: time.nanoseconds,
        },
    })
}
