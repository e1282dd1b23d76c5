//! Opening what is at a path.

use std::sync::Arc;

use cap_fs_ext::{
    FollowSymlinks, OpenOptionsFollowExt as _, OpenOptionsMaybeDirExt as _, OpenOptionsSyncExt as _,
};
use cap_std::fs::{Dir, File, OpenOptions};

use super::descriptor::{Descriptor, Kind, OpenDir, OpenFile};
use super::error::{FsError, code_of};
use super::{DirPerms, FilePerms};
use crate::bindings::wasi::filesystem::types::{DescriptorFlags, ErrorCode, OpenFlags, PathFlags};
use crate::open_files::Place;

/// Opens what is at a path.
pub(super) fn open(
    dir: &OpenDir,
    path_flags: PathFlags,
    path: &str,
    open_flags: OpenFlags,
    flags: DescriptorFlags,
    place: Place,
) -> Result<Descriptor, FsError> {
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
    if is_unreadable && (creates || truncates) {
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
        .follow(match path_flags.contains(PathFlags::SYMLINK_FOLLOW) {
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
    let opened = dir.dir.open_with(path, &options);
    let opened = opened.map_err(|error| match code_of(&error) {
        // What `cap-std` says where there is no `openat2`.
        ErrorCode::Invalid if creates && path.ends_with('/') => ErrorCode::IsDirectory,
        code => code,
    })?;
    let is_dir = opened.metadata()?.is_dir();
    match (is_dir, wants_dir) {
        (true, _) => Ok(opened_dir(dir, opened, flags, place)),
        (false, true) => Err(ErrorCode::NotDirectory.into()),
        (false, false) if is_unreadable => Err(ErrorCode::NotPermitted.into()),
        (false, false) => Ok(opened_file(dir, opened, flags, place)),
    }
}

fn opened_dir(dir: &OpenDir, opened: File, flags: DescriptorFlags, place: Place) -> Descriptor {
    Descriptor(Kind::Dir(OpenDir {
        dir: Arc::new(place.of(Dir::from_std_file(opened.into_std()))),
        perms: dir.perms,
        flags,
    }))
}

fn opened_file(dir: &OpenDir, opened: File, flags: DescriptorFlags, place: Place) -> Descriptor {
    let mut perms = FilePerms::empty();
    perms.set(FilePerms::READ, flags.contains(DescriptorFlags::READ));
    perms.set(FilePerms::WRITE, flags.contains(DescriptorFlags::WRITE));
    Descriptor(Kind::File(OpenFile {
        file: Arc::new(place.of(opened)),
        perms: perms & dir.perms.files,
        allowed: dir.perms.files,
        flags,
    }))
}
