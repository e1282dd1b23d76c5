//! Address space for many instances: pieces of large mappings.
//!
//! ```text
//! chunk: | piece                          | piece                          | ...
//!        | accessible | guard | unused    | accessible | guard | unused    |
//! ```
//!
//! A process has a limited number of mappings (65,530 on Linux, by default), and a reservation of
//! its own takes two. A chunk is one mapping, all of which could be read and written: its pieces
//! are kept apart by guards, marks in page tables that take no mapping (`MADV_GUARD_INSTALL`, Linux
//! 6.13). What is beyond the guard is never touched: pieces are for contexts without a memory, and
//! for memories whose accesses are compared with the size, which reach no further than the guard.
#![allow(unsafe_code, reason = "gives each piece to one owner")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::fork::{self, Locked};
use crate::sys;
use crate::sys::memory::Reservation;
use crate::vm::mappings::{Budget, Mappings, PER_RESERVATION};

/// Bytes of a chunk, at most, unless one piece is larger.
const CHUNK: usize = 1 << 36;
/// Pieces of a chunk, at most.
const PIECES: usize = 256;

/// The chunks of an engine.
#[derive(Debug, Default)]
pub(crate) struct Slabs {
    /// By the size of their pieces.
    chunks: Mutex<HashMap<usize, Vec<Chunk>>>,
}

#[derive(Debug)]
struct Chunk {
    whole: Arc<Reservation>,
    pieces: usize,
    /// Those that nobody uses: clean, without guards. Invariant 1: each is here, or a [`Piece`], or
    /// lost, because it could not be made clean.
    free: Vec<usize>,
    _mappings: Mappings,
}

/// A piece of a chunk, which is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Piece {
    slabs: Arc<Slabs>,
    space: Reservation,
    index: usize,
    /// Bytes after what is accessible that a guard makes inaccessible.
    guard: usize,
}

impl Slabs {
    /// A piece of `size` bytes, the first `accessible` of which are zeros, and the next `guard`
    /// inaccessible; all are multiples of the page size. `None` if there is too little address
    /// space for a chunk, or the system has no guards.
    pub(super) fn take(
        self: &Arc<Slabs>,
        budget: &Arc<Budget>,
        (size, accessible, guard): (usize, usize, usize),
    ) -> Option<Piece> {
        let mut piece = self.piece(budget, size, guard != 0)?;
        if guard != 0 {
            // First, so that what is left of a guard that fails is removed.
            piece.guard = guard;
            piece.space.install_guard(accessible, guard).ok()?;
        }
        Some(piece)
    }

    fn piece(
        self: &Arc<Slabs>,
        budget: &Arc<Budget>,
        size: usize,
        is_guarded: bool,
    ) -> Option<Piece> {
        let mut all = self.lock();
        let chunks = all.entry(size).or_default();
        if chunks.iter().all(|chunk| chunk.free.is_empty()) {
            // Asked for each chunk: in a process that locks its memory, all of it would be taken.
            if is_guarded && !sys::memory::has_guards() {
                return None;
            }
            // As many as there are: no more address space is unused than used.
            let pieces = chunks.iter().map(|chunk| chunk.pieces).sum();
            chunks.push(Chunk::new(budget, size, pieces)?);
        }
        // The one that was made last has most pieces, as a rule.
        let mut chunks = chunks.iter_mut().rev();
        let (chunk, index) =
            chunks.find_map(|chunk| chunk.free.pop().map(|index| (chunk, index)))?;
        // SAFETY: nobody else has the piece, which was free (invariant 1).
        let space = unsafe { Reservation::part(&chunk.whole, (index * size, size)) };
        Some(Piece {
            slabs: Arc::clone(self),
            space,
            index,
            guard: 0,
        })
    }

    /// Adds a clean piece to those that nobody uses.
    fn give_back(&self, piece: &Piece) {
        let mut all = self.lock();
        let Some(chunks) = all.get_mut(&piece.space.size()) else {
            return;
        };
        let is_of = |chunk: &Chunk| piece.space.is_part_of(&chunk.whole);
        let Some(place) = chunks.iter().position(is_of) else {
            return;
        };
        chunks[place].free.push(piece.index);
        let others = chunks.iter().filter(|chunk| !is_of(chunk));
        let others: usize = others.map(|chunk| chunk.free.len()).sum();
        let is_enough = others > 0 && others >= chunks[place].pieces / 4;
        let unused = (chunks[place].is_unused() && is_enough).then(|| chunks.swap_remove(place));
        drop(all);
        drop(unused);
    }

    /// Unmaps the chunks of which nobody uses a piece.
    pub(super) fn release(&self) {
        let mut unused = Vec::new();
        self.lock().retain(|_, chunks| {
            unused.extend(chunks.extract_if(.., |chunk| chunk.is_unused()));
            !chunks.is_empty()
        });
        drop(unused);
    }

    fn lock(&self) -> Locked<'_, HashMap<usize, Vec<Chunk>>> {
        fork::lock(&self.chunks)
    }
}

impl Chunk {
    /// A chunk of so many pieces, or of as many as there may be.
    fn new(budget: &Arc<Budget>, size: usize, pieces: usize) -> Option<Chunk> {
        let pieces = pieces.min(CHUNK / size).clamp(1, PIECES);
        let all = pieces.checked_mul(size)?;
        let mappings = budget.take(PER_RESERVATION).ok()?;
        let whole = Reservation::new(all, all).ok()?;
        if pieces > 1 {
            // As much is left for the host.
            drop(Reservation::new(all, 0).ok()?);
        }
        // A huge page would hold what others have in it.
        whole.refuse_huge_pages().ok()?;
        Some(Chunk {
            whole: Arc::new(whole),
            pieces,
            free: (0..pieces).rev().collect(),
            _mappings: mappings,
        })
    }

    fn is_unused(&self) -> bool {
        self.free.len() == self.pieces
    }
}

impl Piece {
    /// Its address space.
    pub(super) fn space(&self) -> &Reservation {
        &self.space
    }

    /// Bytes of the guard after what is accessible.
    pub(super) fn guard(&self) -> usize {
        self.guard
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let (space, size) = (&self.space, self.space.size());
        let cleaned = space
            .make_accessible(0, size)
            .and_then(|()| space.discard(0, size))
            .and_then(|()| match self.guard {
                0 => Ok(()),
                _ => space.remove_guards(0, size),
            });
        // Otherwise nobody may use it again.
        if cleaned.is_ok() {
            self.slabs.give_back(self);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::PAGE_SIZE;

    const SIZE: usize = 64 * PAGE_SIZE;

    fn bytes(piece: &mut Piece, pages: usize) -> &mut [u8] {
        let start = piece.space.start().as_ptr();
        // SAFETY: so many pages are accessible, and the piece is the test's.
        unsafe { std::slice::from_raw_parts_mut(start, pages * PAGE_SIZE) }
    }

    #[test]
    fn pieces_are_apart_and_clean() {
        let (slabs, budget) = (Arc::new(Slabs::default()), Budget::new(None));
        let guard = if sys::memory::has_guards() { 16 } else { 0 } * PAGE_SIZE;
        for round in 0..3 {
            let take = |_| slabs.take(&budget, (SIZE, 3 * PAGE_SIZE, guard)).unwrap();
            let mut pieces: Vec<Piece> = (0..PIECES + 10).map(take).collect();
            let starts = pieces.iter().map(|it| it.space.start().addr().get());
            let mut starts: Vec<usize> = starts.collect();
            starts.sort_unstable();
            assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= SIZE));
            for piece in &mut pieces {
                let bytes = bytes(piece, 3);
                assert!(bytes.iter().all(|byte| *byte == 0), "round {round}");
                bytes.fill(round + 1);
            }
            let chunks = &slabs.lock()[&SIZE];
            let all: usize = chunks.iter().map(|chunk| chunk.pieces).sum();
            assert!(all <= 2 * PIECES && chunks.len() <= 10, "{chunks:?}");
        }
        slabs.release();
        assert!(slabs.lock().is_empty());
    }

    #[test]
    fn chunks_that_nobody_uses_go() {
        // Chunks of 1, 1, 2, 4, ..., 128 and three times 256 pieces.
        let budget = Budget::new(Some(12 * PER_RESERVATION));
        let slabs = Arc::new(Slabs::default());
        let take = |_| slabs.take(&budget, (SIZE, SIZE, 0));
        let mut pieces: Vec<Piece> = (0..4 * PIECES).map_while(take).collect();
        assert_eq!(pieces.len(), 4 * PIECES);
        assert!(take(0).is_none(), "the budget is used up");
        pieces.truncate(PIECES);
        let chunks = slabs.lock()[&SIZE].len();
        assert_eq!(chunks, 10);
        drop(pieces);
        assert_eq!(slabs.lock()[&SIZE].len(), 1);
    }
}
