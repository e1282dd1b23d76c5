//! The limit of what a guest has open: files, folders and sockets, each a descriptor of the
//! system's, of which a process has few.

use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd};

use crate::quota::{Claim, Quota};

/// How many a guest may have open, unless the host says otherwise: half of the 1024 that systems
/// usually let a process have.
const MAX_OPEN_FILES: usize = 512;

/// What a guest has open, and how much that may be.
#[derive(Clone, Debug)]
pub(crate) struct OpenFiles(Quota);

/// Something open, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted<T> {
    value: T,
    /// `None` if it is the host's.
    _place: Option<Place>,
}

/// A place of [`OpenFiles`].
#[derive(Debug)]
pub(crate) struct Place(#[expect(dead_code, reason = "given back when it is dropped")] Claim);

/// There is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyOpen;

impl Default for OpenFiles {
    fn default() -> OpenFiles {
        OpenFiles::new(MAX_OPEN_FILES)
    }
}

impl OpenFiles {
    pub(crate) fn new(max: usize) -> OpenFiles {
        OpenFiles(Quota::new(max))
    }

    /// A place for what is going to be opened.
    pub(crate) fn place(&self) -> Result<Place, TooManyOpen> {
        self.0.claim(1).map(Place).ok_or(TooManyOpen)
    }
}

impl Place {
    /// Something that takes this place.
    pub(crate) fn of<T>(self, value: T) -> Counted<T> {
        Counted {
            value,
            _place: Some(self),
        }
    }
}

impl<T> Counted<T> {
    /// Something of the host's, which takes no place.
    pub(crate) fn of_host(value: T) -> Counted<T> {
        Counted {
            value,
            _place: None,
        }
    }
}

impl<T> Deref for Counted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Counted<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: AsFd> AsFd for Counted<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.value.as_fd()
    }
}
