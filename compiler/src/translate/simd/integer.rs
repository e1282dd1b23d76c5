//! Integer lanes and bits.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8X16, I16X8, I32, I32X4};
use cranelift_codegen::ir::{InstBuilder, Opcode, Type, Value};

use super::Translator;

/// How lanes are made twice as wide.
#[derive(Clone, Copy)]
pub(super) struct Widening {
    low: Opcode,
    high: Opcode,
}

pub(super) const SIGNED: Widening = Widening {
    low: Opcode::SwidenLow,
    high: Opcode::SwidenHigh,
};

pub(super) const UNSIGNED: Widening = Widening {
    low: Opcode::UwidenLow,
    high: Opcode::UwidenHigh,
};

impl Translator<'_, '_> {
    /// `a & !b`.
    pub(super) fn and_not(&mut self) {
        let (a, b) = self.pop2_vectors(I8X16);
        let result = self.emit.builder.ins().band_not(a, b);
        self.push_vector(result);
    }

    pub(super) fn bitselect(&mut self) {
        let mask = self.pop_vector(I8X16);
        let (a, b) = self.pop2_vectors(I8X16);
        let result = self.emit.builder.ins().bitselect(mask, a, b);
        self.push_vector(result);
    }

    pub(super) fn any_true(&mut self) {
        let a = self.pop();
        // The lanes do not matter here; without the cast, a comparison that gives the operand can
        // become part of the test.
        let a = self.uncast(a);
        let result = self.emit.builder.ins().vany_true(a);
        self.push_bool(result);
    }

    pub(super) fn all_true(&mut self, ty: Type) {
        let a = self.pop_vector(ty);
        let result = self.emit.builder.ins().vall_true(a);
        self.push_bool(result);
    }

    pub(super) fn bitmask(&mut self, ty: Type) {
        let a = self.pop_vector(ty);
        let result = self.emit.builder.ins().vhigh_bits(I32, a);
        self.push(result);
    }

    pub(super) fn vector_int_compare(&mut self, condition: IntCC, ty: Type) {
        let (a, b) = self.pop2_vectors(ty);
        let result = self.emit.builder.ins().icmp(condition, a, b);
        self.push_vector(result);
    }

    /// Shifts all lanes by one amount, which Cranelift, as WebAssembly, takes modulo their width.
    pub(super) fn vector_shift(&mut self, opcode: Opcode, ty: Type) {
        let amount = self.pop();
        let a = self.pop_vector(ty);
        let result = self.binary_inst(opcode, ty, a, amount);
        self.push_vector(result);
    }

    /// Multiplies half of the lanes, made wider.
    pub(super) fn widening_mul(&mut self, widen: Opcode, ty: Type) {
        let (a, b) = self.pop2_vectors(ty);
        let product = self.widened_product(widen, a, b);
        self.push_vector(product);
    }

    /// Adds neighbouring lanes, made wider.
    pub(super) fn widening_add_pairwise(&mut self, widening: Widening, ty: Type) {
        let a = self.pop_vector(ty);
        let sums = self.widened_sums(widening, a);
        self.push_vector(sums);
    }

    pub(super) fn widened_sums(&mut self, widening: Widening, a: Value) -> Value {
        let ty = self.value_type(a);
        let low = self.unary_inst(widening.low, ty, a);
        let high = self.unary_inst(widening.high, ty, a);
        self.emit.builder.ins().iadd_pairwise(low, high)
    }

    pub(super) fn dot(&mut self) {
        let (a, b) = self.pop2_vectors(I16X8);
        let sums = self.dot_products(a, b);
        self.push_vector(sums);
    }

    /// The sums of the products of neighbouring signed lanes of `i16x8`: one instruction.
    pub(super) fn dot_products(&mut self, a: Value, b: Value) -> Value {
        let low = self.widened_product(Opcode::SwidenLow, a, b);
        let high = self.widened_product(Opcode::SwidenHigh, a, b);
        debug_assert_eq!(self.value_type(low), I32X4);
        self.emit.builder.ins().iadd_pairwise(low, high)
    }

    fn widened_product(&mut self, widen: Opcode, a: Value, b: Value) -> Value {
        let ty = self.value_type(a);
        let a = self.unary_inst(widen, ty, a);
        let b = self.unary_inst(widen, ty, b);
        self.emit.builder.ins().imul(a, b)
    }
}
