//! Times two pieces of work side by side.
//!
//! Samples alternate (ours, theirs, ours, theirs, ...), so that whatever else the machine does in
//! the meantime touches both, and the medians are compared. A sample is a loop of as many calls as
//! make it long beside the clock's own cost.

use std::time::{Duration, Instant};

use anyhow::Result;
use cwasm_report::stats::Ratio;

/// Does something `n` times and checks what came out.
pub(crate) type Work<'a> = Box<dyn FnMut(u64) -> Result<()> + 'a>;

/// How often to measure.
#[derive(Clone, Copy)]
pub(crate) struct Sampling {
    pub(crate) samples: usize,
    /// How long a sample takes at least. None: a sample is one call.
    pub(crate) length: Option<Duration>,
}

/// One figure for each side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pair {
    pub(crate) ours: f64,
    pub(crate) theirs: f64,
    /// Where the ratio is with a confidence of 95 %, unless each side has one figure only.
    pub(crate) interval: Option<(f64, f64)>,
}

impl Pair {
    /// One figure of each side.
    pub(crate) fn of(ours: f64, theirs: f64) -> Pair {
        Pair {
            ours,
            theirs,
            interval: None,
        }
    }

    /// The medians of samples.
    ///
    /// # Panics
    /// If there are none.
    pub(crate) fn of_samples(ours: Vec<f64>, theirs: Vec<f64>) -> Pair {
        let ratio = Ratio::of_medians(&theirs, &ours);
        Pair {
            ours: median(ours),
            theirs: median(theirs),
            interval: ratio.map(|ratio| (ratio.low, ratio.high)),
        }
    }

    /// Ours ÷ Wasmtime's.
    pub(crate) fn ratio(self) -> f64 {
        self.ours / self.theirs
    }
}

/// The median time of a call of each side, in nanoseconds.
///
/// # Errors
/// If the work itself fails.
pub(crate) fn interleaved(
    mut ours: Work<'_>,
    mut theirs: Work<'_>,
    sampling: Sampling,
) -> Result<Pair> {
    let our_calls = calls_per_sample(&mut ours, sampling)?;
    let their_calls = calls_per_sample(&mut theirs, sampling)?;
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for _ in 0..sampling.samples {
        our_times.push(per_call(&mut ours, our_calls)?);
        their_times.push(per_call(&mut theirs, their_calls)?);
    }
    Ok(Pair::of_samples(our_times, their_times))
}

/// The middle one of some figures.
///
/// # Panics
/// If there are none.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len() % 2 == 1 {
        return figures[middle];
    }
    f64::midpoint(figures[middle - 1], figures[middle])
}

/// The geometric mean of ratios.
pub(crate) fn geometric_mean(ratios: &[f64]) -> f64 {
    let logarithms: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    (logarithms / ratios.len() as f64).exp()
}

/// How many calls take as long as a sample should. Warms up on the way.
fn calls_per_sample(work: &mut Work<'_>, sampling: Sampling) -> Result<u64> {
    let Some(length) = sampling.length else {
        return Ok(1);
    };
    let mut calls = 1;
    loop {
        // The shorter of two: what interrupts one of them is no reason to call less often.
        let time = time(work, calls)?.min(time(work, calls)?);
        if time >= length / 4 {
            let enough = length.as_secs_f64() / time.as_secs_f64() * calls as f64;
            return Ok((enough as u64).max(1));
        }
        calls *= 2;
    }
}

fn per_call(work: &mut Work<'_>, calls: u64) -> Result<f64> {
    Ok(time(work, calls)?.as_nanos() as f64 / calls as f64)
}

fn time(work: &mut Work<'_>, calls: u64) -> Result<Duration> {
    let start = Instant::now();
    work(calls)?;
    Ok(start.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
    }

    #[test]
    fn geometric_mean_of_a_half_and_two_is_one() {
        assert!((geometric_mean(&[0.5, 2.0]) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn sides_alternate() {
        let order = std::cell::RefCell::new(String::new());
        let side = |name: char| -> Work<'_> {
            let order = &order;
            Box::new(move |calls| {
                assert_eq!(calls, 1);
                order.borrow_mut().push(name);
                Ok(())
            })
        };
        interleaved(
            side('a'),
            side('b'),
            Sampling {
                samples: 3,
                length: None,
            },
        )
        .unwrap();
        assert_eq!(order.into_inner(), "ababab");
    }

    #[test]
    fn slow_work_is_called_less_often() {
        let sampling = Sampling {
            samples: 1,
            length: Some(Duration::from_millis(4)),
        };
        let mut work: Work<'_> = Box::new(|calls| {
            std::thread::sleep(Duration::from_millis(1) * calls as u32);
            Ok(())
        });
        let calls = calls_per_sample(&mut work, sampling).unwrap();
        assert!((1..=4).contains(&calls), "{calls} calls");
    }
}
