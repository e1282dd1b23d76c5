//! `cwasm compile --time`: what the time of a compilation went to.

use std::fmt::Write as _;
use std::time::Duration;

use cwasm::Result;
use cwasm_compiler::{FunctionTiming, Stats};
use cwasm_report::Quantity;
use serde::Serialize;

use crate::output::short_name;

/// The functions that are shown to people.
const TOP: usize = 20;

/// Times in milliseconds.
#[derive(Serialize)]
struct Report<'a> {
    total_ms: f64,
    stages: Vec<Stage<'a>>,
    /// The slowest first.
    functions: Vec<Function<'a>>,
}

#[derive(Serialize)]
struct Stage<'a> {
    name: &'a str,
    ms: f64,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    /// Bytes of the body in its module; 0 of functions that the compiler adds.
    wasm_bytes: u64,
    code_bytes: usize,
    total_ms: f64,
    translate_ms: f64,
    optimize_ms: f64,
    generate_ms: f64,
}

/// The times as JSON.
///
/// # Errors
/// If there is no memory for it.
pub(crate) fn json(stats: &Stats, total: Duration) -> Result<String> {
    let stages = stats.stages.iter().map(|(name, time)| Stage {
        name,
        ms: millis(*time),
    });
    let functions = slowest(stats).into_iter().map(|timing| Function {
        name: &timing.name,
        wasm_bytes: timing.wasm_size,
        code_bytes: timing.code_size,
        total_ms: millis(timing.total()),
        translate_ms: millis(timing.translate),
        optimize_ms: millis(timing.optimize),
        generate_ms: millis(timing.generate),
    });
    let report = Report {
        total_ms: millis(total),
        stages: stages.collect(),
        functions: functions.collect(),
    };
    Ok(serde_json::to_string_pretty(&report)?)
}

/// The times as tables for people.
pub(crate) fn table(stats: &Stats, total: Duration) -> String {
    let mut text = format!("{:>9}  {:>7}  stage\n", "time", "share");
    let known: Duration = stats.stages.iter().map(|(_, time)| *time).sum();
    let other = ("other", total.saturating_sub(known));
    for (name, time) in stats.stages.iter().chain([&other]) {
        let share = share(*time, total);
        let _ = writeln!(text, "{:>9}  {share}  {name}", shown(*time));
    }
    let _ = writeln!(text, "{:>9}  {}  all", shown(total), share(total, total));
    let timings = slowest(stats);
    if timings.is_empty() {
        return text;
    }
    let sum =
        |part: fn(&FunctionTiming) -> Duration| timings.iter().map(|timing| part(timing)).sum();
    let all: Duration = sum(FunctionTiming::total);
    let _ = writeln!(
        text,
        "\n{:>9}  {:>7} {:>9} {:>9} {:>9} {:>9} {:>9}  function (processor time)",
        "time", "share", "translate", "optimize", "generate", "wasm", "code"
    );
    for timing in timings.iter().take(TOP) {
        let _ = writeln!(
            text,
            "{:>9}  {} {:>9} {:>9} {:>9} {:>9} {:>9}  {}",
            shown(timing.total()),
            share(timing.total(), all),
            shown(timing.translate),
            shown(timing.optimize),
            shown(timing.generate),
            timing.wasm_size,
            timing.code_size,
            short_name(&timing.name),
        );
    }
    let _ = writeln!(
        text,
        "{:>9}  {} {:>9} {:>9} {:>9} {:>9} {:>9}  all {}",
        shown(all),
        share(all, all),
        shown(sum(|timing| timing.translate)),
        shown(sum(|timing| timing.optimize)),
        shown(sum(|timing| timing.generate)),
        timings.iter().map(|timing| timing.wasm_size).sum::<u64>(),
        timings.iter().map(|timing| timing.code_size).sum::<usize>(),
        timings.len(),
    );
    text
}

/// The functions, the slowest first.
fn slowest(stats: &Stats) -> Vec<&FunctionTiming> {
    let mut timings: Vec<_> = stats.timings.iter().collect();
    timings.sort_by_key(|timing| std::cmp::Reverse(timing.total()));
    timings
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn shown(time: Duration) -> String {
    Quantity::Time.show(time.as_secs_f64() * 1e9)
}

fn share(part: Duration, all: Duration) -> String {
    let share = part.as_secs_f64() / all.as_secs_f64().max(f64::MIN_POSITIVE);
    format!("{:>5.1} %", share * 100.0)
}
