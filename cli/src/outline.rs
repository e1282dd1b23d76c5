//! `cwasm inspect` of an input that has not been compiled: its needs, and whether it can be
//! compiled.

use cwasm::Result;
use cwasm_compiler::{ErrorKind, Need, Outline, OutlineItem};
use cwasm_format::escape;
use cwasm_format::exports::kind;
use cwasm_format::header::Kind;
use serde::Serialize;

use crate::args::default_options;
use crate::input::{self, Name};
use crate::inspect::{Annotations, Item, component_items, core_type, lines};
use crate::output;
use crate::surface::Surface;
use crate::world::world;

/// The command's output.
#[derive(Serialize)]
struct Facts {
    kind: String,
    size: usize,
    compiles: bool,
    /// The reason, if it cannot be compiled.
    refusal: Option<String>,
    features: Vec<Feature>,
    /// The features that are not supported.
    unsupported: Vec<Feature>,
    imports: Vec<Item>,
    exports: Vec<Item>,
}

#[derive(Serialize)]
struct Feature {
    name: String,
    offset: Option<u64>,
}

/// Prints the kind, needs, imports and exports of a component or core module.
pub(crate) fn inspect(name: Name<'_>, wasm: &[u8], json: bool) -> Result<()> {
    let outline = cwasm_compiler::outline(wasm, &default_options())
        .map_err(|error| input::cannot_compile(name, error))?;
    let facts = facts(&outline, wasm.len());
    if json {
        return output::print_json(&serde_json::to_string_pretty(&facts)?);
    }
    let mut text = summary(&facts);
    match (outline.kind, &outline.refusal) {
        (Kind::Component, None) => text.push_str(&world(&Surface::of_outline(&outline))),
        _ => {
            lines("import", &facts.imports, &mut text);
            lines("export", &facts.exports, &mut text);
        }
    }
    output::print(&text)
}

fn facts(outline: &Outline, size: usize) -> Facts {
    let (imports, exports) = match (outline.kind, &outline.refusal) {
        (Kind::Component, None) => {
            let surface = Surface::of_outline(outline);
            (
                component_items(&surface.imports, &surface),
                component_items(&surface.exports, &surface),
            )
        }
        _ => (items(&outline.imports), items(&outline.exports)),
    };
    let unsupported = match outline.refusal.as_ref().map(|error| error.kind()) {
        Some(ErrorKind::Unsupported { needs }) => features(needs),
        _ => Vec::new(),
    };
    Facts {
        kind: outline.kind.to_string(),
        size,
        compiles: outline.refusal.is_none(),
        refusal: outline.refusal.as_ref().map(|error| error.to_string()),
        features: features(&outline.needs),
        unsupported,
        imports,
        exports,
    }
}

fn features(needs: &[Need]) -> Vec<Feature> {
    let features = needs.iter().map(|need| Feature {
        name: need.name.clone(),
        offset: need.offset,
    });
    features.collect()
}

fn items(items: &[OutlineItem]) -> Vec<Item> {
    let items = items.iter().map(|item| Item {
        name: item.name.clone(),
        ty: match item.kind {
            kind::FUNC => "func".to_owned(),
            kind::INSTANCE => "instance".to_owned(),
            kind::RESOURCE => "resource".to_owned(),
            kind::MODULE => "core module".to_owned(),
            kind::CORE_FUNC if item.core_type.is_empty() => "func".to_owned(),
            kind::CORE_TABLE if item.core_type.is_empty() => "table".to_owned(),
            kind::CORE_MEMORY if item.core_type.is_empty() => "memory".to_owned(),
            kind::CORE_GLOBAL if item.core_type.is_empty() => "global".to_owned(),
            number => core_type(number, Some(&item.core_type)),
        },
        annotations: Annotations::default(),
    });
    items.collect()
}

fn summary(facts: &Facts) -> String {
    let names = |features: &[Feature]| match features {
        [] => "none".to_owned(),
        features => {
            let names: Vec<_> = features.iter().map(|feature| &*feature.name).collect();
            names.join(", ")
        }
    };
    let compiles = facts.refusal.as_deref();
    let mut text = format!(
        "kind          {}\nsize          {}\ncompiles      {}\nfeatures      {}\n",
        facts.kind,
        facts.size,
        compiles.map_or_else(
            || "yes".to_owned(),
            |reason| format!("no: {}", escape::name(reason))
        ),
        names(&facts.features),
    );
    text.push('\n');
    text
}
