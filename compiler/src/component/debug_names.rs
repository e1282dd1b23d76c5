//! Names of a component's parts from its section `component-name`: for tools that show them, never
//! for linking.

use std::collections::HashMap;

use wasmparser::{ComponentName, CustomSectionReader, KnownCustom, NameMap};

/// The names that a component gives to itself, and to the modules and components in it.
#[derive(Default)]
pub(crate) struct DebugNames<'a> {
    /// Its own; empty if it has none.
    pub(crate) own: &'a str,
    /// By module index.
    pub(crate) modules: HashMap<u32, &'a str>,
    /// By component index.
    pub(crate) components: HashMap<u32, &'a str>,
}

impl<'a> DebugNames<'a> {
    /// Adds the names of a custom section, if it is one of names. Such a section never makes a
    /// component invalid: what cannot be read is left out.
    pub(crate) fn read(&mut self, section: &CustomSectionReader<'a>) {
        let KnownCustom::ComponentName(names) = section.as_known() else {
            return;
        };
        for name in names {
            match name {
                Ok(ComponentName::Component { name, .. }) => self.own = name,
                Ok(ComponentName::CoreModules(map)) => extend(&mut self.modules, map),
                Ok(ComponentName::Components(map)) => extend(&mut self.components, map),
                _ => {}
            }
        }
    }
}

fn extend<'a>(names: &mut HashMap<u32, &'a str>, map: NameMap<'a>) {
    let namings = map.into_iter().flatten();
    names.extend(namings.map(|naming| (naming.index, naming.name)));
}
