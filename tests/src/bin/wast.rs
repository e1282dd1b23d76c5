//! Runs `.wast` scripts. See `--help`.
#![allow(
    clippy::print_stdout,
    reason = "a command that reports on standard output"
)]

use std::path::Path;
use std::process::ExitCode;

use cwasm_compiler::{OptLevel, Options};
use cwasm_format::cpu::CpuLevel;
use cwasm_tests::artifact::Workshop;
use cwasm_tests::suite::{self, Script};
use cwasm_tests::{Report, Skips};

const USAGE: &str = "\
Runs .wast scripts: each module is compiled, written, mapped, instantiated and called.

usage: wast [--trace] [--cpu LEVEL] [-O LEVEL] [--interruptible] [--spec] [--suite NAME]... [PATH]...

  PATH          a .wast file, or a folder of them
  --suite NAME  a core suite: wasm-v1, wasm-v2, wasm-v3, a proposal such as simd,
                or one file of it, as in wasm-v2/br.wast
  --spec        the newest version of the specification and all proposals, as a table
  --cpu LEVEL   the CPU level to compile for: x86-64, x86-64-v2, x86-64-v3, x86-64-v4
  -O LEVEL      what to optimise for: none, speed or size
  --interruptible  compile code that can be stopped
  --trace       print each directive's place before it runs

The list of skips is tests/skips.txt. The exit code is 1 if anything failed.";

fn main() -> ExitCode {
    let Arguments {
        scripts,
        trace,
        cpu,
        opt,
        interruptible,
        spec,
    } = match arguments() {
        Ok(found) => found,
        Err(message) => {
            eprintln!("{message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let workshop = Workshop::with_options(Options {
        cpu,
        opt,
        interruptible,
        ..Options::default()
    });
    let skips = Skips::built_in();
    let mut total = Report::default();
    let mut suites: Vec<(&str, Report)> = Vec::new();
    for script in &scripts {
        let report = cwasm_tests::run(&workshop, script, &skips, trace);
        for failure in &report.failures {
            println!("{failure}");
        }
        if !spec {
            println!("{}: {report}", script.path);
        }
        let suite = script.path.split('/').next().unwrap_or_default();
        match suites.last_mut() {
            Some((last, sum)) if *last == suite => sum.add(report.clone()),
            _ => suites.push((suite, report.clone())),
        }
        total.add(report);
    }
    if spec {
        println!(
            "{:<38} {:>7} {:>7} {:>7}",
            "suite", "passed", "failed", "skipped"
        );
        for (suite, report) in &suites {
            let Report {
                passed,
                failed,
                skipped,
                ..
            } = report;
            println!("{suite:<38} {passed:>7} {failed:>7} {skipped:>7}");
        }
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
    interruptible: bool,
    /// Whether the figures of each suite are printed as a table.
    spec: bool,
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
            "--interruptible" => found.interruptible = true,
            "--spec" => {
                found.spec = true;
                for name in suite::SPEC {
                    found.scripts.extend(suite::of_suite(name)?);
                }
            }
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
