//! Threads that wait at an address of a shared memory, for `memory.atomic.wait` and `notify`.
//!
//! A fixed number of queues, chosen by the address, as in Linux' futexes. A thread compares the
//! value while it holds the queue, and a notifier holds it too: between comparing and waiting, no
//! notification is lost.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::fork::{self, Locked};
use crate::vm::interrupt::Interrupts;

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Waited {
    Notified = 0,
    /// The value was not the expected one.
    NotEqual = 1,
    TimedOut = 2,
    /// The store was interrupted: the guest does not see this.
    Interrupted = 3,
}

/// A thread that waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    address: u64,
    /// Whether it was notified; it is not in the queue any more then.
    notified: AtomicBool,
    thread: Thread,
}

impl Waiter {
    /// Wakes the thread, if it waits still, to see whether it was interrupted.
    pub(crate) fn wake(&self) {
        // Whoever holds the queue has not looked yet, or waits already.
        let _queue = queue(self.address);
        self.thread.unpark();
    }
}

type Queue = VecDeque<Arc<Waiter>>;

const QUEUES: usize = 64;
static TABLE: [Mutex<Queue>; QUEUES] = [const { Mutex::new(VecDeque::new()) }; QUEUES];

/// The queue of an address, and of others.
fn queue(address: u64) -> Locked<'static, Queue> {
    // Fibonacci hashing: the high bits of the product depend on all of the address.
    let hash = address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
    fork::lock(&TABLE[hash as usize])
}

/// In a child after a fork: none of the threads that waited is there.
pub(crate) fn after_fork() {
    for queue in &TABLE {
        fork::lock(queue).clear();
    }
}

/// Waits until `address` is notified, for `timeout` at most, if `is_expected`; and no longer than
/// until `interrupts` stop the store, if there are any.
pub(crate) fn wait(
    address: u64,
    timeout: Option<Duration>,
    interrupts: Option<&Interrupts>,
    is_expected: &dyn Fn() -> bool,
) -> Waited {
    // A time too far away is no limit.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let queue = queue(address);
    if !is_expected() {
        return Waited::NotEqual;
    }
    let waiter = Arc::new(Waiter {
        address,
        notified: AtomicBool::new(false),
        thread: thread::current(),
    });
    let Some(interrupts) = interrupts else {
        return wait_in(queue, &waiter, deadline, None);
    };
    // A request after this finds the waiter; one before it is found below.
    interrupts.set_waiter(Some(Arc::clone(&waiter)));
    let waited = wait_in(queue, &waiter, deadline, Some(interrupts));
    interrupts.set_waiter(None);
    waited
}

/// Waits in a queue that is held since the value was compared.
fn wait_in(
    mut queue: Locked<'static, Queue>,
    waiter: &Arc<Waiter>,
    deadline: Option<Instant>,
    interrupts: Option<&Interrupts>,
) -> Waited {
    queue.push_back(Arc::clone(waiter));
    loop {
        if interrupts.is_some_and(Interrupts::is_requested) {
            queue.retain(|other| !Arc::ptr_eq(other, waiter));
            return Waited::Interrupted;
        }
        drop(queue);
        // Who wakes the thread from here on does so for its next wait.
        match deadline {
            None => thread::park(),
            Some(deadline) => {
                thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
            }
        }
        queue = self::queue(waiter.address);
        // Both are written under the lock.
        if waiter.notified.load(Ordering::Relaxed) {
            return Waited::Notified;
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            queue.retain(|other| !Arc::ptr_eq(other, waiter));
            return Waited::TimedOut;
        }
    }
}

/// Wakes the `count` threads that have waited longest at `address`: how many there were.
pub(crate) fn notify(address: u64, count: u32) -> u32 {
    let mut woken = 0;
    queue(address).retain(|waiter| {
        if woken == count || waiter.address != address {
            return true;
        }
        woken += 1;
        waiter.notified.store(true, Ordering::Relaxed);
        waiter.thread.unpark();
        false
    });
    woken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_to_wait_are_woken() {
        const ADDRESS: u64 = 0x1000;
        std::thread::scope(|scope| {
            let waiters: Vec<_> = (0..3)
                .map(|count| {
                    let waiter = scope.spawn(|| wait(ADDRESS, None, None, &|| true));
                    while queue(ADDRESS).len() <= count {
                        std::thread::yield_now();
                    }
                    waiter
                })
                .collect();
            assert_eq!(notify(ADDRESS + 4, 9), 0);
            assert_eq!(notify(ADDRESS, 0), 0);
            assert_eq!(notify(ADDRESS, 2), 2);
            let mut waiters = waiters.into_iter();
            assert_eq!(waiters.next().unwrap().join().unwrap(), Waited::Notified);
            assert_eq!(waiters.next().unwrap().join().unwrap(), Waited::Notified);
            assert_eq!(notify(ADDRESS, 2), 1);
            assert_eq!(waiters.next().unwrap().join().unwrap(), Waited::Notified);
            assert_eq!(notify(ADDRESS, u32::MAX), 0);
        });
    }

    #[test]
    fn waiting_ends_in_time() {
        const ADDRESS: u64 = 0x2000;
        let moment = Some(Duration::from_millis(1));
        assert_eq!(wait(ADDRESS, moment, None, &|| false), Waited::NotEqual);
        assert_eq!(wait(ADDRESS, moment, None, &|| true), Waited::TimedOut);
        assert_eq!(
            wait(ADDRESS, Some(Duration::ZERO), None, &|| true),
            Waited::TimedOut
        );
        assert_eq!(notify(ADDRESS, 1), 0);
    }
}
