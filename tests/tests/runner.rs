//! The runner of scripts itself: what counts as passed, failed and skipped.

use cwasm_tests::artifact::Workshop;
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
    let skips = Skips::parse(skips).unwrap();
    let script = Script {
        path: "a/script.wast".to_owned(),
        text: text.to_owned(),
        features: Default::default(),
    };
    cwasm_tests::run(&Workshop::new(), &script, &skips, false)
}

fn lines(report: &Report) -> Vec<usize> {
    let line = |message: &String| message.split(':').nth(1)?.parse().ok();
    report.failures.iter().filter_map(line).collect()
}

#[test]
fn wrong_expectations_fail() {
    let report = run(SCRIPT, "");
    assert_eq!(lines(&report), FAILING, "{:?}", report.failures);
    assert_eq!((report.passed, report.failed, report.skipped), (5, 9, 0));
}

#[test]
fn what_is_listed_is_skipped() {
    let list: String = FAILING
        .map(|line| format!("script.wast:{line} a reason\n"))
        .concat();
    let report = run(SCRIPT, &list);
    assert_eq!((report.passed, report.failed, report.skipped), (5, 0, 9));
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
    let report = run(text, "script.wast:1 a reason");
    assert_eq!((report.passed, report.failed, report.skipped), (0, 0, 5));
}

#[test]
fn scripts_that_are_none_fail() {
    assert_eq!(run("(module", "").failed, 1);
    assert_eq!(run("(assert_nothing)", "").failed, 1);
}
