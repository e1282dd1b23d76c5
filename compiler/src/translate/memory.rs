//! Linear memories: addresses, `memory.size` and `memory.grow`.

use std::mem::offset_of;

use cranelift_codegen::cursor::{Cursor as _, FuncCursor};
use cranelift_codegen::ir::immediates::Offset32;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{InstBuilder, MemFlags, MemFlagsData, Opcode, TrapCode, Type, Value};
use cwasm_format::builtin::Builtin;
use cwasm_format::vmctx::VmMemory;
use wasmparser::{MemArg, MemArgTarget};

use super::emit::{Emitter, Region};
use crate::env::{MemoryBase, MemoryLoc};
use crate::ir::flags::{CONSTANT, displacement, field};

const BASE: i32 = field(offset_of!(VmMemory, base));

/// The operands of a load or store: it accesses `addr + offset`.
pub(super) struct Access {
    pub(super) flags: MemFlags,
    pub(super) addr: Value,
    pub(super) offset: Offset32,
}

impl Emitter<'_, '_> {
    /// Loads with an instruction that gives a `ty`.
    pub(super) fn load(
        &mut self,
        memarg: &MemArg,
        index: Value,
        opcode: Opcode,
        ty: Type,
    ) -> Value {
        let Access {
            flags,
            addr,
            offset,
        } = self.access(memarg, index, access_size(opcode, ty));
        let (inst, dfg) = self.builder.ins().Load(opcode, ty, flags, offset, addr);
        dfg.first_result(inst)
    }

    pub(super) fn store(&mut self, memarg: &MemArg, index: Value, opcode: Opcode, value: Value) {
        let ty = self.builder.func.dfg.value_type(value);
        let Access {
            flags,
            addr,
            offset,
        } = self.access(memarg, index, access_size(opcode, ty));
        self.builder
            .ins()
            .Store(opcode, ty, flags, offset, value, addr);
    }

    /// The place of `size` bytes that an operator accesses; traps if the bounds need a check.
    pub(super) fn access(&mut self, memarg: &MemArg, index: Value, size: u64) -> Access {
        let memory = memory_index(memarg);
        let loc = self.env.memories[memory as usize];
        let constant = self.constant(index);
        let end_offset = memarg.offset.saturating_add(size);
        let in_bounds = constant.is_some_and(|index| {
            index
                .checked_add(end_offset)
                .is_some_and(|end| end <= loc.min_byte_len)
        });
        let mut flags = self.flags(memory_region(&loc));

        // Context and memories never move. A sum of one of them and an offset is inside, or faults,
        // or wraps only after a check that has trapped.
        let (base, base_offset) = match constant {
            Some(_) => self.memory_base(&loc),
            None => self.memory_base_at_index(&loc),
        };
        let fault = Some(TrapCode::HEAP_OUT_OF_BOUNDS);
        if !in_bounds && needs_check(&loc, end_offset) {
            let inside = self.compare(memory, &loc, index, memarg.offset, size);
            if inside.faults {
                flags = flags.with_trap_code(fault);
            }
            let addr = self.builder.ins().iadd(base, inside.index);
            return self.at_offset(flags, addr, base_offset.wrapping_add(inside.offset));
        }
        if !in_bounds {
            flags = flags.with_trap_code(fault);
        }
        let offset = base_offset.wrapping_add(memarg.offset);
        match constant {
            Some(index) => self.at_offset(flags, base, offset.wrapping_add(index)),
            None => {
                let index = self.extend(index);
                let addr = self.builder.ins().iadd(base, index);
                self.at_offset(flags, addr, offset)
            }
        }
    }

    /// The address of `size` bytes that the host will access. Traps unless they are in the memory.
    pub(super) fn checked_addr(&mut self, memarg: &MemArg, index: Value, size: u64) -> Value {
        let memory = memory_index(memarg);
        let loc = self.env.memories[memory as usize];
        let (index, offset) = self.check_bounds(memory, &loc, index, memarg.offset, size);
        let (base, base_offset) = self.memory_base(&loc);
        let addr = self.builder.ins().iadd(base, index);
        let offset = base_offset.wrapping_add(offset);
        self.builder.ins().iadd_imm_u(addr, offset as i64)
    }

    pub(super) fn is_shared(&self, memarg: &MemArg) -> bool {
        self.env.memories[memory_index(memarg) as usize].is_shared
    }

    /// An access at `addr + offset`, with the offset in the instruction if it fits.
    fn at_offset(&mut self, flags: MemFlagsData, addr: Value, offset: u64) -> Access {
        let (addr, offset) = match i32::try_from(offset) {
            Ok(offset) => (addr, offset),
            Err(_) => (self.builder.ins().iadd_imm_u(addr, offset as i64), 0),
        };
        let flags = self.builder.func.dfg.mem_flags.insert_unchecked(flags);
        Access {
            flags,
            addr,
            offset: offset.into(),
        }
    }

    /// The address of byte 0, for an access at an index that is not constant.
    ///
    /// In loops it is a register of its own, without the context's size as a displacement, which
    /// makes each instruction four bytes longer: with it, the inner loops of some programs run a
    /// fifth slower. Elsewhere an access is too seldom to be worth a load and a register.
    fn memory_base_at_index(&mut self, loc: &MemoryLoc) -> (Value, u64) {
        let MemoryBase::First { desc, .. } = loc.base else {
            return self.memory_base(loc);
        };
        let (func, vmctx) = (&mut *self.builder.func, self.vmctx);
        let in_loop = self.refs.loops.memory_base(|entry| {
            let mut cursor = FuncCursor::new(func).at_inst(entry);
            cursor
                .ins()
                .load(I64, CONSTANT, vmctx, displacement(desc) + BASE)
        });
        match in_loop {
            Some(base) => (base, 0),
            None => self.memory_base(loc),
        }
    }

    /// The address of byte 0, as a value and a constant.
    fn memory_base(&mut self, loc: &MemoryLoc) -> (Value, u64) {
        match loc.base {
            MemoryBase::First { context_size, .. } => (self.vmctx, u64::from(context_size)),
            MemoryBase::Own { desc } => (
                self.load_constant_at(self.vmctx, displacement(desc) + BASE),
                0,
            ),
            MemoryBase::Import { slot } => {
                let memory = self.load_constant(slot);
                (self.load_constant_at(memory, BASE), 0)
            }
        }
    }

    /// The address of the memory's [`VmMemory`].
    pub(crate) fn memory_desc(&mut self, memory: u32) -> Value {
        match self.env.memories[memory as usize].base {
            MemoryBase::First { desc, .. } | MemoryBase::Own { desc } => self.context_addr(desc),
            MemoryBase::Import { slot } => self.load_constant(slot),
        }
    }

    pub(super) fn memory_size(&mut self, memory: u32) -> Value {
        let loc = self.env.memories[memory as usize];
        let byte_len = self.byte_len(memory);
        let pages = self
            .builder
            .ins()
            .ushr_imm_u(byte_len, i64::from(loc.page_log2));
        self.narrow(pages, loc.is_64)
    }

    pub(super) fn memory_grow(&mut self, memory: u32, delta: Value) -> Value {
        let desc = self.memory_desc(memory);
        let delta = self.extend(delta);
        let old = self.builtin_value(Builtin::MemoryGrow, &[desc, delta]);
        // -1 stays -1.
        self.narrow(old, self.env.memories[memory as usize].is_64)
    }
}

fn memory_index(memarg: &MemArg) -> u32 {
    match memarg.target {
        MemArgTarget::Memory(memory) => memory,
        _ => unreachable!("accesses to arrays need gc"),
    }
}

/// How many bytes an instruction accesses; `ty` is the type of the value it loads or stores.
fn access_size(opcode: Opcode, ty: Type) -> u64 {
    match opcode {
        Opcode::Sload8 | Opcode::Uload8 | Opcode::Istore8 => 1,
        Opcode::Sload16 | Opcode::Uload16 | Opcode::Istore16 => 2,
        Opcode::Sload32 | Opcode::Uload32 | Opcode::Istore32 => 4,
        Opcode::Sload8x8
        | Opcode::Uload8x8
        | Opcode::Sload16x4
        | Opcode::Uload16x4
        | Opcode::Sload32x2
        | Opcode::Uload32x2 => 8,
        _ => u64::from(ty.bytes()),
    }
}

/// Whether an access that ends `end_offset` bytes after its index may reach beyond the inaccessible
/// bytes, so that it must be compared with the size.
fn needs_check(loc: &MemoryLoc, end_offset: u64) -> bool {
    let faulting = loc.reservation.saturating_add(loc.guard_size);
    loc.is_checked || u64::from(u32::MAX).saturating_add(end_offset) > faulting
}

fn memory_region(loc: &MemoryLoc) -> Region {
    match loc.base {
        MemoryBase::First { .. } => Region::FirstMemory,
        MemoryBase::Own { desc } => Region::Memory { desc },
        MemoryBase::Import { .. } => Region::ImportedMemories,
    }
}
