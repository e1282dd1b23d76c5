//! Compares programs of WASI on two commands. See `--help`.
#![allow(
    clippy::print_stdout,
    reason = "a command that reports on standard output"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cwasm_tests::parallel;
use cwasm_tests::wasi::{self, Case, Sides};

const USAGE: &str = "\
Runs programs of WASI by `cwasm run` and by `wasmtime run`, with the same arguments, environment,
input and files, and prints what differs in output, exit code and files.

usage: beside --wasmtime PATH [--cwasm PATH] [--as-modules] [PATH...]

  --wasmtime PATH  the command of Wasmtime
  --cwasm PATH     ours; by default the one beside this program
  --as-modules     core modules as they are, where Wasmtime has preview 1 itself; else both sides
                   get the same component
  PATH             programs of a suite, as `wasi` has them; by default wasi/guests

The exit code is 1 if anything differs.";

struct Arguments {
    sides: Sides,
    cases: Vec<Case>,
}

fn main() -> ExitCode {
    let Arguments { sides, cases } = match arguments() {
        Ok(found) => found,
        Err(message) => {
            eprintln!("{message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let (mut same, mut different, mut left_out) = (0, 0, 0);
    let work = |case: &Case| sides.differences(case);
    parallel::in_order(
        &cases,
        parallel::threads(),
        work,
        |case, found| match found {
            Ok(None) => left_out += 1,
            Ok(Some(differences)) if differences.is_empty() => same += 1,
            Ok(Some(differences)) => {
                different += 1;
                println!("{case}");
                for difference in differences {
                    println!("    {difference}");
                }
            }
            Err(error) => {
                different += 1;
                println!("{case}\n    cannot be compared: {error}");
            }
        },
    );
    println!("{same} the same, {different} different, {left_out} left out");
    ExitCode::from(u8::from(different != 0))
}

fn arguments() -> Result<Arguments, String> {
    let (mut ours, mut theirs, mut as_modules) = (None, None, false);
    let mut cases = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut path = || {
            args.next()
                .map(PathBuf::from)
                .ok_or(format!("{arg} needs a path"))
        };
        match arg.as_str() {
            "--help" | "-h" => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            "--wasmtime" => theirs = Some(path()?),
            "--cwasm" => ours = Some(path()?),
            "--as-modules" => as_modules = true,
            flag if flag.starts_with('-') => return Err(format!("unknown option `{flag}`")),
            path => cases.extend(wasi::of_path(Path::new(path))?),
        }
    }
    let beside = || std::env::current_exe().map(|program| program.with_file_name("cwasm"));
    let ours = ours.map_or_else(beside, Ok);
    let sides = Sides {
        ours: ours.map_err(|error| format!("this program is nowhere: {error}"))?,
        theirs: theirs.ok_or("--wasmtime is missing")?,
        as_modules,
    };
    for command in [&sides.ours, &sides.theirs] {
        if !command.exists() {
            return Err(format!("no command `{}`", command.display()));
        }
    }
    if cases.is_empty() {
        cases = wasi::guests();
    }
    Ok(Arguments { sides, cases })
}
