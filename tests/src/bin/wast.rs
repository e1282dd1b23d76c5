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

usage: wast [--trace] [--spec] [--suite NAME]... [PATH]...

  PATH          a .wast file, or a folder of them
  --suite NAME  a core suite: wasm-v1, wasm-v2, wasm-v3, a proposal such as simd,
                or one file of it, as in wasm-v2/br.wast
  --spec        the newest version of the specification and all proposals, as a table
  --trace       print each directive's place before it runs

The list of skips is tests/skips.txt. The exit code is 1 if anything failed.";

fn main() -> ExitCode {
    let Arguments {
        scripts,
        trace,
        spec,
    } = match arguments() {
        Ok(found) => found,
        Err(message) => {
            eprintln!("{message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let workshop = Workshop::new();
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

struct Arguments {
    scripts: Vec<Script>,
    trace: bool,
    /// Whether the figures of each suite are printed as a table.
    spec: bool,
}

fn arguments() -> Result<Arguments, String> {
    let mut scripts = Vec::new();
    let (mut trace, mut spec) = (false, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            "--trace" => trace = true,
            "--spec" => {
                spec = true;
                for name in suite::SPEC {
                    scripts.extend(suite::of_suite(name)?);
                }
            }
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
    Ok(Arguments {
        scripts,
        trace,
        spec,
    })
}
