//! Resources that a guest lends to a function of the host that waits.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use cwasm::{Linker, Resource, ResourceType, Store, TrapCode, Val};
use cwasm_tests::artifact::Workshop;

use crate::{After, Live, component, drive, poll_times};

/// `run(n)` makes a resource, lends it to `look`, which looks at it for n polls, and does then what
/// the body says that is put here.
const BEFORE: &str = r#"(component
  (import "r" (type $R (sub resource)))
  (import "make" (func $make (result (own $R))))
  (import "look" (func $look async (param "r" (borrow $R)) (param "n" u32)))
  (core module $libc (memory (export "mem") 1))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "mem" (core memory $mem))
  (core module $m
    (import "" "make" (func $make (result i32)))
    (import "" "look" (func $look (param i32 i32) (result i32)))
    (import "" "look-sync" (func $look-sync (param i32 i32)))
    (import "" "drop" (func $drop (param i32)))
    (import "" "return" (func $return (param i32)))
    (import "" "set.new" (func $set.new (result i32)))
    (import "" "set.wait" (func $set.wait (param i32 i32) (result i32)))
    (import "" "join" (func $join (param i32 i32)))
    (import "" "subtask.drop" (func $subtask.drop (param i32)))
    (import "" "subtask.cancel" (func $subtask.cancel (param i32) (result i32)))
    (func $await (param $subtask i32) (local $set i32)
      (local.set $set (call $set.new))
      (call $join (local.get $subtask) (local.get $set))
      (drop (call $set.wait (local.get $set) (i32.const 0))))
    (func $start (param $r i32) (param $n i32) (result i32)
      (i32.shr_u (call $look (local.get $r) (local.get $n)) (i32.const 4)))
    (func (export "run") (param $n i32) (local $r i32) (local $subtask i32)
      (local.set $r (call $make))
"#;

const AFTER: &str = r#"
      (call $return (i32.const 1))))
  (canon lower (func $make) (core func $make))
  (canon lower (func $look) async (memory $mem) (core func $look))
  (canon lower (func $look) (core func $look-sync))
  (canon resource.drop $R (core func $drop))
  (canon task.return (result u32) (core func $return))
  (canon waitable-set.new (core func $set.new))
  (canon waitable-set.wait (memory $mem) (core func $set.wait))
  (canon waitable.join (core func $join))
  (canon subtask.drop (core func $subtask.drop))
  (canon subtask.cancel (core func $subtask.cancel))
  (core instance $i (instantiate $m (with "" (instance
    (export "make" (func $make)) (export "look" (func $look))
    (export "look-sync" (func $look-sync)) (export "drop" (func $drop))
    (export "return" (func $return)) (export "set.new" (func $set.new))
    (export "set.wait" (func $set.wait)) (export "join" (func $join))
    (export "subtask.drop" (func $subtask.drop))
    (export "subtask.cancel" (func $subtask.cancel))))))
  (func (export "run") async (param "n" u32) (result u32)
    (canon lift (core func $i "run") async)))"#;

struct R;

/// The store of a guest with this body, and how many of its resources were dropped.
fn guest(body: &str) -> (Workshop, Store<crate::Host>, crate::Func, Arc<AtomicU32>) {
    let workshop = Workshop::new();
    let mut linker = Linker::<crate::Host>::new(workshop.engine());
    let dropped = Arc::new(AtomicU32::new(0));
    let theirs = Arc::clone(&dropped);
    let mut root = linker.root();
    root.resource("r", ResourceType::host::<R>(), move |_, rep| {
        assert_eq!(rep, 7);
        theirs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    })
    .unwrap();
    root.func_wrap("make", |_, (): ()| Ok((Resource::<R>::new_own(7),)))
        .unwrap();
    root.func_wrap_concurrent("look", |accessor, (r, n): (Resource<R>, u32)| {
        let live = Live::new(accessor);
        Box::pin(async move {
            let _live = live;
            for _ in 0..n {
                After(1).await;
                assert_eq!((r.rep(), r.owned()), (7, false));
            }
            Ok(())
        })
    })
    .unwrap();
    let component = component(&workshop, &format!("{BEFORE}{body}{AFTER}"));
    let mut store = Store::new(workshop.engine(), crate::Host::default());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let run = instance.get_typed_func(&mut store, "run").unwrap();
    (workshop, store, run, dropped)
}

#[test]
fn what_is_lent_cannot_be_dropped_before_it_is_given_back() {
    const START: &str = "(local.set $subtask (call $start (local.get $r) (local.get $n)))";
    let cases = [
        // While the host looks at it.
        (
            "(call $drop (local.get $r))",
            Err(TrapCode::ResourceBorrowed),
            0,
        ),
        // After that.
        (
            "(call $await (local.get $subtask)) (call $drop (local.get $r))",
            Ok((1,)),
            1,
        ),
        // Or after the host was told not to look any more.
        (
            "(drop (call $subtask.cancel (local.get $subtask))) (call $drop (local.get $r))",
            Ok((1,)),
            1,
        ),
        // It is the guest's as long as it likes.
        ("", Ok((1,)), 0),
    ];
    for (body, expected, drops) in cases {
        let (_workshop, mut store, run, dropped) = guest(&format!("{START} {body}"));
        let result = drive(run.call_async(&mut store, (3,))).0;
        let result = result.map_err(|error| error.trap().expect("a trap").code());
        assert_eq!(result, expected, "{body}");
        assert_eq!(dropped.load(Ordering::Relaxed), drops, "{body}");
        let live = Arc::clone(&store.data().live);
        drop(store);
        assert_eq!(live.load(Ordering::Relaxed), 0, "{body}");
    }
}

#[test]
fn what_is_lent_is_given_back_when_the_call_is_over() {
    for n in [0, 3] {
        let body = "(call $look-sync (local.get $r) (local.get $n))
            (call $look-sync (local.get $r) (local.get $n))
            (call $drop (local.get $r))";
        let (_workshop, mut store, run, dropped) = guest(body);
        let (result, pending) = drive(run.call_async(&mut store, (n,)));
        assert_eq!((result.unwrap(), pending), ((1,), 2 * n));
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn what_is_lent_when_the_store_is_dropped() {
    let body = "(call $look-sync (local.get $r) (local.get $n)) (call $drop (local.get $r))";
    let (_workshop, mut store, run, dropped) = guest(body);
    let live = Arc::clone(&store.data().live);
    let mut call = Box::pin(run.call_async(&mut store, (10,)));
    poll_times(call.as_mut(), 3);
    drop(call);
    assert_eq!(live.load(Ordering::Relaxed), 1);
    drop(store);
    // Nobody has dropped the resource: as with any that guests have when a store is dropped.
    assert_eq!(
        (
            live.load(Ordering::Relaxed),
            dropped.load(Ordering::Relaxed)
        ),
        (0, 0)
    );
}

#[test]
fn what_was_lent_to_a_call_that_is_cancelled_is_no_longer_the_hosts() {
    let workshop = Workshop::new();
    let mut linker = Linker::<crate::Host>::new(workshop.engine());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let theirs = Arc::clone(&seen);
    let mut root = linker.root();
    root.resource("r", ResourceType::host::<R>(), |_, _| Ok(()))
        .unwrap();
    root.func_wrap("make", |_, (): ()| Ok((Resource::<R>::new_own(7),)))
        .unwrap();
    root.func_new_concurrent("look", move |accessor, _, args, _| {
        let [Val::Resource(lent), _] = args else {
            panic!("expected a resource, and a number");
        };
        assert!(accessor.with(|store| lent.ty(store)).is_ok());
        theirs.lock().unwrap().push(*lent);
        Box::pin(std::future::pending())
    })
    .unwrap();
    let body = "(local.set $subtask (call $start (local.get $r) (local.get $n)))
        (drop (call $subtask.cancel (local.get $subtask)))
        (call $drop (local.get $r))";
    let component = component(&workshop, &format!("{BEFORE}{body}{AFTER}"));
    let mut store = Store::new(workshop.engine(), crate::Host::default());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let run = instance
        .get_typed_func::<(u32,), (u32,)>(&mut store, "run")
        .unwrap();
    assert_eq!(drive(run.call_async(&mut store, (3,))).0.unwrap(), (1,));
    let [lent] = seen.lock().unwrap()[..] else {
        panic!("one call");
    };
    assert!(lent.ty(&store).is_err());
}
