//! Host functions that a guest made of plain memory calls.

use cwasm_format::TrapCode;

use super::*;
use crate::values::WasmStr;
use crate::vm::canon::fake::Guest;
use crate::vm::store::HostFailure;

/// Calls a host function as compiled code does, with up to three arguments.
fn call(guest: &Guest, func: &HostFunc, args: &[u64]) -> RawReturn {
    let Kind::Typed { import, .. } = &func.0 else {
        panic!("not typed")
    };
    let (options, flags) = guest.record();
    let lower = LowerRecord {
        import: 0,
        flags,
        options,
    };
    type Shim = unsafe extern "C" fn(
        NonNull<u8>,
        NonNull<VmContext>,
        NonNull<LowerRecord>,
        u64,
        u64,
        u64,
    ) -> RawReturn;
    // SAFETY: shims of fewer arguments ignore the others, which are in registers.
    let shim = unsafe { std::mem::transmute::<NonNull<u8>, Shim>(import.code) };
    let arg = |index: usize| args.get(index).copied().unwrap_or(u64::MAX);
    let lower = NonNull::from(&lower);
    // SAFETY: the guest is live, and the store's data is of the type that the shim expects.
    unsafe { shim(import.data, guest.context(), lower, arg(0), arg(1), arg(2)) }
}

fn ok(value: u64) -> RawReturn {
    RawReturn { value, status: 0 }
}

fn trap(code: TrapCode) -> RawReturn {
    RawReturn {
        value: 0,
        status: code.number().into(),
    }
}

#[test]
fn closures_are_called_with_lifted_arguments() {
    let mut guest = Guest::new();
    let add = HostFunc::typed(|mut store: StoreContextMut<'_, u32>, (a, b): (u32, i8)| {
        *store.data_mut() += 1;
        Ok((i64::from(a) + i64::from(b),))
    });
    assert_eq!(call(&guest, &add, &[7, 0xffff_ffff]), ok(6));
    assert_eq!(call(&guest, &add, &[0, 0xff]), ok(u64::MAX));
    assert_eq!(*guest.store.data(), 9);
    let nop = HostFunc::typed(|_: StoreContextMut<'_, u32>, (): ()| Ok(()));
    assert_eq!(call(&guest, &nop, &[]), ok(0));
    guest.memory()[64..67].copy_from_slice(b"abc");
    let text = HostFunc::typed(
        |store: StoreContextMut<'_, u32>, (owned, view): (Option<u8>, WasmStr)| {
            assert!(owned.is_none());
            Ok((view.to_str(&store)?.len() as u32,))
        },
    );
    let many = HostFunc::typed(|_: StoreContextMut<'_, u32>, (text,): (String,)| {
        assert_eq!(text, "abc");
        Ok((text == "abc",))
    });
    assert_eq!(call(&guest, &many, &[64, 3]), ok(1));
    let Kind::Typed { hash, .. } = text.0 else {
        panic!("not typed")
    };
    assert_eq!(hash, signature::hash::<(Option<u8>, &str), (u32,)>());
}

#[test]
fn results_that_do_not_fit_go_where_the_guest_says() {
    let mut guest = Guest::new();
    let pair = HostFunc::typed(|_: StoreContextMut<'_, u32>, (a,): (u8,)| Ok(((a, u32::from(a)),)));
    assert_eq!(call(&guest, &pair, &[5, 64]), ok(0));
    assert_eq!(guest.memory()[64..72], [5, 0, 0, 0, 5, 0, 0, 0]);
    assert_eq!(
        call(&guest, &pair, &[5, 66]),
        trap(TrapCode::UnalignedPointer)
    );
    let end = guest.memory().len() as u64;
    assert_eq!(
        call(&guest, &pair, &[5, end - 4]),
        trap(TrapCode::MemoryOutOfBounds)
    );
    assert_eq!(call(&guest, &pair, &[5, end - 8]), ok(0));
    assert!(
        guest
            .store
            .as_context_mut()
            .opaque()
            .take_host_failure()
            .is_none()
    );
}

#[test]
fn failures_are_kept_until_wasm_is_left() {
    let mut guest = Guest::new();
    let char = HostFunc::typed(|_: StoreContextMut<'_, u32>, (_,): (char,)| Ok(()));
    assert_eq!(call(&guest, &char, &[0xd800]), trap(TrapCode::InvalidChar));
    assert!(
        guest
            .store
            .as_context_mut()
            .opaque()
            .take_host_failure()
            .is_none()
    );
    let fails = HostFunc::typed(|_: StoreContextMut<'_, u32>, (): ()| -> Result<()> {
        Err(std::fmt::Error.into())
    });
    assert_eq!(call(&guest, &fails, &[]), trap(TrapCode::HostError));
    let Some(HostFailure::Error(error)) = guest.store.as_context_mut().opaque().take_host_failure()
    else {
        panic!("no error")
    };
    assert!(error.is::<std::fmt::Error>());
    let panics = HostFunc::typed(|_: StoreContextMut<'_, u32>, (): ()| -> Result<()> {
        std::panic::resume_unwind(Box::new(7))
    });
    assert_eq!(call(&guest, &panics, &[]), trap(TrapCode::HostError));
    let Some(HostFailure::Panic(payload)) =
        guest.store.as_context_mut().opaque().take_host_failure()
    else {
        panic!("no panic")
    };
    assert_eq!(payload.downcast_ref(), Some(&7));
}
