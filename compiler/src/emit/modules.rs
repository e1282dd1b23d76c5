//! The records of core modules that a component imports or exports.

use std::collections::HashMap;

use cwasm_format::exports::{ExportRecord, IMPORTED, StrRef};
use cwasm_format::hash::TypeHash;
use cwasm_format::header::{NONE, PAGE_SIZE, SectionId};
use cwasm_format::imports::ImportRecord;
use cwasm_format::modules::{ModuleArgRecord, ModuleInstanceRecord};
use cwasm_format::resources::UseRange;
use cwasm_format::write::{Contents, Strings};
use wasmparser::TypeRef;

use super::parts::{ExportedModule, Parts};
use super::places::{func_place, global_place, is_checked, memory_place, table_place, tag_place};
use crate::component::declared::module_type;
use crate::env::FuncLoc;
use crate::error::{Error, Result};
use crate::link::Text;
use crate::module::{Import, tag_type};
use crate::plan::{CoreDef, CoreFunc, CoreItem, ImportItem, ModuleId};

/// The type of an imported module.
pub(super) fn encoded_type(
    parts: &Parts<'_, '_>,
    strings: &mut Strings,
    module: ModuleId,
) -> Result<StrRef> {
    let ty = module_type(&parts.modules[module.0 as usize])?;
    Ok(strings.add(&ty.encode()))
}

/// Appends the exports of imported modules' instances to the imports, and sets the records of these
/// instances.
pub(super) fn instances(
    parts: &Parts<'_, '_>,
    text: &Text,
    strings: &mut Strings,
    imports: &mut Vec<ImportRecord>,
    contents: &mut Contents,
) -> Result<()> {
    let Parts { unit, plan, .. } = parts;
    let mut slots = unit.import_slots.iter();
    let mut inits = parts.list.init_thunks.iter();
    let numbered = (0..).zip(&plan.imports);
    let module_imports: HashMap<ModuleId, u32> = numbered
        .filter_map(|(number, import)| match import.item {
            ImportItem::Module(module) => Some((module, number)),
            _ => None,
        })
        .collect();
    let (mut instances, mut args) = (Vec::new(), Vec::new());
    for (planned, env) in plan.instances.iter().zip(&unit.envs) {
        let module = &parts.modules[planned.module.0 as usize];
        if !module.is_declared {
            continue;
        }
        let mut memories = env.memories.iter();
        for (export, slot) in module.exports.iter().zip(&mut slots) {
            let ty = module.export_type(export);
            let is_checked = is_checked(ty, &mut memories).into();
            let (kind, ty) = module.extern_type(ty, None)?;
            imports.push(ImportRecord {
                module: StrRef::default(),
                name: strings.add(export.name.as_bytes()),
                kind,
                slot: *slot,
                hash: TypeHash([0; 2]),
                core_type: strings.add(&ty),
                index: instances.len() as u32,
                uses: UseRange::default(),
                is_checked,
            });
        }
        let init = inits.next().copied().flatten();
        instances.push(ModuleInstanceRecord {
            import: module_imports[&planned.module],
            init: init.map_or(NONE, |func| text.offset(func)),
            args: args.len() as u32,
            arg_count: planned.imports.len() as u32,
        });
        for (import, given) in module.imports.iter().zip(&planned.imports) {
            args.push(ModuleArgRecord {
                module: strings.add(import.module.as_bytes()),
                item: arg(parts, strings, module, import, *given)?,
            });
        }
    }
    contents.set_records(SectionId::ModuleInstances, &instances);
    contents.set_records(SectionId::ModuleArgs, &args);
    Ok(())
}

/// The record of an argument of an imported module's instance: the item that is given, with its
/// type.
fn arg(
    parts: &Parts<'_, '_>,
    strings: &mut Strings,
    module: &crate::module::Module<'_>,
    import: &Import<'_>,
    given: CoreDef,
) -> Result<ExportRecord> {
    let Parts { unit, plan, .. } = parts;
    let owner = |item: CoreItem| {
        let module = plan.instances[item.instance.0 as usize].module;
        let env = &unit.envs[item.instance.0 as usize];
        (&parts.modules[module.0 as usize], env, item.index as usize)
    };
    let (index, (kind, ty)) = match given {
        // A function has the same type on both sides.
        CoreDef::Func(func) => {
            let ty = module.extern_type(import.ty, Some(import.offset))?;
            (core_func_place(parts, func), ty)
        }
        CoreDef::Table(item) => {
            let (owner, env, index) = owner(item);
            let ty = TypeRef::Table(owner.tables[index]);
            (
                table_place(unit, env.tables[index]),
                owner.extern_type(ty, None)?,
            )
        }
        CoreDef::Memory(item) => {
            let (owner, env, index) = owner(item);
            let ty = TypeRef::Memory(owner.memories[index]);
            (
                memory_place(unit, env.memories[index].base),
                owner.extern_type(ty, None)?,
            )
        }
        CoreDef::Global(item) => {
            let (owner, env, index) = owner(item);
            let ty = TypeRef::Global(owner.globals[index]);
            (
                global_place(unit, env.globals[index]),
                owner.extern_type(ty, None)?,
            )
        }
        CoreDef::Tag(item) => {
            let (owner, env, index) = owner(item);
            let ty = TypeRef::Tag(tag_type(owner.tags[index]));
            (
                tag_place(unit, env.tags[index]),
                owner.extern_type(ty, None)?,
            )
        }
    };
    Ok(ExportRecord {
        name: strings.add(import.name.as_bytes()),
        kind,
        index,
        core_type: strings.add(&ty),
    })
}

/// Where the reference to a function of the plan is.
fn core_func_place(parts: &Parts<'_, '_>, func: CoreFunc) -> u32 {
    let Parts { unit, plan, .. } = parts;
    if let CoreFunc::Export { instance, index } = func {
        return func_place(unit, unit.envs[instance.0 as usize].funcs[index as usize]);
    }
    let (id, _) = unit.resolve(plan, func);
    // The references to functions that are not core functions come first, in the order of the text.
    let place = id.0 - unit.text_order.core_funcs();
    let func_ref = unit.func_refs.get(place as usize);
    let func_ref = func_ref.map(|func_ref| func_ref.slot);
    func_place(unit, FuncLoc::Local { func: id, func_ref })
}

/// The export of a module.
pub(super) fn export(parts: &Parts<'_, '_>, id: ModuleId) -> Result<(u32, StrRef)> {
    if parts.modules[id.0 as usize].is_declared {
        return Ok((parts.plan.module_import(id) | IMPORTED, StrRef::default()));
    }
    let mut offset = 0;
    for module in parts.exported {
        let len = module.bytes.len() as u64;
        if module.id == id {
            let range = |value| {
                let limit = u64::from(u32::MAX);
                u32::try_from(value)
                    .map_err(|_| Error::limit("bytes of exported core modules", value, limit))
            };
            let (offset, len) = (range(offset)?, range(len)?);
            return Ok((0, StrRef { offset, len }));
        }
        offset += len.next_multiple_of(PAGE_SIZE);
    }
    unreachable!("each module that is exported was compiled")
}

/// The artifacts of exported modules, one after the other.
pub(super) fn section(exported: &[ExportedModule]) -> Vec<u8> {
    let mut section = Vec::new();
    for module in exported {
        section.extend_from_slice(&module.bytes);
        section.resize(section.len().next_multiple_of(PAGE_SIZE as usize), 0);
    }
    section
}
