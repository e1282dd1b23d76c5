//! `cwasm run`.
#![allow(unsafe_code, reason = "a signal's default action is set")]

use std::process::{self, ExitCode};

use cwasm::{Component, Engine, Error, Instance, InstancePre, Result, Store, StoreLimits, Val};
use cwasm_compiler::Options;
use cwasm_format::types::FuncType;
use cwasm_format::wit::Wit;
use cwasm_wasi::{Command, Exit, WasiCtx, p3};

use crate::args::{RunArgs, default_options};
use crate::input::Name;
use crate::invoke::Call;
use crate::limits::Timeout;
use crate::load::{linked, open};
use crate::profile::Profiling;
use crate::surface::{Surface, functions};
use crate::wasi::Version;
use crate::{coredump, invoke, open_files, output, value, wasi};

/// The export that makes a component a program.
pub(crate) const WASI_RUN: &str = "wasi:cli/run@";

/// Runs a program, or calls a function of a component and prints the result; the exit code.
pub(crate) fn run(args: &RunArgs) -> Result<ExitCode> {
    let engine = Engine::new(&cwasm::Config::new())?;
    // Backtraces need names.
    let options = Options {
        debug: cwasm_compiler::Debug::Inside,
        ..default_options()
    };
    let component = open(&engine, &args.file, &args.limits, &options)?;
    let call = args.invoke.as_deref().map(Call::parse).transpose()?;
    // What a program's types are, nobody asks.
    let programs = component.exports().map(|(name, _)| name);
    let programs = programs.filter(|name| name.starts_with(WASI_RUN));
    let versions: Vec<Version> = programs.map(Version::of).collect();
    if call.is_none() && !versions.is_empty() {
        let linked = linked(&engine, &component)?;
        // One that is a program of both versions is meant to wait.
        return match versions.contains(&Version::P3) {
            true => started(args, &linked, run_program_p3),
            false => started(args, &linked, run_program),
        };
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
        let function = (name, has_result);
        wait(&component, invoke(store, instance, &call, function))
    })
}

/// Waits for a future. The thread waits for descriptors and timers itself, if there can be any.
fn wait<R>(component: &Component, future: impl Future<Output = R>) -> R {
    match wasi::waits(component) {
        true => p3::block_on(future),
        false => cwasm::block_on(future),
    }
}

/// Instantiates a component, runs it, and ends the process with its exit code.
///
/// # Errors
/// If it fails.
fn started(
    args: &RunArgs,
    linked: &InstancePre<WasiCtx>,
    run: impl FnOnce(&mut Store<WasiCtx>, Instance) -> Result<u8>,
) -> Result<ExitCode> {
    let name = || args.file.file_name().unwrap_or(args.file.as_os_str());
    let argv0 = args.argv0.clone();
    let argv0 = argv0.unwrap_or_else(|| name().to_string_lossy().into_owned());
    let builder = args.grants.builder()?.inherit_stdio();
    let builder = builder.max_open_files(open_files::raise());
    let context = builder.arg(argv0).args(&args.args).build();
    let mut store = Store::new(linked.component().engine(), context);
    if let Some(bytes) = args.max_memory {
        let mut limits = StoreLimits::new();
        limits.memory_size(bytes);
        store.set_limits(limits);
    }
    store.keep_failed_instances(args.coredump.is_some());
    let profiling = Profiling::start(&args.profile, &args.file)?;
    if let Some(profiling) = &profiling {
        profiling.end_on_signals()?;
    }
    let _timeout = args.timeout.map(|limit| {
        let profiling = profiling.clone();
        Timeout::start(limit, move || {
            if let Some(profiling) = profiling {
                profiling.end();
            }
        })
    });
    let _timeout = _timeout.transpose()?;
    end_with_a_broken_pipe();
    let component = linked.component();
    let result = wait(component, linked.instantiate_async(&mut store));
    let result = result.and_then(|instance| run(&mut store, instance));
    if let Some(profiling) = profiling {
        profiling.end();
    }
    let code = match result {
        Ok(code) => code,
        Err(error) => match error.downcast_ref::<Exit>() {
            Some(exit) => exit.code,
            None => {
                if let Some(to) = &args.coredump {
                    coredump::write(&store, &error, &args.file, to);
                }
                return Err(error);
            }
        },
    };
    // The system takes back at once what it would take long to take apart.
    process::exit(code.into())
}

fn run_program(store: &mut Store<WasiCtx>, instance: Instance) -> Result<u8> {
    let program = Command::new(&mut *store, &instance)?;
    match program.wasi_cli_run().call_run(store)? {
        Ok(()) => Ok(0),
        Err(()) => Ok(1),
    }
}

fn run_program_p3(store: &mut Store<WasiCtx>, instance: Instance) -> Result<u8> {
    let program = p3::Command::new(&mut *store, &instance)?;
    match p3::block_on(program.run(store, |wasi| wasi))? {
        Ok(()) => Ok(0),
        Err(()) => Ok(1),
    }
}

async fn invoke(
    store: &mut Store<WasiCtx>,
    instance: Instance,
    call: &Call<'_>,
    (name, has_result): (&str, bool),
) -> Result<u8> {
    let func = instance
        .get_func(&mut *store, name)
        .ok_or_else(|| Error::msg(format!("`{name}` cannot be called")))?;
    let func_type = func.ty(&*store)?;
    let params = call.params(&func_type)?;
    let mut results = vec![Val::Bool(false); usize::from(has_result)];
    match func.call_async(&mut *store, &params, &mut results).await {
        Ok(()) => p3::finish(store, |wasi| wasi).await?,
        Err(error) => {
            p3::written(store, |wasi| wasi).await;
            return Err(error);
        }
    }
    if let (Some(value), Some(ty)) = (results.pop(), func_type.results().next()) {
        output::print(&format!("{}\n", value::text(value, &ty)?))?;
    }
    Ok(0)
}

/// Ends the process when it writes to a pipe that nobody reads, as native programs end. Rust's
/// programs ignore the signal, unless they choose otherwise.
fn end_with_a_broken_pipe() {
    // SAFETY: the default action needs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
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
