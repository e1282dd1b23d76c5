//! Plots of reports, each an SVG.
//!
//! Colours of lines and text of the axes are names for the page's style sheet, which replaces them
//! by those of its light or dark scheme; colours of data are visible on both.

use cwasm::{Error, Result};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::phase::Phase;
use super::report::{Report, Series};
use super::runs::Kind;
use super::table::{bytes, grouped, time};

/// Text and axes; lines behind data. Replaced by the page's style.
pub(super) const INK: RGBColor = RGBColor(0x10, 0x20, 0x30);
pub(super) const GRID: RGBColor = RGBColor(0x30, 0x20, 0x10);

/// Points of a line, at most: more are not seen.
const MAX_POINTS: usize = 200;

const WIDTH: u32 = 560;
const TEXT: i32 = 13;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = std::result::Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// Colours that people who see few colours can tell apart (Paul Tol's "bright").
pub(super) fn color(phase: Phase) -> RGBColor {
    match phase {
        Phase::Map => RGBColor(0x44, 0x77, 0xaa),
        Phase::Link => RGBColor(0x66, 0xcc, 0xee),
        Phase::Instantiate => RGBColor(0x22, 0x88, 0x33),
        Phase::FirstCall => RGBColor(0xcc, 0xbb, 0x44),
        Phase::LaterCall => RGBColor(0xee, 0x66, 0x77),
        Phase::Drop => RGBColor(0xaa, 0x33, 0x77),
        Phase::Unmap => RGBColor(0x99, 0x99, 0x99),
        Phase::Process => RGBColor(0xdd, 0x77, 0x22),
    }
}

/// The colour of a report, by its place.
pub(super) fn side(number: usize) -> RGBColor {
    color([Phase::Map, Phase::LaterCall][number % 2])
}

fn svg(height: u32, draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String> {
    let mut text = String::new();
    let drawn = {
        let area = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        draw(&area).and_then(|()| area.present())
    };
    drawn.map_err(|error| Error::msg(format!("cannot draw a plot: {error}")))?;
    Ok(text)
}

/// The words of a bar: whose it is, if there are several.
fn of_file(number: usize, reports: &[Report], words: &str) -> String {
    match reports.len() {
        1 => words.to_owned(),
        _ => format!("file {}: {words}", number + 1),
    }
}

fn label() -> TextStyle<'static> {
    ("sans-serif", TEXT).into_font().color(&INK)
}

/// Medians of the phases of one run, one after the other: a bar for each report.
pub(super) fn stack(kind: Kind, reports: &[Report]) -> Result<String> {
    let bars: Vec<(usize, &Series)> = reports
        .iter()
        .enumerate()
        .filter_map(|(number, report)| Some((number, report.series(kind)?)))
        .collect();
    let parts = |series: &Series| -> Vec<(Phase, f64)> {
        let phases = series
            .phases
            .iter()
            .filter(|measured| measured.phase != Phase::Process);
        phases
            .map(|measured| (measured.phase, measured.p50))
            .collect()
    };
    let total = |series: &Series| parts(series).iter().map(|(_, ns)| ns).sum::<f64>();
    let longest = bars
        .iter()
        .map(|(_, series)| total(series))
        .fold(1.0, f64::max);
    let height = 60 + 52 * bars.len() as u32;
    svg(height, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_left(24)
            .margin_right(24)
            .x_label_area_size(40)
            .build_cartesian_2d(0.0..longest * 1.02, 0.0..bars.len() as f64)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .label_style(label())
            .x_labels(6)
            .x_label_formatter(&|ns| time(*ns))
            .x_desc("median time")
            .draw()?;
        for (row, (number, series)) in bars.iter().enumerate() {
            let bottom = (bars.len() - 1 - row) as f64;
            let mut start = 0.0;
            for (phase, ns) in parts(series) {
                let corners = [(start, bottom + 0.05), (start + ns, bottom + 0.5)];
                chart.draw_series([Rectangle::new(corners, color(phase).filled())])?;
                start += ns;
            }
            let words = of_file(*number, reports, &time(start));
            chart.draw_series([Text::new(words, (0.0, bottom + 0.9), label())])?;
        }
        Ok(())
    })
}

/// What part of the runs took at most so long: a line for each phase. `all` gives both sides the
/// same axis.
pub(super) fn distribution(series: &Series, all: &[&Series]) -> Result<String> {
    let figures = || all.iter().flat_map(|series| &series.phases);
    let low = figures()
        .map(|measured| measured.min)
        .fold(f64::INFINITY, f64::min);
    let high = figures().map(|measured| measured.max).fold(1.0, f64::max);
    let range = low.max(1.0) * 0.8..(high * 1.2).max(10.0);
    svg(320, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(24)
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d(range.log_scale(), 0.0..1.0)?;
        chart
            .configure_mesh()
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .label_style(label())
            .x_labels(8)
            .y_labels(5)
            .x_label_formatter(&|ns| time(*ns))
            .y_label_formatter(&|part| format!("{:.0} %", part * 100.0))
            .x_desc("time, logarithmic")
            .y_desc("runs that took at most this")
            .draw()?;
        for measured in &series.phases {
            let line = LineSeries::new(
                steps(&measured.samples),
                color(measured.phase).stroke_width(2),
            );
            chart.draw_series(line)?;
        }
        Ok(())
    })
}

/// Points of the empirical distribution of some samples, from nothing to all of them.
fn steps(samples: &[f64]) -> Vec<(f64, f64)> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    let points = count.min(MAX_POINTS);
    let mut steps = Vec::new();
    let mut below = 0.0;
    for point in 1..=points {
        // The last point is the last sample.
        let rank = point * count / points;
        let (ns, part) = (sorted[rank - 1].max(1.0), rank as f64 / count as f64);
        steps.extend([(ns, below), (ns, part)]);
        below = part;
    }
    steps
}

/// Instances a second on so many threads: a line for each report, a mark for each round.
pub(super) fn rates(reports: &[Report]) -> Result<String> {
    let rates = || reports.iter().flat_map(|report| &report.rates);
    let threads = rates().map(|rate| rate.threads).max().unwrap_or(1) as f64;
    let rounds = rates().flat_map(|rate| &rate.rounds);
    let most = rounds.copied().fold(1.0, f64::max);
    svg(320, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(24)
            .x_label_area_size(44)
            .y_label_area_size(96)
            .build_cartesian_2d(0.5..threads + 0.5, 0.0..most * 1.1)?;
        chart
            .configure_mesh()
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .label_style(label())
            .x_labels((threads as usize + 1).min(10))
            .y_labels(6)
            // Between whole numbers there are no threads.
            .x_label_formatter(&|threads| match threads.fract() == 0.0 {
                true => format!("{threads:.0}"),
                false => String::new(),
            })
            .y_label_formatter(&|rate| grouped(*rate))
            .x_desc("threads")
            .y_desc("instances a second")
            .draw()?;
        for (number, report) in reports.iter().enumerate() {
            let color = side(number);
            let line = report
                .rates
                .iter()
                .map(|rate| (rate.threads as f64, rate.per_second));
            chart.draw_series(LineSeries::new(line, color.stroke_width(2)))?;
            let marks = report.rates.iter().flat_map(|rate| {
                let rounds = rate.rounds.iter();
                rounds.map(|round| Circle::new((rate.threads as f64, *round), 3, color.filled()))
            });
            chart.draw_series(marks)?;
        }
        Ok(())
    })
}

/// Memory of each instance: a bar for each report, of which the darker part is private.
pub(super) fn memory(reports: &[Report]) -> Result<String> {
    let all: Vec<_> = reports
        .iter()
        .enumerate()
        .filter_map(|(number, report)| Some((number, report.memory?)))
        .collect();
    let most = all
        .iter()
        .map(|(_, memory)| memory.resident)
        .fold(1024.0, f64::max);
    svg(60 + 52 * all.len() as u32, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_left(24)
            .margin_right(24)
            .x_label_area_size(40)
            .build_cartesian_2d(0.0..most / 1024.0 * 1.02, 0.0..all.len() as f64)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .label_style(label())
            .x_labels(6)
            .x_label_formatter(&|kib| kib.to_string())
            .x_desc("KiB of each instance")
            .draw()?;
        for (row, (number, memory)) in all.iter().enumerate() {
            let bottom = (all.len() - 1 - row) as f64;
            for (size, alpha) in [(memory.resident, 0.5), (memory.private, 1.0)] {
                let corners = [(0.0, bottom + 0.05), (size / 1024.0, bottom + 0.5)];
                let fill = side(*number).mix(alpha).filled();
                chart.draw_series([Rectangle::new(corners, fill)])?;
            }
            let (resident, private) = (bytes(memory.resident), bytes(memory.private));
            let words = of_file(
                *number,
                reports,
                &format!("{resident} resident, {private} private"),
            );
            chart.draw_series([Text::new(words, (0.0, bottom + 0.9), label())])?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_go_from_nothing_to_all() {
        assert_eq!(
            steps(&[3.0, 1.0]),
            [(1.0, 0.0), (1.0, 0.5), (3.0, 0.5), (3.0, 1.0)]
        );
        let many: Vec<f64> = (1..=1234).map(f64::from).collect();
        let steps = steps(&many);
        assert_eq!(steps.len(), 2 * MAX_POINTS);
        assert_eq!(steps.last(), Some(&(1234.0, 1.0)));
    }
}
