//! What does not trap, though one might think so, and where the loader is not as the specification:
//! both are in `docs/async-traps.md`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cwasm::{Linker, Resource, Store, TrapCode};
use cwasm_tests::artifact::Workshop;

use super::row::{ALL, ASYNC, RETURNING, Row, SYNC, WAITING, Within, beside, row, waiting};
use super::{Bench, Caller, Lent, NUMBER, Trial, call};
use crate::{After, Host, component, drive};

/// A read or write that has begun.
const BLOCKED: u32 = u32::MAX;

/// What does not trap: the value that is returned.
pub(super) const ROWS: &[Row<u32>] = &[
    row(
        "N1",
        ALL,
        &[
            // Members that have left, or are gone.
            (
                "(call $stream) (local.set $x (call $set-of (global.get $r)))
                (call $join (global.get $r) (i32.const 0)) (call $set.drop (local.get $x))
                (i32.const 5)",
                5,
            ),
            (
                "(call $stream) (local.set $x (call $set-of (global.get $r)))
                (call $stream.drop-readable (global.get $r)) (call $set.drop (local.get $x))
                (i32.const 5)",
                5,
            ),
            (
                "(call $stream) (drop (call $set-of (global.get $r)))
                (drop (call $set-of (global.get $r))) (i32.const 5)",
                5,
            ),
            ("(call $set.poll (call $set.new) (i32.const 0))", 0),
        ],
    ),
    row(
        "N2",
        ALL,
        &[
            (
                "(call $ends (call $stream32.new))
                (call $stream32.read (global.get $r) (i32.const 65) (i32.const 0))",
                BLOCKED,
            ),
            (
                "(call $stream) (call $stream.write (global.get $w) (i32.const -1) (i32.const 0))",
                BLOCKED,
            ),
        ],
    ),
    row(
        "N3",
        ALL,
        &[
            (
                "(local.set $x (i32.const 65535))
                (loop $more (call $backpressure.inc)
                  (br_if $more (local.tee $x (i32.sub (local.get $x) (i32.const 1)))))
                (local.set $x (i32.const 65535))
                (loop $more (call $backpressure.dec)
                  (br_if $more (local.tee $x (i32.sub (local.get $x) (i32.const 1)))))
                (i32.const 5)",
                5,
            ),
        ],
    ),
    Row {
        within: Within::Realloc,
        ..row("N4", ALL, ANYWHERE)
    },
    Row {
        within: Within::PostReturn,
        ..row("N4", RETURNING, ANYWHERE)
    },
    // A function that must not wait, where it need not.
    row(
        "N5",
        SYNC,
        &[
            ("(call $yield)", 0),
            ("(call $wait-sync (i32.const 0))", 0),
            ("(call $delay-sync (i32.const 0))", 0),
            (
                "(call $stream)
                (call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 4)))
                (call $stream.drop-writable (global.get $w))
                (call $set.wait (call $set-of (global.get $r)) (i32.const 0))",
                2,
            ),
            (
                "(call $stream) (call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 4)))
                (call $stream.write-sync (global.get $w) (i32.const 68) (i32.const 1))",
                0x10,
            ),
        ],
    ),
    beside(
        "N6",
        SYNC,
        "(call $backpressure.inc) (call $set.wait (call $set.new) (i32.const 0))",
        &[("(i32.const 5)", 5)],
    ),
    // A subtask that has returned, which nobody has seen: its state.
    waiting(
        "N7",
        WAITING,
        &[(
            "(local.set $x (call $started (call $wait (i32.const 1) (i32.const 64))))
            (drop (call $wait-sync (i32.const 3))) (call $subtask.cancel (local.get $x))",
            2,
        )],
    ),
    // The memory grows between a write and the read that meets it.
    row(
        "N9",
        ALL,
        &[(
            "(call $stream) (i32.store (i32.const 64) (i32.const 0x04030201))
            (call $begun (call $stream.write (global.get $w) (i32.const 64) (i32.const 4)))
            (drop (memory.grow (i32.const 100)))
            (drop (call $stream.read (global.get $r) (i32.const 0x600000) (i32.const 4)))
            (i32.load (i32.const 0x600000))",
            0x0403_0201,
        )],
    ),
    // The deviations.
    row(
        "D1",
        ALL,
        &[
            (
                "(call $stream) (call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 1)))
                (drop (call $set-of (global.get $r))) (call $stream.cancel-read (global.get $r))",
                2,
            ),
            (
                "(call $stream) (call $begun (call $stream.write (global.get $w) (i32.const 64) (i32.const 1)))
                (drop (call $set-of (global.get $w))) (call $stream.cancel-write (global.get $w))",
                2,
            ),
            (
                "(call $future) (call $begun (call $future.read (global.get $r) (i32.const 64)))
                (drop (call $set-of (global.get $r))) (call $future.cancel-read (global.get $r))",
                2,
            ),
            (
                "(call $future) (call $begun (call $future.write (global.get $w) (i32.const 64)))
                (drop (call $set-of (global.get $w))) (call $future.cancel-write (global.get $w))",
                2,
            ),
        ],
    ),
    row(
        "D2",
        ASYNC,
        &[(
            "(call $return-u32 (i32.const 5)) (global.set $silent (i32.const 1)) (i32.const 6)",
            5,
        )],
    ),
];

/// What is allowed where an instance may not be left. What it makes is where `realloc` puts a text.
const ANYWHERE: &[(&str, u32)] = &[
    (
        "(call $backpressure.inc) (call $backpressure.dec) (i32.const 64)",
        0,
    ),
    (
        "(call $context.set (i32.const 7)) (drop (call $context.get)) (i32.const 64)",
        0,
    ),
];

#[test]
fn what_does_not_trap() {
    for caller in Caller::ALL {
        let bench = Bench::new(ROWS, NUMBER);
        bench.trials(caller, |which, path| {
            let Trial {
                mut store,
                instance,
                pause,
                call: what,
                name,
            } = bench.trial(which, path);
            let live = Arc::clone(&store.data().live);
            let (_, expected) = ROWS[which.0].cases[which.1];
            let result = call::<u32>(&mut store, instance, path, what);
            assert_eq!(result, Ok(expected), "{name}");
            let result = drive(pause.call_async(&mut store, (4,))).0;
            assert_eq!(result.unwrap(), (8,), "{name}");
            drop(store);
            assert_eq!(live.load(Ordering::Relaxed), 0, "{name}");
        });
    }
}

#[test]
fn what_waits_for_ever_in_run_concurrent() {
    const ENDLESS: &[Row<u32>] = &[row(
        "N11",
        WAITING,
        &[("(call $set.wait (call $set.new) (i32.const 0))", 0)],
    )];
    let bench = Bench::new(ENDLESS, NUMBER);
    bench.trials(Caller::HostBeside, |which, path| {
        let Trial {
            mut store,
            instance,
            call: (row, text),
            ..
        } = bench.trial(which, path);
        let name = path.0.function(path.1).unwrap();
        let func = instance
            .get_typed_func::<(u32, Resource<Lent>, String), (u32,)>(&mut store, &name)
            .unwrap();
        let result = drive(store.run_concurrent(async |accessor| {
            let params = (row, Resource::new_borrow(5), text.to_owned());
            let call = func.call_concurrent(accessor, params);
            // It is pending until the body has waited long enough.
            tokio::select! {
                biased;
                _ = call => false,
                () = After(20) => true,
            }
        }));
        assert!(result.0.unwrap(), "{name}");
    });
}

/// A destructor, or a start function, with this body.
fn without_task(body: &str, is_start: bool) -> String {
    let (start, drop) = match is_start {
        true => ("(start $body)", ""),
        false => ("", "(call $drop (call $new (i32.const 1)))"),
    };
    format!(
        r#"(component
          (core module $libc (memory (export "mem") 1)
            (table (export "t") 1 funcref)
            (func (export "dtor") (param i32)
              (call_indirect (i32.const 0))))
          (core instance $libc (instantiate $libc))
          (alias core export $libc "mem" (core memory $mem))
          (type $S (stream u8))
          (type $R (resource (rep i32) (dtor (core func $libc "dtor"))))
          (canon thread.yield (core func $yield))
          (canon waitable-set.new (core func $set.new))
          (canon waitable-set.wait (memory $mem) (core func $set.wait))
          (canon waitable.join (core func $join))
          (canon stream.new $S (core func $stream.new))
          (canon stream.read $S async (memory $mem) (core func $stream.read))
          (canon stream.drop-writable $S (core func $stream.drop-writable))
          (canon resource.new $R (core func $new))
          (canon resource.drop $R (core func $drop))
          (core module $m
            (import "" "t" (table 1 funcref))
            (import "" "yield" (func $yield (result i32)))
            (import "" "set.new" (func $set.new (result i32)))
            (import "" "set.wait" (func $set.wait (param i32 i32) (result i32)))
            (import "" "join" (func $join (param i32 i32)))
            (import "" "stream.new" (func $stream.new (result i64)))
            (import "" "stream.read" (func $stream.read (param i32 i32 i32) (result i32)))
            (import "" "stream.drop-writable" (func $stream.drop-writable (param i32)))
            (import "" "new" (func $new (param i32) (result i32)))
            (import "" "drop" (func $drop (param i32)))
            (elem (i32.const 0) $body)
            (func $body (local $ends i64) (local $r i32) (local $set i32) {body})
            {start}
            (func (export "run") (result i32) {drop} (i32.const 5)))
          (core instance $i (instantiate $m (with "" (instance
            (export "t" (table $libc "t"))
            (export "yield" (func $yield)) (export "set.new" (func $set.new))
            (export "set.wait" (func $set.wait)) (export "join" (func $join))
            (export "stream.new" (func $stream.new)) (export "stream.read" (func $stream.read))
            (export "stream.drop-writable" (func $stream.drop-writable))
            (export "new" (func $new)) (export "drop" (func $drop))))))
          (func (export "run") (result u32) (canon lift (core func $i "run"))))"#
    )
}

/// How destructors and start functions end that do what may wait.
pub(super) const WITHOUT_TASK: &[(&str, Result<u32, TrapCode>)] = &[
    ("(drop (call $yield))", Ok(5)),
    // There is an event.
    (
        "(local.set $ends (call $stream.new))
        (local.set $r (i32.wrap_i64 (local.get $ends)))
        (drop (call $stream.read (local.get $r) (i32.const 64) (i32.const 1)))
        (call $stream.drop-writable
          (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
        (local.set $set (call $set.new))
        (call $join (local.get $r) (local.get $set))
        (drop (call $set.wait (local.get $set) (i32.const 0)))",
        Ok(5),
    ),
    (
        "(drop (call $set.wait (call $set.new) (i32.const 0)))",
        Err(TrapCode::CannotBlock),
    ),
];

#[test]
fn destructors_and_start_functions_that_may_wait() {
    let workshop = Workshop::new();
    let linker = Linker::<Host>::new(workshop.engine());
    for (body, expected) in WITHOUT_TASK {
        for is_start in [false, true] {
            let component = component(&workshop, &without_task(body, is_start));
            let mut store = Store::new(workshop.engine(), Host::default());
            let made = drive(linker.instantiate_async(&mut store, &component)).0;
            let result = made.and_then(|instance| {
                let run = instance.get_typed_func::<(), (u32,)>(&mut store, "run")?;
                drive(run.call_async(&mut store, ())).0
            });
            let result = match result {
                Ok((value,)) => Ok(value),
                Err(error) => Err(error.trap().expect("a trap").code()),
            };
            assert_eq!(result, *expected, "start: {is_start}: {body}");
        }
    }
}
