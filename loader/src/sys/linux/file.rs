//! Files to map.

use std::fs::File;
use std::io::{self, Write};

use rustix::fs::MemfdFlags;

/// A file in memory that holds `bytes`.
pub(crate) fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("cwasm", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}
