//! Core modules of WASI preview 1, wrapped.

use cwasm::{Linker, Store};
use cwasm_tests::artifact::Workshop;
use cwasm_wasi::{Command, Exit, OutputBuffer, WasiCtxBuilder};

/// Wraps and runs a program: its exit code and output.
fn run(text: &str) -> (u8, String) {
    let module = wat::parse_str(text).unwrap();
    let component = cwasm_compiler::preview1::componentize(&module).unwrap();
    let workshop = Workshop::new();
    let artifact = workshop.compile(&component).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let output = OutputBuffer::new(1 << 20);
    let wasi = WasiCtxBuilder::new()
        .args(["program", "hello"])
        .stdout(output.clone())
        .build();
    let mut linker = Linker::new(workshop.engine());
    cwasm_wasi::add_to_linker(&mut linker, |wasi| wasi).unwrap();
    let mut store = Store::new(workshop.engine(), wasi);
    let command = Command::instantiate(&mut store, &component, &linker).unwrap();
    let code = match command.wasi_cli_run().call_run(&mut store) {
        Ok(result) => u8::from(result.is_err()),
        Err(error) => error.downcast_ref::<Exit>().expect("it exits").code,
    };
    (code, String::from_utf8(output.take()).unwrap())
}

/// What a module begins with: imports, and what is at these addresses.
const IMPORTS: &str = r#"
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write"
        (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 2)"#;

fn program(start: &str) -> String {
    format!("(module {IMPORTS} (func (export \"_start\") {start}))")
}

#[test]
fn exit_codes_are_kept() {
    assert_eq!(run(&program("(call $exit (i32.const 33))")).0, 33);
    assert_eq!(run(&program("(call $exit (i32.const 0))")).0, 0);
    assert_eq!(run(&program("")).0, 0);
}

#[test]
fn all_memory_is_the_programs() {
    // After the first call, as some allocators do when they are first used.
    let (code, output) = run(&program(
        r#"(drop (call $sizes (i32.const 0) (i32.const 4)))
        (if (i32.ne (memory.size) (i32.const 2)) (then unreachable))
        (memory.fill (i32.const 65536) (i32.const 0xff)
            (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 65536)))
        (drop (call $args (i32.const 65536) (i32.const 66000)))
        ;; An empty buffer, and the second argument.
        (i32.store (i32.const 24) (i32.load (i32.const 65540)))
        (i32.store (i32.const 28) (i32.const 5))
        (drop (call $write (i32.const 1) (i32.const 16) (i32.const 2) (i32.const 32)))
        ;; 2 arguments, 14 bytes, 5 of which were written.
        (call $exit (i32.add (i32.load (i32.const 0)) (i32.add (i32.load (i32.const 4))
            (i32.load (i32.const 32)))))"#,
    ));
    assert_eq!((code, output.as_str()), (21, "hello"));
}

#[test]
fn a_write_of_nothing_looks_at_the_descriptor() {
    let write =
        "(call $exit (call $write (i32.const 99) (i32.const 0) (i32.const 0) (i32.const 8)))";
    assert_eq!(run(&program(write)).0, 8, "badf");
}

#[test]
fn areas_of_any_size_are_copied() {
    // More at each call than before, each a page and some; the bytes around stay.
    let (code, _) = run(&program(
        r#"(local $size i32)
        (drop (memory.grow (i32.const 8)))
        (loop $again
            (local.set $size (i32.add (local.get $size) (i32.const 70000)))
            (memory.fill (i32.const 1000) (i32.const 0) (i32.const 600000))
            (if (call $random (i32.const 1000) (local.get $size)) (then unreachable))
            (if (i32.load (i32.sub (i32.const 1000) (i32.const 4))) (then unreachable))
            (if (i32.load (i32.add (i32.const 1000) (local.get $size))) (then unreachable))
            (if (i64.eqz (i64.or
                    (i64.load (i32.add (i32.const 992) (local.get $size)))
                    (i64.load (i32.add (i32.const 984) (local.get $size)))))
                (then unreachable))
            (br_if $again (i32.lt_u (local.get $size) (i32.const 490000))))
        (call $exit (i32.const 7))"#,
    ));
    assert_eq!(code, 7);
}
