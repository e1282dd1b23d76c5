//! Compiles WebAssembly components and core modules ahead of time into artifacts.
//!
//! ```text
//! bytes -> decode -> flatten -> layout -> work list -> compile (parallel) -> link -> emit
//!          (validates)  Plan     Unit      WorkList     Compiled              Text    bytes
//! ```
//!
//! Each stage takes the results of those before it and returns a new value. The same input and
//! options give the same bytes, whatever the number of threads.
#![warn(missing_docs)]

mod barriers;
mod canon;
mod component;
mod constant;
mod core_types;
mod decode;
mod emit;
mod env;
mod error;
mod features;
mod image;
mod init;
mod inline;
mod isa;
mod layout;
mod link;
mod module;
mod object;
mod output;
mod translate;
mod work;

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use cwasm_format::cpu::CpuLevel;
use cwasm_format::header::Kind;

pub use error::{Error, ErrorKind, Result};
pub use features::Features;
pub use output::write_file;

/// The target that is compiled for by default.
pub const DEFAULT_TARGET: &str = "x86_64-unknown-linux-gnu";

/// Bytes of stack of a compiling thread: only what is used takes memory.
const COMPILE_STACK_SIZE: usize = 16 << 20;

/// How to compile.
#[derive(Clone, Debug)]
pub struct Options {
    /// The target triple. Only [`DEFAULT_TARGET`] is supported yet.
    pub target: String,
    /// The CPU level: never the build machine's own.
    pub cpu: CpuLevel,
    /// What generated code is optimised for.
    pub opt: OptLevel,
    /// The proposals that the input may use.
    pub features: Features,
    /// Threads to compile with; `None` for all that the machine has.
    pub jobs: Option<NonZeroUsize>,
    /// Whether names and symbols of functions are kept.
    pub debug: bool,
    /// Whether code checks, in loops and calls, if the host wants it to stop.
    pub interruptible: bool,
    /// What keeps accesses inside of memories with 32-bit addresses and usual pages.
    pub bounds: Bounds,
    /// Whether loads may be replaced by values that were stored or loaded before. On, except to test
    /// that it changes nothing.
    #[doc(hidden)]
    pub alias_analysis: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            target: DEFAULT_TARGET.to_owned(),
            cpu: CpuLevel::default(),
            opt: OptLevel::default(),
            features: Features::default(),
            jobs: None,
            debug: false,
            interruptible: false,
            bounds: Bounds::default(),
            alias_analysis: true,
        }
    }
}

/// What generated code is optimised for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OptLevel {
    /// Not at all: compiles fastest.
    None,
    /// Speed.
    #[default]
    Speed,
    /// Speed and size.
    Size,
}

/// What keeps accesses inside of a linear memory with 32-bit addresses and pages of at least 4 KiB.
/// Accesses to other memories are always compared with the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Bounds {
    /// Inaccessible pages: each memory reserves all that an address can reach, 4 GiB and a guard of
    /// address space, and accesses are not checked.
    #[default]
    Guard,
    /// Each access is compared with the memory's size: slower, but a memory reserves little more than
    /// its maximum, and less where the host has less.
    Check,
}

/// What to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Emit {
    /// An artifact for the loader.
    #[default]
    Artifact,
    /// A relocatable ELF object with the same functions.
    Object,
    /// Cranelift's intermediate representation as text, before it is optimised.
    Clif,
}

/// How far compilation is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Functions compiled.
    pub done: usize,
    /// Functions in all.
    pub total: usize,
}

/// What compilation made.
#[derive(Clone, Debug)]
pub struct Output {
    /// The bytes of what [`Emit`] asked for.
    pub bytes: Vec<u8>,
    /// How large it is and how long it took.
    pub stats: Stats,
}

/// Figures of one compilation.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Functions in the text: core functions, thunks, trampolines and adapters.
    pub functions: usize,
    /// Bytes of machine code.
    pub code_size: usize,
    /// Wall time of each stage, in order.
    pub stages: Vec<(&'static str, Duration)>,
}

/// Compiles a component or core module, binary or text, into an artifact.
///
/// # Errors
/// If the input is not valid, needs something that is not supported, or exceeds a limit; see
/// [`ErrorKind`].
pub fn compile(input: &[u8], options: &Options) -> Result<Output> {
    compile_with(input, options, Emit::Artifact, &|_| {})
}

/// As [`compile`], with a choice of what to make. `progress` is called from the compiling threads.
///
/// # Errors
/// As [`compile`].
pub fn compile_with(
    input: &[u8],
    options: &Options,
    emit: Emit,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Output> {
    let threads = options.jobs.map_or(0, NonZeroUsize::get);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .stack_size(COMPILE_STACK_SIZE)
        .build()
        .map_err(|error| Error::option(format!("cannot start {threads} threads: {error}")))?;
    pool.install(|| {
        let clock = Clock::new();
        let bytes = wat::parse_bytes(input).map_err(|error| text_error(&error))?;
        features::check_tail_calls(&bytes, options.features)
            .and_then(|()| stages(&bytes, options, emit, progress, clock))
            .map_err(|error| features::refusal(&bytes, options.features, error))
    })
}

fn stages(
    bytes: &[u8],
    options: &Options,
    emit: Emit,
    progress: &(dyn Fn(Progress) + Sync),
    mut clock: Clock,
) -> Result<Output> {
    let target = isa::target(options)?;
    let decoded = decode::decode(bytes, options.features)?;
    let mut modules = decoded.modules;
    for declared in &decoded.types.declared {
        modules.push(declared.module()?);
    }
    clock.end("decode");
    let (kind, mut plan) = match &decoded.component {
        Some(component) => (
            Kind::Component,
            component::flatten::flatten(component, &modules, &decoded.types)?,
        ),
        None => (
            Kind::Module,
            component::flatten::module_plan(component::ModuleId(0)),
        ),
    };
    let passages = component::passage::modules(&plan)?;
    component::passage::link(&mut plan, &passages, &mut modules)?;
    module::validate_bodies(&plan.unused(&modules))?;
    clock.end("flatten");
    let stage = Stage {
        modules: &modules,
        options,
        target: &target,
        progress,
    };
    let exported = match emit {
        Emit::Clif => Vec::new(),
        Emit::Artifact | Emit::Object => stage.exported_modules(&plan)?,
    };
    if !exported.is_empty() {
        clock.end("modules");
    }
    let mut output = stage.unit(kind, &plan, &exported, emit, &mut clock)?;
    output.stats.stages = clock.stages;
    Ok(output)
}

/// What all units of an input are compiled with.
struct Stage<'s, 'a> {
    modules: &'s [module::Module<'a>],
    options: &'s Options,
    target: &'s isa::Target,
    progress: &'s (dyn Fn(Progress) + Sync),
}

impl Stage<'_, '_> {
    /// The artifacts of the modules of the input that the component exports.
    fn exported_modules(&self, plan: &component::Plan) -> Result<Vec<emit::ExportedModule>> {
        let mut clock = Clock::new();
        let found = plan.exported_modules(self.modules).into_iter();
        let compile = |id| {
            let plan = component::flatten::module_plan(id);
            let output = self.unit(Kind::Module, &plan, &[], Emit::Artifact, &mut clock)?;
            Ok(emit::ExportedModule {
                id,
                bytes: output.bytes,
            })
        };
        found.map(compile).collect()
    }

    /// Lays out, compiles and emits a unit.
    fn unit(
        &self,
        kind: Kind,
        plan: &component::Plan,
        exported: &[emit::ExportedModule],
        emit: Emit,
        clock: &mut Clock,
    ) -> Result<Output> {
        let Stage {
            modules,
            options,
            target,
            progress,
        } = *self;
        let unit = layout::layout(kind, plan, modules, self.options)?;
        clock.end("layout");
        canon::adapter::check_sizes(plan)?;
        let mut list = work::WorkList::new(&unit, plan);
        let job = work::Job {
            unit: &unit,
            plan,
            target,
        };
        if emit == Emit::Clif {
            let bytes = work::clif(&list, job)?.into_bytes();
            let functions = list.entries.len();
            return Ok(Output {
                bytes,
                stats: Stats {
                    functions,
                    ..Stats::default()
                },
            });
        }
        let compiled = work::compile(&mut list, job, progress)?;
        clock.end("compile");
        let parts = emit::Parts {
            unit: &unit,
            plan,
            modules,
            exported,
            list: &list,
            compiled: &compiled,
            target,
            debug: options.debug,
        };
        let bytes = match emit {
            Emit::Object => object::emit(&parts)?,
            _ => emit::emit(&parts)?,
        };
        clock.end("emit");
        let stats = Stats {
            functions: compiled.len(),
            code_size: compiled.iter().map(|function| function.code.len()).sum(),
            stages: Vec::new(),
        };
        Ok(Output { bytes, stats })
    }
}

/// An error of the text parser, which reports line and column in its message.
fn text_error(error: &wat::Error) -> Error {
    Error::from(ErrorKind::Invalid {
        message: error.to_string(),
        offset: None,
    })
}

/// Times the stages.
struct Clock {
    last: Instant,
    stages: Vec<(&'static str, Duration)>,
}

impl Clock {
    fn new() -> Clock {
        Clock {
            last: Instant::now(),
            stages: Vec::new(),
        }
    }

    fn end(&mut self, stage: &'static str) {
        let now = Instant::now();
        self.stages.push((stage, now - self.last));
        self.last = now;
    }
}
