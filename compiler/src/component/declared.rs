//! Core modules that a component imports, as the component declares them.
//!
//! To the rest of the compiler such a module is a [`Module`] without code, all of whose items are
//! imported: its instances take part in the plan and get places as others do.

use cwasm_format::modules::{CoreItem, ModuleType};
use wasmparser::component_types::ComponentCoreModuleTypeId;
use wasmparser::types::{EntityType, TypesRef};
use wasmparser::{Export, ExternalKind, FuncType, TypeRef, ValType};

use crate::error::{Error, Result};
use crate::module::{Import, Module, tag_type};

/// The type of a core module that is imported. Functions refer to its `types` by index.
#[derive(Default)]
pub(crate) struct DeclaredModule {
    types: Vec<FuncType>,
    /// Module name, name and type.
    imports: Vec<(String, String, TypeRef)>,
    exports: Vec<(String, TypeRef)>,
    /// Byte offset in the input.
    offset: u64,
}

impl DeclaredModule {
    /// Converts the validator's type.
    pub(crate) fn new(
        id: ComponentCoreModuleTypeId,
        types: TypesRef<'_>,
        offset: u64,
    ) -> Result<DeclaredModule> {
        let mut declared = DeclaredModule {
            offset,
            ..DeclaredModule::default()
        };
        for ((module, name), ty) in &types[id].imports {
            let ty = declared.item(ty, types)?;
            declared.imports.push((module.clone(), name.clone(), ty));
        }
        for (name, ty) in &types[id].exports {
            let ty = declared.item(ty, types)?;
            declared.exports.push((name.clone(), ty));
        }
        Ok(declared)
    }

    fn item(&mut self, ty: &EntityType, types: TypesRef<'_>) -> Result<TypeRef> {
        let is_plain = |ty: &ValType| match ty {
            ValType::Ref(ty) => ty.is_func_ref() || ty.is_extern_ref(),
            _ => true,
        };
        let content = match *ty {
            EntityType::Func(id) | EntityType::Tag(id) => {
                let group = types.rec_group_elements(types.rec_group_id_of(id));
                let func = types[id].unwrap_func();
                if group.len() != 1 || !func.params().iter().chain(func.results()).all(is_plain) {
                    return Err(self.unsupported("function-references"));
                }
                self.types.push(func.clone());
                let index = self.types.len() as u32 - 1;
                return Ok(match ty {
                    EntityType::Tag(_) => TypeRef::Tag(tag_type(index)),
                    _ => TypeRef::Func(index),
                });
            }
            EntityType::Table(ty) => ValType::Ref(ty.element_type),
            EntityType::Global(ty) => ty.content_type,
            EntityType::Memory(ty) => return Ok(TypeRef::Memory(ty)),
            EntityType::FuncExact(_) => return Err(self.unsupported("custom-descriptors")),
        };
        if !is_plain(&content) {
            return Err(self.unsupported("function-references"));
        }
        Ok(match *ty {
            EntityType::Table(ty) => TypeRef::Table(ty),
            EntityType::Global(ty) => TypeRef::Global(ty),
            _ => unreachable!("returned above"),
        })
    }

    fn unsupported(&self, feature: &str) -> Error {
        let feature = format!("{feature} in the type of an imported core module");
        Error::unsupported(feature, self.offset)
    }

    /// The module that stands for the imported one.
    pub(crate) fn module(&self) -> Result<Module<'_>> {
        let mut module = Module {
            is_declared: true,
            types: self.types.clone(),
            ..Module::default()
        };
        for ty in &self.types {
            module.core_types.push_group(std::slice::from_ref(ty))?;
        }
        module.imports = self
            .imports
            .iter()
            .map(|(from, name, ty)| Import {
                module: from,
                name,
                ty: *ty,
                offset: self.offset,
            })
            .collect();
        for (name, ty) in &self.exports {
            let (kind, count) = match *ty {
                TypeRef::Func(ty) => {
                    module.funcs.push(ty);
                    module.imported_funcs += 1;
                    (ExternalKind::Func, module.imported_funcs)
                }
                TypeRef::Table(ty) => {
                    module.tables.push(ty);
                    module.imported_tables += 1;
                    (ExternalKind::Table, module.imported_tables)
                }
                TypeRef::Memory(ty) => {
                    module.memories.push(ty);
                    module.imported_memories += 1;
                    (ExternalKind::Memory, module.imported_memories)
                }
                TypeRef::Global(ty) => {
                    module.globals.push(ty);
                    module.imported_globals += 1;
                    (ExternalKind::Global, module.imported_globals)
                }
                TypeRef::Tag(ty) => {
                    module.tags.push(ty.func_type_idx);
                    module.imported_tags += 1;
                    (ExternalKind::Tag, module.imported_tags)
                }
                TypeRef::FuncExact(_) => {
                    unreachable!("refused when the type was taken over")
                }
            };
            let index = count - 1;
            module.exports.push(Export { name, kind, index });
        }
        Ok(module)
    }
}

/// The type of a declared module as the artifact has it.
pub(crate) fn module_type(module: &Module<'_>) -> Result<ModuleType> {
    let item = |name: &str, ty, offset| -> Result<CoreItem> {
        let (kind, core_type) = module.extern_type(ty, offset)?;
        let name = name.to_owned();
        Ok(CoreItem {
            name,
            kind,
            core_type,
        })
    };
    let mut found = ModuleType::default();
    for import in &module.imports {
        let item = item(import.name, import.ty, Some(import.offset))?;
        found.imports.push((import.module.to_owned(), item));
    }
    for export in &module.exports {
        let item = item(export.name, module.export_type(export), None)?;
        found.exports.push(item);
    }
    Ok(found)
}
