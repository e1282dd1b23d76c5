//! The entries of folders, as a stream.

use cwasm::{Accessor, FutureReader, FutureWriter, Result, StreamReader, StreamWriter};

use super::found;
use super::values::descriptor_type;
use crate::filesystem::{Descriptor, Entries, FsResult};
use crate::open_files::Place;
use crate::p3::Pool;
use crate::p3::bindings::wasi::filesystem::types::{DirectoryEntry, ErrorCode};
use crate::p3::bytes::{Streaming, unless};

/// The most entries that are read before any is asked for.
const BATCH: usize = 64;

/// A stream of a folder's entries, and a future that says whether it has all of them.
pub(super) fn read<T: 'static>(
    accessor: &Accessor<T>,
    opened: Result<(Descriptor, Place), ErrorCode>,
    streaming: Streaming,
    pool: Pool,
) -> (
    StreamReader<DirectoryEntry>,
    FutureReader<Result<(), ErrorCode>>,
) {
    let (mut writer, entries) = accessor.with(|store| StreamWriter::pair(store));
    let (outcome_writer, outcome) = accessor.with(|store| FutureWriter::pair(store));
    accessor.spawn(move |accessor| {
        Box::pin(async move {
            let result = match opened {
                Ok((dir, place)) => send(accessor, dir, place, &pool, &mut writer).await,
                Err(code) => Ok(Err(code)),
            };
            let _ = accessor.with(|store| writer.close(store));
            if let Ok(result) = result {
                let _ = outcome_writer.write(accessor, result).await;
            }
            drop(streaming);
        })
    });
    (entries, outcome)
}

/// Writes all entries, unless nobody reads them.
async fn send<T: 'static>(
    accessor: &Accessor<T>,
    dir: Descriptor,
    place: Place,
    pool: &Pool,
    writer: &mut StreamWriter<DirectoryEntry>,
) -> Result<Result<(), ErrorCode>> {
    let mut entries = match found(pool.run(move || dir.entries(place)).await)? {
        Ok(entries) => entries,
        Err(code) => return Ok(Err(code)),
    };
    loop {
        writer.ready(accessor).await?;
        let read = pool.run(move || read_batch(entries));
        let Some((rest, batch, result)) = unless(read, writer.closed(accessor)).await else {
            return Ok(Ok(()));
        };
        entries = rest;
        let is_over = batch.len() < BATCH;
        let left = writer.write_all(accessor, batch).await?;
        match found(result)? {
            Err(code) => return Ok(Err(code)),
            Ok(()) if is_over || !left.is_empty() => return Ok(Ok(())),
            Ok(()) => {}
        }
    }
}

/// The next entries, fewer than [`BATCH`] at the end or before an error.
fn read_batch(mut entries: Entries) -> (Entries, Vec<DirectoryEntry>, FsResult<()>) {
    let mut batch = Vec::new();
    while batch.len() < BATCH {
        match entries.next() {
            Ok(Some((ty, name))) => batch.push(DirectoryEntry {
                r#type: descriptor_type(ty),
                name,
            }),
            Ok(None) => break,
            Err(error) => return (entries, batch, Err(error)),
        }
    }
    (entries, batch, Ok(()))
}
