//! The programs of a path.

use std::path::Path;

use super::case::{Case, How};
use super::{components, testsuite};
use crate::walk::files;

/// The folder of the WASI test suite with core modules.
const MODULES: &str = "wasm32-wasip1";

/// Its folder with components of WASI 0.3.
const COMPONENTS: &str = "wasm32-wasip3";

/// The program at `path`, or all below it if it is a folder, sorted by path. In folders
/// `wasm32-wasip1` and `wasm32-wasip3` programs are as the WASI test suite has them, others are
/// components that are known by their names.
///
/// # Errors
/// If something cannot be read, or there is no program at all.
pub fn of_path(path: &Path) -> Result<Vec<Case>, String> {
    let cases = files(path, "wasm")?.into_iter().map(|file| {
        let absolute = std::path::absolute(&file).unwrap_or_else(|_| file.clone());
        let is_in = |known: &str| absolute.components().any(|part| part.as_os_str() == known);
        let how = match () {
            () if is_in(MODULES) => testsuite::how(&file, false),
            () if is_in(COMPONENTS) => testsuite::how(&file, true),
            () => components::how(&file),
        };
        let how = how.unwrap_or_else(How::Not);
        Case { file, how }
    });
    Ok(cases.collect())
}
