//! Resources as payloads of the host's streams.

use cwasm::{
    Instance, Linker, Resource, ResourceAny, ResourceType, Store, StoreContextMut, StreamReader,
    StreamWriter, TrapCode, block_on,
};
use cwasm_tests::artifact::Workshop;

use crate::streams::both;

/// `sum(s)` reads things of the host, one at a time: the sum of their numbers. `pass` returns its
/// stream. `make(n)` returns a stream of one thing of the guest, `number` is the thing's.
const GUEST: &str = r#"(component
  (import "thing" (type $thing (sub resource)))
  (import "other" (type $other (sub resource)))
  (import "number-of" (func $number-of (param "t" (borrow $thing)) (result u32)))
  (core module $libc (memory (export "mem") 1))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "mem" (core memory $mem))
  (type $own-thing (own $thing))
  (type $things (stream $own-thing))
  (type $mine (resource (rep i32)))
  (export $own "own" (type $mine))
  (type $own-mine (own $own))
  (type $mines (stream $own-mine))
  (core module $m
    (import "" "number-of" (func $number-of (param i32) (result i32)))
    (import "" "drop-thing" (func $drop-thing (param i32)))
    (import "" "return" (func $return (param i32)))
    (import "" "return-things" (func $return-things (param i32)))
    (import "" "return-mines" (func $return-mines (param i32)))
    (import "" "read" (func $read (param i32 i32 i32) (result i32)))
    (import "" "drop-readable" (func $drop-readable (param i32)))
    (import "" "new" (func $new (result i64)))
    (import "" "write" (func $write (param i32 i32 i32) (result i32)))
    (import "" "drop-writable" (func $drop-writable (param i32)))
    (import "" "new-mine" (func $new-mine (param i32) (result i32)))
    (import "" "mem" (memory 1))
    (import "" "set.new" (func $set.new (result i32)))
    (import "" "join" (func $join (param i32 i32)))
    (global $sum (mut i32) (i32.const 0))
    (func $wait (param $handle i32) (result i32) (local $set i32)
      (local.set $set (call $set.new))
      (call $join (local.get $handle) (local.get $set))
      (i32.or (i32.const 2) (i32.shl (local.get $set) (i32.const 4))))
    (func $was-read (param $handle i32) (param $result i32) (result i32)
      (loop $again
        (if (i32.eq (local.get $result) (i32.const -1))
          (then (return (call $wait (local.get $handle)))))
        (if (i32.shr_u (local.get $result) (i32.const 4)) (then
          (global.set $sum
            (i32.add (global.get $sum) (call $number-of (i32.load (i32.const 0)))))
          (call $drop-thing (i32.load (i32.const 0)))))
        (if (i32.eqz (i32.and (local.get $result) (i32.const 1))) (then
          (local.set $result (call $read (local.get $handle) (i32.const 0) (i32.const 1)))
          (br $again))))
      (call $join (local.get $handle) (i32.const 0))
      (call $drop-readable (local.get $handle))
      (call $return (global.get $sum))
      (i32.const 0))
    (func (export "sum") (param $handle i32) (result i32)
      (call $was-read (local.get $handle)
        (call $read (local.get $handle) (i32.const 0) (i32.const 1))))
    (func (export "sum-cb") (param i32 i32 i32) (result i32)
      (call $was-read (local.get 1) (local.get 2)))
    (func (export "pass") (param i32) (result i32)
      (call $return-things (local.get 0)) (i32.const 0))
    (func (export "make") (param $n i32) (result i32) (local $ends i64)
      (local.set $ends (call $new))
      (call $return-mines (i32.wrap_i64 (local.get $ends)))
      (i32.store (i32.const 16) (call $new-mine (local.get $n)))
      (local.set $n (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
      (if (i32.ne (call $write (local.get $n) (i32.const 16) (i32.const 1)) (i32.const -1))
        (then unreachable))
      (call $wait (local.get $n)))
    (func (export "make-cb") (param i32 i32 i32) (result i32)
      (call $join (local.get 1) (i32.const 0))
      (call $drop-writable (local.get 1))
      (i32.const 0))
    (func (export "number") (param i32) (result i32) (local.get 0))
    (func (export "no-cb") (param i32 i32 i32) (result i32) unreachable))
  (core func $number-of (canon lower (func $number-of)))
  (core func $drop-thing (canon resource.drop $thing))
  (core func $new-mine (canon resource.new $mine))
  (canon task.return (result u32) (core func $return))
  (canon task.return (result $things) (core func $return-things))
  (canon task.return (result $mines) (core func $return-mines))
  (canon stream.read $things async (memory $mem) (core func $read))
  (canon stream.drop-readable $things (core func $drop-readable))
  (canon stream.new $mines (core func $new))
  (canon stream.write $mines async (memory $mem) (core func $write))
  (canon stream.drop-writable $mines (core func $drop-writable))
  (canon waitable-set.new (core func $set.new))
  (canon waitable.join (core func $join))
  (core instance $i (instantiate $m (with "" (instance
    (export "mem" (memory $mem))
    (export "number-of" (func $number-of)) (export "drop-thing" (func $drop-thing))
    (export "return" (func $return)) (export "return-things" (func $return-things))
    (export "return-mines" (func $return-mines))
    (export "read" (func $read)) (export "drop-readable" (func $drop-readable))
    (export "new" (func $new)) (export "write" (func $write))
    (export "drop-writable" (func $drop-writable)) (export "new-mine" (func $new-mine))
    (export "set.new" (func $set.new)) (export "join" (func $join))))))
  (func (export "sum") async (param "s" $things) (result u32)
    (canon lift (core func $i "sum") async (callback (core func $i "sum-cb"))))
  (func (export "pass") async (param "s" $things) (result $things)
    (canon lift (core func $i "pass") async (callback (core func $i "no-cb"))))
  (func (export "make") async (param "n" u32) (result $mines)
    (canon lift (core func $i "make") async (callback (core func $i "make-cb"))))
  (func (export "number") (param "o" (borrow $own)) (result u32)
    (canon lift (core func $i "number"))))"#;

struct Thing;
struct Other;

/// A store, whose data are the numbers of the things that are dropped.
fn guest() -> (Store<Vec<u32>>, Instance) {
    let workshop = Workshop::new();
    let artifact = workshop.compile(GUEST.as_bytes()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let mut linker = Linker::<Vec<u32>>::new(workshop.engine());
    let mut root = linker.root();
    let drop = |mut store: StoreContextMut<'_, Vec<u32>>, rep| {
        store.data_mut().push(rep);
        Ok(())
    };
    root.resource("thing", ResourceType::host::<Thing>(), drop)
        .unwrap();
    root.resource("other", ResourceType::host::<Other>(), |_, _| Ok(()))
        .unwrap();
    root.func_wrap("number-of", |_, (thing,): (Resource<Thing>,)| {
        Ok((thing.rep(),))
    })
    .unwrap();
    let mut store = Store::new(workshop.engine(), Vec::new());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    (store, instance)
}

#[test]
fn a_guest_reads_resources_of_the_host() {
    let (mut store, instance) = guest();
    let sum = instance
        .get_typed_func::<(StreamReader<Resource<Thing>>,), (u32,)>(&mut store, "sum")
        .unwrap();
    let run = store.run_concurrent(async |accessor| {
        let (writer, reader) = accessor.with(|store| StreamWriter::pair(store));
        let things = [10, 20, 30].map(Resource::<Thing>::new_own);
        let called = sum.call_concurrent(accessor, (reader,));
        both(called, writer.write_last(accessor, things.into())).await
    });
    let (found, left) = block_on(run).unwrap();
    assert_eq!((found.unwrap().0, left.unwrap().len()), (60, 0));
    assert_eq!(*store.data(), [10, 20, 30]);
}

#[test]
fn resources_that_nobody_reads_are_the_hosts_again() {
    let (mut store, instance) = guest();
    type Things = StreamReader<ResourceAny>;
    let pass = instance
        .get_typed_func::<(Things,), (Things,)>(&mut store, "pass")
        .unwrap();
    let mut any = |rep| {
        let thing = Resource::<Thing>::new_own(rep);
        thing.try_into_resource_any(&mut store).unwrap()
    };
    let things = vec![any(1), any(2)];
    let run = store.run_concurrent(async |accessor| {
        let (mut writer, reader) = accessor.with(|store| StreamWriter::pair(store));
        let (reader,) = pass.call_concurrent(accessor, (reader,)).await?;
        let (left, found) = both(
            writer.write_all(accessor, things),
            reader.read_last(accessor, 1),
        )
        .await;
        accessor.with(|mut store| {
            writer.close(&mut store)?;
            let all = left?.into_iter().chain(found?);
            let number = |thing: ResourceAny| thing.try_into_resource::<Thing>(&mut store);
            let things = all.map(number).collect::<cwasm::Result<Vec<_>>>()?;
            Ok::<_, cwasm::Error>(things.iter().map(Resource::rep).collect::<Vec<_>>())
        })
    });
    assert_eq!(block_on(run).unwrap().unwrap(), [2, 1]);
}

#[test]
fn the_host_reads_resources_of_a_guest() {
    let (mut store, instance) = guest();
    let make = instance
        .get_typed_func::<(u32,), (StreamReader<ResourceAny>,)>(&mut store, "make")
        .unwrap();
    let number = instance
        .get_typed_func::<(ResourceAny,), (u32,)>(&mut store, "number")
        .unwrap();
    let run = store.run_concurrent(async |accessor| {
        let (reader,) = make.call_concurrent(accessor, (42,)).await?;
        reader.collect(accessor).await
    });
    let things = block_on(run).unwrap().unwrap();
    assert_eq!(things.len(), 1);
    let (found,) = number.call(&mut store, (things[0],)).unwrap();
    assert_eq!(found, 42);
    things[0].resource_drop(&mut store).unwrap();
}

#[test]
fn resources_of_another_type_are_refused() {
    let (mut store, instance) = guest();
    let error = instance
        .get_typed_func::<(StreamReader<Resource<Other>>,), (u32,)>(&mut store, "sum")
        .unwrap_err();
    assert!(format!("{error:?}").contains("handle 1 of 1"), "{error:?}");

    // A stream of a type that is known when the host runs: what passes is looked at.
    let make = instance
        .get_typed_func::<(u32,), (StreamReader<ResourceAny>,)>(&mut store, "make")
        .unwrap();
    let run = store.run_concurrent(async |accessor| {
        let (reader,) = make.call_concurrent(accessor, (42,)).await?;
        let any = cwasm::StreamAny::from(reader);
        let mut reader = accessor.with(|store| any.try_into_stream::<Resource<Thing>>(store))?;
        reader.read(accessor, 1).await
    });
    let error = block_on(run).unwrap().unwrap_err();
    assert!(
        format!("{error:?}").contains("payloads of another type"),
        "{error:?}"
    );
    assert_ne!(
        error.trap().map(|trap| trap.code()),
        Some(TrapCode::HostError)
    );
}
