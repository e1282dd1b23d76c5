//! How much of something a guest may have at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of things, of which a guest may have so many.
#[derive(Clone, Debug)]
pub(crate) struct Quota {
    used: Arc<AtomicUsize>,
    max: usize,
}

/// A part of a quota, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    used: Arc<AtomicUsize>,
    amount: usize,
}

impl Quota {
    pub(crate) fn new(max: usize) -> Quota {
        Quota {
            used: Arc::default(),
            max,
        }
    }

    /// Takes so many, if they are there.
    pub(crate) fn claim(&self, amount: usize) -> Option<Claim> {
        let take = |used: usize| used.checked_add(amount).filter(|used| *used <= self.max);
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.ok().map(|_| Claim {
            used: Arc::clone(&self.used),
            amount,
        })
    }
}

#[cfg(feature = "http")]
impl Claim {
    /// How much it is.
    pub(crate) fn amount(&self) -> usize {
        self.amount
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.used.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_there_again() {
        let quota = Quota::new(10);
        let all = quota.claim(10).unwrap();
        assert!(quota.claim(1).is_none());
        drop(all);
        let part = quota.claim(4).unwrap();
        assert!(quota.claim(usize::MAX).is_none());
        assert!(quota.claim(7).is_none());
        let rest = quota.claim(6).unwrap();
        drop((part, rest));
        assert!(quota.claim(10).is_some());
    }
}
