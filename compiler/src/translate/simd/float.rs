//! Float lanes, and conversions from and to them.

use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::types::{F64X2, I32, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, Opcode, Type, Value};
use cwasm_format::builtin::Builtin;

use super::Translator;

impl Translator<'_, '_> {
    pub(super) fn vector_float_compare(&mut self, condition: FloatCC, ty: Type) {
        let (a, b) = self.pop2_vectors(ty);
        let result = self.emit.builder.ins().fcmp(condition, a, b);
        self.push_vector(result);
    }

    /// `b < a ? b : a`, one instruction on x86-64.
    pub(super) fn pseudo_min(&mut self, ty: Type) {
        let (a, b) = self.pop2_vectors(ty);
        let less = self.emit.builder.ins().fcmp(FloatCC::LessThan, b, a);
        self.select_lanes(less, b, a);
    }

    /// `a < b ? b : a`, one instruction on x86-64.
    pub(super) fn pseudo_max(&mut self, ty: Type) {
        let (a, b) = self.pop2_vectors(ty);
        let less = self.emit.builder.ins().fcmp(FloatCC::LessThan, a, b);
        self.select_lanes(less, b, a);
    }

    /// Pushes the lanes of `a` where the lanes of a comparison are true, else those of `b`.
    fn select_lanes(&mut self, condition: Value, a: Value, b: Value) {
        let condition = self.cast(condition, self.value_type(a));
        let result = self.emit.builder.ins().bitselect(condition, a, b);
        self.push_vector(result);
    }

    /// Rounds with the instruction, or lane by lane with `builtin` if the CPU has none for it.
    pub(super) fn vector_round(&mut self, builtin: Builtin, opcode: Opcode, ty: Type) {
        if self.isa.has_round() {
            self.vector_unary(opcode, ty);
            return;
        }
        let a = self.pop_vector(ty);
        let mut result = a;
        for lane in 0..ty.lane_count() as u8 {
            let value = self.emit.builder.ins().extractlane(a, lane);
            let value = self.emit.builtin_value(builtin, &[value]);
            result = self.emit.builder.ins().insertlane(result, value, lane);
        }
        self.push_vector(result);
    }

    /// Converts the two low lanes of an `i32x4`.
    pub(super) fn convert_low(&mut self, widen: Opcode, convert: Opcode) {
        let a = self.pop_vector(I32X4);
        let a = self.unary_inst(widen, I32X4, a);
        let result = self.unary_inst(convert, F64X2, a);
        self.push_vector(result);
    }

    /// `i32x4.trunc_sat_f64x2_s_zero`, as the pattern that Cranelift knows.
    pub(super) fn trunc_zero_signed(&mut self) {
        let a = self.pop_vector(F64X2);
        let a = self.emit.builder.ins().fcvt_to_sint_sat(I64X2, a);
        let zero = self.emit.vector_constant(I64X2, 0);
        let result = self.emit.builder.ins().snarrow(a, zero);
        self.push_vector(result);
    }

    /// `i32x4.trunc_sat_f64x2_u_zero`, as the pattern that Cranelift knows, which needs rounding.
    pub(super) fn trunc_zero_unsigned(&mut self) {
        let a = self.pop_vector(F64X2);
        let result = if self.isa.has_round() {
            let a = self.emit.builder.ins().fcvt_to_uint_sat(I64X2, a);
            let zero = self.emit.vector_constant(I64X2, 0);
            self.emit.builder.ins().uunarrow(a, zero)
        } else {
            let mut result = self.emit.vector_constant(I32X4, 0);
            for lane in 0..2 {
                let value = self.emit.builder.ins().extractlane(a, lane);
                let value = self.emit.builder.ins().fcvt_to_uint_sat(I32, value);
                result = self.emit.builder.ins().insertlane(result, value, lane);
            }
            result
        };
        self.push_vector(result);
    }
}
