//! Wide arithmetic: numbers of 128 bits, as a low and a high operand.

use cranelift_codegen::ir::types::I128;
use cranelift_codegen::ir::{InstBuilder, Value};

use super::numeric::Ins;
use super::operators::Translator;

impl<'f> Translator<'_, 'f> {
    /// An operator on two wide numbers.
    pub(super) fn wide_binary(&mut self, op: impl FnOnce(Ins<'_, 'f>, Value, Value) -> Value) {
        let (b_low, b_high) = self.pop2();
        let (a_low, a_high) = self.pop2();
        let a = self.emit.builder.ins().iconcat(a_low, a_high);
        let b = self.emit.builder.ins().iconcat(b_low, b_high);
        let result = op(self.emit.builder.ins(), a, b);
        self.push_wide(result);
    }

    /// Multiplies two `i64`s, extended by `extend`: one instruction.
    pub(super) fn wide_multiply(&mut self, extend: impl Fn(Ins<'_, 'f>, Value) -> Value) {
        let (a, b) = self.pop2();
        let a = extend(self.emit.builder.ins(), a);
        let b = extend(self.emit.builder.ins(), b);
        let result = self.emit.builder.ins().imul(a, b);
        self.push_wide(result);
    }

    fn push_wide(&mut self, value: Value) {
        debug_assert_eq!(self.emit.builder.func.dfg.value_type(value), I128);
        let (low, high) = self.emit.builder.ins().isplit(value);
        self.push(low);
        self.push(high);
    }
}
