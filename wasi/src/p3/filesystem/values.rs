//! What 0.3 writes differently from 0.2: types, times, errors.

use cap_std::fs::{FileType, FileTypeExt as _, Metadata, MetadataExt as _};

use crate::bindings::wasi::filesystem::types::ErrorCode as Code;
use crate::filesystem::NewTime;
use crate::p3::bindings::wasi::clocks::system_clock::Instant;
use crate::p3::bindings::wasi::filesystem::types::{
    DescriptorStat, DescriptorType, ErrorCode, NewTimestamp,
};

pub(super) fn descriptor_type(ty: FileType) -> DescriptorType {
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
        DescriptorType::Other(None)
    }
}

/// The type of a folder's entry.
pub(super) fn entry_type(ty: rustix::fs::FileType) -> DescriptorType {
    match ty {
        rustix::fs::FileType::Directory => DescriptorType::Directory,
        rustix::fs::FileType::Symlink => DescriptorType::SymbolicLink,
        rustix::fs::FileType::RegularFile => DescriptorType::RegularFile,
        rustix::fs::FileType::BlockDevice => DescriptorType::BlockDevice,
        rustix::fs::FileType::CharacterDevice => DescriptorType::CharacterDevice,
        rustix::fs::FileType::Fifo => DescriptorType::Fifo,
        rustix::fs::FileType::Socket => DescriptorType::Socket,
        rustix::fs::FileType::Unknown => DescriptorType::Other(None),
    }
}

pub(super) fn stat(metadata: &Metadata) -> DescriptorStat {
    DescriptorStat {
        r#type: descriptor_type(metadata.file_type()),
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
