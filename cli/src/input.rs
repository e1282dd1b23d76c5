//! Reading the files that commands are given.

use std::path::Path;

use cwasm::{Error, Result};

/// What a file is, as far as its first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// An ELF file: only an artifact makes sense.
    Elf,
    /// WebAssembly, binary or text; or rubbish.
    Wasm,
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| Error::from(error).context(format!("cannot read `{}`", path.display())))
}

/// What `bytes` are.
pub(crate) fn kind(bytes: &[u8]) -> FileKind {
    if bytes.starts_with(b"\x7fELF") {
        FileKind::Elf
    } else {
        FileKind::Wasm
    }
}
