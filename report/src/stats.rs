//! Statistics of samples.

/// How often a ratio's samples are drawn again for its confidence interval.
const DRAWS: usize = 1000;

/// The order statistics of some samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentiles {
    /// The least.
    pub min: f64,
    /// The median.
    pub p50: f64,
    /// 90 of 100 samples are at most this.
    pub p90: f64,
    /// 99 of 100 samples are at most this.
    pub p99: f64,
    /// The greatest.
    pub max: f64,
}

/// The ratio of two medians, with its confidence interval of 95 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The second median ÷ the first.
    pub ratio: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

impl Percentiles {
    /// Those of some samples; `None`, if there are none.
    #[must_use]
    pub fn of(samples: &[f64]) -> Option<Percentiles> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        // The least sample that so many of a hundred do not exceed.
        let at = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1];
        Some(Percentiles {
            min,
            p50: median(&mut sorted.clone()),
            p90: at(90),
            p99: at(99),
            max,
        })
    }
}

impl Ratio {
    /// The ratio `second` ÷ `first` of the medians, and where 95 % of the ratios lie when both
    /// samples are drawn again with replacement (the percentile bootstrap: Efron and Tibshirani,
    /// "An Introduction to the Bootstrap", chapter 13). The draws are the same every time.
    /// `None`, if one has no samples or the first median is zero.
    #[must_use]
    pub fn of_medians(first: &[f64], second: &[f64]) -> Option<Ratio> {
        if first.is_empty() || second.is_empty() {
            return None;
        }
        let ratio = median(&mut second.to_vec()) / median(&mut first.to_vec());
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut ratios: Vec<f64> = (0..DRAWS)
            .map(|_| median(&mut random.draw(second)) / median(&mut random.draw(first)))
            .filter(|ratio| ratio.is_finite())
            .collect();
        ratios.sort_by(f64::total_cmp);
        let at = |share: f64| ratios.get((ratios.len() as f64 * share) as usize).copied();
        ratio.is_finite().then_some(Ratio {
            ratio,
            low: at(0.025)?,
            high: at(0.975)?,
        })
    }

    /// Whether the interval has no ratio of one in it.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.low > 1.0 || self.high < 1.0
    }
}

/// The middle one of some samples, which are reordered.
fn median(samples: &mut [f64]) -> f64 {
    let middle = samples.len() / 2;
    let is_odd = samples.len() % 2 == 1;
    let (below, upper, _) = samples.select_nth_unstable_by(middle, f64::total_cmp);
    match is_odd {
        true => *upper,
        false => f64::midpoint(below.iter().copied().fold(f64::MIN, f64::max), *upper),
    }
}

/// Numbers by `xorshift64*` (Vigna, 2016).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// As many of the samples, with replacement.
    fn draw(&mut self, samples: &[f64]) -> Vec<f64> {
        let len = samples.len() as u64;
        let index = |random: u64| ((u128::from(random) * u128::from(len)) >> 64) as usize;
        let draws = (0..len).map(|_| samples[index(self.next())]);
        draws.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_ordered_samples() {
        let samples: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let found = Percentiles::of(&samples).unwrap();
        let expected = Percentiles {
            min: 1.0,
            p50: 50.5,
            p90: 90.0,
            p99: 99.0,
            max: 100.0,
        };
        assert_eq!(found, expected);
        assert_eq!(Percentiles::of(&[7.0]).unwrap().p99, 7.0);
        assert_eq!(Percentiles::of(&[]), None);
    }

    #[test]
    fn ratios_have_intervals() {
        let first: Vec<f64> = (0..200).map(|n| 100.0 + f64::from(n % 10)).collect();
        let twice: Vec<f64> = first.iter().map(|sample| sample * 2.0).collect();
        let found = Ratio::of_medians(&first, &twice).unwrap();
        assert_eq!(found.ratio, 2.0);
        assert!(found.low <= 2.0 && found.high >= 2.0 && found.is_clear());
        let same = Ratio::of_medians(&first, &first).unwrap();
        assert!(same.low <= 1.0 && same.high >= 1.0 && !same.is_clear());
        assert_eq!(Ratio::of_medians(&[], &first), None);
        assert_eq!(Ratio::of_medians(&[0.0], &[1.0]), None);
    }

    #[test]
    fn one_sample_is_its_own_interval() {
        let found = Ratio::of_medians(&[2.0], &[3.0]).unwrap();
        assert_eq!((found.low, found.ratio, found.high), (1.5, 1.5, 1.5));
    }
}
