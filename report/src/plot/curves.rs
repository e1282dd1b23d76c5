//! Distributions: the share of samples that are at most so large.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::ticks::Axis;
use super::{GRID, Plot, QUIET, Series, TEXT, drawn, text};
use crate::Quantity;

/// Samples of one kind.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Its colour.
    pub series: Series,
    /// What it is.
    pub label: String,
    /// Its samples.
    pub samples: Vec<f64>,
}

const SIZE: (u32, u32) = (450, 230);
/// At most so many points of a curve are drawn.
const POINTS: usize = 200;

/// The empirical distribution of each curve's samples, on a logarithmic axis.
#[must_use]
pub fn distribution(name: &str, curves: &[Curve], quantity: Quantity) -> Plot {
    let (min, max) = range(curves);
    let svg = drawn(name, SIZE, |area| {
        let shares = vec![0.0, 0.25, 0.5, 0.75, 1.0];
        let mut chart = ChartBuilder::on(area)
            .caption(name, text(TEXT, HPos::Left, VPos::Top))
            .set_label_area_size(LabelAreaPosition::Left, 48)
            .set_label_area_size(LabelAreaPosition::Bottom, 30)
            .margin_right(22)
            .margin_top(4)
            .build_cartesian_2d(
                Axis::of_logarithms((min, max), quantity),
                Axis::of(0.0..1.02, shares, Quantity::Share),
            )?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .x_label_style(text(QUIET, HPos::Center, VPos::Top))
            .y_label_style(text(QUIET, HPos::Right, VPos::Center))
            .draw()?;
        for curve in curves {
            let style = curve.series.color().stroke_width(2);
            chart.draw_series(LineSeries::new(steps(&curve.samples), style))?;
        }
        Ok(())
    });
    let legend = curves
        .iter()
        .map(|curve| (curve.series, curve.label.clone()));
    Plot {
        svg,
        legend: legend.collect(),
    }
}

/// The logarithm that a sample is shown at: the axis has no zero.
fn position(sample: f64) -> f64 {
    sample.max(0.1).log10()
}

/// The axis: all samples but the largest hundredth of each curve, which would make it long.
fn range(curves: &[Curve]) -> (f64, f64) {
    let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
    for curve in curves {
        if let Some(found) = crate::stats::Percentiles::of(&curve.samples) {
            min = min.min(position(found.min));
            max = max.max(position(found.p99));
        }
    }
    match min <= max {
        // Half a decade, at least.
        true => (min - 0.08, (max + 0.08).max(min + 0.42)),
        false => (0.0, 1.0),
    }
}

/// The steps of the distribution.
fn steps(samples: &[f64]) -> Vec<(f64, f64)> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    let mut points = Vec::new();
    for step in 0..count.min(POINTS) {
        let index = step * count / count.min(POINTS);
        let next = (step + 1) * count / count.min(POINTS);
        let at = position(sorted[index]);
        points.push((at, index as f64 / count as f64));
        points.push((at, next as f64 / count as f64));
    }
    points
}
