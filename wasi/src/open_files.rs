//! The limit of what a guest has open: files, folders and sockets, each a descriptor of the
//! system's, of which a process has few.

use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many a guest may have open, unless the host says otherwise: half of the 1024 that systems
/// usually let a process have.
const MAX_OPEN_FILES: usize = 512;

/// What a guest has open, and how much that may be.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    pub(crate) max: usize,
    open: Arc<AtomicUsize>,
}

/// Something open, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted<T> {
    value: T,
    /// `None` if it is the host's.
    _place: Option<Place>,
}

/// A place of [`OpenFiles`].
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

/// There is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyOpen;

impl Default for OpenFiles {
    fn default() -> OpenFiles {
        OpenFiles {
            max: MAX_OPEN_FILES,
            open: Arc::default(),
        }
    }
}

impl OpenFiles {
    /// A place for what is going to be opened.
    pub(crate) fn place(&self) -> Result<Place, TooManyOpen> {
        // Only one thread at a time adds to it.
        if self.open.load(Ordering::Relaxed) >= self.max {
            return Err(TooManyOpen);
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(Place(Arc::clone(&self.open)))
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

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back() {
        let files = OpenFiles {
            max: 2,
            ..OpenFiles::default()
        };
        let first = files.place().unwrap().of("first");
        let second = files.place().unwrap();
        assert_eq!(files.place().unwrap_err(), TooManyOpen);
        drop(first);
        let third = files.place().unwrap();
        assert_eq!(files.place().unwrap_err(), TooManyOpen);
        drop((second, third));
        assert!(files.place().is_ok());
    }
}
