//! What threads of a host share when something waits, in all orders of threads and with all values
//! that a weakly ordered memory may show: `loom` runs each model many times.
//!
//! The files are those of the loader, compiled with the locks and atomics of `loom`. They are all
//! that several threads use at a time: everything else of a store is of the thread that polls it.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Wake, Waker};

use block_on::block_on;
use loom::sync::atomic::AtomicBool;
use waking::{Waking, Woken};

/// As `loader/src/sync.rs`.
mod sync {
    pub(crate) use loom::sync::Mutex;
    pub(crate) use loom::sync::atomic::AtomicBool;
    pub(crate) use loom::thread;
}

#[path = "../../../loader/src/block_on.rs"]
#[allow(unreachable_pub, reason = "it is public in the loader")]
mod block_on;
#[path = "../../../loader/src/concurrent/waking.rs"]
mod waking;

/// A future that asks nobody to wake it: whoever makes it ready wakes it in any case.
#[derive(Clone)]
struct Flag(Arc<AtomicBool>);

impl Flag {
    fn new() -> Flag {
        Flag(Arc::new(AtomicBool::new(false)))
    }

    /// On another thread. `loom` waits for it when the model ends; a `join` here is confused by
    /// whoever unparks the thread that joins.
    fn set_and_wake(&self, waker: Waker) {
        let flag = self.clone();
        loom::thread::spawn(move || {
            flag.0.store(true, Ordering::Release);
            waker.wake();
        });
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A store with futures that are flags.
struct Store {
    woken: Arc<Woken>,
    futures: Vec<(Arc<Waking>, Flag, bool)>,
}

impl Store {
    fn new(count: u32) -> Store {
        let woken = Arc::<Woken>::default();
        let future = |number| (Waking::new(number, &woken), Flag::new(), false);
        Store {
            futures: (0..count).map(future).collect(),
            woken,
        }
    }

    /// Polls as `concurrent::drive` does: whether all are over.
    fn poll(&mut self, waker: &Waker) -> bool {
        self.woken.set_waker(waker);
        for number in self.woken.take() {
            let (waking, flag, is_over) = &mut self.futures[number as usize];
            waking.reset();
            *is_over |= flag.is_set();
        }
        self.futures.iter().all(|(_, _, is_over)| *is_over)
    }

    /// Waits until all are over. `loom` reports a deadlock if it is never woken.
    fn run(&mut self) {
        block_on(poll_fn(|context| match self.poll(context.waker()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }));
    }
}

/// A thread makes a future ready and wakes it, whatever the store does: it is polled again.
#[test]
fn a_future_that_is_woken_is_polled() {
    loom::model(|| {
        let mut store = Store::new(1);
        let (waking, flag, _) = &store.futures[0];
        flag.set_and_wake(Waker::from(Arc::clone(waking)));
        store.run();
    });
}

/// It was woken before for nothing, and the store is about to poll it for that.
#[test]
fn a_future_that_is_woken_again_is_polled() {
    loom::model(|| {
        let mut store = Store::new(1);
        let (waking, flag, _) = &store.futures[0];
        waking.wake_by_ref();
        flag.set_and_wake(Waker::from(Arc::clone(waking)));
        store.run();
    });
}

#[test]
fn two_threads_wake_two_futures() {
    let mut model = loom::model::Builder::new();
    // All orders of three threads take minutes.
    model.preemption_bound = Some(2);
    model.check(|| {
        let mut store = Store::new(2);
        for (waking, flag, _) in &store.futures {
            flag.set_and_wake(Waker::from(Arc::clone(waking)));
        }
        store.run();
    });
}

/// The call is polled by one executor, and then by another one: that is the one that is woken.
#[test]
fn whoever_polled_last_is_woken() {
    loom::model(|| {
        let mut store = Store::new(1);
        let (waking, flag, _) = &store.futures[0];
        flag.set_and_wake(Waker::from(Arc::clone(waking)));
        if !store.poll(Waker::noop()) {
            store.run();
        }
    });
}

/// The thread that runs `block_on` sleeps only while nobody has woken it.
#[test]
fn block_on_wakes_up() {
    loom::model(|| {
        let flag = Flag::new();
        let mut is_started = false;
        block_on(poll_fn(|context| {
            if flag.is_set() {
                return Poll::Ready(());
            }
            if !std::mem::replace(&mut is_started, true) {
                flag.set_and_wake(context.waker().clone());
            }
            Poll::Pending
        }));
    });
}

/// Wakes of futures that are over are forgotten; that of one that is woken meanwhile is not.
#[test]
fn what_is_over_is_forgotten_and_no_more() {
    loom::model(|| {
        let mut store = Store::new(1);
        for number in [7, 7, 8] {
            Waker::from(Waking::new(number, &store.woken)).wake();
        }
        assert_eq!(store.woken.len(), 3);
        let (waking, flag, _) = &store.futures[0];
        flag.set_and_wake(Waker::from(Arc::clone(waking)));
        store.woken.retain(|number| number == 0);
        assert!(store.woken.len() <= 1);
        store.run();
    });
}
