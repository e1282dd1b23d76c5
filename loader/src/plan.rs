//! What instantiation follows, checked once for each artifact.
//!
//! Input: the records of an artifact, any of which may be wrong. Output: a [`Plan`], whose fields
//! need no further check.

use cwasm_format::FormatError;
use cwasm_format::data::{IMAGE_CONTEXT, ImageRecord, MemoryRecord};
use cwasm_format::exports::kind;
use cwasm_format::header::{Kind, SectionId};
use cwasm_format::vmctx::{VmMemory, VmTable};

use crate::artifact::{Code, RecordId, Unit, record_id};
use crate::sys::memory::{PAGE_SIZE, round_up};

/// How an instance of an artifact is laid out, and what it starts from.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Bytes of the context: whole pages.
    pub(crate) context_size: usize,
    pub(crate) memories: Box<[MemoryPlan]>,
    pub(crate) tables: Box<[TablePlan]>,
    pub(crate) runs: Box<[Run]>,
    /// What runs when everything else is done.
    pub(crate) init: Option<Code>,
}

/// A memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryPlan {
    /// Context offset of its `VmMemory`.
    pub(crate) slot: usize,
    pub(crate) page_log2: u32,
    /// Initial size in bytes.
    pub(crate) byte_len: usize,
    /// Most bytes that it can have: at most the reservation.
    pub(crate) max_byte_len: usize,
    /// Bytes of address space that it may use and that code touches without a check.
    pub(crate) reservation: usize,
    /// Inaccessible bytes behind these.
    pub(crate) guard_size: usize,
}

/// A table: its elements lie in the context.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TablePlan {
    /// Context offset of its `VmTable`.
    pub(crate) slot: usize,
    /// Context offset of its elements.
    pub(crate) elements: usize,
    pub(crate) len: u32,
}

/// A run of an image: whole pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Index of the memory; `None` for the context.
    pub(crate) memory: Option<usize>,
    /// Bytes from the start of the target.
    pub(crate) offset: usize,
    /// Bytes from the start of the images.
    pub(crate) source: usize,
    pub(crate) size: usize,
}

/// The most address space that a memory may ask for.
const MAX_RESERVATION: u64 = 1 << 46;

impl Plan {
    /// Checks all records of the artifact that instantiating it follows.
    pub(crate) fn new(unit: &Unit) -> Result<Plan, FormatError> {
        let artifact = unit.artifact();
        let header = artifact.header();
        let records = artifact.memories().iter().enumerate();
        let memories = records
            .map(|(index, memory)| plan_memory(unit, record_id(SectionId::Memories, index), memory))
            .collect::<Result<Box<[_]>, _>>()?;
        let records = artifact.image_runs().iter().enumerate();
        let images = artifact.section(SectionId::Images).len() as u64;
        let context_size = header.context_size as usize;
        let runs = records
            .map(|(index, run)| {
                let record = record_id(SectionId::ImageRuns, index);
                plan_run(context_size, &memories, images, record, run)
            })
            .collect::<Result<Box<[_]>, _>>()?;
        let tables = plan_tables(unit)?;
        check_descriptors(&memories, &tables)?;
        if artifact.kind() == Kind::Component {
            check_functions(unit)?;
        }
        let header_record = RecordId { section: SectionId::Text, index: 0 };
        let init = unit.optional_code(header_record, "init_thunk", header.init_thunk)?;
        Ok(Plan { context_size, memories, tables, runs, init })
    }
}

fn plan_memory(
    unit: &Unit,
    record: RecordId,
    memory: &MemoryRecord,
) -> Result<MemoryPlan, FormatError> {
    unit.check_slot::<VmMemory>(record, "slot", memory.slot, 1)?;
    if memory.page_log2 > 16 {
        return Err(record.error("page_log2", memory.page_log2));
    }
    if memory.reservation > MAX_RESERVATION || memory.reservation % PAGE_SIZE as u64 != 0 {
        return Err(record.error("reservation", memory.reservation));
    }
    if memory.guard_size > MAX_RESERVATION || memory.guard_size % PAGE_SIZE as u64 != 0 {
        return Err(record.error("guard_size", memory.guard_size));
    }
    let bytes = |pages: u64| pages.checked_mul(1 << memory.page_log2);
    let byte_len = bytes(memory.min).filter(|len| *len <= memory.reservation);
    let Some(byte_len) = byte_len else { return Err(record.error("min", memory.min)) };
    let max_byte_len = bytes(memory.max).unwrap_or(u64::MAX).min(memory.reservation);
    if max_byte_len < byte_len {
        return Err(record.error("max", memory.max));
    }
    Ok(MemoryPlan {
        slot: memory.slot as usize,
        page_log2: memory.page_log2,
        byte_len: byte_len as usize,
        max_byte_len: max_byte_len as usize,
        reservation: memory.reservation as usize,
        guard_size: memory.guard_size as usize,
    })
}

fn plan_tables(unit: &Unit) -> Result<Box<[TablePlan]>, FormatError> {
    let records = unit.artifact().tables().iter().enumerate();
    records
        .map(|(index, table)| {
            let record = record_id(SectionId::Tables, index);
            unit.check_slot::<VmTable>(record, "slot", table.slot, 1)?;
            unit.check_slot::<u64>(record, "elements", table.elements, table.len)?;
            Ok(TablePlan {
                slot: table.slot as usize,
                elements: table.elements as usize,
                len: table.len,
            })
        })
        .collect()
}

fn plan_run(
    context_size: usize,
    memories: &[MemoryPlan],
    images: u64,
    record: RecordId,
    run: &ImageRecord,
) -> Result<Run, FormatError> {
    let is_paged = |value: u64| value % PAGE_SIZE as u64 == 0;
    let (memory, target_size) = if run.target == IMAGE_CONTEXT {
        (None, Some(context_size))
    } else {
        let index = run.target as usize;
        (Some(index), memories.get(index).and_then(|memory| round_up(memory.byte_len)))
    };
    let Some(target_size) = target_size else { return Err(record.error("target", run.target)) };
    let source_end = run.source.checked_add(run.size);
    if !is_paged(run.source) || source_end.is_none_or(|end| end > images) {
        return Err(record.error("source", run.source));
    }
    let end = run.offset.checked_add(run.size);
    if !is_paged(run.offset) || end.is_none_or(|end| end > target_size as u64) {
        return Err(record.error("offset", run.offset));
    }
    if !is_paged(run.size) || run.size == 0 {
        return Err(record.error("size", run.size));
    }
    Ok(Run {
        memory,
        offset: run.offset as usize,
        source: run.source as usize,
        size: run.size as usize,
    })
}

/// Checks that the descriptors of memories and tables do not overlap, because the loader relies on
/// what it finds there. (Compiled code writes to other parts of the context only.)
fn check_descriptors(memories: &[MemoryPlan], tables: &[TablePlan]) -> Result<(), FormatError> {
    let mut slots: Vec<_> = memories
        .iter()
        .enumerate()
        .map(|(index, memory)| (memory.slot, size_of::<VmMemory>(), SectionId::Memories, index))
        .chain(tables.iter().enumerate().flat_map(|(index, table)| {
            let elements = table.len as usize * size_of::<u64>();
            [
                (table.slot, size_of::<VmTable>(), SectionId::Tables, index),
                (table.elements, elements, SectionId::Tables, index),
            ]
        }))
        .collect();
    slots.sort_unstable_by_key(|(slot, ..)| *slot);
    for pair in slots.windows(2) {
        let [(slot, size, ..), (next, next_size, section, index)] = *pair else { continue };
        if next < slot + size && next_size != 0 {
            return Err(record_id(section, index).error("slot", next as u64));
        }
    }
    Ok(())
}

/// Checks what describes a component's functions in both directions.
fn check_functions(unit: &Unit) -> Result<(), FormatError> {
    let artifact = unit.artifact();
    let (lifts, imports) = (artifact.lifts(), artifact.imports());
    for (index, export) in artifact.exports().iter().enumerate() {
        let record = record_id(SectionId::Exports, index);
        if artifact.string(export.name).is_none() {
            return Err(record.error("name", export.name.offset));
        }
        if export.kind == kind::FUNC && export.index as usize >= lifts.len() {
            return Err(record.error("index", export.index));
        }
    }
    for (index, lift) in lifts.iter().enumerate() {
        let record = record_id(SectionId::Lifts, index);
        unit.code(record, "thunk", lift.thunk)?;
        unit.optional_code(record, "post_return", lift.post_return)?;
        unit.check_options(record, &lift.options, lift.flags)?;
    }
    for (index, lower) in artifact.lowers().iter().enumerate() {
        let record = record_id(SectionId::Lowers, index);
        if imports.get(lower.import as usize).is_none_or(|import| import.kind != kind::FUNC) {
            return Err(record.error("import", lower.import));
        }
        unit.check_options(record, &lower.options, lower.flags)?;
    }
    Ok(())
}
