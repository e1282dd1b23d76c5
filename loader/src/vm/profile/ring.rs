//! A ring of samples: a signal handler writes on one thread, another thread reads.
//!
//! ```text
//! | number of program counters, flags << 32 | time | weight | program counters ... | next sample
//! ```

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Words of a ring: 127 of the largest samples.
const WORDS: usize = 1 << 15;

/// Words of a sample before its program counters.
const HEAD: usize = 3;

/// Program counters of a sample at most.
pub(super) const MAX_FRAMES: usize = 255;

/// What a sample is besides its stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Nanoseconds since the profile began.
    pub(super) time: u64,
    /// Nanoseconds that it stands for.
    pub(super) weight: u64,
    pub(super) flags: Flags,
}

/// What is known of the stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    /// The handler of a trap was running.
    pub(super) in_trap: bool,
    /// There are more frames.
    pub(super) is_truncated: bool,
}

/// The ring, and the time that is in no sample.
pub(super) struct Ring {
    words: Box<[AtomicU64]>,
    /// Words that were ever written, and read.
    written: AtomicUsize,
    read: AtomicUsize,
    /// Nanoseconds outside of guests.
    pub(super) outside: AtomicU64,
    /// Nanoseconds in stacks that could not be walked.
    pub(super) unknown: AtomicU64,
    /// Nanoseconds for whose samples there was no room.
    pub(super) dropped: AtomicU64,
}

impl Ring {
    pub(super) fn new() -> Ring {
        Ring {
            words: std::iter::repeat_with(AtomicU64::default)
                .take(WORDS)
                .collect(),
            written: AtomicUsize::new(0),
            read: AtomicUsize::new(0),
            outside: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// Writes a sample of at most [`MAX_FRAMES`]; or counts it, if there is no room. Safe in signal
    /// handlers; one at a time.
    pub(super) fn write(&self, head: Head, pcs: &[usize]) {
        let start = self.written.load(Ordering::Relaxed);
        let used = start.wrapping_sub(self.read.load(Ordering::Acquire));
        let len = HEAD + pcs.len();
        if WORDS - used < len {
            self.dropped.fetch_add(head.weight, Ordering::Relaxed);
            return;
        }
        let flags = u64::from(head.flags.in_trap) | u64::from(head.flags.is_truncated) << 1;
        let words = [pcs.len() as u64 | flags << 32, head.time, head.weight];
        let words = words.into_iter().chain(pcs.iter().map(|pc| *pc as u64));
        for (place, word) in words.enumerate() {
            self.word(start.wrapping_add(place))
                .store(word, Ordering::Relaxed);
        }
        self.written
            .store(start.wrapping_add(len), Ordering::Release);
    }

    /// Takes all samples that there are, the oldest first. One reader at a time.
    pub(super) fn take(&self, mut each: impl FnMut(Head, &[usize])) {
        let end = self.written.load(Ordering::Acquire);
        let mut at = self.read.load(Ordering::Relaxed);
        let mut pcs = [0; MAX_FRAMES];
        while at != end {
            let word = |place: usize| self.word(at.wrapping_add(place)).load(Ordering::Relaxed);
            let first = word(0);
            let len = (first as u32 as usize).min(MAX_FRAMES);
            let head = Head {
                time: word(1),
                weight: word(2),
                flags: Flags {
                    in_trap: first >> 32 & 1 != 0,
                    is_truncated: first >> 33 & 1 != 0,
                },
            };
            for (place, pc) in pcs[..len].iter_mut().enumerate() {
                *pc = word(HEAD + place) as usize;
            }
            each(head, &pcs[..len]);
            at = at.wrapping_add(HEAD + len);
            self.read.store(at, Ordering::Release);
        }
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        &self.words[at % WORDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(number: u64) -> Head {
        Head {
            time: number,
            weight: 2,
            flags: Flags {
                in_trap: number.is_multiple_of(2),
                is_truncated: number.is_multiple_of(3),
            },
        }
    }

    /// The stack of a sample.
    fn pcs(number: u64) -> Vec<usize> {
        (0..number as usize * 7 % (MAX_FRAMES + 1)).collect()
    }

    #[test]
    fn samples_come_back_in_their_order() {
        let ring = Ring::new();
        let (mut written, mut taken) = (0, 0);
        for round in 0..50 {
            for _ in 0..round * 2 {
                ring.write(head(written), &pcs(written));
                written += 1;
            }
            ring.take(|found, stack| {
                assert_eq!((found, stack), (head(taken), &*pcs(taken)));
                taken += 1;
            });
        }
        assert_eq!((written, taken), (2450, 2450));
        assert_eq!(ring.dropped.into_inner(), 0);
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let ring = Ring::new();
        let full = vec![1; MAX_FRAMES];
        for number in 0..200 {
            ring.write(head(number), &full);
        }
        let mut taken = 0;
        ring.take(|_, _| taken += 1);
        assert_eq!(taken, 127);
        assert_eq!(ring.dropped.load(Ordering::Relaxed), 73 * 2);
        ring.write(head(1), &full);
        ring.take(|found, _| assert_eq!(found, head(1)));
    }

    #[test]
    fn a_reader_sees_whole_samples_while_others_are_written() {
        let ring = Ring::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..20_000 {
                    ring.write(head(number), &pcs(number));
                }
            });
            let mut weight = 0;
            while weight + ring.dropped.load(Ordering::Relaxed) < 40_000 {
                ring.take(|found, stack| {
                    assert_eq!((found, stack), (head(found.time), &*pcs(found.time)));
                    weight += found.weight;
                });
            }
        });
    }
}
