//! Error contexts: made by guests and by the host, and passed on in every way.

use cwasm::types::Type;
use cwasm::{
    Component, ErrorContext, Instance, Linker, Result, Store, StoreLimits, StreamReader,
    StreamWriter, Val, block_on,
};
use cwasm_tests::artifact::Workshop;

/// `make` makes an error context of a text; `message` returns its message, and drops it; `pass`
/// returns it, `both` returns it twice, `listed` the last one of a list. `leak` makes n with a text
/// and keeps them. Of strings in ENCODING, in a memory whose addresses are ADDRESS.
const MAKER: &str = r#"(component $Maker
  (core module $libc (memory (export "mem") ADDRESS 1)
    (global $next (mut ADDRESS) (ADDRESS.const 1024))
    (func (export "realloc") (param ADDRESS ADDRESS ADDRESS ADDRESS) (result ADDRESS)
      (local $at ADDRESS)
      (local.set $at (ADDRESS.and (ADDRESS.add (global.get $next) (ADDRESS.const 7)) (ADDRESS.const -8)))
      (global.set $next (ADDRESS.add (local.get $at) (local.get 3)))
      (memory.copy (local.get $at) (local.get 0) (local.get 1))
      (local.get $at)))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "mem" (core memory $mem))
  (alias core export $libc "realloc" (core func $realloc))
  (core func $new (canon error-context.new (memory $mem) ENCODING))
  (core func $message (canon error-context.debug-message
    (memory $mem) (realloc (core func $realloc)) ENCODING))
  (core func $drop (canon error-context.drop))
  (core module $m
    (import "" "mem" (memory ADDRESS 1))
    (import "" "new" (func $new (param ADDRESS ADDRESS) (result i32)))
    (import "" "message" (func $message (param i32 ADDRESS)))
    (import "" "drop" (func $drop (param i32)))
    (func (export "make") (param ADDRESS ADDRESS) (result i32)
      (call $new (local.get 0) (local.get 1)))
    (func (export "message") (param i32) (result ADDRESS)
      (call $message (local.get 0) (ADDRESS.const 16))
      (call $drop (local.get 0))
      (ADDRESS.const 16))
    (func (export "pass") (param i32) (result i32) (local.get 0))
    (func (export "both") (param i32) (result ADDRESS)
      (i32.store (ADDRESS.const 32) (local.get 0))
      (i32.store (ADDRESS.const 36) (local.get 0))
      (ADDRESS.const 32))
    (func (export "listed") (param $at ADDRESS) (param $len ADDRESS) (result i32)
      (i32.load (ADDRESS.add (local.get $at)
        (ADDRESS.mul (ADDRESS.sub (local.get $len) (ADDRESS.const 1)) (ADDRESS.const 4)))))
    (func (export "leak") (param $n i32) (param ADDRESS ADDRESS)
      (loop $more
        (drop (call $new (local.get 1) (local.get 2)))
        (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
  (core instance $i (instantiate $m (with "" (instance
    (export "mem" (memory $mem)) (export "new" (func $new)) (export "message" (func $message))
    (export "drop" (func $drop))))))
  (func (export "make") (param "text" string) (result error-context)
    (canon lift (core func $i "make") (memory $mem) (realloc (core func $realloc)) ENCODING))
  (func (export "message") (param "e" error-context) (result string)
    (canon lift (core func $i "message") (memory $mem) ENCODING))
  (func (export "pass") (param "e" error-context) (result error-context)
    (canon lift (core func $i "pass")))
  (func (export "both") (param "e" error-context) (result (tuple error-context error-context))
    (canon lift (core func $i "both") (memory $mem)))
  (func (export "listed") (param "list" (list error-context)) (result error-context)
    (canon lift (core func $i "listed") (memory $mem) (realloc (core func $realloc))))
  (func (export "leak") (param "n" u32) (param "text" string)
    (canon lift (core func $i "leak") (memory $mem) (realloc (core func $realloc)) ENCODING)))"#;

/// Calls the maker's functions: `say` makes an error context of a text, lets it pass there and
/// back, and returns its message; it must have handles of its own. It exports the host's `refuse`,
/// whose error is one, as `ask`, which returns the message; and `forward`, which is the host's own.
const USER: &str = r#"(component $User
  (import "make" (func $make (param "text" string) (result error-context)))
  (import "message" (func $message (param "e" error-context) (result string)))
  (import "pass" (func $pass (param "e" error-context) (result error-context)))
  (import "refuse" (func $refuse (result (result u32 (error error-context)))))
  (core module $libc (memory (export "mem") 1)
    (global $next (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "mem" (core memory $mem))
  (alias core export $libc "realloc" (core func $realloc))
  (core func $make (canon lower (func $make) (memory $mem)))
  (core func $message (canon lower (func $message) (memory $mem) (realloc (core func $realloc))))
  (core func $pass (canon lower (func $pass)))
  (core func $refuse (canon lower (func $refuse) (memory $mem)))
  (core func $new (canon error-context.new (memory $mem)))
  (core func $drop (canon error-context.drop))
  (core func $text (canon error-context.debug-message
    (memory $mem) (realloc (core func $realloc))))
  (core module $m
    (import "" "mem" (memory 1))
    (import "" "make" (func $make (param i32 i32) (result i32)))
    (import "" "message" (func $message (param i32 i32)))
    (import "" "pass" (func $pass (param i32) (result i32)))
    (import "" "refuse" (func $refuse (param i32)))
    (import "" "new" (func $new (param i32 i32) (result i32)))
    (import "" "drop" (func $drop (param i32)))
    (import "" "text" (func $text (param i32 i32)))
    (func (export "say") (param i32 i32) (result i32) (local $e i32) (local $back i32)
      ;; So that handles of the two components differ.
      (drop (call $new (i32.const 0) (i32.const 0)))
      (drop (call $new (i32.const 0) (i32.const 0)))
      (local.set $e (call $make (local.get 0) (local.get 1)))
      (if (i32.ne (local.get $e) (i32.const 3)) (then unreachable))
      (local.set $back (call $pass (local.get $e)))
      (if (i32.ne (local.get $back) (i32.const 4)) (then unreachable))
      (call $drop (local.get $e))
      (call $message (local.get $back) (i32.const 16))
      (i32.const 16))
    (func (export "ask") (result i32)
      (call $refuse (i32.const 32))
      (if (i32.ne (i32.load8_u (i32.const 32)) (i32.const 1)) (then unreachable))
      (call $text (i32.load (i32.const 36)) (i32.const 16))
      (i32.const 16)))
  (core instance $i (instantiate $m (with "" (instance
    (export "mem" (memory $mem)) (export "make" (func $make)) (export "message" (func $message))
    (export "pass" (func $pass)) (export "refuse" (func $refuse)) (export "new" (func $new))
    (export "drop" (func $drop)) (export "text" (func $text))))))
  (func (export "say") (param "text" string) (result string)
    (canon lift (core func $i "say") (memory $mem) (realloc (core func $realloc))))
  (func (export "ask") (result string) (canon lift (core func $i "ask") (memory $mem))))"#;

/// A maker whose strings are encoded like this, in a memory with such addresses.
fn maker(encoding: &str, address: &str) -> String {
    MAKER
        .replace("ENCODING", encoding)
        .replace("ADDRESS", address)
}

fn load(workshop: &Workshop, text: &str) -> Component {
    let artifact = workshop.compile(text.as_bytes()).unwrap();
    workshop.map_component(&artifact).unwrap()
}

fn instance(text: &str) -> (Store<()>, Instance) {
    let workshop = Workshop::new();
    let component = load(&workshop, text);
    let mut store = Store::new(workshop.engine(), ());
    let instance = Linker::new(workshop.engine()).instantiate(&mut store, &component);
    let instance = instance.unwrap();
    (store, instance)
}

/// Calls a function of an instance.
macro_rules! call {
    ($store:expr, $instance:expr, $name:literal, $params:expr) => {{
        let func = $instance.get_typed_func(&mut $store, $name).unwrap();
        let result: Result<_> = func.call(&mut $store, $params);
        result.map(|(value,)| value)
    }};
}

const TEXTS: [&str; 4] = ["", "no such file", "über 100 Ωm", "a 🦀, and \0 inside"];

#[test]
fn messages_pass_in_every_encoding_and_memory() {
    for encoding in ["", "string-encoding=utf16", "string-encoding=latin1+utf16"] {
        for address in ["i32", "i64"] {
            let (mut store, instance) = instance(&maker(encoding, address));
            for text in TEXTS {
                let made: ErrorContext = call!(store, instance, "make", (text,)).unwrap();
                assert_eq!(made.debug_message(), text, "{encoding} {address}");
                let message: String = call!(store, instance, "message", (made,)).unwrap();
                assert_eq!(message, text, "{encoding} {address}");
                let own = ErrorContext::new(text);
                let message: String = call!(store, instance, "message", (own,)).unwrap();
                assert_eq!(message, text, "{encoding} {address}");
            }
        }
    }
}

#[test]
fn what_is_passed_on_stays_the_same() {
    let (mut store, instance) = instance(&maker("", "i32"));
    let made = ErrorContext::new("one");
    let back: ErrorContext = call!(store, instance, "pass", (&made,)).unwrap();
    assert_eq!(back, made);
    assert_ne!(back, ErrorContext::new("one"));
    let both: (ErrorContext, ErrorContext) =
        call!(store, instance, "both", (made.clone(),)).unwrap();
    assert_eq!(both, (made.clone(), made.clone()));
    let list = vec![ErrorContext::new("other"), made.clone()];
    let last: ErrorContext = call!(store, instance, "listed", (list,)).unwrap();
    assert_eq!(last, made);
    assert_eq!(
        (format!("{last}"), format!("{last:?}")),
        ("one".to_owned(), r#"ErrorContext("one")"#.to_owned())
    );
}

#[test]
fn values_of_types_that_are_not_known_have_them() {
    let (mut store, instance) = instance(&maker("", "i32"));
    let func = instance.get_func(&mut store, "both").unwrap();
    let ty = func.ty(&store).unwrap();
    assert_eq!(
        ty.to_string(),
        "func(e: error-context) -> tuple<error-context, error-context>"
    );
    let (_, param) = ty.params().next().unwrap();
    assert!(matches!(param, Type::ErrorContext(_)), "{param:?}");
    let made = Val::ErrorContext(ErrorContext::new("x"));
    let mut results = [Val::Bool(false)];
    func.call(&mut store, std::slice::from_ref(&made), &mut results)
        .unwrap();
    assert_eq!(results, [Val::Tuple(vec![made.clone(), made.clone()])]);
    assert_eq!(format!("{made:?}"), r#"ErrorContext("x")"#);
    let error = func.call(&mut store, &[Val::U32(1)], &mut results);
    let error = format!("{:?}", error.unwrap_err());
    assert!(
        error.contains("found a u32, expected `error-context`"),
        "{error}"
    );
    let error = instance.get_typed_func::<(u32,), ()>(&mut store, "message");
    assert!(error.is_err(), "a handle is not a number");
}

fn refusing(workshop: &Workshop) -> Linker<()> {
    let mut linker = Linker::new(workshop.engine());
    let refuse = |_: cwasm::StoreContextMut<'_, ()>, (): ()| {
        Ok((Err::<u32, _>(ErrorContext::new("the host says no")),))
    };
    linker.root().func_wrap("refuse", refuse).unwrap();
    linker
}

#[test]
fn guests_have_handles_of_their_own() {
    let workshop = Workshop::new();
    for (encoding, address) in [("", "i32"), ("string-encoding=utf16", "i64")] {
        let text = format!(
            r#"(component
              (import "refuse" (func $refuse (result (result u32 (error error-context)))))
              {} {USER}
              (instance $maker (instantiate $Maker))
              (instance $user (instantiate $User
                (with "make" (func $maker "make")) (with "message" (func $maker "message"))
                (with "pass" (func $maker "pass")) (with "refuse" (func $refuse))))
              (export "say" (func $user "say"))
              (export "ask" (func $user "ask")))"#,
            maker(encoding, address)
        );
        let component = load(&workshop, &text);
        let mut store = Store::new(workshop.engine(), ());
        let linker = refusing(&workshop);
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let said: String = call!(store, instance, "say", ("from one to the other",)).unwrap();
        assert_eq!(said, "from one to the other");
        let said: String = call!(store, instance, "ask", ()).unwrap();
        assert_eq!(said, "the host says no");
    }
}

/// Components that are linked by the host pass them on as those in one component do.
#[test]
fn components_that_the_host_links_pass_them_on() {
    let workshop = Workshop::new();
    let made = load(&workshop, &maker("string-encoding=latin1+utf16", "i32"));
    let user = load(&workshop, USER);
    let mut store = Store::new(workshop.engine(), ());
    let mut linker = refusing(&workshop);
    let made = linker.instantiate(&mut store, &made).unwrap();
    let make = made.get_typed_func::<(String,), (ErrorContext,)>(&mut store, "make");
    let message = made.get_typed_func::<(ErrorContext,), (String,)>(&mut store, "message");
    let pass = made.get_typed_func::<(ErrorContext,), (ErrorContext,)>(&mut store, "pass");
    let (make, message, pass) = (make.unwrap(), message.unwrap(), pass.unwrap());
    let mut root = linker.root();
    root.func_wrap("make", move |store, params| make.call(store, params))
        .unwrap();
    root.func_wrap("message", move |store, params| message.call(store, params))
        .unwrap();
    root.func_wrap("pass", move |store, params| pass.call(store, params))
        .unwrap();
    let user = linker.instantiate(&mut store, &user).unwrap();
    let said: String = call!(store, user, "say", ("über den Host",)).unwrap();
    assert_eq!(said, "über den Host");
}

/// A guest cannot make the host keep more text than the store's limit; what is beyond is left out.
/// Room comes back with the last handle.
#[test]
fn messages_have_a_limit() {
    let (mut store, instance) = instance(&maker("", "i32"));
    let mut limits = StoreLimits::new();
    limits.error_context_size(10).handles(1000);
    store.set_limits(limits);
    let mut make =
        |text: &str| -> ErrorContext { call!(store, instance, "make", (text,)).unwrap() };
    let first = make("six by");
    assert_eq!(first.debug_message(), "six by");
    assert_eq!(make("seven").debug_message(), "");
    let second = make("four");
    assert_eq!(second.debug_message(), "four");
    assert_eq!(make("x").debug_message(), "");
    // The guest has a handle, too.
    drop(first);
    assert_eq!(make("x").debug_message(), "");
    let message: String = call!(store, instance, "message", (second,)).unwrap();
    assert_eq!(message, "four");
    // Those of the host are not counted.
    let long = "x".repeat(1000);
    let message: String = call!(
        store,
        instance,
        "message",
        (ErrorContext::new(long.as_str()),)
    )
    .unwrap();
    assert_eq!(message, long);
    // A guest that makes many reaches the limit of handles.
    let leak = instance.get_typed_func::<(u32, &str), ()>(&mut store, "leak");
    let error = leak.unwrap().call(&mut store, (10_000, "text"));
    let error = error.unwrap_err();
    assert_eq!(error.trap().unwrap().code(), cwasm::TrapCode::TableFull);
}

/// Hosts print them as errors.
#[test]
fn messages_do_not_command_terminals() {
    let (mut store, instance) = instance(&maker("", "i32"));
    let text = "red \u{1b}[31m\nsecond line \u{9b}2J \u{202e}";
    let made: ErrorContext = call!(store, instance, "make", (text,)).unwrap();
    assert_eq!(made.debug_message(), text);
    for printed in [format!("{made}"), format!("{made:?}")] {
        let controls = |c: char| c != '\n' && cwasm::escape::is_control(c);
        assert!(!printed.contains(controls), "{printed:?}");
    }
}

/// What a host keeps of a store that is gone stays what it is.
#[test]
fn error_contexts_outlive_their_store() {
    let (mut store, instance) = instance(&maker("", "i32"));
    let made: ErrorContext = call!(store, instance, "make", ("kept",)).unwrap();
    drop(store);
    let there = std::thread::spawn(move || made.debug_message().to_owned());
    assert_eq!(there.join().unwrap(), "kept");
}

/// Streams have error contexts as payloads, between host and guest.
#[test]
fn streams_carry_them() {
    const PASSING: &str = r#"(component
      (type $s (stream error-context))
      (core module $m (func (export "pass") (param i32) (result i32) (local.get 0)))
      (core instance $i (instantiate $m))
      (func (export "pass") (param "s" $s) (result $s) (canon lift (core func $i "pass"))))"#;
    let (mut store, instance) = instance(PASSING);
    type Errors = StreamReader<ErrorContext>;
    let pass = instance.get_typed_func::<(Errors,), (Errors,)>(&mut store, "pass");
    let pass = pass.unwrap();
    let sent: Vec<_> = ["one", "two"].map(ErrorContext::new).into();
    let expected = sent.clone();
    let got = block_on(store.run_concurrent(async |accessor| {
        let (mut writer, reader) = accessor.with(|store| StreamWriter::pair(store));
        let (reader,) = pass.call_concurrent(accessor, (reader,)).await?;
        let write = async {
            writer.write_all(accessor, sent).await?;
            accessor.with(|store| writer.close(store))
        };
        let (got, written) = crate::streams::both(reader.collect(accessor), write).await;
        written?;
        got
    }));
    assert_eq!(got.unwrap().unwrap(), expected);
}
