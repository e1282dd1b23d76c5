//! Calls between components whose types are as large as they may get: they compile within seconds,
//! or the error names the limit.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use cwasm_compiler::{ErrorKind, Limits, Options, Output, Result, compile};

/// Compiles a component that is given as text.
fn compile_text(text: &str, options: &Options) -> Result<Output> {
    compile(&wat::parse_str(text).unwrap(), options)
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
        let output = compile_text(&call(&ty), &Options::default());
        let took = start.elapsed();
        let name = &ty[..ty.len().min(80)];
        output.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(took < Duration::from_secs(20), "{name}: {took:?}");
    }
}

/// Types that are defined once and used twice, level after level.
fn doubled(first: &str, levels: usize) -> String {
    let mut types = format!("(type $t0 {first})");
    for level in 1..=levels {
        let below = level - 1;
        let _ = write!(types, "(type $t{level} (tuple $t{below} $t{below}))");
    }
    types
}

/// As [`call`], of the last type of these.
fn call_of_last(types: &str, levels: usize) -> String {
    call("PLACE").replace(
        "(type $t' PLACE)",
        &format!("{types} (type $t' (tuple $t{levels}))"),
    )
}

#[test]
fn code_is_linear_in_definitions() {
    let size = |levels: usize| {
        let text = call_of_last(&doubled("(tuple u8 string)", levels), levels);
        let start = Instant::now();
        let output = compile_text(&text, &Options::default()).unwrap();
        assert!(start.elapsed() < Duration::from_secs(20), "{levels} levels");
        output.stats.code_size
    };
    let (small, large) = (size(8), size(14));
    assert!(
        large < 3 * small,
        "{small} bytes for 256 strings, {large} for 16,384"
    );
}

#[test]
fn many_strings_pass_in_one_call() {
    let strings = items(2_500, |index| format!("(field \"f{index}\" string)"));
    let output = compile_text(&call(&format!("(record{strings})")), &Options::default());
    let size = output.unwrap().stats.code_size;
    assert!(size < 2_500 * 300, "{size} bytes");
}

#[test]
fn types_beyond_the_limit_are_refused() {
    let limits = Limits {
        adapter_parts: 1_000,
        ..Limits::default()
    };
    let options = Options {
        limits,
        ..Options::default()
    };
    let strings = |count| {
        let fields = items(count, |index| format!("(field \"f{index}\" string)"));
        call(&format!("(record{fields})"))
    };
    assert!(compile_text(&strings(10), &options).is_ok());
    let error = compile_text(&strings(200), &options).unwrap_err();
    let ErrorKind::Limit { name, found, limit } = error.kind() else {
        panic!("{error}");
    };
    assert_eq!(*name, "parts of the types of all calls between components");
    assert!(found > limit && *limit == 1_000);
}
