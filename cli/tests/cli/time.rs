//! `cwasm compile --time`. Times are those of the machine: only their sums are known.

use serde_json::Value;

use crate::support::{Folder, cwasm};

#[test]
fn time_goes_to_stages_and_functions() {
    let folder = Folder::new();
    let (input, out) = (folder.greet(), folder.path("out.cwasm"));
    let ran = cwasm(&["compile", &input, "-o", &out, "--time"]);
    assert_eq!(ran.0.status.code(), Some(0), "{}", ran.stderr());
    for part in [
        "decode",
        "flatten",
        "layout",
        "compile",
        "emit",
        "translate",
        "dlmalloc",
        "all",
    ] {
        assert!(
            ran.stdout().contains(part),
            "no `{part}` in {}",
            ran.stdout()
        );
    }
    // Standard output is the artifact.
    let ran = cwasm(&["compile", &input, "-o", "-", "--time"]);
    assert!(ran.0.stdout.starts_with(b"\x7fELF"));
    assert!(ran.stderr().contains("translate"), "{}", ran.stderr());
}

#[test]
fn time_as_json_has_all_functions() {
    let folder = Folder::new();
    let (input, out) = (folder.greet(), folder.path("out.cwasm"));
    let ran = cwasm(&["compile", &input, "-o", &out, "--time", "--json"]);
    assert_eq!(ran.0.status.code(), Some(0), "{}", ran.stderr());
    let json: Value = serde_json::from_str(ran.stdout()).unwrap();
    let number = |value: &Value| value.as_f64().unwrap();
    let stages = json["stages"].as_array().unwrap();
    let sum: f64 = stages.iter().map(|stage| number(&stage["ms"])).sum();
    assert!(sum > 0.0 && sum <= number(&json["total_ms"]), "{json}");
    let functions = json["functions"].as_array().unwrap();
    let inspected = cwasm(&["inspect", &out, "--json"]);
    let inspected: Value = serde_json::from_str(inspected.stdout()).unwrap();
    assert_eq!(inspected["functions"], functions.len());
    let totals = functions
        .iter()
        .map(|function| number(&function["total_ms"]));
    assert!(totals.rev().is_sorted(), "{functions:#?}");
    for function in functions {
        let parts = ["translate_ms", "optimize_ms", "generate_ms"];
        let sum: f64 = parts.iter().map(|part| number(&function[part])).sum();
        assert!(
            (sum - number(&function["total_ms"])).abs() < 1e-6 && sum > 0.0,
            "{function}"
        );
        assert!(number(&function["code_bytes"]) > 0.0, "{function}");
    }
    let core = functions
        .iter()
        .filter(|function| number(&function["wasm_bytes"]) > 0.0);
    assert!(core.count() > 50, "{functions:#?}");
    cwasm(&["compile", &input, "--json"]).fails(2, &["--time"]);
    let both = ["compile", &input, "-o", "-", "--time", "--json"];
    cwasm(&both).fails(1, &["standard output is for JSON"]);
}

#[test]
fn time_of_exported_modules_and_of_other_outputs() {
    let folder = Folder::new();
    let text = r#"(component
      (core module $m (func $inner (export "f") (result i32) (i32.const 1)))
      (export "m" (core module $m)))"#;
    let (input, out) = (folder.file("m.wat", text), folder.path("out"));
    let ran = cwasm(&["compile", &input, "-o", &out, "--time"]);
    assert!(
        ran.stdout().contains("modules") && ran.stdout().contains("inner"),
        "{}",
        ran.stdout()
    );
    let ran = cwasm(&["compile", &input, "-o", &out, "--time", "--emit", "clif"]);
    assert!(ran.stdout().contains("decode"), "{}", ran.stdout());
    assert!(!ran.stdout().contains("translate"), "{}", ran.stdout());
}

#[test]
fn names_in_times_are_escaped() {
    let folder = Folder::new();
    let text = r#"(module (func $"\1b[2J\0a\e2\80\ae" (export "f")))"#;
    let (input, out) = (folder.file("m.wat", text), folder.path("out"));
    let ran = cwasm(&["compile", &input, "-o", &out, "--time"]);
    assert!(
        ran.stdout().contains(r"\u{1b}[2J\u{a}\u{202e}"),
        "{}",
        ran.stdout()
    );
}
