//! Decodes and validates: from bytes to core modules and component definitions.
//!
//! Payloads come in the order of the binary, those of nested modules and components between those
//! of their parents. Function bodies are only collected here; they are validated while they are
//! translated, in parallel.

use wasmparser::component_types::ComponentEntityType;
use wasmparser::types::TypesRef;
use wasmparser::{
    ComponentExternalKind, DataKind, ElementKind, Encoding, Parser, Payload, TableInit, TypeRef,
    ValidPayload, Validator,
};

use crate::component::concurrent;
use crate::component::debug_names::DebugNames;
use crate::component::declared::DeclaredModule;
use crate::component::names::ExternName;
use crate::component::types::{ResourcePaths, ResourceRef, TypeBuilder};
use crate::component::{Component, ImportType, InstanceShape, Item};
use crate::error::{Error, Result};
use crate::features::Features;
use crate::module::{Body, Data, Element, ElementItems, Import, Module, SegmentMode};
use crate::needs;
use crate::originals::{self, Originals};
use crate::plan::{ModuleId, ResourceOp};

/// The input, decoded.
pub(crate) struct Decoded<'a> {
    /// All core modules, in the order of the binary.
    pub(crate) modules: Vec<Module<'a>>,
    /// The outermost component; `None` if the input is a core module.
    pub(crate) component: Option<Component<'a>>,
    pub(crate) types: TypeBuilder,
}

/// A module or component that is being read.
enum Frame<'a> {
    Module(Box<Module<'a>>),
    Component(Component<'a>, Named<'a>),
}

/// The names that a component gives, and the indices of what has a name. The section of names may
/// come last.
#[derive(Default)]
struct Named<'a> {
    names: DebugNames<'a>,
    /// Module index of each core module that is defined here.
    modules: Vec<(u32, ModuleId)>,
    /// Component index of each component that is defined here, with its place in the items.
    components: Vec<(u32, usize)>,
}

/// Decodes `bytes`, which must outlive what is compiled from them.
pub(crate) fn decode(bytes: &[u8], features: Features) -> Result<Decoded<'_>> {
    let mut validator = Validator::new_with_features(features.flags());
    let mut stack: Vec<Frame<'_>> = Vec::new();
    let mut decoded = Decoded {
        modules: Vec::new(),
        component: None,
        types: TypeBuilder::default(),
    };
    let mut parser = Parser::new(0);
    parser.set_features(features.flags());
    for payload in parser.parse_all(bytes) {
        let payload = payload?;
        if let ValidPayload::Func(to_validate, body) = validator.payload(&payload)? {
            if let Some(Frame::Module(module)) = stack.last_mut() {
                module.bodies.push(Body {
                    validator: to_validate,
                    body,
                });
            }
            continue;
        }
        match payload {
            Payload::Version {
                encoding: Encoding::Module,
                range,
                ..
            } => {
                let module = Module {
                    range: range.start..range.end,
                    ..Module::default()
                };
                stack.push(Frame::Module(Box::new(module)));
            }
            Payload::Version {
                encoding: Encoding::Component,
                range,
                ..
            } => {
                let component = Component {
                    items: Vec::new(),
                    name: "",
                    offset: range.start,
                };
                stack.push(Frame::Component(component, Named::default()));
            }
            Payload::End(offset) => {
                if let Some(Frame::Module(module)) = stack.last_mut() {
                    module.range.end = offset;
                }
                end(&mut stack, &mut decoded, &validator);
            }
            payload => match stack.last_mut() {
                Some(Frame::Module(module)) => module_payload(module, payload)?,
                Some(Frame::Component(component, named)) => match payload {
                    Payload::CustomSection(section) => named.names.read(&section),
                    payload => {
                        component_payload(component, payload, &validator, &mut decoded.types)?;
                    }
                },
                None => {}
            },
        }
    }
    Ok(decoded)
}

/// Ends a module or component, which becomes an item of the component around it.
fn end<'a>(stack: &mut Vec<Frame<'a>>, decoded: &mut Decoded<'a>, validator: &Validator) {
    let item = match stack.pop() {
        Some(Frame::Module(module)) => {
            decoded.modules.push(*module);
            Item::CoreModule(ModuleId(decoded.modules.len() as u32 - 1))
        }
        Some(Frame::Component(mut component, named)) => {
            name_parts(&mut component, &named, &mut decoded.modules);
            if stack.is_empty() {
                decoded.component = Some(component);
                return;
            }
            Item::Component(component)
        }
        None => return,
    };
    if let (Some(Frame::Component(parent, named)), Some(types)) =
        (stack.last_mut(), validator.types(0))
    {
        // The validator has just counted the item.
        match &item {
            Item::CoreModule(id) => named.modules.push((types.module_count() - 1, *id)),
            _ => {
                let index = types.component_count() - 1;
                named.components.push((index, parent.items.len()));
            }
        }
        parent.items.push(item);
    }
}

/// Gives a component, and the modules and components in it, the names that it has for them.
fn name_parts<'a>(component: &mut Component<'a>, named: &Named<'a>, modules: &mut [Module<'a>]) {
    let Named { names, .. } = named;
    component.name = names.own;
    for (index, id) in &named.modules {
        if let Some(name) = names.modules.get(index) {
            modules[id.0 as usize].name = name;
        }
    }
    for (index, place) in &named.components {
        if let (Some(name), Item::Component(inner)) =
            (names.components.get(index), &mut component.items[*place])
        {
            inner.name = name;
        }
    }
}

fn module_payload<'a>(module: &mut Module<'a>, payload: Payload<'a>) -> Result<()> {
    match payload {
        Payload::TypeSection(reader) => types(module, reader)?,
        Payload::ImportSection(reader) => {
            for import in reader.into_imports_with_offsets() {
                let (offset, import) = import?;
                self::import(module, import, offset)?;
            }
        }
        Payload::FunctionSection(reader) => {
            for ty in reader {
                module.funcs.push(ty?);
            }
        }
        Payload::TableSection(reader) => {
            for table in reader {
                let table = table?;
                module.tables.push(table.ty);
                module.table_inits.push(match table.init {
                    TableInit::RefNull => None,
                    TableInit::Expr(expr) => Some(expr),
                });
            }
        }
        Payload::MemorySection(reader) => {
            for memory in reader {
                module.memories.push(memory?);
            }
        }
        Payload::GlobalSection(reader) => {
            for global in reader {
                let global = global?;
                module.globals.push(global.ty);
                module.global_inits.push(global.init_expr);
            }
        }
        Payload::ExportSection(reader) => {
            module.exports = reader.into_iter().collect::<Result<_, _>>()?;
        }
        Payload::StartSection { func, .. } => module.start = Some(func),
        Payload::ElementSection(reader) => {
            for element in reader {
                module.elements.push(self::element(element?)?);
            }
        }
        Payload::DataSection(reader) => {
            for data in reader {
                let data = data?;
                let mode = match data.kind {
                    DataKind::Passive => SegmentMode::Passive,
                    DataKind::Active {
                        memory_index,
                        offset_expr,
                    } => SegmentMode::Active {
                        index: memory_index,
                        offset: offset_expr,
                    },
                };
                module.data.push(Data {
                    mode,
                    bytes: data.data,
                });
            }
        }
        Payload::TagSection(reader) => {
            for tag in reader {
                module.tags.push(tag?.func_type_idx);
            }
        }
        Payload::CodeSectionStart {
            unchecked_range: range,
            ..
        } => {
            module.code_start = range.start;
            module.code_len = range.end - range.start;
        }
        Payload::CustomSection(section) if section.name() == "name" => names(module, &section),
        Payload::CustomSection(section) if section.name() == originals::SECTION => {
            module.originals = Originals::decode(section.data());
        }
        Payload::CustomSection(section) if section.name().starts_with(".debug_") => {
            module.debug_sections.push((section.name(), section.data()));
        }
        _ => {}
    }
    Ok(())
}

fn types<'a>(module: &mut Module<'a>, reader: wasmparser::TypeSectionReader<'a>) -> Result<()> {
    for group in reader.into_iter_with_offsets() {
        let (offset, group) = group?;
        let first = module.types.len();
        for ty in group.into_types() {
            match ty.composite_type.inner {
                wasmparser::CompositeInnerType::Func(func)
                    if ty.is_final && ty.supertype_idxs.is_empty() =>
                {
                    module.types.push(func);
                }
                _ => return Err(Error::unsupported("gc", offset)),
            }
        }
        let types = module.core_types.push_group(&module.types[first..]);
        types.map_err(|error| error.at(offset))?;
    }
    Ok(())
}

fn import<'a>(module: &mut Module<'a>, import: wasmparser::Import<'a>, offset: u64) -> Result<()> {
    match import.ty {
        TypeRef::Func(ty) => {
            module.funcs.push(ty);
            module.imported_funcs += 1;
        }
        TypeRef::Table(ty) => {
            module.tables.push(ty);
            module.imported_tables += 1;
        }
        TypeRef::Memory(ty) => {
            module.memories.push(ty);
            module.imported_memories += 1;
        }
        TypeRef::Global(ty) => {
            module.globals.push(ty);
            module.imported_globals += 1;
        }
        TypeRef::Tag(ty) => {
            module.tags.push(ty.func_type_idx);
            module.imported_tags += 1;
        }
        TypeRef::FuncExact(_) => return Err(Error::unsupported("custom-descriptors", offset)),
    }
    module.imports.push(Import {
        module: import.module,
        name: import.name,
        ty: import.ty,
        offset,
    });
    Ok(())
}

fn element(element: wasmparser::Element<'_>) -> Result<Element<'_>> {
    let mode = match element.kind {
        ElementKind::Passive => SegmentMode::Passive,
        ElementKind::Declared => SegmentMode::Declared,
        ElementKind::Active {
            table_index,
            offset_expr,
        } => SegmentMode::Active {
            index: table_index.unwrap_or(0),
            offset: offset_expr,
        },
    };
    let items = match element.items {
        wasmparser::ElementItems::Functions(funcs) => {
            ElementItems::Funcs(funcs.into_iter().collect::<Result<_, _>>()?)
        }
        wasmparser::ElementItems::Expressions(_, exprs) => {
            ElementItems::Exprs(exprs.into_iter().collect::<Result<_, _>>()?)
        }
    };
    Ok(Element { mode, items })
}

/// Reads the names of the module, its functions and tags. A name section never makes a module
/// invalid: names that cannot be read are left out.
fn names<'a>(module: &mut Module<'a>, section: &wasmparser::CustomSectionReader<'a>) {
    let wasmparser::KnownCustom::Name(names) = section.as_known() else {
        return;
    };
    for name in names {
        let (map, names, count) = match name {
            Ok(wasmparser::Name::Function(map)) => {
                (map, &mut module.func_names, module.funcs.len())
            }
            Ok(wasmparser::Name::Module { name, .. }) => {
                module.name = name;
                continue;
            }
            Ok(wasmparser::Name::Tag(map)) => (map, &mut module.tag_names, module.tags.len()),
            _ => continue,
        };
        names.resize(count, "");
        for naming in map.into_iter().flatten() {
            if let Some(place) = names.get_mut(naming.index as usize) {
                *place = naming.name;
            }
        }
    }
}

fn component_payload<'a>(
    component: &mut Component<'a>,
    payload: Payload<'a>,
    validator: &Validator,
    builder: &mut TypeBuilder,
) -> Result<()> {
    let Some(types) = validator.types(0) else {
        unreachable!("the validator is inside of the component");
    };
    match payload {
        Payload::InstanceSection(reader) => {
            for instance in reader {
                component.items.push(Item::CoreInstance(instance?));
            }
        }
        Payload::ComponentInstanceSection(reader) => {
            // The validator has seen the whole section: each item is an instance.
            let first = types.component_instance_count() - reader.count();
            for (index, instance) in (first..).zip(reader.into_iter_with_offsets()) {
                let (offset, instance) = instance?;
                let item = component_instance(index, instance, offset, types, builder);
                component.items.push(item);
            }
        }
        Payload::ComponentTypeSection(reader) => {
            let first = types.component_type_count() - reader.count();
            for (index, ty) in (first..).zip(reader.into_iter_with_offsets()) {
                if let (offset, wasmparser::ComponentType::Resource { rep, dtor }) = ty? {
                    if rep != wasmparser::ValType::I32 {
                        return Err(Error::unsupported(
                            "a resource whose representation is not i32",
                            offset,
                        ));
                    }
                    let id = types.component_any_type_at(index).unwrap_resource();
                    let resource = builder.resource(id.resource());
                    component.items.push(Item::Resource { resource, dtor });
                }
            }
        }
        Payload::ComponentAliasSection(reader) => {
            for alias in reader {
                component.items.push(Item::Alias(alias?));
            }
        }
        Payload::ComponentCanonicalSection(reader) => {
            for func in reader.into_iter_with_offsets() {
                let (offset, func) = func?;
                component
                    .items
                    .push(canonical(func, offset, types, builder)?);
            }
        }
        Payload::ComponentImportSection(reader) => {
            for import in reader.into_iter_with_offsets() {
                let (offset, import) = import?;
                // The resource types in an import's type belong to this import alone.
                let Some(item) = types.component_item_for_import(import.name.name) else {
                    unreachable!("the validator has seen the import");
                };
                let ty = import_type(&item.ty, offset, types, builder)?;
                let resources = builder.resources_of(&item.ty, types);
                component.items.push(Item::Import {
                    name: import.name.into(),
                    ty,
                    resources,
                    offset,
                });
            }
        }
        Payload::ComponentExportSection(reader) => {
            for export in reader {
                component.items.push(export_item(export?, types, builder));
            }
        }
        Payload::ComponentStartSection { range, .. } => {
            return Err(Error::unsupported(
                "component-model values (start functions)",
                range.start,
            ));
        }
        _ => {}
    }
    Ok(())
}

/// An export of a component.
fn export_item<'a>(
    export: wasmparser::ComponentExport<'a>,
    types: TypesRef<'_>,
    builder: &mut TypeBuilder,
) -> Item<'a> {
    let (kind, index) = (export.kind, export.index);
    let named_type = match kind {
        ComponentExternalKind::Type => builder.any(types.component_any_type_at(index), types),
        _ => None,
    };
    let resource = resource_at(kind, index, types, builder);
    // If the export ascribes another type, the validator gives its resource types other ids.
    let ascribed = export
        .ty
        .and(types.component_item_for_export(export.name.name));
    let resources = ascribed.map_or_else(Vec::new, |item| builder.resources_of(&item.ty, types));
    Item::Export {
        name: export.name.into(),
        kind,
        index,
        named_type,
        resource,
        resources,
    }
}

fn canonical<'a>(
    func: wasmparser::CanonicalFunction,
    offset: u64,
    types: TypesRef<'_>,
    builder: &mut TypeBuilder,
) -> Result<Item<'a>> {
    use wasmparser::CanonicalFunction;
    Ok(match func {
        CanonicalFunction::Lift {
            core_func_index,
            type_index,
            options,
        } => {
            let ty = types.component_any_type_at(type_index).unwrap_func();
            let ty = builder.func(ty, types);
            Item::Lift {
                core_func: core_func_index,
                ty,
                options,
                offset,
            }
        }
        CanonicalFunction::Lower {
            func_index,
            options,
        } => Item::Lower {
            func: func_index,
            options,
            offset,
        },
        CanonicalFunction::ResourceNew { resource } => {
            resource_func(ResourceOp::New, resource, types, builder)
        }
        CanonicalFunction::ResourceDrop { resource } => {
            resource_func(ResourceOp::Drop, resource, types, builder)
        }
        CanonicalFunction::ResourceRep { resource } => {
            resource_func(ResourceOp::Rep, resource, types, builder)
        }
        other => match concurrent::built_in(&other, offset, types, builder) {
            Some(found) => Item::BuiltIn(found),
            None => return Err(needs::definition(&other, offset)),
        },
    })
}

fn resource_func<'a>(
    op: ResourceOp,
    index: u32,
    types: TypesRef<'_>,
    builder: &mut TypeBuilder,
) -> Item<'a> {
    let id = types.component_any_type_at(index).unwrap_resource();
    let resource = builder.resource(id.resource());
    Item::ResourceFunc { op, resource }
}

/// The resource type that an item of this kind and index is.
fn resource_at(
    kind: ComponentExternalKind,
    index: u32,
    types: TypesRef<'_>,
    builder: &mut TypeBuilder,
) -> Option<ResourceRef> {
    match kind {
        ComponentExternalKind::Type => builder.any_resource(types.component_any_type_at(index)),
        _ => None,
    }
}

fn component_instance<'a>(
    index: u32,
    instance: wasmparser::ComponentInstance<'a>,
    offset: u64,
    types: TypesRef<'_>,
    builder: &mut TypeBuilder,
) -> Item<'a> {
    let mut resources = ResourcePaths::new();
    let items: Vec<_> = match &instance {
        wasmparser::ComponentInstance::Instantiate { args, .. } => {
            let ty = ComponentEntityType::Instance(types.component_instance_at(index));
            resources = builder.resources_of(&ty, types);
            args.iter().map(|arg| (arg.kind, arg.index)).collect()
        }
        // Its exports are known already.
        wasmparser::ComponentInstance::FromExports(exports) => exports
            .iter()
            .map(|export| (export.kind, export.index))
            .collect(),
    };
    let at = |(kind, index)| resource_at(kind, index, types, builder);
    Item::Instance {
        instance,
        types: items.into_iter().map(at).collect(),
        resources,
        offset,
    }
}

/// The import that has this type.
fn import_type(
    ty: &ComponentEntityType,
    offset: u64,
    types: TypesRef<'_>,
    builder: &mut TypeBuilder,
) -> Result<ImportType> {
    Ok(match *ty {
        ComponentEntityType::Func(ty) => ImportType::Func(builder.func(ty, types)),
        ComponentEntityType::Instance(ty) => {
            let mut exports = Vec::new();
            for (name, item) in &types[ty].exports {
                let ty = import_type(&item.ty, offset, types, builder)?;
                exports.push((ExternName::of_item(name, item), ty));
            }
            ImportType::Instance(InstanceShape { exports })
        }
        ComponentEntityType::Type { created, .. } => match builder.any_resource(created) {
            Some(resource) => ImportType::Resource(resource),
            None => ImportType::Type(builder.any(created, types)),
        },
        ComponentEntityType::Module(ty) => {
            builder
                .declared
                .push(DeclaredModule::new(ty, types, offset)?);
            ImportType::Module(builder.declared.len() as u32 - 1)
        }
        ComponentEntityType::Component(_) => ImportType::Unsupported("importing a component"),
        ComponentEntityType::Value(_) => ImportType::Unsupported("component-model values"),
    })
}
