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
pub(crate) struct Space {
    // Unmapped before its owner gives back the mappings.
    reservation: Reservation,
    owner: Owner,
}

/// What a reservation is taken from.
#[derive(Debug)]
enum Owner {
    Budget {
        _mappings: Mappings,
    },
    #[cfg(feature = "recycle")]
    Slab(Piece),
}

impl Space {
    /// A mapping of its own: see [`Reservation::new`].
    ///
    /// # Errors
    /// If the operating system refuses, or the limit is reached.
    pub(crate) fn new(budget: &Arc<Budget>, size: usize, accessible: usize) -> io::Result<Space> {
        let mappings = budget.take(PER_RESERVATION)?;
        Ok(Space {
            reservation: Reservation::new(size, accessible)?,
            owner: Owner::Budget {
                _mappings: mappings,
            },
        })
    }

    /// A piece of a mapping.
    #[cfg(feature = "recycle")]
    pub(super) fn of_piece(piece: Piece) -> Space {
        Space {
            reservation: piece.part(),
            owner: Owner::Slab(piece),
        }
    }

    /// Bytes after what is accessible that a guard makes inaccessible; 0 if all are.
    pub(crate) fn guard(&self) -> usize {
        match &self.owner {
            Owner::Budget { .. } => 0,
            #[cfg(feature = "recycle")]
            Owner::Slab(piece) => piece.guard(),
        }
    }

    /// Whether it is a mapping of its own.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.owner, Owner::Budget { .. })
    }
}

impl Deref for Space {
    type Target = Reservation;

    fn deref(&self) -> &Reservation {
        &self.reservation
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
