//! The rows of `docs/async-traps.md` about tasks that are cancelled, and what becomes of a subtask
//! that is cancelled at each point of its life.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cwasm::{Linker, Resource, ResourceType, Store, TrapCode};
use cwasm_tests::artifact::Workshop;

use super::Lent;
use crate::builtins::{self, BUILT_INS, HELPERS, TYPES};
use crate::{Host, component, drive, wait};

/// `run(at, how, then)` calls a function of the other component, by the number of [`At`], which
/// borrows a resource; cancels it by the number of [`How`], and returns 100 times what the
/// cancellation returned, and the state of the subtask after that. `then` is what a callback does
/// that hears of the cancellation.
fn guest(thens: &[&str]) -> String {
    let [imports, definitions, exports] =
        [builtins::imports, builtins::definitions, builtins::exports].map(|of| of(BUILT_INS));
    let bodies: String = thens
        .iter()
        .enumerate()
        .map(|(place, body)| {
            format!("(if (i32.eq (global.get $then) (i32.const {place})) (then (return {body})))\n")
        })
        .collect();
    let functions = ["waiting", "yielding", "deaf", "late", "blocked"];
    let params = r#"(param "then" u32) (param "h" (borrow $H))"#;
    let lifts = functions.map(|name| {
        let callback = match name {
            "deaf" | "late" => "",
            _ => r#"(callback (core func $i "cb"))"#,
        };
        format!(
            r#"(func (export "{name}") async {params} (result u32)
              (canon lift (core func $i "{name}") async {callback}))"#
        )
    });
    let imported = functions.map(|name| {
        format!(
            r#"(import "{name}" (func ${name} async {params} (result u32)))
            (canon lower (func ${name}) async (memory $mem) (core func ${name}))"#
        )
    });
    let cores = functions.map(|name| {
        format!(r#"(import "" "{name}" (func ${name} (param i32 i32 i32) (result i32)))"#)
    });
    let called = functions.map(|name| format!(r#"(export "{name}" (func ${name}))"#));
    let with = functions.map(|name| format!(r#"(with "{name}" (func $callee "{name}"))"#));
    let [lifts, imported, cores, called, with] =
        [lifts, imported, cores, called, with].map(|parts| parts.concat());
    let elements: String = functions.map(|name| format!(" ${name}")).concat();
    format!(
        r#"(component
          (import "r" (type $H (sub resource)))
          (import "wait" (func $wait async (param "n" u32) (result u32)))
          (component $Callee
            (import "r" (type $H (sub resource)))
            (import "wait" (func $wait async (param "n" u32) (result u32)))
            {TYPES}
            (core module $m
              (import "" "wait" (func $wait (param i32 i32) (result i32)))
              (import "" "wait-sync" (func $wait-sync (param i32) (result i32)))
              (import "" "h.drop" (func $h.drop (param i32)))
              {imports} {HELPERS}
              (global $then (mut i32) (i32.const 0))
              (global $h (mut i32) (i32.const 0))
              (func $begin (param i32 i32)
                (global.set $then (local.get 0)) (global.set $h (local.get 1)))
              (func $end (call $h.drop (global.get $h)) (call $return (i32.const 7)))
              ;; Waits for an event that never comes.
              (func (export "waiting") (param i32 i32) (result i32)
                (call $begin (local.get 0) (local.get 1))
                (i32.or (i32.const 2) (i32.shl (call $set.new) (i32.const 4))))
              ;; Takes turns.
              (func (export "yielding") (param i32 i32) (result i32)
                (call $begin (local.get 0) (local.get 1)) (i32.const 1))
              ;; Waits in the middle, returns, and waits again.
              (func (export "deaf") (param i32 i32)
                (call $begin (local.get 0) (local.get 1))
                (drop (call $wait-sync (i32.const 2)))
                (call $end)
                (drop (call $wait-sync (i32.const 2))))
              ;; Waits in the middle, and agrees to be cancelled without having heard of it.
              (func (export "late") (param i32 i32)
                (call $begin (local.get 0) (local.get 1))
                (drop (call $wait-sync (i32.const 2)))
                (call $h.drop (global.get $h))
                (call $task.cancel))
              ;; Lets nobody in, and is the first.
              (func (export "blocked") (param i32 i32) (result i32)
                (call $begin (local.get 0) (local.get 1))
                (call $end) (i32.const 0))
              (func (export "close") (call $backpressure.inc))
              (func $heard (result i32) {bodies} unreachable)
              (func (export "cb") (param $event i32) (param i32 i32) (result i32)
                (if (i32.eq (local.get $event) (i32.const 6)) (then (return (call $heard))))
                (i32.const 1)))
            (canon lower (func $wait) async (memory $mem) (core func $wait))
            (canon lower (func $wait) (core func $wait-sync))
            (canon resource.drop $H (core func $h.drop))
            {definitions}
            (core instance $i (instantiate $m (with "" (instance
              (export "wait" (func $wait)) (export "wait-sync" (func $wait-sync))
              (export "h.drop" (func $h.drop)) {exports}))))
            (func (export "close") (canon lift (core func $i "close")))
            {lifts})
          (component $Caller
            (import "r" (type $H (sub resource)))
            (import "wait" (func $wait async (param "n" u32) (result u32)))
            (import "close" (func $close))
            {TYPES}
            {imported}
            (core module $m
              (import "" "mem" (memory 1))
              (import "" "wait" (func $wait (param i32 i32) (result i32)))
              (import "" "wait-sync" (func $wait-sync (param i32) (result i32)))
              (import "" "close" (func $close))
              (import "" "h.drop" (func $h.drop (param i32)))
              {cores} {imports} {HELPERS}
              (type $f (func (param i32 i32 i32) (result i32)))
              (table 5 funcref)
              (elem (i32.const 0) {elements})
              (func $cancel (param $how i32) (param $x i32) (result i32)
                ;; 0: at once. 1: after some turns. 2: when it has returned, which nobody has seen.
                (if (i32.eq (local.get $how) (i32.const 1)) (then
                  (drop (call $yield)) (drop (call $yield))))
                (if (i32.eq (local.get $how) (i32.const 2)) (then
                  (drop (call $wait-sync (i32.const 4)))))
                ;; 3: synchronously.
                (if (i32.eq (local.get $how) (i32.const 3)) (then
                  (return (call $subtask.cancel (local.get $x)))))
                (call $subtask.cancel-async (local.get $x)))
              (func $run (param $at i32) (param $how i32) (param $then i32) (param $h i32)
                (result i32) (local $state i32) (local $x i32) (local $found i32)
                (if (i32.eq (local.get $at) (i32.const 4)) (then (call $close)))
                (local.set $state (call_indirect (type $f)
                  (local.get $then) (local.get $h) (i32.const 64) (local.get $at)))
                (local.set $x (i32.shr_u (local.get $state) (i32.const 4)))
                (local.set $found (call $cancel (local.get $how) (local.get $x)))
                (local.set $state (local.get $found))
                ;; It hears of it later.
                (if (i32.eq (local.get $found) (i32.const -1)) (then
                  (local.set $found (i32.const 9))
                  (drop (call $set.wait (call $set-of (local.get $x)) (i32.const 0)))
                  (local.set $state (i32.load (i32.const 4)))))
                (call $subtask.drop (local.get $x))
                ;; It has given back what it had borrowed.
                (call $h.drop (local.get $h))
                (i32.add (i32.mul (local.get $found) (i32.const 100)) (local.get $state)))
              (func (export "run") (param i32 i32 i32 i32)
                (call $return
                  (call $run (local.get 0) (local.get 1) (local.get 2) (local.get 3)))))
            (canon lower (func $wait) async (memory $mem) (core func $wait))
            (canon lower (func $wait) (core func $wait-sync))
            (canon lower (func $close) (core func $close))
            (canon resource.drop $H (core func $h.drop))
            {definitions}
            (core instance $i (instantiate $m (with "" (instance
              (export "mem" (memory $mem))
              (export "wait" (func $wait)) (export "wait-sync" (func $wait-sync))
              (export "close" (func $close)) (export "h.drop" (func $h.drop))
              {called} {exports}))))
            (func (export "run") async (param "at" u32) (param "how" u32) (param "then" u32)
              (param "h" (borrow $H)) (result u32) (canon lift (core func $i "run") async)))
          (instance $callee (instantiate $Callee (with "r" (type $H)) (with "wait" (func $wait))))
          (instance $caller (instantiate $Caller (with "r" (type $H)) (with "wait" (func $wait))
            (with "close" (func $callee "close")) {with}))
          (export "run" (func $caller "run")))"#
    )
}

/// Where the callee is when it is cancelled.
#[derive(Clone, Copy, Debug)]
enum At {
    /// It waits for an event in its callback.
    Waiting,
    /// It takes turns.
    Yielding,
    /// It waits in the middle of a function, so that it does not hear.
    Deaf,
    /// As that, but it cancels itself later.
    Late,
    /// It has not begun.
    Blocked,
}

/// How it is cancelled.
#[derive(Clone, Copy, Debug)]
enum How {
    AtOnce,
    AfterTurns,
    /// After it has returned.
    AfterReturn,
    Synchronously,
}

/// The rows about what a callback does that hears of the cancellation: its body, and how it ends.
pub(super) const ROWS: &[(&str, &str, TrapCode)] = &[
    (
        "A43",
        "(call $task.cancel) (i32.const 0)",
        TrapCode::BorrowsRemain,
    ),
    (
        "A39",
        "(call $return (i32.const 7)) (i32.const 0)",
        TrapCode::BorrowsRemain,
    ),
    ("A1", "(i32.const 0)", TrapCode::NoReturn),
    (
        "A42",
        "(call $end) (call $task.cancel) (i32.const 0)",
        TrapCode::TaskResolved,
    ),
    (
        "A42",
        "(call $h.drop (global.get $h)) (call $task.cancel) (call $task.cancel) (i32.const 0)",
        TrapCode::TaskResolved,
    ),
    (
        "A38",
        "(call $h.drop (global.get $h)) (call $task.cancel) (call $return (i32.const 7))
        (i32.const 0)",
        TrapCode::TaskResolved,
    ),
    ("A3", "(i32.const 3)", TrapCode::InvalidCallbackCode),
    ("A4", "(i32.const 2)", TrapCode::UnknownHandle),
];

/// What a callback does that agrees, and one that does not, after the rows' bodies.
const AGREES: &str = "(call $h.drop (global.get $h)) (call $task.cancel) (i32.const 0)";
const REFUSES: &str = "(call $end) (i32.const 0)";

/// The row of tasks that agree before they hear of it.
pub(super) const LATE: (&str, TrapCode) = ("A44", TrapCode::TaskNotCancelled);

struct Bench {
    workshop: Workshop,
    linker: Linker<Host>,
    component: cwasm::Component,
}

impl Bench {
    fn new() -> Bench {
        let workshop = Workshop::new();
        let mut linker = Linker::<Host>::new(workshop.engine());
        let mut root = linker.root();
        root.resource("r", ResourceType::host::<Lent>(), |_, _| Ok(()))
            .unwrap();
        root.func_wrap_concurrent("wait", wait).unwrap();
        let thens: Vec<&str> = ROWS
            .iter()
            .map(|(_, body, _)| *body)
            .chain([AGREES, REFUSES])
            .collect();
        let component = component(&workshop, &guest(&thens));
        Bench {
            workshop,
            linker,
            component,
        }
    }

    /// What `run` returns. After a trap nothing of the component runs again.
    fn run(&self, at: At, how: How, then: usize) -> Result<u32, TrapCode> {
        let mut store = Store::new(self.workshop.engine(), Host::default());
        let live = Arc::clone(&store.data().live);
        let instance = self
            .linker
            .instantiate(&mut store, &self.component)
            .unwrap();
        let run = instance
            .get_typed_func::<(u32, u32, u32, Resource<Lent>), (u32,)>(&mut store, "run")
            .unwrap();
        let mut call = || {
            let params = (at as u32, how as u32, then as u32, Resource::new_borrow(5));
            match drive(run.call_async(&mut store, params)).0 {
                Ok((value,)) => Ok(value),
                Err(error) => Err(error.trap().expect("a trap").code()),
            }
        };
        let result = call();
        if result.is_err() {
            assert_eq!(call(), Err(TrapCode::CannotEnter), "{at:?} {how:?} {then}");
        }
        drop(store);
        assert_eq!(live.load(Ordering::Relaxed), 0, "{at:?} {how:?} {then}");
        result
    }
}

const HOWS: [How; 3] = [How::AtOnce, How::AfterTurns, How::Synchronously];

#[test]
fn callbacks_that_hear_of_a_cancellation() {
    let bench = Bench::new();
    for (then, (id, body, expected)) in ROWS.iter().enumerate() {
        for at in [At::Waiting, At::Yielding] {
            for how in HOWS {
                let result = bench.run(at, how, then);
                assert_eq!(result, Err(*expected), "{id} {at:?} {how:?}: {body}");
            }
        }
    }
}

#[test]
fn tasks_that_agree_before_they_hear_of_it() {
    let bench = Bench::new();
    for how in HOWS {
        assert_eq!(bench.run(At::Late, how, ROWS.len()), Err(LATE.1), "{how:?}");
    }
}

#[test]
fn subtasks_that_are_cancelled_at_each_point() {
    let [agrees, refuses] = [ROWS.len(), ROWS.len() + 1];
    let cases = [
        // In a callback it hears of it at once, or at its next turn: 4, or 2 if it refuses.
        (At::Waiting, How::AtOnce, agrees, 404),
        (At::Waiting, How::AfterTurns, agrees, 404),
        (At::Waiting, How::Synchronously, agrees, 404),
        (At::Waiting, How::AtOnce, refuses, 202),
        (At::Waiting, How::Synchronously, refuses, 202),
        (At::Yielding, How::AtOnce, agrees, 404),
        (At::Yielding, How::AfterTurns, agrees, 404),
        (At::Yielding, How::Synchronously, agrees, 404),
        (At::Yielding, How::AtOnce, refuses, 202),
        (At::Yielding, How::Synchronously, refuses, 202),
        // In the middle of a function it does not, and returns.
        (At::Deaf, How::AtOnce, agrees, 902),
        (At::Deaf, How::AfterTurns, agrees, 902),
        (At::Deaf, How::Synchronously, agrees, 202),
        (At::Deaf, How::AfterReturn, agrees, 202),
        // It never begins.
        (At::Blocked, How::AtOnce, agrees, 303),
        (At::Blocked, How::AfterTurns, agrees, 303),
        (At::Blocked, How::Synchronously, agrees, 303),
    ];
    let bench = Bench::new();
    for (at, how, then, expected) in cases {
        assert_eq!(
            bench.run(at, how, then),
            Ok(expected),
            "{at:?} {how:?} {then}"
        );
    }
}
