//! Runs `.wast` scripts. See `--help`.
#![allow(
    clippy::print_stdout,
    reason = "a command that reports on standard output"
)]

use std::path::Path;
use std::process::ExitCode;

use cwasm::Config;
use cwasm_compiler::{Bounds, OptLevel, Options};
use cwasm_format::cpu::CpuLevel;
use cwasm_tests::artifact::Workshop;
use cwasm_tests::suite::{self, Script};
use cwasm_tests::{Report, Skips, parallel};

/// Scripts whose values depend on the order of tasks that can go on, which the specification leaves
/// open (`Store.tick` of `definitions.py` chooses at random): with seeds they are left out.
const ORDERED: [&str; 1] = [
    // The counter that two calls return, which can both begin.
    "async-calls-sync.wast",
];

const USAGE: &str = "\
Runs .wast scripts: each module is compiled, written, mapped, instantiated and called.

usage: wast [--trace] [--cpu LEVEL] [-O LEVEL] [--interruptible] [--bounds HOW] [--as-component]
            [--spec] [--schedules COUNT] [--suite NAME]... [PATH]...

  PATH          a .wast file, or a folder of them
  --suite NAME  a core suite: wasm-v1, wasm-v2, wasm-v3, a proposal such as simd,
                or one file of it, as in wasm-v2/br.wast
  --spec        the newest version of the specification and all proposals, as a table
  --cpu LEVEL   the CPU level to compile for: x86-64, x86-64-v2, x86-64-v3, x86-64-v4;
                nothing is run if the machine does not have it
  -O LEVEL      what to optimise for: none, speed or size
  --interruptible
                compile code that can be stopped
  --bounds HOW  what keeps accesses inside of memories: guard or check
  --as-component
                wrap core modules into components that link them statically
  --schedules COUNT
                run each script in so many orders in which tasks can go on, each by a seed, but
                those whose values depend on it
  --trace       print each directive's place before it runs, one script after the other

The list of skips is tests/skips.txt. The exit code is 1 if anything failed.";

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(found) => found,
        Err(message) => {
            eprintln!("{message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let workshop = Workshop::with_options(Options {
        cpu: arguments.cpu,
        opt: arguments.opt,
        interruptible: arguments.interruptible,
        bounds: arguments.bounds,
        ..Options::default()
    });
    if !workshop.runs_here() {
        println!(
            "left out: this machine does not have {}",
            arguments.cpu.name()
        );
        return ExitCode::SUCCESS;
    }
    let mut total = Report::default();
    for seed in 0..arguments.schedules {
        let mut config = Config::new();
        let workshop = workshop.configured(config.schedule_seed(seed));
        run(&workshop, &arguments, |script, report| {
            if ORDERED.iter().any(|name| script.path.ends_with(name)) {
                return;
            }
            for failure in &report.failures {
                println!("{failure}, with the schedule of seed {seed}");
            }
            total.add(report);
        });
    }
    let mut suites: Vec<(&str, Report)> = Vec::new();
    run(&workshop, &arguments, |script, report| {
        for failure in &report.failures {
            println!("{failure}");
        }
        if !arguments.spec {
            println!("{}: {report}", script.path);
        }
        let suite = script.path.split('/').next().unwrap_or_default();
        match suites.last_mut() {
            Some((last, sum)) if *last == suite => sum.add(report.clone()),
            _ => suites.push((suite, report.clone())),
        }
        total.add(report);
    });
    if arguments.spec {
        print_table(&suites);
        for (reason, count) in &total.reasons {
            println!("{count:>6} skipped: {reason}");
        }
    }
    println!("{total}");
    ExitCode::from(u8::from(total.failed != 0))
}

/// Runs the scripts on as many threads as the machine has, one if their places are printed, and
/// gives the reports to `each` in the order of the scripts.
fn run<'a>(workshop: &Workshop, arguments: &'a Arguments, each: impl FnMut(&'a Script, Report)) {
    let Arguments { scripts, trace, .. } = arguments;
    let skips = Skips::built_in();
    let threads = if *trace { 1 } else { parallel::threads() };
    let work = |script: &Script| cwasm_tests::run(workshop, script, &skips, *trace);
    parallel::in_order(scripts, threads, work, each);
}

fn print_table(suites: &[(&str, Report)]) {
    println!(
        "{:<38} {:>7} {:>7} {:>7}",
        "suite", "passed", "failed", "skipped"
    );
    for (suite, report) in suites {
        let Report {
            passed,
            failed,
            skipped,
            ..
        } = report;
        println!("{suite:<38} {passed:>7} {failed:>7} {skipped:>7}");
    }
}

/// The arguments of the command line.
#[derive(Default)]
struct Arguments {
    scripts: Vec<Script>,
    trace: bool,
    cpu: CpuLevel,
    opt: OptLevel,
    interruptible: bool,
    bounds: Bounds,
    /// How many seeds choose the order of tasks, besides that without one.
    schedules: u64,
    /// Whether the figures of each suite are printed as a table.
    spec: bool,
}

fn arguments() -> Result<Arguments, String> {
    let mut found = Arguments::default();
    let mut as_component = false;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("`{arg}` needs a value"));
        match arg.as_str() {
            "--help" | "-h" => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            "--trace" => found.trace = true,
            "--as-component" => as_component = true,
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
            "--bounds" => {
                found.bounds = match value()?.as_str() {
                    "guard" => Bounds::Guard,
                    "check" => Bounds::Check,
                    name => return Err(format!("bounds are not kept by `{name}`")),
                }
            }
            "--schedules" => {
                let count = value()?;
                found.schedules = count
                    .parse()
                    .map_err(|_| format!("`{count}` is no number of schedules"))?;
            }
            "--suite" => found.scripts.extend(suite::of_suite(&value()?)?),
            flag if flag.starts_with('-') => return Err(format!("unknown option `{flag}`")),
            path => found.scripts.extend(suite::of_path(Path::new(path))?),
        }
    }
    if found.scripts.is_empty() {
        return Err("no scripts are named".to_owned());
    }
    for script in &mut found.scripts {
        script.as_component = as_component;
    }
    Ok(found)
}
