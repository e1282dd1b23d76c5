use wasmparser::{ComponentExternalKind, Parser, Payload, Validator};

use super::{componentize, is_preview1};
use crate::ErrorKind;

const PROGRAM: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start") (call $exit (i32.const 3))))"#;

const REACTOR: &str = r#"(module
    (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
    (memory (export "memory") 1)
    (func (export "_initialize")))"#;

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// The names that a component imports and exports, without those inside it.
fn names(component: &[u8]) -> (Vec<String>, Vec<String>) {
    Validator::new().validate_all(component).unwrap();
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0);
    for payload in Parser::new(0).parse_all(component) {
        match payload.unwrap() {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 1 => {
                let found = section.into_iter().map(|import| import.unwrap().name.name);
                imports.extend(found.map(str::to_owned));
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    let export = export.unwrap();
                    assert_eq!(export.kind, ComponentExternalKind::Instance);
                    exports.push(export.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    (imports, exports)
}

/// The message of an error for unknown imports, and these.
fn unknown(module: &[u8]) -> (String, Vec<(String, String)>) {
    let error = componentize(module).unwrap_err();
    match error.kind() {
        ErrorKind::UnknownImports { imports } => (error.to_string(), imports.clone()),
        _ => panic!("{error:?}"),
    }
}

#[test]
fn a_module_with_start_is_a_program() {
    let module = wat(PROGRAM);
    assert!(is_preview1(&module));
    let (imports, exports) = names(&componentize(&module).unwrap());
    assert!(exports[0].starts_with("wasi:cli/run@0.2."), "{exports:?}");
    assert_eq!(exports.len(), 1);
    let is_exit = |name: &String| name.starts_with("wasi:cli/exit@0.2.");
    assert!(imports.iter().any(is_exit), "{imports:?}");
}

#[test]
fn another_module_is_a_reactor() {
    let module = wat(REACTOR);
    assert!(is_preview1(&module));
    let (_, exports) = names(&componentize(&module).unwrap());
    assert!(exports.is_empty(), "{exports:?}");
}

#[test]
fn a_program_needs_no_imports() {
    let module = wat(r#"(module (memory (export "memory") 1) (func (export "_start")))"#);
    assert!(!is_preview1(&module));
    let (_, exports) = names(&componentize(&module).unwrap());
    assert!(exports[0].starts_with("wasi:cli/run@0.2."), "{exports:?}");
}

#[test]
fn what_is_not_a_module_of_preview_1() {
    assert!(!is_preview1(b""));
    assert!(!is_preview1(&wat("(module)")));
    assert!(!is_preview1(&wat("(component)")));
    assert!(!is_preview1(&wat(r#"(module (import "env" "f" (func)))"#)));
    assert!(!is_preview1(&wat(PROGRAM)[..20]));
}

#[test]
fn unknown_imports_are_listed() {
    let module = wat(r#"(module
        (import "env" "second" (func))
        (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
        (import "wasi_snapshot_preview1" "fd_dance" (func))
        (import "env" "first" (func))
        (import "env" "first" (func))
        (import "$root" "f" (func))
        (memory (export "memory") 1))"#);
    let (message, imports) = unknown(&module);
    let expected = [
        ("$root", "f"),
        ("env", "first"),
        ("env", "second"),
        ("wasi_snapshot_preview1", "fd_dance"),
    ];
    let expected = expected.map(|(module, name)| (module.to_owned(), name.to_owned()));
    assert_eq!(imports, expected);
    assert_eq!(
        message,
        "unknown imports: `f` of `$root`, `first` of `env`, `second` of `env`, `fd_dance` of \
         `wasi_snapshot_preview1`"
    );
}

/// A module, with a custom section that describes a world.
fn described(module: &str, world: &str) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("world.wit", world).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = wat(module);
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &resolve, world, encoding, false).unwrap();
    module
}

const WORLD: &str = "package our:house@1.2.3;
    interface host { note: func(n: u32); }
    world guest { import host; export answer: func() -> u32; }";

#[test]
fn imports_that_a_custom_section_describes_stay() {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
        (import "our:house/host@1.2.3" "note" (func (param i32)))
        (memory (export "memory") 1)
        (func (export "answer") (result i32) i32.const 42))"#;
    let component = componentize(&described(text, WORLD)).unwrap();
    Validator::new().validate_all(&component).unwrap();
    let text = String::from_utf8_lossy(&component).into_owned();
    assert!(text.contains("our:house/host@1.2.3"));
}

#[test]
fn what_a_custom_section_does_not_describe_is_unknown() {
    let text = r#"(module
        (import "our:house/other@1.2.3" "note" (func (param i32)))
        (memory (export "memory") 1)
        (func (export "answer") (result i32) i32.const 42))"#;
    let (_, imports) = unknown(&described(text, WORLD));
    let expected = ("our:house/other@1.2.3".to_owned(), "note".to_owned());
    assert_eq!(imports, [expected]);
}

#[test]
fn wrong_types_and_bytes_are_errors() {
    let wrong_type = wat(r#"(module
        (import "wasi_snapshot_preview1" "sched_yield" (func (param i64)))
        (memory (export "memory") 1))"#);
    let inputs = [
        &wrong_type[..],
        b"(module)",
        &wat("(component)"),
        &wat(PROGRAM)[..20],
    ];
    for input in inputs {
        let error = componentize(input).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Invalid { .. }),
            "{error:?}"
        );
    }
}
