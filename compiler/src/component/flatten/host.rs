//! The plan's imports and exports: those of the outermost component.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use cwasm_format::types::ResourceNumber;

use super::Flattener;
use super::scope::{Def, Exports, Func};
use crate::component::names::ExternName;
use crate::component::resolve::InstanceTypes;
use crate::component::{ImportType, InstanceShape};
use crate::error::{Error, Result};
use crate::plan::{ExportItem, ImportItem, ModuleId, PlanExport, PlanImport, ResourceOrigin};

/// A function that the outermost component exports. It has one lift, however many names it has.
#[derive(PartialEq, Eq, Hash)]
pub(super) enum Exported {
    /// Index into the plan's imports.
    Host(u32),
    /// Index into [`Flattener::lifts`].
    Lifted(usize),
}

impl<'a> Flattener<'_, 'a> {
    /// Adds an import of the outermost component, which the host provides. `prefix` is the part of
    /// its path before its name.
    pub(super) fn host_import<'d>(
        &mut self,
        types: &mut InstanceTypes,
        prefix: &str,
        name: &ExternName,
        ty: &ImportType,
        offset: u64,
    ) -> Result<Def<'d, 'a>> {
        let path = format!("{prefix}{}", name.full());
        if !name.annotations.is_empty() {
            let annotations = (path.clone(), name.annotations.clone());
            self.plan.import_externs.push(annotations);
        }
        let mut import = |item| {
            let path = path.clone();
            self.plan.imports.push(PlanImport { path, item });
            self.plan.imports.len() as u32 - 1
        };
        Ok(match ty {
            ImportType::Func(ty) => {
                let ty = self.types.func(*ty, types)?;
                let import = import(ImportItem::Func(ty));
                Def::Func(Func::Host { import, ty })
            }
            ImportType::Instance(shape) => {
                import(ImportItem::Instance);
                Def::Instance(Rc::new(self.host_instance(types, &path, shape, offset)?))
            }
            ImportType::Type(ty) => {
                let ty = ty.map(|ty| self.types.value(ty, types)).transpose()?;
                let named = ty.map(|ty| (path, ty));
                self.plan.type_names.extend(named);
                Def::Type(ty)
            }
            ImportType::Resource(resource) => {
                // A type that equals another one is not an import of its own.
                if let Some(number) = types.get(*resource) {
                    return Ok(Def::Resource(number));
                }
                let number = ResourceNumber(self.plan.resources.len() as u32);
                let origin = ResourceOrigin::Host {
                    import: import(ImportItem::Resource(number)),
                };
                let number = self.new_resource(path, origin)?;
                types.bind(*resource, number);
                Def::Resource(number)
            }
            ImportType::Module(declared) => {
                let module = ModuleId(self.first_declared + declared);
                import(ImportItem::Module(module));
                Def::Module(module)
            }
            ImportType::Unsupported(feature) => {
                return Err(Error::unsupported(*feature, offset));
            }
        })
    }

    pub(super) fn host_instance<'d>(
        &mut self,
        types: &mut InstanceTypes,
        path: &str,
        shape: &InstanceShape,
        offset: u64,
    ) -> Result<Exports<'d, 'a>> {
        let mut exports = Exports::default();
        let prefix = format!("{path}#");
        for (name, ty) in &shape.exports {
            let def = self.host_import(types, &prefix, name, ty, offset)?;
            exports.insert(name.clone(), def);
        }
        Ok(exports)
    }

    /// Adds the exports of the outermost component to the plan, by path. A function that is
    /// exported twice is lifted once.
    pub(super) fn export_paths(
        &mut self,
        prefix: &str,
        exports: &Exports<'_, 'a>,
        offset: u64,
        exported: &mut HashMap<Exported, u32>,
    ) -> Result<()> {
        let mut names = HashSet::new();
        for (name, def) in &exports.defs {
            let path = format!("{prefix}{}", name.full());
            // Keys differ, but names may be equal: `a:b/c@0.2` with the suffix `.1` is
            // `a:b/c@0.2.1`.
            if !names.insert(name.full()) {
                let message = format!("two exports are called `{path}`");
                return Err(Error::invalid(message, offset));
            }
            if !name.annotations.is_empty() {
                let annotations = (path.clone(), name.annotations.clone());
                self.plan.export_externs.push(annotations);
            }
            match def {
                Def::Func(Func::Lifted(lift)) => {
                    let index = *exported.entry(Exported::Lifted(*lift)).or_insert_with(|| {
                        self.plan.lifts.push(self.lifts[*lift]);
                        self.plan.lifts.len() as u32 - 1
                    });
                    let item = ExportItem::Func(index);
                    self.plan.exports.push(PlanExport { path, item });
                }
                Def::Func(Func::Host { import, ty }) => {
                    let index = match exported.entry(Exported::Host(*import)) {
                        Entry::Occupied(known) => *known.get(),
                        Entry::Vacant(new) => *new.insert(self.pass_through(*import, *ty)?),
                    };
                    let item = ExportItem::Func(index);
                    self.plan.exports.push(PlanExport { path, item });
                }
                Def::Instance(exports) => {
                    let inner = format!("{path}#");
                    let item = ExportItem::Instance;
                    self.plan.exports.push(PlanExport { path, item });
                    self.export_paths(&inner, exports, offset, exported)?;
                }
                Def::Module(module) => {
                    let item = ExportItem::Module(*module);
                    self.plan.exports.push(PlanExport { path, item });
                }
                Def::Component(_) => {
                    let feature = format!("exporting a component (`{path}`)");
                    return Err(Error::unsupported(feature, offset));
                }
                Def::Resource(number) => {
                    let resource = &mut self.plan.resources[number.0 as usize];
                    if resource.name.is_empty() {
                        resource.name.clone_from(&path);
                    }
                    let item = ExportItem::Resource(*number);
                    self.plan.exports.push(PlanExport { path, item });
                }
                Def::Type(ty) => self.plan.type_names.extend(ty.map(|ty| (path, ty))),
            }
        }
        Ok(())
    }
}
