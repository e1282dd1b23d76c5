//! The records that instantiation follows, checked once for each artifact.
//!
//! Input: the records of an artifact, any of which may be wrong. Output: an [`InstancePlan`], whose
//! fields need no further check.

mod modules;
#[cfg(feature = "async")]
mod tasks;

#[cfg(feature = "recycle")]
use std::ops::Range;

use cwasm_format::FormatError;
use cwasm_format::data::{
    CHECKED_GUARD_SIZE, GUARD_SIZE, IMAGE_CONTEXT, ImageRecord, MAX_MAPPED_RUNS, MAX_RESERVATION,
    MAX_TABLE_ELEMENTS, MemoryRecord, RESERVATION_32,
};
use cwasm_format::exports::{ExportRecord, IMPORTED, StrRef, kind};
use cwasm_format::header::{Kind, NONE, SectionId};
use cwasm_format::imports::ImportRecord;
use cwasm_format::imports::core_type::{self, ValType};
use cwasm_format::vmctx::{
    VmFuncImport, VmFuncRef, VmHandles, VmHostImport, VmMemory, VmTable, VmTag,
};

use crate::artifact::records::{OptionSlots, RecordId, Records, record_id};
use crate::artifact::text::Code;
use crate::core_types::ExternType;
use crate::sys::PAGE_SIZE;
use crate::sys::memory::round_up;
pub(crate) use modules::ModuleInstancePlan;

/// How an instance of an artifact is laid out, and what it starts from.
#[derive(Debug)]
pub(crate) struct InstancePlan {
    /// Bytes of the context: whole pages.
    pub(crate) context_size: usize,
    pub(crate) memories: Box<[MemoryPlan]>,
    pub(crate) tables: Box<[TablePlan]>,
    /// Context offset of the `VmHandles` of each handle table.
    pub(crate) handle_tables: Box<[u32]>,
    /// By target and offset; no two of them overlap.
    pub(crate) runs: Box<[Run]>,
    /// How many of the runs are mapped.
    pub(crate) mapped_runs: usize,
    /// Instances of imported core modules, in the order in which they are made.
    pub(crate) module_instances: Box<[ModuleInstancePlan]>,
    /// The code that runs when everything else is done.
    pub(crate) init: Option<Code>,
    /// Context offset of the address of the page that interruptible code checks.
    pub(crate) interrupt_slot: Option<u32>,
    /// Whether its code throws.
    pub(crate) has_tags: bool,
}

/// A memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryPlan {
    /// Context offset of its `VmMemory`.
    pub(crate) slot: usize,
    pub(crate) page_log2: u32,
    /// Whether other threads may use it at the same time.
    pub(crate) is_shared: bool,
    /// Initial size in bytes; `usize::MAX` if that is more than the reservation.
    pub(crate) byte_len: usize,
    /// Most bytes that it can have: at most the reservation.
    pub(crate) max_byte_len: usize,
    /// Bytes of address space that it may use and that code touches without a check.
    pub(crate) reservation: usize,
    /// Inaccessible bytes after these.
    pub(crate) guard_size: usize,
    /// Whether code checks accesses, so that a smaller reservation will do.
    pub(crate) is_checked: bool,
}

/// A table: its elements lie in the context.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TablePlan {
    /// Context offset of its `VmTable`.
    pub(crate) slot: usize,
    /// Context offset of its elements.
    pub(crate) elements: usize,
    pub(crate) len: u64,
}

/// A run of an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Index of the memory; `None` for the context.
    pub(crate) memory: Option<usize>,
    /// Whether it is mapped: whole pages, of the target and of the images.
    pub(crate) is_mapped: bool,
    /// Bytes from the start of the target.
    pub(crate) offset: usize,
    /// Bytes from the start of the images.
    pub(crate) source: usize,
    pub(crate) size: usize,
}

impl InstancePlan {
    /// Checks all records of the artifact that instantiating it follows.
    pub(crate) fn new(records: &Records<'_>) -> Result<InstancePlan, FormatError> {
        let artifact = records.artifact;
        let header = artifact.header();
        let found = artifact.memories().iter().enumerate();
        let memories = found
            .map(|(index, memory)| plan_memory(record_id(SectionId::Memories, index), memory))
            .collect::<Result<Box<[_]>, _>>()?;
        let found = artifact.image_runs().iter().enumerate();
        let images = artifact.section(SectionId::Images).len() as u64;
        let context_size = header.context_size as usize;
        let runs = found
            .map(|(index, run)| {
                let record = record_id(SectionId::ImageRuns, index);
                plan_run(context_size, &memories, images, record, run)
            })
            .collect::<Result<Box<[_]>, _>>()?;
        check_order(&runs)?;
        let mut mapped = runs.iter().enumerate().filter(|(_, run)| run.is_mapped);
        if let Some((index, _)) = mapped.nth(MAX_MAPPED_RUNS) {
            return Err(record_id(SectionId::ImageRuns, index).error("is_mapped", 1u32));
        }
        let claims = claim(records)?;
        let tables = artifact.tables().iter().map(|table| TablePlan {
            slot: table.slot as usize,
            elements: table.elements as usize,
            len: table.len,
        });
        let tables = tables.collect();
        let references = References::check(records, &claims)?;
        let module_instances = match artifact.kind() {
            Kind::Component => {
                check_component(records, &claims)?;
                modules::plan_instances(records, &claims, &references)?
            }
            Kind::Module => {
                check_module(records, &claims, &references)?;
                Box::default()
            }
        };
        let header_record = RecordId {
            section: SectionId::Text,
            index: 0,
        };
        let init = records.optional_code(header_record, "init_thunk", header.init_thunk)?;
        Ok(InstancePlan {
            context_size,
            memories,
            tables,
            handle_tables: artifact.handle_tables().iter().map(|t| t.slot).collect(),
            mapped_runs: runs.iter().filter(|run| run.is_mapped).count(),
            runs,
            module_instances,
            init,
            interrupt_slot: records.interrupt_slot(),
            has_tags: !artifact.tags().is_empty(),
        })
    }

    /// The runs that are in this part of a memory, or of the context, in ascending order: those at
    /// the ends may be longer.
    #[cfg(feature = "recycle")]
    pub(crate) fn runs_in(
        &self,
        memory: Option<usize>,
        part: Range<usize>,
    ) -> impl Iterator<Item = &Run> {
        let ends_before = |run: &Run| (run.memory, run.offset + run.size) <= (memory, part.start);
        let first = self.runs.partition_point(ends_before);
        let runs = self.runs[first..].iter();
        runs.take_while(move |run| run.memory == memory && run.offset < part.end)
    }
}

/// Checks that runs come by target and offset, and that no two of them overlap.
fn check_order(runs: &[Run]) -> Result<(), FormatError> {
    let is_after = |pair: &[Run]| {
        let (first, second) = (&pair[0], &pair[1]);
        match first.memory == second.memory {
            true => first.offset + first.size <= second.offset,
            false => first.memory < second.memory,
        }
    };
    match runs.windows(2).position(|pair| !is_after(pair)) {
        Some(index) => {
            let record = record_id(SectionId::ImageRuns, index + 1);
            Err(record.error("offset", runs[index + 1].offset as u64))
        }
        None => Ok(()),
    }
}

fn plan_memory(record: RecordId, memory: &MemoryRecord) -> Result<MemoryPlan, FormatError> {
    if memory.page_log2 > 16 {
        return Err(record.error("page_log2", memory.page_log2));
    }
    if memory.is_checked > 1 {
        return Err(record.error("is_checked", memory.is_checked));
    }
    if memory.is_shared > 1 {
        return Err(record.error("is_shared", memory.is_shared));
    }
    if memory.reservation > MAX_RESERVATION || !is_paged(memory.reservation) {
        return Err(record.error("reservation", memory.reservation));
    }
    if memory.guard_size > MAX_RESERVATION || !is_paged(memory.guard_size) {
        return Err(record.error("guard_size", memory.guard_size));
    }
    // As the compiler makes them: code touches what these say without a check.
    let is_sound = match memory.is_checked {
        0 => {
            memory.page_log2 == 16
                && memory.reservation == RESERVATION_32
                && memory.guard_size == GUARD_SIZE
        }
        _ => memory.guard_size == CHECKED_GUARD_SIZE,
    };
    if !is_sound {
        return Err(record.error("guard_size", memory.guard_size));
    }
    let bytes = |pages: u64| pages.checked_mul(1 << memory.page_log2);
    if memory.max < memory.min {
        return Err(record.error("max", memory.max));
    }
    // One that does not fit is refused when it is reserved.
    let byte_len = bytes(memory.min).filter(|len| *len <= memory.reservation);
    let byte_len = byte_len.unwrap_or(u64::MAX);
    let max_byte_len = bytes(memory.max)
        .unwrap_or(u64::MAX)
        .min(memory.reservation);
    Ok(MemoryPlan {
        slot: memory.slot as usize,
        page_log2: memory.page_log2.into(),
        is_shared: memory.is_shared == 1,
        byte_len: byte_len as usize,
        max_byte_len: max_byte_len as usize,
        reservation: memory.reservation as usize,
        guard_size: memory.guard_size as usize,
        is_checked: memory.is_checked == 1,
    })
}

fn is_paged(value: u64) -> bool {
    value.is_multiple_of(PAGE_SIZE as u64)
}

fn plan_run(
    context_size: usize,
    memories: &[MemoryPlan],
    images: u64,
    record: RecordId,
    run: &ImageRecord,
) -> Result<Run, FormatError> {
    let (memory, target_size) = if run.target == IMAGE_CONTEXT {
        (None, Some(context_size))
    } else {
        let index = run.target as usize;
        (
            Some(index),
            memories
                .get(index)
                // Of one that cannot be reserved nothing is filled.
                .map(|memory| round_up(memory.byte_len).unwrap_or(usize::MAX)),
        )
    };
    let Some(target_size) = target_size else {
        return Err(record.error("target", run.target));
    };
    if run.is_mapped > 1 {
        return Err(record.error("is_mapped", run.is_mapped));
    }
    let is_mapped = run.is_mapped == 1;
    let is_placed = |value| !is_mapped || is_paged(value);
    let source_end = run.source.checked_add(run.size);
    if !is_placed(run.source) || source_end.is_none_or(|end| end > images) {
        return Err(record.error("source", run.source));
    }
    let end = run.offset.checked_add(run.size);
    if !is_placed(run.offset) || end.is_none_or(|end| end > target_size as u64) {
        return Err(record.error("offset", run.offset));
    }
    if !is_placed(run.size) || run.size == 0 {
        return Err(record.error("size", run.size));
    }
    Ok(Run {
        memory,
        is_mapped,
        offset: run.offset as usize,
        source: run.source as usize,
        size: run.size as usize,
    })
}

/// Parts of the context that the loader writes or relies on: no two of them overlap, and nothing
/// else that records name may touch them.
struct Claims(Vec<Claim>);

#[derive(Clone, Copy)]
struct Claim {
    start: u64,
    size: u64,
    record: RecordId,
    /// Table elements: references may be written there.
    is_elements: bool,
}

impl Claims {
    /// Adds room for `count` values of type `T`, which is checked to be inside the context.
    fn add<T>(
        &mut self,
        records: &Records<'_>,
        record: RecordId,
        field: &'static str,
        (offset, count): (u32, u32),
    ) -> Result<(), FormatError> {
        records.check_slot::<T>(record, field, offset, count)?;
        let size = size_of::<T>() as u64 * u64::from(count);
        if size != 0 {
            let is_elements = field == "elements";
            self.0.push(Claim {
                start: offset.into(),
                size,
                record,
                is_elements,
            });
        }
        Ok(())
    }

    fn sort(&mut self) -> Result<(), FormatError> {
        self.0.sort_unstable_by_key(|claim| claim.start);
        match self
            .0
            .windows(2)
            .find(|pair| pair[1].start < pair[0].start + pair[0].size)
        {
            Some(pair) => Err(pair[1].record.error("slot", pair[1].start)),
            None => Ok(()),
        }
    }

    /// Checks that a `T` can be at this offset without touching what is claimed; `elements` says
    /// whether it may be an element of a table.
    fn check_free<T>(
        &self,
        records: &Records<'_>,
        record: RecordId,
        field: &'static str,
        offset: u32,
        elements: bool,
    ) -> Result<(), FormatError> {
        records.check_slot::<T>(record, field, offset, 1)?;
        let end = u64::from(offset) + size_of::<T>() as u64;
        let next = self.0.partition_point(|claim| claim.start < end);
        let touched = next
            .checked_sub(1)
            .map(|index| self.0[index])
            .is_some_and(|claim| {
                claim.start + claim.size > offset.into() && !(elements && claim.is_elements)
            });
        if touched {
            Err(record.error(field, offset))
        } else {
            Ok(())
        }
    }
}

/// All that the loader writes to the context.
fn claim(records: &Records<'_>) -> Result<Claims, FormatError> {
    let artifact = records.artifact;
    let mut claims = Claims(Vec::new());
    for (index, memory) in artifact.memories().iter().enumerate() {
        let record = record_id(SectionId::Memories, index);
        claims.add::<VmMemory>(records, record, "slot", (memory.slot, 1))?;
    }
    for (index, table) in artifact.tables().iter().enumerate() {
        let record = record_id(SectionId::Tables, index);
        claims.add::<VmTable>(records, record, "slot", (table.slot, 1))?;
        // One with more elements cannot be instantiated.
        if table.len <= MAX_TABLE_ELEMENTS {
            let elements = (table.elements, table.len as u32);
            claims.add::<u64>(records, record, "elements", elements)?;
        }
    }
    for (index, table) in artifact.handle_tables().iter().enumerate() {
        let record = record_id(SectionId::HandleTables, index);
        claims.add::<VmHandles>(records, record, "slot", (table.slot, 1))?;
    }
    for (index, import) in artifact.imports().iter().enumerate() {
        let record = record_id(SectionId::Imports, index);
        let slot = (import.slot, 1);
        match import.kind {
            _ if import.slot == NONE => {}
            kind::FUNC | kind::RESOURCE => {
                claims.add::<VmHostImport>(records, record, "slot", slot)?
            }
            kind::CORE_FUNC => claims.add::<VmFuncImport>(records, record, "slot", slot)?,
            kind::CORE_TABLE | kind::CORE_MEMORY | kind::CORE_GLOBAL | kind::CORE_TAG => {
                claims.add::<u64>(records, record, "slot", slot)?;
            }
            _ => {}
        }
    }
    for (index, func_ref) in artifact.func_refs().iter().enumerate() {
        let record = record_id(SectionId::FuncRefs, index);
        claims.add::<VmFuncRef>(records, record, "slot", (func_ref.slot, 1))?;
    }
    for (index, tag) in artifact.tags().iter().enumerate() {
        // The slots of imported ones are those of imports.
        if tag.slot != NONE && tag.slot & IMPORTED == 0 {
            let record = record_id(SectionId::Tags, index);
            claims.add::<VmTag>(records, record, "slot", (tag.slot, 1))?;
        }
    }
    let type_ids = artifact.header().type_ids;
    if type_ids != NONE {
        let record = RecordId {
            section: SectionId::CoreTypes,
            index: 0,
        };
        let count = artifact.core_types().len() as u32;
        claims.add::<u32>(records, record, "type_ids", (type_ids, count))?;
    }
    if let Some(slot) = records.interrupt_slot() {
        let record = RecordId {
            section: SectionId::Text,
            index: 0,
        };
        claims.add::<u64>(records, record, "interrupt_slot", (slot, 1))?;
    }
    claims.sort()?;
    Ok(claims)
}

/// Checks what describes a component's functions in both directions.
fn check_component(records: &Records<'_>, claims: &Claims) -> Result<(), FormatError> {
    let artifact = records.artifact;
    let (lifts, imports) = (artifact.lifts(), artifact.imports());
    for (index, import) in imports.iter().enumerate() {
        let record = record_id(SectionId::Imports, index);
        check_name(records, record, "name", import.name)?;
        match import.kind {
            kind::RESOURCE if import.index as usize >= artifact.resources().len() => {
                return Err(record.error("index", import.index));
            }
            kind::MODULE => modules::check_module_type(records, record, import.core_type)?,
            kind::FUNC | kind::INSTANCE | kind::RESOURCE => {}
            kind::CORE_FUNC | kind::CORE_TABLE | kind::CORE_MEMORY => {}
            kind::CORE_GLOBAL | kind::CORE_TAG => {}
            other => return Err(record.error("kind", other)),
        }
        records.check_uses(record, import.uses)?;
    }
    for (index, export) in artifact.exports().iter().enumerate() {
        let record = record_id(SectionId::Exports, index);
        check_name(records, record, "name", export.name)?;
        match export.kind {
            kind::FUNC if export.index as usize >= lifts.len() => {
                return Err(record.error("index", export.index));
            }
            kind::RESOURCE if export.index as usize >= artifact.resources().len() => {
                return Err(record.error("index", export.index));
            }
            kind::MODULE => modules::check_export(records, record, export)?,
            kind::FUNC | kind::INSTANCE | kind::RESOURCE => {}
            other => return Err(record.error("kind", other)),
        }
    }
    check_resources(records, claims)?;
    let slots = OptionSlots::of(&records.artifact);
    for (index, lift) in lifts.iter().enumerate() {
        let record = record_id(SectionId::Lifts, index);
        records.code(record, "thunk", lift.thunk)?;
        records.optional_code(record, "post_return", lift.post_return)?;
        records.check_options(&slots, record, &lift.options, lift.flags)?;
        claims.check_free::<u32>(records, record, "flags", lift.flags, false)?;
    }
    for (index, nest) in artifact.nests().iter().enumerate() {
        let record = record_id(SectionId::Nests, index);
        claims.check_free::<u32>(records, record, "flags", nest.flags, false)?;
    }
    #[cfg(feature = "async")]
    tasks::check(records, claims, &slots)?;
    for (index, lower) in artifact.lowers().iter().enumerate() {
        let record = record_id(SectionId::Lowers, index);
        if imports
            .get(lower.import as usize)
            .is_none_or(|import| import.kind != kind::FUNC)
        {
            return Err(record.error("import", lower.import));
        }
        records.check_options(&slots, record, &lower.options, lower.flags)?;
        claims.check_free::<u32>(records, record, "flags", lower.flags, false)?;
    }
    Ok(())
}

/// Checks resource types, and the handles in functions' types.
fn check_resources(records: &Records<'_>, claims: &Claims) -> Result<(), FormatError> {
    let artifact = records.artifact;
    let resources = artifact.resources();
    for (index, resource) in resources.iter().enumerate() {
        let record = record_id(SectionId::Resources, index);
        check_name(records, record, "name", resource.name)?;
        records.optional_code(record, "dtor", resource.dtor)?;
        if resource.flags != NONE {
            claims.check_free::<u32>(records, record, "flags", resource.flags, false)?;
            continue;
        }
        let import = artifact.imports().get(resource.import as usize);
        let is_found =
            |import: &ImportRecord| import.kind == kind::RESOURCE && import.index as usize == index;
        if !import.is_some_and(is_found) {
            return Err(record.error("import", resource.import));
        }
    }
    for (index, handle) in artifact.handle_uses().iter().enumerate() {
        if handle.resource().0 as usize >= resources.len() {
            let record = record_id(SectionId::HandleUses, index);
            return Err(record.error("resource", handle.0));
        }
    }
    Ok(())
}

/// Where an open unit's references are, for what names them. Other units have none.
struct References {
    /// Context offsets of the `VmFuncRef`s, sorted.
    func_refs: Vec<u32>,
    /// Those of tables, sorted.
    tables: Vec<u32>,
    /// Those of memories, sorted.
    memories: Vec<u32>,
    /// Those of tags, sorted.
    tags: Vec<u32>,
}

impl References {
    /// Checks types, references and what is filled in with them.
    fn check(records: &Records<'_>, claims: &Claims) -> Result<References, FormatError> {
        let artifact = records.artifact;
        for (index, ty) in artifact.core_types().iter().enumerate() {
            let record = record_id(SectionId::CoreTypes, index);
            check_type(records, record, kind::CORE_FUNC, ty.core_type)?;
            records.optional_code(record, "array_thunk", ty.array_thunk)?;
            records.optional_code(record, "host_trampoline", ty.host_trampoline)?;
        }
        let mut func_refs = Vec::with_capacity(artifact.func_refs().len());
        for (index, func_ref) in artifact.func_refs().iter().enumerate() {
            let record = record_id(SectionId::FuncRefs, index);
            records.code(record, "code", func_ref.code)?;
            if func_ref.core_type as usize >= artifact.core_types().len() {
                return Err(record.error("core_type", func_ref.core_type));
            }
            func_refs.push(func_ref.slot);
        }
        func_refs.sort_unstable();
        // A component's imports of functions are not there yet when references are filled in.
        let is_module = artifact.kind() == Kind::Module;
        let imports = artifact
            .imports()
            .iter()
            .filter(|import| is_module && import.kind == kind::CORE_FUNC && import.slot != NONE);
        let mut func_imports: Vec<u32> = imports.map(|import| import.slot).collect();
        func_imports.sort_unstable();
        for (index, slot) in artifact.ref_slots().iter().enumerate() {
            let record = record_id(SectionId::RefSlots, index);
            claims.check_free::<u64>(records, record, "slot", slot.slot, true)?;
            let sources = if slot.source & IMPORTED == 0 {
                &func_refs
            } else {
                &func_imports
            };
            if sources.binary_search(&(slot.source & !IMPORTED)).is_err() {
                return Err(record.error("source", slot.source));
            }
        }
        let mut tables: Vec<u32> = artifact.tables().iter().map(|table| table.slot).collect();
        tables.sort_unstable();
        let memories = artifact.memories().iter().map(|memory| memory.slot);
        let mut memories: Vec<u32> = memories.collect();
        memories.sort_unstable();
        Ok(References {
            func_refs,
            tables,
            memories,
            tags: check_tags(records)?,
        })
    }

    /// Checks where something of the unit's own is that others can use.
    fn check_item(
        &self,
        records: &Records<'_>,
        claims: &Claims,
        record: RecordId,
        item: &ExportRecord,
    ) -> Result<bool, FormatError> {
        Ok(match item.kind {
            kind::CORE_FUNC => self.func_refs.binary_search(&item.index).is_ok(),
            kind::CORE_TABLE => self.tables.binary_search(&item.index).is_ok(),
            kind::CORE_MEMORY => self.memories.binary_search(&item.index).is_ok(),
            kind::CORE_TAG => self.tags.binary_search(&item.index).is_ok(),
            _ => check_global(records, claims, record, item)?,
        })
    }
}

/// Checks the tags, and returns the context offsets of the unit's own, sorted.
fn check_tags(records: &Records<'_>) -> Result<Vec<u32>, FormatError> {
    let artifact = records.artifact;
    let imports = artifact.imports().iter();
    let imported = imports.filter(|import| import.kind == kind::CORE_TAG);
    let mut imported: Vec<u32> = imported.map(|import| import.slot).collect();
    imported.sort_unstable();
    let mut own = Vec::new();
    for (index, tag) in artifact.tags().iter().enumerate() {
        let record = record_id(SectionId::Tags, index);
        check_name(records, record, "name", tag.name)?;
        if tag.slot == NONE {
            continue;
        }
        if tag.core_type as usize >= artifact.core_types().len() {
            return Err(record.error("core_type", tag.core_type));
        }
        match tag.slot & IMPORTED {
            0 => own.push(tag.slot),
            _ if imported.binary_search(&(tag.slot & !IMPORTED)).is_ok() => {}
            _ => return Err(record.error("slot", tag.slot)),
        }
    }
    own.sort_unstable();
    Ok(own)
}

/// Checks what describes a core module's imports and exports.
fn check_module(
    records: &Records<'_>,
    claims: &Claims,
    references: &References,
) -> Result<(), FormatError> {
    let artifact = records.artifact;
    for (index, import) in artifact.imports().iter().enumerate() {
        let record = record_id(SectionId::Imports, index);
        check_name(records, record, "module", import.module)?;
        check_name(records, record, "name", import.name)?;
        check_type(records, record, import.kind, import.core_type)?;
    }
    for (index, export) in artifact.exports().iter().enumerate() {
        let record = record_id(SectionId::Exports, index);
        check_name(records, record, "name", export.name)?;
        check_type(records, record, export.kind, export.core_type)?;
        let known = if export.index & IMPORTED != 0 {
            let import = artifact.imports().get((export.index & !IMPORTED) as usize);
            import.is_some_and(|import| import.kind == export.kind)
        } else {
            references.check_item(records, claims, record, export)?
        };
        if !known {
            return Err(record.error("index", export.index));
        }
    }
    Ok(())
}

/// Checks where an exported global lies.
fn check_global(
    records: &Records<'_>,
    claims: &Claims,
    record: RecordId,
    export: &ExportRecord,
) -> Result<bool, FormatError> {
    let bytes = records
        .artifact
        .string_bytes(export.core_type)
        .unwrap_or_default();
    let Some((content, _)) = core_type::decode_global(bytes) else {
        return Ok(false);
    };
    match content {
        ValType::I32 | ValType::F32 => {
            claims.check_free::<u32>(records, record, "index", export.index, false)?;
        }
        ValType::I64 | ValType::F64 | ValType::Ref(_) => {
            claims.check_free::<u64>(records, record, "index", export.index, false)?;
        }
        ValType::V128 => {
            claims.check_free::<u128>(records, record, "index", export.index, false)?;
        }
    }
    Ok(true)
}

fn check_name(
    records: &Records<'_>,
    record: RecordId,
    field: &'static str,
    name: StrRef,
) -> Result<(), FormatError> {
    match records.artifact.string(name) {
        Some(_) => Ok(()),
        None => Err(record.error(field, name.offset)),
    }
}

/// Checks that a core item of this kind has a type.
fn check_type(
    records: &Records<'_>,
    record: RecordId,
    kind: u32,
    core_type: StrRef,
) -> Result<(), FormatError> {
    let bytes = records.artifact.string_bytes(core_type);
    match bytes.and_then(|bytes| ExternType::decode(kind, bytes)) {
        Some(_) => Ok(()),
        None => Err(record.error("core_type", core_type.offset)),
    }
}
