//! How to compile.

use std::num::NonZeroUsize;

use cwasm_format::cpu::CpuLevel;

use crate::features::Features;

/// The target that is compiled for by default.
pub const DEFAULT_TARGET: &str = "x86_64-unknown-linux-gnu";

/// How to compile.
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
    /// Whether names and symbols of functions are kept.
    pub debug: bool,
    /// Whether code checks, in loops and calls, if the host wants it to stop.
    pub interruptible: bool,
    /// How accesses are kept inside of memories with 32-bit addresses and usual pages.
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

/// How generated code is optimised.
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

/// How accesses are kept inside of a linear memory with 32-bit addresses and pages of at least 4 KiB.
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

/// How far compilation is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Functions compiled.
    pub done: usize,
    /// Functions in all.
    pub total: usize,
}
