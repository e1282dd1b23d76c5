//! A program, what it is given and what is expected of it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use cwasm::Component;

use super::folder::Folder;
use super::guest::{self, Found, Setup};
use super::operations::{Plan, Runner};
use super::{components, embedder, http};
use crate::artifact::Workshop;

/// A program of a suite.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file.
    pub file: PathBuf,
    pub(super) how: How,
}

/// How a program is run.
#[derive(Clone, Debug)]
pub(super) enum How {
    /// Once, by its `run`.
    Command(Box<Command>),
    /// By a command, as its operations say.
    Operations(Box<Plan>),
    /// Twice, the output of one is the input of the other.
    Piped,
    /// Its own exports are called.
    Reactor,
    /// It is sent a request.
    Proxy,
    /// Not by this runner.
    Not(String),
}

/// Variables of the environment, and their values.
type Env = Vec<(String, String)>;

/// A program that is run once.
#[derive(Clone, Debug, Default)]
pub(super) struct Command {
    pub(super) args: Vec<String>,
    pub(super) env: Env,
    pub(super) folder: Option<Folder>,
    pub(super) stdin: Vec<u8>,
    pub(super) clocks: bool,
    pub(super) network: components::Network,
    /// Variables with the address of a server of HTTP.
    pub(super) servers: &'static [&'static str],
    pub(super) exit_code: u8,
    /// The expected output; `None`, if any will do.
    pub(super) stdout: Option<Vec<u8>>,
    pub(super) stderr: Option<Vec<u8>>,
    /// The contents of a file of the folder afterwards.
    pub(super) file: Option<(&'static str, &'static str)>,
}

/// The file, and its arguments.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let How::Command(command) = &self.how {
            for arg in command.args.iter().skip(1) {
                write!(f, " {arg}")?;
            }
        }
        Ok(())
    }
}

impl Case {
    /// Runs the program.
    ///
    /// # Errors
    /// What was found, and what was expected.
    pub(super) fn run(&self, workshop: &Workshop, runner: &Runner) -> Result<(), String> {
        let component = || self.component(workshop);
        match &self.how {
            How::Command(command) => command.run(workshop, &component()?),
            How::Operations(plan) => plan.run(runner, &self.file),
            How::Piped => embedder::run_piped(workshop, &component()?),
            How::Reactor => embedder::run_reactor(workshop, &component()?),
            How::Proxy => http::ask(workshop, &component()?),
            How::Not(reason) => Err(reason.clone()),
        }
    }

    /// The component: core modules are wrapped.
    fn component(&self, workshop: &Workshop) -> Result<Component, String> {
        let mut wasm = std::fs::read(&self.file).map_err(|error| format!("found {error}"))?;
        if is_core_module(&wasm) {
            let wrapped = cwasm_compiler::preview1::componentize(&wasm);
            wasm = wrapped.map_err(|error| format!("cannot be wrapped: {error}"))?;
        }
        let artifact = workshop.compile(&wasm);
        let artifact = artifact.map_err(|error| format!("cannot be compiled: {error}"))?;
        let component = workshop.map_component(&artifact);
        component.map_err(|error| format!("cannot be mapped: {error}"))
    }
}

/// Whether the header is that of a core module; the two halves of the version differ.
pub(super) fn is_core_module(wasm: &[u8]) -> bool {
    wasm.get(4..8) == Some(&[1, 0, 0, 0])
}

impl Command {
    fn run(&self, workshop: &Workshop, component: &Component) -> Result<(), String> {
        let folder = match &self.folder {
            Some(folder) => Some(folder.copy().map_err(|error| format!("no copy: {error}"))?),
            None => None,
        };
        let server = self.server();
        let (env, _server) = server.map_err(|error| format!("no server: {error}"))?;
        let setup = Setup {
            args: self.args.clone(),
            env,
            folder: folder.as_ref().map(|folder| folder.path().to_owned()),
            stdin: cwasm_wasi::Stdin::bytes(self.stdin.clone()),
            stdout: None,
            clocks: self.clocks,
            network: self.network,
        };
        let found = guest::run(workshop, component, setup)?;
        self.check(&found)?;
        let (Some((name, expected)), Some(folder)) = (self.file, &folder) else {
            return Ok(());
        };
        let contents = std::fs::read_to_string(folder.path().join(name));
        let contents = contents.map_err(|error| format!("{name}: found {error}"))?;
        match contents == expected {
            true => Ok(()),
            false => Err(format!("{name}: found {contents:?}, expected {expected:?}")),
        }
    }

    /// The environment, with the address of a server where there must be one.
    pub(super) fn server(&self) -> io::Result<(Env, Option<http::Server>)> {
        let mut env = self.env.clone();
        if self.servers.is_empty() {
            return Ok((env, None));
        }
        let server = http::Server::start()?;
        let address = format!("localhost:{}", server.address.port());
        let names = self.servers.iter();
        env.extend(names.map(|name| ((*name).to_owned(), address.clone())));
        Ok((env, Some(server)))
    }

    fn check(&self, found: &Found) -> Result<(), String> {
        if found.exit_code != Ok(self.exit_code) {
            return Err(found.with_stderr(format!("expected exit code {}", self.exit_code)));
        }
        let outputs = [
            ("standard output", &found.stdout, &self.stdout),
            ("standard error", &found.stderr, &self.stderr),
        ];
        for (name, found, expected) in outputs {
            if let Some(expected) = expected
                && found != expected
            {
                let [found, expected] = [found, expected].map(|text| String::from_utf8_lossy(text));
                return Err(format!("{name}: found {found:?}, expected {expected:?}"));
            }
        }
        Ok(())
    }
}
