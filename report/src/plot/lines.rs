//! Figures by number of threads.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::ticks::{self, Axis};
use super::{GRID, Plot, QUIET, Series, TEXT, drawn, text};
use crate::Quantity;

/// A figure for each number of threads.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its colour.
    pub series: Series,
    /// What it is.
    pub label: String,
    /// Numbers of threads, and the figures.
    pub points: Vec<(usize, f64)>,
}

const SIZE: (u32, u32) = (920, 300);

/// Figures against threads, beside what as many times that of one thread would be (dashed).
#[must_use]
pub fn by_threads(name: &str, lines: &[Line], quantity: Quantity) -> Plot {
    let points = lines.iter().flat_map(|line| &line.points);
    let threads = points
        .clone()
        .map(|(threads, _)| *threads)
        .max()
        .unwrap_or(1);
    let ideal = |line: &Line| {
        let first = line.points.iter().find(|(threads, _)| *threads == 1);
        first.map_or(0.0, |(_, figure)| *figure)
    };
    let ideals = lines.iter().map(|line| ideal(line) * threads as f64);
    let max = points
        .map(|(_, figure)| *figure)
        .chain(ideals)
        .fold(0.0, f64::max);
    let marks = ticks::linear(max);
    let end = marks[marks.len() - 1];
    let mut shown: Vec<f64> = lines
        .iter()
        .flat_map(|line| &line.points)
        .map(|(threads, _)| *threads as f64)
        .collect();
    shown.sort_by(f64::total_cmp);
    shown.dedup();
    let svg = drawn(name, SIZE, |area| {
        let mut chart = ChartBuilder::on(area)
            .set_label_area_size(LabelAreaPosition::Left, 84)
            .set_label_area_size(LabelAreaPosition::Bottom, 44)
            .margin_right(90)
            .margin_top(14)
            .build_cartesian_2d(
                Axis::of(0.5..threads as f64 + 0.5, shown, Quantity::Count),
                Axis::of(0.0..end, marks, quantity),
            )?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .disable_x_mesh()
            .x_label_style(text(QUIET, HPos::Center, VPos::Top))
            .x_desc("threads")
            .y_label_style(text(QUIET, HPos::Right, VPos::Center))
            .axis_desc_style(text(QUIET, HPos::Center, VPos::Top))
            .draw()?;
        for line in lines {
            let color = line.series.color();
            let first = ideal(line);
            let most = line.points.iter().map(|(threads, _)| *threads).max();
            let most = most.unwrap_or(1) as f64;
            let ends = [(1.0, first), (most, first * most)];
            chart.draw_series(DashedLineSeries::new(ends, 5, 5, QUIET.stroke_width(1)))?;
            let points = line.points.iter();
            let points: Vec<_> = points
                .map(|(threads, figure)| (*threads as f64, *figure))
                .collect();
            chart.draw_series(LineSeries::new(points.clone(), color.stroke_width(2)))?;
            for (threads, figure) in points {
                let label = quantity.show(figure);
                let style = text(TEXT, HPos::Left, VPos::Top);
                let point = EmptyElement::at((threads, figure))
                    + Circle::new((0, 0), 4, color.filled())
                    + Text::new(label, (8, 5), style);
                chart.draw_series([point])?;
            }
        }
        Ok(())
    });
    let legend = lines.iter().map(|line| (line.series, line.label.clone()));
    Plot {
        svg,
        legend: legend.collect(),
    }
}
