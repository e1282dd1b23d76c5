//! `cwasm run`.
#![allow(
    unsafe_code,
    reason = "the user asks for the artifact's code to be run"
)]

use cwasm::types::{ComponentFunc, Type};
use cwasm::{Component, Engine, Error, Linker, Result, Store, Val};
use cwasm_compiler::Options;
use cwasm_format::types::FuncType;
use cwasm_format::wit::Wit;

use crate::args::RunArgs;
use crate::input::{self, Input, Kind, Name};
use crate::invoke::Call;
use crate::limits::Limits;
use crate::surface::{Surface, functions};
use crate::{invoke, output, value};

/// The export that makes a component a command.
const WASI_RUN: &str = "wasi:cli/run@";

/// Runs a component, or calls one of its functions and prints the result.
pub(crate) fn run(args: &RunArgs) -> Result<()> {
    let engine = Engine::new(&cwasm::Config::new())?;
    let component = open(&engine, args)?;
    let description = component.describe()?;
    let artifact = component.artifact();
    let surface = Surface::of_artifact(&artifact, description);
    let exports = functions(&surface.exports);
    let Some(call) = &args.invoke else {
        return Err(nothing_to_call(args, &exports, surface.wit()));
    };
    let call = Call::parse(call)?;
    let (name, ty) = invoke::find(&call, &exports)?;
    let mut store = Store::new(&engine, ());
    let instance = linker(&engine, &component)?.instantiate(&mut store, &component)?;
    let func = instance
        .get_func(&mut store, name)
        .ok_or_else(|| Error::msg(format!("`{name}` cannot be called")))?;
    let func_type = func.ty(&store)?;
    let params = call.params(&func_type)?;
    let mut results = vec![Val::Bool(false); usize::from(ty.result.is_some())];
    func.call(&mut store, &params, &mut results)?;
    match (results.pop(), func_type.results().next()) {
        (Some(value), Some(ty)) => output::print(&format!("{}\n", value::text(value, &ty)?)),
        _ => Ok(()),
    }
}

/// Maps an artifact; compiles and loads anything else.
fn open(engine: &Engine, args: &RunArgs) -> Result<Component> {
    let limits = Limits::start(&args.limits)?;
    let input = Input::open(&args.file)?;
    let name = input.name;
    if input.kind() == Kind::Artifact && input.is_named_file() {
        // SAFETY: whoever runs the command vouches for the file, as callers of `Component::map`
        // must: it is trusted, and nobody changes it in place. The command's help says so.
        return unsafe { Component::map(engine, &args.file) };
    }
    let artifact = match input.kind() {
        Kind::Artifact => input.read()?,
        Kind::Wasm | Kind::Text => {
            // Backtraces need names.
            let options = Options {
                debug: true,
                ..Options::default()
            };
            let wasm = input.read_wasm(args.limits.text_limit)?;
            let compiled = cwasm_compiler::compile(&wasm, &options);
            compiled
                .map_err(|error| input::cannot_compile(name, error))?
                .bytes
        }
    };
    drop(limits);
    // SAFETY: the bytes are what the compiler just made, or an artifact that the command was asked
    // to run, as above.
    unsafe { Component::from_bytes(engine, &artifact) }
        .map_err(|error| error.context(format!("cannot run {name}")))
}

/// The imports that the command gives to a component: `log` at the root, and for all others a
/// function that fails when it is called.
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

/// The error that lists the functions that can be called.
fn nothing_to_call(args: &RunArgs, exports: &[(&str, &FuncType)], wit: Wit<'_>) -> Error {
    let file = Name(&args.file);
    if exports.iter().any(|(name, _)| name.starts_with(WASI_RUN)) {
        let message = format!("{file} is a command (it exports `wasi:cli/run`)");
        return Error::msg("commands cannot be run yet: call a function with --invoke")
            .context(message);
    }
    let mut message = format!("{file} is not a command (it does not export `wasi:cli/run`)");
    if exports.is_empty() {
        message.push_str(", and exports no functions");
        return Error::msg(message);
    }
    message.push_str("; choose a function with --invoke:");
    for (name, ty) in exports {
        message.push_str(&format!(
            "
  {name}: {}",
            wit.func(ty)
        ));
    }
    Error::msg(message)
}
