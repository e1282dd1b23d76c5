//! Core modules that components import and export.
#![allow(unsafe_code, reason = "runs code of an instance that is being made")]

use std::sync::Arc;

use cwasm_format::exports::{ExportRecord, IMPORTED};
use cwasm_format::modules::ModuleType;

use super::{Extern, Module, Setup, check_guard, exported, extern_type, string};
use crate::artifact::Unit;
use crate::artifact::plan::InstancePlan;
use crate::core_types::ExternType;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::vm::caller::Caller;
use crate::vm::initialize::run;
use crate::vm::instance::{InstanceData, Modules};
use crate::vm::items::Item;
use crate::vm::store_context::StoreContextMut;

impl Module {
    /// A module that a component exports, by a record that the plan has checked.
    ///
    /// # Errors
    /// If it is not the artifact of a module.
    pub(crate) fn exported(
        engine: &Engine,
        component: &Arc<Unit>,
        export: &ExportRecord,
    ) -> Result<Module> {
        Ok(Module {
            engine: engine.clone(),
            unit: component.embedded(engine.host(), export.core_type)?,
        })
    }

    /// The module of this unit.
    pub(crate) fn new(engine: &Engine, unit: &Arc<Unit>) -> Module {
        Module {
            engine: engine.clone(),
            unit: Arc::clone(unit),
        }
    }

    pub(crate) fn unit(&self) -> &Arc<Unit> {
        &self.unit
    }

    /// The engine that the module was loaded for.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The reasons why the module is not of this type, one in each text. It may import less than it
    /// is given, and export more than it must.
    ///
    /// # Errors
    /// If the artifact is malformed.
    pub(crate) fn mismatches(&self, declared: &ModuleType) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let decode = |kind, bytes: &[u8]| match ExternType::decode(kind, bytes) {
            Some(ty) => ty,
            None => unreachable!("the plan has checked all types"),
        };
        for import in self.imports()? {
            let path = format!("{}::{}", import.module, import.name);
            let given = declared.imports.iter().find(|(module, item)| {
                (module.as_str(), item.name.as_str()) == (import.module, import.name)
            });
            let Some((_, item)) = given else {
                found.push(format!("the module needs `{path}` ({})", import.ty));
                continue;
            };
            let given = decode(item.kind, &item.core_type);
            if !given.matches(&import.ty) {
                let expected = &import.ty;
                found.push(format!(
                    "the module needs {expected} as `{path}`, it gets {given}"
                ));
            }
        }
        let exports = self.exports()?;
        for item in &declared.exports {
            let expected = decode(item.kind, &item.core_type);
            let name = &item.name;
            match exports.iter().find(|(found, _)| *found == name) {
                None => found.push(format!("expected an export `{name}` ({expected})")),
                Some((_, ty)) if !ty.matches(&expected) => {
                    found.push(format!(
                        "expected the export `{name}` as {expected}, found {ty}"
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(found)
    }
}

/// Fills in the parts of a component's instance that only the loader knows: types and references.
pub(crate) fn fill_references(data: &InstanceData) {
    let setup = Setup { data };
    setup.fill_types();
    setup.fill_ref_slots();
}

/// Makes the instances of imported modules, and runs the component's code that comes before each.
///
/// # Errors
/// The guest's trap; there is not enough memory; or an export of a module cannot be imported.
///
/// # Safety
/// - `data` is an instance of the store, made by `plan`, whose imports and references are in place.
/// - `modules` has a module for each import that is one, which is of the type of that import.
pub(crate) unsafe fn instantiate_imported<T: 'static>(
    context: &mut StoreContextMut<'_, T>,
    data: &InstanceData,
    plan: &InstancePlan,
    modules: &Modules,
    caller: Caller,
) -> Result<()> {
    let artifact = data.unit().artifact();
    let mut linked: Vec<Item> = Vec::new();
    for planned in &plan.module_instances {
        if let Some(init) = planned.init {
            // SAFETY: a thunk without arguments, which needs only what is there by now (the
            // caller's contract).
            unsafe { run(context, data, init, caller) }?;
        }
        let Some(Some(unit)) = modules.get(planned.import) else {
            unreachable!("each import of a module was resolved")
        };
        let module = Module::new(context.engine(), unit);
        let store = context.opaque().id();
        let given = |(module, name): (&str, &str)| {
            let args = artifact.module_args()[planned.args.clone()].iter();
            let mut args = args.filter(|arg| {
                let unit = data.unit();
                string(unit, arg.module) == module && string(unit, arg.item.name) == name
            });
            let item = &args.next()?.item;
            Some(match item.index & IMPORTED {
                0 => Extern::new(store, exported(data, item)),
                _ => Extern::new(store, linked[(item.index & !IMPORTED) as usize]),
            })
        };
        let imports = module.imports()?.into_iter();
        let given = imports.map(|import| {
            given((import.module, import.name)).ok_or_else(|| {
                Error::msg(format!(
                    "nothing is given for `{}::{}`",
                    import.module, import.name
                ))
            })
        });
        let given: Vec<Extern> = given.collect::<Result<_>>()?;
        let instance = module.instantiate_for(context, &given, caller)?;
        for record in &artifact.imports()[planned.exports.clone()] {
            let name = string(data.unit(), record.name);
            let Some(found) = instance.get(&*context, name)? else {
                return Err(Error::msg(format!("the module exports no `{name}`")));
            };
            let found = found.item();
            let ty = extern_type(data.unit(), record.kind, record.core_type);
            check_guard(&found, &ty, record)
                .map_err(|detail| Error::msg(format!("the module's export `{name}`: {detail}")))?;
            let setup = Setup { data };
            setup.link(record, &found)?;
            linked.push(found);
        }
    }
    Ok(())
}
