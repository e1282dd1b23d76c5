//! Constant expressions that are evaluated at instantiation.

use cranelift_codegen::ir::{InstBuilder, Value};
use wasmparser::{ConstExpr, Operator, RefType};

use super::emit::Emitter;
use crate::env::ConstValue;
use crate::error::Result;
use crate::ir::reference::Reference;
use crate::needs;

impl Emitter<'_, '_> {
    /// The value of a constant expression.
    pub(crate) fn const_expr(&mut self, expr: &ConstExpr<'_>) -> Result<Value> {
        let mut stack = Vec::new();
        let mut reader = expr.get_operators_reader();
        while !reader.eof() {
            let (op, offset) = reader.read_with_offset()?;
            let value = match op {
                Operator::I32Const { value } => self.const_value(ConstValue::I32(value as u32)),
                Operator::I64Const { value } => self.const_value(ConstValue::I64(value as u64)),
                Operator::F32Const { value } => self.const_value(ConstValue::F32(value.bits())),
                Operator::F64Const { value } => self.const_value(ConstValue::F64(value.bits())),
                Operator::V128Const { value } => {
                    let bits = u128::from_le_bytes(*value.bytes());
                    self.const_value(ConstValue::V128(bits))
                }
                Operator::RefNull { hty } => {
                    let ty = RefType::new(true, hty).unwrap_or(RefType::FUNCREF);
                    self.ref_null(Reference::of(ty))
                }
                Operator::RefFunc { function_index } => self.ref_func(function_index),
                Operator::GlobalGet { global_index } => self.global_get(global_index)?,
                Operator::I32Add | Operator::I64Add => {
                    let (a, b) = operands(&mut stack);
                    self.builder.ins().iadd(a, b)
                }
                Operator::I32Sub | Operator::I64Sub => {
                    let (a, b) = operands(&mut stack);
                    self.builder.ins().isub(a, b)
                }
                Operator::I32Mul | Operator::I64Mul => {
                    let (a, b) = operands(&mut stack);
                    self.builder.ins().imul(a, b)
                }
                Operator::End => continue,
                op => return Err(needs::operator(&op, offset)),
            };
            stack.push(value);
        }
        match stack.pop() {
            Some(value) => Ok(value),
            None => unreachable!("a constant expression has a value"),
        }
    }
}

fn operands(stack: &mut Vec<Value>) -> (Value, Value) {
    match (stack.pop(), stack.pop()) {
        (Some(b), Some(a)) => (a, b),
        _ => unreachable!("constant expressions are validated"),
    }
}
