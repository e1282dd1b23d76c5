//! The rows of `docs/async-traps.md` about ends of streams and futures.

use cwasm::TrapCode::*;

use super::row::{ALL, Row, beside, row};

pub(super) const ROWS: &[Row] = &[
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
];
