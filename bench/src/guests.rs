//! The components that are measured: most are files in `guests/`, a large one is generated.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::generate;

/// One of the components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guest {
    /// Functions to call, and loops that call the host's.
    Bench,
    /// A component that calls another in loops.
    Pair,
    /// Writes to pages of its memory.
    Pages,
    /// Grows its memory.
    Grown,
    /// Adds.
    Add,
    /// Throws and catches.
    Exceptions,
    /// Calls host functions that may wait.
    #[cfg(feature = "async")]
    Waiting,
    /// Two components that use the asynchronous ABI.
    #[cfg(feature = "async")]
    Tasks,
    /// About as little as there can be.
    Small,
    /// A core module of about 800 KB.
    Medium,
    /// Megabytes of machine code.
    Large,
    /// One that computes.
    Computation(&'static Computation),
    /// A language's interpreter.
    Real(Real),
}

/// Components of `../shared/components`, which a checkout need not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Real {
    Js,
    Py,
}

impl Real {
    fn name(self) -> &'static str {
        match self {
            Real::Js => "js",
            Real::Py => "py",
        }
    }

    /// Where the component is, if it is there.
    pub(crate) fn path(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../shared/components")
            .join(self.name())
            .with_extension("wasm")
    }
}

/// A component that computes: its `run` answers a number for an argument.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Computation {
    pub(crate) name: &'static str,
    /// The name of its row.
    pub(crate) row: &'static str,
    /// As text or not.
    component: &'static [u8],
    /// For calls that take some hundred microseconds, or a few milliseconds.
    pub(crate) argument: u32,
    /// What an instance's first call must answer.
    pub(crate) answer: u32,
}

macro_rules! computations {
    ($folder:literal, $extension:literal: $($name:literal $argument:literal $answer:literal,)*) => {
        &[$(Computation {
            name: $name,
            row: concat!("run.", $name),
            component: include_bytes!(concat!("../guests/", $folder, "/", $name, $extension)),
            argument: $argument,
            answer: $answer,
        },)*]
    };
}

/// Small loops: each a file that says what it does.
pub(crate) static KERNELS: &[Computation] = computations! { "kernels", ".wat":
    "bytes" 1_000_000 1_000_000,
    "fib" 25 75_025,
    "hash" 40_000 157,
    "matmul" 96 15_922_115,
    "sha256" 1000 1_305_802_278,
    "sort" 10_000 8_348_397,
};

/// Programs as compilers make them; their sources say what they do. The answers are those of the
/// same sources on the machine itself, by `native.sh` beside them.
pub(crate) static PROGRAMS: &[Computation] = computations! { "programs", ".wasm":
    "blur" 512 3_030_753_436,
    "bytecode" 5000 82_147_261,
    "deflate" 16 1_213_746_195,
    "digest" 256 3_926_571_182,
    "digits" 250 1_075_217_346,
    "json" 50 451_558_162,
    "lu" 128 4_008_261_083,
    "lz4" 48 195_542_824,
    "markdown" 20 3_451_853_166,
    "planets" 5000 1_192_031_226,
    "queens" 11 59_811_183,
    "search" 4 325_101_015,
    "shapes" 2000 464_061_341,
    "sorting" 3000 1_263_350_567,
    "words" 16 1_381_227_773,
};

const MEDIUM_FUNCTIONS: u32 = 775;
const LARGE_FUNCTIONS: u32 = 4_000;
/// The result of `run` of a generated component, which calls each of its functions. Known from the
/// first run: both sides must agree on it.
const MEDIUM_ANSWER: u32 = 1_224_278_538;
const LARGE_ANSWER: u32 = 476_587_107;

impl Guest {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Guest::Bench => "bench",
            Guest::Pair => "pair",
            Guest::Pages => "pages",
            Guest::Grown => "grown",
            Guest::Add => "add",
            Guest::Exceptions => "exceptions",
            #[cfg(feature = "async")]
            Guest::Waiting => "waiting",
            #[cfg(feature = "async")]
            Guest::Tasks => "tasks",
            Guest::Small => "small",
            Guest::Medium => "medium",
            Guest::Large => "large",
            Guest::Computation(computation) => computation.name,
            Guest::Real(real) => real.name(),
        }
    }

    /// The component's bytes.
    ///
    /// # Errors
    /// If a text in `guests/` is malformed, or a file cannot be read.
    pub(crate) fn wasm(self) -> Result<Vec<u8>> {
        let text = match self {
            Guest::Bench => include_str!("../guests/bench.wat"),
            Guest::Pair => include_str!("../guests/pair.wat"),
            Guest::Pages => include_str!("../guests/pages.wat"),
            Guest::Grown => include_str!("../guests/grown.wat"),
            Guest::Add => include_str!("../guests/add.wat"),
            Guest::Exceptions => include_str!("../guests/exceptions.wat"),
            #[cfg(feature = "async")]
            Guest::Waiting => include_str!("../guests/waiting.wat"),
            #[cfg(feature = "async")]
            Guest::Tasks => include_str!("../guests/tasks.wat"),
            Guest::Small => include_str!("../guests/small.wat"),
            Guest::Medium => return Ok(generate::component(MEDIUM_FUNCTIONS)),
            Guest::Large => return Ok(generate::component(LARGE_FUNCTIONS)),
            Guest::Computation(computation) => {
                return Ok(wat::parse_bytes(computation.component)?.into_owned());
            }
            Guest::Real(real) => {
                let path = real.path();
                let read = fs::read(&path);
                return read.with_context(|| format!("cannot read `{}`", path.display()));
            }
        };
        wat::parse_str(text).with_context(|| format!("guests/{}.wat", self.name()))
    }

    /// How much machine code it must make at least to be worth its name.
    pub(crate) fn least_code_size(self) -> u64 {
        match self {
            Guest::Medium => 1_000_000,
            Guest::Large | Guest::Real(_) => 5_000_000,
            _ => 1,
        }
    }

    /// An argument of the component's `run`, and what it must answer.
    pub(crate) fn run_case(self) -> Option<(u32, u32)> {
        match self {
            Guest::Add | Guest::Bench | Guest::Exceptions | Guest::Pair | Guest::Real(_) => None,
            #[cfg(feature = "async")]
            Guest::Waiting | Guest::Tasks => None,
            // The first byte of the image.
            Guest::Pages => Some((3, b'A'.into())),
            // 17 pages, and one more.
            Guest::Grown => Some((1, 18)),
            Guest::Small => Some((41, 42)),
            Guest::Medium => Some((1, MEDIUM_ANSWER)),
            Guest::Large => Some((1, LARGE_ANSWER)),
            Guest::Computation(it) => Some((it.argument, it.answer)),
        }
    }
}
