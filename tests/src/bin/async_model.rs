//! Compares runs of random programs with a model. See `--help`.
#![allow(
    clippy::print_stdout,
    reason = "a command that reports on standard output"
)]

use std::process::ExitCode;
use std::time::Instant;

use cwasm_tests::async_model::model::Rules;
use cwasm_tests::async_model::reached::missing;
use cwasm_tests::async_model::run::compile;
use cwasm_tests::async_model::{Summary, benches, describe, run_programs};
use cwasm_tests::parallel;

const USAGE: &str = "\
Compares runs of random programs of components that call each other, with streams, futures,
cancellation and backpressure, with a model of the specification's async semantics.

usage: async_model [--programs N] [--schedules M] [--seed S] [--threads T] [--text]

  --programs N   how many programs, 100000 by default
  --schedules M  with how many schedules each, 5 by default
  --seed S       the seed of the first program, 0 by default
  --threads T    as many as the machine has by default
  --text         without the known deviations from the specification's text: these fail

The exit code is 1 if there is a run that the model cannot explain, or if something never happened
in 100000 runs or more.";

/// Programs that a thread runs with the same instances of the loader.
const PART: u64 = 500;
/// Failures that are described.
const DESCRIBED: usize = 5;
/// Runs in which everything must happen that can.
const MANY: u64 = 100_000;

struct Arguments {
    programs: u64,
    schedules: u64,
    seed: u64,
    threads: usize,
    rules: Rules,
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let Arguments {
        programs,
        schedules,
        seed,
        threads,
        rules,
    } = arguments;
    let start = Instant::now();
    let artifact = compile();
    let parts: Vec<u64> = (seed..seed + programs).step_by(PART as usize).collect();
    let mut total = Summary::default();
    let work = |first: &u64| {
        let last = (first + PART).min(seed + programs);
        run_programs(&benches(&artifact, schedules), *first..last, rules)
    };
    parallel::in_order(&parts, threads, work, |_, summary| total.add(summary));
    for (name, count) in &total.coverage {
        println!("{count:>10} {name}");
    }
    let benches = benches(&artifact, schedules);
    let mut described = Vec::new();
    for failure in &total.failures {
        // The same program fails with other schedules as a rule.
        if described.len() == DESCRIBED || described.contains(&failure.seed) {
            continue;
        }
        described.push(failure.seed);
        let bench = benches
            .iter()
            .find(|bench| bench.schedule == failure.schedule);
        if let Some(bench) = bench {
            let schedule = failure.schedule;
            println!(
                "schedule {schedule:?}, {}",
                describe(&bench.bench, failure, rules)
            );
        }
    }
    let (runs, failed) = (total.runs, total.failures.len() as u64);
    let missing = if runs < MANY {
        Vec::new()
    } else {
        missing(&total.coverage)
    };
    for name in &missing {
        println!("never happened: {name}");
    }
    println!(
        "{programs} programs, {:.1} s",
        start.elapsed().as_secs_f64()
    );
    println!("{} passed, {failed} failed, 0 skipped", runs - failed);
    ExitCode::from(u8::from(failed != 0 || runs == 0 || !missing.is_empty()))
}

fn arguments() -> Result<Arguments, String> {
    let mut found = Arguments {
        programs: 100_000,
        schedules: 5,
        seed: 0,
        threads: parallel::threads(),
        rules: Rules::LOADER,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || -> Result<u64, String> {
            let value = args
                .next()
                .ok_or_else(|| format!("`{arg}` needs a value"))?;
            value
                .parse()
                .map_err(|_| format!("`{value}` is not a number"))
        };
        match arg.as_str() {
            "--help" | "-h" => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            "--programs" => found.programs = number()?,
            "--schedules" => found.schedules = number()?,
            "--seed" => found.seed = number()?,
            "--threads" => found.threads = number()? as usize,
            "--text" => found.rules = Rules::TEXT,
            other => return Err(format!("unknown argument `{other}`")),
        }
    }
    Ok(found)
}
