//! Core modules that components import and export.

use cwasm::{Component, Instance, LinkError, Linker, Module, Store, StoreContextMut, TrapCode};
use cwasm_tests::artifact::Workshop;

/// A component that gives an imported module all kinds of items, of which it has some itself, and
/// uses what the module exports: in its own modules, as lifted functions, as memory and `realloc`.
const USES: &str = r#"(component
  (import "log" (func $log (param "value" u32)))
  (import "m" (core module $m
    (import "env" "memory" (memory 1))
    (import "env" "table" (table 2 funcref))
    (import "env" "counter" (global $c (mut i32)))
    (import "env" "base" (global i32))
    (import "env" "log" (func (param i32)))
    (import "env" "double" (func (param i32) (result i32)))
    (import "env" "unused" (func))
    (export "memory" (memory 1))
    (export "realloc" (func (param i32 i32 i32 i32) (result i32)))
    (export "greet" (func (param i32 i32) (result i32)))
    (export "post" (func (param i32)))
    (export "count" (func (result i32)))
    (export "trap" (func))
    (export "through" (func (param i32) (result i32)))
    (export "calls" (global (mut i32)))
    (export "more" (table 1 funcref))))
  (core func $log' (canon lower (func $log)))
  (core module $own
    (memory (export "memory") 1)
    (table (export "table") 2 funcref)
    (global (export "counter") (mut i32) (i32.const 0))
    (global (export "base") i32 (i32.const 1000))
    (func (export "double") (param i32) (result i32) (i32.shl (local.get 0) (i32.const 1)))
    (func (export "unused"))
    (func (export "trap") (unreachable))
    (data (i32.const 1000) "Hello, ")
    (elem (i32.const 0) func 0 2))
  (core instance $own (instantiate $own))
  (core instance $i (instantiate $m (with "env" (instance
    (export "memory" (memory $own "memory"))
    (export "table" (table $own "table"))
    (export "counter" (global $own "counter"))
    (export "base" (global $own "base"))
    (export "log" (func $log'))
    (export "double" (func $own "double"))
    (export "unused" (func $own "unused"))))))
  ;; Uses the exports of the imported module, and what it has put into the component's table.
  (core module $user
    (import "m" "memory" (memory 1))
    (import "m" "count" (func $count (result i32)))
    (import "m" "through" (func $through (param i32) (result i32)))
    (import "m" "calls" (global $calls (mut i32)))
    (import "m" "more" (table $more 1 funcref))
    (import "own" "memory" (memory $again 1))
    (import "own" "table" (table $table 2 funcref))
    (import "own" "counter" (global $counter (mut i32)))
    (table $mine 3 funcref)
    (elem (table $mine) (i32.const 0) func $count $through)
    (type $t (func (param i32) (result i32)))
    (func (export "all") (param i32) (result i32)
      (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (global.set $counter (i32.const 7))
      (i32.add
        (i32.add (call $count) (call $through (local.get 0)))
        (i32.add
          (call_indirect $table (type $t) (local.get 0) (i32.const 0))
          (call_indirect $more (type $t) (local.get 0) (i32.const 0)))))
    (func (export "from-mine") (param i32) (result i32)
      (call_indirect $mine (type $t) (local.get 0) (i32.const 1)))
    (func (export "wrong-type") (call_indirect $table (i32.const 0)))
    (func (export "aliases") (result i32)
      (i32.store 0 (i32.const 64) (i32.const 1))
      (i32.store 1 (i32.const 64) (i32.const 2))
      (i32.load 0 (i32.const 64))))
  (core instance $user (instantiate $user (with "m" (instance $i)) (with "own" (instance $own))))
  (func (export "greet") (param "name" string) (result string)
    (canon lift (core func $i "greet") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))
      (post-return (core func $i "post"))))
  (func (export "all") (param "v" u32) (result u32) (canon lift (core func $user "all")))
  (func (export "from-mine") (param "v" u32) (result u32)
    (canon lift (core func $user "from-mine")))
  (func (export "wrong-type") (canon lift (core func $user "wrong-type")))
  (func (export "aliases") (result u32) (canon lift (core func $user "aliases")))
  (func (export "count") (result u32) (canon lift (core func $i "count")))
  (func (export "trap") (canon lift (core func $i "trap")))
  (export "module" (core module $m)))"#;

/// The module that is given for it. It imports less and exports more, and its start function writes
/// data that the component reads.
const GIVEN: &str = r#"(module
  (import "env" "memory" (memory 1))
  (import "env" "table" (table 1 funcref))
  (import "env" "counter" (global $counter (mut i32)))
  (import "env" "base" (global $base i32))
  (import "env" "log" (func $log (param i32)))
  (import "env" "double" (func $double (param i32) (result i32)))
  (export "memory" (memory 0))
  (table (export "more") 1 8 funcref)
  (global (export "calls") (mut i32) (i32.const 0))
  (global $free (mut i32) (i32.const 2000))
  (type $void (func))
  (type $unary (func (param i32) (result i32)))
  (func $start
    (call $log (i32.const 1))
    (table.set 0 (i32.const 0) (ref.func $triple)))
  (start $start)
  (elem (table 1) (i32.const 0) func $triple)
  (func $triple (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3)))
  (func (export "realloc") (param i32 i32 i32 i32) (result i32)
    (local.set 0 (global.get $free))
    (global.set $free (i32.add (global.get $free) (i32.and (i32.const -8)
      (i32.add (local.get 3) (i32.const 7)))))
    (local.get 0))
  (func (export "greet") (param i32 i32) (result i32)
    (global.set $counter (i32.add (global.get $counter) (i32.const 1)))
    (memory.copy (i32.const 1007) (local.get 0) (local.get 1))
    (i32.store (i32.const 16) (global.get $base))
    (i32.store (i32.const 20) (i32.add (local.get 1) (i32.const 7)))
    (i32.const 16))
  (func (export "post") (param i32) (global.set $free (i32.const 2000)))
  (func (export "count") (result i32) (global.get $counter))
  (func (export "through") (param i32) (result i32) (call $double (local.get 0)))
  (func (export "trap") (call_indirect (type $void) (i32.const 1)))
  (func (export "one-more")))"#;

struct Case {
    workshop: Workshop,
    linker: Linker<Vec<u32>>,
    component: Component,
}

fn module(workshop: &Workshop, text: &str) -> Module {
    let artifact = workshop.compile(text.as_bytes()).unwrap();
    workshop.map_module(&artifact).unwrap()
}

fn component(workshop: &Workshop, text: &str) -> Component {
    let artifact = workshop.compile(text.as_bytes()).unwrap();
    workshop.map_component(&artifact).unwrap()
}

impl Case {
    fn new() -> Case {
        let workshop = Workshop::new();
        let component = component(&workshop, USES);
        let mut linker = Linker::new(workshop.engine());
        let log = |mut store: StoreContextMut<'_, Vec<u32>>, (value,): (u32,)| {
            store.data_mut().push(value);
            Ok(())
        };
        linker.root().func_wrap("log", log).unwrap();
        Case {
            workshop,
            linker,
            component,
        }
    }

    fn linked() -> (Case, Store<Vec<u32>>, Instance) {
        let mut case = Case::new();
        let given = module(&case.workshop, GIVEN);
        case.linker.root().module("m", &given).unwrap();
        // The linker keeps it.
        drop(given);
        let mut store = Store::new(case.workshop.engine(), Vec::new());
        let instance = case
            .linker
            .instantiate(&mut store, &case.component)
            .unwrap();
        (case, store, instance)
    }

    /// Why this module cannot be given.
    fn refusal(&self, text: &str) -> String {
        let mut linker = self.linker.clone();
        linker
            .root()
            .module("m", &module(&self.workshop, text))
            .unwrap();
        let error = linker.instantiate_pre(&self.component).err().unwrap();
        error.downcast_ref::<LinkError>().unwrap().to_string()
    }
}

fn number(store: &mut Store<Vec<u32>>, instance: Instance, name: &str) -> cwasm::Result<u32> {
    let func = instance.get_typed_func::<(), (u32,)>(&mut *store, name)?;
    func.call(store, ()).map(|(value,)| value)
}

fn apply(store: &mut Store<Vec<u32>>, instance: Instance, name: &str, value: u32) -> u32 {
    let func = instance
        .get_typed_func::<(u32,), (u32,)>(&mut *store, name)
        .unwrap();
    func.call(store, (value,)).unwrap().0
}

#[test]
fn items_of_all_kinds_cross_in_both_directions() {
    let (_case, mut store, instance) = Case::linked();
    assert_eq!(store.data(), &[1], "the start function ran, once");
    let greet = instance
        .get_typed_func::<(&str,), (String,)>(&mut store, "greet")
        .unwrap();
    for name in ["world", "you", ""] {
        let (text,) = greet.call(&mut store, (name,)).unwrap();
        assert_eq!(text, format!("Hello, {name}"));
    }
    assert_eq!(number(&mut store, instance, "count").unwrap(), 3);
    // The global that is set is the one that the module reads.
    let all = apply(&mut store, instance, "all", 10);
    assert_eq!(all, 7 + 20 + 30 + 30);
    assert_eq!(apply(&mut store, instance, "from-mine", 21), 42);
    // The memory has two names.
    assert_eq!(number(&mut store, instance, "aliases").unwrap(), 2);
    // What the module has put into the table has its type.
    let wrong = instance
        .get_typed_func::<(), ()>(&mut store, "wrong-type")
        .unwrap();
    let error = wrong.call(&mut store, ()).unwrap_err();
    assert_eq!(error.trap().unwrap().code(), TrapCode::BadSignature);
}

#[test]
fn instances_and_stores_share_nothing() {
    let (case, mut store, first) = Case::linked();
    let second = case
        .linker
        .instantiate(&mut store, &case.component)
        .unwrap();
    let mut other_store = Store::new(case.workshop.engine(), Vec::new());
    let third = case
        .linker
        .instantiate(&mut other_store, &case.component)
        .unwrap();
    let greet = first
        .get_typed_func::<(&str,), (String,)>(&mut store, "greet")
        .unwrap();
    greet.call(&mut store, ("a",)).unwrap();
    assert_eq!(number(&mut store, first, "count").unwrap(), 1);
    assert_eq!(number(&mut store, second, "count").unwrap(), 0);
    assert_eq!(number(&mut other_store, third, "count").unwrap(), 0);
    assert_eq!((store.data().len(), other_store.data().len()), (2, 1));
}

#[test]
fn instances_keep_what_they_run() {
    let (case, mut store, instance) = Case::linked();
    drop(case);
    assert_eq!(number(&mut store, instance, "count").unwrap(), 0);
    assert_eq!(apply(&mut store, instance, "from-mine", 2), 4);
    drop(store);
}

#[test]
fn traps_go_through_frames_of_both_units() {
    let (case, mut store, instance) = Case::linked();
    let trap = instance
        .get_typed_func::<(), ()>(&mut store, "trap")
        .unwrap();
    let error = trap.call(&mut store, ()).unwrap_err();
    assert_eq!(error.trap().unwrap().code(), TrapCode::Unreachable);
    let error = trap.call(&mut store, ()).unwrap_err();
    assert_eq!(error.trap().unwrap().code(), TrapCode::CannotEnter);
    let again = case
        .linker
        .instantiate(&mut store, &case.component)
        .unwrap();
    assert_eq!(number(&mut store, again, "count").unwrap(), 0);
}

#[test]
fn a_module_that_traps_when_it_starts_fails_the_component() {
    let case = Case::new();
    let mut linker = case.linker.clone();
    let text = GIVEN.replace("(call $log (i32.const 1))", "(unreachable)");
    linker
        .root()
        .module("m", &module(&case.workshop, &text))
        .unwrap();
    let mut store = Store::new(case.workshop.engine(), Vec::new());
    for _ in 0..2 {
        let error = linker.instantiate(&mut store, &case.component).unwrap_err();
        assert_eq!(error.trap().unwrap().code(), TrapCode::Unreachable);
    }
}

#[test]
fn modules_of_other_types_are_refused_with_all_that_is_wrong() {
    let case = Case::new();
    let error = case.linker.instantiate_pre(&case.component).err().unwrap();
    let error = error.downcast_ref::<LinkError>().unwrap().to_string();
    assert_eq!(error, "unknown import `m`: expected a core module");

    let missing = case.refusal("(module (import \"env\" \"more\" (func)))");
    assert!(
        missing.contains("`m`: the module needs `env::more` (func () -> ())"),
        "{missing}"
    );
    for name in [
        "memory", "realloc", "greet", "post", "count", "calls", "more",
    ] {
        let expected = format!("expected an export `{name}` (");
        assert!(missing.contains(&expected), "{missing}");
    }
    for (from, to, expected) in [
        // Imports are contravariant.
        (
            "(memory 1))\n  (import",
            "(memory 2))\n  (import",
            "it gets memory, at least 1",
        ),
        ("(table 1 funcref)", "(table 3 funcref)", "it gets table"),
        (
            "(global $base i32)",
            "(global $base i64)",
            "it gets global i32",
        ),
        (
            "\"log\" (func $log (param i32))",
            "\"log\" (func $log (param f32))",
            "it gets func (i32)",
        ),
        // Exports are covariant.
        (
            "\"memory\" (memory 1)",
            "\"memory\" (memory 0)",
            "found memory, at least 0",
        ),
        (
            "\"more\") 1 8 funcref",
            "\"more\") 1 8 externref",
            "found table",
        ),
        (
            "\"post\") (param i32)",
            "\"post\") (param i64)",
            "found func (i64)",
        ),
        ("\"calls\") (mut i32)", "\"calls\") i32", "found global i32"),
    ] {
        let text = GIVEN.replace(from, to);
        assert_ne!(text, GIVEN, "{from}");
        // The rest of the module goes with it.
        let text = match expected {
            "it gets global i32" => {
                text.replace("(global.get $base)", "(i32.wrap_i64 (global.get $base))")
            }
            "it gets func (i32)" => text.replace("(call $log (i32.const 1))", ""),
            "found table" => text.replace("(table 1) (i32.const 0) func", "declare func"),
            _ => text,
        };
        let refusal = case.refusal(&text);
        assert!(refusal.contains(expected), "{from}: {refusal}");
        assert_eq!(refusal.lines().count(), 1, "{refusal}");
    }
    let mut linker = case.linker.clone();
    let given = module(&case.workshop, GIVEN);
    let name = linker.root().module("log", &given);
    assert!(name.is_err(), "there is a function of this name");
}

#[test]
fn imported_modules_are_exported_as_they_are() {
    let (case, mut store, instance) = Case::linked();
    assert!(case.component.get_module("module").unwrap().is_none());
    let again = instance.get_module(&mut store, "module").unwrap().unwrap();
    let names: Vec<_> = again
        .exports()
        .unwrap()
        .iter()
        .map(|(name, _)| name.to_string())
        .collect();
    assert!(names.contains(&"one-more".to_owned()));
    assert!(instance.get_module(&mut store, "greet").unwrap().is_none());
}

/// A component that exports a module that it uses itself, and two others in an instance.
const EXPORTS: &str = r#"(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 8) "\2a")
    (global $n (mut i32) (i32.const 0))
    (func (export "next") (result i32)
      (global.set $n (i32.add (global.get $n) (i32.const 1)))
      (i32.add (i32.load8_u (i32.const 8)) (global.get $n)))
    (func (export "trap") (unreachable)))
  (core module $n (import "a" "b" (func $f (result i32)))
    (func (export "twice") (result i32) (i32.add (call $f) (call $f))))
  (core instance $i (instantiate $m))
  (func (export "next") (result u32) (canon lift (core func $i "next")))
  (instance $both (export "m" (core module $m)) (export "n" (core module $n)))
  (export "module" (core module $m))
  (export "both" (instance $both)))"#;

#[test]
fn exported_modules_are_modules() {
    let workshop = Workshop::new();
    let component = component(&workshop, EXPORTS);
    let mut store = Store::new(workshop.engine(), Vec::new());
    let instance = Linker::new(workshop.engine())
        .instantiate(&mut store, &component)
        .unwrap();
    assert_eq!(number(&mut store, instance, "next").unwrap(), 43);
    for name in ["module", "both#m"] {
        let module = component.get_module(name).unwrap().unwrap();
        let alone = module.instantiate(&mut store, &[]).unwrap();
        let Some(cwasm::Extern::Func(next)) = alone.get(&store, "next").unwrap() else {
            panic!("the module exports a function")
        };
        for expected in [43, 44] {
            let results = next.call(&mut store, &[]).unwrap();
            assert!(matches!(results[..], [cwasm::CoreVal::I32(found)] if found == expected));
        }
        let Some(cwasm::Extern::Func(trap)) = alone.get(&store, "trap").unwrap() else {
            panic!("the module exports a function")
        };
        let error = trap.call(&mut store, &[]).unwrap_err();
        assert_eq!(error.trap().unwrap().code(), TrapCode::Unreachable);
    }
    // The component's own instance is another.
    assert_eq!(number(&mut store, instance, "next").unwrap(), 44);
    let from_instance = instance.get_module(&mut store, "both#n").unwrap().unwrap();
    assert_eq!(from_instance.imports().unwrap().len(), 1);
    assert!(component.get_module("next").unwrap().is_none());
    // A module stays when its component goes.
    let module = component.get_module("module").unwrap().unwrap();
    drop((component, store));
    let mut store = Store::new(workshop.engine(), Vec::<u32>::new());
    module.instantiate(&mut store, &[]).unwrap();
}

/// Passes an imported module on to a nested component, twice, together with one of its own.
const PASSES_ON: &str = r#"(component
  (import "modules" (instance $modules (export "m" (core module
    (export "memory" (memory 1)) (export "next" (func (result i32)))))))
  (component $nested
    (import "m" (core module $m (export "next" (func (result i32)))))
    (core instance $i (instantiate $m))
    (func (export "next") (result u32) (canon lift (core func $i "next"))))
  (core module $own (func (export "next") (result i32) (i32.const 7)))
  (instance $a (instantiate $nested (with "m" (core module $modules "m"))))
  (instance $b (instantiate $nested (with "m" (core module $modules "m"))))
  (instance $c (instantiate $nested (with "m" (core module $own))))
  (export "a" (func $a "next"))
  (export "b" (func $b "next"))
  (export "c" (func $c "next")))"#;

#[test]
fn a_module_of_one_component_is_given_to_another_and_passed_on() {
    let workshop = Workshop::new();
    let module = component(&workshop, EXPORTS)
        .get_module("module")
        .unwrap()
        .unwrap();
    let passes_on = component(&workshop, PASSES_ON);
    let mut linker = Linker::new(workshop.engine());
    linker
        .instance("modules")
        .unwrap()
        .module("m", &module)
        .unwrap();
    let mut store = Store::new(workshop.engine(), Vec::new());
    let instance = linker.instantiate(&mut store, &passes_on).unwrap();
    for (name, expected) in [("a", 43), ("a", 44), ("b", 43), ("c", 7)] {
        assert_eq!(number(&mut store, instance, name).unwrap(), expected);
    }
}
