//! `cwasm inspect --disassemble`.

use std::fs;

use serde_json::Value;

use crate::programs::guest;
use crate::support::{Folder, Ran, cwasm, greet};

const MODULE: &str = r#"(module
  (memory (export "m") 1)
  (func $a::load (param i32) (result i32) (i32.load offset=8 (local.get 0)))
  (func $a::loop (export "loop") (param i32) (result i32)
    (loop $again
      (local.set 0 (i32.sub (local.get 0) (call $a::load (local.get 0))))
      (br_if $again (local.get 0)))
    (call $b::stops (local.get 0)))
  (func $b::stops (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then unreachable))
    (i32.div_u (i32.const 7) (local.get 0)))
  (func (@name "twice")) (func (@name "twice")) (func $last::one))"#;

fn disassemble(file: &str, func: &str, options: &[&str]) -> Ran {
    cwasm(&[&["inspect", file, "--disassemble", func], options].concat())
}

/// The listing of a function that is there.
fn listing(file: &str, func: &str, options: &[&str]) -> String {
    let ran = disassemble(file, func, options);
    assert_eq!(ran.0.status.code(), Some(0), "{}", ran.stderr());
    ran.stdout().to_owned()
}

fn compiled(folder: &Folder, text: &str, options: &[&str]) -> (String, String) {
    let (input, artifact) = (folder.file("in.wat", text), folder.path("out.cwasm"));
    cwasm(&[&["compile", &*input, "-o", &artifact], options].concat()).prints("");
    (input, artifact)
}

#[track_caller]
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
}

#[test]
fn code_is_listed_with_names_labels_and_traps() {
    let folder = Folder::new();
    let (_, artifact) = compiled(&folder, MODULE, &["--debug"]);
    let text = listing(&artifact, "a::loop", &[]);
    has(
        &text,
        &[
            "a::loop\n",
            "function 1 of core instance 0",
            "call a::load",
            "call b::stops",
        ],
    );
    // A jump back to a label, which is there.
    let label = text
        .lines()
        .find_map(|line| line.strip_suffix(':'))
        .unwrap();
    assert!(
        label.starts_with('.') && text.matches(label).count() > 1,
        "{text}"
    );
    has(
        &listing(&artifact, "a::load", &[]),
        &["; trap: out of bounds memory access"],
    );
    let stops = listing(&artifact, "stops", &[]);
    has(
        &stops,
        &["ud2", "trap: unreachable", "trap: integer divide by zero"],
    );
    assert!(
        !stops.contains('|'),
        "nothing says what it was compiled from: {stops}"
    );
}

#[test]
fn functions_are_found_in_several_ways() {
    let folder = Folder::new();
    let (_, artifact) = compiled(&folder, MODULE, &["--debug"]);
    let text = listing(&artifact, "last::one", &[]);
    let number = text.split_whitespace().next().unwrap();
    assert_eq!(listing(&artifact, number, &[]), text);
    let offset = text
        .split("text ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    assert_eq!(listing(&artifact, offset, &[]), text);
    disassemble(&artifact, "a::", &[])
        .fails(1, &["may be 2 functions", "#0 a::load", "#1 a::loop"]);
    disassemble(&artifact, "twice", &[]).fails(1, &["may be 2 functions", "#3 twice", "#4 twice"]);
    disassemble(&artifact, "nothing", &[]).fails(1, &["out.cwasm", "`nothing`", "--sizes"]);
    for func in ["#99", "#", "#-1", "#x"] {
        disassemble(&artifact, func, &[]).fails(1, &["expected one of the functions #0 to #"]);
    }
    for func in ["0xffffffffff", "0xfffff", "0x", "0xyz"] {
        disassemble(&artifact, func, &[]).fails(1, &["no function has the text offset"]);
    }
    disassemble(&artifact, "\u{1b}[2J", &[]).fails(1, &[r"\u{1b}[2J"]);
    // Without names, functions have those of their places.
    let (_, artifact) = compiled(&folder, MODULE, &[]);
    has(
        &listing(&artifact, "core[0].func[0]", &[]),
        &["trap: out of bounds"],
    );
    disassemble(&artifact, "a::load", &[]).fails(1, &["no names", "--debug"]);
}

#[test]
fn webassembly_is_shown_with_its_code() {
    let folder = Folder::new();
    let (input, artifact) = compiled(&folder, MODULE, &["--debug"]);
    let text = listing(&artifact, "a::load", &["--wasm", &input]);
    has(
        &text,
        &[
            "| (func $a::load",
            "|   local.get 0\n",
            "i32.load offset=8",
            "trap:",
        ],
    );
    assert!(!text.contains("i32.div_u"), "of this function only: {text}");
    // What is compiled for this is known.
    assert_eq!(listing(&input, "a::load", &[]), text);
    disassemble(&input, "a::load", &["--wasm", &input]).fails(1, &["--wasm"]);
    has(&listing(&input, "a::loop", &[]), &["call $a::load"]);
    // In a component, and in the second module of one.
    let greet = greet();
    let greet = greet.to_str().unwrap();
    let text = listing(greet, "greet::splash", &[]);
    has(&text, &["call $", "|   unreachable\n", "trap: unreachable"]);
    // A thunk has none.
    assert!(!listing(greet, "thunk[cabi_realloc]", &[]).contains('|'));
    let other = folder.file("other.wat", r#"(module (func $else) (func) (memory 1))"#);
    disassemble(&artifact, "a::load", &["--wasm", &other])
        .fails(1, &["other.wat", "`else`", "`a::load`", "another file"]);
    let small = folder.file("small.wat", "(module)");
    disassemble(&artifact, "a::load", &["--wasm", &small]).fails(1, &["no function 0"]);
    disassemble(&artifact, "a::load", &["--wasm", "no-such-file"]).fails(1, &["no-such-file"]);
    cwasm(&["inspect", &artifact, "--wasm", &input]).fails(2, &["--disassemble"]);
}

#[test]
fn lines_are_those_of_the_source() {
    let folder = Folder::new();
    let input = guest("debug/places-c.wasm");
    let input = input.to_str().unwrap();
    let artifact = folder.path("out.cwasm");
    cwasm(&["compile", input, "--debug", "-o", &artifact]).prints("");
    let text = listing(&artifact, "divide", &["--wasm", input]);
    // The division is in a function that was inlined.
    let before_the_division = text.split("idiv").next().unwrap();
    let last = before_the_division.rsplit(';').next().unwrap();
    let expected = " /guest/places.c:15, inlined at /guest/places.c:23\n";
    assert!(last.starts_with(expected), "{text}");
    // Its operator is above it, though the program was rewritten before it was compiled.
    let operators = before_the_division.matches("i32.div_s").count();
    assert_eq!(
        (operators, text.matches("i32.div_s").count()),
        (1, 1),
        "{text}"
    );
    let json = listing(&artifact, "divide", &["--wasm", input, "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let rows = json["instructions"].as_array().unwrap();
    let offsets: Vec<_> = rows
        .iter()
        .filter_map(|row| row["wasm_offset"].as_u64())
        .collect();
    let operators = json["operators"].as_array().unwrap();
    let known: Vec<_> = operators
        .iter()
        .filter_map(|operator| operator[0].as_u64())
        .collect();
    assert!(!offsets.is_empty(), "{json:#}");
    for offset in offsets {
        assert!(known.contains(&offset), "{offset:#x} in {json:#}");
    }
    // Without lines there are none.
    cwasm(&["compile", input, "-o", &artifact]).prints("");
    let text = listing(&artifact, "#0", &[]);
    assert!(!text.contains("places.c"), "{text}");
}

#[test]
fn json_has_all_of_it() {
    let folder = Folder::new();
    let (input, artifact) = compiled(&folder, MODULE, &["--debug"]);
    let json = listing(&artifact, "a::load", &["--wasm", &input, "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["name"], &json["number"]),
        (&"a::load".into(), &0.into())
    );
    let instructions = json["instructions"].as_array().unwrap();
    let bytes: usize = instructions
        .iter()
        .map(|row| row["bytes"].as_str().unwrap().len() / 2)
        .sum();
    assert_eq!(Some(bytes as u64), json["size"].as_u64());
    let traps = instructions.iter().filter(|row| row["trap"].is_string());
    assert_eq!(traps.count(), 1);
    assert_eq!(json["operators"][2][1], "  i32.load offset=8");
}

#[test]
fn any_bytes_are_disassembled() {
    let folder = Folder::new();
    let (_, artifact) = compiled(&folder, MODULE, &["--debug"]);
    let sound = fs::read(&artifact).unwrap();
    let mut state = 3u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    };
    for _ in 0..60 {
        let mut bytes = sound.clone();
        for _ in 0..300 {
            let at = 0x500 + random(bytes.len() - 0x500);
            bytes[at] = random(256) as u8;
        }
        let file = folder.file("damaged.cwasm", &bytes);
        for func in ["#0", "#3", "0x10", "a"] {
            let ran = disassemble(&file, func, &[]);
            match ran.0.status.code() {
                Some(0) => assert!(ran.stdout().starts_with('#'), "{}", ran.stdout()),
                Some(1) => assert!(ran.stderr().starts_with("error: "), "{}", ran.stderr()),
                code => panic!("{code:?}: {}", ran.stderr()),
            }
        }
    }
}
