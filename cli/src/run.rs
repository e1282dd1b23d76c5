//! `cwasm run`.
#![allow(
    unsafe_code,
    reason = "the user asks for the artifact's code to be run"
)]

use std::process::ExitCode;

use cwasm::types::{ComponentFunc, Type};
use cwasm::{
    Component, Engine, Error, Instance, InstancePre, Linker, Result, Store, StoreLimits, Val,
};
use cwasm_compiler::Options;
use cwasm_format::types::FuncType;
use cwasm_format::wit::Wit;
use cwasm_wasi::{Command, Exit, WasiCtx};

use crate::args::RunArgs;
use crate::input::{self, Input, Kind, Name};
use crate::invoke::Call;
use crate::limits::{Limits, Timeout};
use crate::surface::{Surface, functions};
use crate::{invoke, output, value, wasi};

/// The export that makes a component a program.
const WASI_RUN: &str = "wasi:cli/run@";

/// Runs a program, or calls a function of a component and prints the result; the exit code.
pub(crate) fn run(args: &RunArgs) -> Result<ExitCode> {
    let engine = Engine::new(&cwasm::Config::new())?;
    let component = open(&engine, args)?;
    let call = args.invoke.as_deref().map(Call::parse).transpose()?;
    // What a program's types are, nobody asks.
    if call.is_none()
        && component
            .exports()
            .any(|(name, _)| name.starts_with(WASI_RUN))
    {
        return started(args, &linked(&engine, &component)?, run_program);
    }
    let description = component.describe()?;
    let artifact = component.artifact();
    let surface = Surface::of_artifact(&artifact, description);
    let exports = functions(&surface.exports);
    let Some(call) = call else {
        return Err(nothing_to_call(args, &exports, surface.wit()));
    };
    let (name, ty) = invoke::find(&call, &exports)?;
    let has_result = ty.result.is_some();
    started(args, &linked(&engine, &component)?, |store, instance| {
        invoke(store, instance, &call, (name, has_result))
    })
}

/// Instantiates a component and runs it: the exit code.
fn started(
    args: &RunArgs,
    linked: &InstancePre<WasiCtx>,
    run: impl FnOnce(&mut Store<WasiCtx>, Instance) -> Result<ExitCode>,
) -> Result<ExitCode> {
    let context = args.grants.context(&args.file)?;
    let mut store = Store::new(linked.component().engine(), context);
    if let Some(bytes) = args.max_memory {
        let mut limits = StoreLimits::new();
        limits.memory_size(bytes);
        store.set_limits(limits);
    }
    let _timeout = args.timeout.map(Timeout::start).transpose()?;
    end_with_a_broken_pipe();
    let result = linked.instantiate(&mut store);
    let result = result.and_then(|instance| run(&mut store, instance));
    match result {
        Err(error) => match error.downcast_ref::<Exit>() {
            Some(exit) => Ok(ExitCode::from(exit.code)),
            None => Err(error),
        },
        code => code,
    }
}

fn run_program(store: &mut Store<WasiCtx>, instance: Instance) -> Result<ExitCode> {
    let program = Command::new(&mut *store, &instance)?;
    match program.wasi_cli_run().call_run(store)? {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(()) => Ok(ExitCode::FAILURE),
    }
}

fn invoke(
    store: &mut Store<WasiCtx>,
    instance: Instance,
    call: &Call<'_>,
    (name, has_result): (&str, bool),
) -> Result<ExitCode> {
    let func = instance
        .get_func(&mut *store, name)
        .ok_or_else(|| Error::msg(format!("`{name}` cannot be called")))?;
    let func_type = func.ty(&*store)?;
    let params = call.params(&func_type)?;
    let mut results = vec![Val::Bool(false); usize::from(has_result)];
    func.call(store, &params, &mut results)?;
    if let (Some(value), Some(ty)) = (results.pop(), func_type.results().next()) {
        output::print(&format!("{}\n", value::text(value, &ty)?))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends the process when it writes to a pipe that nobody reads, as native programs end. Rust's
/// programs ignore the signal, unless they choose otherwise.
fn end_with_a_broken_pipe() {
    // SAFETY: the default action needs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
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
            let wasm = input.read_program(args.limits.text_limit)?;
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

/// A component with the imports that the command gives it: WASI, `log` at the root, and for all
/// others a function that fails when it is called.
fn linked(engine: &Engine, component: &Component) -> Result<InstancePre<WasiCtx>> {
    let mut linker = Linker::new(engine);
    wasi::add_needed(&mut linker, component)?;
    let has_log = component.imports().any(|(name, _)| name == "log");
    let log = match has_log {
        true => component.get_import("log")?.and_then(|log| log.func),
        false => None,
    };
    if log.is_some_and(|ty| is_log(&ty)) {
        linker.root().func_wrap("log", |_, (message,): (String,)| {
            output::note(&message);
            Ok(())
        })?;
    }
    linker.define_unknown_imports_as_traps(component)?;
    linker.instantiate_pre(component)
}

/// Whether it is `func(message: string)`, whatever the parameter's name.
fn is_log(ty: &ComponentFunc) -> bool {
    ty.params().map(|(_, ty)| ty).eq([Type::String]) && ty.results().len() == 0
}

/// The error that lists the functions that can be called.
fn nothing_to_call(args: &RunArgs, exports: &[(&str, &FuncType)], wit: Wit<'_>) -> Error {
    let file = Name(&args.file);
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
