//! What guests can reach and change, called as a guest's calls arrive here.

mod escapes;
mod guest;
#[cfg(feature = "p3")]
mod guest_p3;
mod kernel;
mod limits;
mod names;
mod open;
mod perms;
mod times;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use cwasm::Resource;
use tempfile::TempDir;

use self::guest::Guest;
use super::{Descriptor, DirPerms, FilePerms, FsError};
use crate::WasiCtxBuilder;
use crate::bindings::wasi::filesystem::types::{
    DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};

/// A guest with the folder `box`, which has a file `inner`, a folder `sub` and links. Outside of it
/// are a file `secret` and a folder `vault`.
struct World {
    outside: TempDir,
    wasi: Guest,
    root: u32,
}

/// Links in the box, and where they lead.
const LINKS: &[(&str, &str)] = &[
    ("to-inner", "inner"),
    ("to-sub", "sub"),
    ("up", ".."),
    ("to-secret", "../secret"),
    ("first", "second"),
    ("second", "sub/../to-secret"),
    ("etc", "/etc"),
    ("process", "/proc/self/root"),
    ("here", "/proc/self/cwd"),
    ("loop", "pool"),
    ("pool", "loop"),
    ("dangling", "nothing"),
];

impl World {
    fn new(dirs: DirPerms, files: FilePerms) -> World {
        kernel::prepare();
        let outside = TempDir::new().unwrap();
        let inside = outside.path().join("box");
        fs::create_dir_all(inside.join("sub/deep")).unwrap();
        fs::create_dir(outside.path().join("vault")).unwrap();
        fs::write(outside.path().join("secret"), "secret").unwrap();
        fs::write(inside.join("inner"), "inner").unwrap();
        fs::write(inside.join("sub/file"), "file").unwrap();
        for (name, target) in LINKS {
            symlink(target, inside.join(name)).unwrap();
        }
        symlink(outside.path().join("secret"), inside.join("absolute")).unwrap();
        let builder = WasiCtxBuilder::new();
        let builder = builder.preopened_dir(&inside, "/", dirs, files).unwrap();
        let mut wasi = Guest::new(builder.build());
        let root = wasi.get_directories().unwrap()[0].0.rep();
        World {
            outside,
            wasi,
            root,
        }
    }

    fn free() -> World {
        World::new(DirPerms::all(), FilePerms::all())
    }

    fn root(&self) -> Resource<Descriptor> {
        Resource::new_borrow(self.root)
    }

    fn inside(&self) -> PathBuf {
        self.outside.path().join("box")
    }

    fn open(
        &mut self,
        path: &str,
        open: OpenFlags,
        flags: DescriptorFlags,
    ) -> Result<u32, ErrorCode> {
        let opened = self
            .wasi
            .open_at(self.root(), FOLLOW, path.to_owned(), open, flags);
        code(opened).map(|descriptor| descriptor.rep())
    }
}

const FOLLOW: PathFlags = PathFlags::SYMLINK_FOLLOW;

/// The code of an error; a guest's mistake is none here.
fn code<T>(result: Result<T, FsError>) -> Result<T, ErrorCode> {
    result.map_err(|error| match error {
        FsError::Code(code) => code,
        FsError::Trap(error) => panic!("{error:?}"),
    })
}

/// All files below a folder: contents, targets of links, and when they were changed.
fn tree(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, i64, i64)> {
    let mut found = BTreeMap::new();
    collect(folder, &mut found);
    found
}

fn collect(path: &Path, found: &mut BTreeMap<PathBuf, (Vec<u8>, i64, i64)>) {
    let metadata = fs::symlink_metadata(path).unwrap();
    let contents = if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), found);
        }
        Vec::new()
    } else if metadata.is_symlink() {
        fs::read_link(path)
            .unwrap()
            .into_os_string()
            .into_encoded_bytes()
    } else {
        fs::read(path).unwrap()
    };
    let changed = (metadata.mtime(), metadata.mtime_nsec());
    found.insert(path.to_owned(), (contents, changed.0, changed.1));
}

/// An operation on a path.
type Operation = fn(&mut World, &str) -> Result<(), FsError>;

/// All operations that take a path: those that follow links at its end, then those that act on the
/// link.
const FOLLOWING: &[(&str, Operation)] = &[
    ("open", |world, path| {
        world.open_with(path, OpenFlags::empty(), DescriptorFlags::READ)
    }),
    ("open for writing", |world, path| {
        world.open_with(path, OpenFlags::empty(), DescriptorFlags::WRITE)
    }),
    ("create", |world, path| {
        world.open_with(path, OpenFlags::CREATE, DescriptorFlags::WRITE)
    }),
    ("truncate", |world, path| {
        world.open_with(path, OpenFlags::TRUNCATE, DescriptorFlags::WRITE)
    }),
    ("open a folder", |world, path| {
        world.open_with(path, OpenFlags::DIRECTORY, DescriptorFlags::READ)
    }),
    ("stat", |world, path| {
        world
            .wasi
            .stat_at(world.root(), FOLLOW, path.into())
            .map(drop)
    }),
    ("hash", |world, path| {
        world
            .wasi
            .metadata_hash_at(world.root(), FOLLOW, path.into())
            .map(drop)
    }),
    ("set times", |world, path| {
        let (root, now) = (world.root(), NewTimestamp::Now);
        world.wasi.set_times_at(root, FOLLOW, path.into(), now, now)
    }),
];

const NOT_FOLLOWING: &[(&str, Operation)] = &[
    ("create only", |world, path| {
        let flags = OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
        world.open_with(path, flags, DescriptorFlags::WRITE)
    }),
    ("stat the link", |world, path| {
        world
            .wasi
            .stat_at(world.root(), PathFlags::empty(), path.into())
            .map(drop)
    }),
    ("set times of the link", |world, path| {
        let (root, now) = (world.root(), NewTimestamp::Now);
        world
            .wasi
            .set_times_at(root, PathFlags::empty(), path.into(), now, now)
    }),
    ("read the link", |world, path| {
        world.wasi.readlink_at(world.root(), path.into()).map(drop)
    }),
    ("create a folder", |world, path| {
        world.wasi.create_directory_at(world.root(), path.into())
    }),
    ("remove a folder", |world, path| {
        world.wasi.remove_directory_at(world.root(), path.into())
    }),
    ("unlink", |world, path| {
        world.wasi.unlink_file_at(world.root(), path.into())
    }),
    ("link from", |world, path| {
        let (old, new) = (world.root(), world.root());
        world
            .wasi
            .link_at(old, PathFlags::empty(), path.into(), new, "new".into())
    }),
    ("link to", |world, path| {
        let (old, new) = (world.root(), world.root());
        world
            .wasi
            .link_at(old, PathFlags::empty(), "inner".into(), new, path.into())
    }),
    ("rename from", |world, path| {
        let (old, new) = (world.root(), world.root());
        world.wasi.rename_at(old, path.into(), new, "new".into())
    }),
    ("rename to", |world, path| {
        let (old, new) = (world.root(), world.root());
        world.wasi.rename_at(old, "inner".into(), new, path.into())
    }),
    ("make a link", |world, path| {
        world
            .wasi
            .symlink_at(world.root(), "inner".into(), path.into())
    }),
];

impl World {
    fn open_with(
        &mut self,
        path: &str,
        open: OpenFlags,
        flags: DescriptorFlags,
    ) -> Result<(), FsError> {
        let root = self.root();
        self.wasi
            .open_at(root, FOLLOW, path.into(), open, flags)
            .map(drop)
    }
}

/// All combinations of permissions.
fn all_perms() -> impl Iterator<Item = (DirPerms, FilePerms)> {
    (0..16).map(|bits: u8| {
        (
            DirPerms::from_bits_truncate(bits),
            FilePerms::from_bits_truncate(bits >> 2),
        )
    })
}
