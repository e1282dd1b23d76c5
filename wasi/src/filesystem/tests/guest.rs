//! The functions of files as the calls of a guest arrive, in each version: the same tables hold for
//! all.

use std::env;

use cwasm::Resource;

use super::{Descriptor, FsError};
use crate::WasiCtx;
use crate::bindings::wasi::filesystem::preopens::Host as _;
use crate::bindings::wasi::filesystem::types::{
    DescriptorFlags, ErrorCode, HostDescriptor, HostDirectoryEntryStream as _, NewTimestamp,
    OpenFlags, PathFlags,
};
use crate::bindings::wasi::io::streams::HostInputStream;
use crate::filesystem::entries::DirectoryEntries;
use crate::io::InputStream;

#[cfg(feature = "p3")]
use {
    super::{guest_p3::Guest3, kernel},
    std::process::Command,
};

/// Asks a process of tests to call the functions of 0.3.
const VARIABLE: &str = "CWASM_TEST_WASI_0_3";

type Result<R = ()> = std::result::Result<R, FsError>;

/// A guest of one of the versions.
#[cfg_attr(
    feature = "p3",
    expect(clippy::large_enum_variant, reason = "there is one for each test")
)]
pub(super) enum Guest {
    P2(WasiCtx),
    #[cfg(feature = "p3")]
    P3(Guest3),
}

/// A listing that has been begun.
pub(super) enum Entries {
    P2(u32),
    #[cfg(feature = "p3")]
    P3(super::guest_p3::Entries3),
}

/// A stream that reads a file.
pub(super) enum Bytes {
    P2(Resource<InputStream>),
    #[cfg(feature = "p3")]
    P3(super::guest_p3::Bytes3),
}

/// What a listing says next: a name, or why there is none.
pub(super) type Entry = std::result::Result<String, ErrorCode>;

/// Whether the functions of 0.3 are called.
pub(super) fn is_p3() -> bool {
    env::var_os(VARIABLE).is_some()
}

macro_rules! each {
    ($self:expr, $guest:ident => $call:expr) => {
        match $self {
            Guest::P2($guest) => $call,
            #[cfg(feature = "p3")]
            Guest::P3($guest) => $call,
        }
    };
}

type Handle = Resource<Descriptor>;

impl Guest {
    pub(super) fn new(ctx: WasiCtx) -> Guest {
        match is_p3() {
            #[cfg(feature = "p3")]
            true => Guest::P3(Guest3::new(ctx)),
            _ => Guest::P2(ctx),
        }
    }

    pub(super) fn ctx(&mut self) -> &mut WasiCtx {
        match self {
            Guest::P2(ctx) => ctx,
            #[cfg(feature = "p3")]
            Guest::P3(guest) => guest.store.data_mut(),
        }
    }

    pub(super) fn get_directories(&mut self) -> cwasm::Result<Vec<(Handle, String)>> {
        match self {
            Guest::P2(ctx) => ctx.get_directories(),
            #[cfg(feature = "p3")]
            Guest::P3(guest) => guest.get_directories(),
        }
    }

    pub(super) fn close(&mut self, descriptor: Handle) {
        let closed = match self {
            Guest::P2(ctx) => HostDescriptor::drop(ctx, descriptor),
            #[cfg(feature = "p3")]
            Guest::P3(guest) => guest.close(descriptor),
        };
        closed.unwrap();
    }

    pub(super) fn open_at(
        &mut self,
        dir: Handle,
        to: PathFlags,
        path: String,
        open: OpenFlags,
        flags: DescriptorFlags,
    ) -> Result<Handle> {
        each!(self, guest => guest.open_at(dir, to, path, open, flags))
    }

    pub(super) fn stat_at(&mut self, dir: Handle, to: PathFlags, path: String) -> Result {
        each!(self, guest => guest.stat_at(dir, to, path).map(drop))
    }

    pub(super) fn metadata_hash_at(&mut self, dir: Handle, to: PathFlags, path: String) -> Result {
        each!(self, guest => guest.metadata_hash_at(dir, to, path).map(drop))
    }

    pub(super) fn set_times_at(
        &mut self,
        dir: Handle,
        to: PathFlags,
        path: String,
        access: NewTimestamp,
        change: NewTimestamp,
    ) -> Result {
        each!(self, guest => guest.set_times_at(dir, to, path, access, change))
    }

    pub(super) fn readlink_at(&mut self, dir: Handle, path: String) -> Result<String> {
        each!(self, guest => guest.readlink_at(dir, path))
    }

    pub(super) fn create_directory_at(&mut self, dir: Handle, path: String) -> Result {
        each!(self, guest => guest.create_directory_at(dir, path))
    }

    pub(super) fn remove_directory_at(&mut self, dir: Handle, path: String) -> Result {
        each!(self, guest => guest.remove_directory_at(dir, path))
    }

    pub(super) fn unlink_file_at(&mut self, dir: Handle, path: String) -> Result {
        each!(self, guest => guest.unlink_file_at(dir, path))
    }

    pub(super) fn link_at(
        &mut self,
        old: Handle,
        to: PathFlags,
        old_path: String,
        new: Handle,
        new_path: String,
    ) -> Result {
        each!(self, guest => guest.link_at(old, to, old_path, new, new_path))
    }

    pub(super) fn rename_at(
        &mut self,
        old: Handle,
        old_path: String,
        new: Handle,
        new_path: String,
    ) -> Result {
        each!(self, guest => guest.rename_at(old, old_path, new, new_path))
    }

    pub(super) fn symlink_at(&mut self, dir: Handle, target: String, path: String) -> Result {
        each!(self, guest => guest.symlink_at(dir, target, path))
    }

    pub(super) fn set_size(&mut self, file: Handle, size: u64) -> Result {
        each!(self, guest => guest.set_size(file, size))
    }

    pub(super) fn set_times(
        &mut self,
        descriptor: Handle,
        access: NewTimestamp,
        change: NewTimestamp,
    ) -> Result {
        each!(self, guest => guest.set_times(descriptor, access, change))
    }

    pub(super) fn get_flags(&mut self, descriptor: Handle) -> Result<DescriptorFlags> {
        each!(self, guest => guest.get_flags(descriptor))
    }

    pub(super) fn sync(&mut self, descriptor: Handle) -> Result {
        each!(self, guest => guest.sync(descriptor))
    }

    /// The first bytes of a file.
    pub(super) fn read(&mut self, file: Handle, max: usize) -> Result<Vec<u8>> {
        match self {
            Guest::P2(ctx) => Ok(HostDescriptor::read(ctx, file, max as u64, 0)?.0),
            #[cfg(feature = "p3")]
            Guest::P3(guest) => guest.read(file, max),
        }
    }

    /// Writes the first bytes of a file.
    pub(super) fn write(&mut self, file: Handle, bytes: &[u8]) -> Result {
        match self {
            Guest::P2(ctx) => {
                let count = HostDescriptor::write(ctx, file, bytes.to_vec(), 0)?;
                assert_eq!(count, bytes.len() as u64);
                Ok(())
            }
            #[cfg(feature = "p3")]
            Guest::P3(guest) => guest.write(file, bytes, Some(0)),
        }
    }

    /// Makes a stream that writes at the beginning or the end of a file; in 0.3 it is over at once.
    pub(super) fn write_stream(&mut self, file: Handle, at_end: bool) -> Result {
        match self {
            Guest::P2(ctx) if at_end => ctx.append_via_stream(file).map(drop),
            Guest::P2(ctx) => ctx.write_via_stream(file, 0).map(drop),
            #[cfg(feature = "p3")]
            Guest::P3(guest) => guest.write(file, b"", (!at_end).then_some(0)),
        }
    }

    pub(super) fn read_stream(&mut self, file: Handle) -> Result<Bytes> {
        match self {
            Guest::P2(ctx) => ctx.read_via_stream(file, 0).map(Bytes::P2),
            #[cfg(feature = "p3")]
            Guest::P3(guest) => guest.read_stream(file).map(Bytes::P3),
        }
    }

    /// Some bytes of a stream.
    pub(super) fn read_of(&mut self, bytes: &mut Bytes) -> Vec<u8> {
        match (self, bytes) {
            (Guest::P2(ctx), Bytes::P2(stream)) => {
                let stream = Resource::new_borrow(stream.rep());
                HostInputStream::read(ctx, stream, 10).unwrap()
            }
            #[cfg(feature = "p3")]
            (Guest::P3(guest), Bytes::P3(bytes)) => guest.read_of(bytes),
            #[cfg(feature = "p3")]
            _ => panic!("of another version"),
        }
    }

    pub(super) fn close_stream(&mut self, bytes: Bytes) {
        match (self, bytes) {
            (Guest::P2(ctx), Bytes::P2(stream)) => drop(ctx.table.delete(stream).unwrap()),
            #[cfg(feature = "p3")]
            (Guest::P3(guest), Bytes::P3(bytes)) => guest.close_stream(bytes),
            #[cfg(feature = "p3")]
            _ => panic!("of another version"),
        }
    }

    pub(super) fn read_directory(&mut self, dir: Handle) -> Result<Entries> {
        match self {
            Guest::P2(ctx) => Ok(Entries::P2(ctx.read_directory(dir)?.rep())),
            #[cfg(feature = "p3")]
            Guest::P3(guest) => guest.read_directory(dir).map(Entries::P3),
        }
    }

    /// All that a listing says; it is over then, but not closed.
    pub(super) fn rest(&mut self, entries: &mut Entries) -> Vec<Entry> {
        match (self, entries) {
            (Guest::P2(ctx), Entries::P2(entries)) => {
                let mut found = Vec::new();
                loop {
                    let again = Resource::new_borrow(*entries);
                    match super::code(ctx.read_directory_entry(again)) {
                        Ok(Some(entry)) => found.push(Ok(entry.name)),
                        Ok(None) => return found,
                        Err(code) => found.push(Err(code)),
                    }
                }
            }
            #[cfg(feature = "p3")]
            (Guest::P3(guest), Entries::P3(entries)) => guest.rest(entries),
            #[cfg(feature = "p3")]
            _ => panic!("of another version"),
        }
    }

    pub(super) fn close_listing(&mut self, entries: Entries) {
        match (self, entries) {
            (Guest::P2(ctx), Entries::P2(entries)) => {
                let entries = Resource::<DirectoryEntries>::new_own(entries);
                ctx.table.delete(entries).unwrap();
            }
            #[cfg(feature = "p3")]
            (Guest::P3(guest), Entries::P3(entries)) => guest.close_listing(entries),
            #[cfg(feature = "p3")]
            _ => panic!("of another version"),
        }
    }
}

/// Runs all tests of files once more.
#[cfg(feature = "p3")]
#[test]
fn all_tests_pass_by_0_3() {
    if !is_p3() && !kernel::is_asked() {
        kernel::run_all(Command::new(env::current_exe().unwrap()).env(VARIABLE, "1"));
    }
}
