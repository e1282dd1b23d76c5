//! One of the two that are compared, with its artifacts.

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Error, Result, anyhow, ensure};
use object::{Object as _, ObjectSection as _};
use tempfile::TempDir;

use crate::guests::Guest;
use crate::rows::Quantity;
use crate::runtime::{Mode, Runtime};

/// One side. Artifacts are compiled when a row first needs them, into a folder that goes with it.
pub(crate) struct Side<R> {
    pub(crate) runtime: R,
    folder: TempDir,
}

impl<R: Runtime> Side<R> {
    pub(crate) fn new(mode: Mode) -> Result<Side<R>> {
        let runtime = R::new(mode).map_err(failed::<R>)?;
        let folder = tempfile::tempdir().context("cannot make a folder for artifacts")?;
        Ok(Side { runtime, folder })
    }

    /// Where artifacts are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The guest's artifact, compiled if it is not there yet.
    pub(crate) fn artifact(&self, guest: Guest) -> Result<PathBuf> {
        let path = self.folder.path().join(guest.name());
        if path.exists() {
            return Ok(path);
        }
        let bytes = self
            .runtime
            .compile(&guest.wasm()?, None)
            .map_err(failed::<R>)?;
        let code = code_size(&bytes)?;
        let wanted = guest.least_code_size();
        ensure!(
            code >= wanted,
            "{}: {code} bytes of code, wanted {wanted}",
            R::NAME
        );
        if guest == Guest::Large {
            let (code, artifact) = (
                Quantity::Bytes.show(code as f64),
                Quantity::Bytes.show(bytes.len() as f64),
            );
            eprintln!(
                "the large component: {code} of machine code in {artifact} ({})",
                R::NAME
            );
        }
        fs::write(&path, bytes).with_context(|| format!("cannot write `{}`", path.display()))?;
        if let Some((seed, expected)) = guest.run_case() {
            let answer = self.runtime.run(&path, seed).map_err(failed::<R>)?;
            check::<R, _>("run", answer, expected)?;
        }
        Ok(path)
    }

    /// An instance of the bench's guest.
    pub(crate) fn guest(&self) -> Result<R::Instance> {
        self.runtime
            .guest(&self.artifact(Guest::Bench)?)
            .map_err(failed::<R>)
    }
}

/// How much machine code is in an artifact: both sides' are ELF files.
fn code_size(artifact: &[u8]) -> Result<u64> {
    let file = object::File::parse(artifact)?;
    let text = file
        .section_by_name(".text")
        .context("an artifact has no `.text`")?;
    Ok(text.size())
}

/// The error of a side, with its name.
#[cold]
pub(crate) fn failed<R: Runtime>(error: R::Error) -> Error {
    error.into().context(R::NAME)
}

#[inline(always)]
pub(crate) fn check<R: Runtime, T: PartialEq + Debug>(
    function: &str,
    found: T,
    expected: T,
) -> Result<()> {
    if found == expected {
        Ok(())
    } else {
        Err(wrong::<R>(function, &found, &expected))
    }
}

#[cold]
fn wrong<R: Runtime>(function: &str, found: &dyn Debug, expected: &dyn Debug) -> Error {
    anyhow!(
        "{}: `{function}` answered {found:?}, expected {expected:?}",
        R::NAME
    )
}
