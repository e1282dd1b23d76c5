//! Sets what is for debuggers and backtraces.

use cwasm_format::debug;
use cwasm_format::header::SectionId;
use cwasm_format::write::{Contents, DebugSection};

use super::names;
use super::parts::Parts;
use super::state;
use crate::debug::lines::{self, Compiled};
use crate::debug::modules::Modules;
use crate::debug::native::{self, Function};
use crate::error::Result;
use crate::link::Text;
use crate::work::Entry;

/// Sets names, symbols, lines and the build id of contents that are otherwise complete. Returns
/// what of the input's debug information could not be used.
pub(super) fn set(
    parts: &Parts<'_, '_>,
    text: &Text,
    contents: &mut Contents,
) -> Result<Vec<String>> {
    names::set(parts, text, contents)?;
    let mut modules = Modules::new();
    let text_start = contents.place()[SectionId::Text as usize].offset;
    let functions = parts.compiled.entries().zip(&parts.compiled.functions);
    let functions = functions.zip(&text.offsets);
    let functions: Vec<Function<'_, '_>> = functions
        .map(|((entry, code), offset)| Function {
            address: text_start + u64::from(*offset),
            code,
            core: match *entry {
                Entry::Core { instance, index } => {
                    Some((&parts.unit.envs[instance as usize], instance, index))
                }
                _ => None,
            },
        })
        .collect();
    let core = functions.iter().filter_map(|function| {
        let (env, instance, index) = function.core?;
        Some(Compiled {
            module: env.module,
            component: component_of(parts, instance),
            index,
            code: function.code,
        })
    });
    let lines = lines::section(core, &mut modules);
    contents.debug.push(DebugSection {
        name: debug::LINES,
        bytes: lines,
    });
    if parts.target.dwarf {
        let native = native::sections(&functions, parts.target.arch, &mut modules);
        contents.debug.extend(native);
    }
    state::set(parts, contents)?;
    let id = contents.build_id();
    contents.debug.push(DebugSection {
        name: debug::BUILD_ID,
        bytes: debug::note(&id),
    });
    Ok(modules.warnings)
}

/// The name of the component that a core instance is in; empty for the outermost one.
fn component_of<'p>(parts: &Parts<'p, '_>, instance: u32) -> &'p str {
    let planned = parts.plan.instances.get(instance as usize);
    let component = planned.map_or(0, |planned| planned.component.0);
    let name = parts.plan.component_names.get(component as usize);
    name.filter(|_| component != 0).map_or("", |name| name)
}
