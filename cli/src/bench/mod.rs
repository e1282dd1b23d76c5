//! `cwasm bench`: what it takes to load, instantiate and call a component.
//!
//! ```text
//! FILE -> Artifact -> Subject -> fresh, cold (a process for each run) -> Samples -> Report -> text
//!                             -> warm, again (this process)                      -> JSON
//!                             -> rates, memory (many instances)                  -> HTML
//! ```
//!
//! Fresh processes come first: no page of an artifact may be mapped here when the system is asked
//! to forget it. Two files take turns in each kind of run.

mod compare;
mod many;
mod once;
mod page;
mod phase;
mod report;
mod runs;
mod subject;
mod table;

use std::path::Path;
use std::time::Duration;

use cwasm::{Engine, Error, Result};
use cwasm_format::escape;
use indicatif::{ProgressBar, ProgressStyle};

use self::once::Once;
use self::phase::Meter;
use self::report::{Document, Report, Series};
use self::runs::Kind;
use self::subject::{Artifact, Subject, Target};
use crate::args::BenchArgs;
use crate::input::Name;
use crate::{load, output};

/// A file of the command line.
enum Source<'a> {
    /// To be measured: the file as the user named it.
    File(&'a Path, Artifact),
    /// Measured earlier.
    Earlier(Report),
}

/// What instances a second, and memory, have of the time.
const RATES_SHARE: f64 = 0.15;
const MEMORY_SHARE: f64 = 0.05;

/// Measures one or two files and prints what came out.
pub(crate) fn bench(args: &BenchArgs) -> Result<()> {
    if let Some(artifact) = &args.once {
        return once::child(args, artifact);
    }
    // What cannot be granted is told before anything takes time.
    let _: cwasm_wasi::WasiCtxBuilder = args.grants.builder()?;
    let sources = args.files.iter().map(|file| source(file, args));
    let sources = sources.collect::<Result<Vec<_>>>()?;
    let subjects = sources.iter().filter_map(|source| match source {
        Source::File(file, artifact) => Some(subject(file, artifact, args)),
        Source::Earlier(_) => None,
    });
    let subjects = subjects.collect::<Result<Vec<_>>>()?;
    let mut reports: Vec<Report> = Vec::new();
    for source in &sources {
        reports.push(match source {
            Source::File(file, artifact) => empty(file, artifact, args)?,
            Source::Earlier(report) => report.clone(),
        });
    }
    let measured = sources.iter().zip(&mut reports);
    let measured = measured.filter(|(source, _)| matches!(source, Source::File(..)));
    let mut measured: Vec<&mut Report> = measured.map(|(_, report)| report).collect();
    let result = measure(&subjects, &mut measured, args);
    if let [first, second] = &mut reports[..] {
        second
            .notes
            .extend(differences(first, second, subjects.len()));
    }
    show(reports, args)?;
    result
}

fn source<'a>(file: &'a Path, args: &BenchArgs) -> Result<Source<'a>> {
    match file
        .extension()
        .is_some_and(|extension| extension == "json")
    {
        true => Ok(Source::Earlier(Document::read(file)?)),
        false => Ok(Source::File(file, Artifact::of(file, args)?)),
    }
}

/// Finds what to call, and links it once, so that what cannot be measured is told first.
fn subject<'a>(file: &'a Path, artifact: &'a Artifact, args: &'a BenchArgs) -> Result<Subject<'a>> {
    let engine = Engine::new(&cwasm::Config::new())?;
    let component = load::map(&engine, &artifact.path)?;
    let subject = Subject {
        artifact: &artifact.path,
        file,
        target: Target::find(&component, args, file)?,
        args,
    };
    subject.link(&engine, &component)?;
    Ok(subject)
}

/// A report without figures.
fn empty(file: &Path, artifact: &Artifact, args: &BenchArgs) -> Result<Report> {
    let engine = Engine::new(&cwasm::Config::new())?;
    let component = load::map(&engine, &artifact.path)?;
    let call = match Target::find(&component, args, file)? {
        Target::Program => Some("wasi:cli/run, output discarded".to_owned()),
        Target::Func { .. } => args.invoke.clone(),
        Target::Nothing => None,
    };
    Ok(Report {
        file: match Name(file).is_stdin() {
            true => "standard input".to_owned(),
            false => file.to_string_lossy().into_owned(),
        },
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cpu: line_of("/proc/cpuinfo", "model name"),
        kernel: line_of("/proc/sys/kernel/osrelease", ""),
        artifact_bytes: artifact.bytes,
        compile_ms: artifact.compile_ms,
        call,
        series: Vec::new(),
        rates: Vec::new(),
        memory: None,
        notes: Vec::new(),
        error: None,
    })
}

/// What a file of the system says after this word.
fn line_of(path: &str, word: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(word));
    let said = line.map(|line| line.trim_start_matches([' ', '\t', ':']));
    said.unwrap_or("unknown").to_owned()
}

/// Fills the reports of these subjects, as far as they go.
///
/// # Errors
/// As `run`, if a guest fails.
fn measure(subjects: &[Subject<'_>], reports: &mut [&mut Report], args: &BenchArgs) -> Result<()> {
    if subjects.is_empty() {
        return Ok(());
    }
    let count = u32::try_from(subjects.len()).unwrap_or(u32::MAX);
    let part = |share: f64| args.budget.mul_f64(share);
    let all: Vec<&Subject<'_>> = subjects.iter().collect();
    let bar = progress_bar();
    for kind in Kind::ALL {
        let wanted = args.runs.get();
        let (samples, failed) = runs::make(kind, &all, wanted, part(kind.share()) * count, &bar)?;
        for (report, samples) in reports.iter_mut().zip(&samples) {
            let series = Series::of(kind, samples);
            if failed.is_none() {
                report.notes.extend(notes(&series, wanted, args.budget));
            }
            report.series.push(series);
        }
        if let Some((number, error)) = failed {
            bar.finish_and_clear();
            return Err(failure(&subjects[number], reports, number, error));
        }
    }
    bar.finish_and_clear();
    for (number, subject) in subjects.iter().enumerate() {
        let rates = many::rates(subject, part(RATES_SHARE));
        let memory = rates.and_then(|rates| {
            reports[number].rates = rates;
            many::memory(subject, part(MEMORY_SHARE))
        });
        match memory {
            Ok(memory) => reports[number].memory = Some(memory),
            Err(error) => return Err(failed(reports, number, error)),
        }
    }
    for (subject, report) in subjects.iter().zip(reports) {
        if matches!(subject.target, Target::Program) {
            let note = "a program is run once only in each instance: it has no later calls";
            report.notes.push(note.to_owned());
        }
    }
    Ok(())
}

/// A bar on standard error; invisible if that is no terminal.
fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len} runs") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// The error of a guest, with its backtrace: a fresh process sends only its text, so it is made to
/// fail again here.
fn failure(
    subject: &Subject<'_>,
    reports: &mut [&mut Report],
    number: usize,
    error: Error,
) -> Error {
    let again = || {
        let engine = Engine::new(&cwasm::Config::new()).ok()?;
        Once::whole(&Meter::new().ok()?, &engine, subject).error
    };
    let error = match error.trap() {
        Some(_) => error,
        None => again().unwrap_or(error),
    };
    failed(reports, number, error)
}

fn failed(reports: &mut [&mut Report], number: usize, error: Error) -> Error {
    let said = error.to_string();
    let note = "it failed: figures end there, and those of the last phase are of a failure";
    reports[number].notes.push(note.to_owned());
    reports[number].error = Some(said);
    error
}

/// Why two reports may differ for other reasons than their artifacts.
fn differences(first: &Report, second: &Report, measured_now: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if measured_now < 2 {
        let note = "compared with an earlier run: whatever else the machine did then and does now \
                    is in the ratios; two files of one command take turns";
        notes.push(note.to_owned());
    }
    let sides = |report: &Report| {
        [
            (
                "call",
                report.call.clone().unwrap_or_else(|| "nothing".to_owned()),
            ),
            ("processor", report.cpu.clone()),
            ("kernel", report.kernel.clone()),
            ("version of cwasm", report.version.clone()),
        ]
    };
    for ((what, first), (_, second)) in sides(first).into_iter().zip(sides(second)) {
        if first != second {
            notes.push(format!("not the same {what}: `{first}`, then `{second}`"));
        }
    }
    notes
}

/// What a reader should know of these runs.
fn notes(series: &Series, wanted: usize, budget: Duration) -> Vec<String> {
    let mut notes = Vec::new();
    let word = table::word(series.kind);
    if series.runs < wanted {
        notes.push(format!(
            "{word}: {} of {wanted} runs, as there was no more time for them (--budget {budget:?})",
            series.runs
        ));
    }
    let faults = |faults: Option<f64>| faults.unwrap_or_default();
    let major: f64 = series
        .phases
        .iter()
        .map(|phase| faults(phase.major_faults))
        .sum();
    if series.kind.is_from_disk() && major == 0.0 {
        let same = match series.kind {
            Kind::Reread => Kind::Warm,
            _ => Kind::Fresh,
        };
        notes.push(format!(
            "{word}: no page had to be read from a disk, so the system has kept the file in memory \
             (a file system in memory, or others have it mapped): these figures are those of `{}`",
            table::word(same)
        ));
    }
    notes
}

fn show(reports: Vec<Report>, args: &BenchArgs) -> Result<()> {
    let comparison = match &reports[..] {
        [first, second] => compare::compare(first, second),
        _ => Vec::new(),
    };
    let document = Document::new(reports, comparison);
    if let Some(file) = &args.html {
        std::fs::write(file, page::page(&document)).map_err(|error| {
            let file = escape::name(&file.to_string_lossy()).to_string();
            Error::from(error).context(format!("cannot write `{file}` (--html)"))
        })?;
    }
    if args.json {
        return output::print_json(&serde_json::to_string(&document)?);
    }
    let mut texts: Vec<String> = document.reports.iter().map(table::report).collect();
    if let [first, second] = &document.reports[..] {
        texts.push(table::comparison(
            [&first.file, &second.file],
            &document.comparison,
        ));
    }
    output::print(&texts.join("\n"))
}
