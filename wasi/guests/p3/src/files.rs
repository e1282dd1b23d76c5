//! Files of the folders that a command is given.

use wasip3::filesystem::preopens;
use wasip3::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};

/// Opens a file: a path from the root, or in the first folder that there is.
pub async fn open(
    path: &str,
    how: OpenFlags,
    flags: DescriptorFlags,
) -> Result<Descriptor, String> {
    for (folder, name) in preopens::get_directories() {
        let Some(rest) = below(path, &name) else {
            continue;
        };
        let opened = folder.open_at(PathFlags::SYMLINK_FOLLOW, rest.to_owned(), how, flags);
        return opened.await.map_err(|error| format!("{path}: {error}"));
    }
    Err(format!("{path}: in no folder that this program is given"))
}

/// The path as seen from the folder `name`, if it is in it.
fn below<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    let is_relative = !path.starts_with('/');
    match name {
        _ if is_relative => Some(path),
        "/" => path.strip_prefix('/'),
        name => path.strip_prefix(name)?.strip_prefix('/'),
    }
}
