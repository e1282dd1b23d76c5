//! Reports as text for people.

use std::fmt::Write as _;

use cwasm_format::escape;
use cwasm_report::Quantity;

use super::compare::{Ratio, What};
use super::phase::Phase;
use super::report::{Report, Series};
use super::runs::Kind;

/// What a kind of run is, for people.
pub(super) fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Fresh => "fresh process, file in memory",
        Kind::Cold => "fresh process, file on disk (page cache dropped)",
        Kind::Warm => "same process, all made anew",
        Kind::Reread => "same process, all made anew, file on disk",
        Kind::Again => "same process, linked once: instances only",
    }
}

/// A kind of run as a column's head.
pub(super) fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Fresh => "fresh",
        Kind::Cold => "cold",
        Kind::Warm => "warm",
        Kind::Reread => "reread",
        Kind::Again => "again",
    }
}

/// A report, as far as it was measured.
pub(super) fn report(report: &Report) -> String {
    let mut text = format!(
        "{}: artifact of {}",
        escape::name(&report.file),
        bytes(report.artifact_bytes as f64)
    );
    if let Some(ms) = report.compile_ms {
        let _ = write!(text, ", compiled in {}", time(ms * 1e6));
    }
    let called = match &report.call {
        Some(call) => format!("calls {}", escape::text(call)),
        None => {
            "calls nothing (no --invoke, and not a program): instances are made only".to_owned()
        }
    };
    let _ = writeln!(text, "\n{called}\n{}, Linux {}", report.cpu, report.kernel);
    for series in &report.series {
        text.push_str(&rows(series));
    }
    if !report.rates.is_empty() {
        let call = if report.call.is_some() {
            ", called"
        } else {
            ""
        };
        let _ = writeln!(text, "\ninstances a second (made{call} and dropped)");
        let _ = writeln!(
            text,
            "  threads   a second  of new memory   reused  of them fenced"
        );
        for rate in &report.rates {
            let all = (rate.made + rate.reused).max(1) as f64;
            let part = |count: u64| format!("{:.1} %", count as f64 / all * 100.0);
            let _ = writeln!(
                text,
                "  {:>7} {:>10} {:>14} {:>8} {:>15}",
                rate.threads,
                grouped(rate.per_second),
                part(rate.made),
                part(rate.reused),
                part(rate.fenced),
            );
        }
    }
    if let Some(memory) = &report.memory {
        let _ = writeln!(
            text,
            "\nmemory of each of {} instances held: {} resident, of which {} private",
            memory.instances,
            bytes(memory.resident),
            bytes(memory.private),
        );
    }
    if !report.notes.is_empty() {
        text.push('\n');
    }
    for note in &report.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

fn rows(series: &Series) -> String {
    let runs = if series.runs == 1 { "run" } else { "runs" };
    let mut text = format!("\n{} ({} {runs})\n", title(series.kind), series.runs);
    let _ = writeln!(
        text,
        "  {:<12}{:>10}{:>10}{:>10}{:>10}{:>10}{:>14}{:>7}",
        "phase", "p50", "p90", "p99", "min", "max", "minor faults", "major"
    );
    for measured in &series.phases {
        let _ = writeln!(
            text,
            "  {:<12}{:>10}{:>10}{:>10}{:>10}{:>10}{:>14}{:>7}",
            measured.phase.name(),
            time(measured.p50),
            time(measured.p90),
            time(measured.p99),
            time(measured.min),
            time(measured.max),
            faults(measured.minor_faults),
            faults(measured.major_faults),
        );
    }
    text
}

/// A mean of page faults.
pub(super) fn faults(mean: Option<f64>) -> String {
    match mean {
        Some(mean) if mean == 0.0 || mean >= 100.0 => format!("{mean:.0}"),
        Some(mean) => format!("{mean:.1}"),
        None => "-".to_owned(),
    }
}

/// The second file beside the first.
pub(super) fn comparison(files: [&str; 2], ratios: &[Ratio]) -> String {
    let mut text = format!(
        "{} \u{f7} {}: ratio of medians [95 % confidence]; `*` if 1 is not in it\n",
        escape::name(files[1]),
        escape::name(files[0])
    );
    let cell = |what: What| match ratios.iter().find(|ratio| ratio.what == what) {
        Some(ratio) => shown(ratio),
        None => "-".to_owned(),
    };
    let processes: &[Kind] = &[Kind::Fresh, Kind::Cold];
    for kinds in [processes, &[Kind::Warm, Kind::Reread, Kind::Again]] {
        let _ = write!(text, "  {:<12}", "time");
        for kind in kinds {
            let _ = write!(text, "{:<21}", word(*kind));
        }
        text.push('\n');
        for phase in Phase::ALL {
            let cells = kinds.iter().map(|kind| cell(What::Time(*kind, phase)));
            let cells: Vec<_> = cells.collect();
            if cells.iter().all(|cell| cell == "-") {
                continue;
            }
            let _ = write!(text, "  {:<12}", phase.name());
            for cell in cells {
                let _ = write!(text, "{cell:<21}");
            }
            text.push('\n');
        }
        text.push('\n');
    }
    for ratio in ratios {
        if let What::Rate(threads) = ratio.what {
            let of = if threads == 1 { "thread" } else { "threads" };
            let _ = writeln!(
                text,
                "  instances a second on {threads} {of}: {}",
                shown(ratio)
            );
        }
    }
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

fn shown(ratio: &Ratio) -> String {
    let mark = if ratio.is_clear() { "*" } else { "" };
    format!(
        "{:.2} [{:.2}, {:.2}]{mark}",
        ratio.ratio, ratio.low, ratio.high
    )
}

/// Nanoseconds with three digits and a unit.
fn time(ns: f64) -> String {
    Quantity::Time.show(ns)
}

/// Bytes with three digits and a unit.
fn bytes(bytes: f64) -> String {
    Quantity::Bytes.show(bytes)
}

/// A whole number with its thousands apart.
fn grouped(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        assert_eq!(grouped(1_234_567.0), "1 234 567");
        assert_eq!(grouped(12.0), "12");
    }
}
