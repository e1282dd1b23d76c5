//! Many cases, one after the other. A worker is a process, as a case may crash it; before each
//! case it writes to its status file which one it is, so that the parent can tell.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::program::Case;
use crate::reduce;
use crate::targets::{Finding, Lab, Report, Target};
use crate::value::mix;

/// The number of findings after which a worker stops, because they are likely to be the same.
const MAX_FINDINGS: u64 = 10;

/// Which cases to run.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// The target to fuzz.
    pub target: Target,
    /// Where the cases' seeds come from.
    pub seed: u64,
    /// For how long.
    pub time: Duration,
}

/// Statistics of a campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Cases that were begun.
    pub cases: u64,
    /// Those that could not be run on all sides.
    pub skipped: u64,
    /// Those in which a call returned.
    pub executed: u64,
    /// Calls of all cases, on one side.
    pub calls: u64,
    /// Calls that returned.
    pub returned: u64,
    /// Findings.
    pub findings: u64,
    /// Processor time in microseconds.
    pub cpu_micros: u64,
}

/// The contents of a worker's status file, as little-endian words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The seed of the case that is being run.
    pub case: u64,
    /// The statistics up to that case.
    pub stats: Stats,
}

impl Stats {
    /// Both together.
    pub fn plus(self, other: Stats) -> Stats {
        Stats {
            cases: self.cases + other.cases,
            skipped: self.skipped + other.skipped,
            executed: self.executed + other.executed,
            calls: self.calls + other.calls,
            returned: self.returned + other.returned,
            findings: self.findings + other.findings,
            cpu_micros: self.cpu_micros + other.cpu_micros,
        }
    }
}

impl Status {
    const WORDS: usize = 8;

    /// Writes the file.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, file: &File) -> io::Result<()> {
        let stats = &self.stats;
        let words: [u64; Self::WORDS] = [
            self.case,
            stats.cases,
            stats.skipped,
            stats.executed,
            stats.calls,
            stats.returned,
            stats.findings,
            stats.cpu_micros,
        ];
        file.write_all_at(words.map(u64::to_le_bytes).as_flattened(), 0)
    }

    /// Reads the file; `None` if nothing was written yet.
    pub fn read(path: &Path) -> Option<Status> {
        let bytes = fs::read(path).ok()?;
        let (words, _) = bytes.as_chunks();
        let words = <[[u8; 8]; Self::WORDS]>::try_from(words).ok()?;
        let [
            case,
            cases,
            skipped,
            executed,
            calls,
            returned,
            findings,
            cpu_micros,
        ] = words.map(u64::from_le_bytes);
        Some(Status {
            case,
            stats: Stats {
                cases,
                skipped,
                executed,
                calls,
                returned,
                findings,
                cpu_micros,
            },
        })
    }
}

/// The seed of worker `number` of a campaign.
pub fn worker_seed(seed: u64, number: u64) -> u64 {
    mix(seed, number)
}

/// Runs cases in this process. `begin` is told before each case, `found` what was found.
pub fn run(
    schedule: Schedule,
    mut begin: impl FnMut(Status),
    mut found: impl FnMut(&Case, u64, &Finding),
) -> Stats {
    let lab = Lab::default();
    let end = Instant::now() + schedule.time;
    let mut stats = Stats::default();
    for number in 0.. {
        let case_seed = mix(schedule.seed, number);
        stats.cpu_micros = processor_time();
        begin(Status {
            case: case_seed,
            stats,
        });
        if Instant::now() >= end || stats.findings >= MAX_FINDINGS {
            break;
        }
        stats.cases += 1;
        let case = Case::from_seed(case_seed);
        match check(&lab, schedule.target, &case) {
            Ok(None) => stats.skipped += 1,
            Ok(Some(report)) => {
                stats.calls += report.calls;
                stats.returned += report.returned;
                stats.executed += u64::from(report.returned > 0);
            }
            Err(finding) => {
                stats.findings += 1;
                let still = |case: &Case| check(&lab, schedule.target, case).is_err();
                let reduced = reduce::reduce(&case, still);
                let finding = check(&lab, schedule.target, &reduced)
                    .err()
                    .unwrap_or(finding);
                found(&reduced, case_seed, &finding);
            }
        }
    }
    stats
}

/// Runs one case; a panic is a finding.
///
/// # Errors
/// Checks a case. The error is the finding.
pub fn check(lab: &Lab, target: Target, case: &Case) -> Result<Option<Report>, Box<Finding>> {
    let checked = catch_unwind(AssertUnwindSafe(|| lab.check(target, case)));
    checked.unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        let message = format!("panic: {}", text.unwrap_or("without a message"));
        let wasm = case.wasm(target).unwrap_or_default();
        Err(Box::new(Finding { message, wasm }))
    })
}

/// Writes a finding to `folder`: the case, the module and the message. Returns the case's path.
///
/// # Errors
/// Those of the file system.
pub fn save(
    folder: &Path,
    target: Target,
    case: &Case,
    seed: u64,
    finding: &Finding,
) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("{}-{seed:016x}.case", target.name()));
    fs::write(&path, case.to_bytes())?;
    fs::write(path.with_extension("wasm"), &finding.wasm)?;
    fs::write(path.with_extension("txt"), format!("{}\n", finding.message))?;
    Ok(path)
}

/// Of this process, in microseconds.
pub(crate) fn processor_time() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_comes_back() {
        let stats = Stats {
            cases: 2,
            skipped: 3,
            executed: 4,
            calls: 5,
            returned: 6,
            findings: 7,
            cpu_micros: 8,
        };
        let status = Status { case: 1, stats };
        let path = std::env::temp_dir().join(format!("cwasm-fuzz-test-{}", std::process::id()));
        let file = File::create(&path).unwrap();
        assert_eq!(Status::read(&path), None);
        status.write(&file).unwrap();
        assert_eq!(Status::read(&path), Some(status));
        fs::remove_file(path).unwrap();
    }
}
