//! Writes a file so that nobody ever sees half of it.

use std::io::Write as _;
use std::path::Path;

use crate::error::{Error, Result};

/// Writes `bytes` to `path`: to a temporary file in the same folder, which is synced and then
/// renamed. A mapped artifact is never changed in place, and whoever is killed half-way leaves the
/// old file or none.
///
/// # Errors
/// If the file cannot be created, written or renamed; the action that failed is named.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let fail = |error| Error::io(format!("write `{}`", path.display()), error);
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".cwasm-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // As any compiler's output: what the umask leaves of this.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(fail)?;
    file.write_all(bytes).map_err(fail)?;
    file.as_file().sync_all().map_err(fail)?;
    file.persist(path).map_err(|error| fail(error.error))?;
    Ok(())
}
