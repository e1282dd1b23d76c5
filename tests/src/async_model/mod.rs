//! Random programs of components that call each other, on the loader and on a plain model of the
//! specification's async semantics.
//!
//! ```text
//! generate -> Program -> run (guest, driver, known) -> trace -> model::explain
//! ```
//!
//! The guest is compiled once: each of its tasks asks the host what to do, does it, and tells what
//! came of it. The host ([`driver`]) chooses operations by the program and by what it was told, so
//! that most of them make sense. All that it sees is the trace: calls, arguments, results, events,
//! memory, the trap, and that nothing goes on any more. The [`model`] must be able to do the same.

pub mod driver;
pub mod generate;
mod guest;
mod known;
pub mod model;
pub mod program;
pub mod reached;
pub mod run;
pub mod shrink;
pub mod trace;

use std::fmt::Write;

use model::{Coverage, Mismatch, Rules, explain};
use program::Program;
use run::Bench;
use trace::Entry;

/// Programs that were run.
#[derive(Debug, Default)]
pub struct Summary {
    /// Programs times schedules.
    pub runs: u64,
    /// What has happened in them, by name.
    pub coverage: Coverage,
    pub failures: Vec<Failure>,
}

/// A run that the model cannot explain.
#[derive(Debug)]
pub struct Failure {
    pub seed: u64,
    pub schedule: Option<u64>,
    pub mismatch: Mismatch,
}

impl Summary {
    pub fn add(&mut self, other: Summary) {
        self.runs += other.runs;
        self.failures.extend(other.failures);
        for (name, count) in other.coverage {
            *self.coverage.entry(name).or_default() += count;
        }
    }
}

/// A bench and the schedule that it has.
pub struct Scheduled {
    pub bench: Bench,
    pub schedule: Option<u64>,
}

/// Benches with so many schedules, of the compiled guest; in the first, tasks take turns.
pub fn benches(artifact: &[u8], count: u64) -> Vec<Scheduled> {
    let schedules = (0..count).map(|number| number.checked_sub(1));
    let bench = |schedule| Scheduled {
        bench: Bench::new(artifact, schedule),
        schedule,
    };
    schedules.map(bench).collect()
}

/// Runs programs of these seeds with all schedules.
pub fn run_programs(
    benches: &[Scheduled],
    seeds: impl Iterator<Item = u64>,
    rules: Rules,
) -> Summary {
    let mut summary = Summary::default();
    for seed in seeds {
        let program = generate::program(seed);
        for Scheduled { bench, schedule } in benches {
            summary.runs += 1;
            let trace = bench.run(&program);
            if let Err(mismatch) = explain(&program, &trace, rules, &mut summary.coverage) {
                let schedule = *schedule;
                summary.failures.push(Failure {
                    seed,
                    schedule,
                    mismatch,
                });
            }
        }
    }
    summary
}

/// What is known of a failure: the smallest program that fails, and its trace up to there.
pub fn describe(bench: &Bench, failure: &Failure, rules: Rules) -> String {
    let program = shrink::shrink(bench, generate::program(failure.seed), rules);
    let trace = bench.run(&program);
    let result = explain(&program, &trace, rules, &mut Coverage::new());
    let mut text = program.to_string();
    let end = match &result {
        Ok(()) => trace.len(),
        Err(mismatch) => mismatch.at,
    };
    list(&mut text, &trace[..end.min(trace.len())]);
    if let Err(Mismatch { at, message }) = result {
        let found = trace.get(at).map_or(String::new(), Entry::to_string);
        let _ = write!(text, "  then: {found}\n  but {message}");
    }
    text
}

fn list(text: &mut String, trace: &[Entry]) {
    for entry in trace {
        let _ = writeln!(text, "  {entry}");
    }
}

/// Whether a program's run cannot be explained.
fn fails(bench: &Bench, program: &Program, rules: Rules) -> bool {
    let trace = bench.run(program);
    explain(program, &trace, rules, &mut Coverage::new()).is_err()
}
