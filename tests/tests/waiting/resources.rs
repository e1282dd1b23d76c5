//! Destructors that wait, and handles that are lent meanwhile.

use cwasm::{Engine, Linker, Resource, ResourceAny, ResourceType, Store, StoreContextMut};
use cwasm_tests::artifact::Workshop;

use crate::{After, drive, poll_times};

/// `swap` drops the thing that it has, and makes another; `use` lends it. The guest's own resource
/// calls the host when it is dropped.
const GUEST: &str = r#"(component
  (import "thing" (type $R (sub resource)))
  (import "make" (func $make (result (own $R))))
  (import "use" (func $use (param "r" (borrow $R)) (result u32)))
  (core func $make (canon lower (func $make)))
  (core func $use (canon lower (func $use)))
  (core func $drop (canon resource.drop $R))
  (core module $d (import "" "make" (func $make (result i32))) (import "" "drop" (func $drop (param i32)))
    (func (export "dtor") (param i32) (call $drop (call $make))))
  (core instance $d (instantiate $d (with "" (instance (export "make" (func $make)) (export "drop" (func $drop))))))
  (type $own' (resource (rep i32) (dtor (core func $d "dtor"))))
  (core func $new (canon resource.new $own'))
  (core module $m
    (import "" "make" (func $make (result i32)))
    (import "" "use" (func $use (param i32) (result i32)))
    (import "" "drop" (func $drop (param i32)))
    (import "" "new" (func $new (param i32) (result i32)))
    (global $has (mut i32) (i32.const 0))
    (func (export "swap")
      (if (global.get $has) (then (call $drop (global.get $has))))
      (global.set $has (call $make)))
    (func (export "use") (result i32) (call $use (global.get $has)))
    (func (export "guests") (result i32) (call $new (i32.const 5))))
  (core instance $i (instantiate $m (with "" (instance
    (export "make" (func $make)) (export "use" (func $use)) (export "drop" (func $drop)) (export "new" (func $new))))))
  (export $own "own" (type $own'))
  (func (export "swap") (canon lift (core func $i "swap")))
  (func (export "use") (result u32) (canon lift (core func $i "use")))
  (func (export "guests") (result (own $own)) (canon lift (core func $i "guests"))))"#;

struct Thing;

#[derive(Default)]
struct Host {
    made: u32,
    dropped: Vec<u32>,
}

fn linker(engine: &Engine) -> Linker<Host> {
    let mut linker = Linker::<Host>::new(engine);
    let mut root = linker.root();
    root.resource_async("thing", ResourceType::host::<Thing>(), |mut store, rep| {
        Box::new(async move {
            After(2).await;
            store.data_mut().dropped.push(rep);
            Ok(())
        })
    })
    .unwrap();
    root.func_wrap("make", |mut store: StoreContextMut<'_, Host>, (): ()| {
        store.data_mut().made += 1;
        Ok((Resource::<Thing>::new_own(store.data().made),))
    })
    .unwrap();
    root.func_wrap_async(
        "use",
        |_: StoreContextMut<'_, Host>, (thing,): (Resource<Thing>,)| {
            Box::new(async move {
                After(3).await;
                Ok((thing.rep(),))
            })
        },
    )
    .unwrap();
    linker
}

#[test]
fn destructors_wait() {
    let workshop = Workshop::new();
    let component = workshop
        .map_component(&workshop.compile(GUEST.as_bytes()).unwrap())
        .unwrap();
    let linker = linker(workshop.engine());
    let mut store = Store::new(workshop.engine(), Host::default());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let swap = instance
        .get_typed_func::<(), ()>(&mut store, "swap")
        .unwrap();
    let lend = instance
        .get_typed_func::<(), (u32,)>(&mut store, "use")
        .unwrap();
    for round in 0..4 {
        let (result, pending) = drive(swap.call_async(&mut store, ()));
        result.unwrap();
        assert_eq!(pending, if round == 0 { 0 } else { 2 });
        let (result, pending) = drive(lend.call_async(&mut store, ()));
        assert_eq!((result.unwrap(), pending), ((round + 1,), 3));
    }
    assert_eq!(store.data().dropped, [1, 2, 3]);
    // A guest's destructor, whose host function waits.
    let guests = instance
        .get_typed_func::<(), (ResourceAny,)>(&mut store, "guests")
        .unwrap();
    let (thing,) = drive(guests.call_async(&mut store, ())).0.unwrap();
    let (result, pending) = drive(thing.resource_drop_async(&mut store));
    result.unwrap();
    assert_eq!((pending, store.data().dropped.last()), (2, Some(&5)));
    let (thing,) = drive(guests.call_async(&mut store, ())).0.unwrap();
    let mut call = Box::pin(thing.resource_drop_async(&mut store));
    poll_times(&mut call, 1);
    drop(call);
    assert_eq!(store.data().dropped.len(), 4);
    assert!(drive(swap.call_async(&mut store, ())).0.is_err());
}

#[test]
fn the_host_drops_what_waits() {
    let workshop = Workshop::new();
    let component = workshop
        .map_component(&workshop.compile(GUEST.as_bytes()).unwrap())
        .unwrap();
    let mut linker = linker(workshop.engine());
    linker.allow_shadowing(true);
    let take = |mut store: StoreContextMut<'_, Host>, (thing,): (ResourceAny,)| {
        store.data_mut().made += 10;
        Ok((u32::from(thing.owned()),))
    };
    linker.root().func_wrap("use", take).unwrap();
    let text = r#"(component
      (import "thing" (type $R (sub resource)))
      (import "make" (func $make (result (own $R))))
      (core func $make (canon lower (func $make)))
      (core module $m (import "" "make" (func $make (result i32)))
        (func (export "get") (result i32) (call $make)))
      (core instance $i (instantiate $m (with "" (instance (export "make" (func $make))))))
      (func (export "get") (result (own $R)) (canon lift (core func $i "get"))))"#;
    let _ = component;
    let component = workshop
        .map_component(&workshop.compile(text.as_bytes()).unwrap())
        .unwrap();
    let mut store = Store::new(workshop.engine(), Host::default());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let get = instance
        .get_typed_func::<(), (ResourceAny,)>(&mut store, "get")
        .unwrap();
    let (thing,) = drive(get.call_async(&mut store, ())).0.unwrap();
    let (result, pending) = drive(thing.resource_drop_async(&mut store));
    result.unwrap();
    assert_eq!((pending, &store.data().dropped[..]), (2, &[1][..]));
    // Without waiting it cannot be.
    let (thing,) = drive(get.call_async(&mut store, ())).0.unwrap();
    let error = thing.resource_drop(&mut store).unwrap_err();
    assert!(error.to_string().contains("call_async"), "{error}");
    assert_eq!(store.data().dropped, [1]);
}
