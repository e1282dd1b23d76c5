//! The debug information of an artifact: in it, or in a file beside it. Read when somebody asks.

use cwasm_format::debug::{LINES, build_id, section};
use cwasm_format::header::SectionId;
use cwasm_format::lines::Lines;
#[cfg(feature = "coredump")]
use cwasm_format::state;

use super::Unit;
use crate::sys;

/// What is known of the code of an artifact.
#[derive(Debug, Default)]
pub(super) struct DebugInfo {
    lines: Option<Lines>,
    /// The section of names of the file beside the artifact, or nothing.
    names: Vec<u8>,
    /// The section of the state of core instances of that file, or nothing. Its records are read in
    /// place.
    #[cfg(feature = "coredump")]
    state: Vec<u64>,
}

impl DebugInfo {
    /// Reads it: what is not there, or not as it should be, is unknown.
    pub(super) fn read(unit: &Unit) -> DebugInfo {
        let artifact = unit.artifact();
        let bytes = artifact.bytes();
        if let Some(lines) = section(bytes, LINES) {
            return DebugInfo {
                lines: Lines::decode(lines).ok(),
                ..DebugInfo::default()
            };
        }
        let Some(file) = beside(bytes) else {
            return DebugInfo::default();
        };
        let names = section(&file, SectionId::Names.name()).unwrap_or_default();
        let lines = section(&file, LINES).unwrap_or_default();
        DebugInfo {
            lines: Lines::decode(lines).ok(),
            names: names.to_vec(),
            #[cfg(feature = "coredump")]
            state: state::words(section(&file, state::SECTION).unwrap_or_default()),
        }
    }

    pub(super) fn lines(&self) -> Option<&Lines> {
        self.lines.as_ref()
    }

    pub(super) fn names(&self) -> &[u8] {
        &self.names
    }

    /// Where the state of core instances is, as the file beside the artifact says.
    #[cfg(feature = "coredump")]
    pub(super) fn state(&self) -> Option<state::CoreState<'_>> {
        state::CoreState::read_words(&self.state)
    }
}

/// The file of debug information beside an artifact, if there is one that belongs to it.
pub(super) fn beside(artifact: &[u8]) -> Option<Vec<u8>> {
    let id = build_id(artifact)?;
    let path = sys::maps::file_at(artifact.as_ptr().addr())?;
    let mut name = path.into_os_string();
    name.push(".debug");
    // Opening a pipe would wait for who writes to it.
    if !std::fs::metadata(&name).ok()?.is_file() {
        return None;
    }
    let file = std::fs::read(name).ok()?;
    (build_id(&file)? == id).then_some(file)
}
