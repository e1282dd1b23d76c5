//! The component that a command is asked to run or look at.
#![allow(
    unsafe_code,
    reason = "the user asks for the artifact's code to be run"
)]

use std::path::Path;

use cwasm::types::{ComponentFunc, Type};
use cwasm::{Component, Engine, Error, FormatError, InstancePre, Linker, Module, Result};
use cwasm_compiler::{ErrorKind, Options};
use cwasm_wasi::WasiCtx;

use crate::args::BuildLimits;
use crate::input::{self, Input, Kind, Name};
use crate::limits::Limits;
use crate::{output, wasi};

/// The artifact that a command was asked to load.
enum Source<'a> {
    File(&'a Path),
    Bytes(Name<'a>, Vec<u8>),
}

impl Source<'_> {
    /// An artifact as it is; anything else compiled.
    fn read<'a>(file: &'a Path, limits: &BuildLimits, options: &Options) -> Result<Source<'a>> {
        let _watched = Limits::start(limits)?;
        let input = Input::open(file)?;
        let name = input.name;
        if input.kind() == Kind::Artifact && input.is_named_file() {
            return Ok(Source::File(file));
        }
        let artifact = match input.kind() {
            Kind::Artifact => input.read()?,
            Kind::Wasm | Kind::Text => {
                let wasm = input.read_program(limits.text_limit)?;
                let compiled = cwasm_compiler::compile(&wasm, options);
                compiled.map_err(|error| cannot_compile(name, error))?.bytes
            }
        };
        Ok(Source::Bytes(name, artifact))
    }

    fn component(&self, engine: &Engine) -> Result<Component> {
        match self {
            // SAFETY: whoever runs the command vouches for the file, as callers of `Component::map`
            // must: it is trusted, and nobody changes it in place. The command's help says so.
            Source::File(file) => unsafe { Component::map(engine, file) },
            // SAFETY: the bytes are what the compiler just made, or an artifact that the command
            // was asked to run, as above.
            Source::Bytes(name, artifact) => unsafe { Component::from_bytes(engine, artifact) }
                .map_err(|error| error.context(format!("cannot load {name}"))),
        }
    }

    fn module(&self, engine: &Engine) -> Result<Module> {
        match self {
            // SAFETY: as in `component`.
            Source::File(file) => unsafe { Module::map(engine, file) },
            // SAFETY: as in `component`.
            Source::Bytes(name, artifact) => unsafe { Module::from_bytes(engine, artifact) }
                .map_err(|error| error.context(format!("cannot load {name}"))),
        }
    }
}

/// Why an input cannot be compiled, and how else it can.
fn cannot_compile(name: Name<'_>, error: cwasm_compiler::Error) -> Error {
    let error = match error.kind() {
        ErrorKind::Disabled { feature, .. } => Error::msg(format!(
            "{error}; `cwasm compile --feature {feature}` switches it on"
        )),
        _ => error.into(),
    };
    input::cannot_compile(name, error)
}

/// Maps an artifact; compiles and loads anything else.
pub(crate) fn open(
    engine: &Engine,
    file: &Path,
    limits: &BuildLimits,
    options: &Options,
) -> Result<Component> {
    Source::read(file, limits, options)?.component(engine)
}

/// A component or a core module.
pub(crate) enum Loaded {
    Component(Component),
    Module(Module),
}

/// As [`open`]; also of a core module.
pub(crate) fn open_any(
    engine: &Engine,
    file: &Path,
    limits: &BuildLimits,
    options: &Options,
) -> Result<Loaded> {
    let source = Source::read(file, limits, options)?;
    match source.component(engine) {
        Ok(component) => Ok(Loaded::Component(component)),
        Err(error) => match error.format_error() {
            Some(FormatError::WrongKind { .. }) => source.module(engine).map(Loaded::Module),
            _ => Err(error),
        },
    }
}

/// Maps an artifact that the command was asked to run, or has made itself.
pub(crate) fn map(engine: &Engine, artifact: &Path) -> Result<Component> {
    // SAFETY: as in `Source::component`.
    unsafe { Component::map(engine, artifact) }
}

/// A component with the imports that the command gives it: WASI, `log` at the root, and for all
/// others a function that fails when it is called.
pub(crate) fn linked(engine: &Engine, component: &Component) -> Result<InstancePre<WasiCtx>> {
    linked_with(engine, component, output::note)
}

/// As [`linked`], with what is done with a message that `log` is given.
pub(crate) fn linked_with(
    engine: &Engine,
    component: &Component,
    note: fn(&str),
) -> Result<InstancePre<WasiCtx>> {
    let mut linker = Linker::new(engine);
    wasi::add_needed(&mut linker, component)?;
    let has_log = component.imports().any(|(name, _)| name == "log");
    let log = match has_log {
        true => component.get_import("log")?.and_then(|log| log.func),
        false => None,
    };
    if log.is_some_and(|ty| is_log(&ty)) {
        linker
            .root()
            .func_wrap("log", move |_, (message,): (String,)| {
                note(&message);
                Ok(())
            })?;
    }
    // Usually all is there.
    if let Ok(linked) = linker.instantiate_pre(component) {
        return Ok(linked);
    }
    linker.define_unknown_imports_as_traps(component)?;
    linker.instantiate_pre(component)
}

/// Whether it is `func(message: string)`, whatever the parameter's name.
fn is_log(ty: &ComponentFunc) -> bool {
    ty.params().map(|(_, ty)| ty).eq([Type::String]) && ty.results().len() == 0
}
