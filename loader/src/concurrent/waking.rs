//! Which of a store's futures were woken: by any thread, also while they are polled.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Wake, Waker};

use crate::sync::{AtomicBool, Mutex};

/// The futures that were woken, by number, and who is to be woken for them.
#[derive(Default)]
pub(super) struct Woken {
    numbers: Mutex<Vec<u32>>,
    outer: Mutex<Option<Waker>>,
}

/// Wakes one future.
pub(super) struct Waking {
    number: u32,
    is_woken: AtomicBool,
    woken: Arc<Woken>,
}

impl Woken {
    /// Sets who is woken when one of them is.
    pub(super) fn set_waker(&self, waker: &Waker) {
        let outer = self.outer.lock();
        let mut outer = outer.unwrap_or_else(PoisonError::into_inner);
        match &mut *outer {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// Those that were woken since the last time. If one is woken later, so is the waker that was
    /// set before.
    pub(super) fn take(&self) -> Vec<u32> {
        let numbers = self.numbers.lock();
        std::mem::take(&mut *numbers.unwrap_or_else(PoisonError::into_inner))
    }
}

impl Woken {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        let numbers = self.numbers.lock();
        numbers.unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Leaves those for which that is so, each once.
    pub(super) fn retain(&self, so: impl Fn(u32) -> bool) {
        let numbers = self.numbers.lock();
        let mut numbers = numbers.unwrap_or_else(PoisonError::into_inner);
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|number| so(*number));
    }
}

impl Waking {
    pub(super) fn new(number: u32, woken: &Arc<Woken>) -> Arc<Waking> {
        Arc::new(Waking {
            number,
            is_woken: AtomicBool::new(false),
            woken: Arc::clone(woken),
        })
    }

    /// The future can be woken again. It must be polled after this: what was written before it was
    /// woken is seen then.
    pub(super) fn reset(&self) {
        // Not a store, which would not see what who has woken it last has written.
        self.is_woken.swap(false, Ordering::AcqRel);
    }
}

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_woken.swap(true, Ordering::AcqRel) {
            return;
        }
        let numbers = self.woken.numbers.lock();
        let mut numbers = numbers.unwrap_or_else(PoisonError::into_inner);
        numbers.push(self.number);
        drop(numbers);
        let outer = self.woken.outer.lock();
        let outer = outer.unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(outer) = outer {
            outer.wake();
        }
    }
}
