//! Guests that use the built-in functions in the wrong order, or with wrong values: what happens is
//! what the specification says, and the host does not panic.

use std::sync::{Arc, OnceLock};

use cwasm::{Linker, Store, TrapCode, Val};
use cwasm_tests::artifact::Workshop;

use crate::builtins::{self, BUILT_INS, HELPERS, TYPES};
use crate::{After, Host, Live, component, drive, live, poll_times, wait};

/// What guests import beside the [`BUILT_INS`]: functions of the host, and ways to return that are
/// not theirs.
const OTHERS: &[(&str, &str, &str)] = &[
    (
        "wait",
        "(param i32 i32) (result i32)",
        "lower (func $wait) async (memory $mem)",
    ),
    (
        "wait-sync",
        "(param i32) (result i32)",
        "lower (func $wait)",
    ),
    (
        "take",
        "(param i32) (result i32)",
        "lower (func $take) async (memory $mem)",
    ),
    (
        "take-two",
        "(param i32 i32) (result i32)",
        "lower (func $take-two) async (memory $mem)",
    ),
    (
        "return-other",
        "(param i32)",
        "task.return (result u32) (memory $other)",
    ),
    ("return-u64", "(param i64)", "task.return (result u64)"),
    ("return-nothing", "", "task.return"),
];

/// A guest with a core module that has all built-in functions and these functions, and with this
/// export.
fn guest(funcs: &str, export: &str) -> String {
    let [imports, definitions, exports] =
        [builtins::imports, builtins::definitions, builtins::exports]
            .map(|of| of(OTHERS) + &of(BUILT_INS));
    format!(
        r#"(component
          (import "wait" (func $wait async (param "n" u32) (result u32)))
          (import "take" (func $take async (param "s" (stream u8))))
          (import "take-two" (func $take-two async (param "a" (stream u8)) (param "b" (stream u8))))
          {TYPES}
          (core module $m
            (import "" "mem" (memory 1))
            {imports} {HELPERS} {funcs})
          {definitions}
          (core instance $i (instantiate $m (with "" (instance
            (export "mem" (memory $mem)) {exports}))))
          {export})"#
    )
}

/// How a function ends: a result, or a trap.
type Outcome = Result<u32, TrapCode>;

struct Bench {
    workshop: Workshop,
    linker: Linker<Host>,
}

impl Bench {
    fn new() -> Bench {
        let workshop = Workshop::new();
        let mut linker = Linker::<Host>::new(workshop.engine());
        let mut root = linker.root();
        root.func_wrap_concurrent("wait", wait).unwrap();
        for (name, count) in [("take", 1), ("take-two", 2)] {
            root.func_new_concurrent(name, move |_, _, args, _| {
                Box::pin(async move {
                    assert_eq!(args.len(), count);
                    assert!(args.iter().all(|it| matches!(it, Val::Stream(_))));
                    Ok(())
                })
            })
            .unwrap();
        }
        Bench { workshop, linker }
    }

    /// A store with the function `run` of a guest that has these functions and this export.
    fn func(&self, funcs: &str, export: &str) -> (Store<Host>, crate::Func) {
        let component = component(&self.workshop, &guest(funcs, export));
        let mut store = Store::new(self.workshop.engine(), Host::default());
        let instance = self.linker.instantiate(&mut store, &component).unwrap();
        let run = instance.get_typed_func(&mut store, "run").unwrap();
        (store, run)
    }

    /// How the function `run` ends.
    fn run(&self, funcs: &str, export: &str) -> Outcome {
        let (mut store, run) = self.func(funcs, export);
        match drive(run.call_async(&mut store, (0,))).0 {
            Ok((value,)) => Ok(value),
            Err(error) => match error.trap() {
                Some(trap) => Err(trap.code()),
                None => panic!("no trap: {error:?}"),
            },
        }
    }

    /// How a function without a callback ends that returns what this body makes.
    fn stackful(&self, body: &str) -> Outcome {
        let funcs = format!(
            r#"(func $body (result i32) (local $h i32) {body})
            (func (export "run") (param i32) (call $return (call $body)))"#
        );
        self.run(&funcs, STACKFUL)
    }

    /// How a function ends with these bodies, of itself and of its callback.
    fn callback(&self, body: &str, callback: &str) -> Outcome {
        let funcs = format!(
            r#"(func (export "run") (param i32) (result i32) {body})
            (func (export "cb") (param $code i32) (param $of i32) (param $what i32) (result i32)
              {callback})"#
        );
        self.run(&funcs, CALLBACK)
    }
}

const STACKFUL: &str = r#"(func (export "run") async (param "n" u32) (result u32)
  (canon lift (core func $i "run") async))"#;
const CALLBACK: &str = r#"(func (export "run") async (param "n" u32) (result u32)
  (canon lift (core func $i "run") async (callback (core func $i "cb"))))"#;
/// Lifted without `async`, though the type has it.
const PLAIN: &str = r#"(func (export "run") async (param "n" u32) (result u32)
  (canon lift (core func $i "run")))"#;
/// Not `async` at all.
const SYNC: &str = r#"(func (export "run") (param "n" u32) (result u32)
  (canon lift (core func $i "run")))"#;

#[track_caller]
fn check(cases: &[(&str, Outcome)]) {
    let bench = Bench::new();
    for (body, expected) in cases {
        assert_eq!(bench.stackful(body), *expected, "{body}");
    }
}

#[test]
fn ends_in_the_middle_of_a_copy() {
    let read = "(call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 4)))";
    let write = "(call $begun (call $stream.write (global.get $w) (i32.const 64) (i32.const 4)))";
    let busy = Err(TrapCode::EndBusy);
    let twice = Err(TrapCode::CopyInProgress);
    let cases = [
        (read, "(call $stream.drop-readable (global.get $r))", busy),
        (write, "(call $stream.drop-writable (global.get $w))", busy),
        (read, "(drop (call $take (global.get $r)))", busy),
        (read, read, twice),
        (write, write, twice),
    ];
    let bench = Bench::new();
    for (begin, then, expected) in cases {
        let body = format!("(call $stream) {begin} {then} (i32.const 0)");
        assert_eq!(bench.stackful(&body), expected, "{body}");
    }
    let read = "(call $begun (call $future.read (global.get $r) (i32.const 64)))";
    let write = "(call $begun (call $future.write (global.get $w) (i32.const 64)))";
    let cases = [
        (read, "(call $future.drop-readable (global.get $r))", busy),
        (write, "(call $future.drop-writable (global.get $w))", busy),
        (read, read, twice),
        (write, write, twice),
    ];
    for (begin, then, expected) in cases {
        let body = format!("(call $future) {begin} {then} (i32.const 0)");
        assert_eq!(bench.stackful(&body), expected, "{body}");
    }
}

#[test]
fn ends_whose_other_end_is_gone() {
    check(&[
        // Dropped before.
        (
            "(call $stream) (call $stream.drop-writable (global.get $w))
            (call $stream.read (global.get $r) (i32.const 64) (i32.const 4))",
            Ok(1),
        ),
        (
            "(call $stream) (call $stream.drop-readable (global.get $r))
            (call $stream.write (global.get $w) (i32.const 64) (i32.const 4))",
            Ok(1),
        ),
        (
            "(call $future) (call $future.drop-readable (global.get $r))
            (call $future.write (global.get $w) (i32.const 64))",
            Ok(1),
        ),
        // After that it is over.
        (
            "(call $stream) (call $stream.drop-writable (global.get $w))
            (drop (call $stream.read (global.get $r) (i32.const 64) (i32.const 4)))
            (call $stream.read (global.get $r) (i32.const 64) (i32.const 4))",
            Err(TrapCode::EndDone),
        ),
        // In the middle: an event that nobody took, which a cancellation tells, once.
        (
            "(call $stream)
            (call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 4)))
            (call $stream.drop-writable (global.get $w))
            (call $stream.cancel-read (global.get $r))",
            Ok(1),
        ),
        (
            "(call $stream)
            (call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 4)))
            (call $stream.drop-writable (global.get $w))
            (drop (call $stream.cancel-read (global.get $r)))
            (call $stream.cancel-read (global.get $r))",
            Err(TrapCode::NoCopy),
        ),
        // The event is that of a read, of this end.
        (
            "(call $stream) (global.set $set (call $set.new))
            (call $join (global.get $r) (global.get $set))
            (call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 4)))
            (call $stream.drop-writable (global.get $w))
            (i32.add (i32.mul (call $set.wait (global.get $set) (i32.const 0)) (i32.const 100))
              (i32.add (i32.mul (i32.eq (i32.load (i32.const 0)) (global.get $r)) (i32.const 10))
                (i32.load (i32.const 4))))",
            Ok(211),
        ),
    ]);
}

#[test]
fn ends_that_are_dropped_or_passed_on_twice() {
    let gone = Err(TrapCode::UnknownHandle);
    check(&[
        (
            "(call $stream) (call $stream.drop-readable (global.get $r))
            (call $stream.drop-readable (global.get $r)) (i32.const 0)",
            gone,
        ),
        (
            "(call $stream) (drop (call $take (global.get $r)))
            (call $take (global.get $r))",
            gone,
        ),
        (
            "(call $stream) (call $take-two (global.get $r) (global.get $r))",
            gone,
        ),
        (
            "(call $stream) (drop (call $take (global.get $r)))
            (call $stream.read (global.get $r) (i32.const 64) (i32.const 4))",
            gone,
        ),
        // What the host has neither reads nor goes: a write waits.
        (
            "(call $stream) (drop (call $take (global.get $r)))
            (call $stream.write (global.get $w) (i32.const 64) (i32.const 4))",
            Ok(u32::MAX),
        ),
        // The writable end is nothing that can be passed on.
        (
            "(call $stream) (call $take (global.get $w))",
            Err(TrapCode::WrongHandleKind),
        ),
        // Nor is a stream of another type.
        (
            "(call $ends (call $stream32.new)) (call $take (global.get $r))",
            Err(TrapCode::WrongHandleKind),
        ),
    ]);
}

#[test]
fn cancelling_what_cannot_be() {
    let nothing = Err(TrapCode::NoCopy);
    check(&[
        // Was cancelled.
        (
            "(call $stream)
            (call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 4)))
            (call $stream.cancel-read (global.get $r))",
            Ok(2),
        ),
        (
            "(call $stream)
            (call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 4)))
            (drop (call $stream.cancel-read (global.get $r)))
            (call $stream.cancel-read (global.get $r))",
            nothing,
        ),
        (
            "(call $future)
            (call $begun (call $future.write (global.get $w) (i32.const 64)))
            (drop (call $future.cancel-write (global.get $w)))
            (call $future.cancel-write (global.get $w))",
            nothing,
        ),
        // A subtask that has ended so, twice, and after it was dropped.
        (
            "(local.set $h (call $never)) (drop (call $subtask.cancel (local.get $h)))
            (call $subtask.cancel (local.get $h))",
            Err(TrapCode::SubtaskCancelled),
        ),
        (
            "(local.set $h (call $never)) (drop (call $subtask.cancel (local.get $h)))
            (call $subtask.drop (local.get $h))
            (call $subtask.cancel (local.get $h))",
            Err(TrapCode::UnknownHandle),
        ),
        (
            "(call $task.cancel) (i32.const 0)",
            Err(TrapCode::TaskNotCancelled),
        ),
    ]);
}

#[test]
fn copies_inside_one_instance() {
    check(&[
        // Numbers are copied, up to where one of the buffers ends.
        (
            r#"(call $stream) (i32.store (i32.const 64) (i32.const 0x04030201))
            (call $begun (call $stream.write (global.get $w) (i32.const 64) (i32.const 4)))
            (if (i32.ne (i32.const 0x20)
                (call $stream.read (global.get $r) (i32.const 96) (i32.const 2)))
              (then unreachable))
            (i32.load (i32.const 96))"#,
            Ok(0x0201),
        ),
        (
            r#"(call $future) (i32.store (i32.const 64) (i32.const 77))
            (call $begun (call $future.write (global.get $w) (i32.const 64)))
            (drop (call $future.read (global.get $r) (i32.const 96)))
            (i32.load (i32.const 96))"#,
            Ok(77),
        ),
        // A write of nothing is over at once only if there is a read of nothing.
        (
            "(call $stream)
            (call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 0)))
            (call $stream.write (global.get $w) (i32.const 96) (i32.const 0))",
            Ok(0),
        ),
        // One that has nothing left to read is over, and the write waits for the next one.
        (
            "(call $stream)
            (call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 2)))
            (if (i32.ne (i32.const 0x20)
                (call $stream.write (global.get $w) (i32.const 96) (i32.const 2)))
              (then unreachable))
            (call $begun (call $stream.write (global.get $w) (i32.const 96) (i32.const 0)))
            (global.set $set (call $set.new))
            (call $join (global.get $r) (global.get $set))
            (drop (call $set.wait (global.get $set) (i32.const 0)))
            (i32.load (i32.const 4))",
            Ok(0x20),
        ),
        // Others are not.
        (
            "(call $ends (call $strings.new))
            (call $begun (call $strings.write (global.get $w) (i32.const 64) (i32.const 1)))
            (call $strings.read (global.get $r) (i32.const 96) (i32.const 1))",
            Err(TrapCode::SameInstanceCopy),
        ),
    ]);
}

#[test]
fn buffers_that_are_not_there() {
    let out = Err(TrapCode::StreamOutOfBounds);
    check(&[
        (
            "(call $stream) (call $stream.read (global.get $r) (i32.const -8) (i32.const 4))",
            out,
        ),
        (
            "(call $stream) (call $stream.write (global.get $w) (i32.const 65533) (i32.const 4))",
            out,
        ),
        (
            "(call $future) (call $future.read (global.get $r) (i32.const 65536))",
            out,
        ),
        (
            "(call $stream)
            (call $stream.read (global.get $r) (i32.const 0) (i32.const 0x10000000))",
            Err(TrapCode::StreamTooLong),
        ),
        (
            "(call $stream) (call $stream.read (global.get $r) (i32.const 0) (i32.const -1))",
            Err(TrapCode::StreamTooLong),
        ),
        (
            "(call $ends (call $stream32.new))
            (call $stream32.read (global.get $r) (i32.const 65) (i32.const 1))",
            Err(TrapCode::UnalignedPointer),
        ),
    ]);
}

/// That it traps, whatever the code is.
#[track_caller]
fn check_traps(bodies: &[&str]) {
    let bench = Bench::new();
    for body in bodies {
        let outcome = bench.stackful(body);
        assert!(outcome.is_err(), "{body}: {outcome:?}");
    }
}

#[test]
fn places_for_results_and_events_that_are_not_there() {
    let event = "(call $stream) (global.set $set (call $set.new))
        (call $join (global.get $r) (global.get $set))
        (call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 4)))
        (call $stream.drop-writable (global.get $w))";
    check_traps(&[
        "(call $wait (i32.const 0) (i32.const -4))",
        "(call $wait (i32.const 0) (i32.const 65536))",
        "(call $wait (i32.const 0) (i32.const 65))",
        "(global.set $set (call $set.new))
        (call $join (i32.shr_u (call $wait (i32.const 3) (i32.const -4)) (i32.const 4))
          (global.get $set))
        (call $set.wait (global.get $set) (i32.const 0))",
        &format!("{event} (call $set.wait (global.get $set) (i32.const -4))"),
        &format!("{event} (call $set.wait (global.get $set) (i32.const 65532))"),
        &format!("{event} (call $set.wait (global.get $set) (i32.const 2))"),
        &format!("{event} (call $set.poll (global.get $set) (i32.const 65536))"),
    ]);
}

#[test]
fn sets_that_are_in_use() {
    check(&[
        (
            "(call $stream) (global.set $set (call $set.new))
            (call $join (global.get $r) (global.get $set))
            (call $set.drop (global.get $set)) (i32.const 0)",
            Err(TrapCode::SetInUse),
        ),
        // Not any more.
        (
            "(call $stream) (global.set $set (call $set.new))
            (call $join (global.get $r) (global.get $set))
            (call $join (global.get $r) (i32.const 0))
            (call $set.drop (global.get $set)) (i32.const 5)",
            Ok(5),
        ),
        (
            "(call $stream) (global.set $set (call $set.new))
            (call $join (global.get $r) (global.get $set))
            (call $stream.drop-readable (global.get $r))
            (call $set.drop (global.get $set)) (i32.const 5)",
            Ok(5),
        ),
        // Whoever waits for it itself does not find it in a set.
        (
            "(call $stream) (global.set $set (call $set.new))
            (call $join (global.get $r) (global.get $set))
            (call $stream.read-sync (global.get $r) (i32.const 64) (i32.const 4))",
            Err(TrapCode::WaitableInUse),
        ),
        (
            "(call $stream) (call $stream.read-sync (global.get $r) (i32.const 64) (i32.const 4))",
            Err(TrapCode::Deadlock),
        ),
    ]);
}

#[test]
fn backpressure_beyond_its_bounds() {
    let bench = Bench::new();
    let outcome = bench.stackful("(call $backpressure.dec) (i32.const 0)");
    assert_eq!(outcome, Err(TrapCode::BackpressureOverflow));
    let times = |count: u32| {
        format!(
            "(local.set $h (i32.const {count}))
            (loop $more (call $backpressure.inc)
              (br_if $more (local.tee $h (i32.sub (local.get $h) (i32.const 1)))))
            (i32.const 0)"
        )
    };
    assert_eq!(bench.stackful(&times(65535)), Ok(0));
    let outcome = bench.stackful(&times(65536));
    assert_eq!(outcome, Err(TrapCode::BackpressureOverflow));
}

#[test]
fn an_instance_that_lets_nobody_in_is_a_deadlock() {
    let bench = Bench::new();
    let funcs = r#"(func (export "run") (param i32)
      (call $backpressure.inc) (call $return (i32.const 1)))"#;
    let (mut store, run) = bench.func(funcs, STACKFUL);
    let (result, _) = drive(run.call_async(&mut store, (0,)));
    assert_eq!(result.unwrap(), (1,));
    let error = drive(run.call_async(&mut store, (0,))).0.unwrap_err();
    assert_eq!(error.trap().unwrap().code(), TrapCode::Deadlock);
}

#[test]
fn codes_that_callbacks_do_not_have() {
    let bench = Bench::new();
    let returned = "(call $return (i32.const 9))";
    for code in 3..16 {
        for high in [0, 0x10, 0x7fff_fff0, 0xffff_fff0_u32] {
            let body = format!("{returned} (i32.const {:#x})", code | high);
            let expected = Err(TrapCode::InvalidCallbackCode);
            assert_eq!(bench.callback(&body, "unreachable"), expected, "{body}");
            // Or from the callback.
            let callback = format!("{returned} (i32.const {:#x})", code | high);
            let outcome = bench.callback("(i32.const 1)", &callback);
            assert_eq!(outcome, expected, "{callback}");
        }
    }
    // Waits for what is no set.
    let wrong = [
        ("(i32.const 2)", Err(TrapCode::UnknownHandle)),
        ("(i32.const 0xfffffff2)", Err(TrapCode::UnknownHandle)),
        (
            "(call $stream) (i32.or (i32.const 2) (i32.shl (global.get $r) (i32.const 4)))",
            Err(TrapCode::WrongHandleKind),
        ),
    ];
    for (body, expected) in wrong {
        assert_eq!(bench.callback(body, "unreachable"), expected, "{body}");
        assert_eq!(bench.callback("(i32.const 1)", body), expected, "{body}");
    }
}

#[test]
fn yields_are_turns_without_an_event() {
    let bench = Bench::new();
    let callback = "(if (i32.or (local.get $code) (i32.or (local.get $of) (local.get $what)))
        (then unreachable))
      (global.set $set (i32.add (global.get $set) (i32.const 1)))
      (if (i32.lt_u (global.get $set) (i32.const 1000)) (then (return (i32.const 1))))
      (call $return (global.get $set)) (i32.const 0)";
    assert_eq!(bench.callback("(i32.const 1)", callback), Ok(1000));
}

#[test]
fn results_that_are_given_twice_never_or_wrongly() {
    let bench = Bench::new();
    let cases = [
        ("", Err(TrapCode::NoReturn)),
        ("(call $return (i32.const 1))", Ok(1)),
        (
            "(call $return (i32.const 1)) (call $return (i32.const 2))",
            Err(TrapCode::TaskResolved),
        ),
        (
            "(call $return-u64 (i64.const 1))",
            Err(TrapCode::InvalidTaskReturn),
        ),
        ("(call $return-nothing)", Err(TrapCode::InvalidTaskReturn)),
        (
            "(call $return (i32.const 1)) (call $task.cancel)",
            Err(TrapCode::TaskResolved),
        ),
    ];
    for (body, expected) in cases {
        let stackful = format!(r#"(func (export "run") (param i32) {body})"#);
        assert_eq!(bench.run(&stackful, STACKFUL), expected, "stackful: {body}");
        let body = format!("{body} (i32.const 0)");
        assert_eq!(
            bench.callback(&body, "unreachable"),
            expected,
            "at once: {body}"
        );
        let outcome = bench.callback("(i32.const 1)", &body);
        assert_eq!(outcome, expected, "in the callback: {body}");
    }
    for (export, expected) in [(PLAIN, TrapCode::SyncTask), (SYNC, TrapCode::SyncTask)] {
        for call in ["(call $return (i32.const 1))", "(call $task.cancel)"] {
            let body =
                format!(r#"(func (export "run") (param i32) (result i32) {call} (i32.const 2))"#);
            assert_eq!(bench.run(&body, export), Err(expected), "{call} {export}");
        }
    }
}

#[test]
fn results_are_given_with_the_options_of_the_function() {
    // Also where nothing of the result is in the memory.
    let bench = Bench::new();
    let funcs = r#"(func (export "run") (param i32) (call $return-other (i32.const 1)))"#;
    let export = r#"(func (export "run") async (param "n" u32) (result u32)
      (canon lift (core func $i "run") async (memory $mem)))"#;
    assert_eq!(bench.run(funcs, export), Err(TrapCode::InvalidTaskReturn));
    assert_eq!(bench.run(funcs, STACKFUL), Err(TrapCode::InvalidTaskReturn));
}

#[test]
fn functions_that_are_not_async_cannot_wait() {
    let bench = Bench::new();
    let bodies = [
        "(call $wait-sync (i32.const 1))",
        "(call $stream) (call $stream.read-sync (global.get $r) (i32.const 64) (i32.const 4))",
        "(call $set.wait (call $set.new) (i32.const 0))",
    ];
    for body in bodies {
        let funcs = format!(r#"(func (export "run") (param i32) (result i32) {body})"#);
        let outcome = bench.run(&funcs, SYNC);
        assert_eq!(outcome, Err(TrapCode::CannotBlock), "{body}");
    }
}

#[test]
fn guests_that_yield_for_ever_let_the_executor_work() {
    let bench = Bench::new();
    let endless = [
        (
            r#"(func (export "run") (param i32) (result i32) (i32.const 1))
            (func (export "cb") (param i32 i32 i32) (result i32) (i32.const 1))"#,
            CALLBACK,
        ),
        (
            r#"(func (export "run") (param i32) (loop $l (drop (call $yield)) (br $l)))"#,
            STACKFUL,
        ),
    ];
    for (funcs, export) in endless {
        let (mut store, run) = bench.func(funcs, export);
        let mut call = Box::pin(run.call_async(&mut store, (0,)));
        // Each poll ends.
        poll_times(call.as_mut(), 100);
        drop(call);
        let mut both = Box::pin(
            store.run_concurrent(async |accessor| run.call_concurrent(accessor, (0,)).await),
        );
        poll_times(both.as_mut(), 100);
        drop(both);
    }
}

#[test]
fn guests_that_make_things_for_ever_are_stopped() {
    let endless = [
        "(call $stream)",
        "(call $future)",
        "(drop (call $set.new))",
        "(drop (call $never))",
        "(call $stream) (call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 4)))",
    ];
    let bench = Bench::new();
    for body in endless {
        let outcome = bench.stackful(&format!("(loop $l {body} (br $l)) (i32.const 0)"));
        let codes = [TrapCode::TableFull, TrapCode::TooManyTasks];
        assert!(
            outcome.is_err_and(|code| codes.contains(&code)),
            "{body}: {outcome:?}"
        );
    }
}

/// The future of a host function calls the guest, which cancels that very call, and begins another.
#[test]
fn a_future_that_is_cancelled_while_it_is_polled() {
    const GUEST: &str = r#"
      (global $y (mut i32) (i32.const 0))
      ;; Waits for what `cancel` has begun, and returns its result.
      (func (export "run") (param i32)
        (global.set $r (call $started (call $wait (i32.const 77) (i32.const 64))))
        (loop $more
          (drop (call $yield))
          (br_if $more (i32.eqz (global.get $y))))
        (drop (call $set.wait (call $set-of (global.get $y)) (i32.const 0)))
        (call $subtask.drop (global.get $y))
        (global.set $y (i32.const 0))
        (call $return (i32.load (i32.const 72))))
      ;; Returns the state in which the call has ended.
      (func (export "cancel") (param i32) (local $state i32)
        (local.set $state (call $subtask.cancel (global.get $r)))
        (call $subtask.drop (global.get $r))
        (global.set $y (call $started (call $wait (i32.const 3) (i32.const 72))))
        (call $return (local.get $state)))"#;
    const EXPORTS: &str = r#"
      (func (export "run") async (param "n" u32) (result u32)
        (canon lift (core func $i "run") async))
      (func (export "cancel") async (param "n" u32) (result u32)
        (canon lift (core func $i "cancel") async))"#;
    // What the host's future does after that: it is ready, or goes on.
    for is_ready in [true, false] {
        let mut bench = Bench::new();
        let cancel = Arc::new(OnceLock::<crate::Func>::new());
        let theirs = Arc::clone(&cancel);
        bench.linker.allow_shadowing(true);
        let mut root = bench.linker.root();
        root.func_wrap_concurrent("wait", move |accessor, (n,): (u32,)| {
            if n != 77 {
                return wait(accessor, (n,));
            }
            let (cancel, live) = (*theirs.get().unwrap(), Live::new(accessor));
            Box::pin(async move {
                let _live = live;
                After(2).await;
                let (state,) = cancel.call_concurrent(accessor, (0,)).await?;
                assert_eq!(state, 4);
                match is_ready {
                    true => Ok((999,)),
                    false => std::future::pending().await,
                }
            })
        })
        .unwrap();
        let component = component(&bench.workshop, &guest(GUEST, EXPORTS));
        let mut store = Store::new(bench.workshop.engine(), Host::default());
        let instance = bench.linker.instantiate(&mut store, &component).unwrap();
        let [run, other] =
            ["run", "cancel"].map(|name| instance.get_typed_func(&mut store, name).unwrap());
        assert!(cancel.set(other).is_ok());
        let (result, _) = drive(run.call_async(&mut store, (0,)));
        assert_eq!((result.unwrap(), live(&store)), ((6,), 0), "{is_ready}");
        // Another call finds nothing of that.
        let (result, _) = drive(run.call_async(&mut store, (0,)));
        assert_eq!((result.unwrap(), live(&store)), ((6,), 0), "{is_ready}");
    }
}
