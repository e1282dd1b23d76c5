//! Reading the files that commands are given.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use cwasm::{Error, Result};

/// The first bytes of an ELF file, which can only be meant as an artifact.
const ELF: [u8; 4] = *b"\x7fELF";

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| cannot_read(path, error))
}

/// Reads a component or core module, binary or text. Anything but an artifact may be one.
pub(crate) fn read_wasm(path: &Path) -> Result<Vec<u8>> {
    let bytes = read(path)?;
    if bytes.starts_with(&ELF) {
        let message = "found an ELF file (an artifact?), expected WebAssembly";
        return Err(cannot_compile(path, Error::msg(message)));
    }
    Ok(bytes)
}

/// Whether a file starts as an artifact does.
pub(crate) fn is_artifact(path: &Path) -> Result<bool> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(|error| cannot_read(path, error))?;
    let read = file.take(ELF.len() as u64).read_to_end(&mut start);
    read.map_err(|error| cannot_read(path, error))?;
    Ok(start == ELF)
}

/// The error of an input that cannot be compiled.
pub(crate) fn cannot_compile(path: &Path, error: impl Into<Error>) -> Error {
    error
        .into()
        .context(format!("cannot compile `{}`", path.display()))
}

fn cannot_read(path: &Path, error: std::io::Error) -> Error {
    Error::from(error).context(format!("cannot read `{}`", path.display()))
}
