//! Types, sizes, times and identities of files.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use cap_std::fs::{Metadata, MetadataExt as _};
use rustix::fs::FileType;

use crate::bindings::wasi::clocks::wall_clock::Datetime;
use crate::bindings::wasi::filesystem::types::{DescriptorStat, DescriptorType, MetadataHashValue};

/// The type of a file, whatever a version of WASI calls it.
pub(crate) fn kind_of(metadata: &Metadata) -> FileType {
    FileType::from_raw_mode(metadata.mode())
}

pub(super) fn type_of(kind: FileType) -> DescriptorType {
    match kind {
        FileType::Directory => DescriptorType::Directory,
        FileType::Symlink => DescriptorType::SymbolicLink,
        FileType::RegularFile => DescriptorType::RegularFile,
        FileType::BlockDevice => DescriptorType::BlockDevice,
        FileType::CharacterDevice => DescriptorType::CharacterDevice,
        FileType::Fifo => DescriptorType::Fifo,
        FileType::Socket => DescriptorType::Socket,
        FileType::Unknown => DescriptorType::Unknown,
    }
}

pub(super) fn stat_of(metadata: &Metadata) -> DescriptorStat {
    DescriptorStat {
        r#type: type_of(kind_of(metadata)),
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
pub(crate) fn hash_of(metadata: &Metadata) -> MetadataHashValue {
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
