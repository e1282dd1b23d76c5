//! The command `cwasm-fuzz`: see `README.md`.
#![allow(
    clippy::print_stdout,
    reason = "a command that answers on standard output"
)]

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use cwasm_fuzz::campaign::{self, Schedule, Stats, Status};
use cwasm_fuzz::{Case, Finding, Lab, Target};

/// How often workers are looked at.
const TICK: Duration = Duration::from_millis(100);
/// A case that is seen more often hangs: after a minute, in which time does not count while all of
/// us are stopped.
const MAX_LOOKS: u32 = 600;
/// How often the figures are printed.
const REPORT: Duration = Duration::from_secs(60);
/// How many choices are tried on a module that is given as it is.
const CHOICES: u64 = 64;

/// Runs random modules through cwasm and through something else that must do the same.
#[derive(Debug, Parser)]
#[command(name = "cwasm-fuzz")]
struct Args {
    /// The target to fuzz.
    #[arg(value_parser = target())]
    target: Target,
    /// For how long.
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// Where the cases' seeds come from, in hexadecimal; by default the time.
    #[arg(long, value_name = "HEX", value_parser = hex)]
    seed: Option<u64>,
    /// Processes.
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: u64,
    /// Run one case: a case's seed in hexadecimal, the file of a finding, or a module.
    #[arg(long, value_name = "HEX or FILE")]
    case: Option<String>,
    /// Where findings go.
    #[arg(long, value_name = "DIR", default_value = "target/fuzz")]
    out: PathBuf,
    /// Be a worker that writes its status to this file.
    #[arg(long, value_name = "FILE", hide = true)]
    worker: Option<PathBuf>,
}

fn target() -> impl TypedValueParser<Value = Target> {
    let names = Target::ALL.iter().map(|target| target.name());
    PossibleValuesParser::new(names).try_map(|name| Target::from_name(&name).ok_or("no target"))
}

fn hex(text: &str) -> Result<u64, std::num::ParseIntError> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16)
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match (&args.case, &args.worker) {
        (Some(case), _) => run_case(&args, case),
        (None, Some(status)) => work(&args, status),
        (None, None) => supervise(&args),
    };
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs one case, prints what it shows, and returns the number of findings.
fn run_case(args: &Args, name: &str) -> io::Result<u64> {
    let cases: Vec<_> = match hex(name) {
        Ok(seed) => vec![Case::from_seed(seed)],
        Err(_) => {
            let case = Case::from_bytes(&fs::read(name)?).map_err(io::Error::other)?;
            match case.is_module() {
                true => (0..CHOICES)
                    .map(|choices| case.with_choices(choices))
                    .collect(),
                false => vec![case],
            }
        }
    };
    let lab = Lab::default();
    for case in cases {
        match campaign::check(&lab, args.target, &case) {
            Ok(None) => println!("skipped: it cannot be run on all sides"),
            Ok(Some(report)) => println!("{report:?}"),
            Err(finding) => {
                println!("{}", finding.message);
                return Ok(1);
            }
        }
    }
    Ok(0)
}

/// Runs cases until the time is over.
fn work(args: &Args, status_path: &Path) -> io::Result<u64> {
    let file = File::create(status_path)?;
    let schedule = Schedule {
        target: args.target,
        seed: args.seed.unwrap_or(0),
        time: Duration::from_secs(args.seconds),
    };
    let stats = campaign::run(
        schedule,
        |status| {
            if let Err(error) = status.write(&file) {
                panic!("cannot write {}: {error}", status_path.display());
            }
        },
        |case, seed, finding| report_finding(args, case, seed, finding),
    );
    Ok(stats.findings)
}

fn report_finding(args: &Args, case: &Case, seed: u64, finding: &Finding) {
    println!("finding in case {seed:016x}: {}", finding.message);
    match campaign::save(&args.out, args.target, case, seed, finding) {
        Ok(path) => println!(
            "again with: cwasm-fuzz {} --case {}",
            args.target.name(),
            path.display()
        ),
        Err(error) => println!("cannot write it to {}: {error}", args.out.display()),
    }
}

/// A worker process.
struct Worker {
    child: Child,
    status_path: PathBuf,
    status: Status,
    /// How often it was seen to run the same case.
    looks: u32,
}

/// Starts workers, starts those again that crash, and prints what they have done in all.
fn supervise(args: &Args) -> io::Result<u64> {
    fs::create_dir_all(&args.out)?;
    let seed = match args.seed {
        Some(seed) => seed,
        None => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_nanos() as u64),
    };
    println!("{} from seed {seed:016x}", args.target.name());
    let begin = Instant::now();
    let end = begin + Duration::from_secs(args.seconds);
    let mut started = 0;
    let mut start = || {
        started += 1;
        Worker::start(args, campaign::worker_seed(seed, started), end)
    };
    let mut workers = (0..args.jobs)
        .map(|_| start())
        .collect::<io::Result<Vec<_>>>()?;
    let mut done = Stats::default();
    let mut next_report = begin + REPORT;
    while !workers.is_empty() {
        thread::sleep(TICK);
        let mut running = Vec::new();
        for mut worker in workers {
            let Some(exit) = worker.look()? else {
                running.push(worker);
                continue;
            };
            done = done.plus(worker.status.stats);
            if exit.code().is_none() {
                done.findings += 1;
                worker.report_crash(args, exit);
                if Instant::now() < end {
                    running.push(start()?);
                }
            }
            let _ = fs::remove_file(&worker.status_path);
        }
        workers = running;
        if Instant::now() >= next_report || workers.is_empty() {
            next_report += REPORT;
            let statuses = workers.iter().map(|worker| worker.status.stats);
            print(statuses.fold(done, Stats::plus), begin.elapsed());
        }
    }
    Ok(done.findings)
}

impl Worker {
    fn start(args: &Args, seed: u64, end: Instant) -> io::Result<Worker> {
        let status_path = args.out.join(format!(
            "{}-{}-{seed:x}.status",
            args.target.name(),
            std::process::id()
        ));
        let left = end
            .saturating_duration_since(Instant::now())
            .as_secs()
            .max(1);
        let child = Command::new(std::env::current_exe()?)
            .arg(args.target.name())
            .args([
                "--seed",
                &format!("{seed:x}"),
                "--seconds",
                &left.to_string(),
            ])
            .arg("--out")
            .arg(&args.out)
            .arg("--worker")
            .arg(&status_path)
            .spawn()?;
        Ok(Worker {
            child,
            status_path,
            status: Status::default(),
            looks: 0,
        })
    }

    /// Reads the status; how the worker ended, if it did. One that hangs is ended.
    fn look(&mut self) -> io::Result<Option<ExitStatus>> {
        let exit = self.child.try_wait()?;
        self.looks += 1;
        if let Some(status) = Status::read(&self.status_path) {
            if status.case != self.status.case {
                self.looks = 0;
            }
            self.status = status;
        }
        if exit.is_none() && self.looks > MAX_LOOKS {
            self.child.kill()?;
        }
        Ok(exit)
    }

    fn report_crash(&self, args: &Args, exit: ExitStatus) {
        let case = Case::from_seed(self.status.case);
        let message = format!("the process ended: {exit}");
        let wasm = case.wasm(args.target).unwrap_or_default();
        report_finding(args, &case, self.status.case, &Finding { message, wasm });
    }
}

fn print(stats: Stats, elapsed: Duration) {
    let percent = |part: u64, whole: u64| 100 * part / whole.max(1);
    println!(
        "{} cases in {:.0} s of processor time, {:.0} a second; {} % executed, {} % skipped; \
         {} calls, {} % returned; {} findings",
        stats.cases,
        stats.cpu_micros as f64 / 1e6,
        stats.cases as f64 / elapsed.as_secs_f64(),
        percent(stats.executed, stats.cases),
        percent(stats.skipped, stats.cases),
        stats.calls,
        percent(stats.returned, stats.calls),
        stats.findings,
    );
}
