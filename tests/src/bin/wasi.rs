//! Runs programs of WASI. See `--help`.
#![allow(
    clippy::print_stdout,
    reason = "a command that reports on standard output"
)]

use std::path::Path;
use std::process::ExitCode;

use cwasm_compiler::Options;
use cwasm_tests::artifact::Workshop;
use cwasm_tests::wasi::{self, Case, Runner};
use cwasm_tests::{Report, parallel};

const USAGE: &str = "\
Runs programs of WASI: each is compiled, written, mapped, instantiated and run, and must do what its
suite expects.

usage: wasi [--trace] [--command PATH] PATH...

  PATH            a .wasm file, or a folder of them: of the WASI test suite (folders `wasm32-wasip1`
                  and `wasm32-wasip3`), or of components of WASI 0.2 that check themselves
  --trace         print each program's path before it runs, one after the other
  --command PATH  what runs the programs of `wasm32-wasip3`, each in a process of its own: the
                  command `cwasm`, by default the one beside this program, or `wasmtime`

The list of programs that are known to fail is tests/wasi-skips.txt. The exit code is 1 if anything
failed.";

fn main() -> ExitCode {
    let Arguments {
        cases,
        runner,
        trace,
    } = match arguments() {
        Ok(found) => found,
        Err(message) => {
            eprintln!("{message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    // Programs are stopped at the time limit.
    let workshop = Workshop::with_options(Options {
        interruptible: true,
        ..Options::default()
    });
    let skips = wasi::skips();
    let threads = if trace { 1 } else { parallel::threads() };
    let work = |case: &Case| {
        if trace {
            println!("{}", case.file.display());
        }
        wasi::run(&workshop, &runner, case, &skips)
    };
    let mut total = Report::default();
    parallel::in_order(&cases, threads, work, |_, report| {
        for failure in &report.failures {
            println!("{failure}");
        }
        total.add(report);
    });
    for (reason, count) in &total.reasons {
        println!("{count:>6} skipped: {reason}");
    }
    println!("{total}");
    ExitCode::from(u8::from(total.failed != 0))
}

struct Arguments {
    cases: Vec<Case>,
    runner: Runner,
    /// Whether paths are printed.
    trace: bool,
}

fn arguments() -> Result<Arguments, String> {
    let (mut cases, mut trace, mut runner) = (Vec::new(), false, None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            "--trace" => trace = true,
            "--command" => {
                let path = args.next().ok_or("`--command` needs a path")?;
                runner = Some(Runner::new(path.into()));
            }
            flag if flag.starts_with('-') => return Err(format!("unknown option `{flag}`")),
            path => cases.extend(wasi::of_path(Path::new(path))?),
        }
    }
    if cases.is_empty() {
        return Err("no programs are named".to_owned());
    }
    Ok(Arguments {
        cases,
        runner: runner.map_or_else(Runner::beside, Ok)?,
        trace,
    })
}
