//! The order in which tasks go on: any is right, and a seed repeats one.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use cwasm::Store;

use crate::{After, Bench, Host, Live, WAITING, all, drive, live};

/// A bench whose host functions are over at the same time.
fn at_once(seed: u64) -> Bench {
    Bench::seeded(seed).waiting_by(|accessor, (n,)| {
        let live = Live::new(accessor);
        Box::pin(async move {
            let _live = live;
            After(3).await;
            Ok((n,))
        })
    })
}

/// The order in which tasks go on that can do so at the same time.
fn order(bench: &Bench) -> Vec<u32> {
    let mut store = Store::new(bench.workshop.engine(), Host::default());
    let instance = bench
        .linker
        .instantiate(&mut store, &bench.component)
        .unwrap();
    let early: crate::Func = instance.get_typed_func(&mut store, "early").unwrap();
    let (results, _) = drive(store.run_concurrent(async |accessor| {
        all((0..12).map(|n| early.call_concurrent(accessor, (n,)))).await
    }));
    assert!(results.unwrap().into_iter().all(|it| it.is_ok()));
    let (result, _) = drive(store.run_concurrent(async |_| After(100).await));
    result.unwrap();
    assert_eq!((store.data().notes.len(), live(&store)), (12, 0));
    store.data().notes.clone()
}

#[test]
fn a_seed_repeats_an_order() {
    let mut orders = BTreeSet::new();
    for seed in 0..20 {
        let bench = at_once(seed);
        let first = order(&bench);
        assert_eq!(first, order(&bench), "of another store");
        assert_eq!(first, order(&at_once(seed)), "of another engine");
        orders.insert(first);
    }
    assert!(orders.len() > 1, "seeds make a difference: {orders:?}");
}

#[test]
fn results_do_not_depend_on_the_order() {
    for seed in 0..20 {
        let bench = Bench::seeded(seed);
        let (mut store, funcs) = bench.funcs(WAITING);
        let (results, _) = drive(store.run_concurrent(async |accessor| {
            let calls = (0..60).map(|n| funcs[n % 4].call_concurrent(accessor, (n as u32 % 5,)));
            all(calls).await
        }));
        for (n, result) in (0..60).zip(results.unwrap()) {
            assert_eq!(result.unwrap(), (2 * (n % 5),), "{seed}");
        }
        let counter = std::sync::Arc::clone(&store.data().live);
        drop(store);
        assert_eq!(counter.load(Ordering::Relaxed), 0, "{seed}");
    }
}
