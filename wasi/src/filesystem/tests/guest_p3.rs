//! The functions of 0.3, which wait, each called and waited for.

use std::ops::AsyncFnOnce;

use cwasm::{Access, Accessor, Engine, FutureReader, Resource, Store, StreamReader, StreamWriter};

use super::guest::Entry;
use super::{Descriptor, FsError};
use crate::WasiCtx;
use crate::bindings::wasi::filesystem::types::{
    DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};
use crate::p3::bindings::wasi::filesystem::preopens::Host as _;
use crate::p3::bindings::wasi::filesystem::types::{self, HostDescriptor};
use crate::p3::block_on;

type Result<R = ()> = std::result::Result<R, FsError>;

type Handle = Resource<Descriptor>;

type Outcome = FutureReader<std::result::Result<(), types::ErrorCode>>;

/// A guest of 0.3.
pub(super) struct Guest3 {
    pub(super) store: Store<WasiCtx>,
}

/// A listing: what was read of it, the rest, and how it ends.
pub(super) struct Entries3 {
    first: Vec<Entry>,
    entries: StreamReader<types::DirectoryEntry>,
    outcome: Option<Outcome>,
}

/// A stream that reads a file, and how it ends.
pub(super) type Bytes3 = (StreamReader<u8>, Outcome);

/// An error of the host's own.
fn trapped<R>(result: cwasm::Result<R>) -> Result<R> {
    result.map_err(FsError::Trap)
}

/// The code of 0.2 that has the same name.
fn code_of(code: types::ErrorCode) -> ErrorCode {
    use ErrorCode as Code;
    let name = format!("{code:?}");
    let codes = [
        Code::BadDescriptor,
        Code::Exist,
        Code::IllegalByteSequence,
        Code::InsufficientMemory,
        Code::Invalid,
        Code::IsDirectory,
        Code::Loop,
        Code::NameTooLong,
        Code::NoEntry,
        Code::NotDirectory,
        Code::NotPermitted,
        Code::Overflow,
    ];
    let found = codes.into_iter().find(|code| format!("{code:?}") == name);
    found.unwrap_or_else(|| panic!("{name}"))
}

fn time(time: NewTimestamp) -> types::NewTimestamp {
    match time {
        NewTimestamp::NoChange => types::NewTimestamp::NoChange,
        NewTimestamp::Now => types::NewTimestamp::Now,
        NewTimestamp::Timestamp(time) => types::NewTimestamp::Timestamp(
            crate::p3::bindings::wasi::clocks::system_clock::Instant {
                seconds: time.seconds.try_into().unwrap(),
                nanoseconds: time.nanoseconds,
            },
        ),
    }
}

fn itself(ctx: &mut WasiCtx) -> &mut WasiCtx {
    ctx
}

/// The host, as functions of 0.3 get it.
fn access(accessor: &Accessor<WasiCtx>) -> Access<'_, WasiCtx, WasiCtx> {
    Access::new(accessor, &(itself as fn(&mut WasiCtx) -> &mut WasiCtx))
}

macro_rules! calls {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $result:ty;)*) => {$(
        pub(super) fn $name(&mut self, $($arg: $ty),*) -> Result<$result> {
            self.run(async move |accessor| {
                <WasiCtx as HostDescriptor>::$name(access(accessor), $($arg),*).await
            })
        }
    )*};
}

impl Guest3 {
    pub(super) fn new(ctx: WasiCtx) -> Guest3 {
        let store = Store::new(&Engine::default(), ctx);
        Guest3 { store }
    }

    fn run<R>(&mut self, body: impl AsyncFnOnce(&Accessor<WasiCtx>) -> R) -> R {
        block_on(self.store.run_concurrent(body)).unwrap()
    }

    /// Lets what is spawned go on.
    fn finish(&mut self) {
        block_on(std::future::poll_fn(|context| self.store.poll(context))).unwrap();
    }

    pub(super) fn get_directories(&mut self) -> cwasm::Result<Vec<(Handle, String)>> {
        self.store.data_mut().get_directories()
    }

    pub(super) fn close(&mut self, descriptor: Handle) -> cwasm::Result<()> {
        HostDescriptor::drop(self.store.data_mut(), descriptor)
    }

    calls! {
        fn open_at(dir: Handle, to: PathFlags, path: String, open: OpenFlags,
            flags: DescriptorFlags) -> Handle;
        fn stat_at(dir: Handle, to: PathFlags, path: String) -> types::DescriptorStat;
        fn metadata_hash_at(dir: Handle, to: PathFlags, path: String) -> types::MetadataHashValue;
        fn readlink_at(dir: Handle, path: String) -> String;
        fn create_directory_at(dir: Handle, path: String) -> ();
        fn remove_directory_at(dir: Handle, path: String) -> ();
        fn unlink_file_at(dir: Handle, path: String) -> ();
        fn link_at(old: Handle, to: PathFlags, old_path: String, new: Handle, new_path: String)
            -> ();
        fn rename_at(old: Handle, old_path: String, new: Handle, new_path: String) -> ();
        fn symlink_at(dir: Handle, target: String, path: String) -> ();
        fn set_size(file: Handle, size: u64) -> ();
        fn get_flags(descriptor: Handle) -> DescriptorFlags;
        fn sync(descriptor: Handle) -> ();
    }

    pub(super) fn set_times_at(
        &mut self,
        dir: Handle,
        to: PathFlags,
        path: String,
        at: NewTimestamp,
        change: NewTimestamp,
    ) -> Result {
        self.run(async move |accessor| {
            let (at, change) = (time(at), time(change));
            WasiCtx::set_times_at(access(accessor), dir, to, path, at, change).await
        })
    }

    pub(super) fn set_times(
        &mut self,
        descriptor: Handle,
        at: NewTimestamp,
        change: NewTimestamp,
    ) -> Result {
        self.run(async move |accessor| {
            WasiCtx::set_times(access(accessor), descriptor, time(at), time(change)).await
        })
    }

    pub(super) fn read(&mut self, file: Handle, max: usize) -> Result<Vec<u8>> {
        self.run(async move |accessor| {
            let (mut bytes, outcome) =
                trapped(WasiCtx::read_via_stream(access(accessor), file, 0))?;
            let read = trapped(bytes.read(accessor, max).await)?;
            trapped(accessor.with(|store| bytes.close(store)))?;
            outcome_of(accessor, outcome).await?;
            Ok(read)
        })
    }

    pub(super) fn read_stream(&mut self, file: Handle) -> Result<Bytes3> {
        self.run(async move |accessor| trapped(WasiCtx::read_via_stream(access(accessor), file, 0)))
    }

    pub(super) fn read_of(&mut self, (bytes, _): &mut Bytes3) -> Vec<u8> {
        self.run(async move |accessor| bytes.read(accessor, 10).await.unwrap())
    }

    pub(super) fn close_stream(&mut self, (bytes, outcome): Bytes3) {
        bytes.close(&mut self.store).unwrap();
        outcome.close(&mut self.store).unwrap();
        self.finish();
    }

    /// Writes bytes at a position, or at the end.
    pub(super) fn write(&mut self, file: Handle, bytes: &[u8], position: Option<u64>) -> Result {
        self.run(async move |accessor| {
            let (mut writer, reader) = accessor.with(|store| StreamWriter::pair(store));
            let access = access(accessor);
            let outcome = trapped(match position {
                Some(position) => WasiCtx::write_via_stream(access, file, reader, position),
                None => WasiCtx::append_via_stream(access, file, reader),
            })?;
            if !bytes.is_empty() {
                trapped(writer.write_all(accessor, bytes.to_vec()).await)?;
            }
            trapped(accessor.with(|store| writer.close(store)))?;
            outcome_of(accessor, outcome).await
        })
    }

    /// Begins a listing, and reads its first entry.
    pub(super) fn read_directory(&mut self, dir: Handle) -> Result<Entries3> {
        self.run(async move |accessor| {
            let (mut entries, outcome) = trapped(WasiCtx::read_directory(access(accessor), dir))?;
            let first = trapped(entries.read(accessor, 1).await)?;
            if first.is_empty() {
                outcome_of(accessor, outcome).await?;
                panic!("there are entries");
            }
            Ok(Entries3 {
                first: first.into_iter().map(|entry| Ok(entry.name)).collect(),
                entries,
                outcome: Some(outcome),
            })
        })
    }

    pub(super) fn rest(&mut self, listing: &mut Entries3) -> Vec<Entry> {
        self.run(async move |accessor| {
            let mut found = std::mem::take(&mut listing.first);
            loop {
                let entries = listing.entries.read(accessor, 100).await.unwrap();
                if entries.is_empty() {
                    break;
                }
                found.extend(entries.into_iter().map(|entry| Ok(entry.name)));
            }
            let outcome = outcome_of(accessor, listing.outcome.take().unwrap()).await;
            if let Err(code) = super::code(outcome) {
                found.push(Err(code));
            }
            found
        })
    }

    pub(super) fn close_listing(&mut self, listing: Entries3) {
        listing.entries.close(&mut self.store).unwrap();
        if let Some(outcome) = listing.outcome {
            outcome.close(&mut self.store).unwrap();
        }
        self.finish();
    }
}

async fn outcome_of(accessor: &Accessor<WasiCtx>, outcome: Outcome) -> Result {
    match trapped(outcome.read(accessor).await)?.expect("an outcome") {
        Ok(()) => Ok(()),
        Err(code) => Err(code_of(code).into()),
    }
}
