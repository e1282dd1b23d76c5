//! The guest, made once for all programs: component instances with a core module each, whose
//! functions ask the host what to do next, do it, and tell the host what came of it.

use std::fmt::Write;

use super::program::{Callee, End, INSTANCES, Kind, Lift, Op, Returns, Shape};

/// What guests call of the host: name, parameters, and whether there is a result of `u32`.
const HOST: [(&str, &[&str], bool); 5] = [
    // The function of a task begins: instance, task, argument.
    ("begin", &["u32", "u32", "u32"], false),
    // A callback begins: task, event.
    ("event", &["u32", "u32", "u32", "u32"], false),
    // The number of the operation that a task does next; those of its arguments.
    ("next", &["u32"], true),
    ("arg", &["u32"], true),
    // What it has returned.
    ("report", &["u32", "u64"], false),
];

/// The name of a function that the component exports, for calls of the host.
pub(crate) fn export_name(callee: Callee) -> String {
    format!("{}{}", callee.lift.name(), callee.instance)
}

/// Whether the host can call a function.
pub(crate) fn is_exported(callee: Callee) -> bool {
    callee.shape == Shape::Number
}

/// The component, as text.
pub(crate) fn component() -> String {
    let mut text = String::from("(component\n");
    for (name, params, has_result) in HOST {
        let ty = host_type(params, has_result);
        line(
            &mut text,
            &format!("(import \"{name}\" (func ${name} {ty}))"),
        );
    }
    for instance in (0..INSTANCES).rev() {
        inner(&mut text, instance);
        let mut args = String::new();
        for (name, _, _) in HOST {
            let _ = write!(args, " (with \"{name}\" (func ${name}))");
        }
        for callee in callees(instance) {
            let of = callee.instance;
            let _ = write!(args, " (with \"{callee}\" (func $i{of} \"{callee}\"))");
        }
        line(
            &mut text,
            &format!("(instance $i{instance} (instantiate $C{instance}{args}))"),
        );
    }
    for callee in (0..INSTANCES)
        .flat_map(Callee::of)
        .filter(|callee| is_exported(*callee))
    {
        let (name, of) = (export_name(callee), callee.instance);
        line(
            &mut text,
            &format!("(export \"{name}\" (func $i{of} \"{callee}\"))"),
        );
    }
    text.push(')');
    text
}

fn line(text: &mut String, of: &str) {
    text.push_str(of);
    text.push('\n');
}

/// The functions that an instance can call.
fn callees(instance: u32) -> impl Iterator<Item = Callee> {
    (instance + 1..INSTANCES).flat_map(Callee::of)
}

fn host_type(params: &[&str], has_result: bool) -> String {
    let mut ty = String::new();
    for (place, param) in params.iter().enumerate() {
        let _ = write!(ty, "(param \"p{place}\" {param}) ");
    }
    if has_result {
        ty.push_str("(result u32)");
    }
    ty
}

/// A component of its own for each instance, since they call different functions.
fn inner(text: &mut String, instance: u32) {
    let _ = writeln!(text, "(component $C{instance}");
    line(
        text,
        "(type $stream (stream u8)) (type $future (future u32))",
    );
    line(text, "(core module $libc (memory (export \"mem\") 1))");
    line(text, "(core instance $libc (instantiate $libc))");
    line(text, "(alias core export $libc \"mem\" (core memory $mem))");
    let mut lowered = String::from("(export \"mem\" (memory $mem))");
    for (name, params, has_result) in HOST {
        let ty = host_type(params, has_result);
        line(text, &format!("(import \"{name}\" (func ${name} {ty}))"));
        line(
            text,
            &format!("(core func ${name} (canon lower (func ${name})))"),
        );
        let _ = write!(lowered, "(export \"{name}\" (func ${name}))");
    }
    for callee in callees(instance) {
        let ty = component_type(callee);
        line(
            text,
            &format!("(import \"{callee}\" (func ${callee} {ty}))"),
        );
    }
    for op in Op::all(instance) {
        if let Some((canon, _)) = canon_of(op) {
            line(text, &format!("(core func ${op} (canon {canon}))"));
            let _ = write!(lowered, "(export \"{op}\" (func ${op}))");
        }
    }
    module(text, instance);
    line(
        text,
        &format!("(core instance $i (instantiate $m (with \"\" (instance {lowered}))))"),
    );
    for callee in Callee::of(instance) {
        let ty = component_type(callee);
        let options = match callee.lift {
            Lift::Callback => "async (callback (core func $i \"callback\"))",
            Lift::Stackful => "async",
            Lift::Blocking | Lift::Plain => "",
        };
        let lift = format!("(canon lift (core func $i \"{callee}\") {options})");
        line(text, &format!("(func (export \"{callee}\") {ty} {lift})"));
    }
    line(text, ")");
}

/// The type of a function of components.
fn component_type(callee: Callee) -> String {
    let is_async = if callee.lift.has_async_type() {
        "async "
    } else {
        ""
    };
    let takes = callee.shape.takes();
    let param = takes.map_or(String::new(), |kind| {
        format!("(param \"e\" ${}) ", kind.name())
    });
    let result = result_type(callee.shape.returns());
    format!("{is_async}(param \"n\" u32) {param}{result}")
}

fn result_type(returns: Returns) -> String {
    match returns {
        Returns::Nothing => String::new(),
        Returns::Number => "(result u32)".to_owned(),
        Returns::End(kind) => format!("(result ${})", kind.name()),
    }
}

/// The type of a core function of a built-in: how many arguments of `i32`, and the result.
struct CoreType {
    params: usize,
    result: &'static str,
}

/// The definition of a built-in or import, and the type of its core function.
fn canon_of(op: Op) -> Option<(String, CoreType)> {
    let ty = |params, result| CoreType { params, result };
    let memory = "(memory $mem)";
    let wait = |is_sync| if is_sync { "" } else { " async" };
    Some(match op {
        Op::Finish | Op::Peek | Op::Poke | Op::Unreachable => return None,
        Op::ContextGet => (format!("{op} i32 0"), ty(0, "i32")),
        Op::ContextSet => (format!("{op} i32 0"), ty(1, "")),
        Op::Return(returns) => {
            let params = usize::from(returns != Returns::Nothing);
            let result = result_type(returns);
            (format!("task.return {result}"), ty(params, ""))
        }
        Op::SubtaskCancel { is_sync } => (format!("subtask.cancel{}", wait(is_sync)), ty(1, "i32")),
        Op::SetWait | Op::SetPoll => (format!("{op} {memory}"), ty(2, "i32")),
        Op::SetNew => (op.to_string(), ty(0, "i32")),
        Op::SetDrop | Op::SubtaskDrop => (op.to_string(), ty(1, "")),
        Op::Join => (op.to_string(), ty(2, "")),
        Op::Yield => (op.to_string(), ty(0, "i32")),
        Op::TaskCancel | Op::BackpressureInc | Op::BackpressureDec => (op.to_string(), ty(0, "")),
        Op::New(kind) => (format!("{op} ${}", kind.name()), ty(0, "i64")),
        Op::Copy {
            end: end @ End { kind, .. },
            is_sync,
        } => {
            let (name, verb) = (kind.name(), end.verb());
            let params = if kind == Kind::Stream { 3 } else { 2 };
            let canon = format!("{name}.{verb} ${name}{} {memory}", wait(is_sync));
            (canon, ty(params, "i32"))
        }
        Op::Cancel { end, is_sync } => {
            let (name, verb) = (end.kind.name(), end.verb());
            let canon = format!("{name}.cancel-{verb} ${name}{}", wait(is_sync));
            (canon, ty(1, "i32"))
        }
        Op::Drop(end) => (format!("{op} ${}", end.kind.name()), ty(1, "")),
        Op::Call { callee, is_sync } => {
            let shape = callee.shape;
            let (takes, returns) = (shape.takes().is_some(), shape.returns() != Returns::Nothing);
            let params = 1 + usize::from(takes);
            match is_sync {
                true => {
                    let result = if returns { "i32" } else { "" };
                    (format!("lower (func ${callee})"), ty(params, result))
                }
                false => {
                    let params = params + usize::from(returns);
                    (
                        format!("lower (func ${callee}) async {memory}"),
                        ty(params, "i32"),
                    )
                }
            }
        }
    })
}

/// The core module: a function for each operation, in a table, and those that are lifted.
fn module(text: &mut String, instance: u32) {
    line(text, "(core module $m (type $op (func (result i64)))");
    line(text, "(import \"\" \"mem\" (memory 1))");
    for (name, params, has_result) in HOST {
        let params: String = params
            .iter()
            .map(|param| match *param {
                "u64" => "(param i64) ",
                _ => "(param i32) ",
            })
            .collect();
        let result = if has_result { "(result i32)" } else { "" };
        line(
            text,
            &format!("(import \"\" \"{name}\" (func ${name} {params}{result}))"),
        );
    }
    let ops = Op::all(instance);
    for op in &ops {
        if let Some((_, ty)) = canon_of(*op) {
            let params = "(param i32) ".repeat(ty.params);
            let result = match ty.result {
                "" => String::new(),
                result => format!("(result {result})"),
            };
            line(
                text,
                &format!("(import \"\" \"{op}\" (func ${op} {params}{result}))"),
            );
        }
    }
    let _ = writeln!(text, "(table {} funcref)", ops.len());
    for (number, op) in ops.iter().enumerate() {
        let body = body_of(*op);
        line(text, &format!("(func $op{number} (type $op) {body})"));
        line(text, &format!("(elem (i32.const {number}) $op{number})"));
    }
    line(text, RUN);
    for callee in Callee::of(instance) {
        let (param, arg) = match callee.shape.takes() {
            Some(_) => ("(param i32)", "(local.get 1)"),
            None => ("", "(i32.const 0)"),
        };
        let has_result = match callee.lift {
            Lift::Callback => true,
            Lift::Stackful => false,
            Lift::Blocking | Lift::Plain => callee.shape.returns() != Returns::Nothing,
        };
        let (result, drop) = if has_result {
            ("(result i32)", "")
        } else {
            ("", "(drop)")
        };
        let keep = "(call $context.set (local.get 0))";
        let begin = format!("(call $begin (i32.const {instance}) (local.get 0) {arg})");
        let run = format!("(call $run (local.get 0)) {drop}");
        line(
            text,
            &format!(
                "(func (export \"{callee}\") (param i32) {param} {result} {keep} {begin} {run})"
            ),
        );
    }
    line(text, ")");
}

/// What an operation does: a result of `i64`.
fn body_of(op: Op) -> String {
    let arg = |place: usize| format!("(call $arg (i32.const {place}))");
    match op {
        Op::Peek => format!("(i64.load {})", arg(0)),
        Op::Poke => {
            let address = arg(0);
            let low = format!("(i32.store {address} {})", arg(1));
            let high = format!("(i32.store offset=4 {address} {})", arg(2));
            format!("{low} {high} (i64.const 0)")
        }
        _ => {
            let Some((_, ty)) = canon_of(op) else {
                return "unreachable".to_owned();
            };
            let args: String = (0..ty.params).map(arg).collect();
            let call = format!("(call ${op} {args})");
            match ty.result {
                "" => format!("{call} (i64.const 0)"),
                "i32" => format!("(i64.extend_i32_u {call})"),
                _ => call,
            }
        }
    }
}

/// Does what the host says, until that is to return.
const RUN: &str = r#"
(func $run (param $task i32) (result i32) (local $op i32)
  (loop $again
    (local.set $op (call $next (local.get $task)))
    (if (local.get $op) (then
      (call $report (local.get $task) (call_indirect (type $op) (local.get $op)))
      (br $again))))
  (call $arg (i32.const 0)))
(func (export "callback") (param i32 i32 i32) (result i32)
  (local $task i32)
  (local.set $task (i32.and (call $context.get) (i32.const 255)))
  (call $event (local.get $task) (local.get 0) (local.get 1) (local.get 2))
  (call $run (local.get $task)))"#;
