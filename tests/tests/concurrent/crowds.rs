//! Many calls that wait at once: what they take, and how long it takes to end them.

use std::pin::Pin;
use std::time::{Duration, Instant};

use cwasm::{Accessor, Store};
use cwasm_compiler::{Bounds, Options};
use cwasm_tests::artifact::Workshop;

use crate::{Bench, Func, Host, NEVER, child, drive, live, poll_times};

/// Calls that wait at once.
const CALLS: u32 = 100_000;

/// Bytes of the process in memory that are its own.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let lines = text.lines().filter(|line| line.starts_with("Private"));
    let sizes = lines.map(|line| line.split_whitespace().nth(1).unwrap().parse::<usize>());
    sizes.map(|size| size.unwrap() << 10).sum()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Asserts that twice as much takes about twice as long.
fn assert_linear(half: Duration, all: Duration, what: &str) {
    let times = (half, all);
    assert!(
        all < 8 * half + Duration::from_millis(200),
        "{what}: {times:?}"
    );
}

/// Calls `callback` so often, beside each other; each call is spawned. Returns when `ended` of them
/// have.
async fn call_all(accessor: &Accessor<Host>, func: Func, (calls, n): (u32, u32), ended: u32) {
    for _ in 0..calls {
        accessor.spawn(
            move |accessor| -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
                Box::pin(async move {
                    let (result,) = func.call_concurrent(accessor, (n,)).await.unwrap();
                    assert_eq!(result, 2 * n);
                    accessor.with(|mut store| store.data_mut().notes.push(result));
                })
            },
        );
    }
    std::future::poll_fn(|context| {
        let count = accessor.with(|mut store| store.data_mut().notes.len());
        if count == ended as usize {
            return std::task::Poll::Ready(());
        }
        // Nobody else says that one has ended.
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// In a process of its own, since its memory is measured.
#[test]
fn a_hundred_thousand_calls_wait_in_a_store() {
    let output = child::run(
        module_path!(),
        "a_hundred_thousand_calls_wait_in_a_store",
        calls_in_a_store,
    );
    if let Some(output) = output {
        assert!(output.status.success(), "{output:?}");
    }
}

fn calls_in_a_store() {
    let bench = Bench::new();
    let wait = |calls: u32| {
        let (mut store, func) = bench.func("callback");
        let (before, open) = (resident(), descriptors());
        let mut run = Box::pin(store.run_concurrent(async |accessor| {
            call_all(accessor, func, (calls, NEVER), calls).await;
        }));
        // Each poll is some turns.
        poll_times(run.as_mut(), calls / 8);
        let each = resident().saturating_sub(before) / calls as usize;
        assert_eq!(descriptors(), open);
        drop(run);
        assert_eq!(live(&store), calls);
        let live = std::sync::Arc::clone(&store.data().live);
        let start = Instant::now();
        drop(store);
        let time = start.elapsed();
        assert_eq!(live.load(std::sync::atomic::Ordering::Relaxed), 0);
        (each, time)
    };
    let (_, half) = wait(CALLS / 2);
    let (each, all) = wait(CALLS);
    // The task and its call by the host, the call that it waits for, and three futures of the host.
    assert!(each < 1536, "{each} bytes each");
    assert_linear(half, all, "dropping");
}

#[test]
fn a_hundred_thousand_calls_go_on() {
    let bench = Bench::new();
    let run = |calls: u32| {
        let (mut store, func) = bench.func("callback");
        let start = Instant::now();
        let body = store.run_concurrent(async |accessor| {
            call_all(accessor, func, (calls, 1), calls).await;
        });
        drive(body).0.unwrap();
        assert_eq!((store.data().notes.len() as u32, live(&store)), (calls, 0));
        start.elapsed()
    };
    let (half, all) = (run(CALLS / 2), run(CALLS));
    assert_linear(half, all, "calling");
}

/// One of them runs at a time, and the others wait to begin.
#[test]
fn a_hundred_thousand_calls_wait_to_begin() {
    let bench = Bench::new();
    let run = |calls: u32| {
        let (mut store, func) = bench.func("plain");
        let start = Instant::now();
        let body = store.run_concurrent(async |accessor| {
            call_all(accessor, func, (calls, 1), calls).await;
        });
        drive(body).0.unwrap();
        assert_eq!(
            (store.data().notes.len() as u32, store.data().most),
            (calls, 1)
        );
        start.elapsed()
    };
    let (half, all) = (run(CALLS / 8), run(CALLS / 4));
    assert_linear(half, all, "beginning");
}

/// In a process of its own, since its memory is measured.
#[test]
fn a_call_waits_in_each_of_ten_thousand_stores() {
    let output = child::run(
        module_path!(),
        "a_call_waits_in_each_of_ten_thousand_stores",
        calls_in_stores,
    );
    if let Some(output) = output {
        assert!(output.status.success(), "{output:?}");
    }
}

fn calls_in_stores() {
    const STORES: usize = 10_000;
    let bench = Bench::with(Workshop::with_options(Options {
        bounds: Bounds::Check,
        ..Options::default()
    }));
    let mut funcs: Vec<(Store<Host>, Func)> = (0..STORES).map(|_| bench.func("callback")).collect();
    let (before, open) = (resident(), descriptors());
    let mut calls: Vec<_> = funcs
        .iter_mut()
        .map(|(store, func)| Box::pin(func.call_async(store, (NEVER,))))
        .collect();
    for call in &mut calls {
        poll_times(call.as_mut(), 1);
    }
    let each = resident().saturating_sub(before) / STORES;
    assert_eq!(descriptors(), open);
    // Two pages of the guest's memory, its handles, and what the store knows of tasks.
    assert!(each < 20 << 10, "{each} bytes each");
    let mut times = Vec::new();
    while !calls.is_empty() {
        let start = Instant::now();
        calls.truncate(calls.len().saturating_sub(STORES / 2));
        times.push(start.elapsed());
    }
    assert_linear(times[0], times[0] + times[1], "dropping");
    drop(calls);
    for (store, _) in funcs {
        assert_eq!(live(&store), 1);
        let live = std::sync::Arc::clone(&store.data().live);
        drop(store);
        assert_eq!(live.load(std::sync::atomic::Ordering::Relaxed), 0);
    }
}
