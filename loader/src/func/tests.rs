//! Typed calls of a guest that is made of plain memory.

use cwasm_format::TrapCode;

use super::*;
use crate::values::{WasmList, WasmStr};
use crate::vm::canon::fake::{Guest, Realloc};

const READY: u32 = cwasm_format::vmctx::flags::INITIAL;

fn typed<P, R>(guest: &mut Guest, args: usize, post_return: Option<usize>) -> TypedFunc<P, R> {
    TypedFunc {
        target: guest.target(args, post_return),
        signature: PhantomData,
    }
}

fn code<T>(result: Result<T>) -> TrapCode {
    match result {
        Ok(_) => panic!("no trap"),
        Err(error) => error.trap().expect("a trap").code(),
    }
}

#[test]
fn scalars_pass_in_registers() {
    let mut guest = Guest::new();
    let func = typed::<(u32, i32), (u64,)>(&mut guest, 2, None);
    guest.set_return(u64::MAX, 0);
    assert_eq!(func.call(&mut guest.store, (7, -1)).unwrap(), (u64::MAX,));
    let func = typed::<(), ()>(&mut guest, 0, None);
    func.call(&mut guest.store, ()).unwrap();
    assert_eq!(guest.take_calls(), [vec![7, 0xffff_ffff], vec![]]);
    assert_eq!(guest.flags(), READY);
}

#[test]
fn post_return_takes_what_the_function_returned() {
    let mut guest = Guest::new();
    let func = typed::<(&str,), (u32,)>(&mut guest, 2, Some(1));
    guest.set_return(5, 0);
    assert_eq!(func.call(&mut guest.store, ("abc",)).unwrap(), (5,));
    let calls = guest.take_calls();
    assert_eq!((calls.len(), calls[0][1], &calls[1][..]), (2, 3, &[5][..]));
    assert_eq!(guest.flags(), READY);
}

#[test]
fn what_does_not_fit_passes_through_memory() {
    let mut guest = Guest::new();
    let list = vec![(1u8, 2u64)];
    let many = (
        list.clone(),
        "ab",
        1u64,
        2u64,
        3u64,
        4u64,
        5u64,
        6u64,
        7u64,
        8u64,
    );
    let params = (many, 9u8, 10u16, 11u32, 12u64, 13u64);
    let func = typed::<_, (Vec<(u8, u64)>,)>(&mut guest, 1, None);
    // The function returns its own parameters: they start with the list.
    guest.set_return(crate::vm::canon::fake::HEAP.into(), 0);
    assert_eq!(func.call(&mut guest.store, params).unwrap(), (list,));
    assert_eq!(
        guest.take_calls(),
        [[u64::from(crate::vm::canon::fake::HEAP)]]
    );
    assert_eq!(guest.take_reallocs()[0][2..], [8, 8 + 8 + 64 + 8 + 16]);
}

#[test]
fn a_failed_call_is_the_last() {
    let cannot_enter = |guest: &mut Guest| {
        assert!(guest.is_closed());
        let func = typed::<(), ()>(guest, 0, None);
        assert_eq!(code(func.call(&mut guest.store, ())), TrapCode::CannotEnter);
        assert!(guest.take_calls().is_empty());
    };
    // The guest traps.
    let mut guest = Guest::new();
    guest.set_return(0, TrapCode::IntegerDivisionByZero.number().into());
    let func = typed::<(), (u32,)>(&mut guest, 0, None);
    assert_eq!(
        code(func.call(&mut guest.store, ())),
        TrapCode::IntegerDivisionByZero
    );
    guest.take_calls();
    cannot_enter(&mut guest);
    // The result is no value of its type.
    for (value, expected) in [
        (3, TrapCode::UnalignedPointer),
        (u64::from(u32::MAX) - 3, TrapCode::MemoryOutOfBounds),
    ] {
        let mut guest = Guest::new();
        guest.set_return(value, 0);
        let func = typed::<(), (String,)>(&mut guest, 0, None);
        assert_eq!(code(func.call(&mut guest.store, ())), expected);
        guest.take_calls();
        cannot_enter(&mut guest);
    }
    // The parameters cannot be lowered.
    let mut guest = Guest::new();
    guest.set_realloc(Realloc::Traps);
    let func = typed::<(&[u8],), ()>(&mut guest, 2, None);
    assert_eq!(
        code(func.call(&mut guest.store, (&[1],))),
        TrapCode::Unreachable
    );
    cannot_enter(&mut guest);
}

#[test]
fn deferred_results_are_read_before_post_return() {
    let mut guest = Guest::new();
    guest.memory()[8..24].copy_from_slice(b"\x20\0\0\0\x02\0\0\0\x20\0\0\0\x02\0\0\0");
    guest.memory()[32..34].copy_from_slice(b"hi");
    guest.set_return(8, 0);
    type View = ((WasmStr, WasmList<u8>),);
    let func = typed::<(), View>(&mut guest, 0, Some(1));
    let result = func.call_deferred(&mut guest.store, ()).unwrap();
    assert_eq!((guest.flags(), guest.held()), (READY, 1));
    let (text, bytes) = &result.0;
    assert_eq!(text.to_str(&guest.store).unwrap(), "hi");
    assert_eq!(bytes.as_le_slice(&guest.store).unwrap(), b"hi");
    let again = func.call_deferred(&mut guest.store, ());
    assert_eq!(code(again.map(drop)), TrapCode::CannotEnter);
    func.post_return(&mut guest.store, result).unwrap();
    assert_eq!((guest.flags(), guest.held()), (READY, 0));
    assert!(!guest.is_closed());
    assert_eq!(guest.take_calls(), [vec![], vec![8]]);
}

#[test]
fn other_stores_are_refused() {
    let (mut guest, mut other) = (Guest::new(), Guest::new());
    let func = typed::<(), ()>(&mut guest, 0, None);
    assert!(
        func.call(&mut other.store, ())
            .unwrap_err()
            .trap()
            .is_none()
    );
    let deferred = func.call_deferred(&mut guest.store, ()).unwrap();
    assert!(func.post_return(&mut other.store, deferred).is_err());
    assert_eq!(guest.take_calls().len(), 1);
}

#[test]
fn results_of_other_functions_are_refused() {
    let mut guest = Guest::new();
    let func = typed::<(), ()>(&mut guest, 0, Some(1));
    let other = typed::<(), ()>(&mut guest, 1, Some(1));
    let deferred = func.call_deferred(&mut guest.store, ()).unwrap();
    let error = other.post_return(&mut guest.store, deferred).unwrap_err();
    assert!(error.to_string().contains("another function"), "{error}");
    assert_eq!((guest.held(), guest.take_calls().len()), (1, 1));
    let again = func.call(&mut guest.store, ());
    assert_eq!(code(again), TrapCode::CannotEnter);
}

#[test]
fn what_a_hook_is_told_is_whole_if_the_guest_cannot_be_entered() {
    use std::sync::{Arc, Mutex};

    use crate::CallHook;

    let mut guest = Guest::new();
    let told: Arc<Mutex<Vec<CallHook>>> = Arc::default();
    let events = Arc::clone(&told);
    guest.store.set_call_hook(move |_, event| {
        events.lock().unwrap().push(event);
        Ok(())
    });
    let func = typed::<(), ()>(&mut guest, 0, None);
    guest.set_return(0, TrapCode::Unreachable.number().into());
    assert_eq!(code(func.call(&mut guest.store, ())), TrapCode::Unreachable);
    assert_eq!(code(func.call(&mut guest.store, ())), TrapCode::CannotEnter);
    let whole = [CallHook::CallingWasm, CallHook::ReturningFromWasm];
    assert_eq!(*told.lock().unwrap(), [whole, whole].concat());
}
