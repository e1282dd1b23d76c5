//! The files of a path.

use std::io;
use std::path::{Path, PathBuf};

/// The file at `path`, or if that is a folder all below it with this extension, sorted.
///
/// # Errors
/// If something cannot be read, or there is no such file at all.
pub(crate) fn files(path: &Path, extension: &str) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    collect(path, extension, &mut files).map_err(|error| format!("{}: {error}", path.display()))?;
    if files.is_empty() {
        return Err(format!("{}: no .{extension} files there", path.display()));
    }
    files.sort();
    Ok(files)
}

fn collect(path: &Path, extension: &str, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() || path.extension().is_some_and(|found| found == extension) {
            collect(&path, extension, files)?;
        }
    }
    Ok(())
}
