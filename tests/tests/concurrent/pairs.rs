//! Two components in one, of which one calls the other: traps, cancellations and ends of either
//! while the other waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cwasm::{Config, Linker, Store, TrapCode, TypedFunc};
use cwasm_tests::artifact::Workshop;

use crate::{After, Host, NEVER, component, drive, live, wait};

/// `run(n, callee, caller)` calls `f(n, callee)` of the other component, which waits for the host's
/// `wait(n)`, and returns its result. What `f` does when it is cancelled, and what `run` does while
/// `f` waits, are the numbers of [`Callee`] and [`Caller`].
const GUEST: &str = r#"(component
  (import "wait" (func $wait async (param "n" u32) (result u32)))
  (component $Callee
    (import "wait" (func $wait async (param "n" u32) (result u32)))
    (core module $libc (memory (export "mem") 1))
    (core instance $libc (instantiate $libc))
    (alias core export $libc "mem" (core memory $mem))
    (core module $m
      (import "" "mem" (memory 1))
      (import "" "wait" (func $wait (param i32 i32) (result i32)))
      (import "" "return" (func $return (param i32)))
      (import "" "task.cancel" (func $task.cancel))
      (import "" "set.new" (func $set.new (result i32)))
      (import "" "join" (func $join (param i32 i32)))
      (import "" "subtask.drop" (func $subtask.drop (param i32)))
      (import "" "subtask.cancel" (func $subtask.cancel (param i32) (result i32)))
      (import "" "context.get" (func $context.get (result i32)))
      (import "" "context.set" (func $context.set (param i32)))
      (global $next (mut i32) (i32.const 1024))
      ;; At the place of a task: the result of `wait`, what to do, and the subtask.
      (func (export "f") (param $n i32) (param $what i32) (result i32)
        (local $at i32) (local $state i32) (local $set i32)
        (local.set $at (global.get $next))
        (global.set $next (i32.add (local.get $at) (i32.const 12)))
        (call $context.set (local.get $at))
        (i32.store offset=4 (local.get $at) (local.get $what))
        (local.set $state (call $wait (local.get $n) (local.get $at)))
        (if (i32.eq (local.get $state) (i32.const 2)) (then
          (call $return (i32.load (local.get $at)))
          (return (i32.const 0))))
        (i32.store offset=8 (local.get $at) (i32.shr_u (local.get $state) (i32.const 4)))
        (local.set $set (call $set.new))
        (call $join (i32.load offset=8 (local.get $at)) (local.get $set))
        (i32.or (i32.const 2) (i32.shl (local.get $set) (i32.const 4))))
      (func (export "f-cb") (param $code i32) (param i32 i32) (result i32) (local $at i32)
        (local $what i32)
        (local.set $at (call $context.get))
        (local.set $what (i32.load offset=4 (local.get $at)))
        (if (i32.eq (local.get $what) (i32.const 3)) (then unreachable))
        (if (i32.eq (local.get $code) (i32.const 6)) (then
          (if (i32.eq (local.get $what) (i32.const 2)) (then unreachable))
          (if (i32.eq (local.get $what) (i32.const 1)) (then
            (call $return (i32.const 99))
            (return (i32.const 0))))
          (call $join (i32.load offset=8 (local.get $at)) (i32.const 0))
          (drop (call $subtask.cancel (i32.load offset=8 (local.get $at))))
          (call $subtask.drop (i32.load offset=8 (local.get $at)))
          (call $task.cancel)
          (return (i32.const 0))))
        (call $subtask.drop (i32.load offset=8 (local.get $at)))
        (call $return (i32.load (local.get $at)))
        (i32.const 0)))
    (canon lower (func $wait) async (memory $mem) (core func $wait))
    (canon task.return (result u32) (core func $return))
    (canon task.cancel (core func $task.cancel))
    (canon waitable-set.new (core func $set.new))
    (canon waitable.join (core func $join))
    (canon subtask.drop (core func $subtask.drop))
    (canon subtask.cancel (core func $subtask.cancel))
    (canon context.get i32 0 (core func $context.get))
    (canon context.set i32 0 (core func $context.set))
    (core instance $i (instantiate $m (with "" (instance
      (export "mem" (memory $mem)) (export "wait" (func $wait))
      (export "return" (func $return)) (export "task.cancel" (func $task.cancel))
      (export "set.new" (func $set.new)) (export "join" (func $join))
      (export "subtask.drop" (func $subtask.drop))
      (export "subtask.cancel" (func $subtask.cancel))
      (export "context.get" (func $context.get)) (export "context.set" (func $context.set))))))
    (func (export "f") async (param "n" u32) (param "what" u32) (result u32)
      (canon lift (core func $i "f") async (callback (core func $i "f-cb")))))
  (component $Caller
    (import "f" (func $f async (param "n" u32) (param "what" u32) (result u32)))
    (core module $libc (memory (export "mem") 1))
    (core instance $libc (instantiate $libc))
    (alias core export $libc "mem" (core memory $mem))
    (core module $m
      (import "" "mem" (memory 1))
      (import "" "f" (func $f (param i32 i32 i32) (result i32)))
      (import "" "f-sync" (func $f-sync (param i32 i32) (result i32)))
      (import "" "return" (func $return (param i32)))
      (import "" "set.new" (func $set.new (result i32)))
      (import "" "set.wait" (func $set.wait (param i32 i32) (result i32)))
      (import "" "join" (func $join (param i32 i32)))
      (import "" "subtask.drop" (func $subtask.drop (param i32)))
      (import "" "subtask.cancel" (func $subtask.cancel (param i32) (result i32)))
      (func $body (param $n i32) (param $callee i32) (param $what i32) (result i32)
        (local $state i32) (local $subtask i32) (local $set i32)
        (if (i32.eq (local.get $what) (i32.const 5)) (then
          (return (call $f-sync (local.get $n) (local.get $callee)))))
        (local.set $state (call $f (local.get $n) (local.get $callee) (i32.const 8)))
        (if (i32.eq (local.get $state) (i32.const 2)) (then
          (return (i32.load (i32.const 8)))))
        (local.set $subtask (i32.shr_u (local.get $state) (i32.const 4)))
        (if (i32.eq (local.get $what) (i32.const 1)) (then
          (local.set $state (call $subtask.cancel (local.get $subtask)))
          (call $subtask.drop (local.get $subtask))
          (return (i32.add (i32.mul (local.get $state) (i32.const 1000))
            (i32.load (i32.const 8))))))
        (if (i32.eq (local.get $what) (i32.const 2)) (then unreachable))
        (if (i32.eq (local.get $what) (i32.const 3)) (then (return (i32.const 5))))
        (if (i32.eq (local.get $what) (i32.const 4)) (then
          (call $subtask.drop (local.get $subtask))))
        (local.set $set (call $set.new))
        (call $join (local.get $subtask) (local.get $set))
        (drop (call $set.wait (local.get $set) (i32.const 16)))
        (call $subtask.drop (local.get $subtask))
        (i32.load (i32.const 8)))
      (func (export "run") (param i32 i32 i32)
        (call $return (call $body (local.get 0) (local.get 1) (local.get 2)))))
    (canon lower (func $f) async (memory $mem) (core func $f))
    (canon lower (func $f) (core func $f-sync))
    (canon task.return (result u32) (core func $return))
    (canon waitable-set.new (core func $set.new))
    (canon waitable-set.wait (memory $mem) (core func $set.wait))
    (canon waitable.join (core func $join))
    (canon subtask.drop (core func $subtask.drop))
    (canon subtask.cancel (core func $subtask.cancel))
    (core instance $i (instantiate $m (with "" (instance
      (export "mem" (memory $mem)) (export "f" (func $f)) (export "f-sync" (func $f-sync))
      (export "return" (func $return)) (export "set.new" (func $set.new))
      (export "set.wait" (func $set.wait)) (export "join" (func $join))
      (export "subtask.drop" (func $subtask.drop))
      (export "subtask.cancel" (func $subtask.cancel))))))
    (func (export "run") async (param "n" u32) (param "callee" u32) (param "caller" u32) (result u32)
      (canon lift (core func $i "run") async)))
  (instance $callee (instantiate $Callee (with "wait" (func $wait))))
  (instance $caller (instantiate $Caller (with "f" (func $callee "f"))))
  (export "run" (func $caller "run")))"#;

/// What `f` does when it is called back.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
enum Callee {
    /// Returns what `wait` does; or cancels it, and agrees to be cancelled.
    Agrees,
    /// Returns 99 when it is cancelled.
    Refuses,
    /// Traps when it is cancelled.
    TrapsThen,
    /// Traps in any case.
    Traps,
}

/// What `run` does while `f` waits.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
enum Caller {
    Waits,
    /// Cancels `f`, and returns its state times 1000, plus its result.
    Cancels,
    Traps,
    /// Returns 5, and leaves `f` alone.
    Leaves,
    /// Drops the subtask that is not over.
    Drops,
    /// Has called it synchronously.
    Blocks,
}

type Run = TypedFunc<(u32, u32, u32), (u32,)>;

struct Bench {
    workshop: Workshop,
    linker: Linker<Host>,
    component: cwasm::Component,
}

impl Bench {
    fn new(seed: Option<u64>) -> Bench {
        let mut config = Config::new();
        if let Some(seed) = seed {
            config.schedule_seed(seed);
        }
        let workshop = Workshop::with_config(&config);
        let mut linker = Linker::<Host>::new(workshop.engine());
        linker.root().func_wrap_concurrent("wait", wait).unwrap();
        let component = component(&workshop, GUEST);
        Bench {
            workshop,
            linker,
            component,
        }
    }

    fn func(&self) -> (Store<Host>, Run) {
        let mut store = Store::new(self.workshop.engine(), Host::default());
        let instance = self.linker.instantiate(&mut store, &self.component);
        let run = instance.unwrap().get_typed_func(&mut store, "run").unwrap();
        (store, run)
    }
}

/// That a subtask has returned, and that it was cancelled after it had begun: times 1000.
const RETURNED: u32 = 2000;
const CANCELLED: u32 = 4000;

#[test]
fn one_waits_for_the_other() {
    let unreachable = Err(TrapCode::Unreachable);
    let cases = [
        (0, Callee::Agrees, Caller::Waits, Ok(0)),
        (3, Callee::Agrees, Caller::Waits, Ok(6)),
        (0, Callee::Agrees, Caller::Blocks, Ok(0)),
        (3, Callee::Agrees, Caller::Blocks, Ok(6)),
        // Nothing has been written to the place of the result.
        (3, Callee::Agrees, Caller::Cancels, Ok(CANCELLED)),
        (NEVER, Callee::Agrees, Caller::Cancels, Ok(CANCELLED)),
        (3, Callee::Refuses, Caller::Cancels, Ok(RETURNED + 99)),
        (3, Callee::TrapsThen, Caller::Cancels, unreachable),
        (3, Callee::Traps, Caller::Waits, unreachable),
        (3, Callee::Traps, Caller::Blocks, unreachable),
        (3, Callee::Traps, Caller::Cancels, unreachable),
        (3, Callee::Agrees, Caller::Traps, unreachable),
        (NEVER, Callee::Agrees, Caller::Traps, unreachable),
        (3, Callee::Agrees, Caller::Leaves, Ok(5)),
        (NEVER, Callee::Agrees, Caller::Leaves, Ok(5)),
        (
            3,
            Callee::Agrees,
            Caller::Drops,
            Err(TrapCode::SubtaskUnresolved),
        ),
    ];
    for seed in [None, Some(0), Some(1), Some(2)] {
        let bench = Bench::new(seed);
        for (n, callee, caller, expected) in cases {
            let (mut store, run) = bench.func();
            let counter = Arc::clone(&store.data().live);
            let params = (n, callee as u32, caller as u32);
            let (result, _) = drive(run.call_async(&mut store, params));
            let result = match result {
                Ok((value,)) => Ok(value),
                Err(error) => Err(error.trap().expect("a trap").code()),
            };
            let case = format!("{n} {callee:?} {caller:?} {seed:?}");
            assert_eq!(result, expected, "{case}");
            // Another call is as the first, or is refused after a trap.
            let (again, _) = drive(run.call_async(&mut store, (2, 0, 0)));
            match result {
                Ok(_) => assert_eq!(again.unwrap(), (4,), "{case}"),
                Err(_) => {
                    let code = again.unwrap_err().trap().map(|trap| trap.code());
                    assert_eq!(code, Some(TrapCode::CannotEnter), "{case}");
                }
            }
            drop(store);
            assert_eq!(counter.load(Ordering::Relaxed), 0, "{case}");
        }
    }
}

#[test]
fn what_is_left_alone_goes_on() {
    let bench = Bench::new(None);
    let (mut store, run) = bench.func();
    let params = (3, Callee::Agrees as u32, Caller::Leaves as u32);
    let (result, _) = drive(run.call_async(&mut store, params));
    assert_eq!((result.unwrap(), live(&store)), ((5,), 1));
    drive(store.run_concurrent(async |_| After(20).await))
        .0
        .unwrap();
    assert_eq!(live(&store), 0);
}

#[test]
fn many_pairs_beside_each_other() {
    for seed in [None, Some(0), Some(1)] {
        let bench = Bench::new(seed);
        let (mut store, run) = bench.func();
        let cases = [
            (Caller::Waits, Callee::Agrees, 8),
            (Caller::Blocks, Callee::Agrees, 8),
            (Caller::Leaves, Callee::Agrees, 5),
        ];
        // The caller's place for results is one: it is the last result that is there.
        let (results, _) = drive(store.run_concurrent(async |accessor| {
            let calls = (0..30).map(|place| {
                let (caller, callee, _) = cases[place % 3];
                run.call_concurrent(accessor, (4, callee as u32, caller as u32))
            });
            crate::all(calls).await
        }));
        for (place, result) in results.unwrap().into_iter().enumerate() {
            assert_eq!(result.unwrap(), (cases[place % 3].2,), "{seed:?} {place}");
        }
        drive(store.run_concurrent(async |_| After(200).await))
            .0
            .unwrap();
        assert_eq!((store.data().calls, live(&store)), (30, 0));
    }
}
