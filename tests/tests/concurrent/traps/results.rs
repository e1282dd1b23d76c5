//! The rows of `docs/async-traps.md` about results that are no values of their types, and those
//! about parameters for which `realloc` gives wrong places.

use cwasm::TrapCode::*;

use super::guest::Returns;
use super::row::{ALL, Row, Within, row};

const fn flat(ty: &'static str) -> Returns {
    Returns { ty, is_wide: false }
}

pub(super) const STREAM: Returns = flat("(stream u8)");
pub(super) const FUTURE: Returns = flat("(future u8)");
pub(super) const CHAR: Returns = flat("char");
/// More than is returned flat, even by `task.return`.
pub(super) const TEXTS: Returns = Returns {
    ty: "(tuple string string string string string string string string (list u32))",
    is_wide: true,
};

pub(super) const STREAM_ROWS: &[Row] = &[
    row(
        "A21",
        ALL,
        &[
            ("(i32.const 0)", UnknownHandle),
            ("(i32.const 12345)", UnknownHandle),
            ("(call $stream) (call $stream.drop-readable (global.get $r)) (global.get $r)", UnknownHandle),
            ("(call $set.new)", WrongHandleKind),
            ("(call $stream) (global.get $w)", WrongHandleKind),
            ("(call $future) (global.get $r)", WrongHandleKind),
            ("(call $ends (call $stream32.new)) (global.get $r)", WrongHandleKind),
        ],
    ),
    row(
        "A22",
        ALL,
        &[(
            "(call $stream) (call $begun (call $stream.read (global.get $r) (i32.const 64) (i32.const 1)))
            (global.get $r)",
            EndBusy,
        )],
    ),
    row(
        "A23",
        ALL,
        &[(
            "(call $stream) (call $stream.drop-writable (global.get $w))
            (drop (call $stream.read (global.get $r) (i32.const 64) (i32.const 1)))
            (global.get $r)",
            EndDone,
        )],
    ),
    row(
        "A24",
        ALL,
        &[("(call $stream) (drop (call $set-of (global.get $r))) (global.get $r)", WaitableInUse)],
    ),
];

pub(super) const FUTURE_ROWS: &[Row] = &[
    row(
        "A25",
        ALL,
        &[
            ("(i32.const -1)", UnknownHandle),
            ("(call $future) (global.get $w)", WrongHandleKind),
            ("(call $stream) (global.get $r)", WrongHandleKind),
            (
                "(call $ends (call $future32.new)) (global.get $r)",
                WrongHandleKind,
            ),
        ],
    ),
    row(
        "A26",
        ALL,
        &[
            (
                "(call $future) (call $begun (call $future.read (global.get $r) (i32.const 64)))
                (global.get $r)",
                EndBusy,
            ),
            (
                "(call $future) (call $begun (call $future.write (global.get $w) (i32.const 64)))
                (drop (call $future.read (global.get $r) (i32.const 64)))
                (global.get $r)",
                EndDone,
            ),
            (
                "(call $future) (drop (call $set-of (global.get $r))) (global.get $r)",
                WaitableInUse,
            ),
        ],
    ),
];

pub(super) const CHAR_ROWS: &[Row] = &[row(
    "A27",
    ALL,
    &[
        ("(i32.const 0x110000)", InvalidChar),
        ("(i32.const 0xd800)", InvalidChar),
        ("(i32.const -1)", InvalidChar),
    ],
)];

pub(super) const TEXTS_ROWS: &[Row] = &[
    row(
        "A28",
        ALL,
        &[
            ("(i32.const 2)", UnalignedPointer),
            ("(i32.const 65500)", MemoryOutOfBounds),
            ("(i32.const -4)", MemoryOutOfBounds),
        ],
    ),
    row(
        "A29",
        ALL,
        &[
            (
                "(i32.store (i32.const 132) (i32.const 65537)) (i32.const 128)",
                StringOutOfBounds,
            ),
            (
                "(i32.store (i32.const 128) (i32.const -1)) (i32.store (i32.const 132) (i32.const 1))
                (i32.const 128)",
                StringOutOfBounds,
            ),
            (
                "(i32.store (i32.const 132) (i32.const 0x10000000)) (i32.const 128)",
                StringTooLong,
            ),
            (
                "(i32.store (i32.const 128) (i32.const 64)) (i32.store (i32.const 132) (i32.const 1))
                (i32.store8 (i32.const 64) (i32.const 0xff)) (i32.const 128)",
                InvalidStringEncoding,
            ),
            // The last part is a list.
            (
                "(i32.store (i32.const 192) (i32.const 2)) (i32.const 128)",
                UnalignedPointer,
            ),
            (
                "(i32.store (i32.const 196) (i32.const 16385)) (i32.const 128)",
                ListOutOfBounds,
            ),
            (
                "(i32.store (i32.const 196) (i32.const 0x4000000)) (i32.const 128)",
                ListTooLong,
            ),
        ],
    ),
];

/// In which `realloc` runs for the parameter of one byte, and gives what the row makes.
pub(super) const REALLOC_ROWS: &[Row] = &[Row {
    within: Within::Realloc,
    ..row(
        "A30",
        ALL,
        &[
            ("(i32.const 65536)", StringOutOfBounds),
            ("(i32.const -1)", StringOutOfBounds),
            ("unreachable", Unreachable),
        ],
    )
}];
