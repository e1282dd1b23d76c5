//! Programs of WASI, run by the command: those of `wasi/guests`.

mod debug;
mod exceptions;
mod files;
mod greed;
mod native;
mod network;
mod p3;
mod process;
mod streams;
mod watched;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use assert_cmd::cargo::cargo_bin;

use crate::support::{Folder, Ran, cwasm};

/// Artifacts of the programs.
struct Programs {
    /// In Rust, on preview 1.
    tool: PathBuf,
    /// In C, on preview 1.
    tool_c: PathBuf,
    /// In Rust, on WASI 0.2 itself.
    client: PathBuf,
}

/// A program as its compiler wrote it.
pub(crate) fn guest(name: &str) -> PathBuf {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wasi/guests");
    guests.join(name).canonicalize().unwrap()
}

/// The artifacts, which are compiled once.
fn programs() -> &'static Programs {
    static PROGRAMS: OnceLock<Programs> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let compiled = |name: &str| {
            let artifact = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.cwasm"));
            let wasm = guest(&format!("{name}.wasm"));
            let (wasm, out) = (wasm.to_str().unwrap(), artifact.to_str().unwrap());
            cwasm(&["compile", wasm, "-o", out]).prints("");
            artifact
        };
        Programs {
            tool: compiled("tool"),
            tool_c: compiled("tool-c"),
            client: compiled("client"),
        }
    })
}

/// `bash` in a folder, where `$run` runs a program: `$tool`, `$tool_c` or `$client`.
fn bash(folder: &Folder, script: &str) -> Command {
    let Programs {
        tool,
        tool_c,
        client,
    } = programs();
    let mut command = Command::new("bash");
    command
        .current_dir(folder.0.path())
        .args(["-c", script])
        .env("cwasm", cargo_bin("cwasm"))
        .env("run", format!("{} run", cargo_bin("cwasm").display()))
        .env("tool", tool)
        .env("tool_c", tool_c)
        .env("client", client)
        .env_remove("RUST_BACKTRACE");
    command
}

/// Runs a script to its end.
fn script(folder: &Folder, script: &str) -> Ran {
    Ran(bash(folder, script).output().unwrap())
}
