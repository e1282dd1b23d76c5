//! A component's imports and exports as a WIT world.

use std::fmt::Write as _;

use cwasm_format::Artifact;
use cwasm_format::describe::{Description, Extern};
use cwasm_format::exports::{ExportRecord, StrRef, kind};
use cwasm_format::imports::ImportRecord;
use cwasm_format::types::FuncType;
use cwasm_format::wit::Wit;

/// A record that names an import or export.
pub(crate) trait Item {
    fn name(&self) -> StrRef;
    fn kind(&self) -> u32;
    /// Index of a component function's type in the descriptions.
    fn func_type(&self, artifact: &Artifact<'_>) -> Option<u32>;
    /// What is said about one of this path.
    fn said<'a>(path: &str, description: &'a Description) -> Option<&'a Extern>;
}

impl Item for ImportRecord {
    fn name(&self) -> StrRef {
        self.name
    }

    fn kind(&self) -> u32 {
        self.kind
    }

    fn func_type(&self, _: &Artifact<'_>) -> Option<u32> {
        Some(self.index)
    }

    fn said<'a>(path: &str, description: &'a Description) -> Option<&'a Extern> {
        description.import(path)
    }
}

impl Item for ExportRecord {
    fn name(&self) -> StrRef {
        self.name
    }

    fn kind(&self) -> u32 {
        self.kind
    }

    fn func_type(&self, artifact: &Artifact<'_>) -> Option<u32> {
        Some(artifact.lifts().get(self.index as usize)?.func_type)
    }

    fn said<'a>(path: &str, description: &'a Description) -> Option<&'a Extern> {
        description.export(path)
    }
}

/// Paths and types of the component functions among `items`; what an artifact names but does not
/// describe is left out.
pub(crate) fn functions<'a>(
    items: &[impl Item],
    artifact: &Artifact<'a>,
    description: &'a Description,
) -> Vec<(&'a str, &'a FuncType)> {
    items
        .iter()
        .filter(|item| item.kind() == kind::FUNC)
        .filter_map(|item| {
            let index = item.func_type(artifact)?;
            Some((
                artifact.string(item.name())?,
                description.funcs.get(index as usize)?,
            ))
        })
        .collect()
}

/// The printer for a component's types.
pub(crate) fn wit(description: &Description) -> Wit<'_> {
    Wit::with_names(&description.types, &description.type_names)
}

/// The world of a component.
pub(crate) fn world(artifact: &Artifact<'_>, description: &Description) -> String {
    let mut out = String::from("world root {\n");
    declarations(description, None, "  ", &mut out);
    side(
        "import",
        artifact.imports(),
        artifact,
        description,
        &mut out,
    );
    side(
        "export",
        artifact.exports(),
        artifact,
        description,
        &mut out,
    );
    out.push_str("}\n");
    out
}

/// All imports, or all exports.
fn side<I: Item>(
    word: &str,
    items: &[I],
    artifact: &Artifact<'_>,
    description: &Description,
    out: &mut String,
) {
    let wit = wit(description);
    let functions = functions(items, artifact, description);
    let resources: Vec<_> = items
        .iter()
        .filter(|item| item.kind() == kind::RESOURCE)
        .filter_map(|item| artifact.string(item.name()))
        .map(split)
        .collect();
    let external_id = |path: &str, indent: &str, out: &mut String| {
        if let Some(id) = I::said(path, description).and_then(|said| said.external_id.as_ref()) {
            let _ = writeln!(out, "{indent}@external-id({id:?})");
        }
    };
    for (instance, name) in &resources {
        if instance.is_none() {
            external_id(name, "  ", out);
            let _ = writeln!(out, "  {word} resource {name};");
        }
    }
    for (path, ty) in &functions {
        if let (None, name) = split(path) {
            external_id(path, "  ", out);
            let _ = writeln!(out, "  {word} {name}: {};", wit.func(ty));
        }
    }
    for item in items.iter().filter(|item| item.kind() == kind::INSTANCE) {
        let Some(instance) = artifact.string(item.name()) else {
            continue;
        };
        let said = I::said(instance, description);
        let interface = said.and_then(|said| said.implements.as_deref());
        external_id(instance, "  ", out);
        let interface = interface.unwrap_or("interface");
        let _ = writeln!(out, "  {word} {instance}: {interface} {{");
        for (of, name) in &resources {
            if *of == Some(instance) {
                external_id(&format!("{instance}#{name}"), "    ", out);
                let _ = writeln!(out, "    resource {name};");
            }
        }
        declarations(description, Some(instance), "    ", out);
        for (path, ty) in &functions {
            let (of, name) = split(path);
            if of == Some(instance) {
                external_id(path, "    ", out);
                let _ = writeln!(out, "    {name}: {};", wit.func(ty));
            }
        }
        out.push_str("  }\n");
    }
}

/// The types that have names in `instance`, or in the world.
fn declarations(description: &Description, instance: Option<&str>, indent: &str, out: &mut String) {
    for (path, ty) in &description.type_names {
        if split(path).0 == instance {
            let text = wit(description).declaration(path, *ty).to_string();
            let end = if text.ends_with('}') { "" } else { ";" };
            let _ = writeln!(out, "{indent}{text}{end}");
        }
    }
}

/// The instance that a path is in, and its last name.
fn split(path: &str) -> (Option<&str>, &str) {
    match path.rsplit_once('#') {
        Some((instance, name)) => (Some(instance), name),
        None => (None, path),
    }
}
