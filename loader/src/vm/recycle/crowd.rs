//! Whether threads on several CPUs drop instances at a time whose memory has grown.
//!
//! Then each change of the protection of their memory waits for the others: for the lock of the
//! address space, and until they have flushed their TLBs. What a thread does alone is cheaper.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::sys::cpu_number;

/// The CPU on which such an instance was dropped last, of all that the process has: its address
/// space is what they share. Alone in its cache line: a thread that is alone only reads it.
static LAST: Last = Last(AtomicUsize::new(usize::MAX));

#[repr(align(128))]
struct Last(AtomicUsize);

/// What is known on one CPU.
#[derive(Debug, Default)]
pub(crate) struct Crowd(AtomicU32);

impl Crowd {
    /// A thread that moves to another CPU now and then is no crowd, two that take turns are.
    const STEP: u32 = 2;
    const ENOUGH: u32 = 32;
    const MOST: u32 = 64;

    /// Notes that such an instance is dropped here; whether there is a crowd.
    pub(crate) fn note(&self) -> bool {
        self.note_on(cpu_number::current(), &LAST.0)
    }

    fn note_on(&self, cpu: usize, last: &AtomicUsize) -> bool {
        let before = self.0.load(Ordering::Relaxed);
        let now = if last.load(Ordering::Relaxed) == cpu {
            before.saturating_sub(1)
        } else {
            last.store(cpu, Ordering::Relaxed);
            (before + Crowd::STEP).min(Crowd::MOST)
        };
        if now != before {
            self.0.store(now, Ordering::Relaxed);
        }
        now >= Crowd::ENOUGH
    }

    /// Whether there was a crowd when such an instance was dropped last.
    pub(crate) fn is_there(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= Crowd::ENOUGH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_that_take_turns_are_a_crowd_and_one_is_none() {
        let last = AtomicUsize::new(usize::MAX);
        let crowds = [Crowd::default(), Crowd::default()];
        for _ in 0..1000 {
            assert!(!crowds[0].note_on(0, &last));
        }
        // A thread that moves: to another CPU, and back.
        for cpu in [1, 0, 1, 0, 1] {
            for _ in 0..8 {
                assert!(!crowds[cpu].note_on(cpu, &last), "CPU {cpu}");
            }
        }
        for _ in 0..Crowd::ENOUGH {
            crowds[0].note_on(0, &last);
            crowds[1].note_on(1, &last);
        }
        assert!(crowds.iter().all(Crowd::is_there));
        for _ in 0..Crowd::MOST {
            crowds[0].note_on(0, &last);
        }
        assert!(!crowds[0].is_there() && crowds[1].is_there());
    }
}
