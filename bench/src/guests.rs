//! The components that are measured: three are files in `guests/`, large ones are generated.

use anyhow::{Context as _, Result};

use crate::generate;

/// One of the components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guest {
    /// Functions to call, and loops that call the host's.
    Bench,
    /// A component that calls another in loops.
    Pair,
    /// About as little as there can be.
    Small,
    /// A core module of about 800 KB.
    Medium,
    /// Megabytes of machine code.
    Large,
}

const MEDIUM_FUNCTIONS: u32 = 775;
const LARGE_FUNCTIONS: u32 = 4_000;
/// What `run` of a generated component, which calls each of its functions, answers. Known from the
/// first run: both sides must agree on it.
const MEDIUM_ANSWER: u32 = 1_224_278_538;
const LARGE_ANSWER: u32 = 476_587_107;

impl Guest {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Guest::Bench => "bench",
            Guest::Pair => "pair",
            Guest::Small => "small",
            Guest::Medium => "medium",
            Guest::Large => "large",
        }
    }

    /// The component's bytes.
    ///
    /// # Errors
    /// If a text in `guests/` is malformed.
    pub(crate) fn wasm(self) -> Result<Vec<u8>> {
        let text = match self {
            Guest::Bench => include_str!("../guests/bench.wat"),
            Guest::Pair => include_str!("../guests/pair.wat"),
            Guest::Small => include_str!("../guests/small.wat"),
            Guest::Medium => return Ok(generate::component(MEDIUM_FUNCTIONS)),
            Guest::Large => return Ok(generate::component(LARGE_FUNCTIONS)),
        };
        wat::parse_str(text).with_context(|| format!("guests/{}.wat", self.name()))
    }

    /// How much machine code it must make at least to be worth its name.
    pub(crate) fn least_code_size(self) -> u64 {
        match self {
            Guest::Bench | Guest::Pair | Guest::Small => 1,
            Guest::Medium => 1_000_000,
            Guest::Large => 5_000_000,
        }
    }

    /// An argument of the component's `run`, and what it must answer.
    pub(crate) fn run_case(self) -> Option<(u32, u32)> {
        match self {
            Guest::Bench | Guest::Pair => None,
            Guest::Small => Some((41, 42)),
            Guest::Medium => Some((1, MEDIUM_ANSWER)),
            Guest::Large => Some((1, LARGE_ANSWER)),
        }
    }
}
