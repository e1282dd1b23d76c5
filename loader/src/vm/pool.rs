//! Address space that instances have left, for the next ones of any kind.
//!
//! Reserving gigabytes, and giving them back, costs the kernel page tables each time. So a
//! reservation is kept when its instance is dropped: its pages are given back and are zeros when
//! they are touched again; nothing of the old instance is left. What is accessible stays so, and an
//! instance of the same sizes needs no system call.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use crate::fork;
use crate::vm::mappings::Budget;
#[cfg(feature = "recycle")]
use crate::vm::recycle::kept::Kept;
#[cfg(feature = "recycle")]
use crate::vm::slabs::Slabs;
use crate::vm::space::Space;

/// Reservations that nobody uses: all of their pages are zeros, or inaccessible.
#[derive(Debug)]
pub(crate) struct Pool {
    /// The one that was used last is at the back.
    free: Mutex<VecDeque<Free>>,
    /// Reservations that are kept at most.
    max: usize,
    /// The budget of all reservations, also of those that are kept.
    budget: Arc<Budget>,
    /// Whole instances that are kept.
    #[cfg(feature = "recycle")]
    kept: Arc<Kept>,
    /// Address space that many instances share.
    #[cfg(feature = "recycle")]
    slabs: Arc<Slabs>,
}

#[derive(Debug)]
struct Free {
    reservation: Space,
    /// Bytes from the start that can be read and written.
    accessible: usize,
}

impl Pool {
    /// A pool that keeps at most `max` reservations, all of which count for `budget`.
    pub(crate) fn new(max: usize, budget: Arc<Budget>) -> Pool {
        Pool {
            free: Mutex::default(),
            max,
            budget,
            #[cfg(feature = "recycle")]
            kept: Arc::default(),
            #[cfg(feature = "recycle")]
            slabs: Arc::default(),
        }
    }

    /// The same, with whole instances, which are given back as well if there is too little address
    /// space.
    #[cfg(feature = "recycle")]
    pub(crate) fn with_kept(self, kept: Arc<Kept>) -> Pool {
        Pool { kept, ..self }
    }

    /// The whole instances that are kept.
    #[cfg(feature = "recycle")]
    pub(crate) fn kept(&self) -> &Arc<Kept> {
        &self.kept
    }

    /// The budget that its reservations are taken from.
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// A reservation of `size` bytes, the first `accessible` of which are zeros that can be read
    /// and written, and the others inaccessible. Both are multiples of the page size.
    pub(crate) fn take(&self, size: usize, accessible: usize) -> io::Result<Space> {
        let found = {
            let mut free = fork::lock(&self.free);
            let place = free
                .iter()
                .rposition(|free| free.reservation.size() == size);
            place.and_then(|place| free.remove(place))
        };
        let Some(Free {
            reservation,
            accessible: before,
        }) = found
        else {
            return Space::new(&self.budget, size, accessible).or_else(|_| {
                // Perhaps the missing address space is kept here.
                self.release();
                Space::new(&self.budget, size, accessible)
            });
        };
        if before < accessible {
            reservation.make_accessible(before, accessible - before)?;
        } else if before > accessible {
            reservation.make_inaccessible(accessible, before - accessible)?;
        }
        Ok(reservation)
    }

    /// As [`take`](Pool::take), for an instance that touches nothing beyond `guard` bytes after
    /// what is accessible, at any time: it need not have a mapping of its own.
    pub(crate) fn take_guarded(
        &self,
        size: usize,
        accessible: usize,
        guard: usize,
    ) -> io::Result<Space> {
        #[cfg(feature = "recycle")]
        if let Some(piece) = self.slabs.take(&self.budget, (size, accessible, guard)) {
            return Ok(Space::Piece(piece));
        }
        #[cfg(not(feature = "recycle"))]
        let _ = guard;
        self.take(size, accessible)
    }

    /// Gives back a reservation of which the first `accessible` bytes can be read and written, and
    /// of which `mapped` says whether files are mapped there.
    pub(crate) fn give_back(&self, reservation: Space, accessible: usize, mapped: bool) {
        if !reservation.is_whole() || self.is_full_of(reservation.size()) {
            return;
        }
        let (cleared, accessible) = if accessible == 0 {
            (Ok(()), 0)
        } else if mapped {
            (reservation.unmap(0, accessible), 0)
        } else {
            (reservation.discard(0, accessible), accessible)
        };
        // One that cannot be cleared is unmapped as a whole.
        if cleared.is_err() {
            return;
        }
        let mut free = fork::lock(&self.free);
        let oldest = if free.len() < self.max {
            None
        } else {
            free.pop_front()
        };
        free.push_back(Free {
            reservation,
            accessible,
        });
        drop(free);
        drop(oldest);
    }

    /// Whether there is no room, and the one that has waited longest, if any, is of this size, so
    /// that it is as good as another one.
    fn is_full_of(&self, size: usize) -> bool {
        let free = fork::lock(&self.free);
        free.len() >= self.max
            && free
                .front()
                .is_none_or(|free| free.reservation.size() == size)
    }

    /// Gives back all that is kept, here and with whole instances.
    pub(crate) fn release(&self) {
        // Their address space comes here.
        #[cfg(feature = "recycle")]
        self.kept.clear();
        let free = std::mem::take(&mut *fork::lock(&self.free));
        drop(free);
        #[cfg(feature = "recycle")]
        self.slabs.release();
    }
}

#[cfg(test)]
mod tests {
    #![allow(unsafe_code, reason = "writes to the reservation")]

    use super::*;
    use crate::sys::PAGE_SIZE;

    const SIZE: usize = 1 << 32;

    #[test]
    fn nothing_is_left_of_the_instance_before() {
        let pool = Pool::new(8, Budget::new(None));
        for (round, pages) in [3, 3, 5, 1, 2].into_iter().enumerate() {
            let reservation = pool.take(SIZE, pages * PAGE_SIZE).unwrap();
            let start = reservation.start().as_ptr();
            // SAFETY: these pages are accessible, and the reservation is ours.
            let bytes = unsafe { std::slice::from_raw_parts_mut(start, pages * PAGE_SIZE) };
            assert!(bytes.iter().all(|byte| *byte == 0), "round {round}");
            bytes.fill(7);
            let grown = pages + round;
            reservation
                .make_accessible(pages * PAGE_SIZE, round * PAGE_SIZE)
                .unwrap();
            pool.give_back(reservation, grown * PAGE_SIZE, round == 2);
            assert_eq!(pool.free.lock().unwrap().len(), 1);
        }
        pool.take(2 * SIZE, 0).unwrap();
        assert_eq!(pool.free.lock().unwrap().len(), 1);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let pool = Pool::new(8, Budget::new(None));
        for pages in 1..=16 {
            pool.give_back(pool.take(pages * PAGE_SIZE, 0).unwrap(), 0, false);
        }
        assert_eq!(pool.free.lock().unwrap().len(), 8);
    }

    #[test]
    fn what_is_kept_counts_and_makes_room() {
        let pool = Pool::new(8, Budget::new(Some(4)));
        let both = [1, 2].map(|pages| pool.take(pages * PAGE_SIZE, 0).unwrap());
        assert!(pool.take(3 * PAGE_SIZE, 0).is_err());
        for reservation in both {
            pool.give_back(reservation, 0, false);
        }
        assert!(pool.budget.take(1).is_err());
        let both = [3, 4].map(|pages| pool.take(pages * PAGE_SIZE, 0).unwrap());
        drop(both);
        assert!(pool.budget.take(4).is_ok());
    }
}
