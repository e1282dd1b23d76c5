//! The state after a host function has panicked or an instantiation has failed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cwasm::{
    CallHook, Component, Config, Engine, Error, Instance, Linker, Resource, ResourceAny,
    ResourceType, Store, StoreContextMut, WasmStr,
};
use cwasm_compiler::Options;

#[allow(unsafe_code, reason = "maps an artifact that the test just compiled")]
fn component(engine: &Engine, text: &str) -> Component {
    let wasm = wat::parse_str(text).unwrap();
    let artifact = cwasm_compiler::compile(&wasm, &Options::default()).unwrap();
    // SAFETY: the artifact comes from this compiler.
    unsafe { Component::from_bytes(engine, &artifact.bytes) }.unwrap()
}

/// Gives the host a string while it starts; then `end`.
fn starts_with_a_string(text: &str, end: &str) -> String {
    let len = text.len();
    format!(
        r#"(component
          (import "see" (func $see (param "s" string)))
          (core module $libc (memory (export "memory") 1) (data (i32.const 16) "{text}"))
          (core instance $libc (instantiate $libc))
          (core func $see (canon lower (func $see) (memory (core memory $libc "memory"))))
          (core module $m (import "" "see" (func $see (param i32 i32)))
            (func $start (call $see (i32.const 16) (i32.const {len})) {end})
            (start $start))
          (core instance (instantiate $m (with "" (instance (export "see" (func $see)))))))"#
    )
}

/// Nobody gets the memory of an instance whose start trapped while the host may have a view of it.
#[test]
fn views_of_what_failed_to_start() {
    for slots in [0, 64] {
        let mut config = Config::new();
        config.max_idle_instances(slots);
        let engine = Engine::new(&config).unwrap();
        let mut linker = Linker::<Option<WasmStr>>::new(&engine);
        let keep = |mut store: StoreContextMut<'_, Option<WasmStr>>, (s,): (WasmStr,)| {
            store.data_mut().get_or_insert(s);
            Ok(())
        };
        linker.root().func_wrap("see", keep).unwrap();
        let mut store = Store::new(&engine, None);
        let fails = component(&engine, &starts_with_a_string("first", "unreachable"));
        let _ = linker.instantiate(&mut store, &fails).unwrap_err();
        let mut other = Store::new(&engine, None);
        let starts = component(&engine, &starts_with_a_string("other", ""));
        linker.instantiate(&mut other, &starts).unwrap();
        let view = store.data_mut().take().unwrap();
        assert_eq!(view.to_str(&store).unwrap(), "first", "{slots} slots");
    }
}

/// Makes a resource of the host and gives it back, in its start, which traps then.
const STARTS_WITH_A_RESOURCE: &str = r#"(component
  (import "file" (type $F (sub resource)))
  (import "make" (func $make (result (own $F))))
  (import "take" (func $take (param "f" (own $F))))
  (core func $make (canon lower (func $make)))
  (core func $take (canon lower (func $take)))
  (core module $m
    (import "" "make" (func $make (result i32)))
    (import "" "take" (func $take (param i32)))
    (func $start (call $take (call $make)) unreachable)
    (start $start))
  (core instance $i (instantiate $m (with "" (instance
    (export "make" (func $make)) (export "take" (func $take)))))))"#;

/// Has a resource whose destructor adds up what it is given.
const SUMS: &str = r#"(component
  (core module $m (global $sum (mut i32) (i32.const 0))
    (func (export "dtor") (param i32)
      (global.set $sum (i32.add (global.get $sum) (local.get 0))))
    (func (export "sum") (result i32) (global.get $sum)))
  (core instance $i (instantiate $m))
  (type $R' (resource (rep i32) (dtor (core func $i "dtor"))))
  (export $R "thing" (type $R'))
  (func (export "sum") (result u32) (canon lift (core func $i "sum"))))"#;

/// Makes a resource and lends it to the host; and lends what it has borrowed.
const LENDS: &str = r#"(component
  (import "file" (type $F (sub resource)))
  (import "make" (func $make (result (own $F))))
  (import "keep" (func $keep (param "f" (borrow $F))))
  (import "other" (func $other))
  (core func $make (canon lower (func $make)))
  (core func $keep (canon lower (func $keep)))
  (core func $other (canon lower (func $other)))
  (core func $drop (canon resource.drop $F))
  (core module $m
    (import "" "make" (func $make (result i32)))
    (import "" "keep" (func $keep (param i32)))
    (import "" "other" (func $other))
    (import "" "drop" (func $drop (param i32)))
    (func (export "run") (local $h i32)
      (call $keep (local.tee $h (call $make))) (call $drop (local.get $h)))
    (func (export "lend") (param i32)
      (call $keep (local.get 0)) (call $other) (call $drop (local.get 0))))
  (core instance $i (instantiate $m (with "" (instance
    (export "make" (func $make)) (export "keep" (func $keep))
    (export "other" (func $other)) (export "drop" (func $drop))))))
  (func (export "run") (canon lift (core func $i "run")))
  (func (export "lend") (param "f" (borrow $F)) (canon lift (core func $i "lend"))))"#;

struct File;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum End {
    #[default]
    Return,
    Fail,
    Panic,
}

#[derive(Default)]
struct Host {
    kept: Vec<ResourceAny>,
    end: End,
    destroyed: Vec<u32>,
    events: Vec<CallHook>,
}

/// `keep` and `take` keep what they get and end as they are told to.
fn linker(engine: &Engine) -> Linker<Host> {
    let mut linker = Linker::new(engine);
    let mut root = linker.root();
    let ty = ResourceType::host::<File>();
    let destroy = |mut store: StoreContextMut<'_, Host>, rep| {
        store.data_mut().destroyed.push(rep);
        Ok(())
    };
    root.resource("file", ty, destroy).unwrap();
    root.func_wrap("make", |_, (): ()| Ok((Resource::<File>::new_own(777),)))
        .unwrap();
    for name in ["keep", "take"] {
        root.func_wrap(
            name,
            |mut store: StoreContextMut<'_, Host>, (file,): (ResourceAny,)| {
                store.data_mut().kept.push(file);
                match store.data().end {
                    End::Return => Ok(()),
                    End::Fail => Err(Error::msg("told to fail")),
                    End::Panic => std::panic::resume_unwind(Box::new("told to panic")),
                }
            },
        )
        .unwrap();
    }
    root.func_wrap("other", |_, (): ()| Ok(())).unwrap();
    linker
}

fn instantiate(engine: &Engine, end: End) -> (Store<Host>, Instance) {
    let mut store = Store::new(engine, Host::default());
    let lends = component(engine, LENDS);
    let instance = linker(engine).instantiate(&mut store, &lends).unwrap();
    store.data_mut().end = end;
    (store, instance)
}

fn run(store: &mut Store<Host>, instance: Instance) {
    let run = instance
        .get_typed_func::<(), ()>(&mut *store, "run")
        .unwrap();
    let outcome = catch_unwind(AssertUnwindSafe(|| run.call(&mut *store, ())));
    match store.data().end {
        End::Return => outcome.unwrap().unwrap(),
        End::Fail => assert!(outcome.unwrap().is_err()),
        End::Panic => assert!(outcome.is_err()),
    }
}

#[test]
fn resources_of_what_failed_to_start() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, Host::default());
    let fails = component(&engine, STARTS_WITH_A_RESOURCE);
    let _ = linker(&engine).instantiate(&mut store, &fails).unwrap_err();
    let sums = component(&engine, SUMS);
    let sums = linker(&engine).instantiate(&mut store, &sums).unwrap();
    let kept = store.data().kept[0];
    kept.resource_drop(&mut store).unwrap();
    assert_eq!(store.data().destroyed, [777]);
    let sum = sums
        .get_typed_func::<(), (u32,)>(&mut store, "sum")
        .unwrap();
    assert_eq!(sum.call(&mut store, ()).unwrap(), (0,));
}

#[test]
fn borrows_end_with_the_call() {
    let engine = Engine::default();
    for end in [End::Return, End::Fail, End::Panic] {
        let (mut store, instance) = instantiate(&engine, end);
        run(&mut store, instance);
        let kept = store.data().kept[0];
        assert!(kept.ty(&store).is_err(), "{end:?}");
    }
}

/// Lends `file` to a guest, in a call by a typed function or by values.
fn lend(
    store: &mut StoreContextMut<'_, Host>,
    instance: Instance,
    file: ResourceAny,
    is_typed: bool,
) -> cwasm::Result<()> {
    if is_typed {
        let lend = instance.get_typed_func::<(ResourceAny,), ()>(&mut *store, "lend")?;
        return lend.call(&mut *store, (file,));
    }
    let lend = instance.get_func(&mut *store, "lend").unwrap();
    lend.call(&mut *store, &[cwasm::Val::Resource(file)], &mut [])
}

#[test]
fn what_is_lent_is_given_back() {
    let engine = Engine::default();
    for (end, is_typed) in [
        (End::Return, true),
        (End::Fail, true),
        (End::Panic, true),
        (End::Panic, false),
    ] {
        let (mut store, instance) = instantiate(&engine, end);
        let file = Resource::<File>::new_own(3);
        let file = file.try_into_resource_any(&mut store).unwrap();
        let mut context = cwasm::AsContextMut::as_context_mut(&mut store);
        let called = catch_unwind(AssertUnwindSafe(|| {
            lend(&mut context, instance, file, is_typed)
        }));
        assert_eq!(called.is_err(), end == End::Panic);
        file.resource_drop(&mut store).unwrap();
    }
}

/// A host function lends what it has borrowed to another guest and catches the panic of that call;
/// then the place of what was lent is used again.
#[test]
fn what_was_lent_in_a_call_that_panicked_does_not_count_for_others() {
    let engine = Engine::default();
    let lends = component(&engine, LENDS);
    let inner = linker(&engine).instantiate_pre(&lends).unwrap();
    let mut outer = linker(&engine);
    outer.allow_shadowing(true);
    let mut root = outer.root();
    root.func_wrap(
        "keep",
        move |mut store: StoreContextMut<'_, Host>, (file,): (ResourceAny,)| {
            store.data_mut().end = End::Panic;
            let instance = inner.instantiate(&mut store)?;
            let called = catch_unwind(AssertUnwindSafe(|| lend(&mut store, instance, file, true)));
            assert!(called.is_err());
            store.data_mut().kept.clear();
            Ok(())
        },
    )
    .unwrap();
    root.func_wrap("other", |mut store: StoreContextMut<'_, Host>, (): ()| {
        for rep in 0..3 {
            let file = Resource::<File>::new_own(rep).try_into_resource_any(&mut store)?;
            store.data_mut().kept.push(file);
        }
        Ok(())
    })
    .unwrap();
    let mut store = Store::new(&engine, Host::default());
    let instance = outer.instantiate(&mut store, &lends).unwrap();
    let file = Resource::<File>::new_own(3);
    let file = file.try_into_resource_any(&mut store).unwrap();
    let mut context = cwasm::AsContextMut::as_context_mut(&mut store);
    lend(&mut context, instance, file, true).unwrap();
    for kept in store.data().kept.clone() {
        kept.resource_drop(&mut store).unwrap();
    }
    file.resource_drop(&mut store).unwrap();
}

#[test]
fn a_hook_that_panicked_is_still_there() {
    let engine = Engine::default();
    let (mut store, instance) = instantiate(&engine, End::Return);
    store.set_call_hook(|mut store, event| {
        store.data_mut().events.push(event);
        if store.data().end == End::Panic && event == CallHook::CallingHost {
            std::panic::resume_unwind(Box::new("told to panic"));
        }
        Ok(())
    });
    store.data_mut().end = End::Panic;
    run(&mut store, instance);
    store.data_mut().end = End::Return;
    store.data_mut().events.clear();
    let lends = component(&engine, LENDS);
    let instance = linker(&engine).instantiate(&mut store, &lends).unwrap();
    run(&mut store, instance);
    let events = &store.data().events;
    assert_eq!(events.first(), Some(&CallHook::CallingWasm), "{events:?}");
    assert_eq!(events.last(), Some(&CallHook::ReturningFromWasm));
}
