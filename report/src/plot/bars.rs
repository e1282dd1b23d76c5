//! Bars that are stacked of parts.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::ticks::{self, Axis};
use super::{FONT, GRID, Plot, QUIET, Series, TEXT, drawn, text};
use crate::Quantity;

/// A bar, from left to right.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What stands beside it.
    pub label: String,
    /// Its parts.
    pub parts: Vec<(Series, f64)>,
}

const WIDTH: u32 = 920;
const ROW: u32 = 44;
/// How much of a row its bar leaves free, above and below.
const GAP: u32 = 8;

/// Bars below each other, on one axis that begins at zero; the sum stands at each one's end.
#[must_use]
pub fn stacked(name: &str, bars: &[Bar], quantity: Quantity, legend: &[(Series, String)]) -> Plot {
    let sum = |bar: &Bar| bar.parts.iter().map(|(_, figure)| figure).sum::<f64>();
    let max = bars.iter().map(sum).fold(0.0, f64::max);
    let marks = match quantity {
        Quantity::Bytes => ticks::binary(max),
        _ => ticks::linear(max),
    };
    // Room for the sum at the end of the longest bar.
    let end = marks[marks.len() - 1].max(max * 1.12);
    let count = bars.len().max(1);
    let height = ROW * count as u32 + 34;
    let svg = drawn(name, (WIDTH, height), |area| {
        let longest = bars.iter().map(|bar| bar.label.chars().count()).max();
        let label_width = (longest.unwrap_or(0) as u32 * (FONT * 11 / 20) + 16).clamp(60, 330);
        let mut chart = ChartBuilder::on(area)
            .set_label_area_size(LabelAreaPosition::Left, label_width)
            .set_label_area_size(LabelAreaPosition::Bottom, 30)
            .margin_right(34)
            .build_cartesian_2d(Axis::of(0.0..end, marks, quantity), 0.0..count as f64)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .x_label_style(text(QUIET, HPos::Center, VPos::Top))
            .draw()?;
        for (index, bar) in bars.iter().enumerate() {
            let bottom = (count - index - 1) as f64;
            let middle = bottom + 0.5;
            let mut at = 0.0;
            for (series, figure) in &bar.parts {
                let corners = [(at, bottom), (at + figure, bottom + 1.0)];
                let mut part = Rectangle::new(corners, series.color().filled());
                part.set_margin(GAP, GAP, 0, 0);
                chart.draw_series([part])?;
                at += figure;
            }
            let label = text(TEXT, HPos::Right, VPos::Center);
            let total = text(TEXT, HPos::Left, VPos::Center);
            let labelled =
                EmptyElement::at((0.0, middle)) + Text::new(bar.label.clone(), (-8, 0), label);
            chart.draw_series([labelled])?;
            let shown = quantity.show(at);
            let summed = EmptyElement::at((at, middle)) + Text::new(shown, (7, 0), total);
            chart.draw_series([summed])?;
        }
        Ok(())
    });
    Plot {
        svg,
        legend: legend.to_vec(),
    }
}
