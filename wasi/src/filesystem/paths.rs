//! Paths: links and slashes at their ends, and moves between folders.

use cap_std::fs::{Dir, Metadata};

use super::descriptor::OpenDir;
use super::error::FsError;
use crate::bindings::wasi::filesystem::types::{ErrorCode, PathFlags};

/// Whether a slash at the end of a path, or a dot after it, says that there is a folder.
pub(super) fn names_folder(path: &str) -> bool {
    path.ends_with('/') || path.ends_with("/.")
}

/// Whether a link at the end of a path is followed.
pub(super) fn follows(flags: PathFlags, path: &str) -> bool {
    flags.contains(PathFlags::SYMLINK_FOLLOW) || names_folder(path)
}

/// A path without the slashes at its end; all of it, if it has nothing else.
pub(super) fn without_slashes(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => path,
        path => path,
    }
}

pub(super) fn metadata_at(dir: &Dir, flags: PathFlags, path: &str) -> Result<Metadata, FsError> {
    Ok(match follows(flags, path) {
        true => dir.metadata(path)?,
        false => dir.symlink_metadata(path)?,
    })
}

/// Renames what is at a path: only a folder gets a name with a slash at its end.
pub(super) fn rename(old: &Dir, old_path: &str, new: &Dir, new_path: &str) -> Result<(), FsError> {
    let path = without_slashes(new_path);
    if path != new_path && !old.symlink_metadata(old_path)?.is_dir() {
        return Err(ErrorCode::NotDirectory.into());
    }
    Ok(old.rename(old_path, new, path)?)
}

/// Checks that a file gets no more permissions by a name in another folder.
pub(super) fn check_move(old: &OpenDir, new: &OpenDir) -> Result<(), FsError> {
    match old.perms.contains(new.perms) {
        true => Ok(()),
        false => Err(ErrorCode::NotPermitted.into()),
    }
}
