//! Files to map.

use std::fs::File;
use std::io::{self, Write};

use rustix::fs::{MemfdFlags, StatVfsMountFlags};

/// A file in memory that holds `bytes`, which can be [sealed](seal).
pub(crate) fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create(
        "cwasm",
        MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
    )?);
    file.write_all(bytes)?;
    Ok(file)
}

/// Seals a file in memory: nobody can change it from now on, whoever has a descriptor of it.
#[cfg(feature = "verify")]
pub(crate) fn seal(file: &File) -> io::Result<()> {
    use rustix::fs::SealFlags;
    let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    Ok(rustix::fs::fcntl_add_seals(file, all)?)
}

/// Whether the file lies on a file system whose files must not be executed.
pub(crate) fn is_on_noexec(file: &File) -> bool {
    let found = rustix::fs::fstatvfs(file);
    found.is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::NOEXEC))
}
