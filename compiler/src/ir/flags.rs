//! Flags and offsets of accesses to the compiler's own structures, as opposed to linear memories.

use cranelift_codegen::ir::{Endianness, MemFlagsData};

/// Flags of accesses to the context and to other structures of ours: aligned, never trap.
pub(crate) fn trusted() -> MemFlagsData {
    MemFlagsData::trusted()
}

/// Flags of loads of values that never change and can always be read.
pub(crate) const CONSTANT: MemFlagsData = MemFlagsData::new()
    .with_notrap()
    .with_readonly()
    .with_can_move()
    .with_endianness(Endianness::Little);

/// A context offset as a displacement.
pub(crate) fn displacement(context_offset: u32) -> i32 {
    match i32::try_from(context_offset) {
        Ok(displacement) => displacement,
        Err(_) => unreachable!("contexts are smaller than 2 GiB"),
    }
}

/// The offset of a field as a displacement.
pub(crate) const fn field(offset: usize) -> i32 {
    assert!(offset < 4096);
    offset as i32
}
