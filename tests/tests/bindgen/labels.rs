//! `bindgen!`: one interface that a world imports and exports by several labels.

use crate::common;
use cwasm::{Component, Linker, Resource, Store, TrapCode};
use cwasm_tests::artifact::Workshop;

cwasm::bindgen!({ path: "tests/wit", world: "labels" });

use exports::test::bindgen::totals::{Guest, Kind};
use test::bindgen::store::{self, Cursor, Entry};

/// A store, whose cursors are what they show next.
#[derive(Default)]
struct Shelf {
    name: &'static str,
    step: u32,
    cursors: Vec<u32>,
    dropped: u32,
}

impl store::HostCursor for Shelf {
    fn new(&mut self, start: u32) -> Resource<Cursor> {
        self.cursors.push(start);
        Resource::new_own(self.cursors.len() as u32 - 1)
    }

    fn next(&mut self, self_: Resource<Cursor>) -> u32 {
        let cursor = &mut self.cursors[self_.rep() as usize];
        *cursor += self.step;
        *cursor
    }

    fn drop(&mut self, _: Resource<Cursor>) -> cwasm::Result<()> {
        self.dropped += 1;
        Ok(())
    }
}

impl store::Host for Shelf {
    fn get(&mut self, key: String) -> Entry {
        Entry {
            value: key.len() as u32 * self.step,
            key: format!("{}/{key}", self.name),
        }
    }
}

struct State {
    shelves: [Shelf; 3],
}

impl State {
    fn new() -> State {
        let shelf = |name, step| Shelf {
            name,
            step,
            ..Shelf::default()
        };
        State {
            shelves: [
                shelf("primary", 1),
                shelf("secondary", 100),
                shelf("store", 10_000),
            ],
        }
    }
}

/// The guest: what it exports by a label works on what it imports by another.
fn guest() -> Vec<u8> {
    let stores = ["primary", "secondary", "test:bindgen/store@1.2.0"];
    let totals = ["a", "b", "test:bindgen/totals@1.2.0"];
    let (mut imports, mut exports) = (String::new(), String::new());
    for (n, (store, total)) in stores.iter().zip(totals).enumerate() {
        let other = (n + 1) % stores.len();
        imports += &format!(
            r#"
  (import "{store}" "get" (func $get{n} (param i32 i32 i32)))
  (import "{store}" "[constructor]cursor" (func $new{n} (param i32) (result i32)))
  (import "{store}" "[method]cursor.next" (func $next{n} (param i32) (result i32)))
  (import "{store}" "[resource-drop]cursor" (func $drop{n} (param i32)))
  (import "[export]{total}" "[resource-new]counter" (func $counter{n} (param i32) (result i32)))"#
        );
        exports += &format!(
            r#"
  (func (export "{total}#get") (param i32 i32) (result i32)
    (call $get{n} (local.get 0) (local.get 1) (i32.const 64))
    (i32.const 64))
  (func (export "{total}#walk") (param i32) (result i32) (local $cursor i32)
    (local.set $cursor (call $new{n} (local.get 0)))
    (drop (call $next{n} (local.get $cursor)))
    (call $next{n} (local.get $cursor))
    (call $drop{n} (local.get $cursor)))
  (func (export "{total}#mix") (param i32) (result i32)
    (call $next{other} (call $new{n} (local.get 0))))
  (func (export "{total}#same") (param i32 i32 i32) (result i32)
    (i32.add (local.get 0) (i32.const {n})))
  (func (export "{total}#[constructor]counter") (param i32) (result i32)
    (call $counter{n} (local.get 0)))
  (func (export "{total}#[method]counter.next") (param i32) (result i32)
    (i32.add (local.get 0) (i32.const {n})))"#
        );
    }
    let module = format!(
        r#"(module {imports}
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 4096))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get 3)))){exports})"#
    );
    common::component_of_world("tests/wit", "labels", &module)
}

pub(crate) fn component(workshop: &Workshop) -> Component {
    let artifact = workshop.compile(&guest()).unwrap();
    workshop.map_component(&artifact).unwrap()
}

/// A linker that defines each label.
fn linker(workshop: &Workshop) -> Linker<State> {
    let mut linker = Linker::new(workshop.engine());
    for (index, label) in ["primary", "secondary"].into_iter().enumerate() {
        let mut instance = linker.instance(label).unwrap();
        store::add_to_linker_instance(&mut instance, move |state: &mut State| {
            &mut state.shelves[index]
        })
        .unwrap();
    }
    store::add_to_linker(&mut linker, |state| &mut state.shelves[2]).unwrap();
    linker
}

#[test]
fn each_label_has_a_host_of_its_own() {
    let workshop = Workshop::new();
    let mut store = Store::new(workshop.engine(), State::new());
    let labels =
        Labels::instantiate(&mut store, &component(&workshop), &linker(&workshop)).unwrap();
    let guests: [(&Guest, _, _); 3] = [
        (labels.a(), "primary/key", 1),
        (labels.b(), "secondary/key", 100),
        (labels.test_bindgen_totals(), "store/key", 10_000),
    ];
    for (index, (guest, key, step)) in guests.into_iter().enumerate() {
        let found = guest.call_get(&mut store, "key").unwrap();
        assert_eq!((found.key.as_str(), found.value), (key, 3 * step));
        assert_eq!(guest.call_walk(&mut store, 7).unwrap(), 7 + 2 * step);
        let dropped = store.data().shelves.each_ref().map(|shelf| shelf.dropped);
        assert_eq!(dropped.iter().sum::<u32>(), index as u32 + 1);
        assert_eq!(dropped[index], 1);
        let kind = Kind::Number(5);
        assert_eq!(
            guest.call_same(&mut store, &kind).unwrap(),
            1 + index as u32
        );
    }
}

/// The cursors of one label are none of another, though the host has one type for both.
#[test]
fn resources_of_labels_are_distinct_in_guests() {
    for index in 0..3 {
        let workshop = Workshop::new();
        let mut store = Store::new(workshop.engine(), State::new());
        let labels =
            Labels::instantiate(&mut store, &component(&workshop), &linker(&workshop)).unwrap();
        let guest = [labels.a(), labels.b(), labels.test_bindgen_totals()][index];
        let error = guest.call_mix(&mut store, 1).unwrap_err();
        assert_eq!(
            error.trap().unwrap().code(),
            TrapCode::WrongResourceType,
            "{error}"
        );
        let cursors = store
            .data()
            .shelves
            .each_ref()
            .map(|shelf| shelf.cursors.clone());
        assert_eq!(cursors[index], [1]);
        assert_eq!(cursors.concat(), [1]);
    }
}

#[test]
fn resources_of_exported_labels_are_distinct() {
    let workshop = Workshop::new();
    let mut store = Store::new(workshop.engine(), State::new());
    let labels =
        Labels::instantiate(&mut store, &component(&workshop), &linker(&workshop)).unwrap();
    let [a, b] = [labels.a().counter(), labels.b().counter()];
    let of_a = a.call_constructor(&mut store, 8).unwrap();
    let of_b = b.call_constructor(&mut store, 8).unwrap();
    assert_eq!(a.call_next(&mut store, of_a).unwrap(), 8);
    assert_eq!(b.call_next(&mut store, of_b).unwrap(), 9);
    assert_ne!(of_a.ty(&store).unwrap(), of_b.ty(&store).unwrap());
    let error = b.call_next(&mut store, of_a).unwrap_err();
    let expected = "a resource of another type than the function's";
    assert!(error.to_string().contains(expected), "{error}");
}

impl store::HostCursor for State {
    fn new(&mut self, start: u32) -> Resource<Cursor> {
        self.shelves[1].new(start)
    }

    fn next(&mut self, self_: Resource<Cursor>) -> u32 {
        self.shelves[1].next(self_)
    }

    fn drop(&mut self, rep: Resource<Cursor>) -> cwasm::Result<()> {
        store::HostCursor::drop(&mut self.shelves[1], rep)
    }
}

impl store::Host for State {
    fn get(&mut self, key: String) -> Entry {
        self.shelves[1].get(key)
    }
}

/// The world's own `add_to_linker` gives all labels to one host.
#[test]
fn one_host_can_have_all_labels() {
    let workshop = Workshop::new();
    let mut linker = Linker::new(workshop.engine());
    Labels::add_to_linker(&mut linker, |state: &mut State| state).unwrap();
    let mut store = Store::new(workshop.engine(), State::new());
    let labels = Labels::instantiate(&mut store, &component(&workshop), &linker).unwrap();
    for guest in [labels.a(), labels.b(), labels.test_bindgen_totals()] {
        assert_eq!(guest.call_walk(&mut store, 7).unwrap(), 207);
    }
    assert_eq!(store.data().shelves[1].dropped, 3);
}

/// Hosts that do not know the labels: each gets a place of its own.
#[test]
fn labels_are_found_when_the_host_runs() {
    let workshop = Workshop::new();
    let component = component(&workshop);
    let mut linker = Linker::new(workshop.engine());
    let mut shelves = 0..;
    for (name, _) in component.imports().filter(|(name, _)| !name.contains('#')) {
        let import = component.get_import(name).unwrap().unwrap();
        if name == "test:bindgen/store@1.2.0" || import.is_implements("test:bindgen/store@1.0.0") {
            let index: usize = shelves.next().unwrap();
            let mut instance = linker.instance(name).unwrap();
            store::add_to_linker_instance(&mut instance, move |state: &mut State| {
                &mut state.shelves[index]
            })
            .unwrap();
        }
    }
    assert_eq!(shelves.next(), Some(3));
    let mut store = Store::new(workshop.engine(), State::new());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let mut found = 0;
    for (name, _) in component.exports() {
        let export = component.get_export(name).unwrap().unwrap();
        if export.is_implements("test:bindgen/totals@1.2.0") {
            let guest = Guest::labelled(&mut store, &instance, name).unwrap();
            found += guest
                .call_same(&mut store, &Kind::Text("x".to_owned()))
                .unwrap()
                + 1;
        }
    }
    // Of `a` and `b`.
    assert_eq!(found, 1 + 2);
    let error = Guest::labelled(&mut store, &instance, "c").unwrap_err();
    assert!(error.to_string().contains("`c#"), "{error}");
}
