//! The built-in functions of the asynchronous canonical ABI, as guests of tests import them: all in
//! one core module, which has some functions to use them by.

/// A function: its name in the guest, its core type, and its definition.
type BuiltIn<'a> = (&'a str, &'a str, &'a str);

/// Types and core functions that the definitions name: the memories `$mem` and `$other`, and
/// `$alloc`, whose `realloc` always gives the same place.
pub(crate) const TYPES: &str = r#"
  (core module $libc (memory (export "mem") 1) (memory (export "other") 1))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "mem" (core memory $mem))
  (alias core export $libc "other" (core memory $other))
  (core module $alloc
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 2048)))
  (core instance $alloc (instantiate $alloc))
  (type $R (resource (rep i32)))
  (type $S (stream u8))
  (type $S32 (stream u32))
  (type $SS (stream string))
  (type $F (future u8))
  (type $F32 (future u32))
  (type $FS (future string))
"#;

pub(crate) const BUILT_INS: &[BuiltIn<'static>] = &[
    ("return", "(param i32)", "task.return (result u32)"),
    ("task.cancel", "", "task.cancel"),
    ("yield", "(result i32)", "thread.yield"),
    ("backpressure.inc", "", "backpressure.inc"),
    ("backpressure.dec", "", "backpressure.dec"),
    ("context.get", "(result i32)", "context.get i32 0"),
    ("context.set", "(param i32)", "context.set i32 0"),
    (
        "resource.new",
        "(param i32) (result i32)",
        "resource.new $R",
    ),
    (
        "resource.rep",
        "(param i32) (result i32)",
        "resource.rep $R",
    ),
    ("resource.drop", "(param i32)", "resource.drop $R"),
    ("set.new", "(result i32)", "waitable-set.new"),
    (
        "set.wait",
        "(param i32 i32) (result i32)",
        "waitable-set.wait (memory $mem)",
    ),
    (
        "set.poll",
        "(param i32 i32) (result i32)",
        "waitable-set.poll (memory $mem)",
    ),
    ("set.drop", "(param i32)", "waitable-set.drop"),
    ("join", "(param i32 i32)", "waitable.join"),
    (
        "subtask.cancel",
        "(param i32) (result i32)",
        "subtask.cancel",
    ),
    (
        "subtask.cancel-async",
        "(param i32) (result i32)",
        "subtask.cancel async",
    ),
    ("subtask.drop", "(param i32)", "subtask.drop"),
    ("stream.new", "(result i64)", "stream.new $S"),
    (
        "stream.read",
        "(param i32 i32 i32) (result i32)",
        "stream.read $S async (memory $mem)",
    ),
    (
        "stream.write",
        "(param i32 i32 i32) (result i32)",
        "stream.write $S async (memory $mem)",
    ),
    (
        "stream.read-sync",
        "(param i32 i32 i32) (result i32)",
        "stream.read $S (memory $mem)",
    ),
    (
        "stream.write-sync",
        "(param i32 i32 i32) (result i32)",
        "stream.write $S (memory $mem)",
    ),
    (
        "stream.cancel-read",
        "(param i32) (result i32)",
        "stream.cancel-read $S",
    ),
    (
        "stream.cancel-write",
        "(param i32) (result i32)",
        "stream.cancel-write $S",
    ),
    (
        "stream.cancel-read-async",
        "(param i32) (result i32)",
        "stream.cancel-read $S async",
    ),
    (
        "stream.cancel-write-async",
        "(param i32) (result i32)",
        "stream.cancel-write $S async",
    ),
    (
        "stream.drop-readable",
        "(param i32)",
        "stream.drop-readable $S",
    ),
    (
        "stream.drop-writable",
        "(param i32)",
        "stream.drop-writable $S",
    ),
    ("stream32.new", "(result i64)", "stream.new $S32"),
    (
        "stream32.read",
        "(param i32 i32 i32) (result i32)",
        "stream.read $S32 async (memory $mem)",
    ),
    (
        "stream32.write",
        "(param i32 i32 i32) (result i32)",
        "stream.write $S32 async (memory $mem)",
    ),
    ("strings.new", "(result i64)", "stream.new $SS"),
    (
        "strings.read",
        "(param i32 i32 i32) (result i32)",
        r#"stream.read $SS async (memory $mem) (realloc (core func $alloc "realloc"))"#,
    ),
    (
        "strings.write",
        "(param i32 i32 i32) (result i32)",
        "stream.write $SS async (memory $mem)",
    ),
    ("future.new", "(result i64)", "future.new $F"),
    (
        "future.read",
        "(param i32 i32) (result i32)",
        "future.read $F async (memory $mem)",
    ),
    (
        "future.write",
        "(param i32 i32) (result i32)",
        "future.write $F async (memory $mem)",
    ),
    (
        "future.read-sync",
        "(param i32 i32) (result i32)",
        "future.read $F (memory $mem)",
    ),
    (
        "future.write-sync",
        "(param i32 i32) (result i32)",
        "future.write $F (memory $mem)",
    ),
    (
        "future.cancel-read",
        "(param i32) (result i32)",
        "future.cancel-read $F",
    ),
    (
        "future.cancel-write",
        "(param i32) (result i32)",
        "future.cancel-write $F",
    ),
    (
        "future.cancel-read-async",
        "(param i32) (result i32)",
        "future.cancel-read $F async",
    ),
    (
        "future.cancel-write-async",
        "(param i32) (result i32)",
        "future.cancel-write $F async",
    ),
    (
        "future.drop-readable",
        "(param i32)",
        "future.drop-readable $F",
    ),
    (
        "future.drop-writable",
        "(param i32)",
        "future.drop-writable $F",
    ),
    ("future32.new", "(result i64)", "future.new $F32"),
    (
        "future32.read",
        "(param i32 i32) (result i32)",
        "future.read $F32 async (memory $mem)",
    ),
    (
        "future32.write",
        "(param i32 i32) (result i32)",
        "future.write $F32 async (memory $mem)",
    ),
    ("string.new", "(result i64)", "future.new $FS"),
    (
        "string.read",
        "(param i32 i32) (result i32)",
        r#"future.read $FS async (memory $mem) (realloc (core func $alloc "realloc"))"#,
    ),
    (
        "string.write",
        "(param i32 i32) (result i32)",
        "future.write $FS async (memory $mem)",
    ),
    (
        "error.new",
        "(param i32 i32) (result i32)",
        "error-context.new (memory $mem)",
    ),
    (
        "error.new-utf16",
        "(param i32 i32) (result i32)",
        "error-context.new (memory $mem) string-encoding=utf16",
    ),
    (
        "error.message",
        "(param i32 i32)",
        r#"error-context.debug-message (memory $mem) (realloc (core func $alloc "realloc"))"#,
    ),
    ("error.drop", "(param i32)", "error-context.drop"),
];

/// Functions of the core module, and the ends of the stream or future that it made last.
pub(crate) const HELPERS: &str = r#"
    (global $r (mut i32) (i32.const 0))
    (global $w (mut i32) (i32.const 0))
    (global $set (mut i32) (i32.const 0))
    (func $high (param i64) (result i32) (i32.wrap_i64 (i64.shr_u (local.get 0) (i64.const 32))))
    (func $ends (param i64)
      (global.set $r (i32.wrap_i64 (local.get 0)))
      (global.set $w (call $high (local.get 0))))
    (func $stream (call $ends (call $stream.new)))
    (func $future (call $ends (call $future.new)))
    ;; It must have begun, and not be over.
    (func $begun (param i32)
      (if (i32.ne (local.get 0) (i32.const -1)) (then unreachable)))
    ;; The handle of a call that must have started, and not be over.
    (func $started (param i32) (result i32)
      (if (i32.ne (i32.and (local.get 0) (i32.const 15)) (i32.const 1)) (then unreachable))
      (i32.shr_u (local.get 0) (i32.const 4)))
    ;; Starts what is never over: its handle.
    (func $never (result i32) (call $started (call $wait (i32.const -1) (i32.const 64))))
    ;; An error context without a message.
    (func $error (result i32) (call $error.new (i32.const 0) (i32.const 0)))
    ;; A new set that has this waitable.
    (func $set-of (param i32) (result i32) (local $set i32)
      (local.set $set (call $set.new))
      (call $join (local.get 0) (local.get $set))
      (local.get $set))
"#;

/// The imports of the core module, which go before [`HELPERS`].
pub(crate) fn imports(of: &[BuiltIn<'_>]) -> String {
    let line =
        |(name, ty, _): &BuiltIn<'_>| format!("(import \"\" \"{name}\" (func ${name} {ty}))\n");
    of.iter().map(line).collect()
}

/// The definitions of the component's core functions.
pub(crate) fn definitions(of: &[BuiltIn<'_>]) -> String {
    let line = |(name, _, canon): &BuiltIn<'_>| format!("(canon {canon} (core func ${name}))\n");
    of.iter().map(line).collect()
}

/// What the core module is instantiated with.
pub(crate) fn exports(of: &[BuiltIn<'_>]) -> String {
    let line = |(name, _, _): &BuiltIn<'_>| format!("(export \"{name}\" (func ${name}))\n");
    of.iter().map(line).collect()
}
