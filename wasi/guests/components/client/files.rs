//! Files, by descriptors.

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};

use components::print;

use crate::Error;

/// The folder that the program was given for a path, and the path in it.
pub fn find(path: &str) -> Result<(Descriptor, String), ErrorCode> {
    let found = get_directories().into_iter().filter_map(|(folder, name)| {
        let rest = path.strip_prefix(name.trim_end_matches('/'))?;
        let is_whole = rest.is_empty() || rest.starts_with('/');
        is_whole.then(|| (folder, rest.trim_start_matches('/').to_owned()))
    });
    let (folder, rest) = found.min_by_key(|(_, rest)| rest.len()).ok_or(ErrorCode::NoEntry)?;
    Ok((folder, if rest.is_empty() { ".".to_owned() } else { rest }))
}

pub fn open(path: &str) -> Result<Descriptor, ErrorCode> {
    let (folder, path) = find(path)?;
    let flags = PathFlags::SYMLINK_FOLLOW;
    folder.open_at(flags, &path, OpenFlags::empty(), DescriptorFlags::READ)
}

/// Sets the times of what is at a path, a link itself, to the time 1.000000002.
pub fn touch(path: &str) -> Result<(), Error> {
    let (folder, path) = find(path)?;
    let time = wasip2::clocks::wall_clock::Datetime { seconds: 1, nanoseconds: 2 };
    let time = NewTimestamp::Timestamp(time);
    folder.set_times_at(PathFlags::empty(), &path, time, time)?;
    Ok(())
}

/// Has so many files of a folder open at a time, and reads back what it has written to each.
pub fn open_many(folder: &str, count: usize) -> Result<(), Error> {
    let (folder, rest) = find(folder)?;
    let mut files = Vec::new();
    let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
    for index in 0..count {
        let path = format!("{rest}/{index}");
        match folder.open_at(PathFlags::empty(), &path, OpenFlags::CREATE, flags) {
            Ok(file) => files.push(file),
            Err(error) => {
                let name = error.name();
                return Err(format!("the file after {} others: {name}", files.len()).into());
            }
        }
    }
    for (index, file) in files.iter().enumerate() {
        let text = format!("the file {index}");
        if file.write(text.as_bytes(), 0)? != text.len() as u64 {
            return Err(format!("{index}: not all is written").into());
        }
    }
    for (index, file) in files.iter().enumerate() {
        let (bytes, _) = file.read(100, 0)?;
        if bytes != format!("the file {index}").as_bytes() {
            return Err(format!("{index}: found {bytes:?}").into());
        }
    }
    print(&format!("{} files\n", files.len()))?;
    Ok(())
}
