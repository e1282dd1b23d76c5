//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueEnum};
use cwasm_compiler::{DEFAULT_TARGET, Features, OptLevel, Options};
use cwasm_format::cpu::CpuLevel;

/// Compiles WebAssembly components ahead of time, runs and inspects them.
#[derive(Debug, Parser)]
#[command(name = "cwasm", version, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Compile(CompileArgs),
    Run(RunArgs),
    Inspect(InspectArgs),
}

/// Compile a component or core module into an artifact.
#[derive(Debug, clap::Args)]
pub(crate) struct CompileArgs {
    /// The component or core module, binary or text (.wat).
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// Where to write; by default IN with the extension .cwasm (.o, .clif).
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// The machine to compile for.
    #[arg(long, value_name = "TRIPLE", default_value = DEFAULT_TARGET)]
    pub(crate) target: String,
    /// The lowest CPU that the code shall run on.
    #[arg(long, value_name = "LEVEL", default_value = CpuLevel::default().name(), value_parser = cpu_level())]
    pub(crate) cpu: CpuLevel,
    /// What to optimise for.
    #[arg(short = 'O', value_name = "LEVEL", value_enum, default_value = "speed")]
    pub(crate) opt: Opt,
    /// Switch a WebAssembly proposal that the input may use on, or off with `-` before its name;
    /// all that are supported are on.
    #[arg(long = "feature", value_name = "[-]NAME", allow_hyphen_values = true, value_parser = feature)]
    pub(crate) features: Vec<Feature>,
    /// Threads to compile with; by default all that the machine has.
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// What to write.
    #[arg(long, value_name = "WHAT", value_enum, default_value = "artifact")]
    pub(crate) emit: Emit,
    /// Keep the names and symbols of functions.
    #[arg(long)]
    pub(crate) debug: bool,
    /// Let hosts stop the code while it runs.
    #[arg(long)]
    pub(crate) interruptible: bool,
    /// What keeps accesses inside of linear memories: `guard` reserves more than 4 GiB of address
    /// space for each, `check` compares each access with the memory's size.
    #[arg(long, value_name = "HOW", value_enum, default_value = "guard")]
    pub(crate) bounds: Bounds,
}

/// Run a component, or call one of its functions.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// An artifact, or a component (binary or .wat), which is compiled first.
    ///
    /// An artifact's machine code is run as it is: run those only that you trust.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The function to call with its arguments, in WAVE: 'greet("world")'.
    ///
    /// A function of an exported interface is named 'namespace:package/interface#function', or by
    /// its own name if no other export has it.
    #[arg(long, value_name = "CALL")]
    pub(crate) invoke: Option<String>,
}

/// Show what an artifact is, needs and offers.
#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    /// The artifact; it may be for another machine.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Opt {
    None,
    Speed,
    Size,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Bounds {
    Guard,
    Check,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Emit {
    /// An artifact for the loader.
    Artifact,
    /// A relocatable object with the same functions.
    Obj,
    /// Cranelift's intermediate representation, as text.
    Clif,
}

impl CompileArgs {
    pub(crate) fn options(&self) -> Options {
        Options {
            target: self.target.clone(),
            cpu: self.cpu,
            opt: match self.opt {
                Opt::None => OptLevel::None,
                Opt::Speed => OptLevel::Speed,
                Opt::Size => OptLevel::Size,
            },
            features: self.features(),
            jobs: self.jobs,
            debug: self.debug,
            interruptible: self.interruptible,
            bounds: match self.bounds {
                Bounds::Guard => cwasm_compiler::Bounds::Guard,
                Bounds::Check => cwasm_compiler::Bounds::Check,
            },
            ..Options::default()
        }
    }

    fn features(&self) -> Features {
        let mut features = Features::default();
        for Feature { name, on } in &self.features {
            // Known, as it was parsed.
            let _ = features.set(name, *on);
        }
        features
    }
}

impl Emit {
    pub(crate) fn kind(self) -> cwasm_compiler::Emit {
        match self {
            Emit::Artifact => cwasm_compiler::Emit::Artifact,
            Emit::Obj => cwasm_compiler::Emit::Object,
            Emit::Clif => cwasm_compiler::Emit::Clif,
        }
    }

    pub(crate) fn extension(self) -> &'static str {
        match self {
            Emit::Artifact => "cwasm",
            Emit::Obj => "o",
            Emit::Clif => "clif",
        }
    }
}

/// A proposal to switch.
#[derive(Clone, Debug)]
pub(crate) struct Feature {
    name: String,
    on: bool,
}

fn feature(text: &str) -> Result<Feature, cwasm_compiler::Error> {
    let (name, on) = match text.strip_prefix('-') {
        Some(name) => (name, false),
        None => (text, true),
    };
    Features::default().set(name, on)?;
    Ok(Feature {
        name: name.to_owned(),
        on,
    })
}

fn cpu_level() -> impl TypedValueParser<Value = CpuLevel> {
    let names = CpuLevel::ALL.iter().map(|level| level.name());
    PossibleValuesParser::new(names).try_map(|name| CpuLevel::from_name(&name).ok_or("not a level"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory as _;
        Args::command().debug_assert();
    }
}
