//! Runs cases with hostile guests. See `--help`.
#![allow(
    clippy::print_stdout,
    reason = "a command that reports on standard output"
)]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use cwasm_tests::artifact::Workshop;
use cwasm_tests::hostile::{Summary, run_number, run_worlds};

const USAGE: &str = "\
Compares calls of hostile guests with a reference implementation of the canonical ABI.

usage: hostile [--cases N] [--seed S] [--threads N] [--case NUMBER]

  --cases N      how many cases, 200000 by default
  --seed S       the number of the first world, 0 by default
  --threads N    2 by default
  --case NUMBER  this case alone, with the text of its component

The exit code is 1 if anything is not as expected, or the process keeps growing.";

/// Functions of a world, and cases that are run in it.
const FUNCS: usize = 40;
const CASES: usize = 1500;

/// MiB by which the process may grow after the first quarter.
const MAX_GROWTH: u64 = 32;

/// The stack of a thread: guests exhaust it.
const STACK: usize = 1 << 20;

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let (summary, leaks) = match arguments.case {
        Some(number) => {
            let (component, summary) = match run_number(&Workshop::new(), number, FUNCS) {
                Ok(found) => found,
                Err(message) => {
                    eprintln!("{message}");
                    return ExitCode::FAILURE;
                }
            };
            println!("{component}");
            (summary, false)
        }
        None => run(&arguments),
    };
    let mut mismatches: Vec<_> = summary.mismatches.iter().collect();
    mismatches.sort_by_key(|mismatch| mismatch.weight);
    for mismatch in mismatches.iter().take(5) {
        println!("--case {}: {}", mismatch.number, mismatch.message);
    }
    println!("{summary}");
    ExitCode::from(u8::from(leaks || !mismatches.is_empty()))
}

/// Runs as many worlds as there are cases for; whether memory was lost.
fn run(arguments: &Arguments) -> (Summary, bool) {
    let (start, memory) = (Instant::now(), Mutex::new(Vec::new()));
    let worlds = arguments.cases.div_ceil(CASES) as u64;
    let (next, total) = (AtomicU64::new(0), Mutex::new(Summary::default()));
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads {
            let work = || {
                let workshop = Workshop::new();
                loop {
                    let world = next.fetch_add(1, Ordering::Relaxed);
                    if world >= worlds {
                        break;
                    }
                    let number = arguments.seed + world;
                    let summary = run_worlds(&workshop, [number].into_iter(), FUNCS, CASES);
                    total.lock().expect("no thread panics").add(summary);
                    memory.lock().expect("no thread panics").push(resident());
                }
            };
            let builder = std::thread::Builder::new().stack_size(STACK);
            builder
                .spawn_scoped(scope, work)
                .expect("a thread can be started");
        }
    });
    let total = total.into_inner().expect("no thread panics");
    let seconds = start.elapsed().as_secs_f64();
    let rate = total.cases() as f64 / seconds;
    println!("{seconds:.1} s, {rate:.0} cases a second, {worlds} components");
    let memory = memory.into_inner().expect("no thread panics");
    let at = |part: usize| memory[(memory.len() - 1) * part / 4] >> 20;
    let (quarter, end) = (at(1), at(4));
    println!("{quarter} MiB resident after a quarter, {end} MiB at the end");
    (total, end > quarter + MAX_GROWTH)
}

/// Bytes of this process that are in memory; 0 where that cannot be asked.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// The arguments of the command line.
struct Arguments {
    cases: usize,
    seed: u64,
    threads: usize,
    case: Option<u64>,
}

fn arguments() -> Result<Arguments, String> {
    let mut found = Arguments {
        cases: 200_000,
        seed: 0,
        threads: 2,
        case: None,
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
            "--cases" => found.cases = number()? as usize,
            "--seed" => found.seed = number()?,
            "--threads" => found.threads = number()? as usize,
            "--case" => found.case = Some(number()?),
            other => return Err(format!("unknown argument `{other}`")),
        }
    }
    Ok(found)
}
