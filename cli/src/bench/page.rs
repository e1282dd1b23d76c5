//! `--html`: a page that needs no other file, with plots.

use std::fmt::Write as _;

use cwasm::Result;
use cwasm_format::escape;
use plotters::style::RGBColor;

use super::phase::Phase;
use super::plot;
use super::report::Document;
use super::runs::Kind;
use super::table;

const STYLE: &str = include_str!("page.css");

/// The page of these reports.
///
/// # Errors
/// If a plot cannot be drawn.
pub(super) fn page(document: &Document) -> Result<String> {
    let reports = &document.reports[..];
    let mut page = String::from("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n");
    page.push_str("<meta charset=\"utf-8\">\n<title>cwasm bench</title>\n");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width\">\n");
    let _ = writeln!(
        page,
        "<style>\n{STYLE}{}</style>\n</head>\n<body>",
        scheme()
    );
    page.push_str("<h1>cwasm bench</h1>\n<ol>\n");
    for (number, report) in reports.iter().enumerate() {
        let called = report.call.as_deref();
        let _ = writeln!(
            page,
            "<li>{} <code>{}</code>, artifact of {}, {}<br><small>{}, Linux {}</small></li>",
            swatch(plot::side(number)),
            text(&report.file),
            table::bytes(report.artifact_bytes as f64),
            called.map_or("calls nothing".to_owned(), |call| {
                format!("calls <code>{}</code>", text(call))
            }),
            text(&report.cpu),
            text(&report.kernel),
        );
    }
    page.push_str("</ol>\n");
    notes(document, &mut page);
    page.push_str("<h2>Time of each phase</h2>\n");
    legend(document, |phase| phase != Phase::Process, &mut page);
    page.push_str("<div class=\"plots\">\n");
    for kind in kinds(document) {
        figure(table::title(kind), &plot::stack(kind, reports)?, &mut page);
    }
    page.push_str("</div>\n<h2>Distribution of times</h2>\n");
    legend(document, |_| true, &mut page);
    page.push_str("<div class=\"plots\">\n");
    for kind in kinds(document) {
        let all: Vec<_> = reports
            .iter()
            .filter_map(|report| report.series(kind))
            .collect();
        for (number, report) in reports.iter().enumerate() {
            let Some(series) = report.series(kind) else {
                continue;
            };
            let mut title = table::title(kind).to_owned();
            if reports.len() > 1 {
                title = format!("file {}: {title}", number + 1);
            }
            figure(&title, &plot::distribution(series, &all)?, &mut page);
        }
    }
    page.push_str("</div>\n");
    if reports.iter().any(|report| !report.rates.is_empty()) {
        page.push_str("<h2>Many instances</h2>\n<div class=\"plots\">\n");
        let title = "made, called and dropped: median of the rounds, and each round";
        figure(title, &plot::rates(reports)?, &mut page);
        if reports.iter().any(|report| report.memory.is_some()) {
            let title = "memory, held after a call with many others";
            figure(title, &plot::memory(reports)?, &mut page);
        }
        page.push_str("</div>\n");
    }
    page.push_str("<h2>Figures</h2>\n");
    if let [first, second] = reports {
        let ratios = table::comparison([&first.file, &second.file], &document.comparison);
        let _ = writeln!(page, "<pre>{}</pre>", text(&ratios));
    }
    for report in reports {
        let _ = writeln!(page, "<pre>{}</pre>", text(&table::report(report)));
    }
    page.push_str("</body>\n</html>\n");
    Ok(page)
}

/// The kinds of runs that were made.
fn kinds(document: &Document) -> impl Iterator<Item = Kind> {
    let has = |kind: &Kind| {
        let mut reports = document.reports.iter();
        reports.any(|report| {
            report
                .series(*kind)
                .is_some_and(|series| !series.phases.is_empty())
        })
    };
    Kind::ALL.into_iter().filter(has)
}

fn notes(document: &Document, page: &mut String) {
    for (number, report) in document.reports.iter().enumerate() {
        for note in report.notes.iter().chain(&report.error) {
            let _ = writeln!(
                page,
                "<p class=\"note\">file {}: {}</p>",
                number + 1,
                text(note)
            );
        }
    }
}

/// The colours of those of these phases that were measured.
fn legend(document: &Document, is_shown: impl Fn(Phase) -> bool, page: &mut String) {
    let was_measured = |phase: &Phase| {
        let series = document.reports.iter().flat_map(|report| &report.series);
        series
            .into_iter()
            .any(|series| series.phase(*phase).is_some())
    };
    page.push_str("<p class=\"legend\">");
    let phases = Phase::ALL.into_iter().filter(|phase| is_shown(*phase));
    for phase in phases.filter(was_measured) {
        let _ = write!(
            page,
            "<span>{} {}</span> ",
            swatch(plot::color(phase)),
            phase.name()
        );
    }
    page.push_str("</p>\n");
}

fn swatch(color: RGBColor) -> String {
    format!("<i style=\"background:{}\"></i>", hex(color))
}

fn figure(title: &str, svg: &str, page: &mut String) {
    // Within a page it needs no address of its language.
    let svg = svg.replace(" xmlns=\"http://www.w3.org/2000/svg\"", "");
    let title = text(title);
    let _ = writeln!(
        page,
        "<figure><figcaption>{title}</figcaption>\n{svg}</figure>"
    );
}

/// The rules that give axes the colours of the page's scheme.
fn scheme() -> String {
    let mut rules = String::new();
    for (color, variable) in [(plot::INK, "ink"), (plot::GRID, "grid")] {
        for property in ["fill", "stroke"] {
            let color = hex(color);
            let _ = writeln!(
                rules,
                "svg [{property}=\"{color}\"] {{ {property}: var(--{variable}); }}"
            );
        }
    }
    rules
}

/// As plots write it.
fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

/// Text of a page: names of files and calls may have any characters.
fn text(text: &str) -> String {
    let text = escape::text(text).to_string();
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    text.replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_markup() {
        assert_eq!(
            text("<b a=\"1\">&\u{1b}"),
            "&lt;b a=&quot;1&quot;&gt;&amp;\\u{1b}"
        );
    }
}
