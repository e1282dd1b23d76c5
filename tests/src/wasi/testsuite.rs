//! Programs of the WASI test suite: `NAME.json` beside `NAME.wasm` says what it is given and what
//! must come out.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;

use super::case::{Command, How};
use super::folder::Folder;
use super::operations::{End, Operation, Pipe, Piped, Plan, Proposal, Server, Start, World};

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
    #[serde(default)]
    proposals: Vec<Proposal>,
    #[serde(default)]
    world: World,
    #[serde(default)]
    servers: Vec<Server>,
    operations: Option<Vec<Operation>>,
}

/// How a program is run: by a command, if its file lists operations, or if all are run so.
///
/// # Errors
/// If its file cannot be understood.
pub(super) fn how(file: &Path, by_command: bool) -> Result<How, String> {
    let json = file.with_extension("json");
    let name = json.display();
    let found = match std::fs::read(&json) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| format!("{name}: {error}"))?,
        Err(error) if error.kind() == ErrorKind::NotFound => Expectation::default(),
        Err(error) => return Err(format!("{name}: {error}")),
    };
    if by_command || found.operations.is_some() {
        return Ok(How::Operations(Box::new(found.plan())));
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

impl Expectation {
    /// What is done with the program; the older form is one of operations, too.
    fn plan(self) -> Plan {
        let operations = self.operations.unwrap_or_else(|| {
            let start = Operation::Run(Start {
                args: self.args,
                env: self.env,
                root: self.root.map(Into::into),
            });
            let outputs = [(Pipe::Stdout, self.stdout), (Pipe::Stderr, self.stderr)];
            let outputs = outputs.into_iter();
            let outputs = outputs.filter_map(|(id, payload)| {
                let payload = payload?;
                Some(Operation::Read(Piped { id, payload }))
            });
            let end = Operation::Wait(End {
                exit_code: self.exit_code.into(),
            });
            [start].into_iter().chain(outputs).chain([end]).collect()
        });
        Plan {
            proposals: self.proposals,
            world: self.world,
            servers: self.servers,
            operations,
        }
    }
}
