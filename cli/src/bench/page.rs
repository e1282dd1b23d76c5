//! `--html`: the page of one report, or of two beside each other.

use cwasm_format::escape;
use cwasm_report::plot::{self, Bar, Curve, Line, RatioRow, Series};
use cwasm_report::{Block, Page, Quantity, Section, Table, Tile};

use super::compare::What;
use super::phase::Phase;
use super::report::{Document, Report};
use super::runs::Kind;
use super::table;

/// The colours of two files, and of bars that say better, worse or neither.
const SIDES: [Series; 2] = [Series(1), Series(3)];
const BETTER: Series = Series(2);
const WORSE: Series = Series(3);
const UNCLEAR: Series = Series(9);

/// The page of these reports.
pub(super) fn page(document: &Document) -> String {
    let reports = &document.reports[..];
    let mut sections = Vec::new();
    if reports.len() > 1 {
        sections.extend(comparison(document));
    }
    sections.push(times(
        reports,
        "File in memory",
        "The median time of each phase, from the file to an answer and back. Fresh: a process for \
         each run. Warm: one process that has done the same before. Again: in that process the \
         component stays linked, as in a server, and instances are made only.",
        &[Kind::Fresh, Kind::Warm, Kind::Again],
    ));
    sections.push(times(
        reports,
        "File on disk",
        "The same after the system was asked to drop the file's pages from its cache. Cold: a \
         process for each run. Reread: one process.",
        &[Kind::Cold, Kind::Reread],
    ));
    sections.extend(many(reports));
    sections.extend(distributions(reports));
    sections.push(figures(reports));
    Page {
        title: title(reports),
        lead: lead(reports),
        tiles: tiles(reports),
        notes: notes(reports),
        sections: sections
            .into_iter()
            .filter(|section| !section.blocks.is_empty())
            .collect(),
        facts: facts(reports),
    }
    .html()
}

fn title(reports: &[Report]) -> String {
    let names: Vec<_> = (0..reports.len())
        .map(|number| name(reports, number))
        .collect();
    names.join(" beside ")
}

/// What stands for a report: the file's name; as it was given, if both have the same.
fn name(reports: &[Report], number: usize) -> String {
    let last = |report: &Report| {
        let last = report.file.rsplit('/').next();
        last.unwrap_or(&report.file).to_owned()
    };
    let own = last(&reports[number]);
    let is_other = |(other, report): (usize, &Report)| other != number && last(report) == own;
    let name = match reports.iter().enumerate().any(is_other) {
        true => format!("{own} ({})", number + 1),
        false => own,
    };
    escape::text(&name).to_string()
}

fn lead(reports: &[Report]) -> String {
    let mut calls: Vec<String> = reports
        .iter()
        .map(|report| match &report.call {
            Some(call) => format!("Calls {}", escape::text(call)),
            None => "Calls nothing: instances are made only".to_owned(),
        })
        .collect();
    calls.dedup();
    format!("{}. Times are medians.", calls.join("; "))
}

fn notes(reports: &[Report]) -> Vec<String> {
    let mut notes = Vec::new();
    for (number, report) in reports.iter().enumerate() {
        for note in report.notes.iter().chain(&report.error) {
            let whose = match reports.len() {
                1 => String::new(),
                _ => format!("{}: ", name(reports, number)),
            };
            notes.push(format!("{whose}{}", escape::text(note)));
        }
    }
    notes
}

/// Figures to see first: of the first report, and after an arrow of the second.
fn tiles(reports: &[Report]) -> Vec<Tile> {
    type Figure = fn(&Report) -> Option<f64>;
    let wanted: [(&str, Quantity, Figure); 6] = [
        (
            "a whole process, file in memory",
            Quantity::Time,
            |report| Some(report.series(Kind::Fresh)?.phase(Phase::Process)?.p50),
        ),
        (
            "from file to first answer in it",
            Quantity::Time,
            |report| {
                let series = report.series(Kind::Fresh)?;
                let phases = series.phases.iter();
                let before = phases.filter(|measured| measured.phase <= Phase::FirstCall);
                Some(before.map(|measured| measured.p50).sum())
            },
        ),
        (
            "an instance, called and dropped",
            Quantity::Time,
            |report| {
                let series = report.series(Kind::Again)?;
                let phases = series.phases.iter();
                let parts = phases.filter(|measured| is_part(measured.phase));
                Some(parts.map(|measured| measured.p50).sum())
            },
        ),
        ("a later call", Quantity::Time, |report| {
            Some(report.series(Kind::Again)?.phase(Phase::LaterCall)?.p50)
        }),
        ("instances, all threads", Quantity::PerSecond, |report| {
            Some(report.rates.last()?.per_second)
        }),
        ("private memory of an instance", Quantity::Bytes, |report| {
            Some(report.memory?.private)
        }),
    ];
    let tiles = wanted.into_iter().filter_map(|(name, quantity, figure)| {
        let figures = reports
            .iter()
            .map(|report| Some(quantity.show(figure(report)?)));
        Some(Tile {
            figure: figures.collect::<Option<Vec<_>>>()?.join(" → "),
            name: name.to_owned(),
        })
    });
    tiles.collect()
}

/// Whether the phase is one of those that follow each other: a later call may come or not, and a
/// process is all of them.
fn is_part(phase: Phase) -> bool {
    !matches!(phase, Phase::LaterCall | Phase::Process)
}

fn color(phase: Phase) -> Series {
    Series(match phase {
        Phase::Process => 0,
        Phase::Map => 1,
        Phase::Link => 2,
        Phase::Instantiate => 3,
        Phase::FirstCall => 4,
        Phase::Drop => 5,
        Phase::Unmap => 6,
        Phase::LaterCall => 7,
    })
}

/// Stacked phases of these kinds of runs.
fn times(reports: &[Report], title: &str, text: &str, kinds: &[Kind]) -> Section {
    let mut bars = Vec::new();
    let mut legend: Vec<(Series, String)> = Vec::new();
    for kind in kinds {
        for (number, report) in reports.iter().enumerate() {
            let Some(series) = report.series(*kind) else {
                continue;
            };
            let parts = series.phases.iter();
            let parts = parts.filter(|measured| is_part(measured.phase));
            let parts: Vec<_> = parts
                .map(|measured| {
                    let entry = (color(measured.phase), measured.phase.name().to_owned());
                    if !legend.contains(&entry) {
                        legend.push(entry);
                    }
                    (color(measured.phase), measured.p50)
                })
                .collect();
            let label = match reports.len() {
                1 => table::word(*kind).to_owned(),
                _ => format!("{}, {}", table::word(*kind), name(reports, number)),
            };
            bars.push(Bar { label, parts });
        }
    }
    legend.sort_by_key(|(series, _)| series.0);
    let plot = plot::stacked(title, &bars, Quantity::Time, &legend);
    Section {
        title: title.to_owned(),
        text: text.to_owned(),
        blocks: match bars.is_empty() {
            true => Vec::new(),
            false => vec![Block::Plot(plot)],
        },
    }
}

/// Ratios of the second report to the first.
fn comparison(document: &Document) -> Vec<Section> {
    let reports = &document.reports[..];
    let row = |label: String, ratio: &super::compare::Ratio, is_better: bool| RatioRow {
        label,
        series: match (ratio.is_clear(), is_better) {
            (false, _) => UNCLEAR,
            (true, true) => BETTER,
            (true, false) => WORSE,
        },
        ratio: ratio.ratio,
        interval: Some((ratio.low, ratio.high)),
        target: None,
    };
    let rows = document.comparison.iter().map(|ratio| match ratio.what {
        What::Time(kind, phase) => {
            let label = format!("{}: {}", table::word(kind), phase.name());
            row(label, ratio, ratio.ratio < 1.0)
        }
        What::Rate(threads) => {
            let label = format!("instances/s, threads: {threads}");
            row(label, ratio, ratio.ratio > 1.0)
        }
    });
    let rows: Vec<_> = rows.collect();
    let title = format!("{} ÷ {}", name(reports, 1), name(reports, 0));
    let plot = plot::ratios(&title, &rows).with_legend(&[
        (BETTER, "better"),
        (WORSE, "worse"),
        (UNCLEAR, "no clear difference"),
        (Series::INTERVAL, "confidence interval, 95 %"),
    ]);
    vec![Section {
        title,
        text: "Ratios of medians. Where the interval has 1 in it, chance may have made the \
               difference. Of times less is better, of instances a second more."
            .to_owned(),
        blocks: match rows.is_empty() {
            true => Vec::new(),
            false => vec![Block::Plot(plot)],
        },
    }]
}

/// Instances a second, and memory of each.
fn many(reports: &[Report]) -> Vec<Section> {
    let lines = reports.iter().enumerate().map(|(number, report)| Line {
        series: SIDES[number % 2],
        label: name(reports, number),
        points: report
            .rates
            .iter()
            .map(|rate| (rate.threads, rate.per_second))
            .collect(),
    });
    let lines: Vec<_> = lines.filter(|line| !line.points.is_empty()).collect();
    let rates = plot::by_threads("instances a second", &lines, Quantity::PerSecond);
    let bars = reports.iter().enumerate().filter_map(|(number, report)| {
        let memory = report.memory?;
        let shared = (memory.resident - memory.private).max(0.0);
        Some(Bar {
            label: name(reports, number),
            parts: vec![(Series(5), memory.private), (Series(9), shared)],
        })
    });
    let bars: Vec<_> = bars.collect();
    let legend = [
        (Series(5), "private to the process".to_owned()),
        (Series(9), "shared".to_owned()),
    ];
    let memory = plot::stacked("memory of an instance", &bars, Quantity::Bytes, &legend);
    let section = |title: &str, text: &str, plot, is_there| Section {
        title: title.to_owned(),
        text: text.to_owned(),
        blocks: match is_there {
            true => vec![Block::Plot(plot)],
            false => Vec::new(),
        },
    };
    vec![
        section(
            "Instances a second",
            "Made, called and dropped, by threads of one engine. Dashed: as many times those of \
             one thread.",
            rates,
            !lines.is_empty(),
        ),
        section(
            "Memory of an instance",
            "Resident bytes of each after its call, held together with others.",
            memory,
            !bars.is_empty(),
        ),
    ]
}

/// The kinds of runs as curves, for each phase; of two reports, both, for a new process and for an
/// old one.
fn distributions(reports: &[Report]) -> Vec<Section> {
    let curve = |report: &Report, kind, phase, series, label: String| {
        let measured = report.series(kind)?.phase(phase)?;
        Some(Curve {
            series,
            label,
            samples: measured.samples.clone(),
        })
    };
    let plots = |curves: &dyn Fn(Phase) -> Vec<Curve>| {
        let plots = Phase::ALL.into_iter().filter_map(|phase| {
            let curves = curves(phase);
            let plot = || plot::distribution(phase.name(), &curves, Quantity::Time);
            (!curves.is_empty()).then(plot)
        });
        Block::Plots(plots.collect())
    };
    let text = "The share of runs (upwards) that took at most so long; the axis is logarithmic, and \
                ends at the 99th percentile.";
    let section = |title: String, block| Section {
        title,
        text: text.to_owned(),
        blocks: vec![block],
    };
    if let [report] = reports {
        let of_kinds = |phase| {
            let kinds = Kind::ALL.into_iter().zip([1, 8, 3, 7, 5]);
            let curves = kinds.filter_map(|(kind, series)| {
                let label = table::title(kind).to_owned();
                curve(report, kind, phase, Series(series), label)
            });
            curves.collect()
        };
        return vec![section(
            "Distribution of times".to_owned(),
            plots(&of_kinds),
        )];
    }
    let sections = [Kind::Fresh, Kind::Again].map(|kind| {
        let of_files = |phase| {
            let files = reports.iter().enumerate();
            let curves = files.filter_map(|(number, report)| {
                let label = name(reports, number);
                curve(report, kind, phase, SIDES[number % 2], label)
            });
            curves.collect()
        };
        let title = format!("Distribution of times: {}", table::title(kind));
        section(title, plots(&of_files))
    });
    sections.into_iter().collect()
}

/// All percentiles and page faults, as tables that are folded.
fn figures(reports: &[Report]) -> Section {
    let head = [
        "phase",
        "p50",
        "p90",
        "p99",
        "min",
        "max",
        "minor faults",
        "major faults",
    ];
    let mut blocks = Vec::new();
    for (number, report) in reports.iter().enumerate() {
        for series in &report.series {
            let time = |ns: f64| Quantity::Time.show(ns);
            let rows = series.phases.iter().map(|measured| {
                vec![
                    measured.phase.name().to_owned(),
                    time(measured.p50),
                    time(measured.p90),
                    time(measured.p99),
                    time(measured.min),
                    time(measured.max),
                    table::faults(measured.minor_faults),
                    table::faults(measured.major_faults),
                ]
            });
            let kind = table::title(series.kind);
            let title = match reports.len() {
                1 => format!("{kind}: {} runs", series.runs),
                _ => format!("{}, {kind}: {} runs", name(reports, number), series.runs),
            };
            let table = Table {
                head: head.map(str::to_owned).to_vec(),
                rows: rows.collect(),
            };
            blocks.push(Block::Folded(title, table));
        }
    }
    Section {
        title: "Percentiles and page faults".to_owned(),
        text:
            "Page faults are means. Minor ones found their page in memory, major ones waited for \
               a disk."
                .to_owned(),
        blocks,
    }
}

fn facts(reports: &[Report]) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    for (number, report) in reports.iter().enumerate() {
        let size = Quantity::Bytes.show(report.artifact_bytes as f64);
        let compiled = report.compile_ms.map(|ms| {
            let time = Quantity::Time.show(ms * 1e6);
            format!(", compiled in {time}")
        });
        let file = escape::text(&report.file);
        facts.push((
            name(reports, number),
            format!(
                "{file}: artifact of {size}{}; {}, Linux {}, cwasm {}",
                compiled.unwrap_or_default(),
                report.cpu,
                report.kernel,
                report.version
            ),
        ));
    }
    facts
}
