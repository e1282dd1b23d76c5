//! Two reports side by side: ratios of medians, with what chance may have done to them.
//!
//! The confidence interval is a percentile bootstrap (Efron and Tibshirani, "An Introduction to the
//! Bootstrap", chapter 13): samples are drawn again from each side, with replacement, and the ratio
//! taken anew; 95 % of these ratios lie in the interval. It knows nothing of what changed between
//! the sides as a whole, such as the machine's clock.

use serde::{Deserialize, Serialize};

use super::phase::Phase;
use super::report::{Report, percentile};
use super::runs::Kind;

/// How often samples are drawn again.
const DRAWS: usize = 1000;

/// The second figure ÷ the first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ratio {
    pub(super) what: What,
    pub(super) ratio: f64,
    /// The 95 % confidence interval.
    pub(super) low: f64,
    pub(super) high: f64,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum What {
    /// The time of a phase: less is better.
    Time(Kind, Phase),
    /// Instances a second on so many threads: more is better.
    Rate(usize),
}

impl Ratio {
    /// Whether the interval leaves out that there is no difference.
    pub(super) fn is_clear(&self) -> bool {
        self.low > 1.0 || self.high < 1.0
    }
}

/// All that both have.
pub(super) fn compare(first: &Report, second: &Report) -> Vec<Ratio> {
    let mut ratios = Vec::new();
    for kind in Kind::ALL {
        let (Some(first), Some(second)) = (first.series(kind), second.series(kind)) else {
            continue;
        };
        for phase in Phase::ALL {
            if let (Some(first), Some(second)) = (first.phase(phase), second.phase(phase)) {
                ratios.push(ratio(
                    What::Time(kind, phase),
                    &first.samples,
                    &second.samples,
                ));
            }
        }
    }
    for first in &first.rates {
        let mut rates = second.rates.iter();
        if let Some(second) = rates.find(|second| second.threads == first.threads) {
            ratios.push(ratio(
                What::Rate(first.threads),
                &first.rounds,
                &second.rounds,
            ));
        }
    }
    ratios
}

fn ratio(what: What, first: &[f64], second: &[f64]) -> Ratio {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut drawn = Vec::new();
    let mut ratios: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let second = median_of_draw(second, &mut drawn, &mut random);
            divided(second, median_of_draw(first, &mut drawn, &mut random))
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    Ratio {
        what,
        ratio: divided(median(&mut second.to_vec()), median(&mut first.to_vec())),
        low: percentile(&ratios, 0.025),
        high: percentile(&ratios, 0.975),
    }
}

/// Nothing takes less time than a clock can show.
fn divided(second: f64, first: f64) -> f64 {
    second.max(0.1) / first.max(0.1)
}

fn median_of_draw(samples: &[f64], drawn: &mut Vec<f64>, random: &mut Random) -> f64 {
    drawn.clear();
    drawn.extend(samples.iter().map(|_| samples[random.below(samples.len())]));
    median(drawn)
}

fn median(samples: &mut [f64]) -> f64 {
    let middle = (samples.len() - 1) / 2;
    *samples.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// Marsaglia's xorshift, the same at every start: equal samples have equal intervals.
struct Random(u64);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 32) as usize * count) >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_clear_if_there_is_one() {
        let samples: Vec<f64> = (0..200).map(|i| 100.0 + f64::from(i * 37 % 20)).collect();
        let slower: Vec<f64> = samples.iter().map(|ns| ns * 1.5).collect();
        let what = What::Rate(1);
        let same = ratio(what, &samples, &samples);
        assert!(same.ratio == 1.0 && !same.is_clear(), "{same:?}");
        let slow = ratio(what, &samples, &slower);
        assert!(
            (slow.ratio - 1.5).abs() < 1e-9 && slow.is_clear(),
            "{slow:?}"
        );
        assert!(
            slow.low <= slow.ratio && slow.ratio <= slow.high,
            "{slow:?}"
        );
        let again = ratio(what, &samples, &slower);
        assert_eq!((slow.low, slow.high), (again.low, again.high));
    }
}
