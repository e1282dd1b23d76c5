//! Calls from one component to another: copies of all short lengths, compared with Rust's own, and
//! the frames of traps in inlined functions.

use cwasm::{Engine, Error, Instance, InstancePre, Linker, Store, TrapCode, TypedFunc};
use cwasm_tests::artifact::Workshop;

/// Lengths around all those at which copies change their ways.
const LENGTHS: std::ops::RangeInclusive<usize> = 0..=70;
/// The byte around a copy in the callee's memory, and the number of those that are checked.
const SENTINEL: u8 = 0xee;
const AROUND: usize = 8;

/// `list` and `text` hand bytes to a component that answers with the bytes and what is around them;
/// `copy` answers with the memory after a `memory.copy` in it.
const GUEST: &str = r#"(component
  (component $C
    (core module $m
      (memory (export "memory") 1)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (memory.fill (i32.const 0) (i32.const 0xee) (i32.const 2048))
        (i32.const 1024))
      (func (export "around") (param $at i32) (param $len i32) (result i32)
        (i32.store (i32.const 4096) (i32.sub (local.get $at) (i32.const 8)))
        (i32.store (i32.const 4100) (i32.add (local.get $len) (i32.const 16)))
        (i32.const 4096)))
    (core instance $i (instantiate $m))
    (alias core export $i "memory" (core memory $memory))
    (alias core export $i "realloc" (core func $realloc))
    (func (export "list") (param "v" (list u8)) (result (list u8))
      (canon lift (core func $i "around") (memory $memory) (realloc $realloc)))
    (func (export "text") (param "v" string) (result (list u8))
      (canon lift (core func $i "around") (memory $memory) (realloc $realloc))))
  (component $D
    (import "list" (func $list (param "v" (list u8)) (result (list u8))))
    (import "text" (func $text (param "v" string) (result (list u8))))
    (core module $libc
      (memory (export "memory") 1)
      (global $next (mut i32) (i32.const 1024))
      (func (export "reset") (param i32) (global.set $next (i32.const 1024)))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (global.get $next)
        (global.set $next (i32.add (global.get $next) (local.get 3)))))
    (core instance $libc (instantiate $libc))
    (alias core export $libc "memory" (core memory $memory))
    (alias core export $libc "realloc" (core func $realloc))
    (core func $list (canon lower (func $list) (memory $memory) (realloc $realloc)))
    (core func $text (canon lower (func $text) (memory $memory) (realloc $realloc)))
    (core module $m
      (import "" "memory" (memory 1))
      (import "" "list" (func $list (param i32 i32 i32)))
      (import "" "text" (func $text (param i32 i32 i32)))
      (func (export "list") (param i32 i32) (result i32)
        (call $list (local.get 0) (local.get 1) (i32.const 8))
        (i32.const 8))
      (func (export "text") (param i32 i32) (result i32)
        (call $text (local.get 0) (local.get 1) (i32.const 8))
        (i32.const 8))
      (func (export "copy") (param i32 i32 i32) (result i32) (local $i i32)
        (loop $again
          (i32.store8 offset=2048 (local.get $i) (local.get $i))
          (br_if $again
            (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 256))))
        (memory.copy
          (i32.add (i32.const 2048) (local.get 0))
          (i32.add (i32.const 2048) (local.get 1))
          (local.get 2))
        (i32.store (i32.const 8) (i32.const 2048))
        (i32.store (i32.const 12) (i32.const 256))
        (i32.const 8)))
    (core instance $i (instantiate $m (with "" (instance
      (export "memory" (memory $memory)) (export "list" (func $list)) (export "text" (func $text))))))
    (func (export "list") (param "v" (list u8)) (result (list u8))
      (canon lift (core func $i "list") (memory $memory) (realloc $realloc)
        (post-return (core func $libc "reset"))))
    (func (export "text") (param "v" (list u8)) (result (list u8))
      (canon lift (core func $i "text") (memory $memory) (realloc $realloc)
        (post-return (core func $libc "reset"))))
    (func (export "copy") (param "dst" u32) (param "src" u32) (param "len" u32) (result (list u8))
      (canon lift (core func $i "copy") (memory $memory))))
  (instance $c (instantiate $C))
  (instance $d (instantiate $D (with "list" (func $c "list")) (with "text" (func $c "text"))))
  (export "list" (func $d "list"))
  (export "text" (func $d "text"))
  (export "copy" (func $d "copy")))"#;

fn load(text: &str) -> (Engine, InstancePre<()>) {
    let workshop = Workshop::new();
    let artifact = workshop.compile(text.as_bytes()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let engine = workshop.engine().clone();
    let pre = Linker::new(&engine).instantiate_pre(&component).unwrap();
    (engine, pre)
}

/// A store with an instance of its own.
fn start((engine, pre): &(Engine, InstancePre<()>)) -> (Store<()>, Instance) {
    let mut store = Store::new(engine, ());
    let instance = pre.instantiate(&mut store).unwrap();
    (store, instance)
}

type Bytes = TypedFunc<(Vec<u8>,), (Vec<u8>,)>;

/// Hands bytes over and checks what arrived, and that nothing beside was written.
fn check_arrives(store: &mut Store<()>, func: &Bytes, bytes: &[u8]) {
    let (found,) = func.call(store, (bytes.to_vec(),)).unwrap();
    let around = [SENTINEL; AROUND];
    let expected = [&around, bytes, &around].concat();
    assert_eq!(found, expected, "{} bytes", bytes.len());
}

#[test]
fn short_lists_and_texts_arrive() {
    let loaded = load(GUEST);
    let (mut store, instance) = start(&loaded);
    let list: Bytes = instance.get_typed_func(&mut store, "list").unwrap();
    let text: Bytes = instance.get_typed_func(&mut store, "text").unwrap();
    for len in LENGTHS {
        let bytes: Vec<u8> = (0..len).map(|index| index as u8 ^ 0x95).collect();
        check_arrives(&mut store, &list, &bytes);
        let ascii: Vec<u8> = bytes.iter().map(|byte| byte & 0x7f).collect();
        check_arrives(&mut store, &text, &ascii);
        for at in 0..len.saturating_sub(1) {
            let mut beyond = ascii.clone();
            beyond[at..at + 2].copy_from_slice("é".as_bytes());
            check_arrives(&mut store, &text, &beyond);
        }
    }
}

#[test]
fn a_bad_byte_anywhere_in_a_short_text_is_found() {
    let loaded = load(GUEST);
    for len in LENGTHS {
        for at in 0..len {
            let mut bytes = vec![b'x'; len];
            bytes[at] = 0x80;
            let (mut store, instance) = start(&loaded);
            let text: Bytes = instance.get_typed_func(&mut store, "text").unwrap();
            let error = text.call(&mut store, (bytes,)).unwrap_err();
            assert_eq!(
                code(&error),
                TrapCode::InvalidStringEncoding,
                "{at} of {len}"
            );
        }
    }
}

#[test]
fn short_copies_in_one_memory_may_overlap() {
    let loaded = load(GUEST);
    let (mut store, instance) = start(&loaded);
    let copy: TypedFunc<(u32, u32, u32), (Vec<u8>,)> =
        instance.get_typed_func(&mut store, "copy").unwrap();
    for len in LENGTHS {
        for (dst, src) in [
            (0, 0),
            (0, 1),
            (1, 0),
            (0, 7),
            (16, 0),
            (33, 40),
            (80, 5),
            (5, 80),
        ] {
            let mut expected: Vec<u8> = (0..=255).collect();
            expected.copy_within(src..src + len, dst);
            let args = (dst as u32, src as u32, len as u32);
            let (found,) = copy.call(&mut store, args).unwrap();
            assert_eq!(found, expected, "{len} bytes from {src} to {dst}");
        }
    }
    // The memory ends 62 KiB after the address that addresses are relative to.
    let end = 62 << 10;
    for len in [1, 3, 4, 8, 16, 33, 64, 65] {
        for (dst, src) in [(end - len, 0), (0, end - len)] {
            copy.call(&mut store, (dst, src, len)).unwrap();
        }
        for (dst, src) in [(end - len + 1, 0), (0, end - len + 1), (u32::MAX, 0)] {
            let (mut store, instance) = start(&loaded);
            let copy: TypedFunc<(u32, u32, u32), (Vec<u8>,)> =
                instance.get_typed_func(&mut store, "copy").unwrap();
            // Of the second address, which wraps around, 2047 bytes are left.
            let result = copy.call(&mut store, (dst, src, len));
            match dst {
                u32::MAX => assert!(result.is_ok()),
                _ => assert_eq!(code(&result.unwrap_err()), TrapCode::MemoryOutOfBounds),
            }
        }
    }
}

fn code(error: &Error) -> TrapCode {
    error.trap().expect("a trap").code()
}

/// Traps in a component that another calls, and in the call between them.
const TRAPPING: &str = r#"(component
  (component $C
    (core module $m
      (func $div (export "div") (param i32 i32) (result i32)
        (i32.div_u (local.get 0) (local.get 1)))
      (func $same (export "same") (param i32) (result i32) (local.get 0)))
    (core instance $i (instantiate $m))
    (func (export "div") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "div")))
    (func (export "same") (param "a" char) (result char) (canon lift (core func $i "same"))))
  (component $D
    (import "div" (func $div (param "a" u32) (param "b" u32) (result u32)))
    (import "same" (func $same (param "a" char) (result char)))
    (core func $div (canon lower (func $div)))
    (core func $same (canon lower (func $same)))
    (core module $m
      (import "" "div" (func $div (param i32 i32) (result i32)))
      (import "" "same" (func $same (param i32) (result i32)))
      (func $run-div (export "div") (result i32)
        (i32.add (call $div (i32.const 1) (i32.const 0)) (i32.const 1)))
      (func $run-same (export "same") (result i32)
        (i32.add (call $same (i32.const 0xd800)) (i32.const 1))))
    (core instance $i (instantiate $m (with "" (instance
      (export "div" (func $div)) (export "same" (func $same))))))
    (func (export "div") (result u32) (canon lift (core func $i "div")))
    (func (export "same") (result u32) (canon lift (core func $i "same"))))
  (instance $c (instantiate $C))
  (instance $d (instantiate $D (with "div" (func $c "div")) (with "same" (func $c "same"))))
  (export "div" (func $d "div"))
  (export "same" (func $d "same")))"#;

#[test]
fn frames_are_those_of_the_guests() {
    let loaded = load(TRAPPING);
    let cases: [(&str, TrapCode, &[&str]); 2] = [
        ("div", TrapCode::IntegerDivisionByZero, &["div", "run-div"]),
        ("same", TrapCode::InvalidChar, &["run-same"]),
    ];
    for (name, expected, frames) in cases {
        let (mut store, instance) = start(&loaded);
        let func: TypedFunc<(), (u32,)> = instance.get_typed_func(&mut store, name).unwrap();
        let error = func.call(&mut store, ()).unwrap_err();
        assert_eq!(code(&error), expected);
        let trap = error.trap().unwrap();
        let found: Vec<_> = trap
            .frames()
            .iter()
            .map(|frame| frame.name.clone())
            .collect();
        let frames: Vec<_> = frames.iter().map(|name| Some(name.to_string())).collect();
        assert_eq!(found, frames);
    }
}
