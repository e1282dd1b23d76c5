//! Figures with units, as people read them.

/// What a figure measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Nanoseconds.
    Time,
    /// Bytes.
    Bytes,
    /// How many happen in a second.
    PerSecond,
    /// A share of one, as percent.
    Share,
    /// How many times as much as something else.
    Ratio,
    /// A number of things.
    Count,
}

impl Quantity {
    /// The figure with three digits and its unit: `12.3 µs`.
    #[must_use]
    pub fn show(self, figure: f64) -> String {
        let (scaled, unit) = self.scaled(figure);
        match unit.is_empty() {
            true => three_digits(scaled),
            false => format!("{} {unit}", three_digits(scaled)),
        }
    }

    /// As [`show`](Quantity::show), for an axis: without zeros at the end.
    #[must_use]
    pub fn tick(self, figure: f64) -> String {
        let (scaled, unit) = self.scaled(figure);
        let rounded = (scaled * 1e4).round() / 1e4;
        match unit.is_empty() || figure == 0.0 {
            true => format!("{rounded}"),
            false => format!("{rounded} {unit}"),
        }
    }

    fn scaled(self, figure: f64) -> (f64, &'static str) {
        let steps: &[(f64, &str)] = match self {
            Quantity::Time => &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")],
            Quantity::Bytes => &[
                (1_073_741_824.0, "GiB"),
                (1_048_576.0, "MiB"),
                (1024.0, "KiB"),
                (1.0, "B"),
            ],
            Quantity::PerSecond => &[(1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")],
            Quantity::Share => &[(0.01, "%")],
            Quantity::Ratio | Quantity::Count => &[(1.0, "")],
        };
        // What would be shown as 1000 of a unit is one of the next.
        let fits = |(scale, _): &&(f64, &str)| figure.abs() >= scale * 0.9995;
        let (scale, unit) = steps.iter().find(fits).unwrap_or(&steps[steps.len() - 1]);
        (figure / scale, unit)
    }
}

fn three_digits(figure: f64) -> String {
    match figure.abs() {
        0.0 => "0".to_owned(),
        size if size < 9.995 => format!("{figure:.2}"),
        size if size < 99.95 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        for (quantity, figure, text) in [
            (Quantity::Time, 0.0, "0 ns"),
            (Quantity::Time, 7.25, "7.25 ns"),
            (Quantity::Time, 999.9, "1.00 µs"),
            (Quantity::Time, 12_345.0, "12.3 µs"),
            (Quantity::Time, 1.5e9, "1.50 s"),
            (Quantity::Time, 90e9, "90.0 s"),
            (Quantity::Bytes, 4096.0, "4.00 KiB"),
            (Quantity::PerSecond, 2_345_678.0, "2.35 M/s"),
            (Quantity::Share, 0.5, "50.0 %"),
            (Quantity::Ratio, 0.036, "0.04"),
        ] {
            assert_eq!(quantity.show(figure), text);
        }
        assert_eq!(Quantity::Time.tick(2000.0), "2 µs");
        assert_eq!(Quantity::Ratio.tick(0.05), "0.05");
    }
}
