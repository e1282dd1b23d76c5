//! The rows of `docs/async-traps.md` about tasks, subtasks, sets of waitables, and what must not be
//! called in `realloc` and post-return.

use cwasm::TrapCode::{self, *};

use super::row::{
    ALL, ASYNC, CALLBACKS, Cases, RETURNING, Row, SYNC, WAITING, Within, beside, endless, keeping,
    row, waiting,
};

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
            (
                "(global.set $code (i32.const 3)) (i32.const 0)",
                InvalidCallbackCode,
            ),
            (
                "(global.set $code (i32.const 15)) (i32.const 0)",
                InvalidCallbackCode,
            ),
            (
                "(global.set $code (i32.const -1)) (i32.const 0)",
                InvalidCallbackCode,
            ),
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
            (
                "(global.set $code (i32.const 2)) (i32.const 0)",
                UnknownHandle,
            ),
            (
                "(global.set $code (i32.const 0xfffffff2)) (i32.const 0)",
                UnknownHandle,
            ),
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
            (
                "(call $set.wait (call $set.new) (i32.const 0))",
                CannotBlock,
            ),
            ("(call $wait-sync (i32.const 1))", CannotBlock),
            ("(call $delay-sync (i32.const 1))", CannotBlock),
            (
                "(call $stream) (call $stream.read-sync (global.get $r) (i32.const 64) (i32.const 1))",
                CannotBlock,
            ),
            (
                "(call $stream) (call $stream.write-sync (global.get $w) (i32.const 64) (i32.const 1))",
                CannotBlock,
            ),
            (
                "(call $future) (call $future.read-sync (global.get $r) (i32.const 64))",
                CannotBlock,
            ),
            (
                "(call $future) (call $future.write-sync (global.get $w) (i32.const 64))",
                CannotBlock,
            ),
            (
                "(call $subtask.cancel (call $started (call $delay (i32.const -1) (i32.const 64))))",
                CannotBlock,
            ),
        ],
    ),
    endless(row(
        "A6",
        WAITING,
        &[
            ("(call $set.wait (call $set.new) (i32.const 0))", Deadlock),
            (
                "(call $stream) (call $stream.read-sync (global.get $r) (i32.const 64) (i32.const 1))",
                Deadlock,
            ),
            (
                "(call $stream) (call $stream.write-sync (global.get $w) (i32.const 64) (i32.const 1))",
                Deadlock,
            ),
            (
                "(call $future) (call $future.read-sync (global.get $r) (i32.const 64))",
                Deadlock,
            ),
            (
                "(call $future) (call $future.write-sync (global.get $w) (i32.const 64))",
                Deadlock,
            ),
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
            (
                "(call $wait (i32.const 0) (i32.const 65))",
                UnalignedPointer,
            ),
            (
                "(call $wait (i32.const 0) (i32.const 65536))",
                MemoryOutOfBounds,
            ),
            (
                "(call $wait (i32.const 0) (i32.const -4))",
                MemoryOutOfBounds,
            ),
            (
                "(call $delay (i32.const 0) (i32.const 65))",
                UnalignedPointer,
            ),
            (
                "(call $delay (i32.const 0) (i32.const 65536))",
                MemoryOutOfBounds,
            ),
            (
                "(call $delay (i32.const 0) (i32.const -4))",
                MemoryOutOfBounds,
            ),
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
        &[(
            "(loop $l (drop (call $never)) (br $l)) (i32.const 0)",
            TableFull,
        )],
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
            (
                "(call $say (i32.const 0) (i32.const 0) (i32.const 0xd800))",
                InvalidChar,
            ),
            (
                "(call $other.say (i32.const 0) (i32.const 0) (i32.const 0x110000))",
                InvalidChar,
            ),
            (
                "(call $say (i32.const 65535) (i32.const 2) (i32.const 65))",
                StringOutOfBounds,
            ),
            (
                "(call $other.say (i32.const 65535) (i32.const 2) (i32.const 65))",
                StringOutOfBounds,
            ),
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
            (
                "(call $backpressure.dec) (i32.const 0)",
                BackpressureOverflow,
            ),
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
            (
                "(call $return-u64 (i64.const 1)) (i32.const 2)",
                InvalidTaskReturn,
            ),
            ("(call $return-nothing) (i32.const 2)", InvalidTaskReturn),
        ],
    ),
    row(
        "A37",
        ASYNC,
        &[
            (
                "(call $return-other (i32.const 1)) (i32.const 2)",
                InvalidTaskReturn,
            ),
            (
                "(call $return-utf16 (i32.const 1)) (i32.const 2)",
                InvalidTaskReturn,
            ),
        ],
    ),
    row(
        "A38",
        ASYNC,
        &[("(call $return (i32.const 1)) (i32.const 2)", TaskResolved)],
    ),
    keeping("A39", ASYNC, &[("(i32.const 0)", BorrowsRemain)]),
    row(
        "A40",
        RETURNING,
        &[("(call $task.cancel) (i32.const 2)", SyncTask)],
    ),
    row(
        "A41",
        ASYNC,
        &[("(call $task.cancel) (i32.const 2)", TaskNotCancelled)],
    ),
    row(
        "A42",
        ASYNC,
        &[(
            "(call $return (i32.const 1)) (call $task.cancel) (i32.const 2)",
            TaskResolved,
        )],
    ),
    // waitable-set
    row(
        "A45",
        ALL,
        &[(
            "(loop $l (drop (call $set.new)) (br $l)) (i32.const 0)",
            TableFull,
        )],
    ),
    row(
        "A46",
        ALL,
        &[
            (
                "(call $set.wait (i32.const 0) (i32.const 0))",
                UnknownHandle,
            ),
            (
                "(call $set.wait (i32.const 12345) (i32.const 0))",
                UnknownHandle,
            ),
            (
                "(call $stream) (call $set.wait (global.get $r) (i32.const 0))",
                WrongHandleKind,
            ),
            (
                "(call $set.wait (call $resource.new (i32.const 7)) (i32.const 0))",
                WrongHandleKind,
            ),
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
            (
                "(call $set.poll (i32.const 0) (i32.const 0))",
                UnknownHandle,
            ),
            (
                "(call $set.poll (i32.const -1) (i32.const 0))",
                UnknownHandle,
            ),
            (
                "(call $stream) (call $set.poll (global.get $w) (i32.const 0))",
                WrongHandleKind,
            ),
            (
                "(call $set.poll (call $never) (i32.const 0))",
                WrongHandleKind,
            ),
        ],
    ),
    row(
        "A49",
        ALL,
        &[
            (
                "(call $set.poll (call $set.new) (i32.const 6))",
                UnalignedPointer,
            ),
            (
                "(call $set.poll (call $set.new) (i32.const 65532))",
                MemoryOutOfBounds,
            ),
            (
                "(call $set.poll (call $set.new) (i32.const -8))",
                MemoryOutOfBounds,
            ),
        ],
    ),
    row(
        "A50",
        ALL,
        &[
            (
                "(call $set.drop (i32.const 0)) (i32.const 0)",
                UnknownHandle,
            ),
            (
                "(local.set $x (call $set.new)) (call $set.drop (local.get $x))
                (call $set.drop (local.get $x)) (i32.const 0)",
                UnknownHandle,
            ),
            (
                "(call $future) (call $set.drop (global.get $w)) (i32.const 0)",
                WrongHandleKind,
            ),
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
            (
                "(call $set.drop (call $set-of (call $never))) (i32.const 0)",
                SetInUse,
            ),
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
            (
                "(call $join (i32.const 0) (i32.const 0)) (i32.const 0)",
                UnknownHandle,
            ),
            (
                "(call $join (i32.const 12345) (call $set.new)) (i32.const 0)",
                UnknownHandle,
            ),
            (
                "(call $join (call $set.new) (call $set.new)) (i32.const 0)",
                WrongHandleKind,
            ),
            (
                "(call $join (call $resource.new (i32.const 7)) (i32.const 0)) (i32.const 0)",
                WrongHandleKind,
            ),
        ],
    ),
    row(
        "A54",
        ALL,
        &[
            (
                "(call $stream) (call $join (global.get $r) (i32.const 12345)) (i32.const 0)",
                UnknownHandle,
            ),
            (
                "(call $stream) (call $join (global.get $r) (global.get $w)) (i32.const 0)",
                WrongHandleKind,
            ),
        ],
    ),
    beside(
        "A55",
        ALL,
        "(call $stream) (call $stream.read-sync (global.get $r) (i32.const 64) (i32.const 1))",
        &[
            (
                "(call $join (global.get $r) (call $set.new)) (i32.const 0)",
                WaitableInUse,
            ),
            (
                "(call $join (global.get $r) (i32.const 0)) (i32.const 0)",
                WaitableInUse,
            ),
        ],
    ),
    beside(
        "A56",
        ALL,
        "(global.set $r (call $started (call $delay (i32.const -1) (i32.const 64))))
        (call $subtask.cancel (global.get $r))",
        &[(
            "(call $join (global.get $r) (call $set.new)) (i32.const 0)",
            WaitableInUse,
        )],
    ),
    // subtask
    row(
        "A57",
        ALL,
        &[
            ("(call $subtask.cancel (i32.const 0))", UnknownHandle),
            ("(call $subtask.cancel-async (i32.const -1))", UnknownHandle),
            ("(call $subtask.cancel (call $set.new))", WrongHandleKind),
            (
                "(call $stream) (call $subtask.cancel-async (global.get $r))",
                WrongHandleKind,
            ),
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
        &[(
            "(call $subtask.cancel-async (global.get $r))",
            SubtaskCancelled,
        )],
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
            (
                "(call $subtask.drop (i32.const 12345)) (i32.const 0)",
                UnknownHandle,
            ),
            (
                "(local.set $x (call $never)) (drop (call $subtask.cancel (local.get $x)))
                (call $subtask.drop (local.get $x)) (call $subtask.drop (local.get $x))
                (i32.const 0)",
                UnknownHandle,
            ),
            (
                "(call $future) (call $subtask.drop (global.get $r)) (i32.const 0)",
                WrongHandleKind,
            ),
        ],
    ),
    row(
        "A64",
        ALL,
        &[
            (
                "(call $subtask.drop (call $never)) (i32.const 0)",
                SubtaskUnresolved,
            ),
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
    ("(call $error)", CannotLeave),
    (
        "(call $error.message (i32.const 0) (i32.const 0)) (i32.const 0)",
        CannotLeave,
    ),
    (
        "(call $error.drop (i32.const 0)) (i32.const 0)",
        CannotLeave,
    ),
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
