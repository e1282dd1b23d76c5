//! `bindgen!`: `error-context` in parameters, results and types with names.

use cwasm::{ErrorContext, Linker, Store};
use cwasm_tests::artifact::Workshop;

cwasm::bindgen!({
    inline: "
        package test:errors;
        interface log {
            record entry { code: u32, cause: error-context }
            variant failure { denied, other(error-context) }
            report: func(entry: entry) -> result<u32, failure>;
        }
        world app {
            import log;
            export run: func(text: string) -> result<error-context, error-context>;
            export message: func(e: error-context) -> string;
        }
    ",
});

use test::errors::log::{self, Entry, Failure};

/// `run` reports an error context of its text with code 7: that one is its result, or the error
/// that the host has for it. `message` returns its message.
const GUEST: &str = r#"(component
  (import "test:errors/log" (instance $log
    (type $entry' (record (field "code" u32) (field "cause" error-context)))
    (export "entry" (type $entry (eq $entry')))
    (type $failure' (variant (case "denied") (case "other" error-context)))
    (export "failure" (type $failure (eq $failure')))
    (export "report" (func (param "entry" $entry) (result (result u32 (error $failure)))))))
  (core module $libc (memory (export "mem") 1)
    (global $next (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.get $next)
      (global.set $next (i32.add (global.get $next) (local.get 3)))))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "mem" (core memory $mem))
  (alias core export $libc "realloc" (core func $realloc))
  (core func $report (canon lower (func $log "report") (memory $mem)))
  (core func $new (canon error-context.new (memory $mem)))
  (core func $text (canon error-context.debug-message
    (memory $mem) (realloc (core func $realloc))))
  (core module $m
    (import "" "mem" (memory 1))
    (import "" "report" (func $report (param i32 i32 i32)))
    (import "" "new" (func $new (param i32 i32) (result i32)))
    (import "" "text" (func $text (param i32 i32)))
    (func (export "run") (param i32 i32) (result i32)
      (i32.store (i32.const 4) (call $new (local.get 0) (local.get 1)))
      (call $report (i32.const 7) (i32.load (i32.const 4)) (i32.const 16))
      (i32.store8 (i32.const 0) (i32.load8_u (i32.const 16)))
      (if (i32.load8_u (i32.const 16)) (then
        (if (i32.eqz (i32.load8_u (i32.const 20))) (then unreachable))
        (i32.store (i32.const 4) (i32.load (i32.const 24)))))
      (i32.const 0))
    (func (export "message") (param i32) (result i32)
      (call $text (local.get 0) (i32.const 32))
      (i32.const 32)))
  (core instance $i (instantiate $m (with "" (instance
    (export "mem" (memory $mem)) (export "report" (func $report)) (export "new" (func $new))
    (export "text" (func $text))))))
  (func (export "run") (param "text" string) (result (result error-context (error error-context)))
    (canon lift (core func $i "run") (memory $mem) (realloc (core func $realloc))))
  (func (export "message") (param "e" error-context) (result string)
    (canon lift (core func $i "message") (memory $mem))))"#;

/// What was reported.
#[derive(Default)]
struct State(Vec<(u32, ErrorContext)>);

impl log::Host for State {
    fn report(&mut self, Entry { code, cause }: Entry) -> Result<u32, Failure> {
        self.0.push((code, cause.clone()));
        match cause.debug_message() {
            "fine" => Ok(1),
            _ => Err(Failure::Other(ErrorContext::new("what the host says"))),
        }
    }
}

#[test]
fn error_contexts_are_values_of_the_host() {
    let workshop = Workshop::new();
    let artifact = workshop.compile(GUEST.as_bytes()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let mut linker = Linker::new(workshop.engine());
    App::add_to_linker(&mut linker, |state: &mut State| state).unwrap();
    let mut store = Store::new(workshop.engine(), State::default());
    let app = App::instantiate(&mut store, &component, &linker).unwrap();
    let Ok(given) = app.call_run(&mut store, "fine").unwrap() else {
        panic!("the host takes it");
    };
    assert_eq!(store.data().0, [(7, given)]);
    let Err(given) = app.call_run(&mut store, "bad").unwrap() else {
        panic!("the host does not take it");
    };
    assert_eq!(given.debug_message(), "what the host says");
    assert_eq!(
        app.call_message(&mut store, &given).unwrap(),
        "what the host says"
    );
}
