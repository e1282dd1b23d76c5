//! A component's imports and exports, read from an artifact or an outline.

use cwasm_compiler::{Outline, OutlineItem};
use cwasm_format::Artifact;
use cwasm_format::describe::{Description, Extern};
use cwasm_format::exports::kind;
use cwasm_format::types::{FuncType, ResourceNumber};
use cwasm_format::wit::Wit;

/// The imports and exports of a component.
pub(crate) struct Surface<'a> {
    pub(crate) imports: Vec<Item<'a>>,
    pub(crate) exports: Vec<Item<'a>>,
    pub(crate) description: &'a Description,
}

/// An import or export. Items of an instance follow it.
pub(crate) struct Item<'a> {
    /// `name`, or `instance#name`.
    pub(crate) path: &'a str,
    pub(crate) kind: ItemKind<'a>,
    pub(crate) said: Option<&'a Extern>,
}

#[derive(Clone, Copy)]
pub(crate) enum ItemKind<'a> {
    Func(&'a FuncType),
    Instance,
    Resource(ResourceNumber),
    Module,
}

impl<'a> Surface<'a> {
    /// The surface of an artifact. Items that it names but does not describe are left out.
    pub(crate) fn of_artifact(
        artifact: &Artifact<'a>,
        description: &'a Description,
    ) -> Surface<'a> {
        let func = |index: u32| description.funcs.get(index as usize).map(ItemKind::Func);
        let item_kind = |number, index, func_type: Option<u32>| match number {
            kind::FUNC => func(func_type?),
            kind::INSTANCE => Some(ItemKind::Instance),
            kind::RESOURCE => Some(ItemKind::Resource(ResourceNumber(index))),
            kind::MODULE => Some(ItemKind::Module),
            _ => None,
        };
        let imports = artifact.imports().iter().filter_map(|import| {
            let path = artifact.string(import.name)?;
            Some(Item {
                path,
                kind: item_kind(import.kind, import.index, Some(import.index))?,
                said: description.import(path),
            })
        });
        let exports = artifact.exports().iter().filter_map(|export| {
            let path = artifact.string(export.name)?;
            let lift = artifact.lifts().get(export.index as usize);
            Some(Item {
                path,
                kind: item_kind(export.kind, export.index, lift.map(|lift| lift.func_type))?,
                said: description.export(path),
            })
        });
        Surface {
            imports: imports.collect(),
            exports: exports.collect(),
            description,
        }
    }

    /// The surface of a component that has not been compiled.
    pub(crate) fn of_outline(outline: &'a Outline) -> Surface<'a> {
        let description = &outline.description;
        let item = |item: &'a OutlineItem, said| {
            let kind = match item.kind {
                kind::FUNC => ItemKind::Func(description.funcs.get(item.index? as usize)?),
                kind::INSTANCE => ItemKind::Instance,
                kind::RESOURCE => ItemKind::Resource(ResourceNumber(item.index?)),
                kind::MODULE => ItemKind::Module,
                _ => return None,
            };
            let path = &item.name;
            Some(Item { path, kind, said })
        };
        let imports = outline.imports.iter();
        let imports = imports.filter_map(|import| item(import, description.import(&import.name)));
        let exports = outline.exports.iter();
        let exports = exports.filter_map(|export| item(export, description.export(&export.name)));
        Surface {
            imports: imports.collect(),
            exports: exports.collect(),
            description,
        }
    }

    /// The printer for its types.
    pub(crate) fn wit(&self) -> Wit<'a> {
        Wit::with_names(&self.description.types, &self.description.type_names)
    }
}

/// Paths and types of the functions among `items`.
pub(crate) fn functions<'a>(items: &[Item<'a>]) -> Vec<(&'a str, &'a FuncType)> {
    let functions = items.iter().filter_map(|item| match item.kind {
        ItemKind::Func(ty) => Some((item.path, ty)),
        _ => None,
    });
    functions.collect()
}

/// The instance in a path, and the item's own name.
pub(crate) fn split(path: &str) -> (Option<&str>, &str) {
    match path.rsplit_once('#') {
        Some((instance, name)) => (Some(instance), name),
        None => (None, path),
    }
}
