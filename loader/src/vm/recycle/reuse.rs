//! What a slot remembers of the instances that it had.

use std::io;

use super::fence::Fence;
use super::habits::Habits;
use crate::vm::mappings::Mappings;

/// What a slot remembers of the instances that it had.
#[derive(Debug)]
pub(crate) struct Reuse {
    /// What they have written to.
    pub(super) habits: Habits,
    /// Fences around all other pages.
    pub(super) fenced: Option<Fenced>,
    /// Whether what it grows into may be marked: not where the system has refused it.
    pub(super) may_mark: bool,
}

impl Reuse {
    /// Nothing yet; there may be fences or not.
    pub(crate) fn new(fences: bool) -> Reuse {
        Reuse {
            habits: Habits::new(fences),
            fenced: None,
            may_mark: true,
        }
    }

    /// Opens all fences.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn open(&mut self) -> io::Result<()> {
        self.fenced.take().map_or(Ok(()), Fenced::open)
    }
}

/// Fences around the areas of a slot.
#[derive(Debug)]
pub(super) struct Fenced {
    pub(super) fences: Box<[Fence]>,
    pub(super) _mappings: Mappings,
}

impl Fenced {
    /// Opens all of them.
    ///
    /// # Errors
    /// If the system refuses.
    pub(super) fn open(self) -> io::Result<()> {
        self.fences.into_iter().try_for_each(Fence::open)
    }
}
