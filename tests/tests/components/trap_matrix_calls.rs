//! The rows of `CANONICAL-ABI-TRAPS.md` that are about calls and builtins: see `trap_matrix.rs`.

use cwasm::{Linker, Store, StoreContextMut, TrapCode, Val};
use cwasm_tests::artifact::Workshop;

type Want = Result<(), TrapCode>;

/// A component that calls the host, which may call it again.
const CALLS_BACK: &str = r#"(component
  (import "again" (func $again))
  (core func $again' (canon lower (func $again)))
  (core module $m
    (import "host" "again" (func $again))
    (func (export "call") (call $again))
    (func (export "trap") (unreachable))
    (func (export "fine")))
  (core instance $i (instantiate $m (with "host" (instance (export "again" (func $again'))))))
  (func (export "call") (canon lift (core func $i "call")))
  (func (export "trap") (canon lift (core func $i "trap")))
  (func (export "fine") (canon lift (core func $i "fine"))))"#;

/// Calls a function without parameters: the trap, if it ends with one.
fn call(store: StoreContextMut<'_, ()>, instance: cwasm::Instance, name: &str) -> Want {
    let mut store = store;
    let func = instance.get_func(&mut store, name).unwrap();
    match func.call(&mut store, &[], &mut []) {
        Ok(()) => Ok(()),
        Err(error) => Err(error.trap().unwrap_or_else(|| panic!("{error:?}")).code()),
    }
}

/// A host may refuse it; what it allows is in `reentrance.rs`, guests among themselves in
/// `reentrance.wast`.
#[test]
fn d30_reentrance() {
    use std::sync::{Arc, Mutex};

    use cwasm::{AsContextMut, Config, Instance};

    let mut config = Config::new();
    config.allow_reentrance(false);
    let workshop = Workshop::with_config(&config);
    let artifact = workshop.compile(CALLS_BACK.as_bytes()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let active: Arc<Mutex<Vec<Instance>>> = Arc::default();
    let found: Arc<Mutex<Vec<Want>>> = Arc::default();
    let mut linker = Linker::<()>::new(workshop.engine());
    let (instances, seen) = (Arc::clone(&active), Arc::clone(&found));
    linker
        .root()
        .func_wrap(
            "again",
            move |mut store: StoreContextMut<'_, ()>, (): ()| {
                for instance in instances.lock().unwrap().iter() {
                    for name in ["fine", "call"] {
                        seen.lock()
                            .unwrap()
                            .push(call(store.as_context_mut(), *instance, name));
                    }
                }
                Ok(())
            },
        )
        .unwrap();
    let mut store = Store::new(workshop.engine(), ());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    active.lock().unwrap().push(instance);
    // The call that was refused is no trap of the instance that is active.
    for _ in 0..2 {
        assert_eq!(call(store.as_context_mut(), instance, "call"), Ok(()));
    }
    assert_eq!(*found.lock().unwrap(), [Err(TrapCode::CannotEnter); 4]);
    assert_eq!(call(store.as_context_mut(), instance, "fine"), Ok(()));
}

#[test]
fn d31_any_call_after_a_trap() {
    use cwasm::AsContextMut;

    let workshop = Workshop::new();
    let artifact = workshop.compile(CALLS_BACK.as_bytes()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let mut linker = Linker::<()>::new(workshop.engine());
    linker
        .root()
        .func_wrap("again", |_, (): ()| Ok(()))
        .unwrap();
    let mut store = Store::new(workshop.engine(), ());
    let other = linker.instantiate(&mut store, &component).unwrap();
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let trapped = call(store.as_context_mut(), instance, "trap");
    assert_eq!(trapped, Err(TrapCode::Unreachable));
    for round in 0..300 {
        let name = ["fine", "call", "trap"][round % 3];
        let refused = call(store.as_context_mut(), instance, name);
        assert_eq!(refused, Err(TrapCode::CannotEnter), "{name}");
        assert_eq!(call(store.as_context_mut(), other, "call"), Ok(()));
    }
}

/// A component that makes, drops and looks at resources of two types.
const BUILTINS: &str = r#"(component
  (type $R (resource (rep i32)))
  (type $S (resource (rep i32)))
  (core func $new (canon resource.new $R))
  (core func $new-s (canon resource.new $S))
  (core func $drop (canon resource.drop $R))
  (core func $rep (canon resource.rep $R))
  (func (export "new") (param "rep" u32) (result u32) (canon lift (core func $new)))
  (func (export "new-s") (param "rep" u32) (result u32) (canon lift (core func $new-s)))
  (func (export "drop") (param "handle" u32) (canon lift (core func $drop)))
  (func (export "rep") (param "handle" u32) (result u32) (canon lift (core func $rep))))"#;

/// Calls `builtin`, which has `results` results, with wrong handles: 0, free, beyond the table,
/// dropped, and of the other type.
fn bad_handles(builtin: &str, results: usize) {
    let workshop = Workshop::new();
    let artifact = workshop.compile(BUILTINS.as_bytes()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let linker = Linker::<()>::new(workshop.engine());
    for handle in [0, 4, 15, 16, 1 << 28, 0xffff_ffff, 1, 3, 2] {
        let mut store = Store::new(workshop.engine(), ());
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let mut call = |name: &str, arg: u32, results: usize| {
            let func = instance.get_func(&mut store, name).unwrap();
            let mut found = vec![Val::Bool(false); results];
            let result = func.call(&mut store, &[Val::U32(arg)], &mut found);
            result
                .map(|()| found)
                .map_err(|error| error.trap().unwrap().code())
        };
        for (expected, name) in [(1, "new"), (2, "new-s"), (3, "new"), (4, "new")] {
            assert_eq!(call(name, 70 + expected, 1), Ok(vec![Val::U32(expected)]));
        }
        call("drop", 1, 0).unwrap();
        call("drop", 4, 0).unwrap();
        let expected = match handle {
            3 => None,
            2 => Some(TrapCode::WrongResourceType),
            _ => Some(TrapCode::UnknownHandle),
        };
        let found = call(builtin, handle, results);
        assert_eq!(found.as_ref().err().copied(), expected, "{handle}");
        if builtin == "rep" && handle == 3 {
            assert_eq!(found, Ok(vec![Val::U32(73)]));
        }
        let after = expected.map(|_| TrapCode::CannotEnter);
        assert_eq!(call("new", 1, 1).err(), after, "{handle}, again");
    }
}

#[test]
fn d33_resource_drop() {
    bad_handles("drop", 0);
}

#[test]
fn d34_resource_rep() {
    bad_handles("rep", 1);
}
