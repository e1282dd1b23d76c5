//! `bindgen!`: a host of a world with all kinds of items, and a guest that sends everything
//! through.

use crate::common;
use cwasm::{Linker, Store};
use cwasm_tests::artifact::Workshop;

cwasm::bindgen!({
    path: "tests/wit",
    world: "everything",
    additional_derives: [PartialEq],
});

use test::bindgen::kinds::{self, Color, Permissions, Person, Shape};
use test::shared::common::Error;

#[derive(Default)]
struct State {
    log: Vec<String>,
    nothings: u32,
}

impl EverythingImports for State {
    fn log(&mut self, text: String) {
        self.log.push(text);
    }
}

impl local::Host for State {
    fn add(&mut self, a: u32, b: u32) -> u32 {
        a + b
    }
}

impl kinds::Host for State {
    fn all(
        &mut self,
        person: Person,
        shape: Shape,
        color: Color,
        may: Permissions,
        points: kinds::Points,
        pair: kinds::Pair,
    ) -> (
        Person,
        Shape,
        Color,
        Permissions,
        kinds::Points,
        kinds::Pair,
    ) {
        (person, shape, color, may, points, pair)
    }

    fn r#try(&mut self, fail: bool) -> Result<u32, Error> {
        match fail {
            true => Err(Error::Other("failed".to_owned())),
            false => Ok(7),
        }
    }

    fn nothing(&mut self) {
        self.nothings += 1;
    }

    fn borrowed(&mut self, a: String, b: Vec<String>, c: Option<String>, store: u32) -> u32 {
        self.log.push(format!("{a} {b:?} {c:?}"));
        store
    }
}

/// A core module that passes all on to its imports.
const GUEST: &str = r#"(module
  (import "test:bindgen/kinds@1.2.0" "all" (func $all (param
    i32 i32 i32 i32 f32 f32 i32 i64 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "test:bindgen/kinds@1.2.0" "try" (func $try (param i32 i32)))
  (import "test:bindgen/kinds@1.2.0" "nothing" (func $nothing))
  (import "test:bindgen/kinds@1.2.0" "borrowed" (func $borrowed (param
    i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "local" "add" (func $add (param i32 i32) (result i32)))
  (import "$root" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "five")
  (global $next (mut i32) (i32.const 4096))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get 3))))
  (func (export "test:bindgen/kinds@1.2.0#all") (param
    i32 i32 i32 i32 f32 f32 i32 i64 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    (call $all (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5)
      (local.get 6) (local.get 7) (local.get 8) (local.get 9) (local.get 10) (local.get 11)
      (local.get 12) (local.get 13) (local.get 14) (local.get 15) (i32.const 64))
    (i32.const 64))
  (func (export "test:bindgen/kinds@1.2.0#try") (param i32) (result i32)
    (call $try (local.get 0) (i32.const 64))
    (i32.const 64))
  (func (export "test:bindgen/kinds@1.2.0#nothing") (call $nothing))
  (func (export "test:bindgen/kinds@1.2.0#borrowed") (param
    i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    (call $borrowed (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4)
      (local.get 5) (local.get 6) (local.get 7)))
  (func (export "run") (param f32 f32) (result i32)
    (if (i32.eq (call $add (i32.const 2) (i32.const 3)) (i32.const 5))
      (then (call $log (i32.const 8) (i32.const 4))))
    (f32.store (i32.const 64) (local.get 1))
    (f32.store (i32.const 68) (local.get 0))
    (i32.const 64)))"#;

/// The guest as a component.
pub(crate) fn guest() -> Vec<u8> {
    common::component_of_world("tests/wit", "everything", GUEST)
}

fn everything() -> (Store<State>, Everything) {
    let workshop = Workshop::new();
    let artifact = workshop.compile(&guest()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let mut linker = Linker::new(workshop.engine());
    Everything::add_to_linker(&mut linker, |state: &mut State| state).unwrap();
    let mut store = Store::new(workshop.engine(), State::default());
    let instance = Everything::instantiate(&mut store, &component, &linker).unwrap();
    (store, instance)
}

#[test]
fn all_kinds_of_types_pass() {
    use exports::test::bindgen::kinds as exported;

    let (mut store, everything) = everything();
    let guest = everything.test_bindgen_kinds();
    let person = exported::Person {
        name: "Ada".to_owned(),
        age: Some(36),
        at: exported::Point { x: 1.5, y: -1.5 },
    };
    let shapes = [
        exported::Shape::Nothing,
        exported::Shape::Circle(2.5),
        exported::Shape::Named("größe".to_owned()),
        exported::Shape::Self_(exported::Point { x: 0.5, y: 8.0 }),
    ];
    for shape in shapes {
        let may = exported::Permissions::READ | exported::Permissions::RUN_IT;
        let color = exported::Color::DarkGreen;
        let points = vec![person.at, person.at];
        let pair = (9, "nine".to_owned());
        let found = guest
            .call_all(&mut store, &person, &shape, color, may, &points, &pair)
            .unwrap();
        assert_eq!(found, (person.clone(), shape, color, may, points, pair));
    }
}

#[test]
fn errors_are_results() {
    let (mut store, everything) = everything();
    let guest = everything.test_bindgen_kinds();
    assert_eq!(guest.call_try(&mut store, false).unwrap(), Ok(7));
    let error = guest.call_try(&mut store, true).unwrap().unwrap_err();
    assert_eq!(error, Error::Other("failed".to_owned()));
    let error: Box<dyn std::error::Error> = error.into();
    assert!(error.to_string().contains("failed"));
}

#[test]
fn parameters_are_borrowed() {
    let (mut store, everything) = everything();
    let guest = everything.test_bindgen_kinds();
    let list = ["b".to_owned()];
    let found = guest
        .call_borrowed(&mut store, "a", &list, Some("c"), 5)
        .unwrap();
    assert_eq!(found, 5);
    assert_eq!(store.data().log, [r#"a ["b"] Some("c")"#]);
    guest.call_nothing(&mut store).unwrap();
    assert_eq!(store.data().nothings, 1);
}

#[test]
fn worlds_have_functions_and_types_of_their_own() {
    let (mut store, everything) = everything();
    let mine = Mine {
        at: Point { x: 1.0, y: 2.0 },
    };
    let found = everything.call_run(&mut store, mine).unwrap();
    assert_eq!(found.at, Point { x: 2.0, y: 1.0 });
    assert_eq!(store.data().log, ["five"]);
}

#[test]
fn a_component_of_another_world_is_refused() {
    let workshop = Workshop::new();
    let artifact = workshop.compile(b"(component)").unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let mut linker = Linker::new(workshop.engine());
    Everything::add_to_linker(&mut linker, |state: &mut State| state).unwrap();
    let mut store = Store::new(workshop.engine(), State::default());
    let error = Everything::instantiate(&mut store, &component, &linker).unwrap_err();
    assert!(error.to_string().contains("`run`"), "{error}");
}

/// The same world with the options that change what is generated.
mod options {
    use super::*;

    #[allow(
        unreachable_pub,
        reason = "it is in the signature of a generated trait"
    )]
    pub struct Failed(pub Option<u32>);

    cwasm::bindgen!({
        path: "tests/wit",
        world: "everything",
        with: {
            "test:shared/common": crate::items::test::shared::common,
            "test:bindgen/kinds/point": crate::items::test::bindgen::kinds::Point,
        },
        trappable_imports: ["log", "test:bindgen/kinds#nothing"],
        trappable_error_type: { "test:shared/common/error" => crate::items::options::Failed },
    });

    use self::test::bindgen::kinds as own;

    struct Failing;

    impl EverythingImports for Failing {
        fn log(&mut self, text: String) -> cwasm::Result<()> {
            Err(cwasm::Error::msg(text))
        }
    }

    impl local::Host for Failing {
        fn add(&mut self, a: u32, b: u32) -> u32 {
            a + b
        }
    }

    impl own::Host for Failing {
        fn all(
            &mut self,
            person: own::Person,
            shape: own::Shape,
            color: own::Color,
            may: own::Permissions,
            points: Vec<Point>,
            pair: own::Pair,
        ) -> (
            own::Person,
            own::Shape,
            own::Color,
            own::Permissions,
            Vec<Point>,
            own::Pair,
        ) {
            (person, shape, color, may, points, pair)
        }

        fn r#try(&mut self, fail: bool) -> Result<u32, Failed> {
            Err(Failed(fail.then_some(5)))
        }

        fn convert_error(&mut self, error: Failed) -> cwasm::Result<Error> {
            match error {
                Failed(Some(_)) => Ok(Error::Denied),
                Failed(None) => Err(cwasm::Error::msg("fatal")),
            }
        }

        fn nothing(&mut self) -> cwasm::Result<()> {
            Err(cwasm::Error::new(std::fmt::Error))
        }

        fn borrowed(&mut self, _: String, _: Vec<String>, _: Option<String>, store: u32) -> u32 {
            store
        }
    }

    #[test]
    fn hosts_fail_as_they_said() {
        let workshop = Workshop::new();
        let artifact = workshop.compile(&guest()).unwrap();
        let component = workshop.map_component(&artifact).unwrap();
        let mut linker = Linker::new(workshop.engine());
        Everything::add_to_linker(&mut linker, |host: &mut Failing| host).unwrap();
        let everything = |store: &mut Store<Failing>| {
            Everything::instantiate(store, &component, &linker).unwrap()
        };
        let store = &mut Store::new(workshop.engine(), Failing);
        let guest = everything(store);
        let kinds = guest.test_bindgen_kinds();
        assert_eq!(
            kinds.call_try(&mut *store, true).unwrap(),
            Err(Error::Denied)
        );
        let error = kinds.call_try(&mut *store, false).unwrap_err();
        assert!(format!("{error:?}").contains("fatal"));
        let error = everything(store)
            .test_bindgen_kinds()
            .call_nothing(&mut *store);
        assert!(error.unwrap_err().is::<std::fmt::Error>());
        let mine = Mine {
            at: Point { x: 0.0, y: 0.0 },
        };
        let error = everything(store).call_run(&mut *store, mine).unwrap_err();
        assert!(format!("{error:?}").contains("five"));
    }
}

mod arrays {
    use std::collections::HashMap;

    use super::*;

    cwasm::bindgen!({
        inline: "
            package test:arrays;
            world arrays {
                record corner { at: list<u32, 2>, names: map<u8, string> }
                export turn: func(v: list<u32, 2>) -> list<u32, 2>;
                export count: func(m: map<u8, u32>, c: corner) -> u32;
            }
        ",
    });

    #[test]
    fn arrays_and_maps() {
        let workshop = Workshop::new();
        let wat = r#"(component
            (type $corner' (record (field "at" (list u32 2)) (field "names" (map u8 string))))
            (export $corner "corner" (type $corner'))
            (core module $m
              (memory (export "memory") 1)
              (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
              (func (export "turn") (param i32 i32) (result i32)
                (i32.store (i32.const 16) (local.get 1))
                (i32.store (i32.const 20) (local.get 0))
                (i32.const 16))
              ;; The numbers of pairs, and the second of the array.
              (func (export "count") (param i32 i32 i32 i32 i32 i32) (result i32)
                (i32.add (local.get 1) (i32.add (local.get 3) (local.get 5)))))
            (core instance $i (instantiate $m))
            (func (export "turn") (param "v" (list u32 2)) (result (list u32 2))
              (canon lift (core func $i "turn") (memory (core memory $i "memory"))))
            (func (export "count") (param "m" (map u8 u32)) (param "c" $corner) (result u32)
              (canon lift (core func $i "count") (memory (core memory $i "memory"))
                (realloc (core func $i "realloc")))))"#;
        let artifact = workshop.compile(wat.as_bytes()).unwrap();
        let component = workshop.map_component(&artifact).unwrap();
        let linker = Linker::<()>::new(workshop.engine());
        let mut store = Store::new(workshop.engine(), ());
        let arrays = Arrays::instantiate(&mut store, &component, &linker).unwrap();
        assert_eq!(arrays.call_turn(&mut store, [1, 2]).unwrap(), [2, 1]);
        let map = HashMap::from([(1, 2), (3, 4), (5, 6)]);
        let corner = Corner {
            at: [10, 100],
            names: HashMap::from([(7, "seven".to_owned())]),
        };
        let count = arrays.call_count(&mut store, &map, &corner).unwrap();
        assert_eq!(count, 3 + 1 + 100);
    }
}
