//! Measures cwasm beside Wasmtime 48: the same components, in one process, in turns.
//!
//! ```text
//! guests -- compiled by each side --> artifacts -- each row's work, in turns --> medians, ratio
//! ```
//!
//! `--json` prints a list of `{"row", "unit", "ours", "wasmtime", "ratio"}`, with `low` and `high`
//! where the ratio's confidence interval of 95 % is known, and `is_met` where there is a target; a
//! ratio below one is in our favour in all rows. `--html FILE` writes a page with plots. Every
//! answer is checked: a wrong one ends the run. The rows `async.*` are there with the feature
//! `async`; the others are to be measured without.

mod floor;
mod generate;
mod guests;
#[cfg(feature = "async")]
mod held;
mod measure;
mod ours;
mod page;
mod peak;
mod process;
mod rows;
mod runtime;
mod serve;
mod side;
mod targets;
mod theirs;
#[cfg(feature = "async")]
mod waiting;
mod work;

use std::fs;
use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};
use serde::Serialize;

use crate::measure::Pair;
use crate::process::Commands;
use crate::rows::{Bench, Row, rows};
use crate::targets::Target;

/// Measures cwasm beside Wasmtime.
#[derive(Parser)]
#[command(name = "cwasm-bench")]
struct Arguments {
    /// Print a list of rows as JSON; what it was measured on goes to standard error
    #[arg(long)]
    json: bool,
    /// Write a page with plots of the ratios to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Measure only the rows whose names start with this; may be given several times
    #[arg(long, value_name = "PREFIX")]
    rows: Vec<String>,
    /// The command `wasmtime` that the rows `process` and `serve` run, else that of the variable
    /// WASMTIME; without one they are left out
    #[arg(long, value_name = "PATH")]
    wasmtime: Option<PathBuf>,
    /// The command `cwasm` that they run; by default this project's release build
    #[arg(long, value_name = "PATH")]
    cwasm: Option<PathBuf>,
    #[command(subcommand)]
    hidden: Option<Hidden>,
}

#[derive(Subcommand)]
enum Hidden {
    /// Run by child processes to measure the memory that compiling takes.
    #[command(name = peak::COMMAND, hide = true)]
    Peak {
        work: String,
        input: PathBuf,
        threads: Option<NonZeroUsize>,
    },
    /// Run by child processes to measure the memory of tasks that wait.
    #[cfg(feature = "async")]
    #[command(name = held::COMMAND, hide = true)]
    Held {
        work: String,
        artifact: PathBuf,
        by: held::By,
    },
}

/// A row as JSON.
#[derive(Serialize)]
struct Record {
    row: &'static str,
    unit: &'static str,
    ours: f64,
    wasmtime: f64,
    ratio: f64,
    low: Option<f64>,
    high: Option<f64>,
    /// Whether the target is met, if there is one.
    is_met: Option<bool>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.hidden {
        Some(Hidden::Peak {
            work,
            input,
            threads,
        }) => return print(&format!("{}\n", peak::child(work, input, *threads)?)),
        #[cfg(feature = "async")]
        Some(Hidden::Held { work, artifact, by }) => {
            return print(&format!("{}\n", held::child(work, artifact, *by)?));
        }
        None => {}
    }
    let chosen = chosen(&arguments.rows)?;
    if arguments.json {
        eprint!("{}", header());
    } else {
        print(&header())?;
        print(&line(["row", "ours", "wasmtime", "ratio", "target"]))?;
    }
    let wasmtime = arguments.wasmtime.clone();
    let wasmtime = wasmtime.or_else(|| std::env::var_os("WASMTIME").map(PathBuf::from));
    let bench = Bench::new(Commands::new(arguments.cwasm.clone(), wasmtime)?)?;
    let mut measured = Vec::new();
    for row in &chosen {
        if let Some(missing) = row.missing(&bench) {
            eprintln!("{} is left out: {missing}", row.name);
            continue;
        }
        let pair = row.measure(&bench)?;
        if !arguments.json {
            print(&table_line(row, pair))?;
        }
        measured.push((row, pair));
        // Rows take hours, so what is there is written after each.
        if let Some(file) = &arguments.html {
            let page = page::page(&header(), &measured).html();
            fs::write(file, page).with_context(|| format!("cannot write `{}`", file.display()))?;
        }
    }
    if arguments.json {
        let records = measured.iter().map(|(row, pair)| record(row, *pair));
        let records: Vec<_> = records.collect();
        print(&(serde_json::to_string_pretty(&records)? + "\n"))?;
    }
    Ok(())
}

/// The rows that were asked for.
fn chosen(prefixes: &[String]) -> Result<Vec<Row>> {
    let wanted = |row: &Row| {
        prefixes.is_empty()
            || prefixes
                .iter()
                .any(|prefix| row.name.starts_with(prefix.as_str()))
    };
    let chosen: Vec<_> = rows().filter(wanted).collect();
    let names: Vec<_> = rows().map(|row| row.name).collect();
    ensure!(
        !chosen.is_empty(),
        "no row starts so; the rows are {}",
        names.join(", ")
    );
    Ok(chosen)
}

/// The versions that are compared, the machine and the command.
fn header() -> String {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let words = |path, count| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace()
            .take(count)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut command = String::from("cargo run --release --manifest-path bench/Cargo.toml");
    for (index, argument) in std::env::args().skip(1).enumerate() {
        command += if index == 0 { " -- " } else { " " };
        command += &argument;
    }
    format!(
        "cwasm {} beside wasmtime {}; medians, samples in turns\n\
         machine: {}, {cpus} CPUs, Linux {}, load {}\n\
         command: {command}\n\n",
        version("cwasm"),
        version("wasmtime"),
        cpu_model(),
        words("/proc/sys/kernel/osrelease", 1),
        words("/proc/loadavg", 3),
    )
}

/// The version of a package that this program was built with.
fn version(package: &str) -> &'static str {
    let heading = format!("name = \"{package}\"\nversion = \"");
    let after = include_str!("../Cargo.lock")
        .split_once(&heading)
        .map(|(_, after)| after);
    after
        .and_then(|after| after.split('"').next())
        .unwrap_or("of unknown version")
}

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line
        .and_then(|line| line.split_once(": "))
        .map(|(_, name)| name);
    name.unwrap_or("unknown CPU").to_owned()
}

fn record(row: &Row, pair: Pair) -> Record {
    Record {
        row: row.name,
        unit: row.unit.name(),
        ours: pair.ours,
        wasmtime: pair.theirs,
        ratio: pair.ratio(),
        low: pair.interval.map(|(low, _)| low),
        high: pair.interval.map(|(_, high)| high),
        is_met: Target::of(row).map(|target| target.is_met(pair)),
    }
}

fn table_line(row: &Row, pair: Pair) -> String {
    let target = Target::of(row).map(|target| {
        let verdict = if target.is_met(pair) { "met" } else { "MISSED" };
        format!("{target} {verdict}")
    });
    line([
        row.name,
        &row.unit.show(pair.ours),
        &row.unit.show(pair.theirs),
        &format!("{:.3}", pair.ratio()),
        &target.unwrap_or_default(),
    ])
}

fn line([row, ours, theirs, ratio, target]: [&str; 5]) -> String {
    let line = format!("{row:<24}{ours:>12}{theirs:>12}{ratio:>8}  {target}");
    format!("{}\n", line.trim_end())
}

/// Prints at once: rows are seen as they come.
fn print(text: &str) -> Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::Guest;

    #[test]
    fn rows_are_chosen_by_prefix() {
        let names = |prefixes: &[&str]| -> Option<Vec<&str>> {
            let prefixes: Vec<_> = prefixes.iter().map(|prefix| prefix.to_string()).collect();
            Some(chosen(&prefixes).ok()?.iter().map(|row| row.name).collect())
        };
        assert_eq!(
            names(&["load.s", "host.add", "load.large"]).unwrap(),
            ["load.small", "load.large", "host.add"]
        );
        assert_eq!(names(&[]).unwrap().len(), rows().count());
        assert!(names(&["none"]).is_none());
    }

    #[test]
    fn versions_are_known() {
        assert!(version("wasmtime").starts_with("48.0."));
        assert!(version("nothing").contains("unknown"));
    }

    #[test]
    fn guests_are_the_same_every_time() {
        let all = [
            Guest::Bench,
            Guest::Pair,
            Guest::Small,
            Guest::Medium,
            Guest::Large,
            Guest::Add,
            #[cfg(feature = "async")]
            Guest::Waiting,
            #[cfg(feature = "async")]
            Guest::Tasks,
        ];
        for guest in all {
            assert!(guest.wasm().unwrap() == guest.wasm().unwrap());
        }
    }
}
