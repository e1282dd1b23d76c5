//! Where the memories and globals of each core instance are: for core dumps.

use cwasm_format::exports::IMPORTED;
use cwasm_format::header::NONE;
use cwasm_format::state::{
    self, NO_MAX, SOME_FUNCTION, StateGlobal, StateMemory, StateWriter, global_type,
};
use cwasm_format::write::{Contents, DebugSection};
use wasmparser::{AbstractHeapType, HeapType, MemoryType, ValType};

use super::parts::Parts;
use crate::env::{ConstRef, ConstValue, GlobalLoc, MemoryBase, MemoryLoc};
use crate::error::{Error, Result};

/// Sets the section.
pub(super) fn set(parts: &Parts<'_, '_>, contents: &mut Contents) -> Result<()> {
    let mut writer = StateWriter::default();
    for module in parts.modules {
        writer.module(module.name);
    }
    for (env, planned) in parts.unit.envs.iter().zip(&parts.plan.instances) {
        // An instance of an imported module is one of another artifact.
        if env.module.is_declared {
            writer.instance(NONE, [], []);
            continue;
        }
        let memories = env.memories.iter().zip(&env.module.memories);
        let globals = env.globals.iter().zip(&env.module.globals);
        writer.instance(
            planned.module.0,
            memories.map(|(loc, ty)| memory(loc, ty)),
            globals.map(|(loc, ty)| global(loc, ty.content_type)),
        );
    }
    let Some(bytes) = writer.finish() else {
        let limit = u64::from(u32::MAX);
        return Err(Error::limit(
            "globals, memories or bytes of names of all core instances",
            limit + 1,
            limit,
        ));
    };
    contents.debug.push(DebugSection {
        name: state::SECTION,
        bytes,
    });
    Ok(())
}

fn memory(loc: &MemoryLoc, ty: &MemoryType) -> StateMemory {
    StateMemory {
        place: match loc.base {
            MemoryBase::First { desc, .. } | MemoryBase::Own { desc } => desc,
            MemoryBase::Import { slot } => slot | IMPORTED,
        },
        page_log2: loc.page_log2 as u8,
        is_64: ty.memory64.into(),
        is_shared: ty.shared.into(),
        max: ty.maximum.unwrap_or(NO_MAX),
    }
}

fn global(loc: &GlobalLoc, ty: ValType) -> StateGlobal {
    let (place, value) = match *loc {
        GlobalLoc::Const(value) => (NONE, bits(value)),
        GlobalLoc::Own { offset } => (offset, 0),
        GlobalLoc::Import { slot } => (slot | IMPORTED, 0),
    };
    StateGlobal {
        value: [value as u64, (value >> 64) as u64],
        place,
        ty: type_number(ty),
    }
}

fn bits(value: ConstValue) -> u128 {
    match value {
        ConstValue::I32(bits) | ConstValue::F32(bits) => bits.into(),
        ConstValue::I64(bits) | ConstValue::F64(bits) => bits.into(),
        ConstValue::V128(bits) => bits,
        ConstValue::Ref(ConstRef::Null) => 0,
        ConstValue::Ref(ConstRef::Closed { .. } | ConstRef::Open(_)) => SOME_FUNCTION,
    }
}

fn type_number(ty: ValType) -> u32 {
    match ty {
        ValType::I32 => global_type::I32,
        ValType::I64 => global_type::I64,
        ValType::F32 => global_type::F32,
        ValType::F64 => global_type::F64,
        ValType::V128 => global_type::V128,
        ValType::Ref(ty) => match ty.heap_type() {
            HeapType::Abstract { ty, .. } => match ty {
                AbstractHeapType::Extern => global_type::EXTERN_REF,
                AbstractHeapType::Exn | AbstractHeapType::NoExn => global_type::EXN_REF,
                // All others that are supported are functions.
                _ => global_type::FUNC_REF,
            },
            HeapType::Concrete(_) | HeapType::Exact(_) => global_type::FUNC_REF,
        },
    }
}
