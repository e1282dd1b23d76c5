//! A whole page. `PAGE=FILE cargo test --workspace --test page` writes it, to be looked at.

use cwasm_report::plot::{Bar, Curve, Line, RatioRow, Series, by_threads, distribution};
use cwasm_report::plot::{ratios, stacked};
use cwasm_report::{Block, Page, Quantity, Section, Table, Tile};

/// Samples around a figure, some of them much larger, as times are.
fn samples(around: f64) -> Vec<f64> {
    let spread = |index: u32| f64::from(index * 7919 % 101) / 101.0;
    (0..300)
        .map(|index| around * (1.0 + 0.2 * spread(index) + 0.5 * spread(index).powi(20)))
        .collect()
}

fn page() -> Page {
    let phases = [
        "start",
        "map",
        "link",
        "instantiate",
        "first call",
        "drop",
        "end",
    ];
    let bar = |label: &str, scale: f64| Bar {
        label: label.to_owned(),
        parts: (0..7)
            .map(|index| (Series(index), scale * f64::from(index + 2)))
            .collect(),
    };
    let bars = [bar("cold cache", 150_000.0), bar("warm cache", 40_000.0)];
    let legend: Vec<_> = (0..).map(Series).zip(phases.map(str::to_owned)).collect();
    let curves = |name: &str| {
        let kinds = ["cold", "warm", "again"].iter().zip(1..);
        let curves: Vec<_> = kinds
            .map(|(label, series)| Curve {
                series: Series(series),
                label: (*label).to_owned(),
                samples: samples(90_000.0 / 9f64.powi(series.into())),
            })
            .collect();
        distribution(name, &curves, Quantity::Time)
    };
    let line = Line {
        series: Series(1),
        label: "instances".to_owned(),
        points: vec![(1, 410_000.0), (2, 790_000.0), (4, 1_400_000.0)],
    };
    let row = |label: &str, ratio: f64, target| RatioRow {
        label: label.to_owned(),
        series: Series(if ratio < 1.0 { 2 } else { 3 }),
        ratio,
        interval: Some((ratio * 0.93, ratio * 1.06)),
        target,
    };
    let section = |title: &str, blocks| Section {
        title: title.to_owned(),
        text: "What is to be seen here, in a sentence.".to_owned(),
        blocks,
    };
    let table = Table {
        head: vec!["phase".to_owned(), "p50".to_owned()],
        rows: vec![vec!["map".to_owned(), "12.3 µs".to_owned()]],
    };
    Page {
        title: "greet.wasm".to_owned(),
        lead: "Calls of greet(\"world\").".to_owned(),
        tiles: vec![Tile {
            figure: "1.23 ms".to_owned(),
            name: "a whole process".to_owned(),
        }],
        notes: vec!["cold: 12 of 100 runs".to_owned()],
        sections: vec![
            section(
                "Time",
                vec![Block::Plot(stacked("time", &bars, Quantity::Time, &legend))],
            ),
            section(
                "Distributions",
                vec![Block::Plots(
                    phases.iter().map(|name| curves(name)).collect(),
                )],
            ),
            section(
                "Threads",
                vec![Block::Plot(by_threads(
                    "threads",
                    &[line],
                    Quantity::PerSecond,
                ))],
            ),
            section(
                "Ratios",
                vec![
                    Block::Plot(ratios(
                        "ratios",
                        &[
                            row("load.large", 0.06, None),
                            row("load.small", 0.42, Some(0.38)),
                            row("compile.wall", 0.74, None),
                            row("kernel.sort", 1.02, Some(1.02)),
                        ],
                    )),
                    Block::Folded("Percentiles".to_owned(), table),
                ],
            ),
        ],
        facts: vec![("machine".to_owned(), "a fast one".to_owned())],
    }
}

#[test]
fn a_page_needs_nothing_but_itself() {
    let html = page().html();
    if let Some(file) = std::env::var_os("PAGE") {
        std::fs::write(file, &html).unwrap();
    }
    for other in [
        "http:", "https:", "src=", "href=", "url(", "@import", "<script",
    ] {
        assert!(!html.contains(other), "{other}");
    }
    for element in [
        "svg", "section", "table", "tr", "td", "figure", "details", "div", "span",
    ] {
        let count = |text: &str| html.matches(text).count();
        let opened = count(&format!("<{element}>")) + count(&format!("<{element} "));
        assert_eq!(opened, count(&format!("</{element}>")), "{element}");
    }
    assert_eq!(html.matches("<svg ").count(), 10);
}

#[test]
fn colors_are_those_of_the_style() {
    let html = page().html();
    let (style, body) = html.split_once("</style>").unwrap();
    assert!(!body.contains("\"#"), "a colour that is no name");
    for rest in body.split("var(").skip(1) {
        let name = rest.split(')').next().unwrap();
        assert!(
            style.matches(&format!("{name}: #")).count() == 2,
            "{name} in light and dark"
        );
    }
}
