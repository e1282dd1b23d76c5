//! The options of compilation.

use std::num::NonZeroUsize;

use cwasm_format::cpu::CpuLevel;

use crate::features::Features;

/// The target that is compiled for by default.
pub const DEFAULT_TARGET: &str = "x86_64-unknown-linux-gnu";

/// The options of compilation.
#[derive(Clone, Debug)]
pub struct Options {
    /// The target triple. Only [`DEFAULT_TARGET`] is supported yet.
    pub target: String,
    /// The CPU level: never the build machine's own.
    pub cpu: CpuLevel,
    /// How generated code is optimised.
    pub opt: OptLevel,
    /// The proposals that the input may use.
    pub features: Features,
    /// Threads to compile with, at most one for each processor; `None` for all processors.
    pub jobs: Option<NonZeroUsize>,
    /// What is kept for backtraces and profilers. Machine code does not depend on it.
    pub debug: Debug,
    /// Whether there is also DWARF for native debuggers, made from that of the input, with the
    /// places of variables as far as they are known. Code keeps the context for that, and is a
    /// little slower. Of no effect with [`Debug::None`].
    pub dwarf: bool,
    /// Whether the time that each function takes is measured, for
    /// [`Stats::timings`](crate::Stats::timings).
    pub time: bool,
    /// Whether code checks, in loops and calls, whether the host wants it to stop.
    pub interruptible: bool,
    /// How accesses to memories with 32-bit addresses and usual pages are kept in bounds.
    pub bounds: Bounds,
    /// Limits on things that a small component can multiply.
    pub limits: Limits,
    /// Whether loads may be replaced by values that were stored or loaded before. Switched off to
    /// test that it changes nothing.
    #[doc(hidden)]
    pub alias_analysis: bool,
    /// Whether all functions are compiled as those beyond their budget, with their locals in the
    /// frame. To test that it changes nothing.
    #[doc(hidden)]
    pub locals_in_frame: bool,
    /// As `locals_in_frame`, with registers allocated in a single pass.
    #[doc(hidden)]
    pub single_pass: bool,
    /// The most parts of types that a function of an adapter copies without calling another. A
    /// lower number only changes the code.
    #[doc(hidden)]
    pub inline_parts: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            target: DEFAULT_TARGET.to_owned(),
            cpu: CpuLevel::default(),
            opt: OptLevel::default(),
            features: Features::default(),
            jobs: None,
            debug: Debug::default(),
            dwarf: false,
            time: false,
            interruptible: false,
            bounds: Bounds::default(),
            limits: Limits::default(),
            alias_analysis: true,
            locals_in_frame: false,
            single_pass: false,
            inline_parts: 256,
        }
    }
}

/// Limits on things that a small component can multiply. Time and memory of compilation are linear
/// in each. A component beyond a limit is refused with an error that names the limit.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Core instances, those of nested components included.
    pub core_instances: u32,
    /// Component instances, nested ones included.
    pub component_instances: u32,
    /// Parts of the types of all calls between components: fields, cases and elements. A large type
    /// counts once for each pair of instances that it passes between.
    pub adapter_parts: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            core_instances: 16_384,
            component_instances: 16_384,
            adapter_parts: 1_000_000,
        }
    }
}

/// What is kept for backtraces and profilers: names and symbols of functions, and where machine
/// code comes from. If the input has DWARF, that is its lines, else offsets in core modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Debug {
    /// Nothing.
    #[default]
    None,
    /// All of it, in the artifact. It is read only when somebody asks.
    Inside,
    /// All of it, in a file of its own ([`Output::debug`](crate::Output::debug)), which belongs
    /// beside the artifact with `.debug` added to its name. Both have the same build id.
    Split,
}

/// How generated code is optimised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OptLevel {
    /// No optimisation, and registers allocated in a single pass: compiles fastest.
    None,
    /// For speed.
    #[default]
    Speed,
    /// For speed where that costs no space: functions are not aligned, and nothing is inlined or
    /// unrolled. Cranelift optimises a function's IR as for speed.
    Size,
}

/// How accesses to a linear memory with 32-bit addresses and pages of at least 4 KiB are kept in
/// bounds. Accesses to other memories are always compared with the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Bounds {
    /// By inaccessible pages: each memory reserves all the address space that an address can reach,
    /// 4 GiB and a guard, and accesses are not checked.
    #[default]
    Guard,
    /// By comparing each access with the memory's size: slower, but a memory reserves little more
    /// than its maximum, and less if the host has less address space.
    Check,
}

/// The progress of compilation.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Functions compiled.
    pub done: usize,
    /// Functions in all.
    pub total: usize,
}
