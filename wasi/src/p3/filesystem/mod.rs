//! Files and folders (`wasi:filesystem`): the same descriptors as those of 0.2.
//!
//! Operations are done by threads that may block (`pool`); bytes that the system has at hand are
//! moved at once (`streams`).

mod directory;
mod streams;
mod values;

use std::io;

use cwasm::{Access, FutureReader, Resource, Result, StreamReader};
use rustix::fs::Timestamps;

use self::streams::{FileSink, FileSource};
use self::values::{code, descriptor_type, new_time, stat};
use super::bindings::wasi::filesystem::preopens;
use super::bindings::wasi::filesystem::types::{
    DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode, Host, HostDescriptor, NewTimestamp,
};
use super::bytes::{Reading, read_stream, write_stream};
use crate::bindings::wasi::filesystem::types::{
    Advice, DescriptorFlags, MetadataHashValue, OpenFlags, PathFlags,
};
use crate::ctx::WasiCtx;
use crate::filesystem::{Descriptor, FsError, FsResult, code_of, hash_of, kind_of, timestamps};

/// Does something with a descriptor on a thread that may block.
async fn on<T: 'static, R: Send + 'static>(
    access: Access<'_, T, WasiCtx>,
    descriptor: &Resource<Descriptor>,
    work: impl FnOnce(&Descriptor) -> FsResult<R> + Send + 'static,
) -> FsResult<R> {
    let (descriptor, pool) =
        access.with(|ctx| (ctx.descriptor(descriptor).cloned(), ctx.pool.clone()));
    let descriptor = descriptor?;
    pool.run(move || work(&descriptor)).await
}

/// As [`on`], with two descriptors.
async fn on_both<T: 'static, R: Send + 'static>(
    access: Access<'_, T, WasiCtx>,
    descriptors: [&Resource<Descriptor>; 2],
    work: impl FnOnce(&Descriptor, &Descriptor) -> FsResult<R> + Send + 'static,
) -> FsResult<R> {
    let [one, other] = descriptors;
    let other = access.with(|ctx| ctx.descriptor(other).cloned())?;
    on(access, one, move |one| work(one, &other)).await
}

fn io_code(error: io::Error) -> ErrorCode {
    code(code_of(&error))
}

/// What a stream that cannot be made is told, unless the guest broke a rule.
fn stream_code(error: FsError) -> Result<ErrorCode> {
    match error {
        FsError::Code(error) => Ok(code(error)),
        FsError::Trap(error) => Err(error),
    }
}

/// What is found, or the code that a stream is told.
fn found<R>(result: FsResult<R>) -> Result<Result<R, ErrorCode>> {
    match result {
        Ok(found) => Ok(Ok(found)),
        Err(error) => stream_code(error).map(Err),
    }
}

/// Writes a stream to a file from a position on, or at its end.
fn write<T: 'static>(
    access: Access<'_, T, WasiCtx>,
    descriptor: &Resource<Descriptor>,
    data: StreamReader<u8>,
    position: Option<u64>,
) -> Result<FutureReader<Result<(), ErrorCode>>> {
    let (sink, streaming) = access.with(|ctx| {
        let file = ctx.descriptor(descriptor).and_then(Descriptor::writable);
        let sink = file.map(|file| FileSink::new(file, position, &ctx.pool));
        Ok::<_, cwasm::Error>((found(sink)?, ctx.streaming()?))
    })?;
    let accessor = access.accessor();
    Ok(write_stream(accessor, data, sink, io_code, streaming))
}

impl Host for WasiCtx {
    fn convert_error_code(&mut self, error: FsError) -> Result<ErrorCode> {
        stream_code(error)
    }
}

impl HostDescriptor for WasiCtx {
    fn read_via_stream<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
        offset: u64,
    ) -> Result<Reading<ErrorCode>> {
        let (source, streaming) = access.with(|ctx| {
            let file = ctx.descriptor(&descriptor).and_then(Descriptor::readable);
            let source = found(file.map(|file| FileSource::new(file, offset, &ctx.pool)))?;
            Ok::<_, cwasm::Error>((source, ctx.streaming()?))
        })?;
        Ok(read_stream(access.accessor(), source, io_code, streaming))
    }

    fn write_via_stream<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
        data: StreamReader<u8>,
        offset: u64,
    ) -> Result<FutureReader<Result<(), ErrorCode>>> {
        write(access, &descriptor, data, Some(offset))
    }

    fn append_via_stream<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
        data: StreamReader<u8>,
    ) -> Result<FutureReader<Result<(), ErrorCode>>> {
        write(access, &descriptor, data, None)
    }

    async fn advise<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
        offset: u64,
        length: u64,
        advice: Advice,
    ) -> FsResult<()> {
        let work = move |file: &Descriptor| file.advise(offset, length, advice);
        on(access, &descriptor, work).await
    }

    async fn sync_data<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
    ) -> FsResult<()> {
        on(access, &descriptor, Descriptor::sync_data).await
    }

    async fn get_flags<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
    ) -> FsResult<DescriptorFlags> {
        access.with(|ctx| Ok(ctx.descriptor(&descriptor)?.flags()))
    }

    async fn get_type<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
    ) -> FsResult<DescriptorType> {
        let metadata = on(access, &descriptor, Descriptor::metadata).await?;
        Ok(descriptor_type(kind_of(&metadata)))
    }

    async fn set_size<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
        size: u64,
    ) -> FsResult<()> {
        on(access, &descriptor, move |file| file.set_size(size)).await
    }

    async fn set_times<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
        access_time: NewTimestamp,
        change: NewTimestamp,
    ) -> FsResult<()> {
        let times = times(access_time, change)?;
        on(access, &descriptor, move |file| file.set_times(&times)).await
    }

    fn read_directory<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
    ) -> Result<(
        StreamReader<DirectoryEntry>,
        FutureReader<Result<(), ErrorCode>>,
    )> {
        let (opened, streaming) = access.with(|ctx| {
            let descriptor = ctx.descriptor(&descriptor).cloned();
            let place = |descriptor| Ok((descriptor, ctx.open_files.place()?));
            let opened = found(descriptor.and_then(place))?;
            Ok::<_, cwasm::Error>((opened, ctx.streaming()?))
        })?;
        let pool = access.with(|ctx| ctx.pool.clone());
        Ok(directory::read(access.accessor(), opened, streaming, pool))
    }

    async fn sync<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
    ) -> FsResult<()> {
        on(access, &descriptor, Descriptor::sync).await
    }

    async fn create_directory_at<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        let work = move |dir: &Descriptor| dir.create_directory_at(&path);
        on(access, &descriptor, work).await
    }

    async fn stat<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
    ) -> FsResult<DescriptorStat> {
        let metadata = on(access, &descriptor, Descriptor::metadata).await?;
        Ok(stat(&metadata))
    }

    async fn stat_at<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        let work = move |dir: &Descriptor| dir.metadata_at(path_flags, &path);
        Ok(stat(&on(access, &descriptor, work).await?))
    }

    async fn set_times_at<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        access_time: NewTimestamp,
        change: NewTimestamp,
    ) -> FsResult<()> {
        let times = times(access_time, change)?;
        let work = move |dir: &Descriptor| dir.set_times_at(path_flags, &path, &times);
        on(access, &descriptor, work).await
    }

    async fn link_at<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
        old_path_flags: PathFlags,
        old_path: String,
        new_descriptor: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        on_both(access, [&descriptor, &new_descriptor], move |old, new| {
            old.link_at(old_path_flags, &old_path, new, &new_path)
        })
        .await
    }

    async fn open_at<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let place = access.with(|ctx| ctx.open_files.place())?;
        let work = move |dir: &Descriptor| {
            let flags = dir.implied_flags(open_flags, flags);
            dir.open_at(path_flags, &path, open_flags, flags, place)
        };
        let opened = on(access, &descriptor, work).await?;
        access.with(|ctx| Ok(ctx.table.push(opened)?))
    }

    async fn readlink_at<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FsResult<String> {
        on(access, &descriptor, move |dir| dir.readlink_at(&path)).await
    }

    async fn remove_directory_at<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        let work = move |dir: &Descriptor| dir.remove_directory_at(&path);
        on(access, &descriptor, work).await
    }

    async fn rename_at<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
        old_path: String,
        new_descriptor: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        on_both(access, [&descriptor, &new_descriptor], move |old, new| {
            old.rename_at(&old_path, new, &new_path)
        })
        .await
    }

    async fn symlink_at<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
        target: String,
        path: String,
    ) -> FsResult<()> {
        let work = move |dir: &Descriptor| dir.symlink_at(&target, &path);
        on(access, &descriptor, work).await
    }

    async fn unlink_file_at<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        on(access, &descriptor, move |dir| dir.unlink_file_at(&path)).await
    }

    async fn is_same_object<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> Result<bool> {
        let work = |one: &Descriptor, other: &Descriptor| Ok(one.is_same_object(other));
        match on_both(access, [&descriptor, &other], work).await {
            Ok(is_same) => Ok(is_same),
            Err(FsError::Code(_)) => Ok(false),
            Err(FsError::Trap(error)) => Err(error),
        }
    }

    async fn metadata_hash<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
    ) -> FsResult<MetadataHashValue> {
        let metadata = on(access, &descriptor, Descriptor::metadata).await?;
        Ok(hash_of(&metadata))
    }

    async fn metadata_hash_at<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        let work = move |dir: &Descriptor| dir.metadata_at(path_flags, &path);
        Ok(hash_of(&on(access, &descriptor, work).await?))
    }

    fn drop(&mut self, descriptor: Resource<Descriptor>) -> Result<()> {
        self.table.delete(descriptor)?;
        Ok(())
    }
}

/// Times of access and modification as the system takes them.
fn times(access: NewTimestamp, change: NewTimestamp) -> FsResult<Timestamps> {
    timestamps(new_time(access), new_time(change))
}

impl preopens::Host for WasiCtx {
    fn get_directories(&mut self) -> Result<Vec<(Resource<Descriptor>, String)>> {
        crate::bindings::wasi::filesystem::preopens::Host::get_directories(self)
    }
}
