//! Setting the times of files.

use std::os::fd::{AsFd, AsRawFd as _};

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt as _};
use cap_std::fs::{File, OpenOptions, OpenOptionsExt as _};
use rustix::fs::{AtFlags, CWD, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};
use rustix::io::Errno;

use super::FilePerms;
use super::descriptor::OpenDir;
use super::error::{FsError, FsResult};
use super::paths::{follows, names_folder};
use crate::bindings::wasi::filesystem::types::{ErrorCode, PathFlags};

/// What a time is set to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NewTime {
    NoChange,
    Now,
    /// A time since 1970, or before it.
    At {
        seconds: i64,
        nanoseconds: u32,
    },
}

/// Times of access and modification.
///
/// # Errors
/// [`ErrorCode::Invalid`] for a time with a second of nanoseconds or more.
pub(crate) fn timestamps(access: NewTime, change: NewTime) -> FsResult<Timestamps> {
    Ok(Timestamps {
        last_access: timespec(access)?,
        last_modification: timespec(change)?,
    })
}

fn timespec(time: NewTime) -> FsResult<Timespec> {
    let (tv_sec, tv_nsec) = match time {
        NewTime::NoChange => (0, UTIME_OMIT),
        NewTime::Now => (0, UTIME_NOW),
        NewTime::At {
            seconds,
            nanoseconds: nanoseconds @ 0..1_000_000_000,
        } => (seconds, i64::from(nanoseconds)),
        NewTime::At { .. } => return Err(ErrorCode::Invalid.into()),
    };
    Ok(Timespec { tv_sec, tv_nsec })
}

/// Sets the times of what is at a path, in a folder whose names may be changed. What is there is
/// found once: whether its times may be set is decided for the file whose times are.
pub(super) fn set_times_at(
    dir: &OpenDir,
    path_flags: PathFlags,
    path: &str,
    times: &Timestamps,
) -> Result<(), FsError> {
    if names_folder(path) {
        // Where there is no `openat2`, `cap-std` opens such a path in this way only.
        return set_times(&dir.dir.open_dir(path)?, times);
    }
    let found = find(dir, path_flags, path)?;
    if !dir.perms.files.contains(FilePerms::WRITE) && !found.metadata()?.is_dir() {
        return Err(ErrorCode::NotPermitted.into());
    }
    set_times(&found, times)
}

/// What is at a path, without the access that reading and writing need.
fn find(dir: &OpenDir, path_flags: PathFlags, path: &str) -> Result<File, FsError> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(OFlags::PATH.bits() as i32)
        .follow(match follows(path_flags, path) {
            true => FollowSymlinks::Yes,
            false => FollowSymlinks::No,
        });
    Ok(dir.dir.open_with(path, &options)?)
}

/// Sets the times of a file that was found.
fn set_times(found: impl AsFd, times: &Timestamps) -> Result<(), FsError> {
    let found = found.as_fd();
    match utimensat(found, "", times, AtFlags::EMPTY_PATH) {
        // Before Linux 5.8. This link leads to the file itself, also if that is a link.
        Err(Errno::INVAL | Errno::NOENT) => {
            let path = format!("/proc/self/fd/{}", found.as_raw_fd());
            Ok(utimensat(CWD, path, times, AtFlags::empty())?)
        }
        result => Ok(result?),
    }
}
