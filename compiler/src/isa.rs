//! The target: Cranelift's settings for a triple, CPU level and optimisation level.

use cranelift_codegen::isa::{self, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cwasm_format::cpu::CpuLevel;
use cwasm_format::header::TARGET_X86_64_LINUX;

use crate::error::{Error, Result};
use crate::options::{DEFAULT_TARGET, OptLevel, Options};

/// Alignment of functions: what instruction fetch likes, and vector constants behind the code need.
pub(crate) const FUNCTION_ALIGN: u32 = 16;

/// Log2 of the bytes between two probes of a large frame: the smallest guard region at the end of
/// a stack.
const PROBE_LOG2: &str = "12";

/// A target that code is generated for.
pub(crate) struct Target {
    pub(crate) isa: OwnedTargetIsa,
    /// The target's number in the header.
    pub(crate) number: u32,
    pub(crate) cpu_features: u64,
    /// Whether what memories hold may be known from accesses before.
    pub(crate) alias_analysis: bool,
}

/// The target that `options` ask for.
pub(crate) fn target(options: &Options) -> Result<Target> {
    let triple: target_lexicon::Triple = options
        .target
        .parse()
        .map_err(|error| Error::option(format!("unknown target `{}`: {error}", options.target)))?;
    let supported = triple.architecture == target_lexicon::Architecture::X86_64
        && triple.operating_system == target_lexicon::OperatingSystem::Linux;
    if !supported {
        let name = format!(
            "target `{}` (supported: {})",
            options.target, DEFAULT_TARGET
        );
        return Err(Error::unsupported(name, None));
    }
    let mut builder = isa::lookup(triple)
        .map_err(|error| Error::option(format!("target `{}`: {error}", options.target)))?;
    for flag in cpu_flags(options.cpu) {
        enable(&mut builder, flag)?;
    }
    let flags = settings::Flags::new(shared_settings(options)?);
    let isa = builder
        .finish(flags)
        .map_err(|error| Error::option(format!("target `{}`: {error}", options.target)))?;
    Ok(Target {
        isa,
        number: TARGET_X86_64_LINUX,
        cpu_features: options.cpu.features(),
        alias_analysis: options.alias_analysis,
    })
}

fn shared_settings(options: &Options) -> Result<settings::Builder> {
    let mut builder = settings::builder();
    let opt_level = match options.opt {
        OptLevel::None => "none",
        OptLevel::Speed => "speed",
        OptLevel::Size => "speed_and_size",
    };
    set(&mut builder, "opt_level", opt_level)?;
    set(
        &mut builder,
        "enable_verifier",
        if cfg!(debug_assertions) {
            "true"
        } else {
            "false"
        },
    )?;
    // Traps find the thunk that entered wasm, and backtraces their frames, by frame pointers.
    enable(&mut builder, "preserve_frame_pointers")?;
    // A frame larger than the guard region is touched page by page.
    enable(&mut builder, "enable_probestack")?;
    set(&mut builder, "probestack_strategy", "inline")?;
    set(&mut builder, "probestack_size_log2", PROBE_LOG2)?;
    // More results than there are registers go through memory.
    enable(&mut builder, "enable_multi_ret_implicit_sret")?;
    // Everything in the artifact is near, so that it is reached relative to the instruction
    // pointer; `is_pic` would go through a global offset table instead.
    set(&mut builder, "is_pic", "false")?;
    set(&mut builder, "unwind_info", "false")?;
    Ok(builder)
}

fn set(builder: &mut impl Configurable, name: &str, value: &str) -> Result<()> {
    builder
        .set(name, value)
        .map_err(|error| Error::option(format!("Cranelift setting {name}={value}: {error}")))
}

fn enable(builder: &mut impl Configurable, name: &str) -> Result<()> {
    builder
        .enable(name)
        .map_err(|error| Error::option(format!("Cranelift setting {name}: {error}")))
}

/// Cranelift's flags for the features of a level.
fn cpu_flags(level: CpuLevel) -> impl Iterator<Item = &'static str> {
    let names = [
        "has_sse3",
        "has_ssse3",
        "has_sse41",
        "has_sse42",
        "has_popcnt",
        "has_cmpxchg16b",
        "has_avx",
        "has_avx2",
        "has_bmi1",
        "has_bmi2",
        "has_fma",
        "has_lzcnt",
        "has_avx512f",
        "has_avx512dq",
        "has_avx512vl",
    ];
    let features = level.features();
    names
        .into_iter()
        .enumerate()
        .filter(move |(bit, _)| features & (1 << bit) != 0)
        .map(|(_, name)| name)
}

const _: () = assert!(cwasm_format::cpu::X86_64_FEATURES.len() == 15);
