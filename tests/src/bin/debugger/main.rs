//! Looks at guests with the tools of native programs: gdb, objdump, llvm-dwarfdump, perf.
//!
//! ```text
//! debugger                      all checks; needs gdb, binutils and llvm, and perf where it can
//! record debugger --host FILE [HOW]    the program that is looked at: maps an artifact and calls
//! it
//! ```
//!
//! Guests are those of `wasi/guests/debug`, compiled with DWARF of the machine code. Each tool is
//! ended when it takes longer than it ever should.
#![allow(
    clippy::print_stdout,
    reason = "a command that answers on standard output"
)]

mod host;
mod sessions;
mod tools;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use cwasm_compiler::{Debug, OptLevel, Options, preview1};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The modules of `wasi/guests/debug`.
const GUESTS: [&str; 4] = ["places-c", "shapes", "places", "reenter"];

/// How guests are compiled.
#[derive(Clone, Copy)]
struct Level {
    name: &'static str,
    opt: OptLevel,
    /// As functions are that are too large otherwise.
    locals_in_frame: bool,
}

const SPEED: Level = Level::new("speed", OptLevel::Speed);
const LEVELS: [Level; 4] = [
    Level::new("none", OptLevel::None),
    SPEED,
    Level::new("size", OptLevel::Size),
    Level {
        locals_in_frame: true,
        ..Level::new("frame", OptLevel::Speed)
    },
];

impl Level {
    const fn new(name: &'static str, opt: OptLevel) -> Level {
        Level {
            name,
            opt,
            locals_in_frame: false,
        }
    }
}

/// Seconds that a tool may take.
const TIME_LIMIT: &str = "300";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        [] => check_all(),
        ["--host", file] => host::run(Path::new(file), ""),
        ["--host", file, how] => host::run(Path::new(file), how),
        _ => Err("usage: debugger [--host FILE [HOW]]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all checks, and prints what each has found.
fn check_all() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let workbench = Workbench::new(folder.path())?;
    let mut checks = tools::checks();
    checks.extend(sessions::checks());
    let mut failed = 0;
    for (name, check) in &checks {
        match check(&workbench) {
            Ok(found) => println!("{name}: {found}"),
            Err(error) => {
                println!("{name}: FAILED: {error}");
                failed += 1;
            }
        }
    }
    println!(
        "debugger: {} passed, {failed} failed",
        checks.len() - failed
    );
    match failed {
        0 => Ok(()),
        _ => Err("the tools do not see what they should".into()),
    }
}

/// A check, with its name: what it found, or what it did not find.
type Check = (String, Box<dyn Fn(&Workbench) -> Result<String>>);

/// The artifacts of all guests, compiled at all levels.
struct Workbench {
    folder: PathBuf,
    /// This program, which is the host.
    program: PathBuf,
    /// The sources of the guests.
    sources: PathBuf,
    /// The script that lets gdb know artifacts.
    script: PathBuf,
}

impl Workbench {
    fn new(folder: &Path) -> Result<Workbench> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .canonicalize()?;
        let workbench = Workbench {
            folder: folder.to_path_buf(),
            program: std::env::current_exe()?,
            sources: root.join("wasi/guests/debug"),
            script: root.join("docs/gdb/cwasm.py"),
        };
        for name in GUESTS {
            let module = std::fs::read(workbench.sources.join(format!("{name}.wasm")))?;
            let wasm = match preview1::is_preview1(&module) {
                true => preview1::componentize(&module)?,
                false => module,
            };
            for level in LEVELS {
                workbench.compile(name, &wasm, level)?;
            }
        }
        Ok(workbench)
    }

    /// Compiles a guest: an artifact with everything inside, and one with a file beside it.
    fn compile(&self, name: &str, wasm: &[u8], level: Level) -> Result<()> {
        for debug in [Debug::Inside, Debug::Split] {
            let options = Options {
                opt: level.opt,
                locals_in_frame: level.locals_in_frame,
                debug,
                dwarf: true,
                ..Options::default()
            };
            let output = cwasm_compiler::compile(wasm, &options)?;
            if let Some(warning) = output.warnings.first() {
                return Err(format!("{name}: {warning}").into());
            }
            let path = self.artifact(name, level, debug);
            std::fs::write(&path, output.bytes)?;
            if let Some(debug) = output.debug {
                std::fs::write(beside(&path), debug)?;
            }
        }
        Ok(())
    }

    /// The path of an artifact.
    fn artifact(&self, guest: &str, level: Level, debug: Debug) -> PathBuf {
        let place = match debug {
            Debug::Split => "split",
            _ => "inside",
        };
        self.folder
            .join(format!("{guest}-{}-{place}.cwasm", level.name))
    }

    /// Runs a tool in the folder of the artifacts: what it prints, and whether it succeeds.
    fn run(&self, tool: &str, args: &[&str]) -> Result<(String, bool)> {
        let output = Command::new("timeout")
            .args(["--kill-after=10", TIME_LIMIT, tool])
            .args(args)
            .current_dir(&self.folder)
            // Its output is for people who speak English.
            .env("LC_ALL", "C.UTF-8")
            .output()?;
        if output.status.code() == Some(124) {
            return Err(format!("{tool} took longer than {TIME_LIMIT} s").into());
        }
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok((text, output.status.success()))
    }
}

/// The file of debug information of an artifact.
fn beside(artifact: &Path) -> PathBuf {
    let mut name = artifact.to_path_buf().into_os_string();
    name.push(".debug");
    name.into()
}

/// Bytes of an output that are shown when something is not found in it.
const SHOWN: usize = 4000;

/// Finds texts in an output, each after the one before.
fn in_order(output: &str, expected: &[&str]) -> Result<()> {
    let mut rest = output;
    for text in expected {
        let Some((_, after)) = rest.split_once(text) else {
            let shown = &rest[..rest.floor_char_boundary(SHOWN)];
            return Err(format!("no `{text}` where it should be in:\n{shown}").into());
        };
        rest = after;
    }
    Ok(())
}
