//! The command line.

use std::ffi::OsStr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PathBufValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueEnum};
use cwasm_compiler::{DEFAULT_TARGET, Features, OptLevel, Options};
use cwasm_format::cpu::CpuLevel;

use crate::grants::Grants;
use crate::symbolize;

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
    #[cfg(feature = "http")]
    Serve(ServeArgs),
    Inspect(InspectArgs),
    Symbolize(SymbolizeArgs),
    Bench(BenchArgs),
}

/// Compile a component or core module into an artifact.
#[derive(Debug, clap::Args)]
pub(crate) struct CompileArgs {
    /// The component or core module, binary or text (.wat); `-` is standard input.
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// Where to write, `-` for standard output. By default IN with the extension .cwasm (.o,
    /// .clif), or standard output if IN is standard input.
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// The machine to compile for.
    #[arg(long, value_name = "TRIPLE", default_value = DEFAULT_TARGET)]
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) code: CodeArgs,
    /// The kind of output.
    #[arg(long, value_name = "WHAT", value_enum, default_value = "artifact")]
    pub(crate) emit: Emit,
    /// Keep what backtraces and profilers need: names and symbols of functions, and the lines that
    /// code comes from, if the input has DWARF. `split` writes it to a file of its own beside the
    /// artifact, with `.debug` added to the name.
    #[arg(long, value_name = "WHERE", value_enum, num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "none", default_missing_value = "inside")]
    pub(crate) debug: Debug,
    /// Also write DWARF for native debuggers, made from that of the input: lines, functions, and
    /// where variables are. Code is a little slower. Implies --debug.
    #[arg(long)]
    pub(crate) dwarf: bool,
    /// Show what the time went to, by stage and by function, the slowest first.
    #[arg(long)]
    pub(crate) time: bool,
    /// With --time: print JSON, of all functions.
    #[arg(long, requires = "time")]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) limits: BuildLimits,
}

// What machine code depends on. (Documentation would become that of each command.)
#[derive(Debug, clap::Args)]
pub(crate) struct CodeArgs {
    /// The lowest CPU level that the code must run on.
    #[arg(long, value_name = "LEVEL", default_value = CpuLevel::default().name(), value_parser = cpu_level())]
    pub(crate) cpu: CpuLevel,
    /// The goal of optimisation.
    #[arg(short = 'O', value_name = "LEVEL", value_enum, default_value = "speed")]
    pub(crate) opt: Opt,
    /// Switch a WebAssembly proposal that the input may use on, or off with `-` before its name.
    /// All that are supported are on, but for component-model-async-stackful,
    /// component-model-more-async-builtins and component-model-error-context.
    #[arg(long = "feature", value_name = "[-]NAME", allow_hyphen_values = true, value_parser = feature)]
    pub(crate) features: Vec<Feature>,
    /// Threads to compile with, at most one for each processor; by default all processors.
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Let hosts stop the code while it runs.
    #[arg(long)]
    pub(crate) interruptible: bool,
    /// How accesses to linear memories are kept in bounds: `guard` reserves more than 4 GiB of
    /// address space for each memory, `check` compares each access with the memory's size.
    #[arg(long, value_name = "HOW", value_enum, default_value = "guard")]
    pub(crate) bounds: Bounds,
}

// Limits for builds of foreign code. (Documentation would become that of each command.)
#[derive(Debug, clap::Args)]
pub(crate) struct BuildLimits {
    /// Stop with an error if reading and compiling take longer: `10s`, `500ms`, `2m`. A call that
    /// `run` makes afterwards is not limited.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) time_limit: Option<Duration>,
    /// Stop with an error if reading and compiling need more heap at once: `500000000`, `512M`,
    /// `2G` (of 1024). Stacks of threads and the program itself are not counted.
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub(crate) memory_limit: Option<u64>,
    /// Refuse text (.wat) that is longer, as reading it may take time that grows with its square.
    /// Binaries have no such limit.
    #[arg(long, value_name = "BYTES", value_parser = size, default_value = "256K")]
    pub(crate) text_limit: u64,
}

// Profiles. (Documentation would become that of each command.)
#[derive(Debug, clap::Args)]
pub(crate) struct ProfileArgs {
    /// Write a profile of the guest's functions: `.json` (for profiler.firefox.com and
    /// speedscope.app), `.svg` (a flame graph), `.html` (a page with it) or `.folded` (a line for
    /// each stack). Artifacts have the names of functions if they were compiled with `--debug`.
    #[arg(long, value_name = "FILE", value_parser = profile_file())]
    pub(crate) profile: Option<PathBuf>,
    /// The time between samples of the profile: `1ms`, `0.5ms`.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1ms", requires = "profile")]
    pub(crate) profile_interval: Duration,
    /// The time that the profile measures: `cpu`, in which threads run, or `wall`, also that in
    /// which they wait.
    #[arg(
        long,
        value_name = "CLOCK",
        value_enum,
        default_value = "cpu",
        requires = "profile"
    )]
    pub(crate) profile_clock: ProfileClock,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ProfileClock {
    Cpu,
    Wall,
}

/// Run a program (a component that exports `wasi:cli/run`), or call a function of a component.
///
/// A program has the command's standard input, output and error, and its exit code becomes the
/// command's. It may use folders and the network only as far as the options say.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// An artifact, or a component (binary or .wat), which is compiled first; `-` is standard
    /// input.
    ///
    /// An artifact's machine code is run as it is: run only those that you trust.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The function to call with its arguments, in WAVE: 'greet("world")'.
    ///
    /// A function of an exported interface is named 'namespace:package/interface#function', or by
    /// its own name if no other export has it.
    #[arg(long, value_name = "CALL")]
    pub(crate) invoke: Option<String>,
    #[command(flatten)]
    pub(crate) grants: Grants,
    /// The program's name, its first argument; by default the file's.
    #[arg(long, value_name = "NAME")]
    pub(crate) argv0: Option<String>,
    /// The program's arguments.
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
    /// Stop the program if it takes longer: `10s`, `500ms`, `2m`.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// Let each memory of the program grow to at most so many bytes: `64M`, `2G`.
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub(crate) max_memory: Option<u64>,
    /// If the program traps, write its memories, globals and stack to this file, which debuggers of
    /// WebAssembly read. An artifact must have been compiled with `--debug` to have globals in it.
    #[arg(long, value_name = "CORE")]
    pub(crate) coredump: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    #[command(flatten)]
    pub(crate) limits: BuildLimits,
}

/// Answer HTTP requests by a component that exports `wasi:http/incoming-handler`.
///
/// Each request has an instance of its own. The server stops on SIGINT or SIGTERM: it takes no more
/// connections and answers the requests that it has; a second signal ends it at once.
#[cfg(feature = "http")]
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// An artifact, or a component (binary or .wat), which is compiled first; `-` is standard
    /// input.
    ///
    /// An artifact's machine code is run as it is: run only those that you trust.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The address to listen on; port 0 stands for any that is free.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) addr: std::net::SocketAddr,
    /// Requests that are answered at a time, each by an instance, unless --concurrent says
    /// otherwise.
    #[arg(long, value_name = "N", default_value = "256")]
    pub(crate) max_concurrent: NonZeroUsize,
    /// Requests that one instance answers, one after another, before it is dropped. More than one
    /// are for components of WASI 0.3 only.
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) reuse: NonZeroUsize,
    /// Requests that one instance answers at a time, of those of --reuse.
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) concurrent: NonZeroUsize,
    /// Requests that wait for an instance; more are answered by 503.
    #[arg(long, value_name = "N", default_value = "1024")]
    pub(crate) max_queued: usize,
    /// Connections at a time; more wait until others are closed.
    #[arg(long, value_name = "N", default_value = "4096")]
    pub(crate) max_connections: NonZeroUsize,
    /// The time for a request, from its head to the end of its response: `10s`, `500ms`, `2m`. An
    /// artifact must have been compiled with `--interruptible` to be stopped while it computes.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30s")]
    pub(crate) timeout: Duration,
    /// Let each memory of an instance grow to at most so many bytes: `64M`, `2G`.
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub(crate) max_memory: Option<u64>,
    /// Serve counters and a histogram of latencies at this address, path `/metrics`, in the text
    /// format of Prometheus.
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics: Option<std::net::SocketAddr>,
    /// Write a core dump to a file in this folder when an instance traps, as `run --coredump` does:
    /// its memories, globals and stack, with all secrets in them.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) coredumps: Option<PathBuf>,
    /// Core dumps that are written, at most.
    #[arg(long, value_name = "N", default_value = "10")]
    pub(crate) max_coredumps: usize,
    /// Write a line for each request to standard error.
    #[arg(long)]
    pub(crate) log: bool,
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    #[command(flatten)]
    pub(crate) grants: Grants,
    #[command(flatten)]
    pub(crate) limits: BuildLimits,
}

/// Show the kind, needs, imports and exports of a file, what takes its bytes, or its machine code.
#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    /// An artifact, which may be for another machine, or a component or core module (binary or
    /// .wat); `-` is standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Show what takes the bytes of the artifact: by use, core module, crate or namespace, and
    /// function. A component is compiled first, with `--debug`.
    #[arg(long)]
    pub(crate) sizes: bool,
    /// Count functions that differ in the arguments of generics or templates only as one.
    #[arg(long, requires = "sizes")]
    pub(crate) merge_generics: bool,
    /// The most rows of each table of --sizes.
    #[arg(long, value_name = "N", default_value = "20", requires = "sizes")]
    pub(crate) top: usize,
    /// Also write a page with a treemap of the sizes, which needs no other file.
    #[arg(long, value_name = "FILE", requires = "sizes")]
    pub(crate) html: Option<PathBuf>,
    /// Show the machine code of a function: its name, a part of one that no other has, its number
    /// (`#12`) or a text offset in it (`0x1a40`). A component is compiled first, with `--debug`.
    #[arg(long, value_name = "FUNC", conflicts_with = "sizes")]
    pub(crate) disassemble: Option<String>,
    /// What the artifact was compiled from: its operators are shown with the machine code.
    #[arg(long, value_name = "FILE", requires = "disassemble")]
    pub(crate) wasm: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) limits: BuildLimits,
}

/// Show where offsets in machine code come from: functions, source lines, offsets in WebAssembly.
///
/// Backtraces of artifacts without `--debug` have offsets only (`.text+0x1a40`). As machine code
/// does not depend on `--debug`, compiling the same component with the same options once more says
/// what they mean.
#[derive(Debug, clap::Args)]
pub(crate) struct SymbolizeArgs {
    /// An artifact that was compiled with `--debug`, or the component or core module (binary or
    /// .wat) that the artifact was compiled from.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The offsets; by default, standard input is copied, in which lines with `.text+OFFSET` say
    /// more.
    #[arg(value_name = "OFFSET", value_parser = symbolize::text_offset)]
    pub(crate) offsets: Vec<u32>,
    #[command(flatten)]
    pub(crate) code: CodeArgs,
    #[command(flatten)]
    pub(crate) limits: BuildLimits,
}

/// Measure what it takes to load, instantiate and call a component, and compare two.
///
/// The function that --invoke names is called, or a program is run: its output is discarded and its
/// input empty. It is called thousands of times, with all effects that it has.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// One or two files: artifacts, components (binary or .wat), which are compiled first, or what
    /// --json printed earlier (.json). Two are compared.
    ///
    /// An artifact's machine code is run as it is: run only those that you trust.
    #[arg(value_name = "FILE", required = true, num_args = 1..=2)]
    pub(crate) files: Vec<PathBuf>,
    /// The function to call with its arguments, in WAVE, as `run` takes it: 'greet("world")'.
    #[arg(long, value_name = "CALL")]
    pub(crate) invoke: Option<String>,
    /// How often each kind of run is made, if there is time.
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(crate) runs: NonZeroUsize,
    /// The time for each file, of which slow ones get fewer runs: `10s`, `500ms`, `2m`. No call is
    /// stopped, and each kind of run is made once.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "20s")]
    pub(crate) budget: Duration,
    /// Print JSON, with all samples.
    #[arg(long)]
    pub(crate) json: bool,
    /// Also write a page with plots, which needs no other file.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) grants: Grants,
    /// The program's arguments.
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
    /// Let each memory of an instance grow to at most so many bytes: `64M`, `2G`.
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub(crate) max_memory: Option<u64>,
    /// Make one run of this artifact and print its costs: what the command starts itself for.
    #[arg(long, value_name = "ARTIFACT", hide = true)]
    pub(crate) once: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) limits: BuildLimits,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Opt {
    None,
    Speed,
    Size,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Debug {
    None,
    Inside,
    Split,
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

impl Args {
    /// Reads the command line. What is not needed for the command that it names is not made: the
    /// options of all of them take as long as a small program runs.
    ///
    /// # Errors
    /// That it cannot be understood, or the help that it asks for.
    pub(crate) fn read() -> Result<Args, clap::Error> {
        fn only<A: clap::Args>(name: &'static str) -> Result<A, clap::Error> {
            let command = clap::Command::new(name).bin_name(format!("cwasm {name}"));
            let mut command = A::augment_args(command);
            let mut matches = command.try_get_matches_from_mut(std::env::args_os().skip(1))?;
            let args = A::from_arg_matches_mut(&mut matches);
            args.map_err(|error| error.format(&mut command))
        }
        let name = std::env::args_os().nth(1);
        let command = match name.as_deref().and_then(OsStr::to_str) {
            Some("run") => Command::Run(only("run")?),
            #[cfg(feature = "http")]
            Some("serve") => Command::Serve(only("serve")?),
            Some("bench") => Command::Bench(only("bench")?),
            _ => return Args::try_parse(),
        };
        Ok(Args { command })
    }
}

impl CompileArgs {
    pub(crate) fn options(&self) -> Options {
        Options {
            target: self.target.clone(),
            dwarf: self.dwarf,
            debug: match self.debug {
                Debug::None if self.dwarf => cwasm_compiler::Debug::Inside,
                Debug::None => cwasm_compiler::Debug::None,
                Debug::Inside => cwasm_compiler::Debug::Inside,
                Debug::Split => cwasm_compiler::Debug::Split,
            },
            time: self.time,
            ..self.code.options()
        }
    }
}

impl CodeArgs {
    pub(crate) fn options(&self) -> Options {
        Options {
            cpu: self.cpu,
            opt: match self.opt {
                Opt::None => OptLevel::None,
                Opt::Speed => OptLevel::Speed,
                Opt::Size => OptLevel::Size,
            },
            features: self.features(),
            jobs: self.jobs,
            interruptible: self.interruptible,
            bounds: match self.bounds {
                Bounds::Guard => cwasm_compiler::Bounds::Guard,
                Bounds::Check => cwasm_compiler::Bounds::Check,
            },
            ..default_options()
        }
    }

    fn features(&self) -> Features {
        let mut features = default_options().features;
        for Feature { name, on } in &self.features {
            // The name is known, because it was parsed.
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

/// A proposal to switch on or off.
#[derive(Clone, Debug)]
pub(crate) struct Feature {
    name: String,
    on: bool,
}

/// The options of all commands: what WebAssembly has replaced is taken, too, because published
/// modules still use it.
pub(crate) fn default_options() -> Options {
    let mut options = Options::default();
    // The name is known.
    let _ = options.features.set("legacy-exceptions", true);
    options
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

/// A duration with its unit: `10s`, `1.5s`, `500ms`, `2m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| c.is_ascii_alphabetic());
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let scale = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("expected a number and its unit: ms, s, m or h".to_owned()),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| "expected a number before the unit")?;
    let limit = Duration::try_from_secs_f64(number * scale);
    match limit.map_err(|error| error.to_string())? {
        Duration::ZERO => Err("expected more than no time".to_owned()),
        limit => Ok(limit),
    }
}

/// A number of bytes: `1000000`, `64K`, `512M`, `2G`.
fn size(text: &str) -> Result<u64, String> {
    let (number, scale) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 1 << 10),
        Some((at, 'M' | 'm')) => (&text[..at], 1 << 20),
        Some((at, 'G' | 'g')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "expected a number of bytes, with K, M or G after it if you like")?;
    number
        .checked_mul(scale)
        .ok_or_else(|| "more bytes than can be counted".to_owned())
}

/// A file whose extension says the format of a profile.
fn profile_file() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match cwasm_profile::Format::of(&path) {
        Some(_) => Ok(path),
        None => {
            let known = cwasm_profile::Format::ALL.iter();
            let known: Vec<_> = known
                .map(|(extension, _)| format!(".{extension}"))
                .collect();
            Err(format!("expected a file that ends in {}", known.join(", ")))
        }
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

    #[test]
    fn durations_have_units() {
        for (text, millis) in [
            ("10s", 10_000),
            ("1.5s", 1500),
            ("500ms", 500),
            ("2m", 120_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "", "10", "s", "-1s", "0s", "1 d", "1e300h", "NaNs", "infs", "1ss",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_bytes() {
        for (text, bytes) in [
            ("0", 0),
            ("12", 12),
            ("64K", 65536),
            ("1m", 1 << 20),
            ("2G", 2 << 30),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "1.5G", "1T", "1 M", "99999999999G", "é"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
