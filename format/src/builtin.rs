//! The functions of the loader that compiled code calls, through [`VmStore::builtins`].
//!
//! Each is an `extern "C"` function whose first argument is the context. A builtin that can fail
//! returns a *status*: 0, or the number of a [`TrapCode`](crate::TrapCode), which the compiled
//! trampoline then raises. Compiled code never calls a builtin directly but through a trampoline
//! of the artifact, which first checks that enough stack is left for the host.
//!
//! [`VmStore::builtins`]: crate::vmctx::VmStore::builtins

/// A type in a builtin's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Ty {
    /// A machine address or a 64-bit integer.
    I64,
    I32,
    F32,
    F64,
}

/// The meaning of a builtin's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// Does not return.
    Never,
    /// A status as `i64`: 0 or a trap code.
    Status,
    /// A value.
    Value(Ty),
}

macro_rules! builtins {
    ($($(#[$doc:meta])* $name:ident = $text:literal ($($arg:ident: $ty:ident),*) -> $ret:expr;)*) => {
        /// A function of the loader that compiled code calls: its place in the table of builtins.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Builtin { $($(#[$doc])* $name,)* }

        impl Builtin {
            /// All builtins, in the order of the table.
            pub const ALL: &'static [Builtin] = &[$(Builtin::$name,)*];

            /// The name, as in symbols.
            pub const fn name(self) -> &'static str {
                match self { $(Builtin::$name => $text,)* }
            }

            /// The types of the arguments after the context.
            pub const fn params(self) -> &'static [Ty] {
                match self { $(Builtin::$name => &[$(Ty::$ty),*],)* }
            }

            /// The meaning of its result.
            pub const fn returns(self) -> Returns {
                match self { $(Builtin::$name => $ret,)* }
            }
        }
    };
}

builtins! {
    /// Leaves wasm with a trap: resumes the innermost entry thunk above the frame at `frame`.
    Raise = "raise" (code: I64, frame: I64) -> Returns::Never;
    /// Throws an exception of tag `tag` of the unit, whose `count` values are at `values`, 16 bytes
    /// each. The trampoline adds its own frame pointer.
    Throw = "throw" (tag: I32, values: I64, count: I64) -> Returns::Never;
    /// Throws the exception of a reference, which is not null. The trampoline adds its own frame
    /// pointer.
    ThrowRef = "throw_ref" (exception: I64) -> Returns::Never;
    /// Grows the memory described at `memory` by `delta` pages; returns the old size in pages,
    /// or -1.
    MemoryGrow = "memory_grow" (memory: I64, delta: I64) -> Returns::Value(Ty::I64);
    /// Copies `len` bytes between memories (or within one).
    MemoryCopy = "memory_copy" (dst_memory: I64, dst: I64, src_memory: I64, src: I64, len: I64) -> Returns::Status;
    /// Fills `len` bytes at `dst` with the low byte of `value`.
    MemoryFill = "memory_fill" (memory: I64, dst: I64, value: I32, len: I64) -> Returns::Status;
    /// Copies `len` bytes from `src` in the segment of `segment_len` bytes at `segment`.
    MemoryInit = "memory_init" (memory: I64, dst: I64, segment: I64, segment_len: I64, src: I64, len: I64) -> Returns::Status;
    /// Grows the table described at `table` by `delta` elements `value`; returns the old length,
    /// or -1.
    TableGrow = "table_grow" (table: I64, delta: I64, value: I64) -> Returns::Value(Ty::I64);
    /// Sets `len` elements at `dst` to `value`.
    TableFill = "table_fill" (table: I64, dst: I64, value: I64, len: I64) -> Returns::Status;
    /// Copies `len` elements between tables (or within one).
    TableCopy = "table_copy" (dst_table: I64, dst: I64, src_table: I64, src: I64, len: I64) -> Returns::Status;
    /// Copies `len` elements from `src` in the segment of `segment_len` elements at `segment`.
    TableInit = "table_init" (table: I64, dst: I64, segment: I64, segment_len: I64, src: I64, len: I64) -> Returns::Status;
    /// Rounds up. This and the next seven are for CPUs without instructions for them.
    F32Ceil = "f32_ceil" (value: F32) -> Returns::Value(Ty::F32);
    /// Rounds down.
    F32Floor = "f32_floor" (value: F32) -> Returns::Value(Ty::F32);
    /// Rounds towards zero.
    F32Trunc = "f32_trunc" (value: F32) -> Returns::Value(Ty::F32);
    /// Rounds to the nearest integer, ties to even.
    F32Nearest = "f32_nearest" (value: F32) -> Returns::Value(Ty::F32);
    /// Rounds up.
    F64Ceil = "f64_ceil" (value: F64) -> Returns::Value(Ty::F64);
    /// Rounds down.
    F64Floor = "f64_floor" (value: F64) -> Returns::Value(Ty::F64);
    /// Rounds towards zero.
    F64Trunc = "f64_trunc" (value: F64) -> Returns::Value(Ty::F64);
    /// Rounds to the nearest integer, ties to even.
    F64Nearest = "f64_nearest" (value: F64) -> Returns::Value(Ty::F64);
    /// Copies a string of `units` code units from one memory to another, as do the next nine. Each
    /// writes at most as many bytes as its description says, and returns the number of code units
    /// that it wrote, or -1 if the string is not well-formed or the bytes are not inside the
    /// memories.
    ///
    /// UTF-8 to UTF-8, of as many bytes.
    Utf8ToUtf8 = "utf8_to_utf8" (dst_memory: I64, dst: I64, src_memory: I64, src: I64, units: I64) -> Returns::Value(Ty::I64);
    /// UTF-8 to at most two bytes of UTF-16 for each byte.
    Utf8ToUtf16 = "utf8_to_utf16" (dst_memory: I64, dst: I64, src_memory: I64, src: I64, units: I64) -> Returns::Value(Ty::I64);
    /// UTF-8 to at most as many bytes of Latin-1, up to the first char beyond Latin-1 or the first
    /// ill-formed sequence. The low half of the result is the number of bytes read, the high half
    /// that of bytes written.
    Utf8ToLatin1 = "utf8_to_latin1" (dst_memory: I64, dst: I64, src_memory: I64, src: I64, units: I64) -> Returns::Value(Ty::I64);
    /// UTF-16 to at most three bytes of UTF-8 for each code unit.
    Utf16ToUtf8 = "utf16_to_utf8" (dst_memory: I64, dst: I64, src_memory: I64, src: I64, units: I64) -> Returns::Value(Ty::I64);
    /// UTF-16 to UTF-16, of as many code units. The result is instead whether any is beyond
    /// Latin-1.
    Utf16ToUtf16 = "utf16_to_utf16" (dst_memory: I64, dst: I64, src_memory: I64, src: I64, units: I64) -> Returns::Value(Ty::I64);
    /// UTF-16 to a byte for each code unit, up to the first beyond Latin-1.
    Utf16ToLatin1 = "utf16_to_latin1" (dst_memory: I64, dst: I64, src_memory: I64, src: I64, units: I64) -> Returns::Value(Ty::I64);
    /// UTF-16 to a byte for each code unit, up to the first beyond ASCII.
    Utf16ToAscii = "utf16_to_ascii" (dst_memory: I64, dst: I64, src_memory: I64, src: I64, units: I64) -> Returns::Value(Ty::I64);
    /// Latin-1 to at most two bytes of UTF-8 for each byte.
    Latin1ToUtf8 = "latin1_to_utf8" (dst_memory: I64, dst: I64, src_memory: I64, src: I64, units: I64) -> Returns::Value(Ty::I64);
    /// Latin-1 to as many code units of UTF-16.
    Latin1ToUtf16 = "latin1_to_utf16" (dst_memory: I64, dst: I64, src_memory: I64, src: I64, units: I64) -> Returns::Value(Ty::I64);
    /// Latin-1 to as many bytes, up to the first beyond ASCII.
    Latin1ToAscii = "latin1_to_ascii" (dst_memory: I64, dst: I64, src_memory: I64, src: I64, units: I64) -> Returns::Value(Ty::I64);
    /// Converts `units` bytes of Latin-1 at `start` to UTF-16 in place. There must be room for it.
    InflateLatin1 = "inflate_latin1" (memory: I64, start: I64, units: I64) -> Returns::Value(Ty::I64);
    /// Converts `units` code units of UTF-16 at `start`, none of them beyond Latin-1, to Latin-1 in
    /// place.
    DeflateUtf16 = "deflate_utf16" (memory: I64, start: I64, units: I64) -> Returns::Value(Ty::I64);
    /// Adds free entries to the handle table described at `table`, which has none left.
    HandlesGrow = "handles_grow" (table: I64) -> Returns::Status;
    /// Makes room on the stack of the handle table described at `table`.
    HandlesDeepen = "handles_deepen" (table: I64) -> Returns::Status;
    /// Waits until another thread notifies `addr`, if its value is `expected`. Returns 0 if
    /// notified, 1 if the value differs, 2 after `timeout` nanoseconds (a negative timeout never
    /// ends).
    AtomicWait32 = "atomic_wait32" (addr: I64, expected: I32, timeout: I64) -> Returns::Value(Ty::I32);
    /// As `AtomicWait32`, for 64 bits.
    AtomicWait64 = "atomic_wait64" (addr: I64, expected: I64, timeout: I64) -> Returns::Value(Ty::I32);
    /// Wakes at most `count` threads that wait at `addr`; returns their number.
    AtomicNotify = "atomic_notify" (addr: I64, count: I32) -> Returns::Value(Ty::I32);
    /// Runs the built-in function or call of the `OpRecord` at `op` with the arguments at `values`,
    /// each a `u64`, the first of which becomes its result.
    Concurrent = "concurrent" (op: I64, values: I64) -> Returns::Status;
}

impl Builtin {
    /// The byte offset of this builtin's address in the table.
    pub const fn table_offset(self) -> u32 {
        self as u32 * 8
    }
}
