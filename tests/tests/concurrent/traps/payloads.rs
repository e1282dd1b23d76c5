//! The rows of `docs/async-traps.md` about payloads: what is written is no value of its type, or
//! the reader's `realloc` misbehaves, for streams and futures, between guests and with the host.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cwasm::{
    Component, FutureReader, FutureWriter, Instance, Lift, Linker, Lower, Result, Store,
    StreamReader, StreamWriter, TrapCode,
};
use cwasm_tests::artifact::Workshop;

use crate::builtins::TYPES;
use crate::{Host, component, drive, wait};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Wrong {
    Nothing,
    /// The text is not in the writer's memory.
    OutOfBounds,
    /// It is not UTF-8.
    Encoding,
    /// Longer than a text may be.
    TooLong,
    /// The reader's `realloc` gives a place that is not in its memory.
    Place,
    /// It traps.
    Realloc,
    /// It calls a function that must not be called there.
    Leaves,
    /// It makes the memory larger, so that it moves.
    Grows,
}

/// The rows: how it ends.
pub(super) const ROWS: &[(&str, Wrong, TrapCode)] = &[
    ("A31", Wrong::OutOfBounds, TrapCode::StringOutOfBounds),
    ("A31", Wrong::Encoding, TrapCode::InvalidStringEncoding),
    ("A31", Wrong::TooLong, TrapCode::StringTooLong),
    ("A32", Wrong::Place, TrapCode::StringOutOfBounds),
    ("A32", Wrong::Realloc, TrapCode::Unreachable),
    ("A95", Wrong::Leaves, TrapCode::CannotLeave),
];

/// What does not trap.
const RIGHT: [Wrong; 2] = [Wrong::Nothing, Wrong::Grows];

impl Wrong {
    /// Whether it is the writer that does it.
    fn is_of_writer(self) -> bool {
        matches!(self, Wrong::OutOfBounds | Wrong::Encoding | Wrong::TooLong)
    }
}

/// Two components. `make(wrong, turns)` of `$Writer` returns a stream or future, to which it writes
/// the text "text" so many turns later. `read(s, wrong, turns)` of `$Reader` reads that later, and
/// returns the length of the text that came; `run(wrong, turns, turns)` reads from `make`.
fn guest(kind: &str) -> String {
    // A stream is read and written with a length.
    let (length, param) = match kind {
        "stream" => ("(i32.const 1)", "i32"),
        _ => ("", ""),
    };
    format!(
        r#"(component
          (component $Writer
            {TYPES}
            (type $T ({kind} string))
            (core module $m
              (import "" "mem" (memory 1))
              (import "" "new" (func $new (result i64)))
              (import "" "write" (func $write (param i32 i32 {param}) (result i32)))
              (import "" "return" (func $return (param i32)))
              (import "" "yield" (func $yield (result i32)))
              (data (i32.const 1024) "text")
              (func (export "make") (param $wrong i32) (param $turns i32)
                (local $ends i64) (local $w i32)
                (i32.store (i32.const 64) (i32.const 1024))
                (i32.store (i32.const 68) (i32.const 4))
                (if (i32.eq (local.get $wrong) (i32.const 1)) (then
                  (i32.store (i32.const 64) (i32.const 65534))))
                (if (i32.eq (local.get $wrong) (i32.const 2)) (then
                  (i32.store8 (i32.const 1025) (i32.const 0xff))))
                (if (i32.eq (local.get $wrong) (i32.const 3)) (then
                  (i32.store (i32.const 68) (i32.const 0x10000000))))
                (local.set $ends (call $new))
                (local.set $w (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
                (call $return (i32.wrap_i64 (local.get $ends)))
                (loop $more
                  (if (local.get $turns) (then
                    (drop (call $yield))
                    (local.set $turns (i32.sub (local.get $turns) (i32.const 1)))
                    (br $more))))
                (drop (call $write (local.get $w) (i32.const 64) {length}))))
            (canon {kind}.new $T (core func $new))
            (canon {kind}.write $T async (memory $mem) (core func $write))
            (canon task.return (result $T) (core func $return))
            (canon thread.yield (core func $yield))
            (core instance $i (instantiate $m (with "" (instance
              (export "mem" (memory $mem)) (export "new" (func $new))
              (export "write" (func $write)) (export "return" (func $return))
              (export "yield" (func $yield))))))
            (func (export "make") async (param "wrong" u32) (param "turns" u32) (result $T)
              (canon lift (core func $i "make") async)))
          (component $Reader
            (type $T ({kind} string))
            (import "make" (func $make async (param "wrong" u32) (param "turns" u32) (result $T)))
            (canon lower (func $make) (core func $make))
            (canon waitable-set.new (core func $set.new))
            (canon task.return (result u32) (core func $return))
            (canon thread.yield (core func $yield))
            (core module $libc
              (import "" "set.new" (func $set.new (result i32)))
              (memory (export "mem") 1)
              (global $wrong (export "wrong") (mut i32) (i32.const 0))
              (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (if (i32.eq (global.get $wrong) (i32.const 4)) (then (return (i32.const 65533))))
                (if (i32.eq (global.get $wrong) (i32.const 5)) (then unreachable))
                (if (i32.eq (global.get $wrong) (i32.const 6)) (then
                  (return (call $set.new))))
                (if (i32.eq (global.get $wrong) (i32.const 7)) (then
                  (drop (memory.grow (i32.const 40)))
                  (return (i32.const 0x200000))))
                (i32.const 2048)))
            (core instance $libc (instantiate $libc (with "" (instance
              (export "set.new" (func $set.new))))))
            (alias core export $libc "mem" (core memory $mem))
            (alias core export $libc "realloc" (core func $realloc))
            (canon {kind}.read $T (memory $mem) (realloc $realloc) (core func $read))
            (core module $m
              (import "" "mem" (memory 1))
              (import "" "wrong" (global $wrong (mut i32)))
              (import "" "make" (func $make (param i32 i32) (result i32)))
              (import "" "read" (func $read (param i32 i32 {param}) (result i32)))
              (import "" "return" (func $return (param i32)))
              (import "" "yield" (func $yield (result i32)))
              (func $take (param $r i32) (param $wrong i32) (param $turns i32)
                (global.set $wrong (local.get $wrong))
                (loop $more
                  (if (local.get $turns) (then
                    (drop (call $yield))
                    (local.set $turns (i32.sub (local.get $turns) (i32.const 1)))
                    (br $more))))
                (drop (call $read (local.get $r) (i32.const 64) {length}))
                ;; The text must be there.
                (if (i32.ne (i32.load (i32.load (i32.const 64))) (i32.const 0x74786574)) (then
                  unreachable))
                (call $return (i32.load (i32.const 68))))
              (func (export "read") (param i32 i32 i32)
                (call $take (local.get 0) (local.get 1) (local.get 2)))
              (func (export "run") (param i32 i32 i32)
                (call $take (call $make (local.get 0) (local.get 1))
                  (local.get 0) (local.get 2))))
            (core instance $i (instantiate $m (with "" (instance
              (export "mem" (memory $mem)) (export "wrong" (global $libc "wrong"))
              (export "make" (func $make)) (export "read" (func $read))
              (export "return" (func $return)) (export "yield" (func $yield))))))
            (func (export "read") async (param "s" $T) (param "wrong" u32) (param "turns" u32)
              (result u32) (canon lift (core func $i "read") async))
            (func (export "run") async (param "wrong" u32) (param "write" u32) (param "read" u32)
              (result u32) (canon lift (core func $i "run") async)))
          (instance $writer (instantiate $Writer))
          (instance $reader (instantiate $Reader (with "make" (func $writer "make"))))
          (export "make" (func $writer "make"))
          (export "read" (func $reader "read"))
          (export "run" (func $reader "run")))"#
    )
}

/// Turns that the writer and the reader wait before: whoever comes first waits for the other.
const TURNS: [(u32, u32); 3] = [(0, 0), (0, 5), (5, 0)];

struct Bench {
    workshop: Workshop,
    linker: Linker<Host>,
    component: Component,
}

impl Bench {
    fn new(kind: &str) -> Bench {
        let workshop = Workshop::new();
        let mut linker = Linker::<Host>::new(workshop.engine());
        linker.root().func_wrap_concurrent("wait", wait).unwrap();
        let component = component(&workshop, &guest(kind));
        Bench {
            workshop,
            linker,
            component,
        }
    }

    /// Checks how `body` ends for all that can be wrong with this.
    fn check<F>(&self, name: &str, is_of: impl Fn(Wrong) -> bool, body: F)
    where
        F: Fn(&mut Store<Host>, Instance, u32, (u32, u32)) -> Result<u32>,
    {
        let rows = ROWS.iter().map(|(_, wrong, code)| (*wrong, Err(*code)));
        let right = RIGHT.map(|wrong| (wrong, Ok(4)));
        for (wrong, expected) in rows.chain(right).filter(|(wrong, _)| is_of(*wrong)) {
            for turns in TURNS {
                let case = format!("{name} {wrong:?} {turns:?}");
                let mut store = Store::new(self.workshop.engine(), Host::default());
                let live = Arc::clone(&store.data().live);
                let instance = self
                    .linker
                    .instantiate(&mut store, &self.component)
                    .unwrap();
                let result = body(&mut store, instance, wrong as u32, turns);
                let result = result.map_err(|error| match error.trap() {
                    Some(trap) => trap.code(),
                    None => panic!("{case}: no trap: {error:?}"),
                });
                assert_eq!(result, expected, "{case}");
                let run = run(&mut store, instance);
                let again = drive(run.call_async(&mut store, (0, 0, 0))).0;
                let again = again.map_err(|error| error.trap().expect("a trap").code());
                match expected {
                    Ok(_) => assert_eq!(again, Ok((4,)), "{case}"),
                    Err(_) => assert_eq!(again, Err(TrapCode::CannotEnter), "{case}"),
                }
                drop(store);
                assert_eq!(live.load(Ordering::Relaxed), 0, "{case}");
            }
        }
    }

    /// Between guests.
    fn check_guests(&self) {
        self.check(
            "guests",
            |_| true,
            |store, instance, wrong, (write, read)| {
                let run = run(store, instance);
                Ok(drive(run.call_async(&mut *store, (wrong, write, read)))
                    .0?
                    .0)
            },
        );
    }
}

type Run = cwasm::TypedFunc<(u32, u32, u32), (u32,)>;

fn run(store: &mut Store<Host>, instance: Instance) -> Run {
    instance.get_typed_func(store, "run").unwrap()
}

/// The end that `make` returns.
fn make<R: Lift + Send + 'static>(
    store: &mut Store<Host>,
    instance: Instance,
    wrong: u32,
    turns: u32,
) -> Result<R> {
    let make = instance.get_typed_func::<(u32, u32), (R,)>(&mut *store, "make")?;
    Ok(drive(make.call_async(&mut *store, (wrong, turns))).0?.0)
}

/// Calls `read`, while `write` runs.
fn read<E, F>(
    store: &mut Store<Host>,
    instance: Instance,
    (end, wrong, turns): (E, u32, u32),
    write: F,
) -> Result<u32>
where
    E: Lower + Send + 'static,
    F: AsyncFnOnce(&cwasm::Accessor<Host>) -> Result<()>,
{
    let read = instance.get_typed_func::<(E, u32, u32), (u32,)>(&mut *store, "read")?;
    let both = store.run_concurrent(async |accessor| {
        let call = read.call_concurrent(accessor, (end, wrong, turns));
        let ((), result) = tokio::try_join!(write(accessor), call)?;
        Ok::<_, cwasm::Error>(result)
    });
    Ok(drive(both).0??.0)
}

#[test]
fn payloads_of_streams() {
    let bench = Bench::new("stream");
    bench.check_guests();
    let of_writer = |wrong: Wrong| wrong.is_of_writer() || wrong == Wrong::Nothing;
    bench.check(
        "to the host",
        of_writer,
        |store, instance, wrong, (write, _)| {
            let mut end: StreamReader<String> = make(store, instance, wrong, write)?;
            let read = store.run_concurrent(async |accessor| end.read(accessor, 1).await);
            Ok(drive(read).0??[0].len() as u32)
        },
    );
    let of_reader = |wrong: Wrong| !wrong.is_of_writer();
    bench.check(
        "from the host",
        of_reader,
        |store, instance, wrong, (_, turns)| {
            let (mut writer, end) = StreamWriter::<String>::pair(&mut *store);
            read(store, instance, (end, wrong, turns), async |accessor| {
                writer
                    .write(accessor, vec!["text".to_owned()])
                    .await
                    .map(drop)
            })
        },
    );
}

#[test]
fn payloads_of_futures() {
    let bench = Bench::new("future");
    bench.check_guests();
    let of_writer = |wrong: Wrong| wrong.is_of_writer() || wrong == Wrong::Nothing;
    bench.check(
        "to the host",
        of_writer,
        |store, instance, wrong, (write, _)| {
            let end: FutureReader<String> = make(store, instance, wrong, write)?;
            let read = store.run_concurrent(async |accessor| end.read(accessor).await);
            Ok(drive(read).0??.unwrap().len() as u32)
        },
    );
    let of_reader = |wrong: Wrong| !wrong.is_of_writer();
    bench.check(
        "from the host",
        of_reader,
        |store, instance, wrong, (_, turns)| {
            let (writer, end) = FutureWriter::<String>::pair(&mut *store);
            read(store, instance, (end, wrong, turns), async |accessor| {
                writer.write(accessor, "text".to_owned()).await.map(drop)
            })
        },
    );
}
