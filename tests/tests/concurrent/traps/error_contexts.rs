//! The rows of `docs/async-traps.md` about error contexts.

use cwasm::TrapCode::*;

use super::row::{ALL, Row, row};

pub(super) const ROWS: &[Row] = &[
    // error-context.new
    row(
        "A97",
        ALL,
        &[
            (
                "(call $error.new (i32.const 65536) (i32.const 1))",
                StringOutOfBounds,
            ),
            (
                "(call $error.new (i32.const 65535) (i32.const 2))",
                StringOutOfBounds,
            ),
            (
                "(call $error.new (i32.const -1) (i32.const 0))",
                StringOutOfBounds,
            ),
            (
                "(call $error.new-utf16 (i32.const 65536) (i32.const 1))",
                StringOutOfBounds,
            ),
            (
                "(call $error.new (i32.const 0) (i32.const 0x10000000))",
                StringTooLong,
            ),
            (
                "(call $error.new (i32.const 0) (i32.const -1))",
                StringTooLong,
            ),
            (
                "(call $error.new-utf16 (i32.const 0) (i32.const 0x08000000))",
                StringTooLong,
            ),
            (
                "(call $error.new-utf16 (i32.const 1) (i32.const 1))",
                UnalignedPointer,
            ),
            (
                "(i32.store8 (i32.const 64) (i32.const 0xff)) (call $error.new (i32.const 64) (i32.const 1))",
                InvalidStringEncoding,
            ),
            (
                "(i32.store16 (i32.const 64) (i32.const 0xd800)) (call $error.new-utf16 (i32.const 64) (i32.const 1))",
                InvalidStringEncoding,
            ),
        ],
    ),
    row(
        "A98",
        ALL,
        &[(
            "(loop $l (drop (call $error)) (br $l)) (i32.const 0)",
            TableFull,
        )],
    ),
    // error-context.debug-message
    row(
        "A99",
        ALL,
        &[
            (
                "(call $error.message (i32.const 0) (i32.const 64)) (i32.const 0)",
                UnknownHandle,
            ),
            (
                "(call $error.message (i32.const 12345) (i32.const 64)) (i32.const 0)",
                UnknownHandle,
            ),
            (
                "(local.set $x (call $error)) (call $error.drop (local.get $x))
                (call $error.message (local.get $x) (i32.const 64)) (i32.const 0)",
                UnknownHandle,
            ),
            (
                "(call $error.message (call $set.new) (i32.const 64)) (i32.const 0)",
                WrongHandleKind,
            ),
            (
                "(call $error.message (call $resource.new (i32.const 1)) (i32.const 64)) (i32.const 0)",
                WrongHandleKind,
            ),
            (
                "(call $stream) (call $error.message (global.get $r) (i32.const 64)) (i32.const 0)",
                WrongHandleKind,
            ),
        ],
    ),
    row(
        "A100",
        ALL,
        &[
            (
                "(call $error.message (call $error) (i32.const 65)) (i32.const 0)",
                UnalignedPointer,
            ),
            (
                "(call $error.message (call $error) (i32.const 65532)) (i32.const 0)",
                MemoryOutOfBounds,
            ),
            (
                "(call $error.message (call $error) (i32.const -4)) (i32.const 0)",
                MemoryOutOfBounds,
            ),
        ],
    ),
    // error-context.drop
    row(
        "A101",
        ALL,
        &[
            (
                "(call $error.drop (i32.const 0)) (i32.const 0)",
                UnknownHandle,
            ),
            (
                "(call $error.drop (i32.const -1)) (i32.const 0)",
                UnknownHandle,
            ),
            (
                "(local.set $x (call $error)) (call $error.drop (local.get $x))
                (call $error.drop (local.get $x)) (i32.const 0)",
                UnknownHandle,
            ),
            (
                "(call $error.drop (call $set.new)) (i32.const 0)",
                WrongHandleKind,
            ),
            (
                "(call $error.drop (call $never)) (i32.const 0)",
                WrongHandleKind,
            ),
            (
                "(call $future) (call $error.drop (global.get $w)) (i32.const 0)",
                WrongHandleKind,
            ),
        ],
    ),
    // Error contexts that are passed on
    row(
        "A102",
        ALL,
        &[
            ("(call $take-error (i32.const 12345))", UnknownHandle),
            ("(call $other.take-error (i32.const 12345))", UnknownHandle),
            ("(call $take-error (call $set.new))", WrongHandleKind),
            (
                "(call $other.take-error (call $resource.new (i32.const 1)))",
                WrongHandleKind,
            ),
            (
                "(call $stream) (call $other.take-error (global.get $r))",
                WrongHandleKind,
            ),
        ],
    ),
    // Handles of error contexts where others are expected
    row(
        "A103",
        ALL,
        &[
            ("(call $take (call $error))", WrongHandleKind),
            (
                "(call $join (call $error) (i32.const 0)) (i32.const 0)",
                WrongHandleKind,
            ),
            (
                "(call $set.drop (call $error)) (i32.const 0)",
                WrongHandleKind,
            ),
            (
                "(call $subtask.drop (call $error)) (i32.const 0)",
                WrongHandleKind,
            ),
            (
                "(call $stream.drop-readable (call $error)) (i32.const 0)",
                WrongHandleKind,
            ),
            (
                "(call $resource.drop (call $error)) (i32.const 0)",
                WrongResourceType,
            ),
            ("(call $resource.rep (call $error))", WrongResourceType),
        ],
    ),
];
