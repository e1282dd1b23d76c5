//! Whether a trap is the one that a script expects.
//!
//! The core suite expects a prefix of the reference interpreter's message, or that message followed
//! by details. The component suite has Wasmtime's messages; several of ours, which are more
//! precise, stand for one of those.

use cwasm_format::TrapCode;

/// Whether a trap with this code is the expected one.
pub fn trap_matches(code: TrapCode, expected: &str) -> bool {
    let expected = expected.strip_prefix("wasm trap: ").unwrap_or(expected);
    let also: &[&str] = match code {
        // 2.0 says this of `call_indirect`, and "out of bounds" of the other table instructions.
        TrapCode::TableOutOfBounds => &["undefined element", "undefined"],
        TrapCode::NullReference => &["null function reference", "null exception reference"],
        TrapCode::UncaughtException => &["thrown Wasm exception"],
        TrapCode::BadSignature => &["indirect call"],
        TrapCode::Unreachable => &["wasm `unreachable` instruction executed"],
        TrapCode::InvalidChar => &["invalid `char` bit pattern"],
        TrapCode::InvalidDiscriminant => &["invalid variant discriminant"],
        TrapCode::StringOutOfBounds => &[
            "string pointer/length out of bounds of memory",
            "string content out-of-bounds",
            "realloc return: beyond end of memory",
        ],
        TrapCode::ListOutOfBounds => &[
            "list pointer/length out of bounds of memory",
            "list content out-of-bounds",
            "realloc return: beyond end of memory",
        ],
        TrapCode::UnalignedPointer => &["realloc return: result not aligned"],
        TrapCode::InvalidStringEncoding => &["invalid utf-8", "incomplete utf-8 byte sequence"],
        TrapCode::UnknownHandle => &["unknown handle index"],
        TrapCode::WrongHandleKind | TrapCode::WrongResourceType => &["handle index"],
        TrapCode::ResourceBorrowed => &["cannot remove owned resource while borrowed"],
        TrapCode::BorrowsRemain => &["borrow handles still remain"],
        TrapCode::EndBusy => &["cannot drop busy", "cannot remove busy"],
        TrapCode::EndDone => &[
            "cannot write to",
            "cannot read from",
            "cannot lift future after previous read succeeded",
            "cannot lift stream after being notified",
        ],
        TrapCode::WaitableInUse => &["cannot lift future while", "cannot lift stream while"],
        _ => &[],
    };
    let same = |ours: &str| expected.starts_with(ours) || ours.starts_with(expected);
    !expected.is_empty() && (same(code.message()) || also.iter().any(|ours| same(ours)))
}
