//! Two components in one: what the callee exports, the caller imports.

use std::collections::HashMap;

use wasm_encoder::{
    Component, ComponentAliasSection, ComponentExportKind, ComponentExportSection,
    ComponentInstanceSection, RawSection,
};
use wasmparser::{ComponentExternalKind, ComponentTypeRef, Parser, Payload};

/// Identifiers of sections.
const ALIASES: u8 = 6;
const TYPES: u8 = 7;
const IMPORTS: u8 = 10;

type Items = HashMap<String, (ComponentExportKind, u32)>;

/// A component with both, which imports what the callee imports, and exports what the caller
/// exports. The caller must import nothing else, but for what the callee exports.
///
/// # Errors
/// If that is not so, or one is no component.
pub(super) fn nest(callee: &[u8], caller: &[u8]) -> Result<Vec<u8>, String> {
    let mut outer = Component::new();
    // The callee's own sections, up to its first module, are its imports and what they need.
    let (mut items, mut counts) = copy_imports(&mut outer, callee)?;
    for nested in [callee, caller] {
        outer.section(&RawSection {
            id: wasm_encoder::ComponentSectionId::Component.into(),
            data: nested,
        });
    }
    let surface = Surface::of(callee)?;
    let args = surface.args(&items)?;
    let mut instances = ComponentInstanceSection::new();
    instances.instantiate(0, args);
    outer.section(&instances);
    let first = counts.next(ComponentExportKind::Instance);
    alias(&mut outer, first, &surface.exports, &mut items, &mut counts);

    let surface = Surface::of(caller)?;
    let args = surface.args(&items)?;
    let mut instances = ComponentInstanceSection::new();
    instances.instantiate(1, args);
    outer.section(&instances);
    let second = counts.next(ComponentExportKind::Instance);
    let mut own = Items::new();
    alias(&mut outer, second, &surface.exports, &mut own, &mut counts);
    let mut exports = ComponentExportSection::new();
    for (name, kind) in &surface.exports {
        exports.export(name.as_str(), *kind, own[name].1, None);
    }
    outer.section(&exports);
    Ok(outer.finish())
}

/// Adds aliases of exports of an instance.
fn alias(
    outer: &mut Component,
    instance: u32,
    exports: &[(String, ComponentExportKind)],
    items: &mut Items,
    counts: &mut Counts,
) {
    let mut aliases = ComponentAliasSection::new();
    for (name, kind) in exports {
        aliases.alias(wasm_encoder::Alias::InstanceExport {
            instance,
            kind: *kind,
            name,
        });
        items.insert(name.clone(), (*kind, counts.next(*kind)));
    }
    outer.section(&aliases);
}

/// How many items of each kind there are.
#[derive(Default)]
struct Counts {
    instances: u32,
    funcs: u32,
}

impl Counts {
    /// The index of one more.
    fn next(&mut self, kind: ComponentExportKind) -> u32 {
        let count = match kind {
            ComponentExportKind::Instance => &mut self.instances,
            _ => &mut self.funcs,
        };
        *count += 1;
        *count - 1
    }
}

fn copy_imports(outer: &mut Component, binary: &[u8]) -> Result<(Items, Counts), String> {
    let (mut items, mut counts) = (Items::new(), Counts::default());
    for payload in Parser::new(0).parse_all(binary) {
        let payload = payload.map_err(|error| error.to_string())?;
        if let Payload::ComponentImportSection(reader) = &payload {
            for import in reader.clone() {
                let import = import.map_err(|error| error.to_string())?;
                let Some(kind) = kind_of(&import.ty) else {
                    return Err(format!(
                        "an import that is no instance: {}",
                        import.name.name
                    ));
                };
                items.insert(import.name.name.to_owned(), (kind, counts.next(kind)));
            }
        }
        match payload.as_section() {
            Some((id @ (ALIASES | TYPES | IMPORTS), range)) => {
                let data = &binary[range.start as usize..range.end as usize];
                outer.section(&RawSection { id, data });
            }
            Some(_) => break,
            None => {}
        }
    }
    Ok((items, counts))
}

fn kind_of(ty: &ComponentTypeRef) -> Option<ComponentExportKind> {
    match ty {
        ComponentTypeRef::Instance(_) => Some(ComponentExportKind::Instance),
        ComponentTypeRef::Func(_) => Some(ComponentExportKind::Func),
        _ => None,
    }
}

/// The names of what a component imports and exports.
pub(super) struct Surface {
    imports: Vec<String>,
    exports: Vec<(String, ComponentExportKind)>,
}

impl Surface {
    pub(super) fn of(binary: &[u8]) -> Result<Surface, String> {
        let mut surface = Surface {
            imports: Vec::new(),
            exports: Vec::new(),
        };
        let mut depth = 0;
        for payload in Parser::new(0).parse_all(binary) {
            match payload.map_err(|error| error.to_string())? {
                Payload::Version { .. } => depth += 1,
                Payload::End(_) => depth -= 1,
                Payload::ComponentImportSection(reader) if depth == 1 => {
                    for import in reader {
                        let import = import.map_err(|error| error.to_string())?;
                        surface.imports.push(import.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(reader) if depth == 1 => {
                    for export in reader {
                        let export = export.map_err(|error| error.to_string())?;
                        let kind = match export.kind {
                            ComponentExternalKind::Instance => ComponentExportKind::Instance,
                            ComponentExternalKind::Func => ComponentExportKind::Func,
                            _ => continue,
                        };
                        surface.exports.push((export.name.name.to_owned(), kind));
                    }
                }
                _ => {}
            }
        }
        Ok(surface)
    }

    /// Whether it exports something that another one imports.
    pub(super) fn fits(&self, importer: &Surface) -> bool {
        let exports = self.exports.iter();
        exports
            .map(|(name, _)| name)
            .any(|name| importer.imports.contains(name))
    }

    /// What is there for each import.
    fn args(&self, items: &Items) -> Result<Vec<(String, ComponentExportKind, u32)>, String> {
        let arg = |name: &String| match items.get(name) {
            Some((kind, index)) => Ok((name.clone(), *kind, *index)),
            None => Err(format!("nothing is there for the import {name}")),
        };
        self.imports.iter().map(arg).collect()
    }
}
