//! Folders that programs are given: each gets a fresh one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// What is in a folder at first.
#[derive(Clone, Debug)]
pub(super) enum Folder {
    /// These files: paths and contents.
    Files(Vec<(&'static str, &'static str)>),
    /// What is in this folder.
    CopyOf(PathBuf),
}

impl Folder {
    /// A new folder with that in it.
    pub(super) fn copy(&self) -> io::Result<TempDir> {
        let copy = TempDir::new()?;
        match self {
            Folder::Files(files) => {
                for (name, contents) in files {
                    let path = copy.path().join(name);
                    let parent = path.parent().unwrap_or(copy.path());
                    fs::create_dir_all(parent)?;
                    fs::write(path, contents)?;
                }
            }
            Folder::CopyOf(folder) => copy_into(folder, copy.path())?,
        }
        Ok(copy)
    }
}

/// Copies the contents of a folder, but `*.cleanup`: what earlier runs have left.
fn copy_into(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.extension().is_some_and(|end| end == "cleanup") {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::create_dir(&copy)?;
            copy_into(&path, &copy)?;
        } else {
            // The contents only: the original may be read-only.
            fs::write(copy, fs::read(path)?)?;
        }
    }
    Ok(())
}
