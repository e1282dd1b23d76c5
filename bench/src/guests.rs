//! The components that are measured: two are files in `guests/`, a large one is generated.

use anyhow::{Context as _, Result};

use crate::generate;

/// One of the components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guest {
    /// Functions to call, and loops that call the host's.
    Bench,
    /// About as little as there can be.
    Small,
    /// Megabytes of machine code.
    Large,
}

/// What `run` of the large component, which calls each of its functions, answers. Known from the
/// first run: both sides must agree on it.
const LARGE_ANSWER: u32 = 476_587_107;

impl Guest {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Guest::Bench => "bench",
            Guest::Small => "small",
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
            Guest::Small => include_str!("../guests/small.wat"),
            Guest::Large => return Ok(generate::component()),
        };
        wat::parse_str(text).with_context(|| format!("guests/{}.wat", self.name()))
    }

    /// How much machine code it must make at least to be worth its name.
    pub(crate) fn least_code_size(self) -> u64 {
        if self == Guest::Large { 5_000_000 } else { 1 }
    }

    /// An argument of the component's `run`, and what it must answer.
    pub(crate) fn run_case(self) -> Option<(u32, u32)> {
        match self {
            Guest::Bench => None,
            Guest::Small => Some((41, 42)),
            Guest::Large => Some((1, LARGE_ANSWER)),
        }
    }
}
