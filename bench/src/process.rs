//! Whole commands: from the start of a process to its answer and its end, `cwasm run` beside
//! `wasmtime run`. Artifacts are made before, each by its own command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::guests::{Guest, Real};
use crate::measure::Pair;
use crate::rows::Quantity;

/// How often each command is run. Most of them take milliseconds.
const RUNS: usize = 101;

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// A component that adds two numbers.
    Add,
    /// An interpreter that says hello.
    Real(Real),
    /// A program in Rust that prints a line.
    Rust,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Program::Add => "add",
            Program::Real(Real::Js) => "js",
            Program::Real(Real::Py) => "py",
            Program::Rust => "rust",
        }
    }

    fn wasm(self) -> Result<Vec<u8>> {
        let path = match self {
            Program::Add => return Guest::Add.wasm(),
            Program::Real(real) => real.path(),
            Program::Rust => Path::new(env!("CARGO_MANIFEST_DIR")).join("../wasi/guests/tool.wasm"),
        };
        fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))
    }

    /// The function that is called; `None`, if it is a program.
    fn invoked(self) -> Option<&'static str> {
        match self {
            Program::Add => Some("add(2, 3)"),
            Program::Real(_) => Some("greet(\"world\")"),
            Program::Rust => None,
        }
    }

    /// What it prints.
    fn answer(self) -> &'static str {
        match self {
            Program::Add => "5\n",
            Program::Real(_) => "\"hello world\"\n",
            Program::Rust => "Hello, world!\n",
        }
    }
}

/// The two commands, and their artifacts.
pub(crate) struct Commands {
    /// The command `cwasm`.
    ours: PathBuf,
    /// The command `wasmtime`, if there is one.
    theirs: Option<PathBuf>,
    folder: TempDir,
}

impl Commands {
    /// The commands in these files; ours is at first the project's release build.
    ///
    /// # Errors
    /// If no folder can be made for artifacts.
    pub(crate) fn new(ours: Option<PathBuf>, theirs: Option<PathBuf>) -> Result<Commands> {
        let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/cwasm");
        let folder = tempfile::tempdir().context("cannot make a folder for artifacts")?;
        Ok(Commands {
            ours: ours.unwrap_or_else(built),
            theirs,
            folder,
        })
    }

    /// Which command is not there, and how to get it.
    pub(crate) fn missing(&self) -> Option<String> {
        let Some(theirs) = &self.theirs else {
            return Some("no `--wasmtime PATH` or WASMTIME".to_owned());
        };
        let ours = (&self.ours, "`cargo build --release` makes it");
        let all = [ours, (theirs, "it was asked for")];
        let missing = all.into_iter().find(|(path, _)| !path.exists());
        missing.map(|(path, hint)| format!("no `{}`: {hint}", path.display()))
    }

    pub(crate) fn our_command(&self) -> Command {
        Command::new(&self.ours)
    }

    /// # Errors
    /// If there is none.
    pub(crate) fn their_command(&self) -> Result<Command> {
        let theirs = self.theirs.as_ref().context("no command `wasmtime`")?;
        Ok(Command::new(theirs))
    }

    /// The artifacts of a file, ours and theirs.
    ///
    /// # Errors
    /// If a command fails.
    pub(crate) fn compiled(&self, source: &Path, name: &str) -> Result<[PathBuf; 2]> {
        self.compiled_with(source, name, &[])
    }

    /// As [`compiled`](Commands::compiled), with flags that Wasmtime needs.
    ///
    /// # Errors
    /// If a command fails.
    pub(crate) fn compiled_with(
        &self,
        source: &Path,
        name: &str,
        their_flags: &[&str],
    ) -> Result<[PathBuf; 2]> {
        let folder = self.folder.path();
        let artifacts = ["cwasm", "wasmtime"].map(|side| folder.join(format!("{name}.{side}")));
        let commands = [
            (self.our_command(), &[][..]),
            (self.their_command()?, their_flags),
        ];
        for ((mut compile, flags), artifact) in commands.into_iter().zip(&artifacts) {
            compile
                .arg("compile")
                .args(flags)
                .arg(source)
                .arg("-o")
                .arg(artifact);
            output(&mut compile)?;
        }
        Ok(artifacts)
    }

    /// Runs both, in turns: the medians, in nanoseconds. The minima are printed on standard error:
    /// what else the machine does makes processes slower, never faster.
    ///
    /// # Errors
    /// If a command fails or answers wrongly.
    pub(crate) fn measure(&self, program: Program) -> Result<Pair> {
        let source = self.folder.path().join("source.wasm");
        fs::write(&source, program.wasm()?)?;
        let [our_artifact, their_artifact] = self.compiled(&source, program.name())?;
        let mut ours = self.our_command();
        ours.arg("run").arg(&our_artifact);
        let mut theirs = self.their_command()?;
        theirs.args(["run", "--allow-precompiled"]);
        if program == Program::Real(Real::Js) {
            // It imports `wasi:http`, which is not there otherwise.
            theirs.args(["-S", "http"]);
        }
        match program.invoked() {
            Some(call) => {
                ours.args(["--invoke", call]);
                theirs.args(["--invoke", call]).arg(&their_artifact);
            }
            None => {
                ours.args(["--", "hello"]);
                theirs.arg(&their_artifact).arg("hello");
            }
        }
        let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
        // The first runs find their files on disk, the others in memory.
        for run in 0..=RUNS {
            let times = [&mut ours, &mut theirs].map(|command| time(command, program.answer()));
            let [ours, theirs] = times;
            if run > 0 {
                our_times.push(ours?);
                their_times.push(theirs?);
            }
        }
        let least = |times: &[f64]| times.iter().copied().fold(f64::INFINITY, f64::min);
        let minimum = Pair::of(least(&our_times), least(&their_times));
        eprintln!(
            "process.{}: minima of {RUNS} runs {} and {}, ratio {:.3}",
            program.name(),
            Quantity::Nanoseconds.show(minimum.ours),
            Quantity::Nanoseconds.show(minimum.theirs),
            minimum.ratio()
        );
        Ok(Pair::of_samples(our_times, their_times))
    }
}

/// How long a command takes, in nanoseconds.
fn time(command: &mut Command, expected: &str) -> Result<f64> {
    let start = Instant::now();
    let answer = output(command)?;
    let time = start.elapsed();
    ensure!(
        answer == expected,
        "{command:?} answered {answer:?}, expected {expected:?}"
    );
    Ok(time.as_nanos() as f64)
}

/// What a command prints.
fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {command:?}"))?;
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        message.trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}
