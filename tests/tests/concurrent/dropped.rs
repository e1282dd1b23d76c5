//! Futures and stores that are dropped, or forgotten, in the middle: what host functions hold is
//! dropped once, and what is left can be used.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::{After, Bench, NEVER, WAITING, all, drive, live, poll_times};

#[test]
fn a_dropped_store_drops_the_futures_of_its_host_functions() {
    let bench = Bench::new();
    for name in WAITING {
        for polls in 0..5 {
            let (mut store, func) = bench.func(name);
            let counter = Arc::clone(&store.data().live);
            let mut call = Box::pin(func.call_async(&mut store, (4,)));
            poll_times(call.as_mut(), polls.min(3));
            drop(call);
            drop(store);
            // One is left if it was never dropped, none less if it was dropped twice.
            assert_eq!(counter.load(Ordering::Relaxed), 0, "{name} after {polls}");
        }
    }
}

#[test]
fn a_call_that_was_dropped_leaves_the_store_usable() {
    let bench = Bench::new();
    for name in ["callback", "stackful", "blocking"] {
        let (mut store, func) = bench.func(name);
        let mut call = Box::pin(func.call_async(&mut store, (NEVER,)));
        poll_times(call.as_mut(), 3);
        drop(call);
        for n in [0, 5] {
            let (result, _) = drive(func.call_async(&mut store, (n,)));
            assert_eq!(result.unwrap(), (2 * n,), "{name}");
        }
    }
}

#[test]
fn a_call_that_was_forgotten_leaves_the_store_usable() {
    let bench = Bench::new();
    for name in ["callback", "stackful", "blocking"] {
        for n in [3, NEVER] {
            let (mut store, func) = bench.func(name);
            let counter = Arc::clone(&store.data().live);
            let mut call = Box::pin(func.call_async(&mut store, (n,)));
            poll_times(call.as_mut(), 1);
            std::mem::forget(call);
            let (result, _) = drive(func.call_async(&mut store, (5,)));
            assert_eq!(result.unwrap(), (10,), "{name}");
            let (result, _) = drive(store.run_concurrent(async |accessor| {
                After(20).await;
                all([1, 2].map(|n| func.call_concurrent(accessor, (n,)))).await
            }));
            let results: Vec<_> = result.unwrap().into_iter().map(Result::unwrap).collect();
            assert_eq!(results, [(2,), (4,)], "{name}");
            drop(store);
            assert_eq!(counter.load(Ordering::Relaxed), 0, "{name}");
        }
    }
}

#[test]
fn run_concurrent_that_was_dropped_keeps_its_calls_for_the_next() {
    let bench = Bench::new();
    let (mut store, [early, stackful]) = bench.funcs(["early", "stackful"]);
    let counter = Arc::clone(&store.data().live);
    let mut run = Box::pin(store.run_concurrent(async |accessor| {
        // One that has returned, one that has not.
        early.call_concurrent(accessor, (10,)).await.unwrap();
        stackful.call_concurrent(accessor, (NEVER,)).await.unwrap();
    }));
    poll_times(run.as_mut(), 2);
    drop(run);
    assert_eq!(live(&store), 2);
    let (result, _) = drive(store.run_concurrent(async |_| After(50).await));
    result.unwrap();
    assert_eq!((&store.data().notes[..], live(&store)), (&[20][..], 1));
    drop(store);
    assert_eq!(counter.load(Ordering::Relaxed), 0);
}

#[test]
fn run_concurrent_that_was_forgotten_leaves_the_store_usable() {
    let bench = Bench::new();
    let (mut store, callback) = bench.func("callback");
    let mut run =
        Box::pin(store.run_concurrent(async |accessor| {
            callback.call_concurrent(accessor, (10,)).await.unwrap()
        }));
    poll_times(run.as_mut(), 2);
    std::mem::forget(run);
    let (result, _) = drive(callback.call_async(&mut store, (3,)));
    assert_eq!(result.unwrap(), (6,));
    drive(store.run_concurrent(async |_| After(50).await))
        .0
        .unwrap();
    assert_eq!((store.data().calls, live(&store)), (2, 0));
}

#[test]
fn futures_that_were_never_polled_do_nothing() {
    let bench = Bench::new();
    let (mut store, callback) = bench.func("callback");
    drop(callback.call_async(&mut store, (1,)));
    drop(
        store.run_concurrent(async |accessor| {
            callback.call_concurrent(accessor, (1,)).await.unwrap()
        }),
    );
    assert_eq!(store.data().calls, 0);
    let (result, _) = drive(store.run_concurrent(async |accessor| {
        drop(callback.call_concurrent(accessor, (1,)));
        After(3).await;
    }));
    result.unwrap();
    assert_eq!(store.data().calls, 0);
}

#[test]
fn what_is_spawned_is_dropped_with_the_store() {
    let bench = Bench::new();
    let (mut store, callback) = bench.func("callback");
    let held = Arc::new(());
    let theirs = Arc::clone(&held);
    let (result, _) = drive(store.run_concurrent(async |accessor| {
        accessor.spawn(move |accessor| {
            Box::pin(async move {
                let _theirs = theirs;
                let _ = callback.call_concurrent(accessor, (NEVER,)).await;
            })
        });
        After(5).await;
    }));
    result.unwrap();
    assert_eq!((Arc::strong_count(&held), live(&store)), (2, 1));
    let counter = Arc::clone(&store.data().live);
    drop(store);
    assert_eq!(
        (Arc::strong_count(&held), counter.load(Ordering::Relaxed)),
        (1, 0)
    );
}

#[test]
fn what_is_dropped_with_the_store_may_use_the_store() {
    /// Counts the calls of the store when it is dropped.
    struct Last<'a>(
        &'a cwasm::Accessor<crate::Host>,
        Arc<std::sync::Mutex<Option<u32>>>,
    );
    impl Drop for Last<'_> {
        fn drop(&mut self) {
            let calls = self.0.with(|store| store.data().calls);
            *self.1.lock().unwrap() = Some(calls);
        }
    }
    let bench = Bench::new();
    let (mut store, callback) = bench.func("callback");
    let seen = Arc::new(std::sync::Mutex::new(None));
    let theirs = Arc::clone(&seen);
    let (result, _) = drive(store.run_concurrent(async |accessor| {
        accessor.spawn(move |accessor| {
            Box::pin(async move {
                let _last = Last(accessor, theirs);
                std::future::pending().await
            })
        });
        callback.call_concurrent(accessor, (2,)).await
    }));
    assert_eq!(result.unwrap().unwrap(), (4,));
    assert_eq!(*seen.lock().unwrap(), None);
    drop(store);
    assert_eq!(*seen.lock().unwrap(), Some(1));
}

#[test]
fn many_calls_that_are_dropped_do_not_add_up() {
    let bench = Bench::new();
    let (mut store, [callback, stackful]) = bench.funcs(["callback", "stackful"]);
    for round in 0..300 {
        let func = if round % 2 == 0 { callback } else { stackful };
        let mut call = Box::pin(func.call_async(&mut store, (2,)));
        poll_times(call.as_mut(), 1);
        drop(call);
    }
    // Those that were dropped go on beside this one, and are over by then.
    let (result, _) = drive(callback.call_async(&mut store, (200,)));
    assert_eq!(result.unwrap(), (400,));
    assert_eq!((store.data().calls, live(&store)), (301, 0));
}
