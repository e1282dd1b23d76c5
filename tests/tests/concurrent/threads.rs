//! Executors, threads, and who wakes.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_io::Timer;

use crate::{Bench, Live, WAITING, all, drive, live, poll_times, tick};

/// `wait`, which is over after n milliseconds: the thread of `async-io` wakes.
fn sleeping(accessor: &cwasm::Accessor<crate::Host>, (n,): (u32,)) -> crate::Boxed<'_, (u32,)> {
    let live = Live::new(accessor);
    Box::pin(async move {
        let _live = live;
        Timer::after(Duration::from_millis(n.into())).await;
        Ok((2 * n,))
    })
}

#[test]
fn another_thread_wakes() {
    let bench = Bench::new().waiting_by(sleeping);
    for name in WAITING {
        let (mut store, func) = bench.func(name);
        let result = async_io::block_on(func.call_async(&mut store, (5,)));
        assert_eq!(result.unwrap(), (10,), "{name}");
        assert_eq!(live(&store), 0);
    }
}

#[test]
fn many_that_sleep_are_over_when_the_longest_is() {
    let bench = Bench::new().waiting_by(sleeping);
    let (mut store, [callback, stackful]) = bench.funcs(["callback", "stackful"]);
    let run = store.run_concurrent(async |accessor| {
        let times = (0..200_u32).map(|n| n * 7 % 20);
        let calls = times.enumerate().map(|(place, n)| match place % 2 {
            0 => callback.call_concurrent(accessor, (n,)),
            _ => stackful.call_concurrent(accessor, (n,)),
        });
        all(calls).await
    });
    let results = async_io::block_on(run).unwrap();
    for (n, result) in (0..200_u32).zip(results) {
        assert_eq!(result.unwrap(), (2 * (n * 7 % 20),));
    }
    assert!(store.data().most > 100, "{} at once", store.data().most);
}

/// Wakers that were kept, to be woken by whoever likes.
#[derive(Default)]
struct Kept(Mutex<(bool, Vec<Waker>)>);

/// Is ready when somebody says so, who has its waker then.
struct Told(Arc<Kept>);

impl Future for Told {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut kept = self.0.0.lock().unwrap();
        kept.1.push(context.waker().clone());
        match kept.0 {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

#[test]
fn a_waker_outlives_its_future_and_its_store() {
    let kept = Arc::new(Kept::default());
    let theirs = Arc::clone(&kept);
    let bench = Bench::new().waiting_by(move |_, (n,)| {
        let told = Told(Arc::clone(&theirs));
        Box::pin(async move {
            told.await;
            Ok((n,))
        })
    });
    let (mut store, callback) = bench.func("callback");
    let mut call = Box::pin(callback.call_async(&mut store, (1,)));
    poll_times(call.as_mut(), 3);
    let wakers = kept.0.lock().unwrap().1.clone();
    assert_eq!(wakers.len(), 1, "it is polled only if it was woken");
    let early = wakers[0].clone();
    // From another thread, while nobody polls.
    std::thread::spawn(move || early.wake()).join().unwrap();
    poll_times(call.as_mut(), 1);
    assert_eq!(kept.0.lock().unwrap().1.len(), 2);
    kept.0.lock().unwrap().0 = true;
    let all: Vec<Waker> = kept.0.lock().unwrap().1.clone();
    let theirs = all.clone();
    std::thread::spawn(move || theirs.into_iter().for_each(Waker::wake))
        .join()
        .unwrap();
    let (result, _) = drive(call);
    assert_eq!(result.unwrap(), (1,));
    // Another call has the place of the first, perhaps: it is not harmed.
    all.iter().for_each(Waker::wake_by_ref);
    let (result, _) = drive(callback.call_async(&mut store, (2,)));
    assert_eq!(result.unwrap(), (2,));
    drop(store);
    std::thread::spawn(move || all.into_iter().for_each(Waker::wake))
        .join()
        .unwrap();
}

#[test]
fn each_poll_may_be_on_another_thread() {
    let bench = Bench::new();
    let (mut store, funcs) = bench.funcs(WAITING);
    type Run<'a> = Pin<Box<dyn Future<Output = Vec<u32>> + Send + 'a>>;
    let mut run: Run<'_> = Box::pin(async {
        let mut results = Vec::new();
        for (n, func) in (5..).zip(funcs) {
            let (result,) = func.call_async(&mut store, (n,)).await.unwrap();
            results.push(result);
        }
        results
    });
    let mut threads = 0;
    let results = loop {
        // A new thread each time, which ends: what a frame has kept of the one before is gone.
        let poll = std::thread::scope(|scope| {
            let poll = || {
                let polled = run.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                tick();
                polled
            };
            scope.spawn(poll).join().unwrap()
        });
        threads += 1;
        if let Poll::Ready(results) = poll {
            break results;
        }
        assert!(threads < 1000, "it is over some time");
    };
    assert_eq!(results, [10, 12, 14, 16]);
    assert_eq!(threads, 5 + 6 + 7 + 8 + 1);
}

#[test]
fn run_concurrent_may_move_between_threads() {
    let bench = Bench::new();
    let (mut store, funcs) = bench.funcs(["callback", "stackful", "blocking"]);
    type Run<'a> = Pin<Box<dyn Future<Output = cwasm::Result<Vec<u32>>> + Send + 'a>>;
    let mut run: Run<'_> = Box::pin(store.run_concurrent(async |accessor| {
        let calls = funcs
            .iter()
            .map(|func| func.call_concurrent(accessor, (9,)));
        let results = all(calls).await;
        results.into_iter().map(|it| it.unwrap().0).collect()
    }));
    let mut threads = 0;
    let results = loop {
        let poll = std::thread::scope(|scope| {
            let poll = || {
                let polled = run.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                tick();
                polled
            };
            scope.spawn(poll).join().unwrap()
        });
        threads += 1;
        if let Poll::Ready(results) = poll {
            break results.unwrap();
        }
        assert!(threads < 1000, "it is over some time");
    };
    assert_eq!(results, [18, 18, 18]);
    // Whoever waits for a call is polled once more when it is over.
    assert!((10..=12).contains(&threads), "{threads} threads");
}

#[test]
fn a_call_can_be_dropped_on_another_thread() {
    let bench = Bench::new();
    for name in WAITING {
        let (mut store, func) = bench.func(name);
        let counter = Arc::clone(&store.data().live);
        let mut call = Box::pin(func.call_async(&mut store, (3,)));
        poll_times(call.as_mut(), 2);
        std::thread::scope(|scope| {
            scope.spawn(move || drop(call)).join().unwrap();
        });
        // And so can a store that still has the stack of its task.
        std::thread::spawn(move || drop(store)).join().unwrap();
        assert_eq!(
            counter.load(std::sync::atomic::Ordering::Relaxed),
            0,
            "{name}"
        );
    }
}

#[test]
fn tokio_runs_many_stores_on_several_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    let bench = Arc::new(Bench::new().waiting_by(|accessor, (n,)| {
        let live = Live::new(accessor);
        Box::pin(async move {
            let _live = live;
            match n % 3 {
                0 => tokio::time::sleep(Duration::from_micros(u64::from(n) * 37)).await,
                1 => tokio::task::yield_now().await,
                _ => {}
            }
            Ok((2 * n,))
        })
    }));
    runtime.block_on(async {
        let tasks: Vec<_> = (0..100_u32)
            .map(|task| {
                let bench = Arc::clone(&bench);
                tokio::spawn(async move {
                    let (mut store, funcs) = bench.funcs(WAITING);
                    let run = store.run_concurrent(async |accessor| {
                        let calls = (0..40_u32)
                            .map(|n| funcs[n as usize % 4].call_concurrent(accessor, (n + task,)));
                        all(calls).await
                    });
                    let results = run.await.unwrap();
                    for (n, result) in (0..40_u32).zip(results) {
                        assert_eq!(result.unwrap(), (2 * (n + task),));
                    }
                    // One is dropped at its deadline, or not.
                    let time = Duration::from_micros(u64::from(task) * 20);
                    let call = funcs[0].call_async(&mut store, (task,));
                    let _ = tokio::time::timeout(time, call).await;
                    store.data().calls
                })
            })
            .collect();
        for task in tasks {
            assert!(task.await.unwrap() >= 40);
        }
    });
}
