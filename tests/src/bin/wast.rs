//! Runs `.wast` scripts. See `--help`.
#![allow(
    clippy::print_stdout,
    reason = "a command that reports on standard output"
)]

use std::path::Path;
use std::process::ExitCode;

use cwasm_tests::artifact::Workshop;
use cwasm_tests::suite::{self, Script};
use cwasm_tests::{Report, Skips};

const USAGE: &str = "\
Runs .wast scripts: each module is compiled, written, mapped, instantiated and called.

usage: wast [--trace] [--suite NAME]... [PATH]...

  PATH          a .wast file, or a folder of them
  --suite NAME  a core suite: wasm-v1, wasm-v2, wasm-v3, a proposal such as simd,
                or one file of it, as in wasm-v2/br.wast
  --trace       print each directive's place before it runs

The list of skips is tests/skips.txt. The exit code is 1 if anything failed.";

fn main() -> ExitCode {
    let (scripts, trace) = match arguments() {
        Ok(found) => found,
        Err(message) => {
            eprintln!("{message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let workshop = Workshop::new();
    let skips = Skips::built_in();
    let mut total = Report::default();
    for script in &scripts {
        let report = cwasm_tests::run(&workshop, &script.path, &script.text, &skips, trace);
        for failure in &report.failures {
            println!("{failure}");
        }
        println!("{}: {report}", script.path);
        total.add(report);
    }
    println!("{total}");
    ExitCode::from(u8::from(total.failed != 0))
}

fn arguments() -> Result<(Vec<Script>, bool), String> {
    let mut scripts = Vec::new();
    let mut trace = false;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            "--trace" => trace = true,
            "--suite" => {
                let name = args.next().ok_or("--suite needs a name")?;
                scripts.extend(suite::of_suite(&name)?);
            }
            flag if flag.starts_with('-') => return Err(format!("unknown option `{flag}`")),
            path => scripts.extend(suite::of_path(Path::new(path))?),
        }
    }
    if scripts.is_empty() {
        return Err("no scripts are named".to_owned());
    }
    Ok((scripts, trace))
}
