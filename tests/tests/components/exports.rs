//! Exports that are looked up once, and used with all instances of a component.

use std::sync::Arc;

use cwasm::{Linker, Store};
use cwasm_tests::artifact::Workshop;

const GUEST: &str = r#"(component
  (core module $m (func (export "one") (result i32) (i32.const 1)))
  (core instance $i (instantiate $m))
  (func $one (result u32) (canon lift (core func $i "one")))
  (type $r (resource (rep i32)))
  (export $r' "r" (type $r))
  (export "m" (core module $m))
  (component $c
    (import "one" (func $one (result u32)))
    (export "one" (func $one)))
  (instance $c (instantiate $c (with "one" (func $one))))
  (export "a:b/c@1.0.0" (instance $c))
  (export "one" (func $one)))"#;

#[test]
fn exports_are_found_by_name_path_and_index() {
    let workshop = Workshop::new();
    let artifact = workshop.compile(GUEST.as_bytes()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let linker = Linker::<()>::new(workshop.engine());
    let mut store = Store::new(workshop.engine(), ());
    let instances = [0; 2].map(|_| linker.instantiate(&mut store, &component).unwrap());

    let inner = component.get_export_index(None, "a:b/c@1.0.0").unwrap();
    let one = component.get_export_index(Some(&inner), "one").unwrap();
    let path = "a:b/c@1.0.0#one";
    assert_eq!(component.get_export_index(None, path), Some(one));
    let root = component.get_export_index(None, "one").unwrap();
    assert!(root != one && root != inner);
    let r = component.get_export_index(None, "r").unwrap();
    let m = component.get_export_index(None, "m").unwrap();
    for (instance, name) in [(None, "two"), (Some(&inner), "two"), (Some(&root), "one")] {
        assert_eq!(component.get_export_index(instance, name), None);
    }
    for instance in instances {
        assert_eq!(
            instance.get_export_index(&mut store, Some(&inner), "one"),
            Some(one)
        );
        let found = [
            instance.get_typed_func::<(), (u32,)>(&mut store, one),
            instance.get_typed_func(&mut store, root),
            instance.get_typed_func(&mut store, path),
            instance.get_typed_func(&mut store, path.to_owned()),
            instance.get_typed_func(&mut store, Arc::<str>::from("one")),
        ];
        for func in found {
            assert_eq!(func.unwrap().call(&mut store, ()).unwrap(), (1,));
        }
        assert!(instance.get_func(&mut store, Box::new(root)).is_some());
        assert!(instance.get_resource(&mut store, r).is_some());
        assert!(instance.get_module(&mut store, m).unwrap().is_some());
        // Of another kind.
        assert!(instance.get_func(&mut store, r).is_none());
        assert!(instance.get_func(&mut store, inner).is_none());
        assert!(instance.get_resource(&mut store, one).is_none());
        assert!(instance.get_module(&mut store, one).unwrap().is_none());
        let error = instance.get_typed_func::<(u32,), ()>(&mut store, one);
        let error = error.unwrap_err().to_string();
        assert!(error.contains(path), "{error}");
    }

    // Of the same component, loaded again.
    let again = workshop.map_component(&artifact).unwrap();
    let other = linker.instantiate(&mut store, &again).unwrap();
    assert!(other.get_func(&mut store, root).is_none());
    let error = other.get_typed_func::<(), (u32,)>(&mut store, root);
    assert!(error.unwrap_err().to_string().contains("another component"));
    assert_eq!(again.get_export_index(Some(&inner), "one"), None);
    let mut other_store = Store::new(workshop.engine(), ());
    assert!(other.get_func(&mut other_store, "one").is_none());
    assert_eq!(other.get_export_index(&mut other_store, None, "one"), None);
}

#[test]
fn exports_are_found_in_compatible_versions() {
    let interfaces = [
        ("a:b/c@0.2.0", 0),
        ("a:b/c@0.2.10", 10),
        ("a:b/c@0.2.9", 9),
        ("a:b/c@0.20.0", 20),
        ("a:b/c@0.3.0-rc", 3),
        ("a:b/cc@0.2.11", 11),
    ];
    let mut text = r#"(component
      (component $c (import "f" (func $f (result u32))) (export "f" (func $f)))"#
        .to_owned();
    for (name, number) in interfaces {
        text.push_str(&format!(
            r#"(core module $m{number} (func (export "f") (result i32) (i32.const {number})))
            (core instance $i{number} (instantiate $m{number}))
            (func $f{number} (result u32) (canon lift (core func $i{number} "f")))
            (instance $c{number} (instantiate $c (with "f" (func $f{number}))))
            (export "{name}" (instance $c{number}))"#
        ));
    }
    text.push(')');
    let workshop = Workshop::new();
    let artifact = workshop.compile(text.as_bytes()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let mut store = Store::new(workshop.engine(), ());
    let linker = Linker::<()>::new(workshop.engine());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    for (name, expected) in [
        ("a:b/c@0.2.0", Some(0)),
        ("a:b/c@0.2.9", Some(9)),
        ("a:b/c@0.2.5", Some(10)),
        ("a:b/c@0.2.99", Some(10)),
        ("a:b/c@0.20.7", Some(20)),
        ("a:b/c@0.3.0", None),
        ("a:b/c@0.3.0-rc", Some(3)),
        ("a:b/c@1.0.0", None),
        ("a:b/c", None),
        ("a:b/d@0.2.0", None),
    ] {
        let path = format!("{name}#f");
        let func = instance.get_typed_func::<(), (u32,)>(&mut store, &*path);
        let found = func.ok().map(|func| func.call(&mut store, ()).unwrap().0);
        assert_eq!(found, expected, "{name}");
        let interface = component.get_export_index(None, name);
        assert_eq!(interface.is_some(), expected.is_some(), "{name}");
        let func = component.get_export_index(interface.as_ref(), "f");
        assert_eq!(func.is_some(), expected.is_some(), "{name}");
        assert!(instance.get_func(&mut store, format!("{name}#g")).is_none());
    }
}
