//! Files to map.

use std::fs::File;
use std::io::{self, Write};

use rustix::fs::{MemfdFlags, StatVfsMountFlags};

/// A file in memory that holds `bytes`.
pub(crate) fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("cwasm", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

/// Whether the file lies on a file system whose files must not be executed.
pub(crate) fn is_on_noexec(file: &File) -> bool {
    let found = rustix::fs::fstatvfs(file);
    found.is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::NOEXEC))
}
