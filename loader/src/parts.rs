//! Long work in parts, between which it can be stopped.

use std::ops::Range;

/// Bytes that are written, or read, between two questions whether to stop: less than a millisecond.
pub(crate) const PART_SIZE: usize = 1 << 20;

/// Does work on `len` items of `size` bytes, in ascending order; `stop` is asked between parts.
/// Whether all of it was done.
pub(crate) fn in_parts(
    len: usize,
    size: usize,
    stop: impl Fn() -> bool,
    mut work: impl FnMut(Range<usize>),
) -> bool {
    let part = PART_SIZE / size;
    let mut start = 0;
    loop {
        let end = len.min(start + part);
        work(start..end);
        start = end;
        if start == len {
            return true;
        }
        if stop() {
            return false;
        }
    }
}

/// As [`in_parts`], in descending order.
pub(crate) fn in_parts_backwards(
    len: usize,
    size: usize,
    stop: impl Fn() -> bool,
    mut work: impl FnMut(Range<usize>),
) -> bool {
    in_parts(len, size, stop, |part| {
        work(len - part.end..len - part.start)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_everything_once() {
        let most = PART_SIZE / 8;
        for len in [0, 1, most - 1, most, most + 1, 3 * most, 3 * most + 7] {
            let (mut up, mut down) = (0, len);
            assert!(in_parts(
                len,
                8,
                || false,
                |part| {
                    assert!(part.start == up && part.len() <= most);
                    up = part.end;
                }
            ));
            assert!(in_parts_backwards(
                len,
                8,
                || false,
                |part| {
                    assert!(part.end == down && part.len() <= most);
                    down = part.start;
                }
            ));
            assert_eq!((up, down), (len, 0));
        }
    }

    #[test]
    fn it_stops_between_parts() {
        let mut done = 0;
        assert!(!in_parts(
            3 * PART_SIZE,
            1,
            || true,
            |part| done += part.len()
        ));
        assert_eq!(done, PART_SIZE);
        assert!(in_parts(PART_SIZE, 1, || true, |_| {}));
    }
}
