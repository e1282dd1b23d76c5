//! Traps, errors of the host and panics in one of several calls.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use cwasm::TrapCode;

use crate::{After, Bench, NEVER, WAITING, all, drive, live};

/// What a host function fails with.
#[derive(Debug)]
struct Refused(u32);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "refused {}", self.0)
    }
}

impl std::error::Error for Refused {}

#[test]
fn a_trap_comes_to_its_caller() {
    let bench = Bench::new();
    for n in [0, 3] {
        let (mut store, [trap, callback]) = bench.funcs(["trap", "callback"]);
        let error = drive(trap.call_async(&mut store, (n,))).0.unwrap_err();
        let trap = error.trap().unwrap();
        assert_eq!(trap.code(), TrapCode::Unreachable);
        assert_eq!(trap.frames().len(), 1, "{trap}");
        // Nothing of the component runs again.
        let error = drive(callback.call_async(&mut store, (0,))).0.unwrap_err();
        assert_eq!(error.trap().unwrap().code(), TrapCode::CannotEnter);
        let error = callback.call(&mut store, (0,)).unwrap_err();
        assert_eq!(error.trap().unwrap().code(), TrapCode::CannotEnter);
    }
}

#[test]
fn a_trap_ends_the_calls_beside_it() {
    let bench = Bench::new();
    for (n, name) in [
        (0, "callback"),
        (5, "callback"),
        (0, "stackful"),
        (5, "stackful"),
    ] {
        let (mut store, [trap, other]) = bench.funcs(["trap", name]);
        let (result, _) = drive(store.run_concurrent(async |accessor| {
            let calls = [
                other.call_concurrent(accessor, (NEVER,)),
                trap.call_concurrent(accessor, (n,)),
            ];
            all(calls).await
        }));
        match result {
            // The trap of a task is that of `run_concurrent`, whose body is dropped.
            Err(error) => {
                assert_eq!(
                    error.trap().unwrap().code(),
                    TrapCode::Unreachable,
                    "{name} {n}"
                );
            }
            // Or it is that of the call that began with it.
            Ok(results) => {
                let codes: Vec<_> = results
                    .iter()
                    .map(|it| it.as_ref().unwrap_err().trap().unwrap().code())
                    .collect();
                assert_eq!(
                    codes,
                    [TrapCode::CannotEnter, TrapCode::Unreachable],
                    "{name} {n}"
                );
            }
        }
        let error = drive(other.call_async(&mut store, (0,))).0.unwrap_err();
        assert_eq!(error.trap().unwrap().code(), TrapCode::CannotEnter);
    }
}

#[test]
fn a_trap_leaves_other_components_of_the_store_alone() {
    let bench = Bench::new();
    let (mut store, [trap, _]) = bench.funcs(["trap", "callback"]);
    let other = bench
        .linker
        .instantiate(&mut store, &bench.component)
        .unwrap();
    let other: crate::Func = other.get_typed_func(&mut store, "callback").unwrap();
    let mut call = Box::pin(other.call_async(&mut store, (30,)));
    crate::poll_times(call.as_mut(), 2);
    drop(call);
    let error = drive(trap.call_async(&mut store, (3,))).0.unwrap_err();
    assert_eq!(error.trap().unwrap().code(), TrapCode::Unreachable);
    let (result, _) = drive(other.call_async(&mut store, (40,)));
    assert_eq!(result.unwrap(), (80,));
    assert_eq!(store.data().calls, 3);
}

#[test]
fn errors_of_the_host_come_through() {
    for polls in [0, 2] {
        let bench = Bench::new().waiting_by(move |_, (n,)| {
            Box::pin(async move {
                After(polls).await;
                Err(cwasm::Error::new(Refused(n)))
            })
        });
        for name in WAITING {
            let (mut store, func) = bench.func(name);
            let error = drive(func.call_async(&mut store, (5,))).0.unwrap_err();
            let refused = error.downcast_ref::<Refused>();
            assert_eq!(refused.map(|it| it.0), Some(5), "{name} {polls}: {error:?}");
            // As after any error of the host.
            let error = drive(func.call_async(&mut store, (5,))).0.unwrap_err();
            let code = error.trap().map(|trap| trap.code());
            assert_eq!(
                code,
                Some(TrapCode::CannotEnter),
                "{name} {polls}: {error:?}"
            );
        }
    }
}

#[test]
fn an_error_of_the_host_is_that_of_run_concurrent_or_of_the_call() {
    for polls in [0, 2] {
        let bench = Bench::new().waiting_by(move |_, (n,)| {
            Box::pin(async move {
                After(polls).await;
                match n {
                    7 => Err(cwasm::Error::new(Refused(n))),
                    _ => std::future::pending().await,
                }
            })
        });
        for name in WAITING {
            let (mut store, func) = bench.func(name);
            let (result, _) = drive(store.run_concurrent(async |accessor| {
                // Whoever takes turns must begin with the one that fails.
                let calls = [7, 1].map(|n| func.call_concurrent(accessor, (n,)));
                all(calls).await
            }));
            let error = match result {
                Err(error) => error,
                Ok(mut results) => results.remove(0).unwrap_err(),
            };
            assert!(error.is::<Refused>(), "{name} {polls}: {error:?}");
        }
    }
}

#[test]
fn panics_of_host_functions_come_through() {
    for polls in 0..3 {
        let bench = Bench::new().waiting_by(move |_, (n,)| {
            Box::pin(async move {
                After(polls).await;
                assert!(n == 0, "of the host");
                Ok((n,))
            })
        });
        for name in WAITING {
            let (mut store, func) = bench.func(name);
            let call = AssertUnwindSafe(|| drive(func.call_async(&mut store, (5,))));
            let payload = catch_unwind(call).unwrap_err();
            let text = payload.downcast_ref::<&str>();
            assert_eq!(text, Some(&"of the host"), "{name} {polls}");
            // The store can be used and dropped; the component that was left in the middle may be
            // closed, but its functions do not panic.
            let _ = drive(store.run_concurrent(async |_| After(3).await));
            let other = bench
                .linker
                .instantiate(&mut store, &bench.component)
                .unwrap();
            let other: crate::Func = other.get_typed_func(&mut store, name).unwrap();
            let (result, _) = drive(other.call_async(&mut store, (0,)));
            assert_eq!(result.unwrap(), (0,), "{name} {polls}");
        }
    }
}

#[test]
fn panics_beside_other_calls_come_through() {
    let bench = Bench::new().waiting_by(move |accessor, (n,)| {
        let live = crate::Live::new(accessor);
        Box::pin(async move {
            let _live = live;
            After(2).await;
            match n {
                7 => panic!("of the host"),
                _ => std::future::pending().await,
            }
        })
    });
    for name in ["callback", "stackful"] {
        let (mut store, func) = bench.func(name);
        let call = AssertUnwindSafe(|| {
            drive(store.run_concurrent(async |accessor| {
                all([1, 7, 2].map(|n| func.call_concurrent(accessor, (n,)))).await
            }))
        });
        let payload = catch_unwind(call).unwrap_err();
        assert_eq!(
            payload.downcast_ref::<&str>(),
            Some(&"of the host"),
            "{name}"
        );
        let counter = Arc::clone(&store.data().live);
        drop(store);
        assert_eq!(counter.load(Ordering::Relaxed), 0, "{name}");
    }
}

#[test]
fn panics_of_bodies_and_of_what_is_spawned_come_through() {
    let bench = Bench::new();
    let (mut store, callback) = bench.func("callback");
    let call = AssertUnwindSafe(|| {
        drive(store.run_concurrent(async |accessor| {
            callback.call_concurrent(accessor, (2,)).await.unwrap();
            panic!("of the body")
        }))
    });
    let payload = catch_unwind(call).unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"of the body"));
    // Nothing of the guest ran then: it can be called again.
    let (result, _) = drive(callback.call_async(&mut store, (2,)));
    assert_eq!(result.unwrap(), (4,));
    let call = AssertUnwindSafe(|| {
        drive(store.run_concurrent(async |accessor| {
            accessor.spawn(|_| {
                Box::pin(async {
                    After(1).await;
                    panic!("of what is spawned")
                })
            });
            After(50).await;
        }))
    });
    let payload = catch_unwind(call).unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"of what is spawned"));
    let (result, _) = drive(callback.call_async(&mut store, (2,)));
    assert_eq!(result.unwrap(), (4,));
    assert_eq!(live(&store), 0);
}

#[test]
fn recursion_without_end_is_an_error() {
    for name in ["callback", "stackful"] {
        // A `wait` that calls the guest, which calls it again, each inside the other.
        let known = Arc::new(Mutex::new(None::<crate::Func>));
        let theirs = Arc::clone(&known);
        let bench = Bench::new().waiting_by(move |accessor, (n,)| {
            let func = *theirs.lock().unwrap();
            Box::pin(async move {
                let func = func.expect("it was found before");
                func.call_concurrent(accessor, (n,)).await
            })
        });
        let (mut store, func) = bench.func(name);
        *known.lock().unwrap() = Some(func);
        let mut call = Box::pin(func.call_async(&mut store, (5,)));
        let mut context = Context::from_waker(Waker::noop());
        // Functions that need their instance for themselves are let in one after the other: each
        // waits for the next, which waits for it to stop, or begins and does the same.
        let polled = (0..10).find_map(|_| match call.as_mut().poll(&mut context) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        });
        assert_eq!(polled.is_some(), name == "stackful", "{name}");
        if let Some(result) = polled {
            let error = result.unwrap_err().root_cause().to_string();
            assert!(error.contains("stacks of tasks"), "{name}: {error}");
        }
    }
}

#[test]
fn more_stacks_than_there_can_be_are_an_error() {
    let bench = Bench::new();
    let (mut store, blocking) = bench.func("blocking");
    let mut failed = None;
    for n in 0..100_000 {
        let mut call = Box::pin(blocking.call_async(&mut store, (NEVER,)));
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(result) = call.as_mut().poll(&mut context) {
            failed = Some((n, result.unwrap_err()));
            break;
        }
    }
    let (n, error) = failed.expect("it is more than there can be");
    let error = error.root_cause().to_string();
    assert!(error.contains("stacks of tasks"), "{n}: {error}");
    assert!(n > 1000, "{n} stacks are few");
    let counter = Arc::clone(&store.data().live);
    drop(store);
    assert_eq!(counter.load(Ordering::Relaxed), 0);
}

#[test]
fn long_chains_of_components_do_not_overflow_the_stack() {
    const LINKS: usize = 5000;
    // Nothing of it waits in the middle: it needs no stack of its own.
    let text = r#"(component
      (import "wait" (func $wait async (param "n" u32) (result u32)))
      (core module $libc (memory (export "mem") 1))
      (core instance $libc (instantiate $libc))
      (core module $m
        (import "" "mem" (memory 1))
        (import "" "wait" (func $wait (param i32 i32) (result i32)))
        (import "" "return" (func $return (param i32)))
        (func (export "f") (param i32) (result i32)
          (if (i32.ne (call $wait (local.get 0) (i32.const 8)) (i32.const 2)) (then unreachable))
          (call $return (i32.load (i32.const 8)))
          (i32.const 0))
        (func (export "cb") (param i32 i32 i32) (result i32) unreachable))
      (canon lower (func $wait) async (memory (core memory $libc "mem")) (core func $wait))
      (canon task.return (result u32) (core func $return))
      (core instance $i (instantiate $m (with "" (instance
        (export "mem" (memory $libc "mem"))
        (export "wait" (func $wait)) (export "return" (func $return))))))
      (func (export "f") async (param "n" u32) (result u32)
        (canon lift (core func $i "f") async (callback (core func $i "cb")))))"#;
    let funcs = Arc::new(Mutex::new(Vec::<crate::Func>::new()));
    let theirs = Arc::clone(&funcs);
    let bench = Bench::new().waiting_by(move |accessor, (n,)| {
        let next = theirs.lock().unwrap().get(n as usize).copied();
        Box::pin(async move {
            match next {
                Some(func) => func.call_concurrent(accessor, (n + 1,)).await,
                None => Ok((n,)),
            }
        })
    });
    let component = crate::component(&bench.workshop, text);
    for links in [10, LINKS] {
        let mut store = cwasm::Store::new(bench.workshop.engine(), crate::Host::default());
        let mut found = Vec::new();
        for _ in 0..links {
            let instance = bench.linker.instantiate(&mut store, &component).unwrap();
            found.push(instance.get_typed_func(&mut store, "f").unwrap());
        }
        let first: crate::Func = found[0];
        *funcs.lock().unwrap() = found;
        let (result, _) = drive(first.call_async(&mut store, (1,)));
        match result {
            Ok(result) => assert_eq!((result, links), ((10,), 10)),
            Err(error) => {
                let error = error.root_cause().to_string();
                assert!(error.contains("call stack exhausted"), "{links}: {error}");
                assert_eq!(links, LINKS);
            }
        }
    }
}

#[test]
fn callers_learn_whose_trap_it_was() {
    let bench = Bench::new();
    for n in [0, 5] {
        let (mut store, [trap, other]) = bench.funcs(["trap", "callback"]);
        let found = Arc::new(Mutex::new(Vec::new()));
        let calls = [("trap", trap, n), ("other", other, NEVER)];
        let (ended, _) = drive(store.run_concurrent(async |accessor| {
            for (name, func, n) in calls {
                let found = Arc::clone(&found);
                accessor.spawn(move |accessor| {
                    Box::pin(async move {
                        let error = func.call_concurrent(accessor, (n,)).await.unwrap_err();
                        let code = error.trap().unwrap().code();
                        found.lock().unwrap().push((name, code));
                    })
                });
            }
            After(20).await;
        }));
        // After its first wait, a task's trap is that of `run_concurrent` as well.
        let code = ended.err().map(|error| error.trap().unwrap().code());
        assert_eq!(code, (n > 0).then_some(TrapCode::Unreachable), "{n}");
        let mut context = Context::from_waker(Waker::noop());
        let _ = store.poll(&mut context);
        let mut found = found.lock().unwrap();
        found.sort_by_key(|(name, _)| *name);
        let expected = [
            ("other", TrapCode::CannotEnter),
            ("trap", TrapCode::Unreachable),
        ];
        assert_eq!(*found, expected, "{n}");
        assert_eq!(store.task_count(), 0);
    }
}
