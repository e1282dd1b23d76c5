//! The target: Cranelift's settings for a triple, CPU level and optimisation level, and all that
//! depends on the architecture ([`Arch`], one file each).

mod x86_64;

use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::ir::Opcode;
use cranelift_codegen::isa::{self, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cwasm_format::cpu::CpuLevel;
use gimli::write::{CommonInformationEntry, FrameDescriptionEntry};
use target_lexicon::Triple;

use crate::error::{Error, Result};
use crate::ir::saved::Saved;
use crate::options::{DEFAULT_TARGET, Debug, OptLevel, Options};

/// The architectures that are supported.
static ARCHS: &[&Arch] = &[&x86_64::ARCH];

/// All that depends on the architecture, besides Cranelift's choice of instructions.
pub(crate) struct Arch {
    architecture: target_lexicon::Architecture,
    /// The number, in headers of artifacts, of this architecture with Linux.
    linux: u32,
    /// Alignment of functions in bytes.
    pub(crate) function_align: u32,
    /// Fills the space between functions: instructions that trap.
    pub(crate) padding: &'static [u8],
    /// Log2 of the distance in bytes between two probes of a large frame: a page, the smallest
    /// guard region at the end of a stack.
    probe_log2: &'static str,
    /// Cranelift's flags for a CPU level.
    cpu_flags: fn(CpuLevel) -> Vec<String>,
    /// See [`swizzle`].
    swizzle: fn(&dyn TargetIsa) -> Option<Opcode>,
    /// Resolves a relocation: writes the distance from the instruction at this offset of the code
    /// to its target, in the form of this kind. Fails if the distance is too long.
    pub(crate) relocate: fn(&mut [u8], u32, Reloc, i64) -> Result<()>,
    /// Makes code shorter, and aligns its loops if the flag says so. `None` if it stays as it is.
    pub(crate) relax: fn(&MachineCode<'_>, bool) -> Option<Relaxed>,
    /// What debuggers must know of all frames.
    pub(crate) common_frame: fn(gimli::Encoding) -> CommonInformationEntry,
    /// What they must know of those of a function, by its address, its code and what it saves.
    pub(crate) frame: fn(u64, &[u8], &Saved) -> FrameDescriptionEntry,
}

/// Machine code of a function, with the offsets in it that mean something, in order.
pub(crate) struct MachineCode<'c> {
    pub(crate) bytes: &'c [u8],
    /// The alignment that it needs.
    pub(crate) align: u32,
    /// Starts of basic blocks.
    pub(crate) blocks: &'c [u32],
    /// Instructions that may trap.
    pub(crate) traps: &'c [u32],
    /// Relocations.
    pub(crate) relocs: &'c [u32],
}

impl MachineCode<'_> {
    /// Whether a relocation is in a range.
    fn has_reloc(&self, start: u32, end: u32) -> bool {
        let first = self.relocs.partition_point(|reloc| *reloc < start);
        self.relocs.get(first).is_some_and(|reloc| *reloc < end)
    }

    /// Whether an offset, before which nothing goes on, is the start of code.
    fn is_code(&self, offset: u32) -> bool {
        self.blocks.binary_search(&offset).is_ok() || self.traps.binary_search(&offset).is_ok()
    }
}

/// Machine code that was made shorter.
pub(crate) struct Relaxed {
    pub(crate) bytes: Vec<u8>,
    /// Offsets before and after, in order. What is between two of them keeps its distance from the
    /// first one.
    pub(crate) moves: Vec<(u32, u32)>,
}

impl Relaxed {
    /// Where an offset of the old code is now.
    pub(crate) fn moved(&self, offset: u32) -> u32 {
        let after = self.moves.partition_point(|(old, _)| *old <= offset);
        match after.checked_sub(1).map(|place| self.moves[place]) {
            Some((old, new)) => new + (offset - old),
            None => offset,
        }
    }
}

/// The target that code is generated for.
pub(crate) struct Target {
    pub(crate) isa: OwnedTargetIsa,
    /// The same with the single-pass register allocator, whose work is linear. For functions beyond
    /// the budget of the backtracking one.
    pub(crate) single_pass: OwnedTargetIsa,
    pub(crate) arch: &'static Arch,
    /// The target's number in the header.
    pub(crate) number: u32,
    pub(crate) cpu_features: u64,
    /// Whether Cranelift may replace a load by a value that was stored or loaded before.
    pub(crate) alias_analysis: bool,
    pub(crate) opt: OptLevel,
    /// Whether it is kept where code comes from.
    pub(crate) debug: bool,
    /// Whether it is kept where values are.
    pub(crate) dwarf: bool,
    /// Whether all functions have their locals in the frame.
    pub(crate) locals_in_frame: bool,
    /// Whether `single_pass` is used for all functions.
    pub(crate) is_single_pass: bool,
}

impl Target {
    /// The alignment of functions whose code does not need a larger one.
    pub(crate) fn function_align(&self) -> u32 {
        match self.opt {
            OptLevel::Size => 1,
            OptLevel::None | OptLevel::Speed => self.arch.function_align,
        }
    }
}

/// The target that `options` ask for.
pub(crate) fn target(options: &Options) -> Result<Target> {
    let triple: Triple = options
        .target
        .parse()
        .map_err(|error| Error::option(format!("unknown target `{}`: {error}", options.target)))?;
    let is_linux = triple.operating_system == target_lexicon::OperatingSystem::Linux;
    let Some(arch) = arch_of(&triple).filter(|_| is_linux) else {
        let message = format!(
            "the target `{}` is not supported yet (supported: {DEFAULT_TARGET})",
            options.target
        );
        return Err(Error::option(message));
    };
    let mut builder = isa::lookup(triple)
        .map_err(|error| Error::option(format!("target `{}`: {error}", options.target)))?;
    for flag in (arch.cpu_flags)(options.cpu) {
        enable(&mut builder, &flag)?;
    }
    let finish = |settings: settings::Builder| {
        let isa = builder.finish(settings::Flags::new(settings));
        isa.map_err(|error| Error::option(format!("target `{}`: {error}", options.target)))
    };
    let mut single_pass = shared_settings(options, arch)?;
    set(&mut single_pass, "regalloc_algorithm", "single_pass")?;
    Ok(Target {
        isa: finish(shared_settings(options, arch)?)?,
        single_pass: finish(single_pass)?,
        arch,
        number: arch.linux,
        cpu_features: options.cpu.features(),
        alias_analysis: options.alias_analysis,
        opt: options.opt,
        debug: options.debug != Debug::None,
        dwarf: options.dwarf && options.debug != Debug::None,
        locals_in_frame: options.locals_in_frame,
        // Without optimisation register allocation is most of the time. In a single pass, values
        // are lost as soon as nothing needs them, and often before: not for who looks at variables.
        is_single_pass: options.single_pass || options.opt == OptLevel::None && !options.dwarf,
    })
}

/// The architecture of a target.
fn arch_of(triple: &Triple) -> Option<&'static Arch> {
    let mut archs = ARCHS.iter().copied();
    archs.find(|arch| arch.architecture == triple.architecture)
}

/// The CPU's own instruction, if it has one, that picks the bytes of a vector by a vector of
/// indices, and gives zero for those whose highest bit is set.
pub(crate) fn swizzle(isa: &dyn TargetIsa) -> Option<Opcode> {
    match arch_of(isa.triple()) {
        Some(arch) => (arch.swizzle)(isa),
        None => unreachable!("targets have architectures that are supported"),
    }
}

fn shared_settings(options: &Options, arch: &Arch) -> Result<settings::Builder> {
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
    // A trap finds the thunk that entered wasm, and a backtrace its frames, by frame pointers.
    enable(&mut builder, "preserve_frame_pointers")?;
    // A frame larger than the guard region is touched page by page.
    enable(&mut builder, "enable_probestack")?;
    set(&mut builder, "probestack_strategy", "inline")?;
    set(&mut builder, "probestack_size_log2", arch.probe_log2)?;
    // Results for which there are no registers are returned in memory.
    enable(&mut builder, "enable_multi_ret_implicit_sret")?;
    // Everything in the artifact is near enough to be reached relative to the instruction pointer;
    // with `is_pic` code would use a global offset table instead.
    set(&mut builder, "is_pic", "false")?;
    // Where blocks start, for `Arch::relax`.
    enable(&mut builder, "machine_code_cfg_info")?;
    // It changes nothing in the code.
    let unwind_info = if options.dwarf { "true" } else { "false" };
    set(&mut builder, "unwind_info", unwind_info)?;
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
