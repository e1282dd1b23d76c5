//! Runs components with async functions. See `--help`.
#![allow(
    clippy::print_stdout,
    reason = "a command that reports on standard output"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use cwasm_tests::async_components::{self, Case};
use cwasm_tests::{Report, parallel};

const USAGE: &str = "\
Runs components with async functions, streams and futures, alone, linked through the host, and
linked in one component; with hosts that are ready at once, later or never, and tasks in several
orders. A component that could be run in one more way is a failure.

usage: async_components FOLDER [FILTER]

  FOLDER  has the components
  FILTER  part of the names of the cases that are run

The exit code is 1 if anything failed.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (folder, filter) = match &args[..] {
        [folder] if !folder.starts_with('-') => (PathBuf::from(folder), ""),
        [folder, filter] => (PathBuf::from(folder), filter.as_str()),
        [help] if help == "--help" || help == "-h" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut cases = async_components::cases();
    cases.retain(|case| case.to_string().contains(filter));
    let mut total = Report::default();
    let work = |case: &Case| async_components::run(&folder, case);
    parallel::in_order(&cases, parallel::threads(), work, |case, report| {
        println!("{case}: {report}");
        for failure in &report.failures {
            println!("  {failure}");
        }
        total.add(report);
    });
    let coverage = async_components::coverage(&folder);
    println!("ways to run the components: {coverage}");
    for failure in &coverage.failures {
        println!("  {failure}");
    }
    total.add(coverage);
    println!("{total}");
    ExitCode::from(u8::from(total.failed != 0 || cases.is_empty()))
}
