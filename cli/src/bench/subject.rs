//! What is measured: an artifact, and the call that is made in each of its instances.

use std::path::{Path, PathBuf};
use std::time::Instant;

use cwasm::{
    Component, Engine, Error, Func, Instance, InstancePre, Result, Store, StoreLimits, Val,
};
use cwasm_compiler::Options;
use cwasm_wasi::{Command, Exit, WasiCtx};
use tempfile::TempDir;

use crate::args::{BenchArgs, default_options};
use crate::input::{self, Input, Kind, Name};
use crate::invoke::{self, Call};
use crate::limits::Limits;
use crate::load;
use crate::run::WASI_RUN;
use crate::surface::{Surface, functions};

/// An artifact that is there for as long as this is.
pub(super) struct Artifact {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// How long compiling took, in milliseconds, if it was compiled.
    pub(super) compile_ms: Option<f64>,
    _folder: Option<TempDir>,
}

impl Artifact {
    /// The artifact of a file, compiled as `run` compiles.
    pub(super) fn of(file: &Path, args: &BenchArgs) -> Result<Artifact> {
        let watched = Limits::start(&args.limits)?;
        let input = Input::open(file)?;
        if input.kind() == Kind::Artifact && input.is_named_file() {
            return Artifact::at(file.to_owned(), None, None);
        }
        let name = input.name;
        let (bytes, compile_ms) = match input.kind() {
            Kind::Artifact => (input.read()?, None),
            Kind::Wasm | Kind::Text => {
                let wasm = input.read_program(args.limits.text_limit)?;
                let options = Options {
                    debug: cwasm_compiler::Debug::Inside,
                    ..default_options()
                };
                let start = Instant::now();
                let compiled = cwasm_compiler::compile(&wasm, &options)
                    .map_err(|error| input::cannot_compile(name, error))?;
                (compiled.bytes, Some(start.elapsed().as_secs_f64() * 1e3))
            }
        };
        drop(watched);
        let folder = tempfile::tempdir().map_err(|error| {
            Error::from(error).context("cannot make a folder for the artifact (TMPDIR)")
        })?;
        let path = folder.path().join("bench.cwasm");
        cwasm_compiler::write_file(&path, &bytes)?;
        // Pages that are not written yet cannot leave the page cache.
        std::fs::File::open(&path)?.sync_all()?;
        Artifact::at(path, compile_ms, Some(folder))
    }

    fn at(path: PathBuf, compile_ms: Option<f64>, folder: Option<TempDir>) -> Result<Artifact> {
        Ok(Artifact {
            bytes: path.metadata()?.len(),
            path,
            compile_ms,
            _folder: folder,
        })
    }
}

/// What is called in each instance.
pub(super) enum Target {
    /// A program's `run`. Programs may be run once only in an instance.
    Program,
    Func {
        path: String,
        params: Vec<Val>,
        results: usize,
    },
    /// Instances are made only.
    Nothing,
}

/// A target, as it was found in an instance.
pub(super) enum Callee {
    Program(Command),
    Func(Func),
    Nothing,
}

impl Target {
    /// What the command line asks to call.
    ///
    /// # Errors
    /// If there is no such function, or it takes other arguments.
    pub(super) fn find(component: &Component, args: &BenchArgs, file: &Path) -> Result<Target> {
        let Some(call) = &args.invoke else {
            let mut exports = component.exports();
            return Ok(match exports.any(|(name, _)| name.starts_with(WASI_RUN)) {
                true => Target::Program,
                false => Target::Nothing,
            });
        };
        let call = Call::parse(call)?;
        let description = component.describe()?;
        let artifact = component.artifact();
        let surface = Surface::of_artifact(&artifact, description);
        let (path, _) = invoke::find(&call, &functions(&surface.exports))
            .map_err(|error| error.context(format!("cannot call into {}", Name(file))))?;
        let func = component.get_export(path)?.and_then(|export| export.func);
        let func = func.ok_or_else(|| Error::msg(format!("`{path}` cannot be called")))?;
        Ok(Target::Func {
            path: path.to_owned(),
            params: call.params(&func)?,
            results: func.results().len(),
        })
    }

    /// Whether an instance can be called again.
    pub(super) fn is_repeated(&self) -> bool {
        matches!(self, Target::Func { .. })
    }

    pub(super) fn look_up(
        &self,
        store: &mut Store<WasiCtx>,
        instance: &Instance,
    ) -> Result<Callee> {
        Ok(match self {
            Target::Program => Callee::Program(Command::new(store, instance)?),
            Target::Func { path, .. } => {
                let func = instance.get_func(store, path.as_str());
                let missing = || Error::msg(format!("`{path}` cannot be called"));
                Callee::Func(func.ok_or_else(missing)?)
            }
            Target::Nothing => Callee::Nothing,
        })
    }

    /// Calls it; a program's exit is an end like any other.
    pub(super) fn call(&self, store: &mut Store<WasiCtx>, callee: &Callee) -> Result<()> {
        match (self, callee) {
            (
                Target::Func {
                    params, results, ..
                },
                Callee::Func(func),
            ) => {
                let mut results = vec![Val::Bool(false); *results];
                func.call(store, params, &mut results)
            }
            (_, Callee::Program(program)) => match program.wasi_cli_run().call_run(store) {
                Err(error) if error.downcast_ref::<Exit>().is_none() => Err(error),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

/// What all runs of an artifact share.
pub(super) struct Subject<'a> {
    pub(super) artifact: &'a Path,
    /// The file as the user named it.
    pub(super) file: &'a Path,
    pub(super) target: Target,
    pub(super) args: &'a BenchArgs,
}

impl Subject<'_> {
    /// A component with its imports. Messages to `log` are dropped, as all output is.
    pub(super) fn link(
        &self,
        engine: &Engine,
        component: &Component,
    ) -> Result<InstancePre<WasiCtx>> {
        load::linked_with(engine, component, |_| {})
    }

    /// A new store, and an instance in it.
    pub(super) fn instantiate(
        &self,
        linked: &InstancePre<WasiCtx>,
    ) -> Result<(Store<WasiCtx>, Instance)> {
        let name = self.file.file_name().unwrap_or(self.file.as_os_str());
        let builder = self.args.grants.builder()?;
        let builder = builder.arg(name.to_string_lossy()).args(&self.args.args);
        let mut store = Store::new(linked.component().engine(), builder.build());
        if let Some(bytes) = self.args.max_memory {
            let mut limits = StoreLimits::new();
            limits.memory_size(bytes);
            store.set_limits(limits);
        }
        let instance = linked.instantiate(&mut store)?;
        Ok((store, instance))
    }

    /// Makes an instance, calls it, and drops it.
    pub(super) fn serve(&self, linked: &InstancePre<WasiCtx>) -> Result<()> {
        let (mut store, instance) = self.instantiate(linked)?;
        let callee = self.target.look_up(&mut store, &instance)?;
        self.target.call(&mut store, &callee)
    }
}
