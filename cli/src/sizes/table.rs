//! Sizes as text for people.

use std::fmt::Write as _;

use cwasm_format::escape;

use super::Report;
use super::account::{Bytes, Use};
use crate::output::short_name;

/// The uses that functions have bytes of: the columns of tables.
const COLUMNS: [Use; 4] = [Use::Code, Use::Images, Use::Tables, Use::Debug];

/// A row: its bytes, and its name.
struct Row {
    functions: Option<u64>,
    total: u64,
    bytes: Bytes,
    name: String,
}

/// The report, with at most `top` rows in each table.
pub(super) fn table(report: &Report<'_>, top: usize) -> String {
    let mut text = format!("{}: {} bytes\n", escape::name(&report.file), report.size);
    uses(report, &mut text);
    for (title, groups) in [
        ("component", &report.components),
        ("core module", &report.modules),
        ("crate or namespace", &report.namespaces),
    ] {
        let groups = groups.iter().map(|group| Row {
            functions: Some(group.functions),
            total: group.total,
            bytes: group.bytes,
            name: match &*group.component {
                "" => group.name.clone(),
                component => format!("{component} / {}", group.name),
            },
        });
        rows(report, title, groups.collect(), top, &mut text);
    }
    let functions = report.functions.iter().map(|item| Row {
        functions: report.merges_generics.then_some(item.functions),
        total: item.total,
        bytes: item.bytes,
        name: item.name.clone(),
    });
    rows(report, "function", functions.collect(), top, &mut text);
    let parts = report.parts.iter().map(|item| Row {
        functions: None,
        total: item.total,
        bytes: item.bytes,
        name: format!("{} ({})", item.name, used_for(&item.bytes)),
    });
    others(report, parts.collect(), top, &mut text);
    for note in &report.notes {
        let _ = writeln!(text, "\nnote: {note}");
    }
    text
}

fn used_for(bytes: &Bytes) -> &'static str {
    let found = Use::ALL.iter().find(|used| bytes[**used as usize] > 0);
    found.map_or("", |used| used.name())
}

fn uses(report: &Report<'_>, text: &mut String) {
    let _ = writeln!(text, "\n{:>10}  {:>7}  what for", "bytes", "share");
    for used in Use::ALL {
        let bytes = report.uses[used as usize];
        if bytes > 0 {
            let share = share(bytes, report.size);
            let _ = writeln!(text, "{bytes:>10}  {share}  {}", used.name());
        }
    }
}

/// A table with a column for each use; nothing if it has no rows.
fn rows(report: &Report<'_>, title: &str, rows: Vec<Row>, top: usize, text: &mut String) {
    if rows.is_empty() {
        return;
    }
    let has_counts = rows.iter().any(|row| row.functions.is_some());
    let columns = COLUMNS.iter().filter(|used| {
        let mut rows = rows.iter();
        rows.any(|row| row.bytes[**used as usize] > 0)
    });
    let columns: Vec<Use> = columns.copied().collect();
    let _ = write!(text, "\n{:>10}  {:>7}", "total", "share");
    for used in &columns {
        let _ = write!(text, " {:>10}", used.name());
    }
    if has_counts {
        let _ = write!(text, " {:>9}", "functions");
    }
    let _ = writeln!(text, "  {title}");
    for row in rows.iter().take(top) {
        let _ = write!(text, "{:>10}  {}", row.total, share(row.total, report.size));
        for used in &columns {
            let _ = write!(text, " {:>10}", row.bytes[*used as usize]);
        }
        if has_counts {
            let _ = write!(text, " {:>9}", row.functions.unwrap_or(0));
        }
        let _ = writeln!(text, "  {}", short_name(&row.name));
    }
    rest(report, &rows, top, text);
}

/// What is no function's.
fn others(report: &Report<'_>, rows: Vec<Row>, top: usize, text: &mut String) {
    let _ = writeln!(text, "\n{:>10}  {:>7}  other parts", "bytes", "share");
    for row in rows.iter().take(top) {
        let share = share(row.total, report.size);
        let _ = writeln!(
            text,
            "{:>10}  {share}  {}",
            row.total,
            short_name(&row.name)
        );
    }
    rest(report, &rows, top, text);
}

/// A row for those that are not shown.
fn rest(report: &Report<'_>, rows: &[Row], top: usize, text: &mut String) {
    let hidden = rows.get(top..).unwrap_or_default();
    if !hidden.is_empty() {
        let total = hidden.iter().map(|row| row.total).sum();
        let (share, count) = (share(total, report.size), hidden.len());
        let _ = writeln!(text, "{total:>10}  {share}  ... {count} more (--top)");
    }
}

fn share(bytes: u64, all: u64) -> String {
    format!("{:>5.1} %", bytes as f64 / all.max(1) as f64 * 100.0)
}
