//! The threads proposal: atomic accesses, fences, waiting and notifying.
//!
//! All are sequentially consistent. An address that is not a multiple of the size traps. Bounds are
//! checked as for other accesses; where the host makes the access, they are always checked.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I16, I32, I64};
use cranelift_codegen::ir::{self, AtomicRmwOp, InstBuilder, MemFlags, Opcode, Type, Value};
use cwasm_format::TrapCode;
use cwasm_format::builtin::Builtin;
use wasmparser::{MemArg, Operator};

use super::emit::Emitter;
use super::memory::Access;
use super::operators::Translator;
use crate::error::Result;
use crate::ir::trap::trap_code;
use crate::needs;

const UNALIGNED: ir::TrapCode = trap_code(TrapCode::UnalignedAtomic);
const NOT_SHARED: ir::TrapCode = trap_code(TrapCode::ExpectedSharedMemory);

impl Translator<'_, '_> {
    /// Translates an operator of the threads proposal.
    pub(super) fn atomic_operator(&mut self, op: &Operator<'_>, offset: u64) -> Result<()> {
        match op {
            Operator::AtomicFence { .. } => _ = self.emit.builder.ins().fence(),
            Operator::MemoryAtomicNotify { memarg } => self.atomic_notify(memarg),
            Operator::MemoryAtomicWait32 { memarg } => {
                self.atomic_wait(memarg, Builtin::AtomicWait32, I32)
            }
            Operator::MemoryAtomicWait64 { memarg } => {
                self.atomic_wait(memarg, Builtin::AtomicWait64, I64)
            }
            Operator::I32AtomicLoad { memarg } => self.atomic_load(memarg, I32, I32),
            Operator::I64AtomicLoad { memarg } => self.atomic_load(memarg, I64, I64),
            Operator::I32AtomicLoad8U { memarg } => self.atomic_load(memarg, I8, I32),
            Operator::I32AtomicLoad16U { memarg } => self.atomic_load(memarg, I16, I32),
            Operator::I64AtomicLoad8U { memarg } => self.atomic_load(memarg, I8, I64),
            Operator::I64AtomicLoad16U { memarg } => self.atomic_load(memarg, I16, I64),
            Operator::I64AtomicLoad32U { memarg } => self.atomic_load(memarg, I32, I64),
            Operator::I32AtomicStore { memarg } => self.atomic_store(memarg, I32),
            Operator::I64AtomicStore { memarg } => self.atomic_store(memarg, I64),
            Operator::I32AtomicStore8 { memarg } | Operator::I64AtomicStore8 { memarg } => {
                self.atomic_store(memarg, I8)
            }
            Operator::I32AtomicStore16 { memarg } | Operator::I64AtomicStore16 { memarg } => {
                self.atomic_store(memarg, I16)
            }
            Operator::I64AtomicStore32 { memarg } => self.atomic_store(memarg, I32),
            Operator::I32AtomicRmwAdd { memarg } => self.atomic_rmw(memarg, AtomicRmwOp::Add, I32),
            Operator::I64AtomicRmwAdd { memarg } => self.atomic_rmw(memarg, AtomicRmwOp::Add, I64),
            Operator::I32AtomicRmw8AddU { memarg } | Operator::I64AtomicRmw8AddU { memarg } => {
                self.atomic_rmw(memarg, AtomicRmwOp::Add, I8)
            }
            Operator::I32AtomicRmw16AddU { memarg } | Operator::I64AtomicRmw16AddU { memarg } => {
                self.atomic_rmw(memarg, AtomicRmwOp::Add, I16)
            }
            Operator::I64AtomicRmw32AddU { memarg } => {
                self.atomic_rmw(memarg, AtomicRmwOp::Add, I32)
            }
            Operator::I32AtomicRmwSub { memarg } => self.atomic_rmw(memarg, AtomicRmwOp::Sub, I32),
            Operator::I64AtomicRmwSub { memarg } => self.atomic_rmw(memarg, AtomicRmwOp::Sub, I64),
            Operator::I32AtomicRmw8SubU { memarg } | Operator::I64AtomicRmw8SubU { memarg } => {
                self.atomic_rmw(memarg, AtomicRmwOp::Sub, I8)
            }
            Operator::I32AtomicRmw16SubU { memarg } | Operator::I64AtomicRmw16SubU { memarg } => {
                self.atomic_rmw(memarg, AtomicRmwOp::Sub, I16)
            }
            Operator::I64AtomicRmw32SubU { memarg } => {
                self.atomic_rmw(memarg, AtomicRmwOp::Sub, I32)
            }
            Operator::I32AtomicRmwAnd { memarg } => self.atomic_rmw(memarg, AtomicRmwOp::And, I32),
            Operator::I64AtomicRmwAnd { memarg } => self.atomic_rmw(memarg, AtomicRmwOp::And, I64),
            Operator::I32AtomicRmw8AndU { memarg } | Operator::I64AtomicRmw8AndU { memarg } => {
                self.atomic_rmw(memarg, AtomicRmwOp::And, I8)
            }
            Operator::I32AtomicRmw16AndU { memarg } | Operator::I64AtomicRmw16AndU { memarg } => {
                self.atomic_rmw(memarg, AtomicRmwOp::And, I16)
            }
            Operator::I64AtomicRmw32AndU { memarg } => {
                self.atomic_rmw(memarg, AtomicRmwOp::And, I32)
            }
            Operator::I32AtomicRmwOr { memarg } => self.atomic_rmw(memarg, AtomicRmwOp::Or, I32),
            Operator::I64AtomicRmwOr { memarg } => self.atomic_rmw(memarg, AtomicRmwOp::Or, I64),
            Operator::I32AtomicRmw8OrU { memarg } | Operator::I64AtomicRmw8OrU { memarg } => {
                self.atomic_rmw(memarg, AtomicRmwOp::Or, I8)
            }
            Operator::I32AtomicRmw16OrU { memarg } | Operator::I64AtomicRmw16OrU { memarg } => {
                self.atomic_rmw(memarg, AtomicRmwOp::Or, I16)
            }
            Operator::I64AtomicRmw32OrU { memarg } => self.atomic_rmw(memarg, AtomicRmwOp::Or, I32),
            Operator::I32AtomicRmwXor { memarg } => self.atomic_rmw(memarg, AtomicRmwOp::Xor, I32),
            Operator::I64AtomicRmwXor { memarg } => self.atomic_rmw(memarg, AtomicRmwOp::Xor, I64),
            Operator::I32AtomicRmw8XorU { memarg } | Operator::I64AtomicRmw8XorU { memarg } => {
                self.atomic_rmw(memarg, AtomicRmwOp::Xor, I8)
            }
            Operator::I32AtomicRmw16XorU { memarg } | Operator::I64AtomicRmw16XorU { memarg } => {
                self.atomic_rmw(memarg, AtomicRmwOp::Xor, I16)
            }
            Operator::I64AtomicRmw32XorU { memarg } => {
                self.atomic_rmw(memarg, AtomicRmwOp::Xor, I32)
            }
            Operator::I32AtomicRmwXchg { memarg } => {
                self.atomic_rmw(memarg, AtomicRmwOp::Xchg, I32)
            }
            Operator::I64AtomicRmwXchg { memarg } => {
                self.atomic_rmw(memarg, AtomicRmwOp::Xchg, I64)
            }
            Operator::I32AtomicRmw8XchgU { memarg } | Operator::I64AtomicRmw8XchgU { memarg } => {
                self.atomic_rmw(memarg, AtomicRmwOp::Xchg, I8)
            }
            Operator::I32AtomicRmw16XchgU { memarg } | Operator::I64AtomicRmw16XchgU { memarg } => {
                self.atomic_rmw(memarg, AtomicRmwOp::Xchg, I16)
            }
            Operator::I64AtomicRmw32XchgU { memarg } => {
                self.atomic_rmw(memarg, AtomicRmwOp::Xchg, I32)
            }
            Operator::I32AtomicRmwCmpxchg { memarg } => self.atomic_cas(memarg, I32),
            Operator::I64AtomicRmwCmpxchg { memarg } => self.atomic_cas(memarg, I64),
            Operator::I32AtomicRmw8CmpxchgU { memarg }
            | Operator::I64AtomicRmw8CmpxchgU { memarg } => self.atomic_cas(memarg, I8),
            Operator::I32AtomicRmw16CmpxchgU { memarg }
            | Operator::I64AtomicRmw16CmpxchgU { memarg } => self.atomic_cas(memarg, I16),
            Operator::I64AtomicRmw32CmpxchgU { memarg } => self.atomic_cas(memarg, I32),
            op => return Err(needs::operator(op, offset)),
        }
        Ok(())
    }

    fn atomic_load(&mut self, memarg: &MemArg, width: Type, ty: Type) {
        let index = self.pop();
        let value = self.emit.atomic_load(memarg, index, width);
        let value = self.emit.widen(value, ty);
        self.push(value);
    }

    fn atomic_store(&mut self, memarg: &MemArg, width: Type) {
        let (index, value) = self.pop2();
        let value = self.emit.low_part(value, width);
        self.emit.atomic_store(memarg, index, value);
    }

    fn atomic_rmw(&mut self, memarg: &MemArg, op: AtomicRmwOp, width: Type) {
        let (index, operand) = self.pop2();
        let ty = self.emit.value_type(operand);
        let operand = self.emit.low_part(operand, width);
        let old = self.emit.atomic_rmw(memarg, index, op, operand);
        let old = self.emit.widen(old, ty);
        self.push(old);
    }

    fn atomic_cas(&mut self, memarg: &MemArg, width: Type) {
        let (index, expected, new) = self.pop3();
        let ty = self.emit.value_type(new);
        let expected = self.emit.low_part(expected, width);
        let new = self.emit.low_part(new, width);
        let old = self.emit.atomic_cas(memarg, index, expected, new);
        let old = self.emit.widen(old, ty);
        self.push(old);
    }

    fn atomic_wait(&mut self, memarg: &MemArg, builtin: Builtin, width: Type) {
        let (index, expected, timeout) = self.pop3();
        let addr = self.emit.checked_atomic_addr(memarg, index, width);
        let result = if self.emit.is_shared(memarg) {
            self.emit.builtin_value(builtin, &[addr, expected, timeout])
        } else {
            let zero = self.emit.builder.ins().iconst(I32, 0);
            self.emit.builder.ins().trapz(zero, NOT_SHARED);
            zero
        };
        self.push(result);
    }

    fn atomic_notify(&mut self, memarg: &MemArg) {
        let (index, count) = self.pop2();
        let addr = self.emit.checked_atomic_addr(memarg, index, I32);
        let woken = if self.emit.is_shared(memarg) {
            self.emit
                .builtin_value(Builtin::AtomicNotify, &[addr, count])
        } else {
            // Nobody can wait on a memory that is not shared.
            self.emit.builder.ins().iconst(I32, 0)
        };
        self.push(woken);
    }
}

impl Emitter<'_, '_> {
    fn atomic_load(&mut self, memarg: &MemArg, index: Value, width: Type) -> Value {
        let (flags, addr) = self.atomic_access(memarg, index, width);
        let ins = self.builder.ins();
        let (inst, dfg) = ins.LoadNoOffset(Opcode::AtomicLoad, width, flags, addr);
        dfg.first_result(inst)
    }

    fn atomic_store(&mut self, memarg: &MemArg, index: Value, value: Value) {
        let width = self.value_type(value);
        let (flags, addr) = self.atomic_access(memarg, index, width);
        let ins = self.builder.ins();
        ins.StoreNoOffset(Opcode::AtomicStore, width, flags, value, addr);
    }

    fn atomic_rmw(
        &mut self,
        memarg: &MemArg,
        index: Value,
        op: AtomicRmwOp,
        operand: Value,
    ) -> Value {
        let width = self.value_type(operand);
        let (flags, addr) = self.atomic_access(memarg, index, width);
        let ins = self.builder.ins();
        let (inst, dfg) = ins.AtomicRmw(Opcode::AtomicRmw, width, flags, op, addr, operand);
        dfg.first_result(inst)
    }

    fn atomic_cas(&mut self, memarg: &MemArg, index: Value, expected: Value, new: Value) -> Value {
        let width = self.value_type(new);
        let (flags, addr) = self.atomic_access(memarg, index, width);
        let ins = self.builder.ins();
        let (inst, dfg) = ins.AtomicCas(Opcode::AtomicCas, width, flags, addr, expected, new);
        dfg.first_result(inst)
    }

    /// The place of an atomic access; traps if it is not aligned.
    fn atomic_access(&mut self, memarg: &MemArg, index: Value, width: Type) -> (MemFlags, Value) {
        self.check_alignment(memarg, index, width);
        let Access {
            flags,
            addr,
            offset,
        } = self.access(memarg, index, width.bytes().into());
        (
            flags,
            self.builder.ins().iadd_imm_s(addr, i64::from(offset)),
        )
    }

    /// The address of an access that the host makes. Traps here if it is not aligned or out of
    /// bounds.
    fn checked_atomic_addr(&mut self, memarg: &MemArg, index: Value, width: Type) -> Value {
        self.check_alignment(memarg, index, width);
        self.checked_addr(memarg, index, width.bytes().into())
    }

    fn check_alignment(&mut self, memarg: &MemArg, index: Value, width: Type) {
        let mask = i64::from(width.bytes()) - 1;
        if mask == 0 {
            return;
        }
        // The low bits of the sum depend on the low bits alone.
        let offset = memarg.offset as i64 & mask;
        let index = match offset {
            0 => index,
            offset => self.builder.ins().iadd_imm_u(index, offset),
        };
        let low = self.builder.ins().band_imm_u(index, mask);
        let unaligned = self.builder.ins().icmp_imm_u(IntCC::NotEqual, low, 0);
        self.builder.ins().trapnz(unaligned, UNALIGNED);
    }

    fn value_type(&self, value: Value) -> Type {
        self.builder.func.dfg.value_type(value)
    }

    /// The value as a narrower type.
    fn low_part(&mut self, value: Value, width: Type) -> Value {
        if self.value_type(value) == width {
            value
        } else {
            self.builder.ins().ireduce(width, value)
        }
    }

    /// The value as a wider type.
    fn widen(&mut self, value: Value, ty: Type) -> Value {
        if self.value_type(value) == ty {
            value
        } else {
            self.builder.ins().uextend(ty, value)
        }
    }
}
