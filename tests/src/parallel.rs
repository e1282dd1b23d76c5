//! Work for all of the machine's threads, with results in order.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{sync::mpsc, thread};

/// How many threads the machine has.
pub fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Calls `work` with each of the items, on so many threads, and `each` with the results in the
/// order of the items.
///
/// # Panics
/// If `work` does.
pub fn in_order<'a, T: Sync, R: Send>(
    items: &'a [T],
    threads: usize,
    work: impl Fn(&'a T) -> R + Sync,
    mut each: impl FnMut(&'a T, R),
) {
    let next = AtomicUsize::new(0);
    let (sender, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads {
            let (next, work) = (&next, &work);
            let sender = sender.clone();
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(number) else {
                        break;
                    };
                    sender
                        .send((number, work(item)))
                        .expect("results are read until all threads are done");
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut waiting = items.iter().enumerate().peekable();
        for (number, result) in results {
            early.insert(number, result);
            while let Some((number, item)) = waiting.peek()
                && let Some(result) = early.remove(number)
            {
                each(item, result);
                waiting.next();
            }
        }
    });
}
