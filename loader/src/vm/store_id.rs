//! Numbers of stores.

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of a store: no two stores of a process have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StoreId(u64);

impl StoreId {
    /// The number of no store.
    pub(crate) const NONE: StoreId = StoreId(0);

    /// The number of a new store. Threads take many at once, so that they share nothing for each.
    pub(super) fn next() -> StoreId {
        /// Numbers that a thread takes at once.
        const AT_ONCE: u64 = 1 << 12;
        static NEXT: AtomicU64 = AtomicU64::new(1);
        thread_local! {
            static MINE: Cell<Range<u64>> = const { Cell::new(0..0) };
        }
        let mut mine = MINE.take();
        if mine.is_empty() {
            let start = NEXT.fetch_add(AT_ONCE, Ordering::Relaxed);
            mine = start..start + AT_ONCE;
        }
        let id = mine.start;
        MINE.set(id + 1..mine.end);
        StoreId(id)
    }
}
