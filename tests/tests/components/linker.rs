//! A linker's behaviour for imports that are missing or defined twice.

use cwasm::types::Type;
use cwasm::{Component, ImportItem, LinkError, Linker, Resource, ResourceType, Store, Val};
use cwasm_tests::artifact::Workshop;

const GUEST: &str = r#"(component
  (import "known" (func $known (result u32)))
  (import "unknown" (func $unknown (param "text" string) (result u32)))
  (import "a:b/c@1.2.0" (instance $c
    (export "known" (func (result u32)))
    (export "unknown" (func (result u32)))
    (export "r" (type (sub resource)))))
  (alias export $c "r" (type $r))
  (import "take" (func $take (param "r" (own $r))))
  (core func $known' (canon lower (func $known)))
  (core func $c-known (canon lower (func $c "known")))
  (core func $c-unknown (canon lower (func $c "unknown")))
  (core module $m
    (import "" "known" (func $known (result i32)))
    (import "" "c-known" (func $c-known (result i32)))
    (import "" "c-unknown" (func $c-unknown (result i32)))
    (func (export "known") (result i32) (i32.add (call $known) (call $c-known)))
    (func (export "unknown") (result i32) (call $c-unknown)))
  (core instance $i (instantiate $m (with "" (instance
    (export "known" (func $known'))
    (export "c-known" (func $c-known))
    (export "c-unknown" (func $c-unknown))))))
  (func (export "known") (result u32) (canon lift (core func $i "known")))
  (func (export "unknown") (result u32) (canon lift (core func $i "unknown"))))"#;

fn component(workshop: &Workshop) -> Component {
    let artifact = workshop.compile(GUEST.as_bytes()).unwrap();
    workshop.map_component(&artifact).unwrap()
}

/// A linker that has a part of what the guest imports, of a compatible version.
fn linker(workshop: &Workshop) -> Linker<()> {
    let mut linker = Linker::new(workshop.engine());
    linker
        .root()
        .func_wrap("known", |_, (): ()| Ok((1u32,)))
        .unwrap();
    linker
        .instance("a:b/c@1.9.0")
        .unwrap()
        .func_wrap("known", |_, (): ()| Ok((10u32,)))
        .unwrap();
    linker
}

#[test]
fn unknown_imports_fail_when_they_are_called() {
    let workshop = Workshop::new();
    let component = component(&workshop);
    let mut linker = linker(&workshop);
    let error = linker.instantiate_pre(&component).err().unwrap();
    let missing = error.downcast_ref::<LinkError>().unwrap().to_string();
    for name in ["unknown", "a:b/c@1.2.0#unknown", "a:b/c@1.2.0#r", "take"] {
        assert!(
            missing.contains(&format!("unknown import `{name}`")),
            "{missing}"
        );
    }
    linker.define_unknown_imports_as_traps(&component).unwrap();
    let mut store = Store::new(workshop.engine(), ());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let known = instance
        .get_typed_func::<(), (u32,)>(&mut store, "known")
        .unwrap();
    let unknown = instance
        .get_typed_func::<(), (u32,)>(&mut store, "unknown")
        .unwrap();
    // What was there stays what it was.
    assert_eq!(known.call(&mut store, ()).unwrap(), (11,));
    let error = unknown.call(&mut store, ()).unwrap_err();
    let cause = error.chain().last().unwrap().to_string();
    assert_eq!(
        cause,
        "the import `a:b/c@1.2.0#unknown` is called, which is not defined"
    );
    assert!(
        known.call(&mut store, ()).is_err(),
        "the instance has trapped"
    );
}

#[test]
fn definitions_are_replaced_if_that_is_allowed() {
    let workshop = Workshop::new();
    let component = component(&workshop);
    let mut linker = linker(&workshop);
    linker.define_unknown_imports_as_traps(&component).unwrap();
    let before = linker.instantiate_pre(&component).unwrap();
    let two = |_: cwasm::StoreContextMut<'_, ()>, (): ()| Ok((2u32,));
    assert!(linker.root().func_wrap("known", two).is_err());
    linker.allow_shadowing(true);
    linker.root().func_wrap("known", two).unwrap();
    let after = linker.instantiate_pre(&component).unwrap();
    linker.allow_shadowing(false);
    assert!(linker.root().func_wrap("known", two).is_err());
    let mut store = Store::new(workshop.engine(), ());
    for (pre, expected) in [(before, 11), (after, 12)] {
        let instance = pre.instantiate(&mut store).unwrap();
        let known = instance
            .get_typed_func::<(), (u32,)>(&mut store, "known")
            .unwrap();
        assert_eq!(known.call(&mut store, ()).unwrap(), (expected,));
    }
}

#[test]
fn link_errors_say_what_is_missing_and_what_is_of_another_type() {
    let workshop = Workshop::new();
    let component = component(&workshop);
    let mut linker = Linker::<()>::new(workshop.engine());
    let mut root = linker.root();
    root.func_wrap("known", |_, (): ()| Ok(("text",))).unwrap();
    root.resource("unknown", ResourceType::host::<u8>(), |_, _| Ok(()))
        .unwrap();
    root.func_wrap("take", |_, (_,): (Resource<u8>,)| Ok(()))
        .unwrap();
    let mut instance = linker.instance("a:b/c@1.2.0").unwrap();
    instance.func_new("r", |_, _, _, _| Ok(())).unwrap();
    let error = linker.instantiate_pre(&component).err().unwrap();
    let error = error.context("outer");
    let found = error.downcast_ref::<LinkError>().unwrap();
    let func = |ty: &str| ImportItem::Func(Some(ty.to_owned()));
    let summary = |path: &str| {
        let mut imports = found.imports().iter();
        let import = imports.find(|import| import.path == path).unwrap();
        let found = import.found.clone();
        assert_eq!(found.is_none(), import.is_missing());
        (import.expected.clone(), found, import.detail.is_some())
    };
    let u32 = func("func() -> u32");
    assert_eq!(
        summary("known"),
        (u32.clone(), Some(func("func() -> string")), false)
    );
    let text = func("func(text: string) -> u32");
    assert_eq!(
        summary("unknown"),
        (text, Some(ImportItem::Resource), false)
    );
    assert_eq!(summary("a:b/c@1.2.0#known"), (u32, None, false));
    assert_eq!(
        summary("a:b/c@1.2.0#r"),
        (ImportItem::Resource, Some(ImportItem::Func(None)), false)
    );
    // The types are alike, and the handles differ: of a resource that is not the host's.
    let (ImportItem::Func(_), Some(ImportItem::Func(Some(_))), true) = summary("take") else {
        panic!("{error}")
    };
    assert_eq!(
        error.downcast::<LinkError>().unwrap().into_imports().len(),
        6
    );
}

#[test]
fn dynamic_functions_are_told_their_type() {
    let workshop = Workshop::new();
    let component = component(&workshop);
    let mut linker = Linker::<Vec<String>>::new(workshop.engine());
    linker.define_unknown_imports_as_traps(&component).unwrap();
    linker.allow_shadowing(true);
    for (instance, name) in [(None, "known"), (Some("a:b/c@1.2.0"), "known")] {
        let mut instance = match instance {
            None => linker.root(),
            Some(instance) => linker.instance(instance).unwrap(),
        };
        instance
            .func_new(name, |mut store, ty, args, results| {
                assert_eq!((ty.params().len(), args.len()), (0, 0));
                assert_eq!((ty.results().len(), results.len()), (1, 1));
                assert_eq!(ty.results().next(), Some(Type::U32));
                store.data_mut().push(ty.to_string());
                results[0] = Val::U32(4);
                Ok(())
            })
            .unwrap();
    }
    let mut store = Store::new(workshop.engine(), Vec::new());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let known = instance
        .get_typed_func::<(), (u32,)>(&mut store, "known")
        .unwrap();
    assert_eq!(known.call(&mut store, ()).unwrap(), (8,));
    assert_eq!(store.data()[..], ["func() -> u32"; 2]);
}
