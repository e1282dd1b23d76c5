//! Where the core items of a unit are, in the form that records have.

use cwasm_format::exports::IMPORTED;
use wasmparser::{ExternalKind, TypeRef};

use crate::env::{FuncLoc, GlobalLoc, MemoryBase, MemoryLoc, TableLoc, TagLoc};
use crate::layout::UnitLayout;

/// Whether it is a memory all accesses to which are checked: the next of these then.
pub(super) fn is_checked<'m>(
    ty: TypeRef,
    memories: &mut impl Iterator<Item = &'m MemoryLoc>,
) -> bool {
    matches!(ty, TypeRef::Memory(_)) && memories.next().is_some_and(|memory| memory.is_checked)
}

/// [`ExportRecord::index`] of a core export.
pub(super) fn export_place(unit: &UnitLayout<'_>, export: &wasmparser::Export<'_>) -> u32 {
    let env = &unit.envs[0];
    let index = export.index as usize;
    match export.kind {
        ExternalKind::Func | ExternalKind::FuncExact => func_place(unit, env.funcs[index]),
        ExternalKind::Table => table_place(unit, env.tables[index]),
        ExternalKind::Memory => memory_place(unit, env.memories[index].base),
        ExternalKind::Global => global_place(unit, env.globals[index]),
        ExternalKind::Tag => tag_place(unit, env.tags[index]),
    }
}

/// As [`export_place`], of what is imported through this slot.
pub(super) fn imported(unit: &UnitLayout<'_>, slot: u32) -> u32 {
    // They were reserved in this order.
    match unit.import_slots.binary_search(&slot) {
        Ok(import) => import as u32 | IMPORTED,
        Err(_) => unreachable!("the slot is an import's"),
    }
}

pub(super) fn func_place(unit: &UnitLayout<'_>, func: FuncLoc) -> u32 {
    match func {
        FuncLoc::Local {
            func_ref: Some(slot),
            ..
        } => slot,
        FuncLoc::Local { func_ref: None, .. } => unreachable!("what is exported has a reference"),
        FuncLoc::Import { slot } => imported(unit, slot),
    }
}

pub(super) fn table_place(unit: &UnitLayout<'_>, table: TableLoc) -> u32 {
    match table {
        TableLoc::Fixed { desc, .. } | TableLoc::Own { desc } => desc,
        TableLoc::Import { slot } => imported(unit, slot),
        TableLoc::Constant { .. } => unreachable!("tables of open units are not constant"),
    }
}

pub(super) fn memory_place(unit: &UnitLayout<'_>, memory: MemoryBase) -> u32 {
    match memory {
        MemoryBase::First { desc, .. } | MemoryBase::Own { desc } => desc,
        MemoryBase::Import { slot } => imported(unit, slot),
    }
}

pub(super) fn tag_place(unit: &UnitLayout<'_>, TagLoc { slot, .. }: TagLoc) -> u32 {
    match slot & IMPORTED {
        0 => slot,
        _ => imported(unit, slot & !IMPORTED),
    }
}

pub(super) fn global_place(unit: &UnitLayout<'_>, global: GlobalLoc) -> u32 {
    match global {
        GlobalLoc::Own { offset } => offset,
        GlobalLoc::Import { slot } => imported(unit, slot),
        GlobalLoc::Const(_) => unreachable!("exported globals have a place"),
    }
}
