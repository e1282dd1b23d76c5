//! Many calls that wait at once: what they take, and what dropping them takes.

use std::time::Instant;

use crate::{Bench, poll_times};

/// Bytes of the process in memory that are its own.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let lines = text.lines().filter(|line| line.starts_with("Private"));
    lines
        .map(|line| {
            line.split_whitespace()
                .nth(1)
                .unwrap()
                .parse::<usize>()
                .unwrap()
                << 10
        })
        .sum()
}

#[test]
fn ten_thousand_stores_wait() {
    const STORES: usize = 10_000;
    let bench = Bench::with(cwasm_tests::artifact::Workshop::with_options(
        cwasm_compiler::Options {
            bounds: cwasm_compiler::Bounds::Check,
            ..cwasm_compiler::Options::default()
        },
    ));
    let mut funcs: Vec<_> = (0..STORES).map(|_| bench.func("sum")).collect();
    let before = resident();
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let open = descriptors();
    let mut calls: Vec<_> = funcs
        .iter_mut()
        .map(|(store, sum)| Box::pin(sum.call_async(store, (3,))))
        .collect();
    for call in &mut calls {
        poll_times(call, 1);
    }
    let each = (resident() - before) / STORES;
    assert!(each < 40 << 10, "{each} bytes each");
    assert!(descriptors() < open + 50, "a descriptor each");
    // They go on, in any order, and are dropped in linear time.
    for call in calls.iter_mut().rev() {
        poll_times(call, 1);
    }
    let mut times = Vec::new();
    while !calls.is_empty() {
        let start = Instant::now();
        calls.truncate(calls.len().saturating_sub(STORES / 4));
        times.push(start.elapsed());
    }
    drop(calls);
    let (first, last) = (times[0], times[3]);
    assert!(last < 8 * first && first < 8 * last, "{times:?}");
    assert!(funcs.iter().all(|(store, _)| crate::dropped(store) == 1));
}
