//! What 0.3 writes differently from 0.2: types, times, errors.

use cap_std::fs::{Metadata, MetadataExt as _};
use rustix::fs::FileType;

use crate::bindings::wasi::filesystem::types::ErrorCode as Code;
use crate::filesystem::{NewTime, kind_of};
use crate::p3::bindings::wasi::clocks::system_clock::Instant;
use crate::p3::bindings::wasi::filesystem::types::{
    DescriptorStat, DescriptorType, ErrorCode, NewTimestamp,
};

pub(super) fn descriptor_type(kind: FileType) -> DescriptorType {
    match kind {
        FileType::Directory => DescriptorType::Directory,
        FileType::Symlink => DescriptorType::SymbolicLink,
        FileType::RegularFile => DescriptorType::RegularFile,
        FileType::BlockDevice => DescriptorType::BlockDevice,
        FileType::CharacterDevice => DescriptorType::CharacterDevice,
        FileType::Fifo => DescriptorType::Fifo,
        FileType::Socket => DescriptorType::Socket,
        FileType::Unknown => DescriptorType::Other(None),
    }
}

pub(super) fn stat(metadata: &Metadata) -> DescriptorStat {
    DescriptorStat {
        r#type: descriptor_type(kind_of(metadata)),
        link_count: cap_fs_ext::MetadataExt::nlink(metadata),
        size: metadata.len(),
        data_access_timestamp: instant(metadata.atime(), metadata.atime_nsec()),
        data_modification_timestamp: instant(metadata.mtime(), metadata.mtime_nsec()),
        status_change_timestamp: instant(metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// A time, before 1970 as well.
fn instant(seconds: i64, nanoseconds: i64) -> Option<Instant> {
    Some(Instant {
        seconds,
        nanoseconds: u32::try_from(nanoseconds).ok()?,
    })
}

pub(super) fn new_time(time: NewTimestamp) -> NewTime {
    match time {
        NewTimestamp::NoChange => NewTime::NoChange,
        NewTimestamp::Now => NewTime::Now,
        NewTimestamp::Timestamp(time) => NewTime::At {
            seconds: time.seconds,
            nanoseconds: time.nanoseconds,
        },
    }
}

/// The code of 0.3 for one of 0.2.
pub(super) fn code(code: Code) -> ErrorCode {
    match code {
        Code::Access => ErrorCode::Access,
        Code::WouldBlock => ErrorCode::Other(Some("it would block".to_owned())),
        Code::Already => ErrorCode::Already,
        Code::BadDescriptor => ErrorCode::BadDescriptor,
        Code::Busy => ErrorCode::Busy,
        Code::Deadlock => ErrorCode::Deadlock,
        Code::Quota => ErrorCode::Quota,
        Code::Exist => ErrorCode::Exist,
        Code::FileTooLarge => ErrorCode::FileTooLarge,
        Code::IllegalByteSequence => ErrorCode::IllegalByteSequence,
        Code::InProgress => ErrorCode::InProgress,
        Code::Interrupted => ErrorCode::Interrupted,
        Code::Invalid => ErrorCode::Invalid,
        Code::Io => ErrorCode::Io,
        Code::IsDirectory => ErrorCode::IsDirectory,
        Code::Loop => ErrorCode::Loop,
        Code::TooManyLinks => ErrorCode::TooManyLinks,
        Code::MessageSize => ErrorCode::MessageSize,
        Code::NameTooLong => ErrorCode::NameTooLong,
        Code::NoDevice => ErrorCode::NoDevice,
        Code::NoEntry => ErrorCode::NoEntry,
        Code::NoLock => ErrorCode::NoLock,
        Code::InsufficientMemory => ErrorCode::InsufficientMemory,
        Code::InsufficientSpace => ErrorCode::InsufficientSpace,
        Code::NotDirectory => ErrorCode::NotDirectory,
        Code::NotEmpty => ErrorCode::NotEmpty,
        Code::NotRecoverable => ErrorCode::NotRecoverable,
        Code::Unsupported => ErrorCode::Unsupported,
        Code::NoTty => ErrorCode::NoTty,
        Code::NoSuchDevice => ErrorCode::NoSuchDevice,
        Code::Overflow => ErrorCode::Overflow,
        Code::NotPermitted => ErrorCode::NotPermitted,
        Code::Pipe => ErrorCode::Pipe,
        Code::ReadOnly => ErrorCode::ReadOnly,
        Code::InvalidSeek => ErrorCode::InvalidSeek,
        Code::TextFileBusy => ErrorCode::TextFileBusy,
        Code::CrossDevice => ErrorCode::CrossDevice,
    }
}
