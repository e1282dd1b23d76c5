//! Hooks that wait.

use std::sync::{Arc, Mutex};

use cwasm::CallHook::{self, CallingHost, CallingWasm, ReturningFromHost, ReturningFromWasm};

use crate::{After, Bench, Host, drive};

#[test]
fn hooks_wait_before_and_after_each_call() {
    let bench = Bench::new();
    let (mut store, sum) = bench.func("sum");
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&events);
    store.set_call_hook_async(move |mut store: cwasm::StoreContextMut<'_, Host>, event| {
        let log = Arc::clone(&log);
        Box::new(async move {
            After(1).await;
            store.data_mut().calls += 100;
            log.lock().unwrap().push(event);
            Ok(())
        })
    });
    let (result, pending) = drive(sum.call_async(&mut store, (2,)));
    assert_eq!((result.unwrap(), pending), ((6,), 6 + 3));
    let expected = [
        CallingWasm,
        CallingHost,
        ReturningFromHost,
        CallingHost,
        ReturningFromHost,
        ReturningFromWasm,
    ];
    assert_eq!(*events.lock().unwrap(), expected);
    assert_eq!(store.data().calls, 602);
    // Calls that do not wait fail, before the guest is entered.
    let error = sum.call(&mut store, (0,)).unwrap_err();
    assert!(error.to_string().contains("call_async"), "{error}");
    assert_eq!(drive(sum.call_async(&mut store, (0,))).0.unwrap(), (0,));
}

#[test]
fn a_hook_fails_a_call() {
    for failing in [
        CallingWasm,
        CallingHost,
        ReturningFromHost,
        ReturningFromWasm,
    ] {
        let bench = Bench::new();
        let (mut store, sum) = bench.func("sum");
        store.set_call_hook_async(move |_, event: CallHook| {
            Box::new(async move {
                After(1).await;
                match event == failing {
                    true => Err(cwasm::Error::msg(format!("{event:?}"))),
                    false => Ok(()),
                }
            })
        });
        let error = drive(sum.call_async(&mut store, (1,))).0.unwrap_err();
        assert!(
            format!("{error:?}").contains(&format!("{failing:?}")),
            "{error:?}"
        );
    }
}

#[test]
fn components_without_functions_that_wait_have_hooks_that_do() {
    let bench = Bench::new().replacing(|linker| {
        let mut root = linker.root();
        root.func_wrap("wait", |_, (n,): (u32,)| Ok((2 * n,)))?;
        root.func_wrap("text", |_, (text,): (String,)| Ok((text,)))
    });
    let (mut store, sum) = bench.func("sum");
    store.set_call_hook_async(|_, _| {
        Box::new(async {
            After(1).await;
            Ok(())
        })
    });
    let (result, pending) = drive(sum.call_async(&mut store, (2,)));
    assert_eq!((result.unwrap(), pending), ((6,), 6));
    let error = sum.call(&mut store, (1,)).unwrap_err();
    assert!(error.to_string().contains("call_async"), "{error}");
    store.set_call_hook(|_, _| Ok(()));
    assert_eq!(sum.call(&mut store, (1,)).unwrap(), (2,));
}
