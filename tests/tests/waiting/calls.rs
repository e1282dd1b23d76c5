//! Calls that wait, of all kinds: what they return, and how often they are polled.

use cwasm::{Func, Linker, Val};

use crate::{After, Bench, Host, drive, dropped};

#[test]
fn a_call_is_polled_as_often_as_its_functions_wait() {
    let bench = Bench::new();
    let (mut store, sum) = bench.func("sum");
    for n in [0, 1, 2, 10] {
        let (result, pending) = drive(sum.call_async(&mut store, (n,)));
        assert_eq!(result.unwrap(), (n * (n + 1),));
        assert_eq!(pending, n * (n + 1) / 2);
    }
    assert_eq!((store.data().calls, dropped(&store)), (13, 13));
}

#[test]
fn what_is_ready_at_once_does_not_wait() {
    let bench = Bench::new().replacing(|linker| {
        linker.root().func_wrap_async("wait", |_, (n,): (u32,)| {
            Box::new(async move { Ok((2 * n,)) })
        })
    });
    let (mut store, sum) = bench.func("sum");
    let (result, pending) = drive(sum.call_async(&mut store, (100,)));
    assert_eq!((result.unwrap(), pending), ((10_100,), 0));
}

#[test]
fn memory_may_grow_and_move_on_while_a_call_waits() {
    let bench = Bench::new();
    let (mut store, instance) = bench.instance();
    let text = instance.get_typed_func::<(String,), (String,)>(&mut store, "text");
    let text = text.unwrap();
    for length in [0, 1, 100, 10_000] {
        let given = "ü".repeat(length);
        let (result, pending) = drive(text.call_async(&mut store, (given.clone(),)));
        assert_eq!((result.unwrap(), pending), ((given.repeat(2),), 3));
    }
}

#[test]
fn values_of_any_type() {
    let bench = Bench::new().replacing(|linker: &mut Linker<Host>| {
        linker
            .root()
            .func_new_async("text", |mut store, ty, args, results| {
                Box::new(async move {
                    After(2).await;
                    store.data_mut().calls += ty.results().len() as u32;
                    let [Val::String(text)] = args else {
                        return Err("expected a string".into());
                    };
                    results[0] = Val::String(text.repeat(3));
                    Ok(())
                })
            })
    });
    let (mut store, instance) = bench.instance();
    let text: Func = instance.get_func(&mut store, "text").unwrap();
    let mut results = [Val::Bool(false)];
    let (result, pending) =
        drive(text.call_async(&mut store, &[Val::String("ab".into())], &mut results));
    result.unwrap();
    assert_eq!((&results[0], pending), (&Val::String("ababab".into()), 2));
    assert_eq!(store.data().calls, 1);
    // A result of another type is the host's error.
    let wrong = bench.replacing(|linker| {
        linker.root().func_new_async("text", |_, _, _, results| {
            Box::new(async move {
                After(1).await;
                results[0] = Val::U32(1);
                Ok(())
            })
        })
    });
    let (mut store, instance) = wrong.instance();
    let text = instance.get_func(&mut store, "text").unwrap();
    let (result, _) = drive(text.call_async(&mut store, &[Val::String("ab".into())], &mut results));
    let error = format!("{:?}", result.unwrap_err());
    assert!(error.contains("string"), "{error}");
}

#[test]
fn a_call_that_does_not_wait_cannot_call_what_does() {
    let bench = Bench::new();
    let (mut store, sum) = bench.func("sum");
    assert_eq!(sum.call(&mut store, (0,)).unwrap(), (0,));
    let error = sum.call(&mut store, (1,)).unwrap_err();
    assert!(format!("{error:?}").contains("call_async"), "{error:?}");
    assert_eq!((store.data().calls, dropped(&store)), (0, 0));
    // Nothing of it runs any more, as after any error of the host.
    assert!(sum.call(&mut store, (0,)).unwrap_err().trap().is_some());
    let (result, _) = drive(sum.call_async(&mut store, (0,)));
    assert!(result.unwrap_err().trap().is_some());
}

#[test]
fn components_whose_functions_do_not_wait_are_called_as_ever() {
    let bench = Bench::new().replacing(|linker| {
        let mut root = linker.root();
        root.func_wrap("wait", |_, (n,): (u32,)| Ok((2 * n,)))?;
        root.func_wrap("text", |_, (text,): (String,)| Ok((text,)))
    });
    let (mut store, sum) = bench.func("sum");
    let (result, pending) = drive(sum.call_async(&mut store, (10,)));
    assert_eq!((result.unwrap(), pending), ((110,), 0));
    let (instance, _) = drive(bench.linker.instantiate_async(&mut store, &bench.component));
    let sum = instance.unwrap().get_func(&mut store, "sum").unwrap();
    let mut results = [Val::Bool(false)];
    let (result, _) = drive(sum.call_async(&mut store, &[Val::U32(3)], &mut results));
    result.unwrap();
    assert_eq!(results, [Val::U32(12)]);
}

#[test]
fn calls_of_another_store_are_refused() {
    let bench = Bench::new();
    let (_, sum) = bench.func("sum");
    let (mut other, _) = bench.instance();
    let (result, _) = drive(sum.call_async(&mut other, (1,)));
    assert!(result.unwrap_err().to_string().contains("another store"));
}

#[test]
fn start_functions_may_wait() {
    let text = r#"(component
      (import "wait" (func $wait (param "n" u32) (result u32)))
      (core func $wait (canon lower (func $wait)))
      (core module $m (import "" "wait" (func $wait (param i32) (result i32)))
        (global $sum (mut i32) (i32.const 0))
        (func $start (global.set $sum (i32.add (call $wait (i32.const 3)) (call $wait (i32.const 4)))))
        (start $start)
        (func (export "sum") (result i32) (global.get $sum)))
      (core instance $i (instantiate $m (with "" (instance (export "wait" (func $wait))))))
      (func (export "sum") (result u32) (canon lift (core func $i "sum"))))"#;
    let bench = Bench::new();
    let artifact = bench.workshop.compile(text.as_bytes()).unwrap();
    let component = bench.workshop.map_component(&artifact).unwrap();
    let pre = bench.linker.instantiate_pre(&component).unwrap();
    let error = pre.instantiate(bench.store()).unwrap_err();
    assert!(format!("{error:?}").contains("call_async"), "{error:?}");
    for _ in 0..3 {
        let mut store = bench.store();
        let (instance, pending) = drive(pre.instantiate_async(&mut store));
        let sum = instance
            .unwrap()
            .get_typed_func::<(), (u32,)>(&mut store, "sum");
        assert_eq!(
            (sum.unwrap().call(&mut store, ()).unwrap(), pending),
            ((14,), 7)
        );
        let (instance, _) = drive(bench.linker.instantiate_async(&mut store, &component));
        instance.unwrap();
    }
}

#[test]
fn a_call_can_go_deep_on_its_own_stack() {
    let bench = Bench::new();
    let (mut store, deep) = bench.func("deep");
    for n in [0, 100, 10_000] {
        let (result, pending) = drive(deep.call_async(&mut store, (n,)));
        assert_eq!((result.unwrap(), pending), ((n + 14,), 7));
    }
}
