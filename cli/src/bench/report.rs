//! What was measured, as `--json` prints it and as a later comparison reads it.

use std::path::Path;

use cwasm::{Error, Result};
use cwasm_report::stats::Percentiles;
use serde::{Deserialize, Serialize};

use super::compare::Ratio;
use super::many::{Memory, Rate};
use super::phase::{Cost, Phase};
use super::runs::{Kind, Samples};
use crate::input::Name;

/// The name and version of the JSON's form.
const FORMAT: &str = "cwasm-bench-1";

/// All that `--json` prints.
#[derive(Serialize, Deserialize)]
pub(super) struct Document {
    format: String,
    pub(super) reports: Vec<Report>,
    /// The second report beside the first.
    pub(super) comparison: Vec<Ratio>,
}

/// What was measured of a file.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) file: String,
    /// The version of the command.
    pub(super) version: String,
    pub(super) cpu: String,
    pub(super) kernel: String,
    pub(super) artifact_bytes: u64,
    pub(super) compile_ms: Option<f64>,
    /// What was called in each instance, if anything.
    pub(super) call: Option<String>,
    pub(super) series: Vec<Series>,
    pub(super) rates: Vec<Rate>,
    pub(super) memory: Option<Memory>,
    /// What a reader should know about the figures.
    pub(super) notes: Vec<String>,
    /// Why it was not measured to the end.
    pub(super) error: Option<String>,
}

/// Runs of one kind.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Series {
    pub(super) kind: Kind,
    pub(super) runs: usize,
    pub(super) phases: Vec<Measured>,
}

/// A phase of these runs: nanoseconds, and page faults of each on average.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) phase: Phase,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    /// Not counted of a whole process.
    pub(super) minor_faults: Option<f64>,
    pub(super) major_faults: Option<f64>,
    /// In the order in which they were measured.
    pub(super) samples: Vec<f64>,
}

impl Document {
    pub(super) fn new(reports: Vec<Report>, comparison: Vec<Ratio>) -> Document {
        Document {
            format: FORMAT.to_owned(),
            reports,
            comparison,
        }
    }

    /// The report in a file that `--json` wrote.
    pub(super) fn read(file: &Path) -> Result<Report> {
        let bytes = std::fs::read(file)
            .map_err(|error| Error::from(error).context(format!("cannot read {}", Name(file))))?;
        let wrong = |found: String| {
            Error::msg(format!(
                "{}: found {found}, expected what `cwasm bench --json` prints for one file",
                Name(file)
            ))
        };
        let document: Document =
            serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        if document.format != FORMAT {
            return Err(wrong(format!(
                "the format `{}`, not `{FORMAT}`",
                document.format
            )));
        }
        let count = document.reports.len();
        let [report] = <[Report; 1]>::try_from(document.reports)
            .map_err(|_| wrong(format!("reports of {count} files")))?;
        // Everything that follows divides by them, or takes their middle.
        let has_samples = |measured: &Measured| {
            let samples = &measured.samples;
            !samples.is_empty() && samples.iter().all(|ns| ns.is_finite() && *ns >= 0.0)
        };
        let mut phases = report.series.iter().flat_map(|series| &series.phases);
        match phases.all(has_samples) && report.rates.iter().all(|rate| !rate.rounds.is_empty()) {
            true => Ok(report),
            false => Err(wrong("a phase without samples".to_owned())),
        }
    }
}

impl Report {
    pub(super) fn series(&self, kind: Kind) -> Option<&Series> {
        self.series.iter().find(|series| series.kind == kind)
    }
}

impl Series {
    pub(super) fn of(kind: Kind, samples: &Samples) -> Series {
        let phases = samples.costs.iter();
        Series {
            kind,
            runs: samples.runs,
            phases: phases
                .map(|(phase, costs)| Measured::of(*phase, costs))
                .collect(),
        }
    }

    pub(super) fn phase(&self, phase: Phase) -> Option<&Measured> {
        self.phases.iter().find(|measured| measured.phase == phase)
    }
}

impl Measured {
    fn of(phase: Phase, costs: &[Cost]) -> Measured {
        // A tenth of a nanosecond is less than any clock shows.
        let samples: Vec<f64> = costs
            .iter()
            .map(|cost| (cost.ns * 10.0).round() / 10.0)
            .collect();
        let found = Percentiles::of(&samples);
        let of = |figure: fn(Percentiles) -> f64| found.map(figure).unwrap_or_default();
        let mean = |figure: fn(&Cost) -> f64| {
            let sum: f64 = costs.iter().map(figure).sum();
            let mean = (sum / costs.len() as f64 * 1000.0).round() / 1000.0;
            (phase != Phase::Process).then_some(mean)
        };
        Measured {
            phase,
            p50: of(|found| found.p50),
            p90: of(|found| found.p90),
            p99: of(|found| found.p99),
            min: of(|found| found.min),
            max: of(|found| found.max),
            minor_faults: mean(|cost| cost.minor),
            major_faults: mean(|cost| cost.major),
            samples,
        }
    }
}
