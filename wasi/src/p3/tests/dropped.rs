//! Calls that are dropped while they wait, and stores that are dropped with all that they have.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use cwasm::{Resource, StreamWriter};
use tempfile::TempDir;

use super::{access, has_places, poll, run, store};
use crate::bindings::wasi::filesystem::preopens::Host as _;
use crate::bindings::wasi::filesystem::types::{
    self as old, Advice, DescriptorFlags, ErrorCode, OpenFlags, PathFlags,
};
use crate::filesystem::{Descriptor, DirPerms, FilePerms, FsError};
use crate::io::CHUNK;
use crate::open_files::OpenFiles;
use crate::p3::bindings::wasi::cli::{stdin, stdout};
use crate::p3::bindings::wasi::clocks::monotonic_clock;
use crate::p3::bindings::wasi::filesystem::types::{HostDescriptor, NewTimestamp};
use crate::{WasiCtx, WasiCtxBuilder};

/// How many files a guest may have open here.
const MAX: usize = 4;

/// A guest with a folder, in which are a file `file` and a folder `sub`: where it is in its table.
fn guest(folder: &TempDir) -> (WasiCtx, u32) {
    std::fs::write(folder.path().join("file"), vec![7; 3 * CHUNK]).unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    let (dirs, files) = (DirPerms::all(), FilePerms::all());
    let builder = WasiCtxBuilder::new().preopened_dir(folder.path(), "/", dirs, files);
    let mut ctx = builder.unwrap().max_open_files(MAX).build();
    let root = ctx.get_directories().unwrap()[0].0.rep();
    (ctx, root)
}

fn open(ctx: &mut WasiCtx, root: u32, path: &str) -> Result<Resource<Descriptor>, FsError> {
    let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
    let root = Resource::new_borrow(root);
    let (none, path) = (PathFlags::empty(), path.to_owned());
    old::HostDescriptor::open_at(ctx, root, none, path, OpenFlags::empty(), flags)
}

/// Begins a call and drops it.
async fn drop_begun(call: impl Future) -> bool {
    let mut call = pin!(call);
    poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_ready())).await
}

#[test]
fn each_call_can_be_dropped() {
    let folder = TempDir::new().unwrap();
    let (mut ctx, root) = guest(&folder);
    let file = open(&mut ctx, root, "file").unwrap().rep();
    let open_files = ctx.open_files.clone();
    let mut store = store(ctx);
    let (root, file) = (|| Resource::new_borrow(root), || Resource::new_borrow(file));
    let (none, now) = (PathFlags::empty(), NewTimestamp::Now);
    let name = || "file".to_owned();
    // A thread may be faster than the first poll, for some.
    let mut waited = 0;
    macro_rules! drops {
        ($($function:ident($($arg:expr),*);)*) => {$(
            let over = run(&mut store, async |accessor| {
                let mut over = 0;
                for _ in 0..100 {
                    let call = WasiCtx::$function(access(accessor), $($arg),*);
                    over += usize::from(drop_begun(call).await);
                }
                over
            });
            waited += 100 - over;
            // One file is open.
            has_places(&open_files, MAX - 1);
        )*};
    }
    drops! {
        advise(file(), 0, 1, Advice::Normal);
        sync_data(file());
        sync(file());
        get_type(file());
        stat(file());
        set_size(file(), 3 * CHUNK as u64);
        set_times(file(), now, now);
        stat_at(root(), none, name());
        set_times_at(root(), none, name(), now, now);
        create_directory_at(root(), "sub".to_owned());
        remove_directory_at(root(), "none".to_owned());
        link_at(root(), none, "none".to_owned(), root(), "other".to_owned());
        readlink_at(root(), name());
        rename_at(root(), "none".to_owned(), root(), "other".to_owned());
        symlink_at(root(), name(), "sub".to_owned());
        unlink_file_at(root(), "none".to_owned());
        is_same_object(root(), file());
        metadata_hash(file());
        metadata_hash_at(root(), none, name());
    }
    assert!(waited > 0);
    // One that was not dropped in time has opened the file.
    run(&mut store, async |accessor| {
        let (open, flags) = (OpenFlags::empty(), DescriptorFlags::READ);
        for _ in 0..100 {
            let call = WasiCtx::open_at(access(accessor), root(), none, name(), open, flags);
            let mut call = pin!(call);
            let begun = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
            if let Poll::Ready(Ok(opened)) = begun {
                access(accessor)
                    .with(|ctx| HostDescriptor::drop(ctx, opened))
                    .unwrap();
            }
        }
    });
    has_places(&open_files, MAX - 1);
    let waits = run(&mut store, async |accessor| {
        let mut over = 0;
        for _ in 0..1000 {
            let wait = <WasiCtx as monotonic_clock::Host>::wait_for(access(accessor), u64::MAX);
            over += usize::from(drop_begun(wait).await);
            let wait = <WasiCtx as monotonic_clock::Host>::wait_until(access(accessor), u64::MAX);
            over += usize::from(drop_begun(wait).await);
        }
        over
    });
    assert_eq!(waits, 0);
    // What was dropped does no harm to what comes.
    let found = run(&mut store, async |accessor| {
        let stat = WasiCtx::stat_at(access(accessor), root(), none, name()).await;
        stat.map(|stat| stat.size)
    });
    assert!(matches!(found, Ok(size) if size == 3 * CHUNK as u64));
}

/// Streams that wait at both ends, or were read in part.
#[test]
fn a_store_can_be_dropped_with_its_streams() {
    for is_polled in [false, true] {
        let folder = TempDir::new().unwrap();
        let (mut ctx, root) = guest(&folder);
        let (input, _unwritten) = std::io::pipe().unwrap();
        let (_unread, output) = std::io::pipe().unwrap();
        ctx.stdin = std::os::fd::OwnedFd::from(input).into();
        ctx.stdout = std::os::fd::OwnedFd::from(output).into();
        ctx.open_files = OpenFiles::new(2 * MAX);
        let open_files = ctx.open_files.clone();
        let file = open(&mut ctx, root, "file").unwrap();
        let mut store = store(ctx);
        let _kept = run(&mut store, async |accessor| {
            let access = access(accessor);
            let again = || Resource::new_borrow(file.rep());
            let (mut bytes, ending) = WasiCtx::read_via_stream(access, again(), 0).unwrap();
            bytes.read(accessor, 10).await.unwrap();
            let (writer, reader) = accessor.with(|store| StreamWriter::<u8>::pair(store));
            let written = WasiCtx::write_via_stream(access, again(), reader, 0).unwrap();
            let root = Resource::new_borrow(root);
            let (entries, listed) = WasiCtx::read_directory(access, root).unwrap();
            // The input waits, and the output as well, once its pipe is full.
            let (mut input, read) = <WasiCtx as stdin::Host>::read_via_stream(access).unwrap();
            drop_begun(input.read(accessor, 10)).await;
            let (mut output, reader) = accessor.with(|store| StreamWriter::<u8>::pair(store));
            let printed = <WasiCtx as stdout::Host>::write_via_stream(access, reader).unwrap();
            for _ in 0..10 {
                drop_begun(output.write_all(accessor, vec![0; CHUNK])).await;
            }
            (
                (bytes, ending),
                (writer, written),
                (entries, listed),
                (input, read),
                (output, printed),
            )
        });
        if is_polled {
            poll(&mut store);
        }
        assert!(open_files.place().is_ok());
        drop(store);
        has_places(&open_files, 2 * MAX);
    }
}

#[test]
fn both_versions_have_one_limit() {
    let folder = TempDir::new().unwrap();
    let (ctx, root) = guest(&folder);
    let mut store = store(ctx);
    let mut held = Vec::new();
    for place in 0..=MAX {
        let by_3 = |store: &mut _| {
            run(store, async |accessor| {
                let root = Resource::new_borrow(root);
                let flags = DescriptorFlags::READ;
                let (none, name) = (PathFlags::empty(), "file".to_owned());
                WasiCtx::open_at(
                    access(accessor),
                    root,
                    none,
                    name,
                    OpenFlags::empty(),
                    flags,
                )
                .await
            })
        };
        let by_2 = |store: &mut cwasm::Store<WasiCtx>| open(store.data_mut(), root, "file");
        if place == MAX {
            for opened in [by_2(&mut store), by_3(&mut store)] {
                let is_full = matches!(opened, Err(FsError::Code(ErrorCode::InsufficientMemory)));
                assert!(is_full, "{opened:?}");
            }
        } else {
            held.push(match place % 2 {
                0 => by_2(&mut store).unwrap(),
                _ => by_3(&mut store).unwrap(),
            });
        }
    }
    // What one has opened, the other may close.
    for descriptor in held {
        HostDescriptor::drop(store.data_mut(), descriptor).unwrap();
    }
    assert!(open(store.data_mut(), root, "file").is_ok());
}
