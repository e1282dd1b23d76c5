//! Limits the mappings of memory that guests take: a process has a limited number
//! (`vm.max_map_count`), and when they are all taken, its next thread or allocation fails, that of
//! the host too.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fork::Once;
use crate::sys;

/// Mappings that a reservation is at most: what is accessible, and the rest.
pub(crate) const PER_RESERVATION: usize = 2;

/// Mappings that a file's pages add which are mapped into a reservation: themselves, and what is
/// after.
pub(crate) const PER_RUN: usize = 2;

/// The mappings that an engine may have.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    max: usize,
}

/// Mappings that are taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Mappings {
    budget: Arc<Budget>,
    count: usize,
}

impl Budget {
    /// A budget of `max` mappings; by default half of what a process may have.
    pub(crate) fn new(max: Option<usize>) -> Arc<Budget> {
        static OF_PROCESS: Once<usize> = Once::new();
        let half = || *OF_PROCESS.get_or_init(sys::memory::max_mappings) / 2;
        Arc::new(Budget {
            used: AtomicUsize::new(0),
            max: max.unwrap_or_else(half),
        })
    }

    /// Takes so many mappings.
    ///
    /// # Errors
    /// If there are not as many left: the limit's name.
    pub(crate) fn take(self: &Arc<Self>, count: usize) -> io::Result<Mappings> {
        self.take_of(self.max, count).map_err(|used| {
            io::Error::other(format!(
                "the engine's limit of {} memory mappings (Config::max_mappings) is exceeded: {used} \
                 are taken, and {count} more needed",
                self.max
            ))
        })
    }

    /// Takes so many mappings for what can be done without, if a half of all is left afterwards.
    #[cfg(feature = "recycle")]
    pub(crate) fn take_spare(self: &Arc<Self>, count: usize) -> Option<Mappings> {
        self.take_of(self.max / 2, count).ok()
    }

    /// How many are taken, and the most that may be.
    #[cfg(feature = "metrics")]
    pub(crate) fn level(&self) -> (usize, usize) {
        (self.used.load(Ordering::Relaxed), self.max)
    }

    /// Whether a half of all is left after so many more.
    #[cfg(feature = "recycle")]
    pub(crate) fn has_spare(&self, count: usize) -> bool {
        self.used.load(Ordering::Relaxed) + count <= self.max / 2
    }

    /// Takes so many mappings, if `most` are taken then; or how many are taken.
    fn take_of(self: &Arc<Self>, most: usize, count: usize) -> Result<Mappings, usize> {
        let add = |used: usize| used.checked_add(count).filter(|sum| *sum <= most);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        self.used.fetch_update(set, fetch, add).map(|_| Mappings {
            budget: Arc::clone(self),
            count,
        })
    }
}

impl Drop for Mappings {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again() {
        let budget = Budget::new(Some(5));
        let (first, second) = (budget.take(2).unwrap(), budget.take(2).unwrap());
        let error = budget.take(2).unwrap_err().to_string();
        assert!(error.contains("limit of 5 memory mappings"), "{error}");
        assert!(budget.take(usize::MAX).is_err());
        let last = budget.take(1).unwrap();
        drop((first, last));
        drop(budget.take(3).unwrap());
        drop(second);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    #[cfg(feature = "recycle")]
    fn a_half_is_left_of_what_is_spare() {
        let budget = Budget::new(Some(8));
        let spare = budget.take_spare(4).unwrap();
        assert!(budget.take_spare(1).is_none());
        let needed = budget.take(4).unwrap();
        drop(spare);
        assert!(budget.take_spare(1).is_none(), "needed ones count");
        drop(needed);
        assert!(budget.take_spare(4).is_some() && budget.take_spare(5).is_none());
    }
}
