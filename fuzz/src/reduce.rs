//! Makes the case of a finding smaller: less DNA, and zeroes in it.

use crate::program::Case;

/// Cases that are tried at most: each is compiled and run.
const MAX_TRIES: usize = 400;

/// The smallest case found that still fails. `fails` holds for `case`.
pub(crate) fn reduce(case: &Case, mut fails: impl FnMut(&Case) -> bool) -> Case {
    let mut best = case.clone();
    let mut tries = 0;
    let mut attempt = |best: &mut Case, dna: Vec<u8>| {
        let case = best.with_dna(dna);
        tries += 1;
        let better = case != *best && tries <= MAX_TRIES && fails(&case);
        if better {
            *best = case;
        }
        better
    };
    // From the end.
    let mut step = best.dna.len() / 2;
    while step > 0 {
        let len = best.dna.len().saturating_sub(step);
        let shorter = best.dna[..len].to_vec();
        if !attempt(&mut best, shorter) {
            step /= 2;
        }
    }
    // From within.
    let mut size = best.dna.len() / 2;
    while size > 0 {
        for start in (0..best.dna.len()).step_by(size) {
            let end = (start + size).min(best.dna.len());
            let mut dna = best.dna.clone();
            dna[start..end].fill(0);
            attempt(&mut best, dna);
        }
        size /= 2;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_finding_does_not_need_is_removed() {
        let mut case = Case::from_seed(1).with_dna(vec![7; 100]);
        case.dna[41] = 9;
        let reduced = reduce(&case, |case| case.dna.get(41) == Some(&9));
        assert_eq!(reduced.dna.len(), 42);
        assert!(reduced.dna[..41].iter().all(|byte| *byte == 0));
        assert_eq!(reduced.choices, case.choices);
    }
}
