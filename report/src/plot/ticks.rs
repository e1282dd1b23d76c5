//! Axes, and where they have marks.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use crate::Quantity;

/// An axis with marks of our own choice: `plotters` chooses those of powers of ten badly.
pub(super) struct Axis {
    range: Range<f64>,
    marks: Vec<f64>,
    show: fn(Quantity, f64) -> String,
    quantity: Quantity,
}

impl Axis {
    /// An axis of figures.
    pub(super) fn of(range: Range<f64>, marks: Vec<f64>, quantity: Quantity) -> Axis {
        let show = Quantity::tick;
        Axis {
            range,
            marks,
            show,
            quantity,
        }
    }

    /// An axis of the logarithms of figures.
    pub(super) fn of_logarithms((min, max): (f64, f64), quantity: Quantity) -> Axis {
        Axis {
            range: min..max,
            marks: logarithmic((min, max)),
            show: |quantity, log| quantity.tick(10f64.powf(log)),
            quantity,
        }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (start, end): (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        // What is beyond an end is drawn there.
        start + (f64::from(end - start) * share.clamp(0.0, 1.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.marks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        (self.show)(self.quantity, *value)
    }
}

/// At most about six round figures (1, 2 or 5 times a power of ten) from 0 to beyond `max`.
pub(super) fn linear(max: f64) -> Vec<f64> {
    let step = round_up(max.max(f64::MIN_POSITIVE) / 5.0);
    let count = (max / step).ceil().max(1.0) as usize;
    (0..=count).map(|index| index as f64 * step).collect()
}

/// As [`linear`], for bytes: round as powers of two are.
pub(super) fn binary(max: f64) -> Vec<f64> {
    let step = (max.max(1.0) / 5.0).log2().ceil().exp2();
    let count = (max / step).ceil().max(1.0) as usize;
    (0..=count).map(|index| index as f64 * step).collect()
}

/// Marks of a logarithmic axis, as logarithms: powers of ten, with 2 and 5 times those where the
/// axis is short.
fn logarithmic((min, max): (f64, f64)) -> Vec<f64> {
    if max - min <= 0.4 {
        // No longer than from 1 to 2.5: as on a plain axis.
        let (first, last) = (10f64.powf(min), 10f64.powf(max));
        let step = round_up((last - first) / 6.0);
        // Ends that are marks themselves are so in spite of rounding.
        let ends = (first / step - 1e-6, last / step + 1e-6);
        let marks = ends.0.ceil() as i64..=ends.1.floor() as i64;
        return marks.map(|mark| (mark as f64 * step).log10()).collect();
    }
    let factors: &[f64] = match max - min {
        decades if decades <= 0.7 => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0],
        decades if decades <= 1.5 => &[1.0, 2.0, 5.0],
        decades if decades <= 3.5 => &[1.0, 3.0],
        _ => &[1.0],
    };
    let decades = (min.floor() as i32)..=(max.ceil() as i32);
    let marks = decades.flat_map(|decade| {
        let logs = factors.iter().map(|factor| factor.log10());
        logs.map(move |log| log + f64::from(decade))
    });
    marks.filter(|mark| (min..=max).contains(mark)).collect()
}

/// The least 1, 2 or 5 times a power of ten that is not less.
fn round_up(figure: f64) -> f64 {
    let power = 10f64.powf(figure.log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|factor| factor * power);
    let found = steps.into_iter().find(|step| *step >= figure * 0.9999);
    found.unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round() {
        assert_eq!(linear(9.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(linear(1000.0), [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]);
        assert_eq!(
            binary(5000.0),
            [0.0, 1024.0, 2048.0, 3072.0, 4096.0, 5120.0]
        );
        assert_eq!(logarithmic((-1.0, 3.0)), [-1.0, 0.0, 1.0, 2.0, 3.0]);
        assert_eq!(logarithmic((0.0, 1.0)).len(), 4);
        assert!(linear(0.0).len() == 2);
        let short = logarithmic((0.9f64.log10(), 1.2f64.log10()));
        let figures: Vec<_> = short
            .iter()
            .map(|log| format!("{:.2}", 10f64.powf(*log)))
            .collect();
        assert_eq!(
            figures,
            ["0.90", "0.95", "1.00", "1.05", "1.10", "1.15", "1.20"]
        );
    }
}
