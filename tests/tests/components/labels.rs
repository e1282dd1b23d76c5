//! Imports and exports with more than a name: what they implement, ids for hosts, and versions in
//! two parts.

use cwasm::{Component, ItemKind, Linker, Store};
use cwasm_tests::artifact::Workshop;

fn compiled(workshop: &Workshop, text: &str) -> Component {
    let artifact = workshop.compile(text.as_bytes()).unwrap();
    workshop.map_component(&artifact).unwrap()
}

/// A component that calls `get` of two imports of the same interface, and returns both results.
const TWO_STORES: &str = r#"(component
  (import "primary" (implements "test:db/store@1.2.3") (external-id "db/1 ☃") (instance $primary
    (export "get" (external-id "key→value") (func (param "key" u32) (result u32)))))
  (import "secondary" (implements "test:db/store@1") (version-suffix ".4.0") (instance $secondary
    (export "get" (func (param "key" u32) (result u32)))))
  (import "plain" (external-id "only an id") (func (param "x" u32)))
  (core func $first (canon lower (func $primary "get")))
  (core func $second (canon lower (func $secondary "get")))
  (core module $m
    (import "" "first" (func $first (param i32) (result i32)))
    (import "" "second" (func $second (param i32) (result i32)))
    (func (export "both") (param i32) (result i32)
      (i32.sub (call $first (local.get 0)) (call $second (local.get 0)))))
  (core instance $i (instantiate $m (with "" (instance
    (export "first" (func $first)) (export "second" (func $second))))))
  (func $difference (param "key" u32) (result u32) (canon lift (core func $i "both")))
  (export "difference" (external-id "minus") (func $difference))
  (export "one" (implements "test:db/store@1.2.3") (instance $primary))
  (export "two" (implements "test:db/store@1") (version-suffix ".4.0") (instance $secondary)))"#;

#[test]
fn labels_say_what_they_implement() {
    let component = compiled(&Workshop::new(), TWO_STORES);
    let primary = component.get_import("primary").unwrap().unwrap();
    assert_eq!(primary.kind, ItemKind::Instance);
    assert_eq!(primary.implements, Some("test:db/store@1.2.3"));
    assert_eq!(primary.external_id, Some("db/1 ☃"));
    assert!(primary.is_implements("test:db/store@1.2.3"));
    assert!(primary.is_implements("test:db/store@1.0.0"));
    assert!(primary.is_implements("test:db/store@1.99.0"));
    for other in [
        "test:db/store@2.0.0",
        "test:db/store",
        "test:db/stores@1.2.3",
        "primary",
    ] {
        assert!(!primary.is_implements(other), "{other}");
    }
    let secondary = component.get_import("secondary").unwrap().unwrap();
    assert_eq!(secondary.implements, Some("test:db/store@1.4.0"));
    assert_eq!(secondary.external_id, None);
    let get = component.get_import("primary#get").unwrap().unwrap();
    assert_eq!((get.kind, get.implements), (ItemKind::Func, None));
    assert_eq!(get.external_id, Some("key→value"));
    let get = component.get_import("secondary#get").unwrap().unwrap();
    assert_eq!((get.external_id, get.is_implements("get")), (None, false));
    let plain = component.get_import("plain").unwrap().unwrap();
    assert_eq!(
        (plain.kind, plain.external_id),
        (ItemKind::Func, Some("only an id"))
    );

    let one = component.get_export("one").unwrap().unwrap();
    assert_eq!(
        (one.kind, one.implements),
        (ItemKind::Instance, Some("test:db/store@1.2.3"))
    );
    let two = component.get_export("two").unwrap().unwrap();
    assert_eq!(two.implements, Some("test:db/store@1.4.0"));
    let difference = component.get_export("difference").unwrap().unwrap();
    assert_eq!(
        (difference.external_id, difference.implements),
        (Some("minus"), None)
    );
    // What is passed on has the names of its type.
    let get = component.get_export("one#get").unwrap().unwrap();
    assert_eq!(get.external_id, Some("key→value"));

    // Imports and exports are not mixed up, and nothing is made up.
    for name in ["one", "difference", "store", "test:db/store@1.2.3"] {
        assert_eq!(component.get_import(name).unwrap(), None);
    }
    assert_eq!(component.get_export("primary").unwrap(), None);
}

/// Hosts link labels to what they want, as the labels ask for it.
#[test]
fn labels_of_one_interface_are_linked_to_different_hosts() {
    let workshop = Workshop::new();
    let component = compiled(&workshop, TWO_STORES);
    let mut linker = Linker::<()>::new(workshop.engine());
    let mut factors = [100, 1].into_iter();
    for (name, _) in component.imports() {
        let import = component.get_import(name).unwrap().unwrap();
        if import.is_implements("test:db/store@1.0.0") {
            let factor: u32 = factors.next().unwrap();
            let mut instance = linker.instance(name).unwrap();
            let get = move |_: cwasm::StoreContextMut<'_, ()>, (key,): (u32,)| Ok((key * factor,));
            instance.func_wrap("get", get).unwrap();
        }
    }
    linker
        .root()
        .func_wrap("plain", |_, (_,): (u32,)| Ok(()))
        .unwrap();
    assert_eq!(factors.next(), None);
    let mut store = Store::new(workshop.engine(), ());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    for (name, expected) in [("difference", 99 * 7), ("one#get", 700), ("two#get", 7)] {
        let func = instance
            .get_typed_func::<(u32,), (u32,)>(&mut store, name)
            .unwrap();
        assert_eq!(func.call(&mut store, (7,)).unwrap(), (expected,), "{name}");
    }
}

/// The interface's own name is not that of the import.
#[test]
fn labels_are_not_linked_by_what_they_implement() {
    let workshop = Workshop::new();
    let component = compiled(&workshop, TWO_STORES);
    let mut linker = Linker::<()>::new(workshop.engine());
    for name in ["test:db/store@1.2.3", "secondary"] {
        let mut instance = linker.instance(name).unwrap();
        instance
            .func_wrap("get", |_, (key,): (u32,)| Ok((key,)))
            .unwrap();
    }
    linker
        .root()
        .func_wrap("plain", |_, (_,): (u32,)| Ok(()))
        .unwrap();
    let error = linker
        .instantiate_pre(&component)
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.starts_with("unknown import `primary#get`") && !error.contains('\n'),
        "{error}"
    );
}

/// Two components that only differ in their labels, one after the other.
#[test]
fn a_component_between_passes_labels_on() {
    const BETWEEN: &str = r#"(component
      (component $inner
        (import "a" (implements "test:db/store@1.2.3") (instance $a
          (export "get" (func (param "key" u32) (result u32)))))
        (import "b" (implements "test:db/store@1.2.3") (instance $b
          (export "get" (func (param "key" u32) (result u32)))))
        (export "c" (implements "test:db/store@1.2.3") (instance $b))
        (export "d" (implements "test:db/store@1.2.3") (external-id "was a") (instance $a)))
      (import "a" (implements "test:db/store@1.2.3") (instance $a
        (export "get" (func (param "key" u32) (result u32)))))
      (import "b" (implements "test:db/store@1.2.3") (instance $b
        (export "get" (func (param "key" u32) (result u32)))))
      (instance $swapped (instantiate $inner (with "a" (instance $a)) (with "b" (instance $b))))
      (instance $again (instantiate $inner
        (with "a" (instance $swapped "c")) (with "b" (instance $swapped "d"))))
      (export "all" (instance $again))
      (export "c2" (implements "test:db/store@1.2.3") (instance $swapped "c")))"#;
    let workshop = Workshop::new();
    let component = compiled(&workshop, BETWEEN);
    let mut linker = Linker::<()>::new(workshop.engine());
    for (name, add) in [("a", 1u32), ("b", 2)] {
        let mut instance = linker.instance(name).unwrap();
        let get = move |_: cwasm::StoreContextMut<'_, ()>, (key,): (u32,)| Ok((key + add,));
        instance.func_wrap("get", get).unwrap();
    }
    let mut store = Store::new(workshop.engine(), ());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    for (name, expected) in [("all#c#get", 11), ("all#d#get", 12), ("c2#get", 12)] {
        let func = instance
            .get_typed_func::<(u32,), (u32,)>(&mut store, name)
            .unwrap();
        assert_eq!(func.call(&mut store, (10,)).unwrap(), (expected,), "{name}");
    }
    let said = |name| component.get_export(name).unwrap().unwrap();
    assert_eq!(said("all").implements, None);
    assert_eq!(said("all#c").implements, Some("test:db/store@1.2.3"));
    assert_eq!(said("all#d").external_id, Some("was a"));
    assert_eq!(said("c2").external_id, None);
}

/// `a:b/c@0.2` with the suffix `.1` is `a:b/c@0.2.1` to hosts, and `a:b/c@0.2` inside.
#[test]
fn versions_in_two_parts_are_one_for_hosts() {
    const SUFFIXES: &str = r#"(component
      (component $inner
        (import "a:b/c@0.2" (version-suffix ".0") (instance $c
          (export "r" (type $r (sub resource)))
          (export "f" (func (param "x" (own $r)) (result u32)))))
        (alias export $c "f" (func $f))
        (instance $out (export "f" (func $f)))
        (instance $outer (export "a:b/d@1" (version-suffix ".0.7") (instance $out)))
        (export "a:b/c@0.2" (version-suffix ".9") (instance $c))
        (export "in" (instance $outer)))
      (import "a:b/c@0.2" (version-suffix ".1") (instance $c
        (export "r" (type $r (sub resource)))
        (export "f" (func (param "x" (own $r)) (result u32)))))
      (instance $i (instantiate $inner (with "a:b/c@0.2" (instance $c))))
      (alias export $i "a:b/c@0.2" (instance $c2))
      (alias export $i "in" (instance $in))
      (alias export $in "a:b/d@1" (instance $d))
      (export "a:b/c@0.2" (version-suffix ".9") (instance $c2))
      (export "in" (instance $in))
      (export "a:b/d@1" (version-suffix ".0.7") (instance $d)))"#;
    struct R;
    let workshop = Workshop::new();
    let component = compiled(&workshop, SUFFIXES);
    let imports: Vec<_> = component.imports().map(|(name, _)| name).collect();
    assert_eq!(imports, ["a:b/c@0.2.1", "a:b/c@0.2.1#r", "a:b/c@0.2.1#f"]);
    let mut linker = Linker::<()>::new(workshop.engine());
    let mut host = linker.instance("a:b/c@0.2.7").unwrap();
    let ty = cwasm::ResourceType::host::<R>();
    host.resource("r", ty, |_, _| Ok(())).unwrap();
    host.func_wrap("f", |_, (r,): (cwasm::Resource<R>,)| Ok((r.rep() + 1,)))
        .unwrap();
    let mut store = Store::new(workshop.engine(), ());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    for path in ["a:b/c@0.2.9#f", "in#a:b/d@1.0.7#f", "a:b/d@1.0.7#f"] {
        let func = instance
            .get_typed_func::<(cwasm::Resource<R>,), (u32,)>(&mut store, path)
            .unwrap();
        let r = cwasm::Resource::new_own(41);
        assert_eq!(func.call(&mut store, (r,)).unwrap(), (42,), "{path}");
    }
}

#[test]
fn two_exports_of_one_full_name_are_refused() {
    let text = r#"(component
      (instance $i)
      (export "a:b/c@0.2" (version-suffix ".1") (instance $i))
      (export "a:b/c@0.2.1" (instance $i)))"#;
    let error = Workshop::new().compile(text.as_bytes()).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("two exports are called `a:b/c@0.2.1`"),
        "{error}"
    );
}
