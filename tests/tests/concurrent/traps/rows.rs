//! The rows of `docs/async-traps.md` that a guest can reach by itself: what it does, and the traps.

use cwasm::TrapCode::{self, *};

use super::guest::Kind::{self, *};

/// What tasks do under a condition, and how that ends: by a trap, or with a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<E: 'static = TrapCode> {
    /// Its name in the page.
    pub(super) id: &'static str,
    /// In which tasks it can be.
    pub(super) kinds: &'static [Kind],
    /// Where in the task.
    pub(super) within: Within,
    /// What another task of the same instance does before: it waits in the middle of that.
    pub(super) beside: &'static str,
    /// Whether the task keeps the resource that it has borrowed.
    pub(super) keeps: bool,
    /// What it waits for.
    pub(super) waits: Waits,
    /// What it does, and how that ends.
    pub(super) cases: Cases<E>,
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    Nothing,
    /// The host: one that does not wait cannot call it.
    Host,
    /// What never comes. `run_concurrent` is pending then: its body may wait for something else.
    Never,
}

/// Which code of a task does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Within {
    /// The function, or the callback.
    Function,
    /// `realloc`, which is called for the parameters.
    Realloc,
    /// The post-return function.
    PostReturn,
}

/// All kinds of tasks.
pub(super) const ALL: &[Kind] = &Kind::ALL;
/// Those that return by `task.return`.
pub(super) const ASYNC: &[Kind] = &[Callback, Yielding, Stackful];
/// Those that have a callback.
const CALLBACKS: &[Kind] = &[Callback, Yielding];
/// Those that return a value.
pub(super) const RETURNING: &[Kind] = &[Plain, Sync];
/// Those that may wait.
pub(super) const WAITING: &[Kind] = &[Callback, Yielding, Stackful, Plain];
/// Those that must not.
pub(super) const SYNC: &[Kind] = &[Sync];

type Cases<E> = &'static [(&'static str, E)];

/// What is done by the function itself.
pub(super) const fn row<E>(id: &'static str, kinds: &'static [Kind], cases: Cases<E>) -> Row<E> {
    Row {
        id,
        kinds,
        within: Within::Function,
        beside: "",
        keeps: false,
        waits: Waits::Nothing,
        cases,
    }
}

/// What waits for the host.
pub(super) const fn waiting<E>(
    id: &'static str,
    kinds: &'static [Kind],
    cases: Cases<E>,
) -> Row<E> {
    Row {
        waits: Waits::Host,
        ..row(id, kinds, cases)
    }
}

/// What waits for what never comes.
const fn endless(row: Row) -> Row {
    Row {
        waits: Waits::Never,
        ..row
    }
}

/// What is done while another task of the instance waits.
pub(super) const fn beside<E>(
    id: &'static str,
    kinds: &'static [Kind],
    beside: &'static str,
    cases: Cases<E>,
) -> Row<E> {
    Row {
        beside,
        ..row(id, kinds, cases)
    }
}

/// What is done with a borrowed resource at hand.
const fn keeping(id: &'static str, kinds: &'static [Kind], cases: Cases<TrapCode>) -> Row {
    Row {
        keeps: true,
        ..row(id, kinds, cases)
    }
}

pub(super) const ROWS: &[Row] = &[
    // canon lift
    row(
        "A1",
        ASYNC,
        &[("(global.set $silent (i32.const 1)) (i32.const 0)", NoReturn)],
    ),
    keeping("A2", RETURNING, &[("(i32.const 0)", BorrowsRemain)]),
    row(
        "A3",
        CALLBACKS,
        &[
            ("(global.set $code (i32.const 3)) (i32.const 0)", InvalidCallbackCode),
            ("(global.set $code (i32.const 15)) (i32.const 0)", InvalidCallbackCode),
            ("(global.set $code (i32.const -1)) (i32.const 0)", InvalidCallbackCode),
            (
                "(global.set $code (i32.const 4)) (global.set $silent (i32.const 1)) (i32.const 0)",
                InvalidCallbackCode,
            ),
        ],
    ),
    row(
        "A4",
        CALLBACKS,
        &[
            ("(global.set $code (i32.const 2)) (i32.const 0)", UnknownHandle),
            ("(global.set $code (i32.const 0xfffffff2)) (i32.const 0)", UnknownHandle),
            (
                "(call $stream)
                (global.set $code (i32.or (i32.const 2) (i32.shl (global.get $r) (i32.const 4))))
                (i32.const 0)",
                WrongHandleKind,
            ),
        ],
    ),
    row(
        "A5",
        SYNC,
        &[
            ("(call $set.wait (call $set.new) (i32.const 0))", CannotBlock),
            ("(call $wait-sync (i32.const 1))", CannotBlock),
            ("(call $delay-sync (i32.const 1))", CannotBlock),
            ("(call $stream) (call $stream.read-sync (global.get $r) (i32.const 64) (i32.const 1))", CannotBlock),
            ("(call $stream) (call $stream.write-sync (global.get $w) (i32.const 64) (i32.const 1))", CannotBlock),
            ("(call $future) (call $future.read-sync (global.get $r) (i32.const 64))", CannotBlock),
            ("(call $future) (call $future.write-sync (global.get $w) (i32.const 64))", CannotBlock),
            ("(call $subtask.cancel (call $started (call $delay (i32.const -1) (i32.const 64))))", CannotBlock),
        ],
    ),
    endless(row(
        "A6",
        WAITING,
        &[
            ("(call $set.wait (call $set.new) (i32.const 0))", Deadlock),
            ("(call $stream) (call $stream.read-sync (global.get $r) (i32.const 64) (i32.const 1))", Deadlock),
            ("(call $stream) (call $stream.write-sync (global.get $w) (i32.const 64) (i32.const 1))", Deadlock),
            ("(call $future) (call $future.read-sync (global.get $r) (i32.const 64))", Deadlock),
            ("(call $future) (call $future.write-sync (global.get $w) (i32.const 64))", Deadlock),
        ],
    )),
    endless(row(
        "A7",
        CALLBACKS,
        &[(
            "(global.set $silent (i32.const 1))
            (global.set $code (i32.or (i32.const 2) (i32.shl (call $set.new) (i32.const 4))))
            (i32.const 0)",
            Deadlock,
        )],
    )),
    endless(beside(
        "A8",
        WAITING,
        "(call $backpressure.inc) (call $set.wait (call $set.new) (i32.const 0))",
        &[("(i32.const 0)", Deadlock)],
    )),
    // canon lower
    row(
        "A9",
        ALL,
        &[
            ("(call $many (i32.const 2))", UnalignedPointer),
            ("(call $many (i32.const 65520))", MemoryOutOfBounds),
            ("(call $many (i32.const -4))", MemoryOutOfBounds),
            ("(call $other.many (i32.const 2))", UnalignedPointer),
            ("(call $other.many (i32.const 65520))", MemoryOutOfBounds),
            ("(call $other.many (i32.const -4))", MemoryOutOfBounds),
        ],
    ),
    row(
        "A10",
        ALL,
        &[
            ("(call $wait (i32.const 0) (i32.const 65))", UnalignedPointer),
            ("(call $wait (i32.const 0) (i32.const 65536))", MemoryOutOfBounds),
            ("(call $wait (i32.const 0) (i32.const -4))", MemoryOutOfBounds),
            ("(call $delay (i32.const 0) (i32.const 65))", UnalignedPointer),
            ("(call $delay (i32.const 0) (i32.const 65536))", MemoryOutOfBounds),
            ("(call $delay (i32.const 0) (i32.const -4))", MemoryOutOfBounds),
        ],
    ),
    waiting(
        "A11",
        WAITING,
        &[
            (
                "(call $set.wait (call $set-of (call $started
                  (call $wait (i32.const 3) (i32.const 65)))) (i32.const 0))",
                UnalignedPointer,
            ),
            (
                "(call $set.wait (call $set-of (call $started
                  (call $wait (i32.const 3) (i32.const -4)))) (i32.const 0))",
                MemoryOutOfBounds,
            ),
            (
                "(call $set.wait (call $set-of (call $started
                  (call $delay (i32.const 3) (i32.const 65)))) (i32.const 0))",
                UnalignedPointer,
            ),
            (
                "(call $set.wait (call $set-of (call $started
                  (call $delay (i32.const 3) (i32.const -4)))) (i32.const 0))",
                MemoryOutOfBounds,
            ),
        ],
    ),
    row(
        "A12",
        ALL,
        &[
            ("(loop $l (drop (call $never)) (br $l)) (i32.const 0)", TableFull),
        ],
    ),
    row(
        "A13",
        ALL,
        &[(
            "(loop $l (drop (call $started (call $delay (i32.const -1) (i32.const 64)))) (br $l))
            (i32.const 0)",
            HostError,
        )],
    ),
    keeping(
        "A14",
        ALL,
        &[
            (
                "(drop (call $started (call $hold (global.get $h)))) (call $h.drop (global.get $h))
                (i32.const 0)",
                ResourceBorrowed,
            ),
            (
                "(drop (call $started (call $other.hold (global.get $h))))
                (call $h.drop (global.get $h)) (i32.const 0)",
                ResourceBorrowed,
            ),
        ],
    ),
    row(
        "A15",
        ALL,
        &[
            ("(call $say (i32.const 0) (i32.const 0) (i32.const 0xd800))", InvalidChar),
            ("(call $other.say (i32.const 0) (i32.const 0) (i32.const 0x110000))", InvalidChar),
            ("(call $say (i32.const 65535) (i32.const 2) (i32.const 65))", StringOutOfBounds),
            ("(call $other.say (i32.const 65535) (i32.const 2) (i32.const 65))", StringOutOfBounds),
            (
                "(i32.store8 (i32.const 64) (i32.const 0xff))
                (call $say (i32.const 64) (i32.const 1) (i32.const 65))",
                InvalidStringEncoding,
            ),
            (
                "(i32.store8 (i32.const 64) (i32.const 0xff))
                (call $other.say (i32.const 64) (i32.const 1) (i32.const 65))",
                InvalidStringEncoding,
            ),
        ],
    ),
    // Streams and futures that are passed on
    row(
        "A16",
        ALL,
        &[
            ("(call $take (i32.const 12345))", UnknownHandle),
            ("(call $other.take (i32.const 12345))", UnknownHandle),
            ("(call $take-future (i32.const 0))", UnknownHandle),
            ("(call $other.take-future (i32.const 0))", UnknownHandle),
            ("(call $take-sync (i32.const -1)) (i32.const 0)", UnknownHandle),
            ("(call $other.take-sync (i32.const -1)) (i32.const 0)", UnknownHandle),
            ("(call $stream) (drop (call $take (global.get $r))) (call $take (global.get $r))", UnknownHandle),
            ("(call $stream) (drop (call $other.take (global.get $r))) (call $take (global.get $r))", UnknownHandle),
            ("(call $take (call $set.new))", WrongHandleKind),
            ("(call $stream) (call $take (global.get $w))", WrongHandleKind),
            ("(call $stream) (call $other.take (global.get $w))", WrongHandleKind),
            ("(call $future) (call $take (global.get $r))", WrongHandleKind),
            ("(call $stream) (call $other.take-future (global.get $r))", WrongHandleKind),
        ],
    ),
    row(
        "A17",
        ALL,
        &[
            ("(call $ends (call $stream32.new)) (call $take (global.get $r))", WrongHandleKind),
            ("(call $ends (call $stream32.new)) (call $other.take (global.get $r))", WrongHandleKind),
            ("(call $ends (call $future32.new)) (call $take-future (global.get $r))", WrongHandleKind),
            ("(call $ends (call $future32.new)) (call $other.take-future (global.get $r))", WrongHandleKind),
        ],
    ),
    row(
        "A18",
        ALL,
        &[
            (
                "(call $stream) (call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 1)))
                (call $take (global.get $r))",
                EndBusy,
            ),
            (
                "(call $stream) (call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 1)))
                (call $other.take (global.get $r))",
                EndBusy,
            ),
            (
                "(call $future) (call $begun (call $future.read (global.get $r) (i32.const 64)))
                (call $take-future (global.get $r))",
                EndBusy,
            ),
            (
                "(call $future) (call $begun (call $future.read (global.get $r) (i32.const 64)))
                (call $other.take-future (global.get $r))",
                EndBusy,
            ),
        ],
    ),
    row(
        "A19",
        ALL,
        &[
            (
                "(call $stream) (call $stream.drop-writable (global.get $w))
                (drop (call $stream.read (global.get $r) (i32.const 64) (i32.const 1)))
                (call $take (global.get $r))",
                EndDone,
            ),
            (
                "(call $stream) (call $stream.drop-writable (global.get $w))
                (drop (call $stream.read (global.get $r) (i32.const 64) (i32.const 1)))
                (call $other.take (global.get $r))",
                EndDone,
            ),
            (
                "(call $future) (call $begun (call $future.write (global.get $w) (i32.const 64)))
                (drop (call $future.read (global.get $r) (i32.const 64)))
                (call $take-future (global.get $r))",
                EndDone,
            ),
            (
                "(call $future) (call $begun (call $future.write (global.get $w) (i32.const 64)))
                (drop (call $future.read (global.get $r) (i32.const 64)))
                (call $other.take-future (global.get $r))",
                EndDone,
            ),
        ],
    ),
    row(
        "A20",
        ALL,
        &[
            ("(call $stream) (drop (call $set-of (global.get $r))) (call $take (global.get $r))", WaitableInUse),
            ("(call $stream) (drop (call $set-of (global.get $r))) (call $other.take (global.get $r))", WaitableInUse),
            ("(call $future) (drop (call $set-of (global.get $r))) (call $take-future (global.get $r))", WaitableInUse),
            ("(call $future) (drop (call $set-of (global.get $r))) (call $other.take-future (global.get $r))", WaitableInUse),
        ],
    ),
    // backpressure
    row(
        "A33",
        ALL,
        &[(
            "(local.set $x (i32.const 65536))
            (loop $more (call $backpressure.inc)
              (br_if $more (local.tee $x (i32.sub (local.get $x) (i32.const 1)))))
            (i32.const 0)",
            BackpressureOverflow,
        )],
    ),
    row(
        "A34",
        ALL,
        &[
            ("(call $backpressure.dec) (i32.const 0)", BackpressureOverflow),
            (
                "(call $backpressure.inc) (call $backpressure.dec) (call $backpressure.dec)
                (i32.const 0)",
                BackpressureOverflow,
            ),
        ],
    ),
    // task.return, task.cancel
    row(
        "A35",
        RETURNING,
        &[("(call $return-u32 (i32.const 1)) (i32.const 2)", SyncTask)],
    ),
    row(
        "A36",
        ASYNC,
        &[
            ("(call $return-u64 (i64.const 1)) (i32.const 2)", InvalidTaskReturn),
            ("(call $return-nothing) (i32.const 2)", InvalidTaskReturn),
        ],
    ),
    row(
        "A37",
        ASYNC,
        &[
            ("(call $return-other (i32.const 1)) (i32.const 2)", InvalidTaskReturn),
            ("(call $return-utf16 (i32.const 1)) (i32.const 2)", InvalidTaskReturn),
        ],
    ),
    row(
        "A38",
        ASYNC,
        &[("(call $return (i32.const 1)) (i32.const 2)", TaskResolved)],
    ),
    keeping("A39", ASYNC, &[("(i32.const 0)", BorrowsRemain)]),
    row("A40", RETURNING, &[("(call $task.cancel) (i32.const 2)", SyncTask)]),
    row("A41", ASYNC, &[("(call $task.cancel) (i32.const 2)", TaskNotCancelled)]),
    row(
        "A42",
        ASYNC,
        &[("(call $return (i32.const 1)) (call $task.cancel) (i32.const 2)", TaskResolved)],
    ),
    // waitable-set
    row(
        "A45",
        ALL,
        &[("(loop $l (drop (call $set.new)) (br $l)) (i32.const 0)", TableFull)],
    ),
    row(
        "A46",
        ALL,
        &[
            ("(call $set.wait (i32.const 0) (i32.const 0))", UnknownHandle),
            ("(call $set.wait (i32.const 12345) (i32.const 0))", UnknownHandle),
            ("(call $stream) (call $set.wait (global.get $r) (i32.const 0))", WrongHandleKind),
            ("(call $set.wait (call $resource.new (i32.const 7)) (i32.const 0))", WrongHandleKind),
        ],
    ),
    row(
        "A47",
        ALL,
        &[
            (
                "(call $stream)
                (call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 4)))
                (call $stream.drop-writable (global.get $w))
                (call $set.wait (call $set-of (global.get $r)) (i32.const 2))",
                UnalignedPointer,
            ),
            (
                "(call $stream)
                (call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 4)))
                (call $stream.drop-writable (global.get $w))
                (call $set.wait (call $set-of (global.get $r)) (i32.const 65532))",
                MemoryOutOfBounds,
            ),
            (
                "(call $stream)
                (call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 4)))
                (call $stream.drop-writable (global.get $w))
                (call $set.wait (call $set-of (global.get $r)) (i32.const -4))",
                MemoryOutOfBounds,
            ),
        ],
    ),
    row(
        "A48",
        ALL,
        &[
            ("(call $set.poll (i32.const 0) (i32.const 0))", UnknownHandle),
            ("(call $set.poll (i32.const -1) (i32.const 0))", UnknownHandle),
            ("(call $stream) (call $set.poll (global.get $w) (i32.const 0))", WrongHandleKind),
            ("(call $set.poll (call $never) (i32.const 0))", WrongHandleKind),
        ],
    ),
    row(
        "A49",
        ALL,
        &[
            ("(call $set.poll (call $set.new) (i32.const 6))", UnalignedPointer),
            ("(call $set.poll (call $set.new) (i32.const 65532))", MemoryOutOfBounds),
            ("(call $set.poll (call $set.new) (i32.const -8))", MemoryOutOfBounds),
        ],
    ),
    row(
        "A50",
        ALL,
        &[
            ("(call $set.drop (i32.const 0)) (i32.const 0)", UnknownHandle),
            (
                "(local.set $x (call $set.new)) (call $set.drop (local.get $x))
                (call $set.drop (local.get $x)) (i32.const 0)",
                UnknownHandle,
            ),
            ("(call $future) (call $set.drop (global.get $w)) (i32.const 0)", WrongHandleKind),
        ],
    ),
    row(
        "A51",
        ALL,
        &[
            (
                "(call $stream) (call $set.drop (call $set-of (global.get $r))) (i32.const 0)",
                SetInUse,
            ),
            ("(call $set.drop (call $set-of (call $never))) (i32.const 0)", SetInUse),
        ],
    ),
    beside(
        "A52",
        ALL,
        "(global.set $set (call $set.new)) (call $set.wait (global.get $set) (i32.const 0))",
        &[("(call $set.drop (global.get $set)) (i32.const 0)", SetInUse)],
    ),
    row(
        "A53",
        ALL,
        &[
            ("(call $join (i32.const 0) (i32.const 0)) (i32.const 0)", UnknownHandle),
            ("(call $join (i32.const 12345) (call $set.new)) (i32.const 0)", UnknownHandle),
            ("(call $join (call $set.new) (call $set.new)) (i32.const 0)", WrongHandleKind),
            ("(call $join (call $resource.new (i32.const 7)) (i32.const 0)) (i32.const 0)", WrongHandleKind),
        ],
    ),
    row(
        "A54",
        ALL,
        &[
            ("(call $stream) (call $join (global.get $r) (i32.const 12345)) (i32.const 0)", UnknownHandle),
            ("(call $stream) (call $join (global.get $r) (global.get $w)) (i32.const 0)", WrongHandleKind),
        ],
    ),
    beside(
        "A55",
        ALL,
        "(call $stream) (call $stream.read-sync (global.get $r) (i32.const 64) (i32.const 1))",
        &[
            ("(call $join (global.get $r) (call $set.new)) (i32.const 0)", WaitableInUse),
            ("(call $join (global.get $r) (i32.const 0)) (i32.const 0)", WaitableInUse),
        ],
    ),
    beside(
        "A56",
        ALL,
        "(global.set $r (call $started (call $delay (i32.const -1) (i32.const 64))))
        (call $subtask.cancel (global.get $r))",
        &[("(call $join (global.get $r) (call $set.new)) (i32.const 0)", WaitableInUse)],
    ),
    // subtask
    row(
        "A57",
        ALL,
        &[
            ("(call $subtask.cancel (i32.const 0))", UnknownHandle),
            ("(call $subtask.cancel-async (i32.const -1))", UnknownHandle),
            ("(call $subtask.cancel (call $set.new))", WrongHandleKind),
            ("(call $stream) (call $subtask.cancel-async (global.get $r))", WrongHandleKind),
        ],
    ),
    row(
        "A58",
        ALL,
        &[
            (
                "(local.set $x (call $never)) (drop (call $subtask.cancel (local.get $x)))
                (call $subtask.cancel (local.get $x))",
                SubtaskCancelled,
            ),
            (
                "(local.set $x (call $never)) (drop (call $subtask.cancel-async (local.get $x)))
                (call $subtask.cancel-async (local.get $x))",
                SubtaskCancelled,
            ),
        ],
    ),
    waiting(
        "A59",
        WAITING,
        &[
            (
                "(local.set $x (call $started (call $wait (i32.const 2) (i32.const 64))))
                (drop (call $set.wait (call $set-of (local.get $x)) (i32.const 0)))
                (call $subtask.cancel-async (local.get $x))",
                SubtaskCancelled,
            ),
            (
                "(local.set $x (call $started (call $delay (i32.const 2) (i32.const 64))))
                (drop (call $set.wait (call $set-of (local.get $x)) (i32.const 0)))
                (call $join (local.get $x) (i32.const 0))
                (call $subtask.cancel (local.get $x))",
                SubtaskCancelled,
            ),
        ],
    ),
    row(
        "A60",
        ALL,
        &[
            (
                "(local.set $x (call $started (call $delay (i32.const -1) (i32.const 64))))
                (call $begun (call $subtask.cancel-async (local.get $x)))
                (call $subtask.cancel-async (local.get $x))",
                SubtaskCancelled,
            ),
            (
                "(local.set $x (call $started (call $delay (i32.const -1) (i32.const 64))))
                (call $begun (call $subtask.cancel-async (local.get $x)))
                (call $subtask.cancel (local.get $x))",
                SubtaskCancelled,
            ),
        ],
    ),
    beside(
        "A61",
        ALL,
        "(global.set $r (call $started (call $delay (i32.const -1) (i32.const 64))))
        (call $subtask.cancel (global.get $r))",
        &[("(call $subtask.cancel-async (global.get $r))", SubtaskCancelled)],
    ),
    row(
        "A62",
        ALL,
        &[
            (
                "(local.set $x (call $never)) (drop (call $set-of (local.get $x)))
                (call $subtask.cancel (local.get $x))",
                WaitableInUse,
            ),
            (
                "(local.set $x (call $started (call $delay (i32.const -1) (i32.const 64))))
                (drop (call $set-of (local.get $x))) (call $subtask.cancel (local.get $x))",
                WaitableInUse,
            ),
        ],
    ),
    row(
        "A63",
        ALL,
        &[
            ("(call $subtask.drop (i32.const 12345)) (i32.const 0)", UnknownHandle),
            (
                "(local.set $x (call $never)) (drop (call $subtask.cancel (local.get $x)))
                (call $subtask.drop (local.get $x)) (call $subtask.drop (local.get $x))
                (i32.const 0)",
                UnknownHandle,
            ),
            ("(call $future) (call $subtask.drop (global.get $r)) (i32.const 0)", WrongHandleKind),
        ],
    ),
    row(
        "A64",
        ALL,
        &[
            ("(call $subtask.drop (call $never)) (i32.const 0)", SubtaskUnresolved),
            (
                "(call $subtask.drop (call $started (call $delay (i32.const -1) (i32.const 64))))
                (i32.const 0)",
                SubtaskUnresolved,
            ),
            (
                "(local.set $x (call $started (call $delay (i32.const -1) (i32.const 64))))
                (call $begun (call $subtask.cancel-async (local.get $x)))
                (call $subtask.drop (local.get $x)) (i32.const 0)",
                SubtaskUnresolved,
            ),
        ],
    ),
    waiting(
        "A65",
        WAITING,
        &[
            // It has returned, and nobody has seen that.
            (
                "(local.set $x (call $started (call $wait (i32.const 1) (i32.const 64))))
                (drop (call $wait-sync (i32.const 3)))
                (call $subtask.drop (local.get $x)) (i32.const 0)",
                SubtaskUnresolved,
            ),
            (
                "(local.set $x (call $started (call $delay (i32.const 1) (i32.const 64))))
                (drop (call $wait-sync (i32.const 3)))
                (call $subtask.drop (local.get $x)) (i32.const 0)",
                SubtaskUnresolved,
            ),
        ],
    ),
    // stream.new, future.new
    row(
        "A66",
        ALL,
        &[
            ("(loop $l (call $stream) (br $l)) (i32.const 0)", TableFull),
            ("(loop $l (call $future) (br $l)) (i32.const 0)", TableFull),
        ],
    ),
    // stream.read, stream.write
    row(
        "A67",
        ALL,
        &[
            ("(call $stream.read (i32.const 0) (i32.const 64) (i32.const 1))", UnknownHandle),
            ("(call $stream.read-sync (i32.const 12345) (i32.const 64) (i32.const 1))", UnknownHandle),
            ("(call $stream.write (i32.const -1) (i32.const 64) (i32.const 1))", UnknownHandle),
            (
                "(call $stream) (call $stream.drop-readable (global.get $r))
                (call $stream.read (global.get $r) (i32.const 64) (i32.const 1))",
                UnknownHandle,
            ),
            ("(call $stream.read (call $set.new) (i32.const 64) (i32.const 1))", WrongHandleKind),
            ("(call $stream) (call $stream.read (global.get $w) (i32.const 64) (i32.const 1))", WrongHandleKind),
            ("(call $stream) (call $stream.write (global.get $r) (i32.const 64) (i32.const 1))", WrongHandleKind),
            ("(call $future) (call $stream.read (global.get $r) (i32.const 64) (i32.const 1))", WrongHandleKind),
            ("(call $future) (call $stream.write-sync (global.get $w) (i32.const 64) (i32.const 1))", WrongHandleKind),
        ],
    ),
    row(
        "A68",
        ALL,
        &[
            ("(call $stream) (call $stream32.read (global.get $r) (i32.const 64) (i32.const 1))", WrongHandleKind),
            ("(call $stream) (call $strings.write (global.get $w) (i32.const 64) (i32.const 1))", WrongHandleKind),
            ("(call $ends (call $stream32.new)) (call $stream.write (global.get $w) (i32.const 64) (i32.const 1))", WrongHandleKind),
        ],
    ),
    row(
        "A69",
        ALL,
        &[
            (
                "(call $stream) (call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 1)))
                (call $stream.read (global.get $r) (i32.const 64) (i32.const 1))",
                CopyInProgress,
            ),
            (
                "(call $stream) (call $begun (call $stream.write (global.get $w) (i32.const 64) (i32.const 1)))
                (call $stream.write-sync (global.get $w) (i32.const 64) (i32.const 1))",
                CopyInProgress,
            ),
            // It is over, and nobody has seen that.
            (
                "(call $stream) (call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 1)))
                (drop (call $stream.write (global.get $w) (i32.const 64) (i32.const 1)))
                (call $stream.read (global.get $r) (i32.const 64) (i32.const 1))",
                CopyInProgress,
            ),
        ],
    ),
    beside(
        "A70",
        ALL,
        "(call $stream) (call $stream.write-sync (global.get $w) (i32.const 64) (i32.const 1))",
        &[("(call $stream.write (global.get $w) (i32.const 64) (i32.const 1))", CopyInProgress)],
    ),
    row(
        "A71",
        ALL,
        &[
            (
                "(call $stream) (call $stream.drop-writable (global.get $w))
                (drop (call $stream.read (global.get $r) (i32.const 64) (i32.const 1)))
                (call $stream.read-sync (global.get $r) (i32.const 64) (i32.const 1))",
                EndDone,
            ),
            (
                "(call $stream) (call $stream.drop-readable (global.get $r))
                (drop (call $stream.write (global.get $w) (i32.const 64) (i32.const 1)))
                (call $stream.write (global.get $w) (i32.const 64) (i32.const 1))",
                EndDone,
            ),
        ],
    ),
    row(
        "A72",
        ALL,
        &[
            (
                "(call $stream) (drop (call $set-of (global.get $r)))
                (call $stream.read-sync (global.get $r) (i32.const 64) (i32.const 1))",
                WaitableInUse,
            ),
            (
                "(call $stream) (drop (call $set-of (global.get $w)))
                (call $stream.write-sync (global.get $w) (i32.const 64) (i32.const 1))",
                WaitableInUse,
            ),
        ],
    ),
    row(
        "A73",
        ALL,
        &[
            ("(call $stream) (call $stream.read (global.get $r) (i32.const 0) (i32.const 0x10000000))", StreamTooLong),
            ("(call $stream) (call $stream.write (global.get $w) (i32.const 0) (i32.const -1))", StreamTooLong),
            ("(call $stream) (call $stream.write-sync (global.get $w) (i32.const 0) (i32.const -1))", StreamTooLong),
        ],
    ),
    row(
        "A74",
        ALL,
        &[
            (
                "(call $ends (call $stream32.new))
                (call $stream32.read (global.get $r) (i32.const 65) (i32.const 1))",
                UnalignedPointer,
            ),
            (
                "(call $ends (call $stream32.new))
                (call $stream32.write (global.get $w) (i32.const 66) (i32.const 1))",
                UnalignedPointer,
            ),
        ],
    ),
    row(
        "A75",
        ALL,
        &[
            ("(call $stream) (call $stream.read (global.get $r) (i32.const -8) (i32.const 4))", StreamOutOfBounds),
            ("(call $stream) (call $stream.write (global.get $w) (i32.const 65533) (i32.const 4))", StreamOutOfBounds),
            ("(call $stream) (call $stream.write (global.get $w) (i32.const 0) (i32.const 0xfffffff))", StreamOutOfBounds),
            (
                "(call $ends (call $stream32.new))
                (call $stream32.read (global.get $r) (i32.const 8) (i32.const 16383))",
                StreamOutOfBounds,
            ),
        ],
    ),
    row(
        "A76",
        ALL,
        &[
            (
                "(call $ends (call $strings.new))
                (call $begun (call $strings.write (global.get $w) (i32.const 64) (i32.const 1)))
                (call $strings.read (global.get $r) (i32.const 96) (i32.const 1))",
                SameInstanceCopy,
            ),
            (
                "(call $ends (call $strings.new))
                (call $begun (call $strings.read (global.get $r) (i32.const 96) (i32.const 1)))
                (call $strings.write (global.get $w) (i32.const 64) (i32.const 1))",
                SameInstanceCopy,
            ),
            // Also if nothing would be copied.
            (
                "(call $ends (call $strings.new))
                (call $begun (call $strings.read (global.get $r) (i32.const 96) (i32.const 0)))
                (call $strings.write (global.get $w) (i32.const 64) (i32.const 0))",
                SameInstanceCopy,
            ),
        ],
    ),
    // future.read, future.write
    row(
        "A77",
        ALL,
        &[
            ("(call $future.read (i32.const 0) (i32.const 64))", UnknownHandle),
            ("(call $future.write-sync (i32.const 12345) (i32.const 64))", UnknownHandle),
            ("(call $future.write (call $set.new) (i32.const 64))", WrongHandleKind),
            ("(call $future) (call $future.read (global.get $w) (i32.const 64))", WrongHandleKind),
            ("(call $future) (call $future.write (global.get $r) (i32.const 64))", WrongHandleKind),
            ("(call $stream) (call $future.read-sync (global.get $r) (i32.const 64))", WrongHandleKind),
        ],
    ),
    row(
        "A78",
        ALL,
        &[
            ("(call $future) (call $future32.read (global.get $r) (i32.const 64))", WrongHandleKind),
            ("(call $future) (call $string.write (global.get $w) (i32.const 64))", WrongHandleKind),
        ],
    ),
    row(
        "A79",
        ALL,
        &[
            (
                "(call $future) (call $begun (call $future.read (global.get $r) (i32.const 64)))
                (call $future.read (global.get $r) (i32.const 64))",
                CopyInProgress,
            ),
            (
                "(call $future) (call $begun (call $future.write (global.get $w) (i32.const 64)))
                (call $future.write-sync (global.get $w) (i32.const 64))",
                CopyInProgress,
            ),
        ],
    ),
    row(
        "A80",
        ALL,
        &[
            (
                "(call $future) (call $begun (call $future.write (global.get $w) (i32.const 64)))
                (drop (call $future.read (global.get $r) (i32.const 64)))
                (call $future.read (global.get $r) (i32.const 64))",
                EndDone,
            ),
            (
                "(call $future) (call $begun (call $future.read (global.get $r) (i32.const 64)))
                (drop (call $future.write (global.get $w) (i32.const 64)))
                (call $future.write (global.get $w) (i32.const 64))",
                EndDone,
            ),
            (
                "(call $future) (call $future.drop-readable (global.get $r))
                (drop (call $future.write (global.get $w) (i32.const 64)))
                (call $future.write-sync (global.get $w) (i32.const 64))",
                EndDone,
            ),
        ],
    ),
    row(
        "A81",
        ALL,
        &[
            (
                "(call $future) (drop (call $set-of (global.get $r)))
                (call $future.read-sync (global.get $r) (i32.const 64))",
                WaitableInUse,
            ),
            (
                "(call $future) (drop (call $set-of (global.get $w)))
                (call $future.write-sync (global.get $w) (i32.const 64))",
                WaitableInUse,
            ),
        ],
    ),
    row(
        "A82",
        ALL,
        &[
            ("(call $ends (call $future32.new)) (call $future32.read (global.get $r) (i32.const 66))", UnalignedPointer),
            ("(call $ends (call $future32.new)) (call $future32.write (global.get $w) (i32.const 65))", UnalignedPointer),
        ],
    ),
    row(
        "A83",
        ALL,
        &[
            ("(call $future) (call $future.read (global.get $r) (i32.const 65536))", StreamOutOfBounds),
            ("(call $future) (call $future.write (global.get $w) (i32.const -1))", StreamOutOfBounds),
            ("(call $ends (call $future32.new)) (call $future32.write (global.get $w) (i32.const -4))", StreamOutOfBounds),
        ],
    ),
    row(
        "A84",
        ALL,
        &[
            (
                "(call $ends (call $string.new))
                (call $begun (call $string.write (global.get $w) (i32.const 64)))
                (call $string.read (global.get $r) (i32.const 96))",
                SameInstanceCopy,
            ),
            (
                "(call $ends (call $string.new))
                (call $begun (call $string.read (global.get $r) (i32.const 96)))
                (call $string.write (global.get $w) (i32.const 64))",
                SameInstanceCopy,
            ),
        ],
    ),
    // stream.cancel-*, future.cancel-*
    row(
        "A85",
        ALL,
        &[
            ("(call $stream.cancel-read (i32.const 0))", UnknownHandle),
            ("(call $stream.cancel-write-async (i32.const 12345))", UnknownHandle),
            ("(call $future.cancel-read-async (i32.const -1))", UnknownHandle),
            ("(call $future.cancel-write (i32.const 0))", UnknownHandle),
            ("(call $stream.cancel-read (call $set.new))", WrongHandleKind),
            ("(call $stream) (call $stream.cancel-read (global.get $w))", WrongHandleKind),
            ("(call $stream) (call $stream.cancel-write (global.get $r))", WrongHandleKind),
            ("(call $future) (call $stream.cancel-read-async (global.get $r))", WrongHandleKind),
            ("(call $stream) (call $future.cancel-read (global.get $r))", WrongHandleKind),
            ("(call $future) (call $future.cancel-write (global.get $r))", WrongHandleKind),
        ],
    ),
    row(
        "A86",
        ALL,
        &[
            ("(call $ends (call $stream32.new)) (call $stream.cancel-read (global.get $r))", WrongHandleKind),
            ("(call $ends (call $stream32.new)) (call $stream.cancel-write (global.get $w))", WrongHandleKind),
            ("(call $ends (call $future32.new)) (call $future.cancel-read (global.get $r))", WrongHandleKind),
            ("(call $ends (call $future32.new)) (call $future.cancel-write (global.get $w))", WrongHandleKind),
        ],
    ),
    row(
        "A87",
        ALL,
        &[
            ("(call $stream) (call $stream.cancel-read (global.get $r))", NoCopy),
            ("(call $stream) (call $stream.cancel-write (global.get $w))", NoCopy),
            ("(call $future) (call $future.cancel-read (global.get $r))", NoCopy),
            ("(call $future) (call $future.cancel-write (global.get $w))", NoCopy),
            ("(call $stream) (call $stream.cancel-read-async (global.get $r))", NoCopy),
            (
                "(call $stream) (call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 1)))
                (drop (call $stream.cancel-read (global.get $r)))
                (call $stream.cancel-read (global.get $r))",
                NoCopy,
            ),
            (
                "(call $stream) (call $stream.drop-writable (global.get $w))
                (drop (call $stream.read (global.get $r) (i32.const 64) (i32.const 1)))
                (call $stream.cancel-read (global.get $r))",
                NoCopy,
            ),
            (
                "(call $future) (call $begun (call $future.write (global.get $w) (i32.const 64)))
                (drop (call $future.cancel-write-async (global.get $w)))
                (call $future.cancel-write-async (global.get $w))",
                NoCopy,
            ),
        ],
    ),
    beside(
        "A88",
        ALL,
        "(call $stream) (call $stream.read-sync (global.get $r) (i32.const 64) (i32.const 1))",
        &[
            ("(call $stream.cancel-read (global.get $r))", NoCopy),
            ("(call $stream.cancel-read-async (global.get $r))", NoCopy),
        ],
    ),
    beside(
        "A89",
        ALL,
        "(call $future) (call $future.write-sync (global.get $w) (i32.const 64))",
        &[("(call $future.cancel-write (global.get $w))", NoCopy)],
    ),
    // stream.drop-*, future.drop-*
    row(
        "A90",
        ALL,
        &[
            ("(call $stream.drop-readable (i32.const 0)) (i32.const 0)", UnknownHandle),
            ("(call $future.drop-writable (i32.const 12345)) (i32.const 0)", UnknownHandle),
            (
                "(call $stream) (call $stream.drop-writable (global.get $w))
                (call $stream.drop-writable (global.get $w)) (i32.const 0)",
                UnknownHandle,
            ),
            (
                "(call $future) (call $future.drop-readable (global.get $r))
                (call $future.drop-readable (global.get $r)) (i32.const 0)",
                UnknownHandle,
            ),
            ("(call $stream.drop-readable (call $set.new)) (i32.const 0)", WrongHandleKind),
            ("(call $stream) (call $stream.drop-readable (global.get $w)) (i32.const 0)", WrongHandleKind),
            ("(call $stream) (call $stream.drop-writable (global.get $r)) (i32.const 0)", WrongHandleKind),
            ("(call $stream) (call $future.drop-readable (global.get $r)) (i32.const 0)", WrongHandleKind),
            ("(call $future) (call $stream.drop-writable (global.get $w)) (i32.const 0)", WrongHandleKind),
        ],
    ),
    row(
        "A91",
        ALL,
        &[
            ("(call $ends (call $stream32.new)) (call $stream.drop-readable (global.get $r)) (i32.const 0)", WrongHandleKind),
            ("(call $ends (call $future32.new)) (call $future.drop-writable (global.get $w)) (i32.const 0)", WrongHandleKind),
        ],
    ),
    row(
        "A92",
        ALL,
        &[
            (
                "(call $stream) (call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 1)))
                (call $stream.drop-readable (global.get $r)) (i32.const 0)",
                EndBusy,
            ),
            (
                "(call $stream) (call $begun (call $stream.write (global.get $w) (i32.const 64) (i32.const 1)))
                (call $stream.drop-writable (global.get $w)) (i32.const 0)",
                EndBusy,
            ),
            (
                "(call $future) (call $begun (call $future.read (global.get $r) (i32.const 64)))
                (call $future.drop-readable (global.get $r)) (i32.const 0)",
                EndBusy,
            ),
            (
                "(call $future) (call $begun (call $future.write (global.get $w) (i32.const 64)))
                (call $future.drop-writable (global.get $w)) (i32.const 0)",
                EndBusy,
            ),
            // Something has been copied, and nobody has seen that.
            (
                "(call $stream) (call $begun (call $stream.write (global.get $w) (i32.const 64) (i32.const 4)))
                (drop (call $stream.read (global.get $r) (i32.const 64) (i32.const 1)))
                (call $stream.drop-writable (global.get $w)) (i32.const 0)",
                EndBusy,
            ),
        ],
    ),
    beside(
        "A93",
        ALL,
        "(call $stream) (call $stream.read-sync (global.get $r) (i32.const 64) (i32.const 1))",
        &[("(call $stream.drop-readable (global.get $r)) (i32.const 0)", EndBusy)],
    ),
    row(
        "A94",
        ALL,
        &[
            ("(call $future) (call $future.drop-writable (global.get $w)) (i32.const 0)", FutureUnwritten),
            (
                "(call $future) (call $begun (call $future.write (global.get $w) (i32.const 64)))
                (drop (call $future.cancel-write (global.get $w)))
                (call $future.drop-writable (global.get $w)) (i32.const 0)",
                FutureUnwritten,
            ),
        ],
    ),
    Row {
        within: Within::Realloc,
        ..row("A95", ALL, LEAVING)
    },
    Row {
        within: Within::PostReturn,
        ..row("A96", RETURNING, LEAVING)
    },
];

/// Every function that an instance must not call where it may not be left. Handles do not matter:
/// that it may be left is looked at first.
const LEAVING: Cases<TrapCode> = &[
    ("(call $wait (i32.const 0) (i32.const 64))", CannotLeave),
    ("(call $wait-sync (i32.const 0))", CannotLeave),
    ("(call $delay (i32.const 0) (i32.const 64))", CannotLeave),
    ("(call $delay-sync (i32.const 0))", CannotLeave),
    ("(call $take-sync (i32.const 0)) (i32.const 0)", CannotLeave),
    ("(call $resource.new (i32.const 0))", CannotLeave),
    (
        "(call $resource.drop (i32.const 0)) (i32.const 0)",
        CannotLeave,
    ),
    ("(call $h.drop (i32.const 0)) (i32.const 0)", CannotLeave),
    ("(call $return (i32.const 0)) (i32.const 0)", CannotLeave),
    ("(call $task.cancel) (i32.const 0)", CannotLeave),
    ("(call $yield)", CannotLeave),
    ("(call $set.new)", CannotLeave),
    ("(call $set.wait (i32.const 0) (i32.const 0))", CannotLeave),
    ("(call $set.poll (i32.const 0) (i32.const 0))", CannotLeave),
    ("(call $set.drop (i32.const 0)) (i32.const 0)", CannotLeave),
    (
        "(call $join (i32.const 0) (i32.const 0)) (i32.const 0)",
        CannotLeave,
    ),
    ("(call $subtask.cancel (i32.const 0))", CannotLeave),
    ("(call $subtask.cancel-async (i32.const 0))", CannotLeave),
    (
        "(call $subtask.drop (i32.const 0)) (i32.const 0)",
        CannotLeave,
    ),
    ("(call $stream) (i32.const 0)", CannotLeave),
    (
        "(call $stream.read (i32.const 0) (i32.const 0) (i32.const 0))",
        CannotLeave,
    ),
    (
        "(call $stream.read-sync (i32.const 0) (i32.const 0) (i32.const 0))",
        CannotLeave,
    ),
    (
        "(call $stream.write (i32.const 0) (i32.const 0) (i32.const 0))",
        CannotLeave,
    ),
    (
        "(call $stream.write-sync (i32.const 0) (i32.const 0) (i32.const 0))",
        CannotLeave,
    ),
    ("(call $stream.cancel-read (i32.const 0))", CannotLeave),
    ("(call $stream.cancel-write (i32.const 0))", CannotLeave),
    (
        "(call $stream.cancel-read-async (i32.const 0))",
        CannotLeave,
    ),
    (
        "(call $stream.cancel-write-async (i32.const 0))",
        CannotLeave,
    ),
    (
        "(call $stream.drop-readable (i32.const 0)) (i32.const 0)",
        CannotLeave,
    ),
    (
        "(call $stream.drop-writable (i32.const 0)) (i32.const 0)",
        CannotLeave,
    ),
    ("(call $future) (i32.const 0)", CannotLeave),
    (
        "(call $future.read (i32.const 0) (i32.const 0))",
        CannotLeave,
    ),
    (
        "(call $future.read-sync (i32.const 0) (i32.const 0))",
        CannotLeave,
    ),
    (
        "(call $future.write (i32.const 0) (i32.const 0))",
        CannotLeave,
    ),
    (
        "(call $future.write-sync (i32.const 0) (i32.const 0))",
        CannotLeave,
    ),
    ("(call $future.cancel-read (i32.const 0))", CannotLeave),
    ("(call $future.cancel-write (i32.const 0))", CannotLeave),
    (
        "(call $future.cancel-read-async (i32.const 0))",
        CannotLeave,
    ),
    (
        "(call $future.cancel-write-async (i32.const 0))",
        CannotLeave,
    ),
    (
        "(call $future.drop-readable (i32.const 0)) (i32.const 0)",
        CannotLeave,
    ),
    (
        "(call $future.drop-writable (i32.const 0)) (i32.const 0)",
        CannotLeave,
    ),
];
