//! A host that links only the loader and WASI: runs an artifact that is a program, with this
//! process's standard streams, and a folder if one is named.

use std::path::Path;
use std::process::ExitCode;

use cwasm::{Component, Engine, Linker, Result, Store};
use cwasm_wasi::{Command, DirPerms, Exit, FilePerms, WasiCtx, WasiCtxBuilder};

/// The exit code of the program.
fn run(artifact: &Path, folder: &Path, args: &[String]) -> Result<u8> {
    let engine = Engine::default();
    // SAFETY: the artifact is our own build's output, and nobody changes it in place.
    let component = unsafe { Component::map(&engine, artifact)? };

    let mut linker = Linker::<WasiCtx>::new(&engine);
    cwasm_wasi::add_to_linker(&mut linker, |wasi| wasi)?;

    // What is not named here, the program does not have: no network, no environment.
    let wasi = WasiCtxBuilder::new()
        .inherit_stdio()
        .args(args)
        .preopened_dir(folder, "/", DirPerms::all(), FilePerms::all())?
        .build();
    let mut store = Store::new(&engine, wasi);
    let ended = Command::instantiate(&mut store, &component, &linker)
        .and_then(|command| command.wasi_cli_run().call_run(&mut store));
    match ended {
        Ok(result) => Ok(u8::from(result.is_err())),
        // The program has called `exit`.
        Err(error) => match error.downcast_ref::<Exit>() {
            Some(exit) => Ok(exit.code),
            None => Err(error),
        },
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let [_, artifact, folder, ..] = &args[..] else {
        eprintln!("usage: wasi-host ARTIFACT FOLDER ARGS...");
        return ExitCode::from(2);
    };
    // The first argument of a program is its name.
    let program = [&args[1..2], &args[3..]].concat();
    match run(Path::new(artifact), Path::new(folder), &program) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:?}");
            ExitCode::FAILURE
        }
    }
}
