//! `cwasm run`.
#![allow(
    unsafe_code,
    reason = "the user asks for the artifact's code to be run"
)]

use std::path::Path;

use cwasm::types::{ComponentFunc, Type};
use cwasm::{Component, Engine, Error, Linker, Result, Store, Val};
use cwasm_compiler::Options;
use cwasm_format::describe::Description;
use cwasm_format::types::FuncType;

use crate::args::RunArgs;
use crate::invoke::Call;
use crate::world::{functions, wit};
use crate::{input, invoke, output};

/// The export that makes a component a command.
const WASI_RUN: &str = "wasi:cli/run@";

/// Runs a component, or calls one of its functions and prints the result.
pub(crate) fn run(args: &RunArgs) -> Result<()> {
    let engine = Engine::new(&cwasm::Config::new())?;
    let component = open(&engine, &args.file)?;
    let description = component.describe()?;
    let artifact = component.artifact();
    let exports = functions(artifact.exports(), &artifact, description);
    let Some(call) = &args.invoke else {
        return Err(nothing_to_call(args, &exports, description));
    };
    let call = Call::parse(call)?;
    let (name, ty) = invoke::find(&call, &exports)?;
    let mut store = Store::new(&engine, ());
    let instance = linker(&engine, &component)?.instantiate(&mut store, &component)?;
    let func = instance
        .get_func(&mut store, name)
        .ok_or_else(|| Error::msg(format!("`{name}` cannot be called")))?;
    let params = call.params(&func.ty(&store)?)?;
    let mut results = vec![Val::Bool(false); usize::from(ty.result.is_some())];
    func.call(&mut store, &params, &mut results)?;
    match results.first() {
        Some(value) => output::print(&format!("{}\n", value.to_wave()?)),
        None => Ok(()),
    }
}

/// Maps an artifact; compiles and loads anything else.
fn open(engine: &Engine, path: &Path) -> Result<Component> {
    if input::is_artifact(path)? {
        // SAFETY: running this file is what the command was asked for; that it must be trusted
        // says the command's help. Nobody is expected to change it meanwhile.
        return unsafe { Component::map(engine, path) };
    }
    // With names, for backtraces.
    let options = Options {
        debug: true,
        ..Options::default()
    };
    let bytes = input::read_wasm(path)?;
    let artifact = cwasm_compiler::compile(&bytes, &options)
        .map_err(|error| input::cannot_compile(path, error))?
        .bytes;
    // SAFETY: the bytes are what the compiler just made.
    unsafe { Component::from_bytes(engine, &artifact) }
        .map_err(|error| error.context(format!("cannot run `{}`", path.display())))
}

/// What the command gives to a component: `log` of the root, and for all else a function that
/// fails when it is called.
fn linker(engine: &Engine, component: &Component) -> Result<Linker<()>> {
    let mut linker = Linker::new(engine);
    let log = component.get_import("log")?.and_then(|log| log.func);
    if log.is_some_and(|ty| is_log(&ty)) {
        linker.root().func_wrap("log", |_, (message,): (String,)| {
            output::note(&message);
            Ok(())
        })?;
    }
    linker.define_unknown_imports_as_traps(component)?;
    Ok(linker)
}

/// Whether it is `func(message: string)`, whatever the parameter's name.
fn is_log(ty: &ComponentFunc) -> bool {
    ty.params().map(|(_, ty)| ty).eq([Type::String]) && ty.results().len() == 0
}

/// Says what can be called.
fn nothing_to_call(args: &RunArgs, exports: &[(&str, &FuncType)], types: &Description) -> Error {
    let file = args.file.display();
    if exports.iter().any(|(name, _)| name.starts_with(WASI_RUN)) {
        let message = format!("`{file}` is a command (it exports `wasi:cli/run`)");
        return Error::msg("commands cannot be run yet: call a function with --invoke")
            .context(message);
    }
    let mut message = format!("`{file}` is not a command (it does not export `wasi:cli/run`)");
    if exports.is_empty() {
        message.push_str(", and exports no functions");
        return Error::msg(message);
    }
    message.push_str("; choose a function with --invoke:");
    for (name, ty) in exports {
        message.push_str(&format!(
            "
  {name}: {}",
            wit(types).func(ty)
        ));
    }
    Error::msg(message)
}
