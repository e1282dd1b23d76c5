//! Ratios on a logarithmic axis, on both sides of one.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::ticks::Axis;
use super::{FONT, GRID, Plot, QUIET, Series, TEXT, drawn, text};
use crate::Quantity;

/// A ratio, as a bar that begins at one.
#[derive(Clone, Debug)]
pub struct RatioRow {
    /// What stands beside it.
    pub label: String,
    /// Its colour.
    pub series: Series,
    /// The ratio.
    pub ratio: f64,
    /// Its confidence interval, if it is known.
    pub interval: Option<(f64, f64)>,
    /// What it should be at most, if that is said.
    pub target: Option<f64>,
}

const WIDTH: u32 = 920;
const ROW: u32 = 26;
/// How much of a row its bar leaves free, above and below.
const GAP: u32 = 6;

/// Bars of ratios, below each other. Targets are marks across the bars; intervals are lines with
/// ends.
#[must_use]
pub fn ratios(name: &str, rows: &[RatioRow]) -> Plot {
    let rows: Vec<&RatioRow> = rows.iter().filter(|row| row.ratio > 0.0).collect();
    let (mut min, mut max) = (-0.05, 0.05);
    for row in &rows {
        let (low, high) = row.interval.unwrap_or((row.ratio, row.ratio));
        for figure in [Some(row.ratio), Some(low), Some(high), row.target] {
            let log = figure
                .filter(|figure| *figure > 0.0)
                .map_or(0.0, f64::log10);
            (min, max) = (f64::min(min, log), f64::max(max, log));
        }
    }
    // Room for the figures at the ends of bars.
    let room = (max - min) * 0.09;
    (min, max) = (min - room, max + room);
    let count = rows.len().max(1);
    let size = (WIDTH, ROW * count as u32 + 52);
    let svg = drawn(name, size, |area| {
        let longest = rows.iter().map(|row| row.label.chars().count()).max();
        let label_width = (longest.unwrap_or(0) as u32 * (FONT * 11 / 20) + 16).clamp(60, 330);
        let mut chart = ChartBuilder::on(area)
            .set_label_area_size(LabelAreaPosition::Left, label_width)
            .set_label_area_size(LabelAreaPosition::Bottom, 46)
            .margin_right(22)
            .build_cartesian_2d(
                Axis::of_logarithms((min, max), Quantity::Ratio),
                0.0..count as f64,
            )?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .x_desc("ratio, logarithmic")
            .axis_desc_style(text(QUIET, HPos::Center, VPos::Top))
            .x_label_style(text(QUIET, HPos::Center, VPos::Top))
            .draw()?;
        for (index, row) in rows.iter().enumerate() {
            let bottom = (count - index - 1) as f64;
            let middle = bottom + 0.5;
            let log = row.ratio.log10();
            let corners = [(log.min(0.0), bottom), (log.max(0.0), bottom + 1.0)];
            let mut bar = Rectangle::new(corners, row.series.color().filled());
            bar.set_margin(GAP, GAP, 0, 0);
            chart.draw_series([bar])?;
            let (low, high) = row.interval.unwrap_or((row.ratio, row.ratio));
            let ends = [low.max(1e-9).log10(), high.max(1e-9).log10()];
            if row.interval.is_some() {
                let line = |points: [(f64, f64); 2]| PathElement::new(points, TEXT.stroke_width(1));
                chart.draw_series([
                    line([(ends[0], middle), (ends[1], middle)]),
                    line([(ends[0], middle - 0.16), (ends[0], middle + 0.16)]),
                    line([(ends[1], middle - 0.16), (ends[1], middle + 0.16)]),
                ])?;
            }
            if let Some(target) = row.target.filter(|target| *target > 0.0) {
                let at = target.log10();
                let across = [(at, bottom + 0.08), (at, bottom + 0.92)];
                chart.draw_series([PathElement::new(across, TEXT.stroke_width(2))])?;
            }
            // Beyond all that is drawn.
            let mark = row.target.filter(|target| *target > 0.0).map(f64::log10);
            let (at, offset, side) = match row.ratio < 1.0 {
                true => {
                    let mark = mark.filter(|mark| *mark > ends[0] - (max - min) * 0.08);
                    (ends[0].min(log).min(mark.unwrap_or(log)), -7, HPos::Right)
                }
                false => {
                    let mark = mark.filter(|mark| *mark < ends[1] + (max - min) * 0.08);
                    (ends[1].max(log).max(mark.unwrap_or(log)), 7, HPos::Left)
                }
            };
            let style = text(TEXT, side, VPos::Center);
            let figure = EmptyElement::at((at, middle))
                + Text::new(format!("{:.3}", row.ratio), (offset, 0), style);
            chart.draw_series([figure])?;
            let style = text(TEXT, HPos::Right, VPos::Center);
            let label = Text::new(row.label.clone(), (-8, 0), style);
            chart.draw_series([EmptyElement::at((min, middle)) + label])?;
        }
        let one = [(0.0, 0.0), (0.0, count as f64)];
        chart.draw_series([PathElement::new(one, QUIET.stroke_width(1))])?;
        Ok(())
    });
    Plot {
        svg,
        legend: Vec::new(),
    }
}
