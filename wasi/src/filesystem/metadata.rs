//! Types, sizes, times and identities of files.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cap_fs_ext::SystemTimeSpec;
use cap_std::fs::{FileType, FileTypeExt as _, Metadata, MetadataExt as _};
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use super::error::FsError;
use crate::bindings::wasi::clocks::wall_clock::Datetime;
use crate::bindings::wasi::filesystem::types::{
    DescriptorStat, DescriptorType, ErrorCode, MetadataHashValue, NewTimestamp,
};

pub(super) fn type_of(ty: FileType) -> DescriptorType {
    if ty.is_dir() {
        DescriptorType::Directory
    } else if ty.is_symlink() {
        DescriptorType::SymbolicLink
    } else if ty.is_file() {
        DescriptorType::RegularFile
    } else if ty.is_block_device() {
        DescriptorType::BlockDevice
    } else if ty.is_char_device() {
        DescriptorType::CharacterDevice
    } else if ty.is_fifo() {
        DescriptorType::Fifo
    } else if ty.is_socket() {
        DescriptorType::Socket
    } else {
        DescriptorType::Unknown
    }
}

pub(super) fn stat_of(metadata: &Metadata) -> DescriptorStat {
    DescriptorStat {
        r#type: type_of(metadata.file_type()),
        link_count: cap_fs_ext::MetadataExt::nlink(metadata),
        size: metadata.len(),
        data_access_timestamp: datetime(metadata.atime(), metadata.atime_nsec()),
        data_modification_timestamp: datetime(metadata.mtime(), metadata.mtime_nsec()),
        status_change_timestamp: datetime(metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// A date after 1970; `None` before.
fn datetime(seconds: i64, nanoseconds: i64) -> Option<Datetime> {
    Some(Datetime {
        seconds: u64::try_from(seconds).ok()?,
        nanoseconds: u32::try_from(nanoseconds).ok()?,
    })
}

/// Which object a file is: the same for all ways to it.
pub(super) fn hash_of(metadata: &Metadata) -> MetadataHashValue {
    let id = (
        cap_fs_ext::MetadataExt::dev(metadata),
        cap_fs_ext::MetadataExt::ino(metadata),
    );
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, id).hash(&mut hasher);
        hasher.finish()
    };
    MetadataHashValue {
        lower: half(0),
        upper: half(1),
    }
}

/// Times of access and modification for an open file.
///
/// # Errors
/// [`ErrorCode::Overflow`] or [`ErrorCode::Invalid`] for a time that the system cannot express.
pub(super) fn timestamps(
    access: NewTimestamp,
    change: NewTimestamp,
) -> Result<Timestamps, FsError> {
    Ok(Timestamps {
        last_access: timespec(access)?,
        last_modification: timespec(change)?,
    })
}

fn timespec(time: NewTimestamp) -> Result<Timespec, FsError> {
    let mut spec = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    match time {
        NewTimestamp::NoChange => spec.tv_nsec = UTIME_OMIT,
        NewTimestamp::Now => spec.tv_nsec = UTIME_NOW,
        NewTimestamp::Timestamp(time) => {
            check(time)?;
            spec.tv_sec = i64::try_from(time.seconds).map_err(|_| ErrorCode::Overflow)?;
            spec.tv_nsec = i64::from(time.nanoseconds);
        }
    }
    Ok(spec)
}

/// The same for a file that is found by its path.
pub(super) fn time_spec(time: NewTimestamp) -> Result<Option<SystemTimeSpec>, FsError> {
    Ok(match time {
        NewTimestamp::NoChange => None,
        NewTimestamp::Now => Some(SystemTimeSpec::SymbolicNow),
        NewTimestamp::Timestamp(time) => {
            check(time)?;
            let time = UNIX_EPOCH.checked_add(Duration::new(time.seconds, time.nanoseconds));
            let time: SystemTime = time.ok_or(ErrorCode::Overflow)?;
            Some(SystemTimeSpec::Absolute(
                cap_std::time::SystemTime::from_std(time),
            ))
        }
    })
}

fn check(time: Datetime) -> Result<(), FsError> {
    match time.nanoseconds {
        0..1_000_000_000 => Ok(()),
        _ => Err(ErrorCode::Invalid.into()),
    }
}
