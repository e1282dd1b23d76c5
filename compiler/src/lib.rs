//! Compiles WebAssembly components and core modules ahead of time into artifacts.
//!
//! ```text
//! bytes -> decode -> flatten -> layout ---> work list -> compile (parallel) -> link -> emit
//!          (validates)  Plan    UnitLayout  WorkList     Compiled              Text    bytes
//! ```
//!
//! Each stage takes the results of those before it and returns a new value. The same input and
//! options give the same bytes, whatever the number of threads.
#![warn(missing_docs)]

mod canon;
mod component;
mod core_types;
mod debug;
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
mod needs;
mod object;
mod options;
mod originals;
mod outline;
mod output;
mod pass_through;
mod plan;
#[cfg(feature = "preview1")]
pub mod preview1;
mod source;
mod stats;
mod translate;
mod work;

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use cwasm_format::header::Kind;

pub use cwasm_format::cpu::CpuLevel;
pub use error::{Error, ErrorKind, Need, Result};
pub use features::Features;
pub use options::{Bounds, DEFAULT_TARGET, Debug, Limits, OptLevel, Options, Progress};
pub use outline::{Outline, OutlineItem};
pub use output::write_file;
use plan::{ModuleId, Plan};
pub use source::FunctionSource;
pub use stats::{FunctionTiming, Stats};

/// Bytes of stack of a compiling thread. Only the part that is used takes memory.
const COMPILE_STACK_SIZE: usize = 16 << 20;

/// Bytes of input that keep a thread busy for longer than the thread takes to start.
const INPUT_PER_THREAD: usize = 256;

/// The first bytes of a WebAssembly binary.
const MAGIC: &[u8] = b"\0asm";

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
    /// The bytes of the output that [`Emit`] chooses.
    pub bytes: Vec<u8>,
    /// The bytes of the file of debug information, with [`Debug::Split`]. For core modules that the
    /// component exports there is none.
    pub debug: Option<Vec<u8>>,
    /// What could not be used of the input's debug information, and why.
    pub warnings: Vec<String>,
    /// Size, and time of compilation.
    pub stats: Stats,
}

/// Compiles the binary of a component or core module into an artifact.
///
/// # Errors
/// If the input is not valid, needs something that is not supported, or exceeds a limit; see
/// [`ErrorKind`].
pub fn compile(input: &[u8], options: &Options) -> Result<Output> {
    compile_with(input, options, Emit::Artifact, &|_| {})
}

/// As [`compile`], with a choice of the output. `progress` is called from the compiling threads.
///
/// # Errors
/// As [`compile`].
pub fn compile_with(
    input: &[u8],
    options: &Options,
    emit: Emit,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Output> {
    check_magic(input)?;
    pool(options, input.len())?.install(|| {
        let clock = Clock::new();
        features::check_tail_calls(input, options.features)
            .and_then(|()| stages(input, options, emit, progress, clock))
            .map_err(|error| needs::refusal(input, options.features, error))
    })
}

/// The kind, needs, imports and exports of a component or core module, and whether [`compile`]
/// would refuse it. Runs all checks except those in Cranelift.
///
/// # Errors
/// If the input is not valid WebAssembly, or an option cannot be served.
pub fn outline(input: &[u8], options: &Options) -> Result<Outline> {
    check_magic(input)?;
    pool(options, input.len())?.install(|| {
        let known = features::check_tail_calls(input, options.features)
            .and_then(|()| known(input, options))
            .map_err(|error| needs::refusal(input, options.features, error));
        outline::outline(input, known)
    })
}

/// The core function of index `index` in core instance `instance`, as the records of an artifact
/// that is compiled from `input` number them; `None` if there is no such function in the input.
///
/// # Errors
/// As [`compile`], as far as the input must be decoded.
pub fn function_source(
    input: &[u8],
    options: &Options,
    instance: u32,
    index: u32,
) -> Result<Option<FunctionSource>> {
    check_magic(input)?;
    pool(options, input.len())?.install(|| {
        with_plan(input, options, &mut Clock::new(), |front, _| {
            let modules = &front.modules[..front.in_input];
            Ok(source::find(front.plan, modules, instance, index))
        })
    })
}

/// Runs the stages before functions are compiled.
fn known(bytes: &[u8], options: &Options) -> Result<outline::Known> {
    with_plan(bytes, options, &mut Clock::new(), |front, _| {
        let modules: Vec<_> = front.modules.iter().collect();
        module::validate_bodies(&modules)?;
        needs::check_gc(bytes)?;
        layout::layout(front.kind, front.plan, front.modules, options)?;
        canon::adapter::Sharing::new(front.plan, options)?;
        match front.kind {
            Kind::Component => Ok(outline::Known::of_component(front.plan)),
            Kind::Module => outline::Known::of_module(&front.modules[0]),
        }
    })
}

/// Refuses text and other files by their first bytes, so that the error is not the parser's.
fn check_magic(input: &[u8]) -> Result<()> {
    match input.starts_with(MAGIC) {
        true => Ok(()),
        false => {
            let start: Vec<_> = input.iter().take(MAGIC.len()).collect();
            let message = format!(
                "found a file that starts with {start:02x?}, expected a binary, which starts with {:02x?}",
                MAGIC
            );
            Err(Error::invalid(message, 0))
        }
    }
}

/// Threads to compile with: no more than the machine has processors, as each is busy, and no more
/// than a small input has work for.
fn pool(options: &Options, input_len: usize) -> Result<rayon::ThreadPool> {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = options.jobs.map_or(processors, NonZeroUsize::get);
    let threads = threads
        .min(processors)
        .min(1 + input_len / INPUT_PER_THREAD);
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .stack_size(COMPILE_STACK_SIZE)
        .build()
        .map_err(|error| Error::option(format!("cannot start {threads} threads: {error}")))
}

fn stages(
    bytes: &[u8],
    options: &Options,
    emit: Emit,
    progress: &(dyn Fn(Progress) + Sync),
    mut clock: Clock,
) -> Result<Output> {
    let target = isa::target(options)?;
    let stages = with_plan(bytes, options, &mut clock, |front, clock| {
        let stage = Stage {
            modules: front.modules,
            options,
            target: &target,
            debug: options.debug,
            progress,
        };
        let (exported, mut timings) = match emit {
            Emit::Clif => Default::default(),
            Emit::Artifact | Emit::Object => stage.exported_modules(front.plan)?,
        };
        if !exported.is_empty() {
            clock.end("modules");
        }
        let mut output = stage.unit(front.kind, front.plan, &exported, emit, clock)?;
        timings.append(&mut output.stats.timings);
        output.stats.timings = timings;
        Ok(output)
    });
    let mut output = stages?;
    output.stats.stages = clock.stages;
    Ok(output)
}

/// A decoded and flattened input.
struct Front<'s, 'a> {
    kind: Kind,
    plan: &'s Plan,
    /// The modules of the input, and those that stand for others.
    modules: &'s [module::Module<'a>],
    /// How many modules the input has: they come first.
    in_input: usize,
}

/// Decodes and flattens an input, and calls `then` with the result.
fn with_plan<T>(
    bytes: &[u8],
    options: &Options,
    clock: &mut Clock,
    then: impl FnOnce(Front<'_, '_>, &mut Clock) -> Result<T>,
) -> Result<T> {
    let decoded = decode::decode(bytes, options.features)?;
    let mut modules = decoded.modules;
    let in_input = modules.len();
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
    let front = Front {
        kind,
        plan: &plan,
        modules: &modules,
        in_input,
    };
    then(front, clock)
}

/// Everything that is common to the units of an input.
struct Stage<'s, 'a> {
    modules: &'s [module::Module<'a>],
    options: &'s Options,
    target: &'s isa::Target,
    debug: Debug,
    progress: &'s (dyn Fn(Progress) + Sync),
}

impl Stage<'_, '_> {
    /// The artifacts of the modules of the input that the component exports, and the times of their
    /// functions.
    fn exported_modules(
        &self,
        plan: &Plan,
    ) -> Result<(Vec<emit::parts::ExportedModule>, Vec<FunctionTiming>)> {
        let mut clock = Clock::new();
        let embedded = Stage {
            // A file of its own is the component's.
            debug: match self.debug {
                Debug::Split => Debug::None,
                debug => debug,
            },
            ..*self
        };
        let mut timings = Vec::new();
        let found = plan.exported_modules(self.modules).into_iter();
        let compile = |id| {
            let plan = Plan::of_module(id);
            let mut output = embedded.unit(Kind::Module, &plan, &[], Emit::Artifact, &mut clock)?;
            timings.append(&mut output.stats.timings);
            Ok(emit::parts::ExportedModule {
                id,
                bytes: output.bytes,
            })
        };
        let exported = found.map(compile).collect::<Result<_>>()?;
        Ok((exported, timings))
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
            debug,
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
            is_timed: options.time,
        };
        if emit == Emit::Clif {
            let bytes = work::clif(&list, job)?.into_bytes();
            let functions = list.entries.len();
            return Ok(Output {
                bytes,
                debug: None,
                warnings: Vec::new(),
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
            debug,
        };
        let emitted = match emit {
            Emit::Object => emit::Emitted {
                bytes: object::emit(&parts)?,
                ..emit::Emitted::default()
            },
            _ => emit::emit(&parts)?,
        };
        clock.end("emit");
        let stats = Stats {
            functions: compiled.functions.len(),
            code_size: compiled.code_size(),
            single_pass: compiled.single_pass(),
            stages: Vec::new(),
            timings: match options.time {
                true => emit::timings(&parts),
                false => Vec::new(),
            },
        };
        Ok(Output {
            bytes: emitted.bytes,
            debug: emitted.debug,
            warnings: emitted.warnings,
            stats,
        })
    }
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
