//! Two reports side by side: ratios of medians, with what chance may have done to them.
//!
//! The confidence interval knows nothing of what changed between the sides as a whole, such as the
//! machine's clock.

use cwasm_report::stats;
use serde::{Deserialize, Serialize};

use super::phase::Phase;
use super::report::Report;
use super::runs::Kind;

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
                ratios.extend(ratio(
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
            ratios.extend(ratio(
                What::Rate(first.threads),
                &first.rounds,
                &second.rounds,
            ));
        }
    }
    ratios
}

fn ratio(what: What, first: &[f64], second: &[f64]) -> Option<Ratio> {
    // Nothing takes less time than a clock can show.
    let shown = |samples: &[f64]| samples.iter().map(|ns| ns.max(0.1)).collect::<Vec<_>>();
    let found = stats::Ratio::of_medians(&shown(first), &shown(second))?;
    Some(Ratio {
        what,
        ratio: found.ratio,
        low: found.low,
        high: found.high,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_clear_if_there_is_one() {
        let samples: Vec<f64> = (0..200).map(|i| 100.0 + f64::from(i * 37 % 20)).collect();
        let slower: Vec<f64> = samples.iter().map(|ns| ns * 1.5).collect();
        let what = What::Rate(1);
        let same = ratio(what, &samples, &samples).unwrap();
        assert!(same.ratio == 1.0 && !same.is_clear(), "{same:?}");
        let slow = ratio(what, &samples, &slower).unwrap();
        assert!(
            (slow.ratio - 1.5).abs() < 1e-9 && slow.is_clear(),
            "{slow:?}"
        );
        assert!(
            slow.low <= slow.ratio && slow.ratio <= slow.high,
            "{slow:?}"
        );
        let again = ratio(what, &samples, &slower).unwrap();
        assert_eq!((slow.low, slow.high), (again.low, again.high));
    }
}
