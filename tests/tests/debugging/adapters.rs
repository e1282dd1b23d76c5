//! Backtraces through calls between components, which are made by adapters: those are inlined into
//! their callers, or functions of their own, and are never seen.

use std::path::Path;

use cwasm::{Linker, Store, Trap};
use cwasm_compiler::{Debug, OptLevel, Options};
use cwasm_tests::artifact::Workshop;
use wasm_encoder::{
    ComponentBuilder, ComponentExportKind, ComponentTypeRef, ComponentValType, ExportKind,
    ModuleArg, PrimitiveValType,
};

use super::{guest, write};

/// A component with `reenter`, whose import is the function `call` that the component imports, and
/// which exports one of the functions of `reenter`.
fn part(module_name: &str, export: &str) -> ComponentBuilder {
    let mut part = ComponentBuilder::default();
    let ty = func_type(&mut part);
    let call = part.import("call", ComponentTypeRef::Func(ty));
    let call = part.lower_func(None, call, []);
    let module = part.core_module_raw(Some(module_name), &guest("reenter"));
    let host = part.core_instantiate_exports(None, [("call", ExportKind::Func, call)]);
    let args = [("host", ModuleArg::Instance(host))];
    let instance = part.core_instantiate(None, module, args);
    let core = part.core_alias_export(None, instance, export, ExportKind::Func);
    let func = part.lift_func(None, core, ty, []);
    part.export(export, ComponentExportKind::Func, func, None);
    part.append_names();
    part
}

/// `func(value: s32) -> s32`.
fn func_type(builder: &mut ComponentBuilder) -> u32 {
    let s32 = ComponentValType::Primitive(PrimitiveValType::S32);
    let (ty, mut encoder) = builder.type_function(None);
    encoder.params([("value", s32)]).result(Some(s32));
    ty
}

/// A component of these parts, each of which calls the one before, and the first one the host.
fn chain(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut chain = ComponentBuilder::default();
    let ty = func_type(&mut chain);
    let mut call = chain.import("call", ComponentTypeRef::Func(ty));
    for (name, export) in parts {
        let component = chain.component(None, part(name, export));
        let args = [("call", ComponentExportKind::Func, call)];
        let instance = chain.instantiate(None, component, args);
        call = chain.alias_export(instance, export, ComponentExportKind::Func);
    }
    chain.export("run", ComponentExportKind::Func, call, None);
    chain.finish()
}

/// Runs it. The host's function fails.
fn run(workshop: &Workshop, artifact: &Path, value: i32) -> Trap {
    let component = workshop.map_component_at(artifact).unwrap();
    let mut store = Store::new(workshop.engine(), ());
    let mut linker = Linker::new(workshop.engine());
    linker
        .root()
        .func_wrap("call", |_, (_value,): (i32,)| -> cwasm::Result<(i32,)> {
            Err(cwasm::Error::msg("the host fails"))
        })
        .unwrap();
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let run = instance.get_typed_func::<(i32,), (i32,)>(&mut store, "run");
    let error = run.unwrap().call(&mut store, (value,)).unwrap_err();
    error.trap().expect("there are frames").clone()
}

/// The settings with which adapters are inlined, and with which they are not.
fn settings() -> Vec<Options> {
    let mut all = Vec::new();
    for opt in [OptLevel::None, OptLevel::Speed, OptLevel::Size] {
        for interruptible in [false, true] {
            for debug in [Debug::Inside, Debug::Split] {
                all.push(Options {
                    opt,
                    interruptible,
                    debug,
                    ..Options::default()
                });
            }
        }
    }
    all
}

#[test]
fn each_component_has_frames_with_lines() {
    let workshop = Workshop::new();
    let wasm = chain(&[
        ("callee", "inner"),
        ("middle", "outer"),
        ("caller", "outer"),
    ]);
    for options in settings() {
        let is_optimized = options.opt != OptLevel::None;
        let expected = [
            // Of the trap, or of the branch to it.
            ("callee", "scaled", if is_optimized { 10 } else { 11 }, 9),
            ("callee", "inner", 17, 22),
            ("middle", "outer", 22, 22),
            ("caller", "outer", 22, 22),
        ];
        let output = cwasm_compiler::compile(&wasm, &options).unwrap();
        assert_eq!(output.warnings, [""; 0]);
        let path = write(&workshop, &output.bytes, output.debug.as_deref());
        let trap = run(&workshop, &path, -9);
        let mut found = Vec::new();
        for frame in trap.frames() {
            let [location] = &*frame.locations else {
                panic!("{trap}")
            };
            assert_eq!(location.file.as_deref(), Some("/guest/reenter.c"));
            assert_eq!(location.function, frame.name);
            let (module, name) = (frame.module.as_deref(), frame.name.as_deref());
            let (line, column) = (location.line.unwrap(), location.column.unwrap());
            found.push((module.unwrap(), name.unwrap(), line, column));
        }
        assert_eq!(found, expected, "{options:?}");
    }
}

#[test]
fn the_frame_that_called_the_host_has_a_line() {
    let workshop = Workshop::new();
    let wasm = chain(&[("callee", "outer"), ("caller", "outer")]);
    for options in settings() {
        let output = cwasm_compiler::compile(&wasm, &options).unwrap();
        let path = write(&workshop, &output.bytes, output.debug.as_deref());
        let trap = run(&workshop, &path, 1);
        let frames = trap.frames().iter().map(|frame| {
            let text = frame.to_string();
            text.split_once(" - ").unwrap().1.to_owned()
        });
        let expected = ["callee", "caller"]
            .map(|module| format!("{module}!outer\n               at /guest/reenter.c:22:22"));
        assert_eq!(frames.collect::<Vec<_>>(), expected, "{options:?}");
    }
}
