//! Every built-in function with a handle of every kind: it does what it is for, or traps.

use cwasm::{Linker, Store, TrapCode};
use cwasm_tests::artifact::Workshop;

use crate::builtins::{self, BUILT_INS, HELPERS, TYPES};
use crate::{Host, component, drive, wait};

/// `run(what, kind)` makes a handle of a kind, and gives it to a built-in function.
const FUNCS: &str = r#"
    (func $make (param $kind i32) (result i32) (local $set i32)
      (block $9 (block $8 (block $7 (block $6 (block $5 (block $4 (block $3 (block $2 (block $1 (block $0
        (br_table $0 $1 $2 $3 $4 $5 $6 $7 $8 $9 (local.get $kind)))
        (return (i32.const 12345)))
        (return (i32.const 0)))
        (return (i32.const -1)))
        (local.set $set (call $set.new))
        (call $set.drop (local.get $set))
        (return (local.get $set)))
        (return (call $resource.new (i32.const 7))))
        (return (call $set.new)))
        (return (call $never)))
        (return (i32.wrap_i64 (call $stream.new))))
        (return (call $high (call $stream.new))))
      (if (i32.eq (local.get $kind) (i32.const 9)) (then
        (return (i32.wrap_i64 (call $future.new)))))
      (if (i32.eq (local.get $kind) (i32.const 10)) (then
        (return (call $high (call $future.new)))))
      (if (i32.eq (local.get $kind) (i32.const 11)) (then
        (return (i32.wrap_i64 (call $stream32.new)))))
      (call $high (call $stream32.new)))
    (func $use (param $what i32) (param $h i32) (result i32)
      (block $20 (block $19 (block $18 (block $17 (block $16 (block $15 (block $14
      (block $13 (block $12 (block $11 (block $10 (block $9 (block $8 (block $7
      (block $6 (block $5 (block $4 (block $3 (block $2 (block $1 (block $0
        (br_table $0 $1 $2 $3 $4 $5 $6 $7 $8 $9 $10 $11 $12 $13 $14 $15 $16 $17 $18 $19 $20
          (local.get $what)))
        (return (call $set.wait (local.get $h) (i32.const 0))))
        (return (call $set.poll (local.get $h) (i32.const 0))))
        (return (call $set.drop (local.get $h)) (i32.const 0)))
        (return (call $join (local.get $h) (call $set.new)) (i32.const 0)))
        (return (call $join (i32.wrap_i64 (call $stream.new)) (local.get $h)) (i32.const 0)))
        (return (call $subtask.cancel (local.get $h))))
        (return (call $subtask.drop (local.get $h)) (i32.const 0)))
        (return (call $stream.read (local.get $h) (i32.const 64) (i32.const 1))))
        (return (call $stream.write (local.get $h) (i32.const 64) (i32.const 1))))
        (return (call $stream.cancel-read (local.get $h))))
        (return (call $stream.cancel-write (local.get $h))))
        (return (call $stream.drop-readable (local.get $h)) (i32.const 0)))
        (return (call $stream.drop-writable (local.get $h)) (i32.const 0)))
        (return (call $future.read (local.get $h) (i32.const 64))))
        (return (call $future.write (local.get $h) (i32.const 64))))
        (return (call $future.cancel-read (local.get $h))))
        (return (call $future.cancel-write (local.get $h))))
        (return (call $future.drop-readable (local.get $h)) (i32.const 0)))
        (return (call $future.drop-writable (local.get $h)) (i32.const 0)))
        (return (call $resource.drop (local.get $h)) (i32.const 0)))
      (call $resource.rep (local.get $h)))
    (func (export "run") (param $what i32) (param $kind i32)
      (call $return (call $use (local.get $what) (call $make (local.get $kind)))))"#;

fn guest() -> String {
    let [imports, definitions, exports] =
        [builtins::imports, builtins::definitions, builtins::exports].map(|of| of(BUILT_INS));
    format!(
        r#"(component
          (import "wait" (func $wait async (param "n" u32) (result u32)))
          {TYPES}
          (core module $m
            (import "" "wait" (func $wait (param i32 i32) (result i32)))
            {imports} {HELPERS} {FUNCS})
          (canon lower (func $wait) async (memory $mem) (core func $wait))
          {definitions}
          (core instance $i (instantiate $m (with "" (instance
            (export "wait" (func $wait)) {exports}))))
          (func (export "run") async (param "what" u32) (param "kind" u32) (result u32)
            (canon lift (core func $i "run") async)))"#
    )
}

/// What the guest makes, by its numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u32)]
enum Kind {
    Unused,
    Zero,
    Largest,
    Removed,
    Resource,
    Set,
    Subtask,
    StreamReadable,
    StreamWritable,
    FutureReadable,
    FutureWritable,
    OtherReadable,
    OtherWritable,
}

/// All kinds, in the order of their numbers.
const KINDS: [Kind; 13] = [
    Kind::Unused,
    Kind::Zero,
    Kind::Largest,
    Kind::Removed,
    Kind::Resource,
    Kind::Set,
    Kind::Subtask,
    Kind::StreamReadable,
    Kind::StreamWritable,
    Kind::FutureReadable,
    Kind::FutureWritable,
    Kind::OtherReadable,
    Kind::OtherWritable,
];

/// A copy that has begun.
const BLOCKED: u32 = u32::MAX;

/// What a function does with a handle of this kind.
type Outcome = (Kind, Result<u32, TrapCode>);

/// The built-in functions, in the order of the guest's numbers, and what they do with the handles
/// that they are for.
const FUNCTIONS: [(&str, &[Outcome]); 21] = [
    ("waitable-set.wait", &[(Kind::Set, Err(TrapCode::Deadlock))]),
    ("waitable-set.poll", &[(Kind::Set, Ok(0))]),
    ("waitable-set.drop", &[(Kind::Set, Ok(0))]),
    (
        "waitable.join, the waitable",
        &[
            (Kind::Subtask, Ok(0)),
            (Kind::StreamReadable, Ok(0)),
            (Kind::StreamWritable, Ok(0)),
            (Kind::FutureReadable, Ok(0)),
            (Kind::FutureWritable, Ok(0)),
            (Kind::OtherReadable, Ok(0)),
            (Kind::OtherWritable, Ok(0)),
        ],
    ),
    (
        "waitable.join, the set",
        &[(Kind::Set, Ok(0)), (Kind::Zero, Ok(0))],
    ),
    // Cancelled before it has returned.
    ("subtask.cancel", &[(Kind::Subtask, Ok(4))]),
    (
        "subtask.drop",
        &[(Kind::Subtask, Err(TrapCode::SubtaskUnresolved))],
    ),
    ("stream.read", &[(Kind::StreamReadable, Ok(BLOCKED))]),
    ("stream.write", &[(Kind::StreamWritable, Ok(BLOCKED))]),
    (
        "stream.cancel-read",
        &[(Kind::StreamReadable, Err(TrapCode::NoCopy))],
    ),
    (
        "stream.cancel-write",
        &[(Kind::StreamWritable, Err(TrapCode::NoCopy))],
    ),
    ("stream.drop-readable", &[(Kind::StreamReadable, Ok(0))]),
    ("stream.drop-writable", &[(Kind::StreamWritable, Ok(0))]),
    ("future.read", &[(Kind::FutureReadable, Ok(BLOCKED))]),
    ("future.write", &[(Kind::FutureWritable, Ok(BLOCKED))]),
    (
        "future.cancel-read",
        &[(Kind::FutureReadable, Err(TrapCode::NoCopy))],
    ),
    (
        "future.cancel-write",
        &[(Kind::FutureWritable, Err(TrapCode::NoCopy))],
    ),
    ("future.drop-readable", &[(Kind::FutureReadable, Ok(0))]),
    (
        "future.drop-writable",
        &[(Kind::FutureWritable, Err(TrapCode::FutureUnwritten))],
    ),
    ("resource.drop", &[(Kind::Resource, Ok(0))]),
    ("resource.rep", &[(Kind::Resource, Ok(7))]),
];

/// How functions refuse handles that they are not for.
const REFUSALS: [TrapCode; 3] = [
    TrapCode::UnknownHandle,
    TrapCode::WrongHandleKind,
    TrapCode::WrongResourceType,
];

#[test]
fn handles_of_the_wrong_kind_trap() {
    let workshop = Workshop::new();
    let component = component(&workshop, &guest());
    let mut linker = Linker::<Host>::new(workshop.engine());
    linker.root().func_wrap_concurrent("wait", wait).unwrap();
    for (what, (name, accepted)) in FUNCTIONS.iter().enumerate() {
        for kind in KINDS {
            let mut store = Store::new(workshop.engine(), Host::default());
            let instance = linker.instantiate(&mut store, &component).unwrap();
            let run = instance
                .get_typed_func::<(u32, u32), (u32,)>(&mut store, "run")
                .unwrap();
            let (result, _) = drive(run.call_async(&mut store, (what as u32, kind as u32)));
            let result = match result {
                Ok((value,)) => Ok(value),
                Err(error) => Err(error.trap().expect("a trap").code()),
            };
            match accepted.iter().find(|(accepted, _)| *accepted == kind) {
                Some((_, expected)) => assert_eq!(result, *expected, "{name} of {kind:?}"),
                None => assert!(
                    result.is_err_and(|code| REFUSALS.contains(&code)),
                    "{name} of {kind:?}: {result:?}"
                ),
            }
        }
    }
}
