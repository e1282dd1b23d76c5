//! Every kind of handle through `bindgen!` and the dynamic API, as `handle_matrix.rs` does with
//! types that are declared by hand: the host's resource to a guest and on to the host and back, and
//! a guest's.

use std::fmt::Write as _;

use crate::common;
use crate::common::handles::{
    BARE, LIBRARY, LIST, LIST_OF_EACH, Layout, OPTION, RECORD, map, numbered, sum, with_resources,
};
use cwasm::{Instance, Linker, Resource, ResourceAny, ResourceType, Store, Val};
use cwasm_tests::artifact::Workshop;

cwasm::bindgen!({ path: "tests/handle_matrix.wit" });

use exports::test::matrix::{echoes, pots};
use test::matrix::things::{self, Held, Lent, Thing};

const SHAPES: [(&str, Layout); 4] = [
    ("", BARE),
    ("-option", OPTION),
    ("-list", LIST),
    ("-record", RECORD),
];

/// The guest: a component.
fn guest() -> Vec<u8> {
    let mut imports = String::from(
        r#"(import "test:matrix/things" "[resource-drop]thing" (func $drop (param i32)))
        (import "[export]test:matrix/pots" "[resource-new]pot"
          (func $new (param i32) (result i32)))"#,
    );
    let mut funcs = String::from(
        r#"(global $sum (mut i32) (i32.const 0))
        (func $add (param i32)
          (global.set $sum (i32.add (global.get $sum) (local.get 0))))
        (func (export "test:matrix/pots#[constructor]pot") (param i32) (result i32)
          (call $new (local.get 0)))
        (func (export "test:matrix/pots#[method]pot.number") (param i32) (result i32)
          (local.get 0))"#,
    );
    let of = |text: &str, each: &str| {
        let text = text.replace("$list", &format!("{each}-list"));
        text.replace("$each", each)
    };
    for each in ["$drop", "$add"] {
        funcs += &of(LIST_OF_EACH, each);
    }
    for (shape, layout) in SHAPES {
        let (params, locals, same) = (layout.params(), layout.locals(), layout.same());
        let (give, import) = layout.passed_on(&format!("$give{shape}"));
        let (drop, add) = (of(layout.each, "$drop"), of(layout.each, "$add"));
        write!(
            imports,
            r#"(import "test:matrix/things" "give{shape}" (func $give{shape} {import}))
            (import "test:matrix/things" "lend{shape}"
              (func $lend{shape} {params} (result i32)))"#
        )
        .unwrap();
        write!(
            funcs,
            r#"(func (export "test:matrix/echoes#give{shape}") {params} (result i32) {give})
            (func (export "test:matrix/echoes#lend{shape}") {params} (result i32)
              (call $lend{shape} {locals}) {drop})
            (func (export "test:matrix/pots#give{shape}") {params} (result i32) {same})
            (func (export "test:matrix/pots#lend{shape}") {params} (result i32)
              (global.set $sum (i32.const 0)) {add} (global.get $sum))"#
        )
        .unwrap();
    }
    let library = LIBRARY.replace("\"realloc\"", "\"cabi_realloc\"");
    let module = format!("(module {imports} {library} {funcs})");
    common::component_of_world("tests/handle_matrix.wit", "matrix", &module)
}

/// The resources that the host's functions got last, as numbers.
#[derive(Default)]
struct State(Vec<u32>);

impl State {
    fn see<'a>(
        &mut self,
        things: impl IntoIterator<Item = &'a Resource<Thing>>,
        is_owned: bool,
    ) -> u32 {
        let things = things.into_iter();
        let reps = things.inspect(|thing| assert_eq!(thing.owned(), is_owned));
        self.0 = reps.map(Resource::rep).collect();
        self.0.iter().sum()
    }
}

impl things::HostThing for State {
    fn drop(&mut self, _: Resource<Thing>) -> cwasm::Result<()> {
        Ok(())
    }
}

impl things::Host for State {
    fn give(&mut self, v: Resource<Thing>) -> Resource<Thing> {
        self.see([&v], true);
        v
    }

    fn give_option(&mut self, v: Option<Resource<Thing>>) -> Option<Resource<Thing>> {
        self.see(&v, true);
        v
    }

    fn give_list(&mut self, v: Vec<Resource<Thing>>) -> Vec<Resource<Thing>> {
        self.see(&v, true);
        v
    }

    fn give_record(&mut self, v: Held) -> Held {
        assert_eq!(v.number, 7);
        self.see([&v.first].into_iter().chain(&v.rest).chain(&v.maybe), true);
        v
    }

    fn lend(&mut self, v: Resource<Thing>) -> u32 {
        self.see([&v], false)
    }

    fn lend_option(&mut self, v: Option<Resource<Thing>>) -> u32 {
        self.see(&v, false)
    }

    fn lend_list(&mut self, v: Vec<Resource<Thing>>) -> u32 {
        self.see(&v, false)
    }

    fn lend_record(&mut self, v: Lent) -> u32 {
        assert_eq!(v.number, 7);
        self.see([&v.first].into_iter().chain(&v.rest).chain(&v.maybe), false)
    }
}

/// Functions of the host for whatever types.
fn define_dynamic(linker: &mut Linker<State>) -> cwasm::Result<()> {
    let mut things = linker.instance("test:matrix/things")?;
    things.resource("thing", ResourceType::host::<Thing>(), |_, _| Ok(()))?;
    for (shape, _) in SHAPES {
        things.func_new(&format!("give{shape}"), |mut store, _, params, results| {
            let seen = numbered(&params[0], &mut |any| {
                assert!(any.owned());
                rep(any, &mut store)
            });
            results[0] = with_resources(&seen, &mut |number| any(number, &mut store));
            store.data_mut().0 = flat(&seen);
            Ok(())
        })?;
        things.func_new(&format!("lend{shape}"), |mut store, _, params, results| {
            let seen = numbered(&params[0], &mut |any| {
                assert!(!any.owned());
                rep(any, &mut store)
            });
            results[0] = Val::U32(sum(&seen));
            store.data_mut().0 = flat(&seen);
            Ok(())
        })?;
    }
    Ok(())
}

fn any(rep: u32, store: impl cwasm::AsContextMut) -> ResourceAny {
    let thing = Resource::<Thing>::new_own(rep);
    thing.try_into_resource_any(store).unwrap()
}

fn rep(any: ResourceAny, store: impl cwasm::AsContextMut) -> u32 {
    let thing = Resource::<Thing>::try_from_resource_any(any, store);
    thing.unwrap().rep()
}

/// The numbers in a value, in order.
fn flat(val: &Val) -> Vec<u32> {
    let mut numbers = Vec::new();
    map(val, &mut |leaf| {
        if let Val::U32(number) = leaf {
            numbers.push(*number);
        }
        leaf.clone()
    });
    numbers
}

fn list(numbers: &[u32]) -> Val {
    Val::List(numbers.iter().map(|number| Val::U32(*number)).collect())
}

fn option(number: Option<u32>) -> Val {
    Val::Option(number.map(|number| Box::new(Val::U32(number))))
}

fn record(first: u32, rest: &[u32], maybe: Option<u32>) -> Val {
    let fields = [
        ("number", Val::U8(7)),
        ("first", Val::U32(first)),
        ("rest", list(rest)),
        ("maybe", option(maybe)),
    ];
    Val::Record(fields.map(|(name, val)| (name.to_owned(), val)).into())
}

/// The values of a shape, with numbers in place of resources.
fn values(shape: &str) -> Vec<Val> {
    match shape {
        "" => vec![Val::U32(5)],
        "-option" => vec![option(Some(5)), option(None)],
        "-list" => vec![list(&[1, 2, 4]), list(&[])],
        _ => vec![record(1, &[2, 4], None), record(1, &[], Some(8))],
    }
}

/// A function that calls what is generated for one of the interfaces: with a value of numbers, of
/// which `$own` and `$borrow` make handles; of handles in the result `$number` makes numbers.
macro_rules! generated {
    (fn $name:ident($guest:ty, $($interface:ident)::+) $own:expr, $borrow:expr, $number:expr) => {
        fn $name(
            store: &mut Store<State>,
            guest: &$guest,
            func: &str,
            plain: &Val,
        ) -> cwasm::Result<Val> {
            let handle = if func.starts_with("give") { $own } else { $borrow };
            let mut handles: Vec<_> = flat(plain)
                .into_iter()
                .map(|number| handle(store, guest, number))
                .collect();
            // A record has a list or an option of more than one.
            let is_list = matches!(plain, Val::Record(fields) if fields[3].1 == Val::Option(None));
            let mut rest = Vec::new();
            if func.ends_with("-record") && is_list {
                rest = handles.split_off(1);
            }
            let mut one = handles.into_iter();
            Ok(match func {
                "give" => {
                    let found = guest.call_give(&mut *store, one.next().unwrap())?;
                    Val::U32($number(store, guest, &found))
                }
                "give-option" => {
                    let found = guest.call_give_option(&mut *store, one.next())?;
                    option(found.map(|found| $number(store, guest, &found)))
                }
                "give-list" => {
                    let found = guest.call_give_list(&mut *store, one.as_slice())?;
                    let found = found.iter().map(|found| $number(store, guest, found));
                    list(&found.collect::<Vec<_>>())
                }
                "give-record" => {
                    let held = $($interface)::+::Held {
                        number: 7,
                        first: one.next().unwrap(),
                        rest,
                        maybe: one.next(),
                    };
                    let found = guest.call_give_record(&mut *store, &held)?;
                    assert_eq!(found.number, 7);
                    let first = $number(store, guest, &found.first);
                    let rest = found.rest.iter().map(|found| $number(store, guest, found));
                    let rest: Vec<_> = rest.collect();
                    let maybe = found.maybe.map(|found| $number(store, guest, &found));
                    record(first, &rest, maybe)
                }
                "lend" => Val::U32(guest.call_lend(&mut *store, one.next().unwrap())?),
                "lend-option" => Val::U32(guest.call_lend_option(&mut *store, one.next())?),
                "lend-list" => Val::U32(guest.call_lend_list(&mut *store, one.as_slice())?),
                "lend-record" => {
                    let lent = $($interface)::+::Lent {
                        number: 7,
                        first: one.next().unwrap(),
                        rest,
                        maybe: one.next(),
                    };
                    Val::U32(guest.call_lend_record(&mut *store, &lent)?)
                }
                _ => panic!("{func}"),
            })
        }
    };
}

generated! {
    fn call_echoes(echoes::Guest, things)
    |_: &mut Store<State>, _: &echoes::Guest, number| Resource::<Thing>::new_own(number),
    |_: &mut Store<State>, _: &echoes::Guest, number| Resource::<Thing>::new_borrow(number),
    |_: &mut Store<State>, _: &echoes::Guest, thing: &Resource<Thing>| thing.rep()
}

generated! {
    fn call_pots(pots::Guest, pots) new_pot, new_pot, pot_number
}

fn new_pot(store: &mut Store<State>, guest: &pots::Guest, number: u32) -> ResourceAny {
    guest.pot().call_constructor(store, number).unwrap()
}

fn pot_number(store: &mut Store<State>, guest: &pots::Guest, pot: &ResourceAny) -> u32 {
    guest.pot().call_number(store, *pot).unwrap()
}

/// Calls an export dynamically.
fn call(instance: &Instance, store: &mut Store<State>, name: &str, param: &Val) -> Val {
    let func = instance.get_func(&mut *store, name).unwrap();
    let mut results = [Val::Bool(false)];
    func.call(&mut *store, std::slice::from_ref(param), &mut results)
        .unwrap_or_else(|error| panic!("{name} {param:?}: {error:?}"));
    let [result] = results;
    result
}

/// The result of a function for a value, with numbers in place of resources.
fn result(func: &str, plain: &Val) -> Val {
    match func.starts_with("give") {
        true => plain.clone(),
        false => Val::U32(sum(plain)),
    }
}

#[test]
fn handles_come_back() {
    let workshop = Workshop::new();
    let artifact = workshop.compile(&guest()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let generated: fn(&mut Linker<State>) -> cwasm::Result<()> =
        |linker| Matrix::add_to_linker(linker, |state: &mut State| state);
    let mut calls = 0;
    for define in [generated, define_dynamic] {
        let mut linker = Linker::new(workshop.engine());
        define(&mut linker).unwrap();
        let store = &mut Store::new(workshop.engine(), State::default());
        let instance = linker.instantiate(&mut *store, &component).unwrap();
        let matrix = Matrix::new(&mut *store, &instance).unwrap();
        let (echoes, pots) = (matrix.test_matrix_echoes(), matrix.test_matrix_pots());
        let funcs = SHAPES.iter().flat_map(|(shape, _)| {
            ["give", "lend"].map(|func| (format!("{func}{shape}"), values(shape)))
        });
        let cases = funcs
            .flat_map(|(func, values)| values.into_iter().map(move |plain| (func.clone(), plain)));
        for (func, plain) in cases {
            let expected = result(&func, &plain);
            let seen = |store: &mut Store<State>| {
                let seen = std::mem::replace(&mut store.data_mut().0, vec![u32::MAX]);
                assert_eq!(seen, flat(&plain), "{func}");
            };
            let found = call_echoes(store, echoes, &func, &plain).unwrap();
            assert_eq!(found, expected, "{func}");
            seen(store);
            let param = with_resources(&plain, &mut |number| any(number, &mut *store));
            let found = call(
                &instance,
                store,
                &format!("test:matrix/echoes#{func}"),
                &param,
            );
            let found = numbered(&found, &mut |any| rep(any, &mut *store));
            assert_eq!(found, expected, "{func}");
            seen(store);

            let found = call_pots(store, pots, &func, &plain).unwrap();
            assert_eq!(found, expected, "{func}");
            let param = with_resources(&plain, &mut |number| new_pot(store, pots, number));
            let found = call(
                &instance,
                store,
                &format!("test:matrix/pots#{func}"),
                &param,
            );
            let found = numbered(&found, &mut |any| pot_number(store, pots, &any));
            assert_eq!(found, expected, "{func}");
            calls += 4;
        }
    }
    assert_eq!(calls, 2 * 4 * 14);
}
