//! Programs of the WASI test suite: `NAME.json` beside `NAME.wasm` says what it is given and what
//! must come out.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;

use super::case::{Command, How};
use super::folder::Folder;

/// A file `NAME.json`; one that is not there is the default. Output that is not mentioned is not
/// compared: `poll_oneoff_stdio` has no such file, and prints what it found.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// A folder beside the file.
    root: Option<String>,
    #[serde(default)]
    exit_code: u8,
    stdout: Option<String>,
    stderr: Option<String>,
    /// The form of WASI 0.3.
    proposals: Option<Vec<String>>,
    operations: Option<Vec<serde_json::Value>>,
}

/// How a program is run.
///
/// # Errors
/// If its file cannot be understood.
pub(super) fn how(file: &Path) -> Result<How, String> {
    let json = file.with_extension("json");
    let name = json.display();
    let found = match std::fs::read(&json) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| format!("{name}: {error}"))?,
        Err(error) if error.kind() == ErrorKind::NotFound => Expectation::default(),
        Err(error) => return Err(format!("{name}: {error}")),
    };
    if found.operations.is_some() || found.proposals.is_some() {
        return Ok(How::Not("`operations` are not known".to_owned()));
    }
    let program = file.file_name().unwrap_or_default().to_string_lossy();
    let folder = found
        .root
        .map(|root| Folder::CopyOf(file.with_file_name(root)));
    Ok(How::Command(Box::new(Command {
        args: [program.into_owned()]
            .into_iter()
            .chain(found.args)
            .collect(),
        env: found.env.into_iter().collect(),
        folder,
        exit_code: found.exit_code,
        stdout: found.stdout.map(String::into_bytes),
        stderr: found.stderr.map(String::into_bytes),
        ..Command::default()
    })))
}
