//! The outline of an input: its kind, needs, imports and exports, found out without compiling it.

use cwasm_format::describe::Description;
use cwasm_format::exports::kind;
use cwasm_format::header::Kind;
use wasmparser::component_types::{ComponentEntityType, ComponentItem};
use wasmparser::types::TypesRef;
use wasmparser::{Encoding, ExternalKind, Parser, Payload, TypeRef, Validator, WasmFeatures};

use crate::error::{Error, Need, Result};
use crate::module::Module;
use crate::needs;
use crate::plan::{ExportItem, ImportItem, Plan};

/// The kind, needs, imports and exports of an input.
#[derive(Debug)]
pub struct Outline {
    /// A component or a core module.
    pub kind: Kind,
    /// The proposals that it needs beyond WebAssembly 1.0.
    pub needs: Vec<Need>,
    /// The imports. If the input cannot be compiled, their types may be unknown.
    pub imports: Vec<OutlineItem>,
    /// The exports, likewise.
    pub exports: Vec<OutlineItem>,
    /// The types of a component that can be compiled.
    pub description: Description,
    /// Why it cannot be compiled, if it cannot.
    pub refusal: Option<Error>,
}

/// An import or export.
#[derive(Clone, Debug)]
pub struct OutlineItem {
    /// In a component the path: `name`, or `instance#name`. In a core module the name, for an
    /// import after the module's name and a dot.
    pub name: String,
    /// A number of [`cwasm_format::exports::kind`].
    pub kind: u32,
    /// The index of a component function's type in the description, or a resource type's number;
    /// `None` if it is not known.
    pub index: Option<u32>,
    /// A core type as [`cwasm_format::imports::core_type`] encodes it; empty if it is not known.
    pub core_type: Vec<u8>,
}

/// The imports, exports and types that the stages have found in an input that can be compiled.
pub(crate) struct Known {
    pub(crate) imports: Vec<OutlineItem>,
    pub(crate) exports: Vec<OutlineItem>,
    pub(crate) description: Description,
}

/// The outline of a valid input, from the result of the stages.
pub(crate) fn outline(bytes: &[u8], known: Result<Known>) -> Result<Outline> {
    // An input that is not valid has no outline.
    let (needs, features) = needs::features(bytes)?;
    let names = names(bytes, features)?;
    let (known, refusal) = match known {
        Ok(known) => (known, None),
        Err(error) => (names.known, Some(error)),
    };
    Ok(Outline {
        kind: names.kind,
        needs,
        imports: known.imports,
        exports: known.exports,
        description: known.description,
        refusal,
    })
}

impl Known {
    pub(crate) fn of_component(plan: &Plan) -> Known {
        let item = |name: &str, kind, index| OutlineItem {
            name: name.to_owned(),
            kind,
            index,
            core_type: Vec::new(),
        };
        let imports = plan.imports.iter().map(|import| {
            let (kind, index) = match import.item {
                ImportItem::Func(ty) => (kind::FUNC, Some(ty.0)),
                ImportItem::Instance => (kind::INSTANCE, None),
                ImportItem::Resource(number) => (kind::RESOURCE, Some(number.0)),
                ImportItem::Module(_) => (kind::MODULE, None),
            };
            item(&import.path, kind, index)
        });
        let exports = plan.exports.iter().map(|export| {
            let (kind, index) = match export.item {
                ExportItem::Func(lift) => {
                    let lift = &plan.lifts[lift as usize];
                    (kind::FUNC, Some(lift.ty.0))
                }
                ExportItem::Instance => (kind::INSTANCE, None),
                ExportItem::Resource(number) => (kind::RESOURCE, Some(number.0)),
                ExportItem::Module(_) => (kind::MODULE, None),
            };
            item(&export.path, kind, index)
        });
        let mut exports: Vec<_> = exports.collect();
        // The order of the artifact.
        exports.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        Known {
            imports: imports.collect(),
            exports,
            description: description(plan),
        }
    }

    pub(crate) fn of_module(module: &Module<'_>) -> Result<Known> {
        let item = |name: String, ty: TypeRef| -> Result<OutlineItem> {
            let (kind, core_type) = module.extern_type(ty, None)?;
            Ok(OutlineItem {
                name,
                kind,
                index: None,
                core_type,
            })
        };
        let imports = module.imports.iter();
        let imports =
            imports.map(|import| item(core_import(import.module, import.name), import.ty));
        let exports = module.exports.iter();
        let exports =
            exports.map(|export| item(export.name.to_owned(), module.export_type(export)));
        Ok(Known {
            imports: imports.collect::<Result<_>>()?,
            exports: exports.collect::<Result<_>>()?,
            description: Description::default(),
        })
    }
}

/// The description of a component's imports and exports.
pub(crate) fn description(plan: &Plan) -> Description {
    let mut types = plan.types.types.clone();
    types.resource_names = plan
        .resources
        .iter()
        .map(|resource| resource.name.clone())
        .collect();
    Description {
        types,
        funcs: plan.types.funcs.clone(),
        numbered: plan.concurrent.numbered.clone(),
        type_names: plan.type_names.clone(),
        imports: plan.import_externs.clone(),
        exports: plan.export_externs.clone(),
    }
}

fn core_import(module: &str, name: &str) -> String {
    format!("{module}.{name}")
}

/// The names of a valid input.
struct Names {
    kind: Kind,
    known: Known,
}

/// The names that a valid input gives to what it imports and exports.
fn names(bytes: &[u8], features: WasmFeatures) -> Result<Names> {
    let types = Validator::new_with_features(features).validate_all(bytes)?;
    let types = types.as_ref();
    let mut names = Names {
        kind: Kind::Module,
        known: Known {
            imports: Vec::new(),
            exports: Vec::new(),
            description: Description::default(),
        },
    };
    let Known {
        imports, exports, ..
    } = &mut names.known;
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version { encoding, .. } => {
                if depth == 0 && encoding == Encoding::Component {
                    names.kind = Kind::Component;
                }
                depth += 1;
            }
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(reader) if depth == 1 => {
                for import in reader {
                    let import = import?;
                    let item = types.component_item_for_import(import.name.name);
                    component_item("", import.name.name, item, types, imports);
                }
            }
            Payload::ComponentExportSection(reader) if depth == 1 => {
                for export in reader {
                    let export = export?;
                    let item = types.component_item_for_export(export.name.name);
                    component_item("", export.name.name, item, types, exports);
                }
            }
            Payload::ImportSection(reader) if depth == 1 => {
                for import in reader.into_imports() {
                    let import = import?;
                    let kind = match import.ty {
                        TypeRef::Func(_) | TypeRef::FuncExact(_) => kind::CORE_FUNC,
                        TypeRef::Table(_) => kind::CORE_TABLE,
                        TypeRef::Memory(_) => kind::CORE_MEMORY,
                        TypeRef::Global(_) => kind::CORE_GLOBAL,
                        TypeRef::Tag(_) => kind::CORE_TAG,
                    };
                    imports.push(item(core_import(import.module, import.name), kind));
                }
            }
            Payload::ExportSection(reader) if depth == 1 => {
                for export in reader {
                    let export = export?;
                    let kind = match export.kind {
                        ExternalKind::Func | ExternalKind::FuncExact => kind::CORE_FUNC,
                        ExternalKind::Table => kind::CORE_TABLE,
                        ExternalKind::Memory => kind::CORE_MEMORY,
                        ExternalKind::Global => kind::CORE_GLOBAL,
                        ExternalKind::Tag => kind::CORE_TAG,
                    };
                    exports.push(item(export.name.to_owned(), kind));
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

fn item(name: String, kind: u32) -> OutlineItem {
    OutlineItem {
        name,
        kind,
        index: None,
        core_type: Vec::new(),
    }
}

/// Lists an item of a component, and the items in it.
fn component_item(
    prefix: &str,
    key: &str,
    found: Option<&ComponentItem>,
    types: TypesRef<'_>,
    items: &mut Vec<OutlineItem>,
) {
    let Some(found) = found else { return };
    let path = format!("{prefix}{}", found.full_name(key));
    match found.ty {
        ComponentEntityType::Func(_) => items.push(item(path, kind::FUNC)),
        ComponentEntityType::Module(_) => items.push(item(path, kind::MODULE)),
        ComponentEntityType::Instance(id) => {
            let prefix = format!("{path}#");
            items.push(item(path, kind::INSTANCE));
            for (key, inner) in &types[id].exports {
                component_item(&prefix, key, Some(inner), types, items);
            }
        }
        ComponentEntityType::Type { .. }
        | ComponentEntityType::Component(_)
        | ComponentEntityType::Value(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::{Options, compile, outline};

    #[test]
    fn binaries_are_told_by_their_first_bytes() {
        let options = Options::default();
        for input in [
            &b""[..],
            b"(module)",
            b"\0as",
            b"\x7fELF\x02\x01",
            b"\0asM\x01\0\0\0",
        ] {
            let error = compile(input, &options).unwrap_err().to_string();
            assert!(error.contains("expected a binary"), "{error}");
            let error = outline(input, &options).unwrap_err().to_string();
            assert!(error.contains("expected a binary"), "{error}");
        }
    }

    /// The outline agrees with the artifact's description.
    #[test]
    fn outlines_name_what_is_imported_and_exported() {
        let text = r#"(component
            (import "a:b/c@1.0.0" (instance (export "r" (type (sub resource))) (export "f" (func))))
            (core module $m (func (export "g")))
            (core instance $i (instantiate $m))
            (func (export "g") (canon lift (core func $i "g")))
            (export "m" (core module $m)))"#;
        let bytes = wat::parse_str(text).unwrap();
        let outline = outline(&bytes, &Options::default()).unwrap();
        let names = |items: &[super::OutlineItem]| -> Vec<String> {
            items.iter().map(|item| item.name.clone()).collect()
        };
        assert_eq!(
            names(&outline.imports),
            ["a:b/c@1.0.0", "a:b/c@1.0.0#r", "a:b/c@1.0.0#f"]
        );
        assert_eq!(names(&outline.exports), ["g", "m"]);
        assert!(outline.refusal.is_none());
        let names: Vec<_> = outline.needs.iter().map(|need| &*need.name).collect();
        assert_eq!(names, ["component-model"]);
    }
}
