//! Every type through `bindgen!` and the dynamic API: a guest passes what its export is called with
//! to the import of the same name, and gives what that gives. Export and import are each called
//! with generated types and dynamically; `typed.rs` has the same for types declared by hand.

use std::fmt::{Debug, Write as _};
use std::path::Path;

use crate::common;
use cwasm::{Instance, Linker, Resource, ResourceAny, ResourceType, Store, Val};
use cwasm_tests::artifact::Workshop;
use wit_parser::Resolve;
use wit_parser::abi::{AbiVariant, WasmType};

cwasm::bindgen!({ path: "tests/wit", world: "echoes" });

use exports::test::bindgen::echo as out;
use test::bindgen::echo;
use test::bindgen::things::{self, Thing};

const ECHO: &str = "test:bindgen/echo@1.2.0";

/// The functions of the interface `echo`, with the core types that they take and give as imports
/// and as exports.
fn functions() -> Vec<(String, [String; 2], usize, bool)> {
    let mut resolve = Resolve::default();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wit");
    let (package, _) = resolve.push_path(path).unwrap();
    let interface = resolve.packages[package].interfaces["echo"];
    let signature = |variant, func| {
        let signature = resolve.wasm_signature(variant, func);
        let names = |types: &[WasmType]| {
            let names = types.iter().map(|ty| match ty {
                WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
                WasmType::I64 | WasmType::PointerOrI64 => "i64",
                WasmType::F32 => "f32",
                WasmType::F64 => "f64",
            });
            names.collect::<Vec<_>>().join(" ")
        };
        let (params, results) = (names(&signature.params), names(&signature.results));
        let text = format!("(param {params}) (result {results})");
        (text, signature.params.len(), signature.retptr)
    };
    let funcs = resolve.interfaces[interface].functions.values();
    let funcs = funcs.map(|func| {
        let (import, _, is_stored) = signature(AbiVariant::GuestImport, func);
        let (export, count, _) = signature(AbiVariant::GuestExport, func);
        (func.name.clone(), [import, export], count, is_stored)
    });
    funcs.collect()
}

/// The guest: a component.
fn guest() -> Vec<u8> {
    let mut imports = String::new();
    let mut exports = String::from(
        r#"(memory (export "memory") 4)
        (global $next (mut i32) (i32.const 4096))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
          (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
          (global.get $next)
          (global.set $next (i32.add (global.get $next) (local.get 3))))"#,
    );
    for (name, [import, export], count, is_stored) in functions() {
        writeln!(
            imports,
            r#"(import "{ECHO}" "{name}" (func ${name} {import}))"#
        )
        .unwrap();
        let args: String = (0..count).map(|i| format!("(local.get {i})")).collect();
        // Where the import writes its result is what the export returns.
        let place = if is_stored { "(i32.const 64)" } else { "" };
        let body = format!("(call ${name} {args} {place}) {place}");
        writeln!(
            exports,
            r#"(func (export "{ECHO}#{name}") {export} {body})"#
        )
        .unwrap();
    }
    common::component_of_world(
        "tests/wit",
        "echoes",
        &format!("(module {imports} {exports})"),
    )
}

/// The host; what its dynamic functions were called with last.
#[derive(Default)]
struct State {
    seen: Option<Val>,
}

impl things::HostThing for State {
    fn drop(&mut self, _: Resource<Thing>) -> cwasm::Result<()> {
        Ok(())
    }
}

impl things::Host for State {}

/// The guest with one kind of host functions.
struct Side {
    store: Store<State>,
    instance: Instance,
    guest: out::Guest,
}

impl Side {
    fn new(define: fn(&mut Linker<State>) -> cwasm::Result<()>) -> Side {
        let workshop = Workshop::new();
        let artifact = workshop.compile(&guest()).unwrap();
        let component = workshop.map_component(&artifact).unwrap();
        let mut linker = Linker::new(workshop.engine());
        define(&mut linker).unwrap();
        let mut store = Store::new(workshop.engine(), State::default());
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let guest = out::Guest::new(&mut store, &instance).unwrap();
        Side {
            store,
            instance,
            guest,
        }
    }

    fn generated() -> Side {
        Side::new(|linker| Echoes::add_to_linker(linker, |state: &mut State| state))
    }

    fn dynamic() -> Side {
        Side::new(|linker| {
            let ty = ResourceType::host::<Thing>();
            let mut things = linker.instance("test:bindgen/things@1.2.0")?;
            things.resource("thing", ty, |_, _| Ok(()))?;
            let mut echo = linker.instance(ECHO)?;
            for (name, ..) in functions() {
                echo.func_new(&name, |mut store, _, params, results| {
                    results.clone_from_slice(params);
                    store.data_mut().seen = Some(params[0].clone());
                    Ok(())
                })?;
            }
            Ok(())
        })
    }

    /// Calls an export dynamically.
    fn call(&mut self, name: &str, val: &Val) -> Val {
        let func = self
            .instance
            .get_func(&mut self.store, format!("{ECHO}#{name}"));
        let mut results = [Val::Bool(false)];
        let params = std::slice::from_ref(val);
        let called = func.unwrap().call(&mut self.store, params, &mut results);
        called.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let [result] = results;
        result
    }
}

/// Sends a value all four ways.
fn check<T: Debug>(
    [generated, dynamic]: &mut [Side; 2],
    name: &str,
    value: &T,
    call: impl Fn(&mut Side) -> cwasm::Result<T>,
) {
    let text = format!("{value:?}");
    for side in [&mut *generated, &mut *dynamic] {
        let found = call(side).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(format!("{found:?}"), text, "{name}");
    }
    let val = dynamic.store.data_mut().seen.take().unwrap();
    for side in [&mut *generated, &mut *dynamic] {
        assert_eq!(side.call(name, &val), val, "{name}");
    }
    assert_eq!(dynamic.store.data_mut().seen.take(), Some(val), "{name}");
}

/// The host's functions and a test of each.
macro_rules! echoes {
    ($($name:ident $call:ident ($ty:ty) [$($value:expr),*] $v:ident => $arg:expr;)*) => {
        impl echo::Host for State {
            $(fn $name(&mut self, v: $ty) -> $ty {
                v
            })*

            fn things(&mut self, v: Resource<Thing>) -> Resource<Thing> {
                v
            }

            fn holds(&mut self, v: echo::Held) -> echo::Held {
                v
            }
        }

        #[test]
        fn values_come_back() {
            let sides = &mut [Side::generated(), Side::dynamic()];
            let mut names = vec!["things", "holds"];
            $(
                for value in [$($value),*] {
                    check(sides, stringify!($name), &value, |side| {
                        let $v = &value;
                        side.guest.$call(&mut side.store, $arg)
                    });
                }
                names.push(stringify!($name));
            )*
            let mut all: Vec<_> = functions().into_iter().map(|(name, ..)| name).collect();
            all.sort();
            names.sort_unstable();
            assert_eq!(names, all, "each function is checked");
        }
    };
}

fn person(name: &str, pairs: usize, next: Option<&str>) -> out::Person {
    out::Person {
        name: name.to_owned(),
        pairs: vec![pair(); pairs],
        next: next.map(str::to_owned),
    }
}

fn pair() -> out::Pair {
    out::Pair {
        left: 255,
        right: i64::MIN,
    }
}

fn shapes() -> Vec<out::Shape> {
    vec![
        out::Shape::Nothing,
        out::Shape::Circle(-0.5),
        out::Shape::Named("größe".to_owned()),
        out::Shape::Both(pair()),
        out::Shape::Far((u64::MAX, 1.5)),
    ]
}

/// Gives another macro the functions: name, method that calls the export, type of the import,
/// values, and how a value is an argument.
macro_rules! each_function {
    ($then:ident) => {
        $then! {
            bools call_bools (bool) [false, true] v => *v;
            u8s call_u8s (u8) [0, u8::MAX] v => *v;
            s8s call_s8s (i8) [i8::MIN, -1, i8::MAX] v => *v;
            u16s call_u16s (u16) [0, u16::MAX] v => *v;
            s16s call_s16s (i16) [i16::MIN, -1, i16::MAX] v => *v;
            u32s call_u32s (u32) [0, u32::MAX] v => *v;
            s32s call_s32s (i32) [i32::MIN, -1, i32::MAX] v => *v;
            u64s call_u64s (u64) [0, u64::MAX] v => *v;
            s64s call_s64s (i64) [i64::MIN, -1, i64::MAX] v => *v;
            f32s call_f32s (f32) [-0.0, 1.5, f32::INFINITY] v => *v;
            f64s call_f64s (f64) [-0.0, 1e300, f64::NEG_INFINITY] v => *v;
            chars call_chars (char) ['\0', 'ß', char::MAX] v => *v;
            strings call_strings (String) [String::new(), "größe €".to_owned()] v => v;
            bytes call_bytes (Vec<u8>) [vec![], vec![0, 255]] v => v;
            doubles call_doubles (Vec<f64>) [vec![], vec![-0.0, 1e-300]] v => v;
            texts call_texts (Vec<String>) [vec![], vec!["a".to_owned(), String::new()]] v => v;
            lists call_lists (Vec<Vec<u16>>) [vec![], vec![vec![], vec![1, 65535]]] v => v;
            options call_options (Option<u64>) [None, Some(u64::MAX)] v => *v;
            nested call_nested (Option<Option<String>>)
                [None, Some(None), Some(Some("x".to_owned()))]
                v => v.as_ref().map(Option::as_deref);
            results call_results (Result<u8, String>) [Ok(7), Err("no".to_owned())]
                v => v.as_ref().map(|v| *v).map_err(String::as_str);
            halves call_halves (Result<(), f64>) [Ok(()), Err(0.25)] v => *v;
            empty call_empty (Result<(), ()>) [Ok(()), Err(())] v => *v;
            tuples call_tuples ((u8, u64, char)) [(1, u64::MAX, 'ß')] v => *v;
            pairs call_pairs (echo::Pair) [pair()] v => *v;
            people call_people (echo::Person)
                [person("", 0, None), person("Ada", 2, Some("Mary"))] v => v;
            crowd call_crowd (Vec<echo::Person>)
                [vec![], vec![person("a", 1, None), person("b", 0, None)]] v => v;
            shapes call_shapes (echo::Shape)
                [shapes().remove(0), shapes().remove(1), shapes().remove(2), shapes().remove(3),
                    shapes().remove(4)] v => v;
            figures call_figures (Vec<echo::Shape>) [vec![], shapes()] v => v;
            colors call_colors (echo::Color)
                [out::Color::Red, out::Color::DarkGreen, out::Color::Blue] v => *v;
            fews call_fews (echo::Few) [out::Few::empty(), out::Few::A | out::Few::C] v => *v;
            manys call_manys (echo::Many) [out::Many::empty(), out::Many::A | out::Many::R] v => *v;
            spilled call_spilled ((echo::Person, echo::Person, echo::Person))
                [(person("a", 0, None), person("b", 1, Some("")), person("c", 3, None))]
                v => (&v.0, &v.1, &v.2);
        }
    };
}

each_function!(echoes);

#[test]
fn resources_come_back() {
    for mut side in [Side::generated(), Side::dynamic()] {
        let Side { store, guest, .. } = &mut side;
        let thing = guest
            .call_things(&mut *store, Resource::new_own(5))
            .unwrap();
        assert_eq!((thing.rep(), thing.owned()), (5, true));
        let held = out::Held {
            number: 9,
            thing,
            more: vec![Resource::new_own(6), Resource::new_own(7)],
        };
        let found = guest.call_holds(&mut *store, &held).unwrap();
        let reps: Vec<_> = found.more.iter().map(Resource::rep).collect();
        assert_eq!((found.number, found.thing.rep(), reps), (9, 5, vec![6, 7]));

        let any = |side: &mut Side, rep| {
            let thing = Resource::<Thing>::new_own(rep);
            thing.try_into_resource_any(&mut side.store).unwrap()
        };
        let rep = |side: &mut Side, any: ResourceAny| {
            let thing = Resource::<Thing>::try_from_resource_any(any, &mut side.store);
            thing.unwrap().rep()
        };
        let thing = any(&mut side, 8);
        let Val::Resource(found) = side.call("things", &Val::Resource(thing)) else {
            panic!("a resource is one")
        };
        assert_eq!(rep(&mut side, found), 8);
        assert!(thing.ty(&side.store).is_err(), "it was given away");
        let more = [1, 2].map(|rep| Val::Resource(any(&mut side, rep)));
        let fields = [
            ("number", Val::U8(4)),
            ("thing", Val::Resource(any(&mut side, 3))),
            ("more", Val::List(more.into())),
        ];
        let fields = fields.map(|(name, val)| (name.to_owned(), val));
        let Val::Record(found) = side.call("holds", &Val::Record(fields.into())) else {
            panic!("a record is one")
        };
        assert_eq!(found[0], ("number".to_owned(), Val::U8(4)));
        let Val::Resource(thing) = found[1].1 else {
            panic!("a resource is one")
        };
        assert_eq!(rep(&mut side, thing), 3);
        let Val::List(more) = &found[2].1 else {
            panic!("a list is one")
        };
        assert_eq!(more.len(), 2);
        for (expected, val) in [1, 2].into_iter().zip(more) {
            let Val::Resource(thing) = val else {
                panic!("a resource is one")
            };
            assert_eq!(rep(&mut side, *thing), expected);
        }
    }
}

/// The same with functions that wait, on both sides.
mod waiting {
    use super::*;
    use crate::polls::{After, drive, sent};

    cwasm::bindgen!({
        path: "tests/wit",
        world: "echoes",
        imports: { "test:bindgen/echo": async, "test:bindgen/things.[drop]thing": sync },
        exports: { default: async },
        with: {
            "test:bindgen/things/thing": crate::matrix::things::Thing,
            "test:bindgen/echo/pair": crate::matrix::out::Pair,
            "test:bindgen/echo/person": crate::matrix::out::Person,
            "test:bindgen/echo/shape": crate::matrix::out::Shape,
            "test:bindgen/echo/color": crate::matrix::out::Color,
            "test:bindgen/echo/few": crate::matrix::out::Few,
            "test:bindgen/echo/many": crate::matrix::out::Many,
            "test:bindgen/echo/held": crate::matrix::out::Held,
        },
    });

    use self::exports::test::bindgen::echo as out;
    use self::test::bindgen::{echo, things};

    struct Waits;

    impl things::HostThing for Waits {
        fn drop(&mut self, _: Resource<Thing>) -> cwasm::Result<()> {
            Ok(())
        }
    }

    impl things::Host for Waits {}

    fn echoes() -> (Store<Waits>, out::Guest) {
        let workshop = Workshop::new();
        let artifact = workshop.compile(&guest()).unwrap();
        let component = workshop.map_component(&artifact).unwrap();
        let mut linker = Linker::new(workshop.engine());
        Echoes::add_to_linker(&mut linker, |waits: &mut Waits| waits).unwrap();
        let mut store = Store::new(workshop.engine(), Waits);
        let echoes = drive(Echoes::instantiate_async(&mut store, &component, &linker));
        let guest = echoes.0.unwrap().test_bindgen_echo().clone();
        (store, guest)
    }

    macro_rules! waits {
        ($($name:ident $call:ident ($ty:ty) [$($value:expr),*] $v:ident => $arg:expr;)*) => {
            impl echo::Host for Waits {
                $(async fn $name(&mut self, v: $ty) -> $ty {
                    After(1).await;
                    v
                })*

                async fn things(&mut self, v: Resource<Thing>) -> Resource<Thing> {
                    After(2).await;
                    v
                }

                async fn holds(&mut self, v: echo::Held) -> echo::Held {
                    After(v.more.len() as u32).await;
                    v
                }
            }

            #[test]
            fn values_come_back() {
                let (mut store, guest) = echoes();
                $(
                    for value in [$($value),*] {
                        let $v = &value;
                        let (found, pending) = drive(sent(guest.$call(&mut store, $arg)));
                        let name = stringify!($name);
                        assert_eq!(format!("{:?}", found.unwrap()), format!("{value:?}"), "{name}");
                        assert_eq!(pending, 1, "{name}");
                    }
                )*
            }
        };
    }

    each_function!(waits);

    #[test]
    fn resources_come_back() {
        let (mut store, guest) = echoes();
        let call = guest.call_things(&mut store, Resource::new_own(5));
        let (thing, pending) = drive(sent(call));
        let thing = thing.unwrap();
        assert_eq!((thing.rep(), thing.owned(), pending), (5, true, 2));
        let held = out::Held {
            number: 9,
            thing,
            more: [6, 7, 8].map(Resource::new_own).into(),
        };
        let (found, pending) = drive(sent(guest.call_holds(&mut store, &held)));
        let found = found.unwrap();
        let reps: Vec<_> = found.more.iter().map(Resource::rep).collect();
        assert_eq!(
            (found.number, found.thing.rep(), reps),
            (9, 5, vec![6, 7, 8])
        );
        assert_eq!(pending, 3);
    }
}
