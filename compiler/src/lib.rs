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

mod canon;
mod component;
mod core_types;
mod decode;
mod emit;
mod env;
mod error;
mod features;
mod ir;
mod isa;
mod layout;
mod link;
mod module;
mod object;
mod options;
mod output;
mod pass_through;
mod plan;
mod translate;
mod work;

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use cwasm_format::header::Kind;

pub use error::{Error, ErrorKind, Result};
pub use features::Features;
pub use options::{Bounds, DEFAULT_TARGET, Limits, OptLevel, Options, Progress};
pub use output::write_file;
use plan::{ModuleId, Plan};

/// Bytes of stack of a compiling thread: only what is used takes memory.
const COMPILE_STACK_SIZE: usize = 16 << 20;

/// The kind of output.
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

/// The result of compilation.
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
    /// Functions whose registers were allocated in a single pass, because the work of the usual
    /// allocator grows faster than their size: their code is slower.
    pub single_pass: usize,
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
    let (kind, plan) = match &decoded.component {
        Some(component) => (
            Kind::Component,
            component::flatten::flatten(component, &modules, &decoded.types, options.limits)?,
        ),
        None => (Kind::Module, Plan::of_module(ModuleId(0))),
    };
    let encoded = pass_through::encode(&plan);
    modules.extend(pass_through::modules(&encoded)?);
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

/// All that the units of an input are compiled with.
struct Stage<'s, 'a> {
    modules: &'s [module::Module<'a>],
    options: &'s Options,
    target: &'s isa::Target,
    progress: &'s (dyn Fn(Progress) + Sync),
}

impl Stage<'_, '_> {
    /// The artifacts of the modules of the input that the component exports.
    fn exported_modules(&self, plan: &Plan) -> Result<Vec<emit::parts::ExportedModule>> {
        let mut clock = Clock::new();
        let found = plan.exported_modules(self.modules).into_iter();
        let compile = |id| {
            let plan = Plan::of_module(id);
            let output = self.unit(Kind::Module, &plan, &[], Emit::Artifact, &mut clock)?;
            Ok(emit::parts::ExportedModule {
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
        plan: &Plan,
        exported: &[emit::parts::ExportedModule],
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
        let sharing = canon::adapter::Sharing::new(plan, options)?;
        let list = work::WorkList::new(&unit, plan);
        let job = work::Job {
            unit: &unit,
            plan,
            target,
            sharing: &sharing,
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
        let compiled = work::compile(&list, job, progress)?;
        clock.end("compile");
        let parts = emit::parts::Parts {
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
            functions: compiled.functions.len(),
            code_size: compiled.code_size(),
            single_pass: compiled.single_pass(),
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
