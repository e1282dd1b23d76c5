//! The guest of the table: a component `$Callee` that has a function for each [`Kind`] of task,
//! which does what a row says, `$Caller`, which calls these, and `$Other`, which is called by them.

use super::Row;
use crate::builtins::{self, BUILT_INS, HELPERS, TYPES};

/// A kind of task, by the options that its function is lifted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `async` with a callback: does it in the function.
    Callback,
    /// `async` with a callback: does it in the callback, after a turn.
    Yielding,
    /// `async` without a callback.
    Stackful,
    /// Without `async`, but of a type that is.
    Plain,
    /// Of a type that is not `async`.
    Sync,
}

impl Kind {
    pub(super) const ALL: [Kind; 5] = [
        Kind::Callback,
        Kind::Yielding,
        Kind::Stackful,
        Kind::Plain,
        Kind::Sync,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Callback => "callback",
            Kind::Yielding => "yielding",
            Kind::Stackful => "stackful",
            Kind::Plain => "plain",
            Kind::Sync => "sync",
        }
    }

    /// The `async` of its function's type.
    fn asyncness(self) -> &'static str {
        match self {
            Kind::Sync => "",
            _ => "async",
        }
    }

    /// The options that its function is lifted with.
    fn options(self) -> &'static str {
        match self {
            Kind::Callback => r#"async (callback (core func $i "callback-cb"))"#,
            Kind::Yielding => r#"async (callback (core func $i "yielding-cb"))"#,
            Kind::Stackful => "async",
            Kind::Plain | Kind::Sync => r#"(post-return (core func $i "post"))"#,
        }
    }
}

/// What the functions return: a type, and whether it is so large that a pointer is returned. All
/// others have one flat value, a number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Returns {
    pub(super) ty: &'static str,
    pub(super) is_wide: bool,
}

/// What `$Callee` imports beside the built-in functions. Of each function there is one of the host
/// and one of `$Other`; and there are ways to return that are not those of its functions.
const OTHERS: &[(&str, &str, &str)] = &[
    ("h.drop", "(param i32)", "resource.drop $H"),
    (
        "wait",
        "(param i32 i32) (result i32)",
        "lower (func $wait) async (memory $mem)",
    ),
    (
        "wait-sync",
        "(param i32) (result i32)",
        "lower (func $wait)",
    ),
    (
        "delay",
        "(param i32 i32) (result i32)",
        r#"lower (func $other "wait") async (memory $mem)"#,
    ),
    (
        "delay-sync",
        "(param i32) (result i32)",
        r#"lower (func $other "wait")"#,
    ),
    (
        "take",
        "(param i32) (result i32)",
        "lower (func $take) async (memory $mem)",
    ),
    (
        "other.take",
        "(param i32) (result i32)",
        r#"lower (func $other "take") async (memory $mem)"#,
    ),
    ("take-sync", "(param i32)", "lower (func $take)"),
    (
        "other.take-sync",
        "(param i32)",
        r#"lower (func $other "take")"#,
    ),
    (
        "take-future",
        "(param i32) (result i32)",
        "lower (func $take-future) async (memory $mem)",
    ),
    (
        "other.take-future",
        "(param i32) (result i32)",
        r#"lower (func $other "take-future") async (memory $mem)"#,
    ),
    (
        "take-error",
        "(param i32) (result i32)",
        "lower (func $take-error) async (memory $mem)",
    ),
    (
        "other.take-error",
        "(param i32) (result i32)",
        r#"lower (func $other "take-error") async (memory $mem)"#,
    ),
    (
        "many",
        "(param i32) (result i32)",
        "lower (func $many) async (memory $mem)",
    ),
    (
        "other.many",
        "(param i32) (result i32)",
        r#"lower (func $other "many") async (memory $mem)"#,
    ),
    (
        "say",
        "(param i32 i32 i32) (result i32)",
        "lower (func $say) async (memory $mem)",
    ),
    (
        "other.say",
        "(param i32 i32 i32) (result i32)",
        r#"lower (func $other "say") async (memory $mem)"#,
    ),
    (
        "hold",
        "(param i32) (result i32)",
        "lower (func $hold) async (memory $mem)",
    ),
    (
        "other.hold",
        "(param i32) (result i32)",
        r#"lower (func $other "hold") async (memory $mem)"#,
    ),
    (
        "return-other",
        "(param i32)",
        "task.return (result u32) (memory $other)",
    ),
    (
        "return-utf16",
        "(param i32)",
        "task.return (result u32) string-encoding=utf16 (memory $mem)",
    ),
    (
        "return-u64",
        "(param i64)",
        "task.return (result u64) (memory $mem)",
    ),
    ("return-nothing", "", "task.return"),
];

/// The functions of the host, and of `$Other`, by their types.
const IMPORTS: &str = r#"
  (import "r" (type $H (sub resource)))
  (import "wait" (func $wait async (param "n" u32) (result u32)))
  (import "take" (func $take async (param "s" (stream u8))))
  (import "take-future" (func $take-future async (param "f" (future u8))))
  (import "take-error" (func $take-error async (param "e" error-context)))
  (import "many" (func $many async (param "a" u32) (param "b" u32) (param "c" u32) (param "d" u32)
    (param "e" u32)))
  (import "say" (func $say async (param "text" string) (param "c" char)))
  (import "hold" (func $hold async (param "h" (borrow $H))))
"#;

/// What an instance of [`IMPORTS`] is made with.
const WITH: &str = r#"(with "r" (type $H)) (with "wait" (func $wait)) (with "take" (func $take))
  (with "take-future" (func $take-future)) (with "take-error" (func $take-error)) (with "many" (func $many)) (with "say" (func $say))
  (with "hold" (func $hold))"#;

/// A component that does what the host's functions do.
fn other() -> String {
    format!(
        r#"(component $Other
    (import "r" (type $H (sub resource)))
    (import "wait" (func $wait async (param "n" u32) (result u32)))
    {TYPES}
    (core func $wait-sync (canon lower (func $wait)))
    (core func $return (canon task.return (result u32)))
    (core func $return-nothing (canon task.return))
    (core func $drop-stream (canon stream.drop-readable $S))
    (core func $drop-future (canon future.drop-readable $F))
    (core func $error.drop (canon error-context.drop))
    (core func $h.drop (canon resource.drop $H))
    (core module $m
      (import "" "wait-sync" (func $wait-sync (param i32) (result i32)))
      (import "" "return" (func $return (param i32)))
      (import "" "return-nothing" (func $return-nothing))
      (import "" "drop-stream" (func $drop-stream (param i32)))
      (import "" "drop-future" (func $drop-future (param i32)))
      (import "" "error.drop" (func $error.drop (param i32)))
      (import "" "h.drop" (func $h.drop (param i32)))
      (func (export "wait") (param i32) (call $return (call $wait-sync (local.get 0))))
      (func (export "take") (param i32)
        (call $drop-stream (local.get 0)) (call $return-nothing))
      (func (export "take-future") (param i32)
        (call $drop-future (local.get 0)) (call $return-nothing))
      (func (export "take-error") (param i32)
        (call $error.drop (local.get 0)) (call $return-nothing))
      (func (export "many") (param i32 i32 i32 i32 i32) (call $return-nothing))
      (func (export "say") (param i32 i32 i32) (call $return-nothing))
      (func (export "hold") (param i32)
        (drop (call $wait-sync (i32.const -1)))
        (call $h.drop (local.get 0)) (call $return-nothing)))
    (core instance $i (instantiate $m (with "" (instance
      (export "wait-sync" (func $wait-sync)) (export "return" (func $return))
      (export "return-nothing" (func $return-nothing))
      (export "drop-stream" (func $drop-stream)) (export "drop-future" (func $drop-future))
      (export "error.drop" (func $error.drop))
      (export "h.drop" (func $h.drop))))))
    (func (export "wait") async (param "n" u32) (result u32)
      (canon lift (core func $i "wait") async))
    (func (export "take") async (param "s" $S) (canon lift (core func $i "take") async))
    (func (export "take-future") async (param "f" $F)
      (canon lift (core func $i "take-future") async))
    (func (export "take-error") async (param "e" error-context)
      (canon lift (core func $i "take-error") async))
    (func (export "many") async (param "a" u32) (param "b" u32) (param "c" u32) (param "d" u32)
      (param "e" u32) (canon lift (core func $i "many") async))
    (func (export "say") async (param "text" string) (param "c" char)
      (canon lift (core func $i "say") async (memory $mem)
        (realloc (core func $alloc "realloc"))))
    (func (export "hold") async (param "h" (borrow $H)) (canon lift (core func $i "hold") async)))"#
    )
}

/// The functions of each [`Kind`]: `$do` does what the row says, and what it makes is returned,
/// unless the row has returned itself, or says that nothing is.
const FUNCTIONS: &str = r#"
    ;; The resource that the task has borrowed; its row.
    (global $h (mut i32) (i32.const 0))
    (global $row (mut i32) (i32.const 0))
    ;; Whether it returns nothing, and what the callback returns then.
    (global $silent (mut i32) (i32.const 0))
    (global $code (mut i32) (i32.const 0))
    ;; The row that `realloc`, or the post-return function, does when it is called next.
    (global $in-realloc (mut i32) (i32.const -1))
    (global $in-post (mut i32) (i32.const -1))
    (type $body (func (result i32)))
    (func $run (param $row i32) (result i32) (call_indirect (type $body) (local.get $row)))
    (func $do (param $row i32) (param $h i32) (result i32)
      (global.set $h (local.get $h))
      (if (i32.eqz (call $keeps (local.get $row))) (then (call $h.drop (local.get $h))))
      (call $run (local.get $row)))
    (func $finish (param i32)
      (if (i32.eqz (global.get $silent)) (then (call $return (local.get 0)))))
    (func (export "callback") (param $row i32) (param $h i32) (param i32 i32) (result i32)
      (call $finish (call $do (local.get $row) (local.get $h)))
      (global.get $code))
    (func (export "callback-cb") (param i32 i32 i32) (result i32) unreachable)
    (func (export "yielding") (param $row i32) (param $h i32) (param i32 i32) (result i32)
      (global.set $row (local.get $row))
      (global.set $h (local.get $h))
      (i32.const 1))
    (func (export "yielding-cb") (param i32 i32 i32) (result i32)
      (call $finish (call $do (global.get $row) (global.get $h)))
      (global.get $code))
    (func (export "stackful") (param $row i32) (param $h i32) (param i32 i32)
      (call $finish (call $do (local.get $row) (local.get $h))))
    (func (export "plain") (param $row i32) (param $h i32) (param i32 i32) (result i32)
      (call $do (local.get $row) (local.get $h)))
    (func (export "sync") (param $row i32) (param $h i32) (param i32 i32) (result i32)
      (call $do (local.get $row) (local.get $h)))
    ;; What another task does.
    (func (export "beside") (param $row i32) (call $return-u32 (call $run (local.get $row))))
    (func (export "pause") (param i32) (call $return-u32 (call $wait-sync (local.get 0))))
    (func (export "arm") (param $in-realloc i32) (param $in-post i32)
      (global.set $in-realloc (local.get $in-realloc))
      (global.set $in-post (local.get $in-post)))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $row i32)
      (local.set $row (global.get $in-realloc))
      (if (i32.eq (local.get $row) (i32.const -1)) (then (return (i32.const 4096))))
      (global.set $in-realloc (i32.const -1))
      (call $run (local.get $row)))
    (func (export "post") (param i32)
      (if (i32.ne (global.get $in-post) (i32.const -1)) (then
        (drop (call $run (global.get $in-post))))))
"#;

/// The parameters of all functions. A text that is not empty makes the callee's `realloc` run.
const PARAMS: &str = r#"(param "row" u32) (param "h" (borrow $H)) (param "text" string)"#;

/// The whole component. Row n does body n; the task beside it does what follows the bodies.
pub(super) fn component<E>(returns: Returns, rows: &[Row<E>]) -> String {
    let [other, callee, caller] = [other(), callee(returns, rows), caller(returns)];
    let funcs = Kind::ALL.map(|kind| {
        let (name, asyncness) = (kind.name(), kind.asyncness());
        (
            format!(r#"(with "{name}" (func $callee "{name}"))"#),
            format!(
                r#"(export "host-{name}" (func $callee "{name}"))
                (export "guest-{name}" (func $caller "{name}"))
                {}"#,
                match asyncness {
                    "" => String::new(),
                    _ => format!(r#"(export "waits-{name}" (func $caller "waits-{name}"))"#),
                }
            ),
        )
    });
    let with: String = funcs.iter().map(|(with, _)| with.as_str()).collect();
    let exports: String = funcs.iter().map(|(_, export)| export.as_str()).collect();
    format!(
        r#"(component
          {IMPORTS} {other} {callee} {caller}
          (instance $other (instantiate $Other (with "r" (type $H)) (with "wait" (func $wait))))
          (instance $callee (instantiate $Callee {WITH} (with "other" (instance $other))))
          (instance $caller (instantiate $Caller (with "r" (type $H)) {with}))
          (export "beside" (func $callee "beside"))
          (export "pause" (func $callee "pause"))
          (export "arm" (func $callee "arm"))
          {exports})"#
    )
}

/// The component whose functions do what the rows say.
fn callee<E>(returns: Returns, rows: &[Row<E>]) -> String {
    let ty = returns.ty;
    let own = [
        ("return-u32", "(param i32)", "task.return (result u32)"),
        ("return", "(param i32)", ""),
    ];
    let result = format!("task.return (result {ty}) (memory $mem)");
    let mut functions = own.to_vec();
    functions[1].2 = &result;
    functions.extend(OTHERS);
    functions.extend(BUILT_INS.iter().filter(|it| it.0 != "return"));
    let [imports, definitions, core_exports] =
        [builtins::imports, builtins::definitions, builtins::exports].map(|of| of(&functions));

    let bodies: Vec<&str> = rows
        .iter()
        .flat_map(|row| row.cases.iter().map(|(body, _)| *body))
        .chain(rows.iter().map(|row| row.beside))
        .collect();
    let body = |(place, body): (usize, &&str)| {
        let body = if body.is_empty() {
            "(i32.const 0)"
        } else {
            *body
        };
        format!("(func $body-{place} (result i32) (local $x i32) {body})\n")
    };
    let funcs: String = bodies.iter().enumerate().map(body).collect();
    let elements: String = (0..bodies.len()).map(|it| format!(" $body-{it}")).collect();
    let keeps: String = rows
        .iter()
        .flat_map(|row| row.cases.iter().map(|_| row.keeps))
        .enumerate()
        .filter(|(_, keeps)| *keeps)
        .map(|(place, _)| {
            format!("(if (i32.eq (local.get 0) (i32.const {place})) (then (return (i32.const 1))))")
        })
        .collect();
    let lifts: String = Kind::ALL
        .map(|kind| {
            let (name, asyncness, options) = (kind.name(), kind.asyncness(), kind.options());
            format!(
                r#"(func (export "{name}") {asyncness} {PARAMS} (result {ty})
                  (canon lift (core func $i "{name}") {options} (memory $mem)
                    (realloc (core func $i "realloc"))))"#
            )
        })
        .concat();
    format!(
        r#"(component $Callee
          {IMPORTS}
          (import "other" (instance $other
            (alias outer $Callee $H (type $H))
            (export "wait" (func async (param "n" u32) (result u32)))
            (export "take" (func async (param "s" (stream u8))))
            (export "take-future" (func async (param "f" (future u8))))
            (export "take-error" (func async (param "e" error-context)))
            (export "many" (func async (param "a" u32) (param "b" u32) (param "c" u32)
              (param "d" u32) (param "e" u32)))
            (export "say" (func async (param "text" string) (param "c" char)))
            (export "hold" (func async (param "h" (borrow $H))))))
          {TYPES}
          (core module $m
            (import "" "mem" (memory 1))
            {imports} {HELPERS}
            (table {count} funcref)
            (elem (i32.const 0) {elements})
            (func $keeps (param i32) (result i32) {keeps} (i32.const 0))
            {FUNCTIONS} {funcs})
          {definitions}
          (core instance $i (instantiate $m (with "" (instance
            (export "mem" (memory $mem)) {core_exports}))))
          (func (export "beside") async (param "row" u32) (result u32)
            (canon lift (core func $i "beside") async))
          (func (export "pause") async (param "n" u32) (result u32)
            (canon lift (core func $i "pause") async))
          (func (export "arm") (param "in-realloc" u32) (param "in-post" u32)
            (canon lift (core func $i "arm")))
          {lifts})"#,
        count = bodies.len(),
    )
}

/// The component that calls those functions: synchronously, and so that it waits for a subtask.
fn caller(returns: Returns) -> String {
    let Returns { ty, is_wide } = returns;
    // Of a large result the place is returned, where it was put.
    let (place, result) = match is_wide {
        true => ("(i32.const 16)", "(i32.const 16)"),
        false => ("", "(i32.load (i32.const 16))"),
    };
    let (sync_type, sync_result) = match is_wide {
        true => ("(param i32 i32 i32 i32 i32)", "(i32.const 16)"),
        false => ("(param i32 i32 i32 i32) (result i32)", "(local.get $x)"),
    };
    let set = if is_wide { "" } else { "local.set $x" };
    let parts = Kind::ALL.map(|kind| {
        let (name, asyncness) = (kind.name(), kind.asyncness());
        let import = format!(
            r#"(import "{name}" (func ${name} {asyncness} {PARAMS} (result {ty})))
            (canon lower (func ${name}) (memory $mem) (realloc (core func $alloc "realloc"))
              (core func ${name}))"#
        );
        let call = format!(
            "(call ${name} (local.get 0) (local.get 1) (local.get 2) (local.get 3) {place})"
        );
        let call = match set {
            "" => call,
            _ => format!("({set} {call})"),
        };
        let core = format!(r#"(import "" "{name}" (func ${name} {sync_type}))"#,);
        let func = format!(
            r#"(func (export "{name}") (param i32 i32 i32 i32) (local $x i32)
              {call}
              (call $h.drop (local.get 1))
              (call $return {sync_result}))"#
        );
        let export = format!(r#"(export "{name}" (func ${name}))"#);
        let lift = lifted(name, ty);
        if asyncness.is_empty() {
            return [import, core, func, export, lift];
        }
        let import = format!(
            r#"{import}
            (canon lower (func ${name}) async (memory $mem) (realloc (core func $alloc "realloc"))
              (core func $waits-{name}))"#
        );
        let core = format!(
            r#"{core} (import "" "waits-{name}"
              (func $waits-{name} (param i32 i32 i32 i32 i32) (result i32)))"#
        );
        let func = format!(
            r#"{func}
            (func (export "waits-{name}") (param i32 i32 i32 i32)
              (call $await (call $waits-{name}
                (local.get 0) (local.get 1) (local.get 2) (local.get 3) (i32.const 16)))
              (call $h.drop (local.get 1))
              (call $return {result}))"#
        );
        let export = format!(r#"{export} (export "waits-{name}" (func $waits-{name}))"#);
        let lift = lift + &lifted(&format!("waits-{name}"), ty);
        [import, core, func, export, lift]
    });
    let [imports, cores, funcs, exports, lifts] =
        [0, 1, 2, 3, 4].map(|part| parts.iter().map(|it| it[part].as_str()).collect::<String>());
    format!(
        r#"(component $Caller
          (import "r" (type $H (sub resource)))
          {TYPES}
          {imports}
          (canon task.return (result {ty}) (memory $mem) (core func $return))
          (canon waitable-set.new (core func $set.new))
          (canon waitable-set.wait (memory $mem) (core func $set.wait))
          (canon waitable.join (core func $join))
          (canon subtask.drop (core func $subtask.drop))
          (canon resource.drop $H (core func $h.drop))
          (core module $m
            (import "" "mem" (memory 1))
            (import "" "return" (func $return (param i32)))
            (import "" "set.new" (func $set.new (result i32)))
            (import "" "set.wait" (func $set.wait (param i32 i32) (result i32)))
            (import "" "join" (func $join (param i32 i32)))
            (import "" "subtask.drop" (func $subtask.drop (param i32)))
            (import "" "h.drop" (func $h.drop (param i32)))
            {cores}
            ;; Waits until a call has returned.
            (func $await (param $state i32) (local $set i32) (local $subtask i32)
              (if (i32.eq (local.get $state) (i32.const 2)) (then return))
              (local.set $subtask (i32.shr_u (local.get $state) (i32.const 4)))
              (local.set $set (call $set.new))
              (call $join (local.get $subtask) (local.get $set))
              (loop $more
                (drop (call $set.wait (local.get $set) (i32.const 0)))
                (br_if $more (i32.ne (i32.load (i32.const 4)) (i32.const 2))))
              (call $subtask.drop (local.get $subtask)))
            {funcs})
          (core instance $i (instantiate $m (with "" (instance
            (export "mem" (memory $mem)) (export "return" (func $return))
            (export "set.new" (func $set.new)) (export "set.wait" (func $set.wait))
            (export "join" (func $join)) (export "subtask.drop" (func $subtask.drop))
            (export "h.drop" (func $h.drop))
            {exports}))))
          {lifts})"#
    )
}

/// A function of `$Caller`.
fn lifted(name: &str, ty: &str) -> String {
    format!(
        r#"(func (export "{name}") async {PARAMS} (result {ty})
          (canon lift (core func $i "{name}") async (memory $mem)
            (realloc (core func $alloc "realloc"))))"#
    )
}
