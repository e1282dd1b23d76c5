//! Address space of an instance, wherever it comes from.

use std::io;
use std::ops::Deref;
use std::sync::Arc;

use crate::sys::memory::Reservation;
use crate::vm::mappings::{Budget, Mappings, PER_RESERVATION};
#[cfg(feature = "recycle")]
use crate::vm::slabs::Piece;

/// A reservation that counts for a budget.
#[derive(Debug)]
pub(crate) enum Space {
    /// A mapping of its own.
    Whole {
        // Unmapped before the mappings are given back.
        reservation: Reservation,
        _mappings: Mappings,
    },
    /// A piece of a mapping.
    #[cfg(feature = "recycle")]
    Piece(Piece),
}

impl Space {
    /// A mapping of its own: see [`Reservation::new`].
    ///
    /// # Errors
    /// If the operating system refuses, or the limit is reached.
    pub(crate) fn new(budget: &Arc<Budget>, size: usize, accessible: usize) -> io::Result<Space> {
        let mappings = budget.take(PER_RESERVATION)?;
        Ok(Space::Whole {
            reservation: Reservation::new(size, accessible)?,
            _mappings: mappings,
        })
    }

    /// Bytes after what is accessible that a guard makes inaccessible; 0 if all are.
    pub(crate) fn guard(&self) -> usize {
        match self {
            Space::Whole { .. } => 0,
            #[cfg(feature = "recycle")]
            Space::Piece(piece) => piece.guard(),
        }
    }

    /// Whether it is a mapping of its own.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Space::Whole { .. })
    }
}

impl Deref for Space {
    type Target = Reservation;

    fn deref(&self) -> &Reservation {
        match self {
            Space::Whole { reservation, .. } => reservation,
            #[cfg(feature = "recycle")]
            Space::Piece(piece) => piece.space(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::PAGE_SIZE;

    #[test]
    fn what_fails_takes_nothing() {
        let budget = Budget::new(Some(PER_RESERVATION));
        for _ in 0..9 {
            assert!(Space::new(&budget, 1 << 60, 0).is_err());
        }
        let space = Space::new(&budget, PAGE_SIZE, 0).unwrap();
        assert!(Space::new(&budget, PAGE_SIZE, 0).is_err());
        drop(space);
        Space::new(&budget, PAGE_SIZE, PAGE_SIZE).unwrap();
    }
}
