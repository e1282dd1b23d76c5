//! Calls of functions that are not async, of an instance whose tasks wait: while such a call waits
//! for its turn, others of the instance may go on, but not all.

use crate::{Bench, drive};

/// `hold` is the only one of its instance that runs until it is over, and yields in between;
/// `shut` keeps others from starting, `open` lets them, and yields as `plain` does. All note
/// their number, and after they have yielded the next one.
const GUEST: &str = r#"(component
  (import "wait" (func $wait async (param "n" u32) (result u32)))
  (import "note" (func $note (param "n" u32)))
  (canon lower (func $note) (core func $note))
  (canon thread.yield (core func $yield))
  (canon backpressure.inc (core func $inc))
  (canon backpressure.dec (core func $dec))
  (canon task.return (result u32) (core func $return))
  (core module $m
    (import "" "note" (func $note (param i32)))
    (import "" "yield" (func $yield (result i32)))
    (import "" "inc" (func $inc))
    (import "" "dec" (func $dec))
    (import "" "return" (func $return (param i32)))
    (func $twice (export "twice") (param $n i32) (result i32)
      (call $note (local.get $n))
      (drop (call $yield))
      (call $note (i32.add (local.get $n) (i32.const 1)))
      (local.get $n))
    (func (export "open") (param $n i32) (result i32)
      (call $dec)
      (call $twice (local.get $n)))
    (func (export "shut") (param $n i32) (result i32)
      (call $inc)
      (call $note (local.get $n))
      (local.get $n))
    (func (export "enter") (param $n i32) (result i32)
      (call $note (local.get $n))
      (call $return (local.get $n))
      (i32.const 0))
    (func (export "enter-cb") (param i32 i32 i32) (result i32) unreachable))
  (core instance $i (instantiate $m (with "" (instance
    (export "note" (func $note)) (export "yield" (func $yield)) (export "inc" (func $inc))
    (export "dec" (func $dec)) (export "return" (func $return))))))
  (func (export "hold") async (param "n" u32) (result u32)
    (canon lift (core func $i "twice")))
  (func (export "enter") async (param "n" u32) (result u32)
    (canon lift (core func $i "enter") async (callback (core func $i "enter-cb"))))
  (func (export "plain") (param "n" u32) (result u32) (canon lift (core func $i "twice")))
  (func (export "open") (param "n" u32) (result u32) (canon lift (core func $i "open")))
  (func (export "shut") (param "n" u32) (result u32) (canon lift (core func $i "shut"))))"#;

/// What functions of the guest note that are called with 10, 20 and so on, one after the other.
fn notes<const N: usize>(names: [&str; N]) -> Vec<u32> {
    let (mut store, funcs) = Bench::of(GUEST).funcs(names);
    let (results, _) = drive(store.run_concurrent(async |accessor| {
        let calls = (1..).zip(&funcs);
        crate::all(calls.map(|(place, func)| func.call_concurrent(accessor, (10 * place,)))).await
    }));
    for (place, result) in (1..).zip(results.unwrap()) {
        assert_eq!(result.unwrap(), (10 * place,));
    }
    store.data().notes.clone()
}

#[test]
fn a_task_that_has_its_instance_alone_does_not_go_on_in_a_plain_call() {
    assert_eq!(notes(["hold", "plain"]), [10, 20, 21, 11]);
}

#[test]
fn a_task_that_may_start_does_not_in_a_plain_call() {
    assert_eq!(notes(["shut", "enter", "open"]), [10, 30, 31, 20]);
}
