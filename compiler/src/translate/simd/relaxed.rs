//! The relaxed operators that differ from every other operator.
//!
//! Where the specification leaves a choice, we take that of its deterministic profile, the first of
//! each list in "Numerics, Relaxed Operations": the same on every CPU and in every build. Swizzle,
//! truncation, lane selection, minimum, maximum and the Q15 multiplication then equal the operators
//! that are not relaxed; the others are here.

use cranelift_codegen::ir::types::{I8X16, I16X8, I32X4};
use cranelift_codegen::ir::{InstBuilder, Opcode, Type, Value};

use super::Translator;
use super::integer::SIGNED;

impl Translator<'_, '_> {
    /// `a * b + c`, rounded twice.
    pub(super) fn madd(&mut self, ty: Type) {
        let c = self.pop_vector(ty);
        let (a, b) = self.pop2_vectors(ty);
        let product = self.emit.builder.ins().fmul(a, b);
        let result = self.emit.builder.ins().fadd(product, c);
        self.push_vector(result);
    }

    /// `-a * b + c`, rounded twice.
    pub(super) fn nmadd(&mut self, ty: Type) {
        let c = self.pop_vector(ty);
        let (a, b) = self.pop2_vectors(ty);
        let a = self.emit.builder.ins().fneg(a);
        let product = self.emit.builder.ins().fmul(a, b);
        let result = self.emit.builder.ins().fadd(product, c);
        self.push_vector(result);
    }

    /// The sums of neighbouring products; both operands are signed, the sums saturate.
    pub(super) fn relaxed_dot(&mut self) {
        let (a, b) = self.pop2_vectors(I8X16);
        let sums = self.saturated_dot_products(a, b);
        self.push_vector(sums);
    }

    /// The sums of neighbouring lanes of `relaxed_dot`, added to a third operand.
    pub(super) fn relaxed_dot_add(&mut self) {
        let c = self.pop_vector(I32X4);
        let (a, b) = self.pop2_vectors(I8X16);
        let sums = self.saturated_dot_products(a, b);
        let sums = self.widened_sums(SIGNED, sums);
        let result = self.emit.builder.ins().iadd(sums, c);
        self.push_vector(result);
    }

    /// A product of two `i8`s fits in 16 bits, a sum of two products in 32.
    fn saturated_dot_products(&mut self, a: Value, b: Value) -> Value {
        let [low, high] = [Opcode::SwidenLow, Opcode::SwidenHigh].map(|widen| {
            let a = self.unary_inst(widen, I8X16, a);
            let b = self.unary_inst(widen, I8X16, b);
            self.dot_products(a, b)
        });
        let sums = self.emit.builder.ins().snarrow(low, high);
        debug_assert_eq!(self.value_type(sums), I16X8);
        sums
    }
}
