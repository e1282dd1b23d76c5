//! The command as a person uses it.

use std::fs;

use cwasm_format::header::ABI_VERSION;

use crate::support::{Folder, TRAPPED, cwasm, greet};

#[test]
fn run_compiles_and_calls() {
    let file = greet();
    let file = file.to_str().unwrap();
    cwasm(&["run", file, "--invoke", "greet(\"world\")"]).prints("\"Hello, world!\"\n");
    cwasm(&["run", file, "--invoke", "greet(\"\\\"größe\\\"\")"])
        .prints("\"Hello, \\\"größe\\\"!\"\n");
    cwasm(&["run", file, "--invoke", "sum([1, -2, 2147483647])"]).prints("2147483646\n");
    cwasm(&["run", file, "--invoke", "sum([])"]).prints("0\n");
    cwasm(&["run", file, "--invoke", "fib(10)"]).prints("55\n");
    let ran = cwasm(&["run", file, "--invoke", "announce(\"Ann\")"]);
    assert_eq!(ran.prints("1\n").stderr(), "hello from Ann\n");
}

#[test]
fn run_takes_artifacts() {
    let folder = Folder::new();
    let artifact = folder.compiled();
    cwasm(&["run", &artifact, "--invoke", "greet(\"artifact\")"]).prints("\"Hello, artifact!\"\n");
}

#[test]
fn run_takes_text() {
    let folder = Folder::new();
    let text = r#"(component
      (core module $m (func (export "id") (param i32) (result i32) (local.get 0)))
      (core instance $i (instantiate $m))
      (func $id (param "c" char) (result char) (canon lift (core func $i "id")))
      (instance $api (export "id" (func $id)))
      (export "test:run/api@1.2.3" (instance $api)))"#;
    let file = folder.file("id.wat", text);
    cwasm(&["run", &file, "--invoke", "id('x')"]).prints("'x'\n");
    cwasm(&["run", &file, "--invoke", "test:run/api@1.2.3#id('ö')"]).prints("'ö'\n");
    cwasm(&["run", &file, "--invoke", "test:run/api.id@1.2.3('ö')"]).prints("'ö'\n");
    cwasm(&["run", &file, "--invoke", "other#id('x')"]).fails(1, &["`other#id`"]);
}

#[test]
fn run_prints_values_of_all_kinds() {
    let folder = Folder::new();
    let text = r#"(component
      (core module $m
        (memory (export "memory") 1)
        (data (i32.const 0) "\01\00\00\00\07\00\00\00")
        (func (export "id") (param i32) (result i32) (local.get 0))
        (func (export "zero") (result i32) (i32.const 0))
        (func (export "nothing")))
      (core instance $i (instantiate $m))
      (alias core export $i "memory" (core memory $memory))
      (type $color' (enum "red" "green"))
      (export $color "color" (type $color'))
      (type $flags' (flags "r" "w"))
      (export $flags "permissions" (type $flags'))
      (type $pair' (record (field "a" u32) (field "b" s32)))
      (export $pair "pair" (type $pair'))
      (func (export "enum") (param "c" $color) (result $color) (canon lift (core func $i "id")))
      (func (export "flags") (param "f" $flags) (result $flags) (canon lift (core func $i "id")))
      (func (export "record") (result $pair) (canon lift (core func $i "zero") (memory $memory)))
      (func (export "option") (result (option u32)) (canon lift (core func $i "zero") (memory $memory)))
      (func (export "result") (result (result u32 (error u32))) (canon lift (core func $i "zero") (memory $memory)))
      (func (export "tuple") (result (tuple u8 u32)) (canon lift (core func $i "zero") (memory $memory)))
      (func (export "nothing") (canon lift (core func $i "nothing"))))"#;
    let file = folder.file("kinds.wat", text);
    for (call, result) in [
        ("enum(green)", "green\n"),
        ("flags({w, r})", "{r, w}\n"),
        ("flags({})", "{}\n"),
        ("record()", "{a: 1, b: 7}\n"),
        ("option()", "some(7)\n"),
        ("result()", "err(7)\n"),
        ("tuple()", "(1, 7)\n"),
        ("nothing()", ""),
        ("nothing", ""),
    ] {
        cwasm(&["run", &file, "--invoke", call]).prints(result);
    }
    cwasm(&["run", &file, "--invoke", "enum(blue)"]).fails(1, &["wrong arguments", "blue"]);
}

#[test]
fn run_says_what_can_be_called() {
    let file = greet();
    let file = file.to_str().unwrap();
    cwasm(&["run", file]).fails(
        1,
        &[
            "does not export `wasi:cli/run`",
            "--invoke",
            "\n  greet: func(name: string) -> string\n",
            "\n  sum: func(xs: list<s32>) -> s64\n",
        ],
    );
    cwasm(&["run", file, "--invoke", "salute(\"x\")"]).fails(
        1,
        &[
            "no function `salute`",
            "found: `announce`, `fail`, `fib`, `greet`, `sum`",
        ],
    );
}

#[test]
fn run_explains_wrong_arguments() {
    let file = greet();
    let file = file.to_str().unwrap();
    for call in ["greet(1)", "greet()", "greet(\"a\", \"b\")"] {
        cwasm(&["run", file, "--invoke", call]).fails(
            1,
            &[
                "error: wrong arguments: `greet` takes (string)",
                call,
                "\n  caused by: ",
            ],
        );
    }
    cwasm(&["run", file, "--invoke", "greet(\"a\""]).fails(1, &["cannot read the call"]);
    cwasm(&["run", file, "--invoke", "fib(-1)"]).fails(1, &["takes (u32)"]);
}

#[test]
fn traps_print_a_backtrace() {
    let file = greet();
    let file = file.to_str().unwrap();
    let ran = cwasm(&["run", file, "--invoke", "fail()"]);
    ran.fails(TRAPPED, &["error: wasm trap: unreachable\n"]);
    let frames: Vec<_> = ["splash", "take_one_step_too_many", "walk_the_plank"]
        .map(|name| {
            ran.stderr()
                .find(name)
                .unwrap_or_else(|| panic!("no frame of `{name}`"))
        })
        .into();
    assert!(frames.is_sorted(), "{}", ran.stderr());

    let ran = cwasm(&["run", file, "--invoke", "fib(4000000000)"]);
    ran.fails(
        TRAPPED,
        &["error: wasm trap: call stack exhausted\n", "... and more"],
    );
}

#[test]
fn imports_that_are_not_there_trap_when_called() {
    let folder = Folder::new();
    let text = r#"(component
      (import "test:x/y" (instance $y (export "f" (func (param "a" u32)))))
      (core func $f (canon lower (func $y "f")))
      (core module $m
        (import "" "f" (func $f (param i32)))
        (func (export "calls") (call $f (i32.const 1)))
        (func (export "fine") (result i32) (i32.const 1)))
      (core instance $i (instantiate $m (with "" (instance (export "f" (func $f))))))
      (func (export "calls") (canon lift (core func $i "calls")))
      (func (export "fine") (result u8) (canon lift (core func $i "fine"))))"#;
    let file = folder.file("imports.wat", text);
    cwasm(&["run", &file, "--invoke", "fine"]).prints("1\n");
    cwasm(&["run", &file, "--invoke", "calls"]).fails(
        1,
        &[
            "host function failed",
            "the import `test:x/y#f` is called, which is not defined",
        ],
    );
}

#[test]
fn compile_chooses_the_output() {
    let folder = Folder::new();
    let file = folder.greet();
    let ran = cwasm(&["compile", &file]);
    ran.prints("");
    let summary = ran.stderr();
    let artifact = folder.path("greet.cwasm");
    let size = fs::metadata(&artifact).unwrap().len();
    assert!(summary.starts_with(&format!("{artifact}: ")), "{summary}");
    assert!(
        summary.contains(" functions, ") && summary.ends_with(" s\n"),
        "{summary}"
    );
    assert!(summary.contains(&format!(" {size} bytes, ")), "{summary}");
    assert_eq!(
        summary.lines().count(),
        1,
        "no progress bar if it is no terminal: {summary}"
    );

    cwasm(&["compile", &file, "--emit", "obj"]).prints("");
    assert!(
        fs::read(folder.path("greet.o"))
            .unwrap()
            .starts_with(b"\x7fELF")
    );
    cwasm(&["compile", &file, "--emit", "clif"]).prints("");
    assert!(
        fs::read_to_string(folder.path("greet.clif"))
            .unwrap()
            .contains("function ")
    );
    assert_eq!(
        folder.names(),
        ["greet.clif", "greet.cwasm", "greet.o", "greet.wasm"]
    );
}

#[test]
fn compile_takes_options() {
    let folder = Folder::new();
    let file = folder.greet();
    for options in [
        &["-O", "none"][..],
        &["-O", "size", "--jobs", "1"],
        &["--cpu", "x86-64", "--debug"],
        &["--target", "x86_64-unknown-linux-gnu", "--cpu", "x86-64-v2"],
    ] {
        let artifact = folder.path("a.cwasm");
        cwasm(&[&["compile", &file, "-o", &artifact], options].concat()).prints("");
        cwasm(&["run", &artifact, "--invoke", "fib(20)"]).prints("6765\n");
    }
    let usage = [
        &["compile"][..],
        &["compile", &file, "-O", "fast"],
        &["compile", &file, "--cpu", "mine"],
        &["compile", &file, "--jobs", "0"],
        &["compile", &file, "--emit", "exe"],
        &["run"],
        &["build", &file],
        &[],
    ];
    for args in usage {
        cwasm(args).fails(2, &[]);
    }
    let module = folder.file("tail.wat", "(module (func $f (return_call $f)))");
    let off = cwasm(&["compile", &module, "--feature", "-tail-call"]);
    off.fails(1, &["needs the feature `tail-call`", "at offset 0x17"]);
    cwasm(&[
        "compile",
        &module,
        "--feature",
        "-tail-call",
        "--feature",
        "tail-call",
    ])
    .prints("");
    cwasm(&["compile", &module, "--feature", "tails"]).fails(2, &["unknown feature `tails`"]);
    cwasm(&["compile", &file, "--target", "riscv64gc-unknown-linux-gnu"]).fails(1, &["riscv64"]);
}

#[test]
fn compile_keeps_files() {
    let folder = Folder::new();
    let file = folder.greet();
    let before = fs::read(&file).unwrap();
    cwasm(&["compile", &file, "-o", &file]).fails(1, &["would replace the input"]);
    assert_eq!(fs::read(&file).unwrap(), before);
    // A failure leaves the old output.
    let output = folder.file("out.cwasm", "old");
    let bad = folder.file("bad.wasm", b"\0asm\x0d\0\x01\0\xff");
    cwasm(&["compile", &bad, "-o", &output]).fails(1, &["cannot compile"]);
    assert_eq!(fs::read_to_string(&output).unwrap(), "old");
    cwasm(&["compile", &file, "-o", &folder.path("no/folder/x")]).fails(1, &["cannot write"]);
    assert_eq!(folder.names(), ["bad.wasm", "greet.wasm", "out.cwasm"]);
}

#[test]
fn inspect_shows_an_artifact() {
    let folder = Folder::new();
    let artifact = folder.compiled();
    let ran = cwasm(&["inspect", &artifact]);
    let text = ran.stdout();
    let abi = format!("abi version   {ABI_VERSION}\n");
    for part in [
        "kind          component\n",
        "target        x86_64-unknown-linux-gnu\n",
        abi.as_str(),
        "\n.text ",
        "\n.cwasm.exports ",
        "\n  import log: func(message: string);\n",
        "\n  export greet: func(name: string) -> string;\n",
        "\n  export sum: func(xs: list<s32>) -> s64;\n",
    ] {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }

    let ran = cwasm(&["inspect", &artifact, "--json"]);
    let json: serde_json::Value = serde_json::from_str(ran.stdout()).unwrap();
    assert_eq!(json["kind"], "component");
    assert_eq!(json["target"], "x86_64-unknown-linux-gnu");
    assert_eq!(json["abi_version"], ABI_VERSION);
    assert_eq!(json["size"], fs::metadata(&artifact).unwrap().len());
    assert_eq!(json["imports"][0]["name"], "log");
    assert_eq!(json["exports"][3]["type"], "func(name: string) -> string");
    let sections = json["sections"].as_array().unwrap();
    assert!(sections.iter().any(|section| section["name"] == ".text"));
}

#[test]
fn inspect_shows_types_and_core_modules() {
    let folder = Folder::new();
    let text = r#"(component
      (core module $m (func (export "f") (param i32 i32)))
      (core instance $i (instantiate $m))
      (type $p' (record (field "x" u32) (field "y" u32)))
      (export $p "point" (type $p'))
      (func $f (param "x" u32) (param "y" u32) (canon lift (core func $i "f")))
      (func (export "at") (param "p" $p) (canon lift (core func $i "f")))
      (instance $api (export "at" (func $f)))
      (export "test:geo/points@0.1.0" (instance $api)))"#;
    let artifact = folder.path("types.cwasm");
    cwasm(&["compile", &folder.file("types.wat", text), "-o", &artifact]).prints("");
    let ran = cwasm(&["inspect", &artifact]);
    for part in [
        "\nworld root {\n  record point { x: u32, y: u32 }\n",
        "\n  export at: func(p: point);\n",
        "\n  export test:geo/points@0.1.0;\n}\n",
        "\npackage test:geo@0.1.0 {\n  interface points {\n    at: func(x: u32, y: u32);\n  }\n}\n",
    ] {
        assert!(
            ran.stdout().contains(part),
            "no `{part}` in:\n{}",
            ran.stdout()
        );
    }

    let text = r#"(module
      (import "env" "f" (func (param i32) (result i64)))
      (memory (export "m") 1 2)
      (global (export "g") (mut f32) (f32.const 0))
      (table (export "t") 3 funcref))"#;
    let artifact = folder.path("core.cwasm");
    cwasm(&["compile", &folder.file("core.wat", text), "-o", &artifact]).prints("");
    let ran = cwasm(&["inspect", &artifact]);
    for part in [
        "kind          core module\n",
        "import env.f: func(i32) -> (i64)\n",
        "export g: global mut f32\n",
        "export m: memory 1..=2\n",
        "export t: table 3.. funcref\n",
    ] {
        assert!(
            ran.stdout().contains(part),
            "no `{part}` in:\n{}",
            ran.stdout()
        );
    }
}

#[test]
fn inspect_shows_labels_and_ids() {
    let folder = Folder::new();
    let text = r#"(component
      (import "main" (implements "test:db/store@1") (version-suffix ".2.3") (external-id "db-1")
        (instance $main (export "get" (external-id "k") (func (param "key" u32)))))
      (import "f" (external-id "a function") (func))
      (export "copy" (implements "test:db/store@1.2.3") (instance $main)))"#;
    let artifact = folder.path("labels.cwasm");
    cwasm(&["compile", &folder.file("labels.wat", text), "-o", &artifact]).prints("");
    let ran = cwasm(&["inspect", &artifact]);
    let world = "\nworld root {
  @external-id(\"a function\")
  import f: func();
  @external-id(\"db-1\")
  import main: test:db/store@1.2.3;
  export copy: test:db/store@1.2.3;
}

package test:db@1.2.3 {
  interface store {
    @external-id(\"k\")
    get: func(key: u32);
  }
}
";
    let text = ran.stdout();
    assert!(text.ends_with(world), "no `{world}` in:\n{text}");
    let ran = cwasm(&["inspect", &artifact, "--json"]);
    let json: serde_json::Value = serde_json::from_str(ran.stdout()).unwrap();
    assert_eq!(json["imports"][0]["external_id"], "k");
    assert_eq!(json["imports"][0]["implements"], serde_json::Value::Null);
    assert_eq!(json["imports"][2]["name"], "main");
    assert_eq!(json["imports"][2]["implements"], "test:db/store@1.2.3");
    assert_eq!(json["exports"][1]["implements"], "test:db/store@1.2.3");
}

#[test]
fn bad_inputs_are_explained() {
    let folder = Folder::new();
    let missing = folder.path("missing.wasm");
    for command in ["compile", "run", "inspect"] {
        cwasm(&[command, &missing])
            .fails(1, &["error: cannot read", "missing.wasm", "No such file"]);
        cwasm(&[command, &folder.path("")]).fails(1, &["error: cannot read"]);
    }
    let random = folder.file("random", b"\xff\xfe random \x80 bytes");
    cwasm(&["compile", &random]).fails(1, &["cannot compile", "invalid WebAssembly"]);
    cwasm(&["run", &random]).fails(1, &["cannot compile", "invalid WebAssembly"]);
    cwasm(&["inspect", &random]).fails(1, &["cannot compile", "invalid WebAssembly"]);
    let empty = folder.file("empty", b"");
    for command in ["compile", "run", "inspect"] {
        cwasm(&[command, &empty]).fails(1, &["invalid WebAssembly: found nothing"]);
    }
    let text = folder.file("bad.wat", "(component\n  (core modul))");
    cwasm(&["compile", &text]).fails(1, &["invalid WebAssembly", "2:4"]);

    let wasm = fs::read(greet()).unwrap();
    let truncated = folder.file("truncated.wasm", &wasm[..wasm.len() / 2]);
    cwasm(&["run", &truncated]).fails(1, &["cannot compile", "offset 0x"]);

    let artifact = folder.compiled();
    cwasm(&["compile", &artifact]).fails(1, &["found an ELF file", "expected WebAssembly"]);
    let bytes = fs::read(&artifact).unwrap();
    let truncated = folder.file("truncated.cwasm", &bytes[..bytes.len() - 1]);
    for command in ["run", "inspect"] {
        let found = format!(
            "has {} bytes, its header says {}",
            bytes.len() - 1,
            bytes.len()
        );
        cwasm(&[command, &truncated]).fails(1, &[&found]);
    }
    let elf = std::env::current_exe().unwrap();
    cwasm(&["run", elf.to_str().unwrap()]).fails(1, &["not an artifact", "expected the magic"]);
}

#[test]
fn core_modules_are_not_run() {
    let folder = Folder::new();
    let file = folder.file("core.wat", "(module (func (export \"f\")))");
    let expected = ["core module", "component"];
    cwasm(&["run", &file, "--invoke", "f()"]).fails(1, &expected);
    cwasm(&["compile", &file]).prints("");
    cwasm(&["run", &folder.path("core.cwasm"), "--invoke", "f()"]).fails(1, &expected);
}

#[test]
fn what_is_not_supported_is_named() {
    let folder = Folder::new();
    let text = "(module (type (struct)))";
    let file = folder.file("gc.wat", text);
    cwasm(&["compile", &file]).fails(1, &["not supported yet: gc", "offset 0x"]);
}

#[test]
fn help_and_version() {
    let ran = cwasm(&["--help"]);
    for part in ["compile", "run", "inspect", "Usage: cwasm"] {
        assert!(ran.stdout().contains(part), "{}", ran.stdout());
    }
    cwasm(&["--version"]).prints(concat!("cwasm ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn handles_are_shown_as_handles() {
    let folder = Folder::new();
    let text = r#"(component
      (type $thing' (resource (rep i32)))
      (core func $new (canon resource.new $thing'))
      (core module $m
        (import "" "new" (func $new (param i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "one") (result i32) (call $new (i32.const 1)))
        (func (export "two") (result i32)
          (i32.store (i32.const 0) (i32.const 8))
          (i32.store (i32.const 4) (i32.const 2))
          (i32.store (i32.const 8) (call $new (i32.const 1)))
          (i32.store (i32.const 12) (call $new (i32.const 2)))
          (i32.const 0)))
      (core instance $i (instantiate $m (with "" (instance (export "new" (func $new))))))
      (alias core export $i "memory" (core memory $memory))
      (export $thing "thing" (type $thing'))
      (func (export "one") (result (own $thing)) (canon lift (core func $i "one")))
      (func (export "two") (result (list (own $thing)))
        (canon lift (core func $i "two") (memory $memory))))"#;
    let file = folder.file("handles.wat", text);
    cwasm(&["run", &file, "--invoke", "one"]).prints("own<thing>\n");
    cwasm(&["run", &file, "--invoke", "two()"]).prints("[own<thing>, own<thing>]\n");
}

/// `cwasm ... | head -c 1` must not panic.
#[test]
fn broken_pipes_are_quiet() {
    use std::process::{Command, Stdio};

    let folder = Folder::new();
    let artifact = folder.compiled();
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("cwasm"))
        .args(["inspect", &artifact])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
}
