//! Runs a program on one implementation and writes down all that can be seen; compares what two
//! have seen.
//!
//! ```text
//! Program --Runtime::instantiate--> Instance --call, call, ...--> Log   compare(Log, Log)
//! ```
//!
//! A call that traps ends its instance: what it left behind is written down, and the calls that
//! remain go to a new one, which has its fuel.

use cwasm::TrapCode;

use crate::program::Program;
use crate::value::Value;

/// A compiled program on one implementation.
pub(crate) trait Runtime {
    type Instance: Instance;

    /// A new instance of the program, with all that it imports; it is of use even if its start
    /// failed.
    fn instantiate(&self, program: &Program) -> (Self::Instance, Result<(), Stop>);
}

/// An instance of a program.
pub(crate) trait Instance {
    fn call(&mut self, func: &str, args: &[Value]) -> Result<Vec<Value>, Stop>;

    /// Values of globals, tables and memories, of the module's own exports and of what it imports.
    fn state(&mut self, program: &Program) -> State;
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Trap(TrapCode),
    /// Not a trap: on neither side anything else is expected, so what it says is compared.
    Error(String),
}

/// The state of an instance that is visible from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Of all calls to the host.
    pub(crate) host: u64,
    pub(crate) globals: Vec<(String, Value)>,
    /// For each element, whether it is null.
    pub(crate) tables: Vec<(String, Vec<bool>)>,
    pub(crate) memories: Vec<(String, Bytes)>,
}

/// The bytes of a memory. Most are zero, so the last that is not ends them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bytes {
    len: usize,
    start: Vec<u8>,
}

/// All that one implementation showed, in order.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) events: Vec<Event>,
    /// Calls that were begun.
    pub(crate) calls: u64,
    /// Calls that returned.
    pub(crate) returned: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Instantiated(Result<(), Stop>),
    /// The call of this number among the program's.
    Called(usize, Result<Vec<Value>, Stop>),
    Ended(State),
}

impl Event {
    fn stop(&self) -> Option<&Stop> {
        match self {
            Event::Instantiated(Err(stop)) | Event::Called(_, Err(stop)) => Some(stop),
            _ => None,
        }
    }

    /// Where the stack ends differs, and what is left behind then, too.
    fn is_exhaustion(&self) -> bool {
        self.stop() == Some(&Stop::Trap(TrapCode::StackOverflow))
    }
}

/// Makes all calls of the program.
pub(crate) fn run(runtime: &impl Runtime, program: &Program) -> Log {
    let mut log = Log::default();
    let mut calls = program.calls.iter().enumerate().peekable();
    loop {
        let (mut instance, started) = runtime.instantiate(program);
        let is_alive = started.is_ok();
        log.events.push(Event::Instantiated(started));
        if is_alive {
            for (number, call) in calls.by_ref() {
                let result = instance.call(&call.func, &call.args);
                log.calls += 1;
                log.returned += u64::from(result.is_ok());
                let trapped = result.is_err();
                log.events.push(Event::Called(number, result));
                if trapped {
                    break;
                }
            }
        }
        log.events.push(Event::Ended(instance.state(program)));
        if !is_alive || calls.peek().is_none() {
            return log;
        }
    }
}

/// The first difference between two logs of a program; `None` if they agree as far as they must.
pub(crate) fn compare(program: &Program, left: &Log, right: &Log) -> Option<String> {
    let (mut lefts, mut rights) = (left.events.iter(), right.events.iter());
    loop {
        let (left, right) = match (lefts.next(), rights.next()) {
            (None, None) => return None,
            (Some(left), Some(right)) => (left, right),
            (left, right) => return Some(format!("{left:?}\n  and\n{right:?}")),
        };
        if left.is_exhaustion() || right.is_exhaustion() {
            return None;
        }
        if left != right {
            return Some(describe(program, left, right));
        }
    }
}

fn describe(program: &Program, left: &Event, right: &Event) -> String {
    match (left, right) {
        (Event::Ended(left), Event::Ended(right)) => left.difference(right),
        (Event::Called(number, left), Event::Called(_, right)) => {
            let call = &program.calls[*number];
            format!("call {number}, {call}:\n  {left:x?}\n  {right:x?}")
        }
        _ => format!("{left:x?}\n  and\n{right:x?}"),
    }
}

impl Bytes {
    pub(crate) fn new(bytes: &[u8]) -> Bytes {
        let end = bytes.iter().rposition(|byte| *byte != 0);
        Bytes {
            len: bytes.len(),
            start: bytes[..end.map_or(0, |end| end + 1)].to_vec(),
        }
    }

    fn difference(&self, other: &Bytes) -> String {
        if self.len != other.len {
            return format!("{} and {} bytes", self.len, other.len);
        }
        let byte = |bytes: &Bytes, at: usize| bytes.start.get(at).copied().unwrap_or(0);
        let different = (0..self.len).find(|at| byte(self, *at) != byte(other, *at));
        let at = different.unwrap_or(0);
        format!(
            "at {at:#x}: {:#x} and {:#x}",
            byte(self, at),
            byte(other, at)
        )
    }
}

impl State {
    fn difference(&self, other: &State) -> String {
        if self.host != other.host {
            return "the host was called differently".to_owned();
        }
        let globals = first_difference(&self.globals, &other.globals, |left, right| {
            format!("{left:x?} and {right:x?}")
        });
        let tables = first_difference(&self.tables, &other.tables, |left, right| {
            format!("nulls of tables: {left:?} and {right:?}")
        });
        let memories = first_difference(&self.memories, &other.memories, Bytes::difference);
        [globals, tables, memories].concat()
    }
}

fn first_difference<T: PartialEq>(
    left: &[(String, T)],
    right: &[(String, T)],
    describe: impl Fn(&T, &T) -> String,
) -> String {
    let mut pairs = left.iter().zip(right);
    match pairs.find(|(left, right)| left != right) {
        Some(((name, left), (_, right))) => {
            format!("at the end, `{name}`: {}", describe(left, right))
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpreter;
    use crate::ours::{Ours, Settings};
    use crate::program::{Case, Proposals};

    fn program(body: &str) -> Program {
        let text = format!(
            r#"(module
                (import "" "" (func $host (param i32)))
                (memory (export "m") 1 1)
                (table (export "t") 2 2 funcref)
                (global $g (export "g") (mut i64) (i64.const 1))
                (elem declare func $f)
                (func $f (export "f") (param i32) (result i32) {body} (i32.const 1)))"#
        );
        let case = Case::from_bytes(text.as_bytes()).unwrap();
        case.program(Proposals::Common).unwrap()
    }

    /// The first difference between cwasm with one body and the interpreter with another.
    fn difference(ours: &str, theirs: &str) -> Option<String> {
        let (program, other) = (program(ours), program(theirs));
        let lab = Ours::default();
        let compiled = lab.compile(&program, Settings::default()).unwrap().unwrap();
        let loaded = interpreter::load(&other).unwrap().unwrap();
        compare(&program, &run(&compiled, &program), &run(&loaded, &other))
    }

    #[test]
    fn each_kind_of_difference_is_seen() {
        let divide = "(drop (i32.div_u (i32.const 1) (i32.const 0)))";
        let cases = [
            ("(return (i32.const 2))", "", "call 0, `f`"),
            ("(unreachable)", "", "Unreachable"),
            ("(unreachable)", divide, "IntegerDivisionByZero"),
            (
                "(i32.store8 (i32.const 65535) (i32.const 9))",
                "",
                "at the end, `m`: at 0xffff: 0x9 and 0x0",
            ),
            (
                "(global.set $g (i64.const 5))",
                "",
                "at the end, `g`: I64(5) and I64(1)",
            ),
            (
                "(table.set (i32.const 1) (ref.func $f))",
                "",
                "at the end, `t`: nulls",
            ),
            ("(call $host (i32.const 3))", "", "HostError"),
            // What was done before a trap counts.
            (
                "(global.set $g (i64.const 5)) (unreachable)",
                "(unreachable)",
                "at the end, `g`",
            ),
        ];
        for (left, right, expected) in cases {
            for (ours, theirs) in [(left, right), (right, left)] {
                let found = difference(ours, theirs);
                assert!(found.is_some(), "{ours} {theirs}");
            }
            let found = difference(left, right).unwrap();
            assert!(found.contains(expected), "{left}: {found}");
            assert_eq!(difference(left, left), None);
        }
    }

    #[test]
    fn nothing_is_compared_after_the_stack_was_exhausted() {
        let recursion = "(global.set $g (i64.const 5)) (drop (call $f (local.get 0)))";
        assert_eq!(difference(recursion, "(unreachable)"), None);
        assert_eq!(difference("", recursion), None);
    }
}
