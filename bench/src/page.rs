//! The page of a run: all ratios as bars, by kind, with intervals and targets.

use cwasm_report::plot::{RatioRow, Series, ratios};
use cwasm_report::{Block, Page, Section, Table, Tile};

use crate::measure::Pair;
use crate::rows::Row;
use crate::targets::Target;

/// A kind of rows: those whose names start with one of these.
struct Kind {
    title: &'static str,
    text: &'static str,
    prefixes: &'static [&'static str],
}

const KINDS: &[Kind] = &[
    Kind {
        title: "Load and instantiate",
        text: "From a file to an instance, and instances one after another: load maps an artifact \
               and drops it, first-call does all up to an answer, recycled.N makes an instance, \
               calls it and drops it, when the call writes to N pages or the memory grows (beside \
               Wasmtime's pool).",
        prefixes: &["load.", "instantiate.", "first-call", "recycled."],
    },
    Kind {
        title: "Calls",
        text: "Typed calls from the host (call), of the host (host), and between components \
               (guest), by what they pass; calls that may wait, tasks and streams (async).",
        prefixes: &["call.", "host.", "guest.", "async."],
    },
    Kind {
        title: "Compiled code",
        text: "Run time of programs and kernels, and what it costs that code can be stopped.",
        prefixes: &["run.", "interruptible."],
    },
    Kind {
        title: "Compiler",
        text: "Time and peak memory of compilation, and sizes of artifacts.",
        prefixes: &["compile.", "size."],
    },
    Kind {
        title: "Whole commands",
        text: "From the start of a process to its end, and servers under load.",
        prefixes: &["process.", "serve."],
    },
];

/// The colours of bars that are as they should be, and of those that are not.
const GOOD: Series = Series(2);
const BAD: Series = Series(3);

/// The page of what was measured; `header` says on what.
pub(crate) fn page(header: &str, measured: &[(&Row, Pair)]) -> Page {
    let is_of = |row: &Row, kind: &Kind| kind.prefixes.iter().any(|it| row.name.starts_with(it));
    let kinds = KINDS.iter().map(|kind| {
        let rows = measured.iter().filter(|(row, _)| is_of(row, kind));
        (kind, rows.copied().collect::<Vec<_>>())
    });
    let known = |row: &Row| KINDS.iter().any(|kind| is_of(row, kind));
    let others = measured.iter().filter(|(row, _)| !known(row));
    let others: Vec<_> = others.copied().collect();
    let other = Kind {
        title: "Other rows",
        text: "",
        prefixes: &[],
    };
    let kinds = kinds.chain([(&other, others)]);
    let sections = kinds.filter(|(_, rows)| !rows.is_empty());
    Page {
        title: "cwasm beside Wasmtime".to_owned(),
        lead: "Ratios of medians, ours ÷ Wasmtime's, measured in turns on one machine: below 1 we \
               are ahead in all rows. The axes are logarithmic."
            .to_owned(),
        tiles: tiles(measured),
        notes: Vec::new(),
        sections: sections.map(|(kind, rows)| section(kind, &rows)).collect(),
        facts: facts(header),
    }
}

fn section(kind: &Kind, rows: &[(&Row, Pair)]) -> Section {
    let bars: Vec<_> = rows.iter().map(|(row, pair)| bar(row, *pair)).collect();
    let plot = ratios(kind.title, &bars).with_legend(&[
        (GOOD, "within the target, or below 1 where there is none"),
        (BAD, "above"),
        (Series::MARK, "target"),
        (Series::INTERVAL, "confidence interval, 95 %"),
    ]);
    let figures = rows.iter().map(|(row, pair)| {
        let interval = pair
            .interval
            .map(|(low, high)| format!("{low:.3} – {high:.3}"));
        let target = Target::of(row).map(|target| target.to_string());
        vec![
            row.name.to_owned(),
            row.unit.show(pair.ours),
            row.unit.show(pair.theirs),
            format!("{:.3}", pair.ratio()),
            interval.unwrap_or_default(),
            target.unwrap_or_default(),
        ]
    });
    let head = [
        "row",
        "cwasm",
        "Wasmtime",
        "ratio",
        "95 % interval",
        "target",
    ];
    let table = Table {
        head: head.map(str::to_owned).to_vec(),
        rows: figures.collect(),
    };
    Section {
        title: kind.title.to_owned(),
        text: kind.text.to_owned(),
        blocks: vec![
            Block::Plot(plot),
            Block::Folded("All figures".to_owned(), table),
        ],
    }
}

fn bar(row: &Row, pair: Pair) -> RatioRow {
    RatioRow {
        label: row.name.to_owned(),
        series: if is_good(row, pair) { GOOD } else { BAD },
        ratio: pair.ratio(),
        interval: pair.interval,
        target: Target::of(row).and_then(Target::ratio),
    }
}

fn is_good(row: &Row, pair: Pair) -> bool {
    Target::of(row).unwrap_or(Target::Ratio(1.0)).is_met(pair)
}

fn tiles(measured: &[(&Row, Pair)]) -> Vec<Tile> {
    let tile = |figure: String, name: &str| Tile {
        figure,
        name: name.to_owned(),
    };
    let count = |is: &dyn Fn(&Row, Pair) -> bool| {
        let found = measured.iter().filter(|(row, pair)| is(row, *pair));
        found.count()
    };
    let logs: f64 = measured.iter().map(|(_, pair)| pair.ratio().ln()).sum();
    let mean = (logs / measured.len().max(1) as f64).exp();
    let aimed = count(&|row, _| Target::of(row).is_some());
    let met = count(&|row, pair| Target::of(row).is_some() && is_good(row, pair));
    let ahead = count(&|_, pair| pair.ratio() < 1.0);
    vec![
        tile(format!("{mean:.3}"), "geometric mean of all ratios"),
        tile(
            format!("{ahead} of {}", measured.len()),
            "rows in which we are ahead",
        ),
        tile(format!("{met} of {aimed}"), "targets that are met"),
    ]
}

/// The lines of the header as names and values.
fn facts(header: &str) -> Vec<(String, String)> {
    let lines = header.lines().filter(|line| !line.is_empty());
    let facts = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap_or(("versions", line));
        (name.to_owned(), value.to_owned())
    });
    facts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::rows;

    #[test]
    fn every_row_is_of_a_kind() {
        let rows: Vec<_> = rows().collect();
        let measured: Vec<_> = rows.iter().map(|row| (row, Pair::of(1.0, 2.0))).collect();
        let page = page(
            "cwasm 1 beside wasmtime 2\nmachine: fast, 2 CPUs\n\n",
            &measured,
        );
        let titles: Vec<_> = page
            .sections
            .iter()
            .map(|section| &*section.title)
            .collect();
        assert_eq!(
            titles,
            KINDS.iter().map(|kind| kind.title).collect::<Vec<_>>()
        );
        assert_eq!(
            page.facts[1],
            ("machine".to_owned(), "fast, 2 CPUs".to_owned())
        );
        let html = page.html();
        for row in &rows {
            assert!(
                html.contains(&format!("<td>{}</td>", row.name)),
                "{}",
                row.name
            );
        }
    }
}
