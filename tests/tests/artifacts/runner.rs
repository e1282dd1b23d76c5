//! The runner of scripts itself: what counts as passed, failed and skipped.

use std::collections::BTreeMap;

use cwasm::TrapCode;
use cwasm_tests::artifact::Workshop;
use cwasm_tests::messages::trap_matches;
use cwasm_tests::suite::Script;
use cwasm_tests::{Report, Skips};

const SCRIPT: &str = r#"(module $a
  (func (export "one") (result i32) (i32.const 1))
  (func (export "trap") (unreachable))
  (func (export "nan") (result f32) (f32.const nan:0x200000)))
(assert_return (invoke "one") (i32.const 1))
(assert_return (invoke "one") (i32.const 2))
(assert_return (invoke "one") (i64.const 1))
(assert_return (invoke "one"))
(assert_return (invoke "nan") (f32.const nan:canonical))
(assert_trap (invoke "trap") "unreachable")
(assert_trap (invoke "trap") "integer overflow")
(assert_trap (invoke "one") "unreachable")
(assert_return (invoke "two") (i32.const 2))
(assert_invalid (module (func (export "x"))) "anything")
(assert_malformed (module quote "(func") "anything")
(assert_unlinkable (module (func)) "anything")
(assert_unlinkable (module (import "no" "where" (func))) "unknown import")
"#;

/// Lines of `SCRIPT` whose directives fail.
const FAILING: [usize; 9] = [6, 7, 8, 9, 11, 12, 13, 14, 16];

fn run(text: &str, skips: &str) -> Report {
    run_path(text, skips, false)
}

/// As [`run`], with core modules linked by components.
fn run_as_component(text: &str, skips: &str) -> Report {
    run_path(text, skips, true)
}

fn run_path(text: &str, skips: &str, as_component: bool) -> Report {
    let skips = Skips::parse(skips).unwrap();
    let script = Script {
        path: "a/script.wast".to_owned(),
        text: text.to_owned(),
        features: Default::default(),
        as_component,
    };
    cwasm_tests::run(&Workshop::new(), &script, &skips, false)
}

fn lines(report: &Report) -> Vec<usize> {
    let line = |message: &String| message.split(':').nth(1)?.parse().ok();
    report.failures.iter().filter_map(line).collect()
}

#[test]
fn wrong_expectations_fail() {
    for report in [run(SCRIPT, ""), run_as_component(SCRIPT, "")] {
        assert_eq!(lines(&report), FAILING, "{:?}", report.failures);
        assert_eq!((report.passed, report.failed, report.skipped), (5, 9, 0));
    }
}

#[test]
fn what_is_listed_is_skipped() {
    let list: String = FAILING
        .map(|line| format!("script.wast:{line} a reason\n"))
        .concat();
    let report = run(SCRIPT, &list);
    assert_eq!((report.passed, report.failed, report.skipped), (5, 0, 9));
    assert_eq!(report.reasons, [("a reason".to_owned(), 9)].into());
    let report = run(SCRIPT, "a/script.wast a reason");
    assert_eq!((report.passed, report.failed, report.skipped), (5, 0, 9));
    let report = run(SCRIPT, "b/script.wast a reason");
    assert_eq!(report.failed, 9);
}

#[test]
fn what_is_listed_and_passes_fails() {
    let report = run("(module)\n(module)", "script.wast:2 a reason");
    assert_eq!(
        report.failures,
        ["a/script.wast:2: passes, but is on the list of skips"]
    );
    let report = run("(module)", "script.wast a reason");
    assert_eq!(
        report.failures,
        ["a/script.wast: passes, but is on the list of skips"]
    );
    let report = run("(module)", "script.wast:7 a reason");
    assert_eq!(
        report.failures,
        ["a/script.wast:7: is on the list of skips, but nothing starts there"]
    );
}

#[test]
fn dependents_follow_their_module() {
    let text = r#"(module $m (import "no" "where" (func)))
(invoke "f")
(register "m" $m)
(module (import "m" "f" (func)))
(invoke "f")
"#;
    let report = run(text, "");
    assert_eq!((report.passed, report.failed, report.skipped), (0, 5, 0));
    assert_eq!(
        report.failures,
        [
            "a/script.wast:1: cannot be linked: unknown import \"no\" \"where\"",
            "a/script.wast:1: 4 directives could not run without this module"
        ]
    );
    let linked = run_as_component(text, "");
    assert_eq!((linked.passed, linked.failed, linked.skipped), (0, 5, 0));
    // Not the runner but the compiler finds that the import is missing.
    let message = &linked.failures[0];
    assert!(
        message.contains("does not export an item named"),
        "{message}"
    );
    let report = run(text, "script.wast:1 a reason");
    assert_eq!((report.passed, report.failed, report.skipped), (0, 0, 5));
}

#[test]
fn scripts_that_are_none_fail() {
    assert_eq!(run("(module", "").failed, 1);
    assert_eq!(run("(assert_nothing)", "").failed, 1);
}

/// The component that links a module repeats what the script did before.
#[test]
fn components_repeat_what_was_done() {
    let text = r#"(module $counter
  (global $count (export "count") (mut i64) (i64.const 0))
  (memory (export "memory") 1)
  (func (export "add") (param i64 f32 v128) (result i64)
    (f32.store (i32.const 0) (local.get 1))
    (v128.store (i32.const 16) (local.get 2))
    (global.set $count (i64.add (global.get $count) (local.get 0)))
    (if (i64.gt_u (global.get $count) (i64.const 100)) (then (unreachable)))
    (global.get $count)))
(register "counter" $counter)
(assert_return
  (invoke "add" (i64.const 3) (f32.const -nan:0x200001) (v128.const i64x2 -1 5)) (i64.const 3))
(module $reader
  (import "counter" "count" (global $count (mut i64)))
  (import "counter" "count" (global $again (mut i64)))
  (import "counter" "memory" (memory 1))
  (global $start (export "start") (mut i64) (i64.const 0))
  (func $init (global.set $start (global.get $again)))
  (start $init)
  (func (export "set") (param i64) (global.set $count (local.get 0)))
  (func (export "float") (result f32) (f32.load (i32.const 0)))
  (func (export "all") (result v128 i64 i32)
    (v128.load (i32.const 16)) (global.get $count) (i32.const -2)))
(assert_return (get "start") (i64.const 3))
(assert_return (invoke "float") (f32.const -nan:0x200001))
(assert_return (invoke "all") (v128.const i64x2 -1 5) (i64.const 3) (i32.const -2))
(invoke "set" (i64.const 10))
(assert_return (get $counter "count") (i64.const 10))
(assert_trap (invoke $counter "add" (i64.const 91) (f32.const 1) (v128.const i64x2 7 7)) "unreachable")
(assert_return (invoke "float") (f32.const 1))
(assert_return (get $counter "count") (i64.const 101))
"#;
    let report = run_as_component(text, "");
    assert_eq!(report.failures, [""; 0]);
    assert_eq!((report.passed, report.skipped), (12, 0));
}

#[test]
fn components_get_no_references_of_a_host() {
    let text = r#"(module
  (table 1 externref)
  (func $f (export "set") (param externref) (table.set (i32.const 0) (local.get 0)))
  (func (export "get") (result externref) (table.get (i32.const 0)))
  (func (export "func") (param i32) (result funcref)
    (select (result funcref) (ref.func $f) (ref.null func) (local.get 0))))
(assert_return (invoke "set" (ref.extern 1)))
(assert_return (invoke "get") (ref.extern 1))
(assert_return (invoke "set" (ref.null extern)))
(assert_return (invoke "get") (ref.null extern))
(assert_return (invoke "func" (i32.const 1)) (ref.func))
(assert_return (invoke "func" (i32.const 0)) (ref.null func))
(assert_return (invoke "func" (i32.const 0)) (ref.func))
(assert_return (invoke "func" (i32.const 1)) (ref.null func))
"#;
    let report = run_as_component(text, "");
    assert_eq!(lines(&report), [13, 14], "{:?}", report.failures);
    assert_eq!((report.passed, report.skipped), (5, 2));
}

#[test]
fn paths_are_compared_by_component() {
    let list = "# why\n\na/b.wast  x y\nb.wast:7 z\n";
    let skips = Skips::parse(list).unwrap();
    let found = skips.of_file("x/a/b.wast", false);
    assert_eq!(found.whole.as_deref(), Some("x y"));
    assert_eq!(found.lines, BTreeMap::from([(7, "z".to_owned())]));
    let found = skips.of_file("x/ab.wast", false);
    assert!(found.whole.is_none() && found.lines.is_empty());
}

#[test]
fn entries_can_be_for_one_path_only() {
    let list = "as-component a.wast:1 x\non-its-own  a.wast:2 y\na.wast:3 z";
    let skips = Skips::parse(list).unwrap();
    let lines = |as_component| {
        let found = skips.of_file("a.wast", as_component);
        found.lines.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(lines(true), [1, 3]);
    assert_eq!(lines(false), [2, 3]);
}

#[test]
fn entries_need_reasons() {
    assert!(Skips::parse("a.wast").is_err());
    assert!(Skips::parse("as-component a.wast").is_err());
    assert!(Skips::parse("a.wast:x y").is_err());
}

#[test]
fn messages_match_by_prefix() {
    assert!(trap_matches(
        TrapCode::IndirectCallToNull,
        "uninitialized element 2"
    ));
    assert!(trap_matches(TrapCode::IndirectCallToNull, "uninitialized"));
    assert!(trap_matches(
        TrapCode::Unreachable,
        "wasm trap: wasm `unreachable` instruction"
    ));
    assert!(!trap_matches(TrapCode::Unreachable, ""));
    assert!(!trap_matches(
        TrapCode::MemoryOutOfBounds,
        "out of bounds table access"
    ));
}

#[test]
fn entries_stand_for_folders_and_beginnings_of_names() {
    let skips = Skips::parse("a/folder/ one\nhttp_* two\nsome/name_* three").unwrap();
    let reason = |path: &str| skips.of_file(path, false).whole;
    for (path, expected) in [
        ("a/folder/x.wasm", Some("one")),
        ("/suites/a/folder/inner/x.wasm", Some("one")),
        ("b/folder/x.wasm", None),
        ("aa/folder/x.wasm", None),
        ("a/folder.wasm", None),
        ("http_get.wasm", Some("two")),
        ("suite/http_.wasm", Some("two")),
        ("suite/nohttp_get.wasm", None),
        ("http_get/other.wasm", None),
        ("htt", None),
        ("some/name_x.wasm", Some("three")),
        ("name_x.wasm", None),
    ] {
        assert_eq!(reason(path).as_deref(), expected, "{path}");
    }
}
