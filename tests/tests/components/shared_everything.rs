//! Shared-everything dynamic linking with modules that the host gives when it links: the components
//! of `cases/component/shared-everything.wast`, which has them inside.

use cwasm::{Component, Instance, Linker, Module, Store};
use cwasm_tests::artifact::Workshop;

const CASE: &str = include_str!("../../cases/component/shared-everything.wast");

/// The part of the case between two texts.
fn between(start: &str, end: &str) -> &'static str {
    let (_, rest) = CASE.split_once(start).unwrap();
    rest.split_once(end).unwrap().0
}

/// The modules of the case, by name.
fn modules(workshop: &Workshop) -> Vec<(&'static str, Module)> {
    let texts = between(";; The modules.\n", ";; The components.\n");
    let modules = texts.split("(core module $").skip(1).map(|text| {
        let (name, _) = text.split_once('\n').unwrap();
        let artifact = workshop
            .compile(format!("(module ${text}").as_bytes())
            .unwrap();
        (name, workshop.map_module(&artifact).unwrap())
    });
    modules.collect()
}

/// The case's component, which imports what it has there.
fn component(workshop: &Workshop) -> Component {
    let imports = between("(component $imgmgk'\n", "(core module $main");
    let rest = between(";; The components.\n", "\n;; Each has counted");
    let artifact = workshop.compile(format!("(component {imports} {rest}").as_bytes());
    workshop.map_component(&artifact.unwrap()).unwrap()
}

fn linked(workshop: &Workshop, modules: &[(&str, Module)]) -> (Store<()>, Instance) {
    let mut linker = Linker::<()>::new(workshop.engine());
    for (name, module) in modules {
        linker.root().module(name, module).unwrap();
    }
    let mut store = Store::new(workshop.engine(), ());
    let instance = linker
        .instantiate(&mut store, &component(workshop))
        .unwrap();
    (store, instance)
}

fn bytes(store: &mut Store<()>, instance: Instance, name: &str, data: &[u8]) -> Vec<u8> {
    let func = instance
        .get_typed_func::<(&[u8],), (Vec<u8>,)>(&mut *store, name)
        .unwrap();
    func.call(store, (data,)).unwrap().0
}

fn number(store: &mut Store<()>, instance: Instance, name: &str) -> u32 {
    let func = instance
        .get_typed_func::<(), (u32,)>(&mut *store, name)
        .unwrap();
    func.call(store, ()).unwrap().0
}

/// As the case says it, with the same values.
#[test]
fn modules_of_the_host_are_shared_and_their_memories_are_not() {
    let workshop = Workshop::new();
    let modules = modules(&workshop);
    let names: Vec<_> = modules.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["libc", "libzip", "libimg"]);
    let (mut store, instance) = linked(&workshop, &modules);
    assert_eq!(bytes(&mut store, instance, "zip", &[1, 2]), [101, 2, 3]);
    assert_eq!(bytes(&mut store, instance, "zip", &[7]), [102, 8]);
    assert_eq!(
        bytes(&mut store, instance, "transform", &[0xf0, 0]),
        [101, 0x10, 0]
    );
    assert_eq!(
        bytes(&mut store, instance, "run", &[0x0f]),
        [103, 103, 0xf2]
    );
    assert_eq!(number(&mut store, instance, "app-count"), 0);
    assert_eq!(number(&mut store, instance, "zipper-used"), 13);
    assert_eq!(number(&mut store, instance, "app-used"), 6);
    let call = instance
        .get_typed_func::<(u32, u32), (u32,)>(&mut store, "call")
        .unwrap();
    assert_eq!(call.call(&mut store, (1, 5)).unwrap(), (6,));
    assert_eq!(call.call(&mut store, (2, 5)).unwrap(), (0xfa,));
    assert!(call.call(&mut store, (0, 5)).unwrap_err().trap().is_some());
}

/// Another libzip, which uses what the first one does but the table.
#[test]
fn the_host_chooses_the_library() {
    let workshop = Workshop::new();
    let other = workshop.compile(
        br#"(module
          (import "libc" "memory" (memory 1))
          (import "libc" "malloc" (func $malloc (param i32) (result i32)))
          (func (export "zip") (param $at i32) (param $len i32) (result i32) (local $to i32)
            (local.set $to (call $malloc (i32.add (local.get $len) (i32.const 1))))
            (memory.copy (local.get $to) (local.get $at) (local.get $len))
            (i32.store8 (i32.add (local.get $to) (local.get $len)) (i32.const 0x77))
            (local.get $to)))"#,
    );
    let mut modules = modules(&workshop);
    modules[1].1 = workshop.map_module(&other.unwrap()).unwrap();
    let (mut store, instance) = linked(&workshop, &modules);
    assert_eq!(bytes(&mut store, instance, "zip", &[1, 2]), [1, 2, 0x77]);
    assert_eq!(
        bytes(&mut store, instance, "run", &[0x0f]),
        [0xf0, 0x77, 0x77]
    );
    let call = instance
        .get_typed_func::<(u32, u32), (u32,)>(&mut store, "call")
        .unwrap();
    assert_eq!(call.call(&mut store, (2, 5)).unwrap(), (0xfa,));
    assert!(call.call(&mut store, (1, 5)).unwrap_err().trap().is_some());
}
