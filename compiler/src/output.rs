//! Writes a file so that nobody ever sees half of it.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use crate::error::{Error, Result};

/// Writes `bytes` to `path`: to a temporary file in the same folder, which is synced and then
/// renamed. A mapped artifact is not changed in place, and a process that is killed half-way leaves
/// the old file or none. If `path` is a symbolic link, the file that it leads to is replaced;
/// anything that is not a regular file, such as a pipe or `/dev/null`, is written to and stays what
/// it is.
///
/// A file that can be written to but not replaced is written in place, without these promises: a
/// mount point, as containers have them, or a file in a folder that the process may not write to.
///
/// # Errors
/// If the file cannot be created, written or renamed; the action that failed is named.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let fail = |error| Error::io(format!("write `{}`", path.display()), error);
    let (path, exists) = &match fs::metadata(path) {
        Ok(found) if !found.is_file() => return fs::write(path, bytes).map_err(fail),
        Ok(_) => (fs::canonicalize(path).map_err(fail)?, true),
        Err(_) => (path.to_path_buf(), false),
    };
    match replace(path, bytes) {
        Err(error) if *exists && keeps_file(&error) => match write_in_place(path, bytes) {
            // The reason why it cannot be replaced says more.
            Err(denied) if denied.kind() == ErrorKind::PermissionDenied => Err(fail(error)),
            written => written.map_err(fail),
        },
        replaced => replaced.map_err(fail),
    }
}

/// Whether the error means that another file cannot take this one's place, although the file itself
/// may be writable.
fn keeps_file(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ResourceBusy | ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied
    )
}

fn write_in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".cwasm-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // The permissions of any compiler's output, which the umask reduces.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{FileTypeExt as _, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn links_lead_to_the_file_that_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        write_file(&file, b"old").unwrap();
        symlink("file", &link).unwrap();
        write_file(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    }

    #[test]
    fn what_is_no_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        // Nobody can write to one by its name.
        let _ = write_file(&socket, b"bytes").unwrap_err();
        assert!(
            fs::symlink_metadata(&socket)
                .unwrap()
                .file_type()
                .is_socket()
        );
        let error = write_file(folder.path(), b"bytes").unwrap_err().to_string();
        assert!(error.contains("directory"), "{error}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }
}
