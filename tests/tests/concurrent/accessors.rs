//! Calls beside each other, in `run_concurrent`: that they overlap, what is spawned, and who may
//! use the store when.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use cwasm::{Accessor, StoreContextMut};

use crate::{After, Bench, Boxed, Host, Live, NEVER, WAITING, all, drive, live};

/// `wait`, which is over when so many calls are there at the same time.
fn meeting(count: u32) -> impl Fn(&Accessor<Host>, (u32,)) -> Boxed<'_, (u32,)> {
    move |accessor, (n,)| {
        let live = Live::new(accessor);
        Box::pin(async move {
            let _live = live;
            while accessor.with(|store: StoreContextMut<'_, Host>| store.data().most) < count {
                After(1).await;
            }
            Ok((2 * n,))
        })
    }
}

#[test]
fn two_calls_wait_for_the_host_together() {
    let bench = Bench::new().waiting_by(meeting(2));
    // One of them alone would never end. `blocking` and `plain` let nobody else in meanwhile only
    // if they are not stackful: `plain` is checked below.
    for name in ["callback", "stackful", "blocking"] {
        let (mut store, func) = bench.func(name);
        let (results, _) = drive(store.run_concurrent(async |accessor| {
            all([1, 2].map(|n| func.call_concurrent(accessor, (n,)))).await
        }));
        let results = results.unwrap().into_iter().map(Result::unwrap);
        assert_eq!(results.collect::<Vec<_>>(), [(2,), (4,)], "{name}");
        assert_eq!((store.data().most, live(&store)), (2, 0), "{name}");
    }
}

#[test]
fn synchronous_functions_of_an_instance_take_turns() {
    let bench = Bench::new();
    let (mut store, plain) = bench.func("plain");
    let (results, _) = drive(store.run_concurrent(async |accessor| {
        all([5, 1, 3].map(|n| plain.call_concurrent(accessor, (n,)))).await
    }));
    let results = results.unwrap().into_iter().map(Result::unwrap);
    assert_eq!(results.collect::<Vec<_>>(), [(10,), (2,), (6,)]);
    assert_eq!((store.data().calls, store.data().most), (3, 1));
}

#[test]
fn calls_of_all_kinds_beside_each_other() {
    let bench = Bench::new();
    let (mut store, funcs) = bench.funcs(WAITING);
    let (results, _) = drive(store.run_concurrent(async |accessor| {
        let calls = (0..100).map(|n| funcs[n % 4].call_concurrent(accessor, (n as u32 % 7,)));
        all(calls).await
    }));
    let results: Vec<u32> = results
        .unwrap()
        .into_iter()
        .map(|it| it.unwrap().0)
        .collect();
    let expected: Vec<u32> = (0..100).map(|n| 2 * (n % 7)).collect();
    assert_eq!(results, expected);
    assert_eq!((store.data().calls, live(&store)), (100, 0));
    // Some of them let others of their instance in while they wait.
    assert!(store.data().most > 2, "{} at once", store.data().most);
}

#[test]
fn who_need_not_wait_to_enter_is_let_in_before_others() {
    let bench = Bench::new().waiting_by(meeting(2));
    let (mut store, [plain, callback, stackful]) = bench.funcs(["plain", "callback", "stackful"]);
    let mut run = Box::pin(store.run_concurrent(async |accessor| {
        // The first has the instance for itself until the third waits, too; the second is not let
        // in before. The third needs no instance for itself.
        let calls = [plain, callback, stackful];
        all(calls
            .iter()
            .map(|func| func.call_concurrent(accessor, (1,))))
        .await
    }));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..100 {
        if let Poll::Ready(results) = run.as_mut().poll(&mut context) {
            let results = results.unwrap().into_iter().map(Result::unwrap);
            assert_eq!(results.collect::<Vec<_>>(), [(2,), (2,), (2,)]);
            return;
        }
        crate::tick();
    }
    panic!("they wait for each other");
}

#[test]
fn a_call_that_nobody_polls_goes_on() {
    let bench = Bench::new();
    let (mut store, early) = bench.func("early");
    let (result, _) = drive(store.run_concurrent(async |accessor| {
        // Dropped before it is over: its result is, too.
        let mut call = Box::pin(early.call_concurrent(accessor, (4,)));
        let first = std::future::poll_fn(|context| {
            std::task::Poll::Ready(call.as_mut().poll(context).is_ready())
        });
        first.await;
        drop(call);
        After(50).await;
    }));
    result.unwrap();
    assert_eq!(store.data().notes, [8]);
}

#[test]
fn what_is_left_goes_on_when_the_store_is_polled() {
    let bench = Bench::new();
    let (mut store, [early, stuck]) = bench.funcs(["early", "stuck"]);
    // Nothing is left of what was never there.
    let poll =
        |store: &mut cwasm::Store<Host>| drive(std::future::poll_fn(|context| store.poll(context)));
    assert_eq!(poll(&mut store).1, 0);
    let (result, _) = drive(early.call_async(&mut store, (4,)));
    assert_eq!((result.unwrap(), store.data().notes.len()), ((4,), 0));
    drop(stuck.call_async(&mut store, (0,)));
    let (result, pending) = poll(&mut store);
    result.unwrap();
    assert_eq!((&*store.data().notes, pending), (&[8][..], 4));
    // One that waits for ever is no reason to wait.
    let mut call = Box::pin(stuck.call_async(&mut store, (0,)));
    let first = call
        .as_mut()
        .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    assert!(first.is_ready(), "a deadlock is told");
    drop(call);
    poll(&mut store).0.unwrap();
}

#[test]
fn what_is_spawned_runs_beside_its_parent_and_after_it() {
    let bench = Bench::new();
    let (mut store, callback) = bench.func("callback");
    let (result, _) = drive(store.run_concurrent(async |accessor| {
        for n in [3, 30] {
            accessor.spawn(move |accessor| {
                Box::pin(async move {
                    After(n).await;
                    accessor.with(|mut store: StoreContextMut<'_, Host>| {
                        store.data_mut().notes.push(n);
                    });
                })
            });
        }
        callback.call_concurrent(accessor, (10,)).await
    }));
    assert_eq!(result.unwrap().unwrap(), (20,));
    assert_eq!(store.data().notes, [3], "the other one is not over");
    let (result, _) = drive(callback.call_async(&mut store, (40,)));
    assert_eq!(result.unwrap(), (80,));
    assert_eq!(store.data().notes, [3, 30]);
}

#[test]
fn what_is_spawned_can_call_and_spawn() {
    let bench = Bench::new();
    let (mut store, callback) = bench.func("callback");
    let (result, _) = drive(store.run_concurrent(async |accessor| {
        accessor.spawn(move |accessor| {
            Box::pin(async move {
                let (first,) = callback.call_concurrent(accessor, (2,)).await.unwrap();
                accessor.spawn(move |accessor| {
                    Box::pin(async move {
                        let (second,) = callback.call_concurrent(accessor, (3,)).await.unwrap();
                        accessor.with(|mut store: StoreContextMut<'_, Host>| {
                            store.data_mut().notes.extend([first, second]);
                        });
                    })
                });
            })
        });
        while accessor.with(|store| store.data().notes.is_empty()) {
            After(1).await;
        }
    }));
    result.unwrap();
    assert_eq!(store.data().notes, [4, 6]);
}

#[test]
fn host_functions_can_spawn_and_call_the_guest() {
    let bench = Bench::new();
    let (mut store, instance) = bench.instance();
    let callback: crate::Func = instance.get_typed_func(&mut store, "callback").unwrap();
    drop((store, instance));
    // A `wait` that counts down by calls of the guest, which calls it again.
    let depth = Arc::new(AtomicU32::new(0));
    let deepest = Arc::clone(&depth);
    let known = Arc::new(std::sync::Mutex::new(callback));
    let theirs = Arc::clone(&known);
    let bench = bench.waiting_by(move |accessor, (n,)| {
        let callback = *theirs.lock().unwrap();
        let depth = Arc::clone(&depth);
        Box::pin(async move {
            depth.fetch_max(n, Ordering::Relaxed);
            match n {
                0 => Ok((0,)),
                n => {
                    let (below,) = callback.call_concurrent(accessor, (n - 1,)).await?;
                    Ok((below + 1,))
                }
            }
        })
    });
    let (mut store, callback) = bench.func("callback");
    *known.lock().unwrap() = callback;
    let (result, _) = drive(callback.call_async(&mut store, (20,)));
    assert_eq!(result.unwrap(), (20,));
    assert_eq!(deepest.load(Ordering::Relaxed), 20);
}

#[test]
fn the_store_is_not_given_twice() {
    let bench = Bench::new();
    let (mut store, _) = bench.instance();
    let call = AssertUnwindSafe(|| {
        drive(store.run_concurrent(async |accessor| {
            accessor.with(|_| accessor.with(|store| store.data().calls))
        }))
    });
    let payload = catch_unwind(call).unwrap_err();
    let text = payload.downcast_ref::<&str>().unwrap();
    assert!(text.contains("in use"), "{text}");
    // The store is as it was.
    let (result, _) = drive(store.run_concurrent(async |accessor| {
        accessor.with(|mut store| store.data_mut().calls += 1);
    }));
    result.unwrap();
    assert_eq!(store.data().calls, 1);
}

#[test]
fn an_accessor_is_of_one_store() {
    let bench = Bench::new();
    let (mut outer, _) = bench.instance();
    let (mut inner, _) = bench.instance();
    let call = AssertUnwindSafe(|| {
        drive(outer.run_concurrent(async |first| {
            let inner = inner.run_concurrent(async |_| first.with(|store| store.data().calls));
            inner.await
        }))
    });
    let payload = catch_unwind(call).unwrap_err();
    let text = payload.downcast_ref::<&str>().unwrap();
    assert!(text.contains("another store"), "{text}");
}

#[test]
fn stores_run_inside_of_each_other() {
    let bench = Bench::new();
    let (mut outer, first) = bench.func("callback");
    let (mut inner, second) = bench.func("stackful");
    let (result, _) = drive(outer.run_concurrent(async |accessor| {
        let nested =
            inner.run_concurrent(async |accessor| second.call_concurrent(accessor, (5,)).await);
        let nested = nested.await?;
        first.call_concurrent(accessor, nested?).await
    }));
    assert_eq!(result.unwrap().unwrap(), (20,));
    assert_eq!((outer.data().calls, inner.data().calls), (1, 1));
}

#[test]
fn run_concurrent_does_not_wait_for_what_its_body_leaves() {
    let bench = Bench::new();
    let (mut store, early) = bench.func("early");
    let (result, _) = drive(
        store.run_concurrent(async |accessor| early.call_concurrent(accessor, (NEVER,)).await),
    );
    assert_eq!(result.unwrap().unwrap(), (NEVER,));
    assert_eq!(live(&store), 1);
    let counter = Arc::clone(&store.data().live);
    drop(store);
    assert_eq!(counter.load(Ordering::Relaxed), 0);
}
