//! `run --coredump`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use wasmparser::{KnownCustom, Parser, Payload};

use crate::support::{Folder, TRAPPED, cwasm, greet};

/// The executable's name and the function indices of the stack of a dump.
fn read(path: &str) -> (String, Vec<u32>) {
    let bytes = fs::read(path).unwrap();
    let (mut name, mut stack) = (None, None);
    for payload in Parser::new(0).parse_all(&bytes) {
        let Payload::CustomSection(section) = payload.unwrap() else {
            continue;
        };
        match section.as_known() {
            KnownCustom::CoreDump(core) => name = Some(core.name.to_owned()),
            KnownCustom::CoreDumpStack(found) => {
                let frames = found.frames.iter();
                stack = Some(frames.map(|frame| frame.funcidx).collect());
            }
            _ => {}
        }
    }
    (name.unwrap(), stack.unwrap())
}

#[test]
fn a_trap_leaves_a_core_dump() {
    let folder = Folder::new();
    let (file, core) = (greet(), folder.path("greet.core"));
    let file = file.to_str().unwrap();
    let run = |call: &str| cwasm(&["run", file, "--coredump", &core, "--invoke", call]);
    run("greet(\"world\")").prints("\"Hello, world!\"\n");
    assert!(folder.names().is_empty(), "nothing has trapped");

    let ran = run("fail()");
    let size = fs::metadata(&core).unwrap().len();
    let said = format!("{size} bytes\nerror: wasm trap: unreachable\n");
    ran.fails(TRAPPED, &["core dump in ", &said]);
    let (name, stack) = read(&core);
    assert_eq!(name, file);
    // Each numbered line of the backtrace is a frame; others are left out, and counted.
    let frames = ran.stderr().lines().map(|line| {
        let line = line.trim_start();
        match line.strip_prefix("... ") {
            Some(count) => count.split(' ').next().unwrap().parse().unwrap_or(1),
            None => usize::from(line.starts_with(|c: char| c.is_ascii_digit())),
        }
    });
    assert_eq!(stack.len(), frames.sum::<usize>(), "{}", ran.stderr());
    let mode = fs::metadata(&core).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "a guest's memory is nobody else's");

    // The next one replaces it.
    run("fib(4000000000)").fails(TRAPPED, &["call stack exhausted", "... and more"]);
    let (_, deep) = read(&core);
    assert!(deep.len() > stack.len() && deep.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_core_dump_that_cannot_be_written_hides_no_trap() {
    let folder = Folder::new();
    let core = folder.path("missing/core");
    let file = greet();
    let args = [
        "run",
        file.to_str().unwrap(),
        "--invoke",
        "fail()",
        "--coredump",
    ];
    let ran = cwasm(&[&args[..], &[&core]].concat());
    ran.fails(
        TRAPPED,
        &["no core dump in ", "error: wasm trap: unreachable\n"],
    );
}

#[test]
fn instantiation_leaves_a_core_dump_too() {
    let folder = Folder::new();
    let text = r#"(component
      (core module $m (func $start unreachable) (start $start) (func (export "f")))
      (core instance $i (instantiate $m))
      (func (export "f") (canon lift (core func $i "f"))))"#;
    let (file, core) = (folder.file("start.wat", text), folder.path("core"));
    cwasm(&["run", &file, "--invoke", "f()", "--coredump", &core])
        .fails(TRAPPED, &["core dump in "]);
    assert_eq!(read(&core).1, [0]);
}

/// A program of preview 1 that exits traps in its host function.
#[test]
fn programs_that_exit_leave_none() {
    let folder = Folder::new();
    let text = r#"(module
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (func (export "_start") (call $exit (i32.const 7))))"#;
    let (file, core) = (folder.file("exit.wat", text), folder.path("core"));
    cwasm(&["run", &file, "--coredump", &core]).fails(7, &[]);
    assert_eq!(folder.names(), ["exit.wat"]);
}
