//! Host functions that call guests, while they wait or not.

use cwasm::{AsContextMut, Linker, StoreContextMut};

use crate::{After, Bench, Boxed, Host, drive};

/// `wait(n)` is `sum(n - 1)` of the same instance, `1000` for 1.
fn again(mut store: StoreContextMut<'_, Host>, (n,): (u32,)) -> Boxed<'_, (u32,)> {
    Box::new(async move {
        if n == 1 {
            After(2).await;
            return Ok((1000,));
        }
        let instance = store.data().instance.unwrap();
        let sum = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "sum")?;
        After(1).await;
        let result = sum.call_async(&mut store, (n - 1,)).await?;
        After(1).await;
        Ok(result)
    })
}

#[test]
fn a_function_that_waits_can_call_what_waits() {
    let bench = Bench::new().replacing(|linker| linker.root().func_wrap_async("wait", again));
    let (mut store, sum) = bench.func("sum");
    // f(n) = g(n) + ... + g(1), g(1) = 1000, g(n) = f(n - 1): 1000 * 2^(n - 1).
    for n in 1..=8 {
        let (result, pending) = drive(sum.call_async(&mut store, (n,)));
        assert_eq!(result.unwrap(), (1000 << (n - 1),));
        assert!(pending >= 2 * n);
    }
    // Dropped at each depth.
    for times in 1..60 {
        let (mut store, sum) = bench.func("sum");
        let mut call = Box::pin(sum.call_async(&mut store, (5,)));
        crate::poll_times(&mut call, times);
        drop(call);
        assert!(drive(sum.call_async(&mut store, (0,))).0.is_err());
    }
}

#[test]
fn a_function_that_does_not_wait_cannot_be_between() {
    // `block` calls `sum`, which waits: as the frames of `block` cannot.
    let bench = Bench::new().replacing(|linker: &mut Linker<Host>| {
        linker.root().func_wrap(
            "block",
            |mut store: StoreContextMut<'_, Host>, (n,): (u32,)| {
                let instance = store.data().instance.unwrap();
                let sum = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "sum")?;
                sum.call(&mut store, (n,))
            },
        )
    });
    let (mut store, block) = bench.func("block");
    let (result, _) = drive(block.call_async(&mut store, (0,)));
    assert_eq!(result.unwrap(), (0,));
    let (result, pending) = drive(block.call_async(&mut store, (1,)));
    let error = format!("{:?}", result.unwrap_err());
    assert!(error.contains("call_async") && pending == 0, "{error}");
    assert_eq!(store.data().calls, 0);
}

#[test]
fn a_function_that_waits_can_call_what_does_not() {
    let bench = Bench::new().replacing(|linker: &mut Linker<Host>| {
        linker
            .root()
            .func_wrap_async("wait", |mut store, (n,): (u32,)| -> Boxed<'_, (u32,)> {
                Box::new(async move {
                    let instance = store.data().instance.unwrap();
                    let plain = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "plain")?;
                    After(1).await;
                    let result = plain.call(store.as_context_mut(), (n,))?;
                    // `sum` waits: it cannot be called like this.
                    let sum = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "sum")?;
                    if n == 3 {
                        return sum.call(&mut store, (1,));
                    }
                    After(1).await;
                    Ok(result)
                })
            })
    });
    let (mut store, sum) = bench.func("sum");
    let (result, pending) = drive(sum.call_async(&mut store, (2,)));
    assert_eq!((result.unwrap(), pending), ((3,), 4));
    let (result, _) = drive(sum.call_async(&mut store, (3,)));
    let error = format!("{:?}", result.unwrap_err());
    assert!(error.contains("call_async"), "{error}");
}

#[test]
fn endless_nesting_ends() {
    // Each call is on a stack of its own, on top of the frames of the one before, which are polled
    // on the stack of that one.
    let bench = Bench::configured(cwasm::Config::new().max_mappings(64)).replacing(|linker| {
        linker
            .root()
            .func_wrap_async("wait", |mut store, (n,): (u32,)| -> Boxed<'_, (u32,)> {
                Box::new(async move {
                    let instance = store.data().instance.unwrap();
                    let sum = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "sum")?;
                    sum.call_async(&mut store, (n,)).await
                })
            })
    });
    let (mut store, sum) = bench.func("sum");
    let error = drive(sum.call_async(&mut store, (1,))).0.unwrap_err();
    assert!(format!("{error:?}").contains("max_mappings"), "{error:?}");
}
