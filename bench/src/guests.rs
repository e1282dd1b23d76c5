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
    /// About as little as there can be.
    Small,
    /// A core module of about 800 KB.
    Medium,
    /// Megabytes of machine code.
    Large,
    /// A small program that computes.
    Kernel(Kernel),
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

/// The kernels: each a file in `guests/kernels/`, which says what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    Bytes,
    Fib,
    Hash,
    Matmul,
    Sha256,
    Sort,
}

impl Kernel {
    pub(crate) const ALL: [Kernel; 6] = [
        Kernel::Bytes,
        Kernel::Fib,
        Kernel::Hash,
        Kernel::Matmul,
        Kernel::Sha256,
        Kernel::Sort,
    ];

    fn name(self) -> &'static str {
        match self {
            Kernel::Bytes => "bytes",
            Kernel::Fib => "fib",
            Kernel::Hash => "hash",
            Kernel::Matmul => "matmul",
            Kernel::Sha256 => "sha256",
            Kernel::Sort => "sort",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Kernel::Bytes => include_str!("../guests/kernels/bytes.wat"),
            Kernel::Fib => include_str!("../guests/kernels/fib.wat"),
            Kernel::Hash => include_str!("../guests/kernels/hash.wat"),
            Kernel::Matmul => include_str!("../guests/kernels/matmul.wat"),
            Kernel::Sha256 => include_str!("../guests/kernels/sha256.wat"),
            Kernel::Sort => include_str!("../guests/kernels/sort.wat"),
        }
    }

    /// The argument of a sample's calls, for a few hundred microseconds, and the answer of an
    /// instance's first call.
    pub(crate) fn case(self) -> (u32, u32) {
        match self {
            Kernel::Bytes => (1_000_000, 1_000_000),
            Kernel::Fib => (25, 75_025),
            Kernel::Hash => (40_000, 157),
            Kernel::Matmul => (96, 15_922_115),
            Kernel::Sha256 => (1000, 1_305_802_278),
            Kernel::Sort => (10_000, 8_348_397),
        }
    }
}

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
            Guest::Small => "small",
            Guest::Medium => "medium",
            Guest::Large => "large",
            Guest::Kernel(kernel) => kernel.name(),
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
            Guest::Small => include_str!("../guests/small.wat"),
            Guest::Medium => return Ok(generate::component(MEDIUM_FUNCTIONS)),
            Guest::Large => return Ok(generate::component(LARGE_FUNCTIONS)),
            Guest::Kernel(kernel) => kernel.text(),
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
            Guest::Bench | Guest::Pages | Guest::Pair | Guest::Small | Guest::Kernel(_) => 1,
            Guest::Medium => 1_000_000,
            Guest::Large | Guest::Real(_) => 5_000_000,
        }
    }

    /// An argument of the component's `run`, and what it must answer.
    pub(crate) fn run_case(self) -> Option<(u32, u32)> {
        match self {
            Guest::Bench | Guest::Pair | Guest::Real(_) => None,
            // The first byte of the image.
            Guest::Pages => Some((3, b'A'.into())),
            Guest::Small => Some((41, 42)),
            Guest::Medium => Some((1, MEDIUM_ANSWER)),
            Guest::Large => Some((1, LARGE_ANSWER)),
            Guest::Kernel(kernel) => Some(kernel.case()),
        }
    }
}
