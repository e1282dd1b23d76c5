//! Exceptions of tasks: those that frames of waiting tasks refer to are kept, and none of them
//! passes from one task to another.

use cwasm::{StoreLimits, TrapCode};

use crate::{Bench, Func, NEVER, all, drive, poll_times};

/// `hold(n)` catches an exception, waits, catches many others, and then returns the values of the
/// first one. `throws(n)` waits, and throws.
const GUEST: &str = r#"(component
  (import "wait" (func $wait async (param "n" u32) (result u32)))
  (core module $m
    (import "" "wait" (func $wait (param i32) (result i32)))
    (import "" "return" (func $return (param i32)))
    (tag $e (param i32))
    (func $caught (param i32) (result exnref)
      (block $h (result exnref)
        (try_table (catch_all_ref $h) (throw $e (local.get 0)))
        unreachable))
    (func $thrown (param exnref) (result i32)
      (block $h (result i32)
        (try_table (catch $e $h) (throw_ref (local.get 0)))
        unreachable))
    (func $churn (local $n i32)
      (local.set $n (i32.const 4000))
      (loop $l
        (drop (call $caught (i32.const -1)))
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
    ;; In frames of its own.
    (func $deep (param $depth i32) (param $n i32) (result i32) (local $x exnref)
      (if (i32.eqz (local.get $depth))
        (then
          (drop (call $wait (local.get $n)))
          (call $churn)
          (return (i32.const 0))))
      (local.set $x (call $caught (local.get $n)))
      (call $deep (i32.sub (local.get $depth) (i32.const 1)) (local.get $n))
      (i32.add (call $thrown (local.get $x))))
    (func (export "hold") (param $n i32) (local $x exnref)
      (call $return (call $deep (i32.const 10) (local.get $n))))
    (func (export "throws") (param $n i32)
      (block $h
        (try_table (catch_all $h)
          (drop (call $wait (local.get $n))) (call $fails (local.get $n)))
        unreachable)
      (throw $e (i32.const 1)))
    (func $fails (param i32) (throw $e (local.get 0))))
  (core func $wait (canon lower (func $wait)))
  (canon task.return (result u32) (core func $return))
  (core instance $i (instantiate $m (with "" (instance
    (export "wait" (func $wait)) (export "return" (func $return))))))
  (func (export "hold") async (param "n" u32) (result u32)
    (canon lift (core func $i "hold") async))
  (func (export "throws") async (param "n" u32) (result u32)
    (canon lift (core func $i "throws") async)))"#;

#[test]
fn what_waiting_tasks_refer_to_is_kept() {
    let bench = Bench::of(GUEST);
    let (mut store, instance) = bench.instance();
    let mut limits = StoreLimits::new();
    limits.exception_size(1 << 20);
    store.set_limits(limits);
    let hold: Func = instance.get_typed_func(&mut store, "hold").unwrap();
    let run = store.run_concurrent(async |accessor| {
        let calls = (1..40).map(|n| hold.call_concurrent(accessor, (n,)));
        all(calls).await
    });
    let answers = drive(run).0.unwrap();
    for (n, answer) in (1..).zip(answers) {
        assert_eq!(answer.unwrap(), (10 * n,));
    }
    // On the thread's own stack, nothing of the fibers before is taken for one.
    let run = store.run_concurrent(async |accessor| hold.call_concurrent(accessor, (3,)).await);
    assert_eq!(drive(run).0.unwrap().unwrap(), (30,));
}

#[test]
fn an_exception_of_a_task_is_its_callers_trap() {
    let bench = Bench::of(GUEST);
    let (mut store, func) = bench.func("throws");
    let run = store.run_concurrent(async |accessor| func.call_concurrent(accessor, (2,)).await);
    let Err(error) = drive(run).0.and_then(|result| result) else {
        panic!("nothing catches it")
    };
    let trap = error.trap().unwrap();
    assert_eq!(trap.code(), TrapCode::UncaughtException);
    assert_eq!(trap.tag().unwrap().tag_index, 0);
}

#[test]
fn stacks_of_calls_that_were_dropped_are_not_looked_at() {
    let bench = Bench::of(GUEST);
    let (mut store, func) = bench.func("hold");
    for is_forgotten in [false, true, false] {
        for polls in [1, 3] {
            let mut call = Box::pin(func.call_async(&mut store, (NEVER,)));
            poll_times(call.as_mut(), polls);
            if is_forgotten {
                std::mem::forget(call);
            }
        }
        // Looks for exceptions at the stacks that are left, with its own beside them.
        let (result, _) = drive(func.call_async(&mut store, (2,)));
        assert_eq!(result.unwrap(), (20,));
    }
}
