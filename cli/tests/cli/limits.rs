//! Limits of builds: time, memory, and the length of text.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;

use crate::support::{Folder, Ran, cwasm};

/// A core module of many functions.
fn many_functions(count: usize) -> String {
    let func = "(func (param i64 i64) (result i64) (i64.add (i64.mul (local.get 0) (local.get 1))
        (i64.rotl (local.get 0) (local.get 1))))";
    format!("(module {})", func.repeat(count))
}

#[test]
fn a_build_ends_with_its_time() {
    let folder = Folder::new();
    let input = folder.file("many.wat", many_functions(30_000));
    let start = Instant::now();
    let args = [
        "compile",
        &input,
        "--text-limit",
        "100M",
        "--time-limit",
        "100ms",
    ];
    cwasm(&args).fails(1, &["error: time limit exceeded", "100ms", "--time-limit"]);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(folder.names(), ["many.wat"], "nothing is written");
    let output = folder.file("many.cwasm", "old");
    cwasm(&args).fails(1, &["time limit exceeded"]);
    assert_eq!(std::fs::read(output).unwrap(), b"old");
    // `run` and `inspect` build and read as well.
    for command in ["run", "inspect"] {
        let args = [&[command][..], &args[1..4], &["--time-limit", "1ms"]].concat();
        cwasm(&args).fails(1, &["time limit exceeded"]);
    }
}

#[test]
fn an_input_that_never_ends_is_within_the_time() {
    let start = Instant::now();
    let child = Command::new(cargo_bin("cwasm"))
        .args(["compile", "-", "-o", "-", "--time-limit", "0.2s"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Its standard input stays open.
    let mut child = child;
    let stdin = child.stdin.take();
    Ran(child.wait_with_output().unwrap()).fails(1, &["time limit exceeded"]);
    drop(stdin);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_build_within_its_limits_is_as_without_them() {
    let folder = Folder::new();
    let expected = std::fs::read(folder.compiled()).unwrap();
    let output = folder.path("limited.cwasm");
    let args = ["compile", &folder.greet(), "-o", &output];
    let limits = ["--time-limit", "1h", "--memory-limit", "4G"];
    cwasm(&[&args[..], &limits].concat()).prints("");
    assert!(std::fs::read(&output).unwrap() == expected);
    // What a call does is not limited.
    let run = ["run", &folder.greet(), "--invoke", "fib(20)"];
    cwasm(&[&run[..], &limits].concat()).prints("6765\n");
}

#[test]
fn a_build_ends_with_its_memory() {
    let folder = Folder::new();
    let input = folder.file("many.wat", many_functions(4000));
    let args = [
        "compile",
        &input,
        "--text-limit",
        "100M",
        "--memory-limit",
        "4M",
    ];
    cwasm(&args).fails(
        1,
        &[
            "error: memory limit exceeded",
            "4194304 bytes",
            "--memory-limit",
        ],
    );
    assert_eq!(folder.names(), ["many.wat"], "nothing is written");
    // An input that alone is more.
    let sparse = folder.path("sparse.wasm");
    let file = std::fs::File::create(&sparse).unwrap();
    std::io::Write::write_all(&mut &file, b"\0asm\x01\0\0\0").unwrap();
    file.set_len(1 << 40).unwrap();
    cwasm(&["compile", &sparse, "--memory-limit", "1G"]).fails(1, &["memory limit exceeded"]);
    for command in ["run", "inspect"] {
        let args = [&[command][..], &args[1..4], &["--memory-limit", "100K"]].concat();
        cwasm(&args).fails(1, &["memory limit exceeded"]);
    }
}

/// The parser of text takes time that grows with the square of some inputs.
#[test]
fn long_text_is_refused_unless_it_is_asked_for() {
    let folder = Folder::new();
    let text = many_functions(100);
    let input = folder.file("text.wat", &text);
    let limit = |bytes: usize| {
        let bytes = bytes.to_string();
        cwasm(&["compile", &input, "--text-limit", &bytes])
    };
    limit(text.len() - 1).fails(1, &["more than", "the limit", "--text-limit"]);
    limit(text.len()).prints("");
    let exports: String = (0..20_000)
        .map(|index| format!("(func (export \"{index}\"))"))
        .collect();
    let input = folder.file("exports.wat", format!("(module {exports})"));
    let start = Instant::now();
    for command in ["compile", "run", "inspect"] {
        cwasm(&[command, &input]).fails(1, &["more than 262144 bytes", "--text-limit"]);
    }
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    // Text that never ends, and what is no text.
    let ran = Command::new("bash")
        .args(["-c", "yes '(module)' | $cwasm compile - -o -"])
        .env("cwasm", cargo_bin("cwasm"))
        .output()
        .unwrap();
    Ran(ran).fails(1, &["standard input", "--text-limit"]);
    cwasm(&["inspect", "/dev/zero"]).fails(1, &["--text-limit"]);
}
