//! Emits the artifact: fills its sections from a unit and its linked text.

mod debug;
mod images;
mod modules;
pub(crate) mod names;
pub(crate) mod parts;
mod places;
mod state;
mod timings;

use std::collections::HashMap;

use cwasm_format::abi::{MAX_FLAT_ASYNC_PARAMS, MAX_FLAT_PARAMS, PointerWidth};
use cwasm_format::code::{CoreTypeRecord, FuncRefRecord, RefSlotRecord};
use cwasm_format::concurrent::{ConcurrentRecord, Op, OpRecord, PLAIN, TaskRecord};
use cwasm_format::exceptions::TagRecord;
use cwasm_format::exports::{CanonOptions, ExportRecord, IMPORTED, LiftRecord, StrRef, kind};
use cwasm_format::hash::TypeHash;
use cwasm_format::header::{Kind, NO_INTERRUPTS, NONE, SectionId};
use cwasm_format::imports::{ImportRecord, LowerRecord};
use cwasm_format::resources::{
    HandleTableRecord, HandleUse, MAX_HANDLE_USES, NestRecord, ResourceRecord, UseRange,
};
use cwasm_format::types::{FuncType, ValueType};
use cwasm_format::write::{Contents, Facts, Strings};

use crate::env::MemoryBase;
use crate::error::{Error, Result};
use crate::ir::symbol::FuncId;
use crate::layout::UnitTag;
use crate::link::Text;
use crate::options::Debug;
use crate::outline;
use crate::plan::concurrent::{OpKind, TypeNumber};
use crate::plan::types::FuncTypeId;
use crate::plan::{
    CanonicalOptions, ComponentInstanceId, ExportItem, ImportItem, Plan, PlanExport, ResourceOrigin,
};

use parts::Parts;
use places::{export_place, is_checked};
pub(crate) use timings::timings;

/// What comes out.
#[derive(Default)]
pub(crate) struct Emitted {
    /// The bytes of the artifact.
    pub(crate) bytes: Vec<u8>,
    /// The bytes of the file beside it that has its debug information, if that is apart.
    pub(crate) debug: Option<Vec<u8>>,
    /// What could not be used of the input's debug information.
    pub(crate) warnings: Vec<String>,
}

/// The artifact.
pub(crate) fn emit(parts: &Parts<'_, '_>) -> Result<Emitted> {
    let compiled = parts.compiled;
    let arch = parts.target.arch;
    let text = Text::place(compiled)?;
    let mut contents = contents(parts, &text)?;
    // Relocations are resolved when every section's place is known.
    contents.set(SectionId::Text, vec![0; text.size as usize]);
    let linked = text.link(arch, compiled, &contents.place())?;
    contents.set(SectionId::Text, linked);
    let mut emitted = Emitted::default();
    if parts.debug != Debug::None {
        emitted.warnings = debug::set(parts, &text, &mut contents)?;
    }
    if parts.debug == Debug::Split {
        emitted.debug = Some(contents.split());
    }
    emitted.bytes = contents.write();
    Ok(emitted)
}

/// All sections but the text, which must be placed already.
pub(crate) fn contents(parts: &Parts<'_, '_>, text: &Text) -> Result<Contents> {
    let Parts {
        unit,
        list,
        compiled,
        target,
        ..
    } = parts;
    let mut contents = Contents::new(Facts {
        target: target.number,
        cpu_features: target.cpu_features,
        kind: unit.kind,
        context_size: unit.context_size,
        init_thunk: list
            .init_thunks
            .last()
            .copied()
            .flatten()
            .map_or(NONE, |func| text.offset(func)),
        thunks_start: text.thunks_start,
        type_ids: unit.type_ids,
        interrupt_slot: unit.interrupt_slot.unwrap_or(NO_INTERRUPTS),
    });
    let mut strings = Strings::default();
    match unit.kind {
        Kind::Component => component_records(parts, text, &mut strings, &mut contents)?,
        Kind::Module => module_records(parts, text, &mut strings, &mut contents)?,
    }
    contents.set_records(SectionId::Memories, &unit.memories);
    contents.set_records(SectionId::Tables, &unit.tables);
    contents.set_records(SectionId::Entries, &text.entries(compiled));
    contents.set_records(SectionId::Functions, &text.functions(compiled));
    contents.set_records(SectionId::Tags, &tags(parts, &mut strings));
    let catches = text.catches(compiled);
    contents.set_records(SectionId::CatchSites, &catches.sites);
    contents.set_records(SectionId::CatchLists, &catches.lists);
    contents.set_records(SectionId::Catches, &catches.catches);
    let (blocks, bytes) = text.traps(compiled);
    contents.set_records(SectionId::TrapBlocks, &blocks);
    contents.set(SectionId::TrapBytes, bytes);
    contents.set(SectionId::Strings, strings.into_bytes());
    images::set(unit, text, &mut contents);
    Ok(contents)
}

/// The tags of the unit.
fn tags(parts: &Parts<'_, '_>, strings: &mut Strings) -> Vec<TagRecord> {
    let unit = parts.unit;
    let of_instance = |tags: &[UnitTag]| {
        let env = &unit.envs[tags[0].instance as usize];
        let names = env.module.tag_names();
        let record = |tag: &UnitTag| TagRecord {
            slot: tag.slot,
            core_instance: tag.instance,
            index: tag.index,
            core_type: match unit.is_open {
                true => tag.type_number,
                false => NONE,
            },
            name: strings.add(names[tag.index as usize].as_bytes()),
        };
        tags.iter().map(record).collect::<Vec<_>>()
    };
    let tags = unit.tags.chunk_by(|a, b| a.instance == b.instance);
    tags.flat_map(of_instance).collect()
}

fn component_records(
    parts: &Parts<'_, '_>,
    text: &Text,
    strings: &mut Strings,
    contents: &mut Contents,
) -> Result<()> {
    let Parts { unit, plan, .. } = parts;
    let types = &plan.types;
    let hash = |ty: FuncTypeId| types.types.func_hash(types.get(ty));
    let mut uses = HandleUses::default();
    let mut imports = component_imports(parts, strings, &mut uses)?;
    modules::instances(parts, text, strings, &mut imports, contents)?;
    contents.set_records(SectionId::Imports, &imports);

    let thunk = |func| text.offset(parts.list.thunk(unit, plan, func));
    let canon_options =
        |options: &CanonicalOptions, component: ComponentInstanceId, uses| CanonOptions {
            memory: options.memory.map_or(NONE, |memory| {
                let env = &unit.envs[memory.instance.0 as usize];
                match env.memories[memory.index as usize].base {
                    MemoryBase::First { desc, .. } | MemoryBase::Own { desc } => desc,
                    MemoryBase::Import { slot } => slot | IMPORTED,
                }
            }),
            realloc: options.realloc.map_or(NONE, thunk),
            string_encoding: options.string_encoding.number(),
            handles: unit.handles[component.0 as usize],
            uses,
            is_64: (options.width == PointerWidth::W64).into(),
        };
    let mut lowers = Vec::new();
    for lower in &plan.lowers {
        let uses = uses.of(plan, lower.ty)?;
        lowers.push(LowerRecord {
            import: lower.import,
            flags: unit.flags[lower.component.0 as usize],
            options: canon_options(&lower.options, lower.component, uses),
        });
    }
    contents.set_records(SectionId::Lowers, &lowers);
    let mut lifts = Vec::new();
    for lift in &plan.lifts {
        let uses = uses.of(plan, lift.ty)?;
        lifts.push(LiftRecord {
            hash: hash(lift.ty),
            thunk: thunk(lift.func),
            post_return: lift.options.post_return.map_or(NONE, thunk),
            options: canon_options(&lift.options, lift.component, uses),
            flags: unit.flags[lift.component.0 as usize],
            func_type: lift.ty.0,
            task: lift.task.map_or(0, |task| task + 1),
        });
    }
    contents.set_records(SectionId::Lifts, &lifts);
    let places = plan.concurrent.places();
    let place = |component: ComponentInstanceId| places[component.0 as usize].unwrap_or(NONE);
    let number = |number: Option<TypeNumber>| number.map_or(0, |number| number.0 + 1);
    let mut tasks = Vec::new();
    for task in &plan.concurrent.tasks {
        let uses = uses.of(plan, task.ty)?;
        let result = types.get(task.ty).result;
        tasks.push(TaskRecord {
            thunk: thunk(task.func),
            post_return: task.options.post_return.map_or(NONE, thunk),
            callback: task.options.callback.map_or(NONE, thunk),
            is_async: task.options.is_async.into(),
            may_wait: types.get(task.ty).is_async.into(),
            options: canon_options(&task.options, task.component, uses),
            func_type: task.ty.0,
            result: number(plan.concurrent.number_of(&types.types, result)),
            instance: place(task.component),
        });
    }
    contents.set_records(SectionId::Tasks, &tasks);
    let mut ops = Vec::new();
    for op in &plan.concurrent.ops {
        let (mut ty, mut target, mut align, mut of) = (0, 0, 0, UseRange::default());
        let what = match op.kind {
            OpKind::Call { task, ty: func } => {
                (ty, target, of) = (func.0, task, uses.of(plan, func)?);
                align = plain_call(types.get(func), op.options.is_async);
                Op::Call
            }
            OpKind::CallHost { import, ty: func } => {
                (ty, target, of) = (func.0, import, uses.of(plan, func)?);
                Op::CallHost
            }
            OpKind::TaskReturn { result } => {
                ty = number(result);
                Op::TaskReturn
            }
            OpKind::Copy { op: what, payload } => {
                ty = number(payload);
                if let Some(payload) = payload {
                    let payload = plan.concurrent.numbered[payload.0 as usize];
                    of = uses.of_payload(plan, payload)?;
                    let extent = types.types.abi(payload).layout.at(op.options.width);
                    (target, align) = (extent.size, extent.align);
                    if types.types.abi(payload).is_plain {
                        align |= PLAIN;
                    }
                } else {
                    (target, align) = (0, 1 | PLAIN);
                }
                what
            }
            OpKind::Drop(resource) => {
                target = resource.0;
                Op::ResourceDrop
            }
            OpKind::Other(what) => what,
            // Code does them; nothing refers to their records.
            OpKind::ContextGet { .. } | OpKind::ContextSet { .. } => Op::TaskCancel,
        };
        ops.push(OpRecord {
            op: what as u32,
            is_async: op.options.is_async.into(),
            options: canon_options(&op.options, op.component, of),
            instance: place(op.component),
            ty,
            target,
            count: op
                .core_type(types, &plan.concurrent.numbered)
                .params()
                .len() as u32,
            align,
        });
    }
    contents.set_records(SectionId::Ops, &ops);
    let blocking = plan.concurrent.blocking(types);
    let instances = unit
        .concurrent
        .iter()
        .enumerate()
        .filter(|(_, slot)| **slot != NONE);
    let instances: Vec<_> = instances
        .map(|(component, slot)| ConcurrentRecord {
            flags: unit.flags[component],
            slot: *slot,
            handles: unit.handles[component],
            may_block: blocking[component].into(),
        })
        .collect();
    contents.set_records(SectionId::Concurrent, &instances);
    contents.set_records(SectionId::HandleUses, &uses.all);

    let mut exports: Vec<_> = plan.exports.iter().collect();
    exports.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
    let export = |export: &PlanExport| {
        let (kind, (index, core_type)) = match export.item {
            ExportItem::Func(lift) => (kind::FUNC, (lift, StrRef::default())),
            ExportItem::Instance => (kind::INSTANCE, (0, StrRef::default())),
            ExportItem::Resource(number) => (kind::RESOURCE, (number.0, StrRef::default())),
            ExportItem::Module(id) => (kind::MODULE, modules::export(parts, id)?),
        };
        Ok(ExportRecord {
            name: strings.add(export.path.as_bytes()),
            kind,
            index,
            core_type,
        })
    };
    let exports: Vec<ExportRecord> = exports.into_iter().map(export).collect::<Result<_>>()?;
    contents.set_exports(&exports, strings);
    contents.set(SectionId::Modules, modules::section(parts.exported));
    if unit.is_open {
        open_records(parts, text, strings, contents);
    }
    resource_records(parts, text, strings, contents);
    let description = outline::description(plan);
    contents.set(SectionId::Describe, description.encode());
    Ok(())
}

/// The records of a component's own imports, in the plan's order.
fn component_imports(
    parts: &Parts<'_, '_>,
    strings: &mut Strings,
    uses: &mut HandleUses,
) -> Result<Vec<ImportRecord>> {
    let Parts { unit, plan, .. } = parts;
    let types = &plan.types;
    let hash = |ty: FuncTypeId| types.types.func_hash(types.get(ty));
    let mut imports = Vec::new();
    let core_type = |item, strings: &mut Strings| match item {
        ImportItem::Module(module) => modules::encoded_type(parts, strings, module),
        _ => Ok(StrRef::default()),
    };
    for (import, slot) in plan.imports.iter().zip(&unit.host_slots) {
        let (kind, index, func) = match import.item {
            ImportItem::Func(ty) => (kind::FUNC, ty.0, Some(ty)),
            ImportItem::Instance => (kind::INSTANCE, NONE, None),
            ImportItem::Resource(number) => (kind::RESOURCE, number.0, None),
            ImportItem::Module(_) => (kind::MODULE, NONE, None),
        };
        imports.push(ImportRecord {
            module: StrRef::default(),
            name: strings.add(import.path.as_bytes()),
            kind,
            slot: *slot,
            hash: func.map_or(TypeHash([0; 2]), hash),
            core_type: core_type(import.item, strings)?,
            index,
            uses: func.map_or(Ok(UseRange::default()), |ty| uses.of(plan, ty))?,
            is_checked: 0,
        });
    }
    Ok(imports)
}

/// Resource types and handle tables.
fn resource_records(
    parts: &Parts<'_, '_>,
    text: &Text,
    strings: &mut Strings,
    contents: &mut Contents,
) {
    let Parts { unit, plan, .. } = parts;
    let mut resources = Vec::new();
    for resource in &plan.resources {
        let (flags, dtor, import) = match resource.origin {
            ResourceOrigin::Host { import } => (NONE, NONE, import),
            ResourceOrigin::Guest { component, dtor } => {
                let thunk = |func| text.offset(parts.list.thunk(unit, plan, func));
                let flags = unit.flags[component.0 as usize];
                (flags, dtor.map_or(NONE, thunk), NONE)
            }
        };
        resources.push(ResourceRecord {
            name: strings.add(resource.name.as_bytes()),
            flags,
            dtor,
            import,
            reserved: 0,
        });
    }
    contents.set_records(SectionId::Resources, &resources);
    let tables = unit.handles.iter().filter(|slot| **slot != NONE);
    let tables: Vec<_> = tables
        .map(|slot| HandleTableRecord { slot: *slot })
        .collect();
    contents.set_records(SectionId::HandleTables, &tables);
    let nests = unit.flags.iter().zip(&unit.nests);
    let nests: Vec<_> = nests
        .filter(|(_, nests)| **nests)
        .map(|(flags, _)| NestRecord { flags: *flags })
        .collect();
    contents.set_records(SectionId::Nests, &nests);
}

/// The handles in the types of functions that cross between host and guest, and in payloads. Each
/// function type is entered once.
#[derive(Default)]
struct HandleUses {
    all: Vec<HandleUse>,
    known: HashMap<FuncTypeId, UseRange>,
}

impl HandleUses {
    fn of(&mut self, plan: &Plan, ty: FuncTypeId) -> Result<UseRange> {
        if let Some(known) = self.known.get(&ty) {
            return Ok(*known);
        }
        let range = self.add(plan, plan.types.get(ty))?;
        self.known.insert(ty, range);
        Ok(range)
    }

    /// Those of a payload of streams or futures.
    fn of_payload(&mut self, plan: &Plan, payload: ValueType) -> Result<UseRange> {
        if !plan.types.types.has_handles(payload) {
            return Ok(UseRange::default());
        }
        let func = FuncType {
            params: Vec::new(),
            result: Some(payload),
            is_async: false,
        };
        self.add(plan, &func)
    }

    fn add(&mut self, plan: &Plan, func: &FuncType) -> Result<UseRange> {
        let left = MAX_HANDLE_USES - self.all.len();
        let Some(uses) = plan.types.types.handles(func, left) else {
            let limit = MAX_HANDLE_USES as u64;
            return Err(Error::limit(
                "handles in the types of imports and exports",
                limit + 1,
                limit,
            ));
        };
        let range = UseRange {
            start: self.all.len() as u32,
            len: uses.len() as u32,
        };
        self.all.extend(uses);
        Ok(range)
    }
}

fn module_records(
    parts: &Parts<'_, '_>,
    text: &Text,
    strings: &mut Strings,
    contents: &mut Contents,
) -> Result<()> {
    let unit = parts.unit;
    let module = unit.envs[0].module;
    let mut imports = Vec::new();
    let mut memories = unit.envs[0].memories.iter();
    for (import, slot) in module.imports.iter().zip(&unit.import_slots) {
        let (kind, ty) = module.extern_type(import.ty, Some(import.offset))?;
        imports.push(ImportRecord {
            module: strings.add(import.module.as_bytes()),
            name: strings.add(import.name.as_bytes()),
            kind,
            slot: *slot,
            hash: TypeHash([0; 2]),
            core_type: strings.add(&ty),
            index: NONE,
            uses: UseRange::default(),
            is_checked: is_checked(import.ty, &mut memories).into(),
        });
    }
    contents.set_records(SectionId::Imports, &imports);
    let mut sorted: Vec<_> = module.exports.iter().collect();
    sorted.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    let mut exports = Vec::new();
    for export in sorted {
        let (kind, ty) = module.extern_type(module.export_type(export), None)?;
        exports.push(ExportRecord {
            name: strings.add(export.name.as_bytes()),
            kind,
            index: export_place(unit, export),
            core_type: strings.add(&ty),
        });
    }
    contents.set_exports(&exports, strings);
    open_records(parts, text, strings, contents);
    Ok(())
}

/// The records of an open unit only: types, function references, and the slots that the loader
/// fills.
fn open_records(
    parts: &Parts<'_, '_>,
    text: &Text,
    strings: &mut Strings,
    contents: &mut Contents,
) {
    let Parts { unit, list, .. } = parts;
    let mut core_types = Vec::new();
    for (number, ty) in unit.types.iter().enumerate() {
        let offset = |func: Option<&FuncId>| func.map_or(NONE, |func| text.offset(*func));
        core_types.push(CoreTypeRecord {
            core_type: strings.add(&ty.encoded),
            array_thunk: offset(list.array_thunks.get(&(number as u32))),
            host_trampoline: offset(list.host_funcs.get(&(number as u32))),
        });
    }
    contents.set_records(SectionId::CoreTypes, &core_types);
    let func_refs: Vec<FuncRefRecord> = unit
        .func_refs
        .iter()
        .map(|func_ref| FuncRefRecord {
            slot: func_ref.slot,
            code: text.offset(func_ref.func),
            core_type: func_ref.type_number,
        })
        .collect();
    contents.set_records(SectionId::FuncRefs, &func_refs);
    let ref_slots = unit.ref_slots.iter();
    let ref_slots: Vec<RefSlotRecord> = ref_slots
        .map(|(slot, source)| RefSlotRecord {
            slot: *slot,
            source: source.number(),
        })
        .collect();
    contents.set_records(SectionId::RefSlots, &ref_slots);
}

/// What [`OpRecord::align`] says of a call of this type.
fn plain_call(func: &FuncType, is_async: bool) -> u32 {
    let size = |ty: ValueType| match ty {
        ValueType::U32 | ValueType::S32 | ValueType::F32 => Some(4),
        ValueType::U64 | ValueType::S64 | ValueType::F64 => Some(8),
        _ => None,
    };
    let most = match is_async {
        true => MAX_FLAT_ASYNC_PARAMS,
        false => MAX_FLAT_PARAMS,
    };
    let mut params = func.params.iter();
    let is_plain = func.params.len() <= most && params.all(|(_, ty)| size(*ty).is_some());
    let result = func.result.map_or(Some(0), size);
    match (is_plain, result) {
        (true, Some(size)) => PLAIN | size,
        _ => 0,
    }
}
