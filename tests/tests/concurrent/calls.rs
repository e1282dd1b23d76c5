//! Single calls: what they return, however the guest waits, and however long the host takes.

use cwasm::{Linker, Store, TrapCode, Val};

use crate::{After, Bench, Live, NEVER, WAITING, component, drive, live, poll_times};

#[test]
fn what_is_ready_at_once_does_not_wait() {
    let bench = Bench::new();
    for name in WAITING {
        let (mut store, func) = bench.func(name);
        let (result, pending) = drive(func.call_async(&mut store, (0,)));
        assert_eq!((result.unwrap(), pending), ((0,), 0), "{name}");
        assert_eq!((store.data().calls, live(&store)), (1, 0), "{name}");
    }
}

#[test]
fn what_waits_goes_on_when_the_host_is_ready() {
    let bench = Bench::new();
    for name in WAITING {
        let (mut store, func) = bench.func(name);
        for n in [1, 2, 3, 100] {
            let (result, pending) = drive(func.call_async(&mut store, (n,)));
            assert_eq!((result.unwrap(), pending), ((2 * n,), n), "{name}");
            assert_eq!(live(&store), 0, "{name}");
        }
        assert_eq!(store.data().calls, 4, "{name}");
    }
}

#[test]
fn what_is_never_ready_is_pending_until_it_is_dropped() {
    let bench = Bench::new();
    for name in WAITING {
        let (mut store, func) = bench.func(name);
        let mut call = Box::pin(func.call_async(&mut store, (NEVER,)));
        poll_times(call.as_mut(), 10);
        drop(call);
        assert_eq!(store.data().calls, 1, "{name}");
    }
}

#[test]
fn calls_that_need_not_wait_can_be_synchronous() {
    let bench = Bench::new();
    for name in WAITING {
        let (mut store, func) = bench.func(name);
        assert_eq!(func.call(&mut store, (0,)).unwrap(), (0,), "{name}");
        assert_eq!(func.call(&mut store, (0,)).unwrap(), (0,), "{name}");
    }
}

#[test]
fn a_synchronous_call_that_must_wait_is_an_error() {
    let bench = Bench::new();
    for name in WAITING {
        let (mut store, func) = bench.func(name);
        let error = func.call(&mut store, (1,)).unwrap_err();
        let text = format!("{error:?}");
        assert!(text.contains("call_async"), "{name}: {text}");
    }
}

#[test]
fn values_of_any_type() {
    let bench = Bench::new();
    let mut linker = bench.linker.clone();
    linker.allow_shadowing(true);
    linker
        .root()
        .func_new_concurrent("wait", |accessor, ty, args, results| {
            Box::pin(async move {
                let _live = Live::new(accessor);
                assert_eq!(ty.results().len(), 1);
                let [Val::U32(n)] = args else {
                    return Err("expected a number".into());
                };
                After(*n).await;
                results[0] = Val::U32(3 * n);
                Ok(())
            })
        })
        .unwrap();
    for name in WAITING {
        for n in [0, 1, 5] {
            let mut store = Store::new(bench.workshop.engine(), crate::Host::default());
            let instance = linker.instantiate(&mut store, &bench.component).unwrap();
            let func = instance.get_func(&mut store, name).unwrap();
            let mut results = [Val::Bool(false)];
            let (result, _) = drive(func.call_async(&mut store, &[Val::U32(n)], &mut results));
            result.unwrap();
            assert_eq!(results, [Val::U32(3 * n)], "{name}");
            let (result, _) = drive(store.run_concurrent(async |accessor| {
                let (params, mut results) = ([Val::U32(n)], [Val::Bool(false)]);
                let called = func.call_concurrent(accessor, &params, &mut results).await;
                called.map(|()| results)
            }));
            assert_eq!(result.unwrap().unwrap(), [Val::U32(3 * n)], "{name}");
            assert_eq!(live(&store), 0);
        }
    }
}

#[test]
fn a_dynamic_result_of_another_type_is_the_hosts_error() {
    let bench = Bench::new();
    let mut linker = bench.linker.clone();
    linker.allow_shadowing(true);
    linker
        .root()
        .func_new_concurrent("wait", |_, _, args, results| {
            Box::pin(async move {
                let [Val::U32(n)] = args else {
                    return Err("expected a number".into());
                };
                After(*n).await;
                results[0] = Val::Char('x');
                Ok(())
            })
        })
        .unwrap();
    for name in WAITING {
        for n in [0, 2] {
            let mut store = Store::new(bench.workshop.engine(), crate::Host::default());
            let instance = linker.instantiate(&mut store, &bench.component).unwrap();
            let func = instance
                .get_typed_func::<(u32,), (u32,)>(&mut store, name)
                .unwrap();
            let error = drive(func.call_async(&mut store, (n,))).0.unwrap_err();
            let text = format!("{error:?}");
            assert!(
                text.contains("u32") && text.contains("char"),
                "{name} {n}: {text}"
            );
        }
    }
}

#[test]
fn a_task_goes_on_after_it_has_returned() {
    let bench = Bench::new();
    let (mut store, early) = bench.func("early");
    let (result, pending) = drive(early.call_async(&mut store, (20,)));
    assert_eq!((result.unwrap(), pending), ((20,), 0));
    assert_eq!((&store.data().notes[..], live(&store)), (&[][..], 1));
    // Calls of the kind that waits run what is left of others.
    let (result, _) = drive(store.run_concurrent(async |_| After(100).await));
    result.unwrap();
    assert_eq!((&store.data().notes[..], live(&store)), (&[40][..], 0));
}

#[test]
fn a_subtask_of_the_host_is_cancelled_by_dropping_its_future() {
    /// That a subtask has ended without a result, after it had begun.
    const CANCELLED_BEFORE_RETURNED: u32 = 4;
    let bench = Bench::new();
    let (mut store, cancel) = bench.func("cancel");
    for n in [1, NEVER] {
        let (result, pending) = drive(cancel.call_async(&mut store, (n,)));
        assert_eq!(
            (result.unwrap(), pending),
            ((CANCELLED_BEFORE_RETURNED,), 0)
        );
        assert_eq!(live(&store), 0);
    }
    assert_eq!(store.data().calls, 2);
}

#[test]
fn what_nothing_can_wake_is_a_deadlock() {
    let bench = Bench::new();
    for name in ["empty", "stuck"] {
        let (mut store, func) = bench.func(name);
        let error = drive(func.call_async(&mut store, (1,))).0.unwrap_err();
        assert_eq!(error.trap().unwrap().code(), TrapCode::Deadlock, "{name}");
        // Also of a call that does not wait.
        let (mut store, func) = bench.func(name);
        let error = func.call(&mut store, (1,)).unwrap_err();
        assert_eq!(error.trap().unwrap().code(), TrapCode::Deadlock, "{name}");
    }
}

#[test]
fn functions_of_a_component_without_tasks_run_at_once() {
    let bench = Bench::new();
    let text = r#"(component
      (core module $m (func (export "double") (param i32) (result i32)
        (i32.mul (local.get 0) (i32.const 2))))
      (core instance $i (instantiate $m))
      (func (export "double") (param "n" u32) (result u32)
        (canon lift (core func $i "double"))))"#;
    let component = component(&bench.workshop, text);
    let mut store = Store::new(bench.workshop.engine(), ());
    let linker = Linker::<()>::new(bench.workshop.engine());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let double = instance
        .get_typed_func::<(u32,), (u32,)>(&mut store, "double")
        .unwrap();
    let (result, pending) = drive(store.run_concurrent(async |accessor| {
        let first = double.call_concurrent(accessor, (21,)).await?;
        let second = double.call_concurrent(accessor, first).await?;
        Ok::<_, cwasm::Error>((first, second))
    }));
    assert_eq!((result.unwrap().unwrap(), pending), (((42,), (84,)), 0));
}

#[test]
fn a_call_of_another_store_is_refused() {
    let bench = Bench::new();
    let (_, func) = bench.func("callback");
    let (mut other, _) = bench.instance();
    let error = drive(func.call_async(&mut other, (0,))).0.unwrap_err();
    assert!(error.to_string().contains("another store"), "{error}");
    let call = other.run_concurrent(async |accessor| func.call_concurrent(accessor, (0,)).await);
    let error = drive(call).0.unwrap().unwrap_err();
    assert!(error.to_string().contains("another store"), "{error}");
    assert_eq!(other.data().calls, 0);
}
