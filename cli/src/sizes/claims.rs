//! Gives the bytes of a section to those that they belong to, each byte once.

use std::ops::Range;

/// Ranges of bytes with their owners. Ranges may overlap, since names are shared, and hostile files
/// have any: a byte belongs to the range that starts first.
pub(super) struct Claims {
    ranges: Vec<(u64, u64, u32)>,
}

impl Claims {
    pub(super) fn new() -> Claims {
        Claims { ranges: Vec::new() }
    }

    /// Claims the bytes from `start` to `end`.
    pub(super) fn add(&mut self, start: u64, end: u64, owner: u32) {
        if start < end {
            self.ranges.push((start, end, owner));
        }
    }

    /// Calls `give` with each owner and the number of its bytes, of those of `all`; returns the
    /// ranges that are nobody's.
    pub(super) fn settle(
        mut self,
        all: Range<u64>,
        mut give: impl FnMut(u32, u64),
    ) -> Vec<Range<u64>> {
        // Of ranges with one start the longest comes first; of equal ones the first owner's.
        self.ranges
            .sort_by_key(|(start, end, owner)| (*start, std::cmp::Reverse(*end), *owner));
        let (mut done, mut left) = (all.start, Vec::new());
        for (from, to, owner) in self.ranges {
            let (from, to) = (from.max(done), to.min(all.end));
            if from < to {
                give(owner, to - from);
                if done < from {
                    left.push(done..from);
                }
                done = to;
            }
        }
        if done < all.end {
            left.push(done..all.end);
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_given_once() {
        let mut claims = Claims::new();
        for (start, end, owner) in [
            (20, 30, 0),
            (10, 25, 1),
            (10, 25, 2),
            (5, 8, 3),
            (40, 35, 4),
            (90, u64::MAX, 5),
            (0, 2, 6),
        ] {
            claims.add(start, end, owner);
        }
        let mut given = [0; 7];
        let left = claims.settle(1..100, |owner, bytes| given[owner as usize] += bytes);
        assert_eq!(given, [5, 15, 0, 3, 0, 10, 1]);
        assert_eq!(left, [2..5, 8..10, 30..90]);
    }
}
