//! Runs `.wast` scripts. See `--help`.
#![allow(
    clippy::print_stdout,
    reason = "a command that reports on standard output"
)]

use std::path::Path;
use std::process::ExitCode;

use cwasm_compiler::OptLevel;
use cwasm_format::cpu::CpuLevel;
use cwasm_tests::artifact::Workshop;
use cwasm_tests::suite::{self, Script};
use cwasm_tests::{Report, Skips};

const USAGE: &str = "\
Runs .wast scripts: each module is compiled, written, mapped, instantiated and called.

usage: wast [--trace] [--cpu LEVEL] [-O LEVEL] [--suite NAME]... [PATH]...

  PATH          a .wast file, or a folder of them
  --suite NAME  a core suite: wasm-v1, wasm-v2, wasm-v3, a proposal such as simd,
                or one file of it, as in wasm-v2/br.wast
  --cpu LEVEL   the CPU level to compile for: x86-64, x86-64-v2, x86-64-v3, x86-64-v4
  -O LEVEL      what to optimise for: none, speed or size
  --trace       print each directive's place before it runs

The list of skips is tests/skips.txt. The exit code is 1 if anything failed.";

fn main() -> ExitCode {
    let Arguments {
        scripts,
        trace,
        cpu,
        opt,
    } = match arguments() {
        Ok(found) => found,
        Err(message) => {
            eprintln!("{message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let workshop = Workshop::for_target(cpu, opt);
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

/// What the command line asks for.
#[derive(Default)]
struct Arguments {
    scripts: Vec<Script>,
    trace: bool,
    cpu: CpuLevel,
    opt: OptLevel,
}

fn arguments() -> Result<Arguments, String> {
    let mut found = Arguments::default();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("`{arg}` needs a value"));
        match arg.as_str() {
            "--help" | "-h" => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            "--trace" => found.trace = true,
            "--cpu" => {
                let name = value()?;
                found.cpu = CpuLevel::from_name(&name)
                    .ok_or_else(|| format!("no CPU level is called `{name}`"))?;
            }
            "-O" => {
                found.opt = match value()?.as_str() {
                    "none" => OptLevel::None,
                    "speed" => OptLevel::Speed,
                    "size" => OptLevel::Size,
                    name => return Err(format!("no optimisation level is called `{name}`")),
                }
            }
            "--suite" => found.scripts.extend(suite::of_suite(&value()?)?),
            flag if flag.starts_with('-') => return Err(format!("unknown option `{flag}`")),
            path => found.scripts.extend(suite::of_path(Path::new(path))?),
        }
    }
    if found.scripts.is_empty() {
        return Err("no scripts are named".to_owned());
    }
    Ok(found)
}
