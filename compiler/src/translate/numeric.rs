//! Numeric operators. Cranelift's instructions have WebAssembly's semantics: shift amounts are
//! taken modulo the width, division and conversion trap by themselves, the bits of a NaN are the
//! CPU's.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::I32;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Opcode, Type, Value};
use cranelift_frontend::FuncInstBuilder;
use cwasm_format::builtin::Builtin;

use super::operators::Translator;
use crate::env::ConstValue;

/// Inserts an instruction.
pub(super) type Ins<'a, 'f> = FuncInstBuilder<'a, 'f>;

impl<'f> Translator<'_, 'f> {
    pub(super) fn constant(&mut self, value: ConstValue) {
        let value = self.emit.const_value(value);
        self.push(value);
    }

    pub(super) fn unary(&mut self, op: impl FnOnce(Ins<'_, 'f>, Value) -> Value) {
        let a = self.pop();
        let result = op(self.emit.builder.ins(), a);
        self.push(result);
    }

    pub(super) fn binary(&mut self, op: impl FnOnce(Ins<'_, 'f>, Value, Value) -> Value) {
        let (a, b) = self.pop2();
        let result = op(self.emit.builder.ins(), a, b);
        self.push(result);
    }

    pub(super) fn reinterpret(&mut self, ty: Type) {
        self.unary(|ins, a| ins.bitcast(ty, MemFlagsData::new(), a));
    }

    /// Sign-extends from the low bits of type `from`.
    pub(super) fn sign_extend_low(&mut self, from: Type) {
        let a = self.pop();
        let ty = self.emit.builder.func.dfg.value_type(a);
        let low = self.emit.builder.ins().ireduce(from, a);
        let result = self.emit.builder.ins().sextend(ty, low);
        self.push(result);
    }

    pub(super) fn int_compare(&mut self, condition: IntCC) {
        let (a, b) = self.pop2();
        let result = self.emit.builder.ins().icmp(condition, a, b);
        self.push_bool(result);
    }

    pub(super) fn float_compare(&mut self, condition: FloatCC) {
        let (a, b) = self.pop2();
        let result = self.emit.builder.ins().fcmp(condition, a, b);
        self.push_bool(result);
    }

    pub(super) fn int_eqz(&mut self) {
        let a = self.pop();
        let result = self.emit.builder.ins().icmp_imm_u(IntCC::Equal, a, 0);
        self.push_bool(result);
    }

    /// Pushes a boolean, an `i8` in Cranelift, as an `i32`.
    pub(super) fn push_bool(&mut self, value: Value) {
        let value = self.emit.builder.ins().uextend(I32, value);
        self.push(value);
    }

    /// Rounds a float with the instruction, or with `builtin` if the CPU has none for it.
    pub(super) fn round(&mut self, builtin: Builtin, opcode: Opcode) {
        let a = self.pop();
        let result = match self.isa.has_round() {
            true => {
                let ty = self.emit.builder.func.dfg.value_type(a);
                let (inst, dfg) = self.emit.builder.ins().Unary(opcode, ty, a);
                dfg.first_result(inst)
            }
            false => self.emit.builtin_value(builtin, &[a]),
        };
        self.push(result);
    }
}
