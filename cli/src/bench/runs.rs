//! Many runs: in fresh processes, with the file on disk or in memory, and in this process.
//!
//! Two subjects take turns, so that whatever else the machine does touches both.

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cwasm::{Engine, Error, Result};
use indicatif::ProgressBar;
use rustix::fs::{Advice, fadvise};
use serde::{Deserialize, Serialize};

use super::once::{Line, Once};
use super::phase::{Cost, Meter, Phase};
use super::subject::Subject;
use super::table;
use crate::load;

/// How a run is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// In a process of its own.
    Fresh,
    /// The same, after the system was asked to forget the file's pages.
    Cold,
    /// In a process that has done the same before: everything is made anew.
    Warm,
    /// As warm, after the system was asked to forget the file's pages.
    Reread,
    /// In a process that keeps the component linked: instances only.
    Again,
}

impl Kind {
    pub(super) const ALL: [Kind; 5] = [
        Kind::Fresh,
        Kind::Cold,
        Kind::Warm,
        Kind::Reread,
        Kind::Again,
    ];

    /// Its part of the time.
    pub(super) fn share(self) -> f64 {
        match self {
            Kind::Fresh => 0.25,
            Kind::Cold => 0.3,
            Kind::Warm | Kind::Reread => 0.1,
            Kind::Again => 0.05,
        }
    }

    /// Whether the file's pages are not to be in memory.
    pub(super) fn is_from_disk(self) -> bool {
        matches!(self, Kind::Cold | Kind::Reread)
    }
}

/// What the runs of one kind cost.
#[derive(Default)]
pub(super) struct Samples {
    pub(super) runs: usize,
    pub(super) costs: BTreeMap<Phase, Vec<Cost>>,
}

/// The number of a subject that failed, and how.
pub(super) type Failed = (usize, Error);

impl Samples {
    fn add(&mut self, costs: &[(Phase, Cost)]) {
        self.runs += 1;
        for (phase, cost) in costs {
            self.costs.entry(*phase).or_default().push(*cost);
        }
    }
}

/// Makes runs of one kind, of each subject as many, until there are enough or the time is over. The
/// number of the subject that failed, and how, if one did.
///
/// # Errors
/// If runs cannot be made at all.
pub(super) fn make(
    kind: Kind,
    subjects: &[&Subject<'_>],
    runs: usize,
    budget: Duration,
    bar: &ProgressBar,
) -> Result<(Vec<Samples>, Option<Failed>)> {
    let engine = Engine::new(&cwasm::Config::new())?;
    let meter = Meter::new()?;
    let mut samples: Vec<Samples> = subjects.iter().map(|_| Samples::default()).collect();
    let mut linked = Vec::new();
    if kind == Kind::Again {
        for subject in subjects {
            let component = load::map(&engine, subject.artifact)?;
            linked.push(subject.link(&engine, &component)?);
        }
    }
    bar.set_message(table::word(kind));
    bar.set_length(runs as u64);
    bar.set_position(0);
    let start = Instant::now();
    for _ in 0..runs {
        for (number, subject) in subjects.iter().enumerate() {
            if kind.is_from_disk() {
                forget(subject)?;
            }
            let once = match kind {
                Kind::Fresh | Kind::Cold => process(subject)?,
                Kind::Warm | Kind::Reread => Once::whole(&meter, &engine, subject),
                Kind::Again => {
                    let mut once = Once::default();
                    once.instance(&meter, subject, &linked[number]);
                    once
                }
            };
            samples[number].add(&once.costs);
            if let Some(error) = once.error {
                return Ok((samples, Some((number, error))));
            }
        }
        // A terminal would be in the way of what takes microseconds in this process.
        if matches!(kind, Kind::Fresh | Kind::Cold) {
            bar.inc(1);
        }
        if start.elapsed() >= budget {
            break;
        }
    }
    Ok((samples, None))
}

/// A run in a process of its own.
fn process(subject: &Subject<'_>) -> Result<Once> {
    let failed = |message: String| {
        Error::msg(message).context("cannot measure in a fresh process of this command")
    };
    let command = env::current_exe().map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new(command);
    // The process reads the same command line: what is granted, and what to call.
    command.arg("bench").arg("--once").arg(subject.artifact);
    command.args(env::args_os().skip(2)).stdin(Stdio::null());
    let start = Instant::now();
    let output = command.output();
    let time = start.elapsed();
    let output = output.map_err(|error| failed(error.to_string()))?;
    let line = match output.status.success() {
        true => serde_json::from_slice::<Line>(&output.stdout).ok(),
        false => None,
    };
    let Some(line) = line else {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(format!("{}: {}", output.status, said.trim())));
    };
    let mut costs = line.costs;
    if line.error.is_none() {
        let ns = time.as_nanos() as f64;
        costs.push((
            Phase::Process,
            Cost {
                ns,
                ..Cost::default()
            },
        ));
    }
    Ok(Once {
        costs,
        error: line.error.map(Error::msg),
    })
}

/// Asks the system to drop the artifact's pages. It need not: pages that others have mapped stay,
/// and so does a file system in memory.
fn forget(subject: &Subject<'_>) -> Result<()> {
    let file = File::open(subject.artifact)?;
    Ok(fadvise(&file, 0, None, Advice::DontNeed).map_err(std::io::Error::from)?)
}
