//! Names of guests, files and arguments do nothing to a terminal.

use crate::support::{Folder, TRAPPED, cwasm};

/// A name that would clear the screen, set the title, go back, turn text around, and end a line.
const NAME: &str = r"\1b[2J\1b]0;owned\07\7f\c2\9b31m\e2\80\ae\e2\81\a6\0d\0aerror: fake";

/// Nothing that was printed controls a terminal.
#[track_caller]
fn is_plain(text: &str) {
    let control = |c: char| {
        c != '\n'
            && (c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    };
    assert!(!text.contains(control), "{text:?}");
    let fake = text.lines().any(|line| line.starts_with("error: fake"));
    assert!(!fake, "{text:?}");
}

#[test]
fn names_in_backtraces_are_escaped() {
    let folder = Folder::new();
    let text = format!(
        r#"(component
          (core module $m
            (func $a (@name "{NAME}") unreachable)
            (func (export "f") (call $a)))
          (core instance $i (instantiate $m))
          (func (export "f") (canon lift (core func $i "f"))))"#
    );
    let ran = cwasm(&["run", &folder.file("trap.wat", text), "--invoke", "f()"]);
    ran.fails(
        TRAPPED,
        &[
            "unreachable",
            r"\u{1b}[2J\u{1b}]0;owned\u{7}\u{7f}\u{9b}31m\u{202e}",
        ],
    );
    is_plain(ran.stderr());
}

#[test]
fn names_in_errors_are_escaped() {
    let folder = Folder::new();
    let text = format!(r#"(module (func (export "{NAME}")) (func (export "{NAME}")))"#);
    let ran = cwasm(&["compile", &folder.file("twice.wat", text)]);
    ran.fails(1, &[r"\u{1b}[2J"]);
    is_plain(ran.stderr());
    // Of files, arguments and text.
    for args in [
        &["compile", "/\u{1b}[2J\u{202e}.wasm"][..],
        &["run", "\u{9b}2J"],
        &["inspect", "\u{1b}[2J\u{7f}"],
        &["compile", "x", "\u{1b}[2J"],
        &["compile", "x", "--cpu", "\u{1b}[2J"],
        &["compile", "x", "--feature", "\u{1b}[2J"],
        &["\u{1b}[2J"],
    ] {
        let ran = cwasm(args);
        is_plain(ran.stderr());
    }
    let bad = folder.file(
        "bad.wat",
        "(module \u{1b}[2J (func $\"\\1b\" (call $nothing)))",
    );
    let ran = cwasm(&["compile", &bad]);
    ran.fails(1, &["invalid WebAssembly"]);
    is_plain(ran.stderr());
    let ran = cwasm(&["run", &folder.greet(), "--invoke", "greet(\"\u{1b}[2J"]);
    ran.fails(1, &[]);
    is_plain(ran.stderr());
}

/// Of a line as long as a file, an error shows its start.
#[test]
fn errors_are_short() {
    let folder = Folder::new();
    let funcs = r#"(func(export"x"))"#.repeat(1000);
    let ran = cwasm(&[
        "compile",
        &folder.file("line.wat", format!("(module {funcs})")),
    ]);
    ran.fails(1, &["line.wat:1:15"]);
    assert!(ran.stderr().len() < 3000, "{}", ran.stderr().len());
    let name = "x".repeat(50_000);
    let text = format!(r#"(module (func (export "{name}")) (func (export "{name}")))"#);
    let ran = cwasm(&["compile", &folder.file("name.wat", text)]);
    ran.fails(1, &["duplicate export name `xxx"]);
    assert!(ran.stderr().len() < 3000, "{}", ran.stderr().len());
}

#[test]
fn names_in_descriptions_are_escaped() {
    let folder = Folder::new();
    let text = format!(
        r#"(module (import "{NAME}" "{NAME}" (func)) (func (export "{NAME}")) (memory (export "m") 1))"#
    );
    let module = folder.file("core.wat", text);
    let text = format!(r#"(component (import "f" (external-id "{NAME}") (func)))"#);
    let component = folder.file("component.wat", text);
    for input in [&module, &component] {
        let artifact = folder.path("out.cwasm");
        cwasm(&["compile", input, "-o", &artifact]).prints("");
        for file in [input, &artifact] {
            let ran = cwasm(&["inspect", file]);
            assert!(
                ran.stdout().contains(r"\u{1b}[2J"),
                "{} {}",
                ran.stdout(),
                ran.stderr()
            );
            is_plain(ran.stdout());
            let ran = cwasm(&["inspect", file, "--json"]);
            is_plain(ran.stdout());
            let json: serde_json::Value = serde_json::from_str(ran.stdout()).unwrap();
            let text = json["imports"][0].to_string();
            assert!(text.contains("owned"), "{text}");
            let name = &json["imports"][0]["name"];
            let id = &json["imports"][0]["external_id"];
            let found = [name, id].map(|value| value.as_str().unwrap_or_default().to_owned());
            assert!(
                found.iter().any(|text| text.contains("\u{1b}[2J")),
                "{found:?}"
            );
        }
    }
}

#[test]
fn values_stay_valid_when_they_are_escaped() {
    let folder = Folder::new();
    let ran = cwasm(&[
        "run",
        &folder.greet(),
        "--invoke",
        r#"greet("\u{1b}[2J\u{202e}x\u{9b}\n")"#,
    ]);
    ran.prints("\"Hello, \\u{1b}[2J\\u{202e}x\\u{9b}\\n!\"\n");
    // What was printed can be given again.
    let again = format!("greet({})", ran.stdout().trim());
    cwasm(&["run", &folder.greet(), "--invoke", &again])
        .prints("\"Hello, Hello, \\u{1b}[2J\\u{202e}x\\u{9b}\\n!!\"\n");
    // What a guest logs is shown as text.
    let ran = cwasm(&[
        "run",
        &folder.greet(),
        "--invoke",
        r#"announce("\u{1b}[2J\u{9b}")"#,
    ]);
    assert_eq!(ran.stderr(), "hello from \\u{1b}[2J\\u{9b}\n");
}
