//! Plots as inline SVG, drawn with `plotters`. Colours are names of the page's style, so that they
//! follow its light and dark versions.

mod bars;
mod curves;
mod lines;
mod ratios;
mod ticks;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub use bars::{Bar, stacked};
pub use curves::{Curve, distribution};
pub use lines::{Line, by_threads};
pub use ratios::{RatioRow, ratios};

/// A finished plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// The element `<svg>`.
    pub(crate) svg: String,
    /// What each colour stands for.
    pub(crate) legend: Vec<(Series, String)>,
}

/// A colour of the page: one of [`Series::COUNT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Series(pub u8);

impl Plot {
    /// The plot with what its colours stand for.
    #[must_use]
    pub fn with_legend(self, legend: &[(Series, &str)]) -> Plot {
        let legend = legend
            .iter()
            .map(|(series, label)| (*series, (*label).to_owned()));
        Plot {
            legend: legend.collect(),
            ..self
        }
    }
}

impl Series {
    /// How many there are. The first and last are quiet ones.
    pub const COUNT: u8 = 10;

    /// In legends: the marks of targets.
    pub const MARK: Series = Series(254);

    /// In legends: the lines of confidence intervals.
    pub const INTERVAL: Series = Series(255);

    /// Its class and colour in the page's style.
    pub(crate) fn swatch(self) -> (&'static str, String) {
        match self {
            Series::MARK => ("mark", "--text".to_owned()),
            Series::INTERVAL => ("interval", "--text".to_owned()),
            series => ("color", series.variable()),
        }
    }

    /// The name of its colour in the page's style.
    pub(crate) fn variable(self) -> String {
        format!("--series-{}", self.0 % Series::COUNT)
    }

    fn color(self) -> RGBColor {
        RGBColor(0x0a, 0x0b, self.0 % Series::COUNT)
    }
}

/// Stands for the page's colour of text, as [`Series::color`] does for series.
const TEXT: RGBColor = RGBColor(0x0a, 0x0c, 0x00);
/// Lines that are read past.
const GRID: RGBColor = RGBColor(0x0a, 0x0c, 0x01);
/// Text that is read second.
const QUIET: RGBColor = RGBColor(0x0a, 0x0c, 0x02);

/// The size of text, in pixels.
const FONT: u32 = 13;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// Draws an SVG of this size; `name` is for who cannot see it.
fn drawn(
    name: &str,
    (width, height): (u32, u32),
    draw: impl for<'a> FnOnce(&Area<'a>) -> Drawn<'a>,
) -> String {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
    // A string takes all that is written.
    draw(&area).unwrap_or_else(|error| unreachable!("a plot that cannot be drawn: {error}"));
    drop(area);
    in_page_colors(name, &svg)
}

/// Puts names of the page's colours in place of those that stand for them.
fn in_page_colors(name: &str, svg: &str) -> String {
    let mut svg = match svg.split_once("xmlns=\"http://www.w3.org/2000/svg\"") {
        // HTML knows what an SVG is.
        Some((before, after)) => {
            let name = crate::page::escaped(name);
            format!("{before}role=\"img\" aria-label=\"{name}\"{after}")
        }
        None => svg.to_owned(),
    };
    let mut put = |RGBColor(r, g, b): RGBColor, variable: &str| {
        svg = svg.replace(
            &format!("#{r:02X}{g:02X}{b:02X}"),
            &format!("var({variable})"),
        );
    };
    put(TEXT, "--text");
    put(GRID, "--grid");
    put(QUIET, "--quiet");
    for series in (0..Series::COUNT).map(Series) {
        put(series.color(), &series.variable());
    }
    svg
}

/// Text of a colour, and which of its points is where it is put.
fn text(color: RGBColor, h: HPos, v: VPos) -> TextStyle<'static> {
    let style = ("sans-serif", FONT).into_font().color(&color);
    style.pos(Pos::new(h, v))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Quantity;

    #[test]
    fn colors_are_the_pages() {
        let bars = [Bar {
            label: "<one>".to_owned(),
            parts: vec![(Series(1), 2000.0), (Series(9), 500.0)],
        }];
        let plot = stacked("a & b", &bars, Quantity::Time, &[]);
        assert!(plot.svg.contains("var(--series-1)"), "{}", plot.svg);
        assert!(plot.svg.contains("var(--series-9)"));
        assert!(plot.svg.contains("aria-label=\"a &amp; b\""));
        assert!(plot.svg.contains("&lt;one&gt;"));
        assert!(!plot.svg.contains("http"));
        assert!(!plot.svg.contains("#0A0"));
    }

    #[test]
    fn plots_of_little_can_be_drawn() {
        let _ = stacked("none", &[], Quantity::Time, &[]);
        let bars = [Bar {
            label: String::new(),
            parts: vec![],
        }];
        let _ = stacked("empty", &bars, Quantity::Bytes, &[]);
        let curve = |samples: &[f64]| Curve {
            series: Series(1),
            label: String::new(),
            samples: samples.to_vec(),
        };
        let _ = distribution("none", &[curve(&[])], Quantity::Time);
        let _ = distribution("one", &[curve(&[0.0])], Quantity::Time);
        let _ = distribution("same", &[curve(&[5.0, 5.0])], Quantity::Time);
        let _ = by_threads("none", &[], Quantity::PerSecond);
        let _ = ratios("none", &[]);
    }
}
