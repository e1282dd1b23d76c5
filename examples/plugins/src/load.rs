//! Finds the plug-ins of a folder: compiles those that are new, and maps them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cwasm::{Component, Engine, Error, Result};

/// All plug-ins of a folder by name: `NAME.wasm`, whose artifact is kept beside it as `NAME.cwasm`,
/// or only the latter. One that cannot be loaded is an error in its place.
pub fn components(
    engine: &Engine,
    folder: &Path,
) -> Result<impl Iterator<Item = (String, Result<Component>)>> {
    let failed = |error| Error::new(error).context(format!("read `{}`", folder.display()));
    let mut paths = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "wasm" || extension == "cwasm")
        {
            paths.insert(path.with_extension(""));
        }
    }
    Ok(paths.into_iter().map(|path: PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let component = component(engine, &path.with_extension("wasm"));
        (name.into_owned(), component)
    }))
}

/// Maps the artifact of a component, which is compiled if it is not there, is older, or is of
/// another version of cwasm.
fn component(engine: &Engine, wasm: &Path) -> Result<Component> {
    let artifact = wasm.with_extension("cwasm");
    if is_outdated(&artifact, wasm) {
        compile(wasm, &artifact)?;
    }
    match map(engine, &artifact) {
        Err(error) if error.format_error().is_some() && wasm.exists() => {
            compile(wasm, &artifact)?;
            map(engine, &artifact)
        }
        result => result,
    }
}

fn map(engine: &Engine, artifact: &Path) -> Result<Component> {
    // SAFETY: this host made the artifact, or whoever may write to the folder of its plug-ins: the
    // folder must be as safe as the host's own binary. It is replaced by renaming only.
    unsafe { Component::map(engine, artifact) }
}

/// Whether an artifact is missing, or older than what it is made of.
fn is_outdated(artifact: &Path, wasm: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
    match (modified(artifact), modified(wasm)) {
        (Some(artifact), Some(wasm)) => artifact < wasm,
        (artifact, _) => artifact.is_none(),
    }
}

/// Compiles a component to where its artifact is kept.
#[cfg(feature = "compile")]
fn compile(wasm: &Path, artifact: &Path) -> Result<()> {
    let options = cwasm_compiler::Options {
        // So that a deadline can stop it.
        interruptible: true,
        ..Default::default()
    };
    let bytes = std::fs::read(wasm).map_err(Error::new)?;
    let output = cwasm_compiler::compile(&bytes, &options).map_err(Error::new)?;
    cwasm_compiler::write_file(artifact, &output.bytes).map_err(Error::new)
}

#[cfg(not(feature = "compile"))]
fn compile(_: &Path, artifact: &Path) -> Result<()> {
    Err(Error::msg(format!(
        "`{}` is missing or out of date, and this host has no compiler",
        artifact.display()
    )))
}
