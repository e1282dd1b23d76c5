//! Bounds checks: accesses that are compared with the memory's size.
//!
//! ```text
//! limit  = size - bias                       bias = offset rounded down, mostly 0
//! inside = index > limit ? limit : index     a conditional move
//! access at base + inside + offset           faults if it is not inside
//! ```
//!
//! After the memory's size there are always [`CHECKED_GUARD_SIZE`] inaccessible bytes. The access
//! begins less than that after `inside + bias`, which is at most the size, so it is in the memory
//! or faults: one comparison serves many offsets. There is no branch that the processor could
//! mispredict (Spectre, variant 1).
//!
//! In other accesses the end of the access is compared with the size, and a branch leads to a trap.
//! A processor that speculates past the branch gets the address of byte 0. These are accesses
//!
//! - to shared memories, which may grow between the comparison and the access;
//! - to memories of small pages, which may end inside a page of the machine;
//! - with a bias beyond the memory's minimum, so that the subtraction might overflow.
//!
//! Comparison and move have no side effects, so Cranelift merges those of equal indices. The size
//! is also loaded before each loop: in loops that cannot change it, Cranelift's alias analysis then
//! removes the loads.

use std::mem::offset_of;

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{Inst, InstBuilder, MemFlagsData, TrapCode, Value};
use cwasm_format::data::CHECKED_GUARD_SIZE;
use cwasm_format::header::PAGE_SIZE;
use cwasm_format::vmctx::VmMemory;

use super::emit::{Emitter, Region};
use crate::env::{MemoryBase, MemoryLoc};
use crate::ir::flags::{CONSTANT, displacement, field};

const CODE: TrapCode = TrapCode::HEAP_OUT_OF_BOUNDS;
const BYTE_LEN: i32 = field(offset_of!(VmMemory, byte_len));
/// Offsets are rounded down to a multiple of this; an access is shorter.
const BIAS_UNIT: u64 = CHECKED_GUARD_SIZE / 2;

/// Where an access goes: `offset` bytes after `index`, which is a 64-bit value.
pub(super) struct Inside {
    pub(super) index: Value,
    pub(super) offset: u64,
    /// Whether the access faults if it is not in the memory.
    pub(super) faults: bool,
}

impl Emitter<'_, '_> {
    /// Compares an access of `size` bytes at `index + offset` with the memory's size. The result
    /// says where the access goes.
    pub(super) fn compare(
        &mut self,
        memory: u32,
        loc: &MemoryLoc,
        index: Value,
        offset: u64,
        size: u64,
    ) -> Inside {
        let is_clamped = loc.is_checked && !loc.is_shared && 1 << loc.page_log2 >= PAGE_SIZE;
        let bias = offset - offset % BIAS_UNIT;
        if !is_clamped || bias > loc.min_byte_len {
            let (index, offset) = self.check_bounds(memory, loc, index, offset, size);
            return Inside {
                index,
                offset,
                faults: false,
            };
        }
        Inside {
            index: self.clamp(memory, loc, index, bias),
            offset,
            faults: true,
        }
    }

    /// The lesser of the index and the memory's size less `bias`.
    fn clamp(&mut self, memory: u32, loc: &MemoryLoc, index: Value, bias: u64) -> Value {
        let wide = self.extend(index);
        let limit = if loc.is_fixed {
            let limit = loc.min_byte_len - bias;
            self.builder.ins().iconst(I64, limit as i64)
        } else {
            self.load_size_before_loops(loc);
            let byte_len = self.byte_len(memory);
            let bias = self.builder.ins().iconst(I64, bias as i64);
            self.builder.ins().isub(byte_len, bias)
        };
        let greater = IntCC::UnsignedGreaterThan;
        let beyond = self.builder.ins().icmp(greater, wide, limit);
        let ins = self.builder.ins();
        ins.select_spectre_guard(beyond, limit, wide)
    }

    /// Traps unless `size` bytes at `index + offset` are in the memory. Returns two values whose
    /// sum is their distance from byte 0.
    pub(super) fn check_bounds(
        &mut self,
        memory: u32,
        loc: &MemoryLoc,
        index: Value,
        offset: u64,
        size: u64,
    ) -> (Value, u64) {
        // Saturating is safe: no memory is 2^64-1 bytes long.
        let end_offset = offset.saturating_add(size);
        let wide = self.extend(index);
        let byte_len = self.byte_len(memory);
        let end = self.builder.ins().iconst(I64, end_offset as i64);
        let greater = IntCC::UnsignedGreaterThan;
        if end_offset <= loc.min_byte_len {
            // No overflow: the size is never below the minimum.
            let limit = self.builder.ins().isub(byte_len, end);
            let beyond = self.builder.ins().icmp(greater, wide, limit);
            return (self.trap_beyond(beyond, wide), offset);
        }
        // The sum of two 32-bit numbers and a size needs 34 bits.
        let end = match loc.is_64 {
            true => self.builder.ins().uadd_overflow_trap(wide, end, CODE),
            false => self.builder.ins().iadd(wide, end),
        };
        let beyond = self.builder.ins().icmp(greater, end, byte_len);
        let start = self.builder.ins().iadd_imm_u(wide, offset as i64);
        (self.trap_beyond(beyond, start), 0)
    }

    /// Traps if `beyond`; otherwise returns `place`. A processor that mispredicts the branch
    /// gets 0.
    fn trap_beyond(&mut self, beyond: Value, place: Value) -> Value {
        self.builder.ins().trapnz(beyond, CODE);
        let zero = self.builder.ins().iconst(I64, 0);
        self.builder.ins().select_spectre_guard(beyond, zero, place)
    }

    /// The current size in bytes.
    pub(super) fn byte_len(&mut self, memory: u32) -> Value {
        let loc = &self.env.memories[memory as usize];
        let flags = self.flags(Region::Descriptors);
        let (addr, offset) = match loc.base {
            MemoryBase::First { desc, .. } | MemoryBase::Own { desc } => {
                (self.vmctx, displacement(desc))
            }
            MemoryBase::Import { slot } => (self.load_constant(slot), 0),
        };
        if loc.is_shared {
            // Another thread may grow the memory.
            let place = self
                .builder
                .ins()
                .iadd_imm_s(addr, i64::from(offset + BYTE_LEN));
            return self.builder.ins().atomic_load(I64, flags, place);
        }
        self.builder.ins().load(I64, flags, addr, offset + BYTE_LEN)
    }

    /// Loads the size before the enclosing loops, so that alias analysis finds it there if nothing
    /// in them can change it. Done for one memory per loop.
    fn load_size_before_loops(&mut self, loc: &MemoryLoc) {
        let flags = self.flags(Region::Descriptors);
        for entry in self.refs.loops.take_without_size() {
            load_size_before(self.builder.func, entry, loc, self.vmctx, flags);
        }
    }
}

fn load_size_before(
    func: &mut cranelift_codegen::ir::Function,
    inst: Inst,
    loc: &MemoryLoc,
    vmctx: Value,
    flags: MemFlagsData,
) {
    let mut cursor = FuncCursor::new(func).at_inst(inst);
    let (addr, offset) = match loc.base {
        MemoryBase::First { desc, .. } | MemoryBase::Own { desc } => (vmctx, displacement(desc)),
        MemoryBase::Import { slot } => {
            let memory = cursor.ins().load(I64, CONSTANT, vmctx, displacement(slot));
            (memory, 0)
        }
    };
    cursor.ins().load(I64, flags, addr, offset + BYTE_LEN);
}
