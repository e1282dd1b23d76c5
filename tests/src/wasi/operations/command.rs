//! The command that runs programs, and its arguments.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Plan, Proposal, World};

/// The command `cwasm`, or another that the suite is compared with.
#[derive(Clone, Debug)]
pub struct Runner {
    path: PathBuf,
    /// Whether it takes the arguments of Wasmtime.
    is_wasmtime: bool,
}

impl Runner {
    /// The command at `path`; one that is called `wasmtime` is given the arguments of Wasmtime.
    pub fn new(path: PathBuf) -> Runner {
        let is_wasmtime = path.file_name().is_some_and(|name| name == "wasmtime");
        Runner { path, is_wasmtime }
    }

    /// The command `cwasm` beside this program.
    ///
    /// # Errors
    /// If this program's own path is not known.
    pub fn beside() -> Result<Runner, String> {
        let here = std::env::current_exe();
        let here = here.map_err(|error| format!("no path of this program: {error}"))?;
        Ok(Runner::new(here.with_file_name("cwasm")))
    }

    /// The path, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A process that runs a program.
    pub(super) fn command(
        &self,
        plan: &Plan,
        file: &Path,
        folder: Option<&Path>,
        env: &[(String, String)],
        args: &[String],
    ) -> Command {
        let mut command = Command::new(&self.path);
        command.args(match plan.world {
            World::Command => &["run"] as &[&str],
            World::Service => &["serve", "--addr", "127.0.0.1:0"],
        });
        match self.is_wasmtime {
            true => grant_theirs(&mut command, plan),
            false => grant_ours(&mut command, plan),
        }
        for (name, value) in env {
            command.arg("--env").arg(format!("{name}={value}"));
        }
        if let Some(folder) = folder {
            command.arg("--dir").arg(format!("{}::/", folder.display()));
        }
        command.arg(file);
        if !self.is_wasmtime && plan.world == World::Command {
            command.arg("--");
        }
        command.args(args);
        command
    }
}

fn grant_ours(command: &mut Command, plan: &Plan) {
    // Services may ask others by HTTP, commands open sockets.
    if !plan.proposals.is_empty() {
        command.args(["--net", "all"]);
    }
}

fn grant_theirs(command: &mut Command, plan: &Plan) {
    let mut features = "p3".to_owned();
    if plan.proposals.contains(&Proposal::Http) {
        features.push_str(",http");
    }
    if plan.proposals.contains(&Proposal::Sockets) {
        features.push_str(",inherit-network");
    }
    if plan.world == World::Service {
        features.push_str(",cli");
    }
    command.args(["-W", "component-model-async", "-S", &features]);
}
