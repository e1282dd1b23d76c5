//! The unsupported features that an input needs are listed, each once, under their usual names.

use std::fs;

use crate::support::{Folder, cwasm};

#[test]
fn all_that_is_not_supported_is_listed() {
    let folder = Folder::new();
    let text = r#"(component
      (core module $gc (type (struct)))
      (core module $stacks (type $f (func)) (type (cont $f)))
      (core func $a (canon thread.index))
      (core func $b (canon thread.resume-later))
      (core func $c (canon thread.index))
      (core func $d (canon error-context.drop))
      (core func $e (canon waitable-set.new)))"#;
    let file = folder.file("many.wat", text);
    let ran = cwasm(&["compile", &file]);
    let parts = [
        "not supported yet: ",
        "gc (at offset 0x",
        "stack-switching (at offset 0x",
        "component-model threads (thread.index, thread.resume-later) (at offset 0x",
    ];
    ran.fails(1, &parts);
    // What is supported is not among them, switched on or off.
    for supported in ["async", "error-context"] {
        assert!(!ran.stderr().contains(supported), "{}", ran.stderr());
    }
    for part in &parts[1..] {
        assert_eq!(
            ran.stderr().matches(part).count(),
            1,
            "{part}: {}",
            ran.stderr()
        );
    }
    let ran = cwasm(&["inspect", &file]);
    let text = ran.stdout();
    assert!(
        text.contains("compiles      no: not supported yet: "),
        "{text}"
    );
    for part in &parts[1..] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn parts_of_components_have_the_names_of_the_field() {
    let folder = Folder::new();
    let text = r#"(component
      (type $stream (stream u8))
      (core func (canon stream.forward $stream))
      (type $future (future u8))
      (core func (canon future.forward $future))
      (core func (canon thread.index)))"#;
    let ran = cwasm(&["compile", &folder.file("parts.wat", text)]);
    let parts = [
        "component-model async, forwarding (future.forward, stream.forward)",
        "component-model threads (thread.index)",
    ];
    ran.fails(1, &parts);
    // No name of a parser.
    for internal in ["StreamForward", "ThreadIndex", "CM_"] {
        assert!(!ran.stderr().contains(internal), "{}", ran.stderr());
    }
}

/// What the component model has beyond what WASI 0.3 uses is switched on by name.
#[test]
fn parts_of_async_are_switched_on() {
    let folder = Folder::new();
    let module = r#"(core module $m (func (export "f") unreachable))
      (core instance $i (instantiate $m))"#;
    for (feature, text) in [
        (
            "component-model-async-stackful",
            r#"(func (export "f") async (canon lift (core func $i "f") async))"#,
        ),
        (
            "component-model-more-async-builtins",
            "(core func (canon subtask.cancel async))",
        ),
        (
            "component-model-more-async-builtins",
            "(type $s (stream)) (core func (canon stream.read $s))",
        ),
        (
            "component-model-error-context",
            "(core func (canon error-context.drop))",
        ),
        (
            "component-model-error-context",
            r#"(import "f" (func (param "e" error-context)))"#,
        ),
    ] {
        let file = folder.file("part.wat", format!("(component {module} {text})"));
        let named = format!("needs the feature `{feature}`, which is off");
        cwasm(&["compile", &file]).fails(1, &[&named]);
        let advice = format!("`cwasm compile --feature {feature}` switches it on");
        cwasm(&["run", &file, "--invoke", "f()"]).fails(1, &[&named, &advice]);
        let ran = cwasm(&["compile", &file, "--feature", feature]);
        assert!(ran.0.status.success(), "{text}: {}", ran.stderr());
        let ran = cwasm(&["inspect", &file]);
        assert!(ran.stdout().contains(feature), "{}", ran.stdout());
    }
}

#[test]
fn an_error_context_is_shown_as_its_message() {
    let folder = Folder::new();
    let text = r#"(component
      (core module $m
        (import "" "new" (func $new (param i32 i32) (result i32)))
        (func (export "f") (result i32) (call $new (i32.const 0) (i32.const 4))))
      (core module $memory (memory (export "mem") 1) (data (i32.const 0) "a\1bbc"))
      (core instance $memory (instantiate $memory))
      (core func $new (canon error-context.new (memory (core memory $memory "mem"))))
      (core instance $i (instantiate $m (with "" (instance (export "new" (func $new))))))
      (func (export "f") (result error-context) (canon lift (core func $i "f"))))"#;
    let (file, artifact) = (folder.file("error.wat", text), folder.path("error.cwasm"));
    let feature = "component-model-error-context";
    cwasm(&["compile", &file, "-o", &artifact, "--feature", feature]).prints("");
    cwasm(&["run", &artifact, "--invoke", "f()"]).prints("\"a\\u{1b}bc\"\n");
}

/// `try` and `catch` were WebAssembly once, and are what many toolchains still make: the command
/// takes them unless they are switched off.
#[test]
fn legacy_exceptions_can_be_switched_off() {
    let folder = Folder::new();
    let text = "(module (tag $t) (func try catch $t end) (func try delegate 0) (func try catch_all rethrow 0 end))";
    let file = folder.file("legacy.wat", text);
    assert!(cwasm(&["compile", &file]).0.status.success());
    for feature in ["-legacy-exceptions", "-exceptions"] {
        let command = ["compile", &file, "--feature", feature];
        cwasm(&command).fails(1, &["exceptions`, which is off"]);
    }
    let ran = cwasm(&["inspect", &file]);
    assert!(
        ran.stdout().contains("legacy-exceptions"),
        "{}",
        ran.stderr()
    );
    // One that is wrong stays wrong.
    let text = "(module (tag $t) (func try catch $t end) (func (result i32) (i64.const 0)))";
    cwasm(&["compile", &folder.file("wrong.wat", text)]).fails(1, &["type mismatch"]);
}

#[test]
fn inspect_shows_what_a_module_needs() {
    let folder = Folder::new();
    let text = r#"(module
      (import "env" "f" (func (param i32) (result i64)))
      (memory (export "m") i64 1 2)
      (func (export "t") (param v128) (return_call 1 (local.get 0)))
      (global (export "g") (mut f32) (f32.const 0)))"#;
    let file = folder.file("core.wat", text);
    let ran = cwasm(&["inspect", &file]);
    for part in [
        "kind          core module\n",
        "compiles      yes\n",
        "memory64",
        "simd",
        "tail-call",
        "\nimport env.f: func(i32) -> (i64)\n",
        "\nexport m: memory 1..=2\n",
        "\nexport t: func(v128) -> ()\n",
    ] {
        assert!(
            ran.stdout().contains(part),
            "no `{part}` in:\n{}",
            ran.stdout()
        );
    }
    assert_eq!(folder.names(), ["core.wat"], "nothing was written");
    let json = cwasm(&["inspect", &file, "--json"]);
    let json: serde_json::Value = serde_json::from_str(json.stdout()).unwrap();
    assert_eq!(json["compiles"], true);
    assert_eq!(json["imports"][0]["name"], "env.f");
    let names = json["features"].as_array().unwrap();
    assert!(
        names
            .iter()
            .any(|need| need["name"] == "simd" && need["offset"].is_u64())
    );
    // One that cannot be compiled has names.
    let text = r#"(module (import "a" "b" (func)) (type (struct)) (func (export "f")))"#;
    let ran = cwasm(&["inspect", &folder.file("struct.wat", text)]);
    for part in [
        "compiles      no: ",
        "\nimport a.b: func\n",
        "\nexport f: func\n",
    ] {
        assert!(
            ran.stdout().contains(part),
            "no `{part}` in:\n{}",
            ran.stdout()
        );
    }
}

/// `inspect` says what `compile` would do with a file.
#[test]
fn inspect_and_compile_agree() {
    let folder = Folder::new();
    let out = folder.path("out");
    for text in [
        "(module)",
        "(component)",
        "(module (tag))",
        "(module (type (struct)))",
        "(module (func (drop (ref.null any))))",
        "(module (func (local anyref)))",
        "(module (func (local i31ref) (drop (local.get 0))))",
        "(module (rec (type (func)) (type (func))))",
        "(module (global i31ref (ref.i31 (i32.const 1))))",
        "(module (memory 1 2 shared))",
        "(component (type (stream u8)))",
        r#"(component (import "f" (func (param "s" (stream u8)))))"#,
        r#"(component (import "c" (component)))"#,
        r#"(component (import "m" (core module (export "t" (tag)))))"#,
        "(component (core module (tag)))",
        r#"(module (import "a" "b" (tag)))"#,
        "(module (memory 70000))",
        "(module (func) (memory 1 1 shared) (func (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 0)))))",
    ] {
        let file = folder.file("in.wat", text);
        let _ = fs::remove_file(&out);
        let compiled = cwasm(&["compile", &file, "-o", &out]);
        let inspected = cwasm(&["inspect", &file]);
        let reason = compiled
            .stderr()
            .split("caused by: ")
            .nth(1)
            .unwrap_or_default();
        match compiled.0.status.code() {
            Some(0) => assert!(
                inspected.stdout().contains("compiles      yes"),
                "{text}: {}",
                inspected.stdout()
            ),
            _ if reason.starts_with("invalid") => {
                inspected.fails(1, &[reason.trim()]);
            }
            _ => {
                let expected = format!("compiles      no: {}", reason.trim());
                assert!(
                    inspected.stdout().contains(&expected),
                    "{text}: {}\n{}",
                    compiled.stderr(),
                    inspected.stdout()
                );
            }
        }
    }
}
