//! Calls between components whose types are as large as they may get: they compile within seconds, or
//! the error names the limit.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use cwasm_compiler::{ErrorKind, Options, compile};

fn wasm(ty: &str) -> Vec<u8> {
    wat::parse_str(call(ty)).unwrap()
}

/// One component that gives another a value of type `ty`, and takes it back.
fn call(ty: &str) -> String {
    let guest = "(core module $m
        (memory (export \"memory\") 1)
        (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 0))
        (func (export \"f\") (param i32) (result i32) (local.get 0)))
      (core instance $i (instantiate $m))
      (alias core export $i \"memory\" (core memory $memory))
      (alias core export $i \"realloc\" (core func $realloc))";
    let pad = "u64 ".repeat(16);
    let tuple = format!("(tuple $t {pad})");
    format!(
        "(component
          (component $C
            {guest}
            (type $t' {ty})
            (export $t \"t\" (type $t'))
            (func (export \"f\") (param \"v\" {tuple}) (result {tuple})
              (canon lift (core func $i \"f\") (memory $memory) (realloc $realloc))))
          (component $D
            {guest}
            (type $t' {ty})
            (import \"t\" (type $t (eq $t')))
            (import \"f\" (func $f (param \"v\" {tuple}) (result {tuple})))
            (core func $f (canon lower (func $f) string-encoding=utf16 (memory $memory) (realloc $realloc)))
            (core module $user (import \"\" \"f\" (func (param i32 i32))))
            (core instance (instantiate $user (with \"\" (instance (export \"f\" (func $f)))))))
          (instance $c (instantiate $C))
          (instance $d (instantiate $D (with \"t\" (type $c \"t\")) (with \"f\" (func $c \"f\")))))"
    )
}

/// `count` names and the types of `ty`, each made into an item by `item`.
fn items(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, index| {
        let _ = write!(text, " {}", item(index));
        text
    })
}

/// Types of which no two neighbours are the same.
fn part(index: usize) -> String {
    match index % 5 {
        0 => "string".to_owned(),
        1 => format!("(list (tuple string {}))", "u8 ".repeat(index / 5 % 7 + 1)),
        2 => "u32".to_owned(),
        3 => "(option char)".to_owned(),
        _ => "(result bool (error string))".to_owned(),
    }
}

#[test]
fn large_types_compile_within_seconds() {
    let types = [
        format!(
            "(record{})",
            items(1000, |index| format!("(field \"f{index}\" u32)"))
        ),
        format!(
            "(record{})",
            items(1000, |index| format!(
                "(field \"f{index}\" {})",
                part(index)
            ))
        ),
        format!(
            "(variant{})",
            items(1000, |index| format!("(case \"c{index}\" {})", part(index)))
        ),
        format!(
            "(variant{})",
            items(1000, |index| {
                format!("(case \"c{index}\" (tuple u8 {}))", part(index))
            })
        ),
        format!("(enum{})", items(5000, |index| format!("\"c{index}\""))),
        format!("{}u8{}", "(list (option ".repeat(40), "))".repeat(40)),
    ];
    for ty in types {
        let start = Instant::now();
        let output = compile(&wasm(&ty), &Options::default());
        let took = start.elapsed();
        let name = &ty[..ty.len().min(80)];
        output.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(took < Duration::from_secs(20), "{name}: {took:?}");
    }
}

#[test]
fn types_beyond_the_limit_are_refused() {
    // Each level has twice the strings of the one below.
    let doubled = |levels: usize| {
        let mut types = String::from("string");
        for _ in 0..levels {
            types = format!("(tuple {types} {types})");
        }
        types
    };
    assert!(compile(&wasm(&doubled(5)), &Options::default()).is_ok());
    let error = compile(&wasm(&doubled(12)), &Options::default()).unwrap_err();
    let ErrorKind::Limit { name, found, limit } = error.kind() else {
        panic!("{error}");
    };
    assert_eq!(*name, "parts of the types of a call between components");
    assert!(found > limit);
}
