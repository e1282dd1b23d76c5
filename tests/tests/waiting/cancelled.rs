//! Calls whose future is dropped before it is ready.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cwasm::TrapCode;

use crate::{Bench, Host, drive, dropped, poll_times};

#[test]
fn a_call_can_be_dropped_at_any_time() {
    let bench = Bench::new();
    // `sum(3)` waits 3 + 2 + 1 times.
    for times in 0..=6 {
        let (mut store, sum) = bench.func("sum");
        let mut call = Box::pin(sum.call_async(&mut store, (3,)));
        poll_times(&mut call, times);
        drop(call);
        // What had ended, and the one it waited for.
        let begun = [0, 1, 1, 1, 2, 2, 3][times as usize];
        assert_eq!(dropped(&store), begun, "{times}");
        assert_eq!(store.data().calls, begun.saturating_sub(1), "{times}");
        let (result, _) = drive(sum.call_async(&mut store, (1,)));
        if times == 0 {
            assert_eq!(result.unwrap(), (2,));
        } else {
            let error = result.unwrap_err();
            assert_eq!(
                error.trap().unwrap().code(),
                TrapCode::CannotEnter,
                "{times}"
            );
        }
        // Another instance of the store is not concerned.
        let instance = bench
            .linker
            .instantiate(&mut store, &bench.component)
            .unwrap();
        let sum = instance
            .get_typed_func::<(u32,), (u32,)>(&mut store, "sum")
            .unwrap();
        assert_eq!(drive(sum.call_async(&mut store, (3,))).0.unwrap(), (12,));
    }
}

#[test]
fn what_is_lost_does_no_harm() {
    let bench = Bench::new();
    let (mut store, sum) = bench.func("sum");
    let mut call = Box::pin(sum.call_async(&mut store, (3,)));
    poll_times(&mut call, 2);
    std::mem::forget(call);
    assert_eq!(dropped(&store), 0);
    let instance = store.data().instance.unwrap();
    let text = instance
        .get_typed_func::<(&str,), (String,)>(&mut store, "text")
        .unwrap();
    assert_eq!(
        drive(text.call_async(&mut store, ("a",))).0.unwrap(),
        ("aa".to_owned(),)
    );
    let mut again = Box::pin(sum.call_async(&mut store, (3,)));
    poll_times(&mut again, 4);
    drop(again);
    assert_eq!(dropped(&store), 2);
    drop(store);
}

#[test]
fn a_panic_of_what_is_dropped_goes_to_who_drops() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let bench = Bench::new().replacing(|linker| {
        linker.root().func_wrap_async("wait", |_, (n,): (u32,)| {
            Box::new(async move {
                let _panics = Panics;
                std::future::pending::<()>().await;
                Ok((n,))
            })
        })
    });
    let (mut store, sum) = bench.func("sum");
    let mut call = Box::pin(sum.call_async(&mut store, (3,)));
    poll_times(&mut call, 1);
    let payload = catch_unwind(AssertUnwindSafe(|| drop(call))).unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"dropped"));
    assert!(drive(sum.call_async(&mut store, (0,))).0.is_err());
    // While the thread panics already, another panic would end the process: it is lost.
    let (mut store, sum) = bench.func("sum");
    let outer = catch_unwind(AssertUnwindSafe(|| {
        let mut call = Box::pin(sum.call_async(&mut store, (3,)));
        poll_times(&mut call, 1);
        panic!("first");
    }));
    assert_eq!(outer.unwrap_err().downcast_ref::<&str>(), Some(&"first"));
}

#[test]
fn stacks_are_used_again() {
    let bench = Bench::new();
    let mappings = || {
        std::fs::read_to_string("/proc/self/maps")
            .unwrap()
            .lines()
            .count()
    };
    let (mut store, sum) = bench.func("sum");
    let round = |store: &mut cwasm::Store<Host>| {
        let instance = bench
            .linker
            .instantiate(&mut *store, &bench.component)
            .unwrap();
        let sum = instance
            .get_typed_func::<(u32,), (u32,)>(&mut *store, "sum")
            .unwrap();
        let mut call = Box::pin(sum.call_async(&mut *store, (3,)));
        poll_times(&mut call, 2);
    };
    (0..10).for_each(|_| round(&mut bench.store()));
    let before = mappings();
    (0..200).for_each(|_| round(&mut bench.store()));
    // Other tests map, too.
    assert!(mappings() < before + 150, "{before} {}", mappings());
    assert_eq!(drive(sum.call_async(&mut store, (1,))).0.unwrap(), (2,));
}
