//! Sets what is for debuggers and backtraces.

use cwasm_format::debug;
use cwasm_format::write::{Contents, DebugSection};

use super::names;
use super::parts::Parts;
use crate::debug::lines::{self, Compiled};
use crate::error::Result;
use crate::link::Text;
use crate::work::Entry;

/// Sets names, symbols, lines and the build id of contents that are otherwise complete. Returns what
/// of the input's debug information could not be used.
pub(super) fn set(
    parts: &Parts<'_, '_>,
    text: &Text,
    contents: &mut Contents,
) -> Result<Vec<String>> {
    names::set(parts, text, contents)?;
    let functions = parts.compiled.entries().zip(&parts.compiled.functions);
    let functions = functions.filter_map(|(entry, code)| match *entry {
        Entry::Core { instance, index } => Some(Compiled {
            module: parts.unit.envs[instance as usize].module,
            index,
            code,
        }),
        _ => None,
    });
    let lines = lines::lines(functions);
    contents.debug.push(DebugSection {
        name: debug::LINES,
        bytes: lines.section,
    });
    let id = contents.build_id();
    contents.debug.push(DebugSection {
        name: debug::BUILD_ID,
        bytes: debug::note(&id),
    });
    Ok(lines.warnings)
}
