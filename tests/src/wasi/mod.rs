//! Programs of WASI, run as the specifications of their suites say.
//!
//! ```text
//! folder -> suite (finds the kind) -> testsuite, components (what is expected of each) -> Case
//! Case -> run (a store of its own, a copy of the folder, a thread) -> Outcome -> Report
//!      -> operations (a command, a copy of the folder, servers) -> Outcome -> Report
//!      -> beside (two commands, each with a copy of the folder) -> what differs
//! ```

mod beside;
mod case;
mod components;
mod embedder;
mod folder;
mod guest;
mod http;
mod operations;
mod suite;
mod testsuite;

use std::panic::AssertUnwindSafe;

use crate::artifact::Workshop;
use crate::{Report, Skips};
pub use beside::{Sides, guests};
pub use case::Case;
pub use operations::Runner;
pub use suite::of_path;

/// The list of programs that are known to fail.
///
/// # Panics
/// If it cannot be read.
pub fn skips() -> Skips {
    match Skips::parse(include_str!("../../wasi-skips.txt")) {
        Ok(skips) => skips,
        Err(message) => panic!("tests/wasi-skips.txt: {message}"),
    }
}

/// Runs a program, by `runner` if it is one that a command runs. One that is listed is run, too: it
/// fails if it passes.
pub fn run(workshop: &Workshop, runner: &Runner, case: &Case, skips: &Skips) -> Report {
    let mut report = Report::default();
    let file = case.file.display().to_string();
    let listed = skips.of_file(&file, false).whole;
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| case.run(workshop, runner)));
    let outcome = outcome.unwrap_or_else(|panic| Err(message_of(&*panic)));
    match (outcome, listed) {
        (Ok(()), None) => report.passed += 1,
        (Ok(()), Some(_)) => {
            report.fail(format!("{file}: passes, but is on the list of skips"));
        }
        (Err(_), Some(reason)) => report.skip(&reason),
        (Err(message), None) => report.fail(format!("{file}: {message}")),
    }
    report
}

/// What a panic says.
fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("found a panic: {}", text.unwrap_or_default())
}
