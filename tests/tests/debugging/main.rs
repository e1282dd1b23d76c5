//! Backtraces of guests with debug information, in the artifact or beside it, and without.

mod adapters;
mod beside;
mod names;
mod programs;
mod tables;

use std::path::{Path, PathBuf};

use cwasm::{Component, CoreFunc, CoreVal, Extern, FuncType, Linker, Store, Trap, ValType};
use cwasm_compiler::{Debug, OptLevel, Options, Output, preview1};
use cwasm_tests::artifact::Workshop;
use cwasm_wasi::{Command, WasiCtxBuilder};

/// All levels of optimisation.
const LEVELS: [OptLevel; 3] = [OptLevel::None, OptLevel::Speed, OptLevel::Size];

/// A module of `wasi/guests/debug`.
fn guest(name: &str) -> Vec<u8> {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wasi/guests/debug");
    std::fs::read(guests.join(format!("{name}.wasm"))).unwrap()
}

/// A module of `wasi/guests/debug` as it is compiled: a program of preview 1 as a component.
fn input(name: &str) -> Vec<u8> {
    let module = guest(name);
    match preview1::is_preview1(&module) {
        true => preview1::componentize(&module).unwrap(),
        false => module,
    }
}

fn compile(wasm: &[u8], opt: OptLevel, debug: Debug) -> Output {
    let options = Options {
        opt,
        debug,
        ..Options::default()
    };
    let output = cwasm_compiler::compile(wasm, &options).unwrap();
    assert_eq!(output.warnings, [""; 0]);
    output
}

/// Writes an artifact, and a file with its debug information beside it.
fn write(workshop: &Workshop, artifact: &[u8], debug: Option<&[u8]>) -> PathBuf {
    let path = workshop.write(artifact);
    if let Some(debug) = debug {
        std::fs::write(beside(&path), debug).unwrap();
    }
    path
}

/// The path of the debug information of an artifact.
fn beside(artifact: &Path) -> PathBuf {
    let mut name = artifact.to_path_buf().into_os_string();
    name.push(".debug");
    name.into()
}

/// Runs a program until it traps. `how` is its argument.
fn run(workshop: &Workshop, component: &Component, how: &str) -> Trap {
    let wasi = WasiCtxBuilder::new().args(["program", how]).build();
    let mut linker = Linker::new(workshop.engine());
    cwasm_wasi::add_to_linker(&mut linker, |wasi| wasi).unwrap();
    let mut store = Store::new(workshop.engine(), wasi);
    let command = Command::instantiate(&mut store, component, &linker).unwrap();
    let error = command.wasi_cli_run().call_run(&mut store).unwrap_err();
    error.trap().expect("it traps").clone()
}

/// Compiles a program, maps it from a file, and runs it until it traps.
fn trap(workshop: &Workshop, (name, how): (&str, &str), opt: OptLevel, debug: Debug) -> Trap {
    let output = compile(&input(name), opt, debug);
    let path = write(workshop, &output.bytes, output.debug.as_deref());
    let component = workshop.map_component_at(&path).unwrap();
    run(workshop, &component, how)
}

/// Runs `inner` of a module like `reenter` with an argument for which it traps.
fn trap_inside(workshop: &Workshop, artifact: &[u8]) -> Trap {
    let module = workshop.map_module(artifact).unwrap();
    let mut store = Store::new(workshop.engine(), ());
    let call = FuncType::new([ValType::I32], [ValType::I32]);
    let call = CoreFunc::new(&mut store, call, |args| Ok(args.to_vec()));
    let instance = module.instantiate(&mut store, &[Extern::Func(call)]);
    let Ok(Some(Extern::Func(inner))) = instance.unwrap().get(&store, "inner") else {
        panic!("the module exports `inner`")
    };
    let error = inner.call(&mut store, &[CoreVal::I32(-1)]).unwrap_err();
    error.trap().expect("it traps").clone()
}
