//! Evaluates constant expressions at compile time.

use wasmparser::{ConstExpr, Operator};

use crate::env::{ConstRef, ConstValue, GlobalLoc};
use crate::error::{Error, Result};

/// The value of `expr`; `None` if it depends on something that is only known at run time.
///
/// `globals` are those of the instance so far, `reference` gives the reference to a function.
pub(crate) fn evaluate(
    expr: &ConstExpr<'_>,
    globals: &[GlobalLoc],
    reference: impl Fn(u32) -> Option<ConstRef>,
) -> Result<Option<ConstValue>> {
    let mut reader = expr.get_operators_reader();
    let mut stack: Vec<ConstValue> = Vec::new();
    loop {
        let (op, offset) = reader.read_with_offset()?;
        let value = match op {
            Operator::End => break,
            Operator::I32Const { value } => ConstValue::I32(value as u32),
            Operator::I64Const { value } => ConstValue::I64(value as u64),
            Operator::F32Const { value } => ConstValue::F32(value.bits()),
            Operator::F64Const { value } => ConstValue::F64(value.bits()),
            Operator::V128Const { value } => ConstValue::V128(u128::from_le_bytes(*value.bytes())),
            Operator::RefNull { .. } => ConstValue::Ref(ConstRef::Null),
            Operator::RefFunc { function_index } => match reference(function_index) {
                Some(reference) => ConstValue::Ref(reference),
                None => return Ok(None),
            },
            Operator::GlobalGet { global_index } => match globals[global_index as usize] {
                GlobalLoc::Const(value) => value,
                GlobalLoc::Own { .. } | GlobalLoc::Import { .. } => return Ok(None),
            },
            Operator::I32Add => binary_32(&mut stack, u32::wrapping_add),
            Operator::I32Sub => binary_32(&mut stack, u32::wrapping_sub),
            Operator::I32Mul => binary_32(&mut stack, u32::wrapping_mul),
            Operator::I64Add => binary_64(&mut stack, u64::wrapping_add),
            Operator::I64Sub => binary_64(&mut stack, u64::wrapping_sub),
            Operator::I64Mul => binary_64(&mut stack, u64::wrapping_mul),
            // All other valid operators make objects or convert references.
            _ => return Err(Error::unsupported("gc", offset)),
        };
        stack.push(value);
    }
    Ok(stack.pop())
}

fn binary_32(stack: &mut Vec<ConstValue>, op: impl Fn(u32, u32) -> u32) -> ConstValue {
    match (stack.pop(), stack.pop()) {
        (Some(ConstValue::I32(b)), Some(ConstValue::I32(a))) => ConstValue::I32(op(a, b)),
        _ => unreachable!("constant expressions are validated"),
    }
}

fn binary_64(stack: &mut Vec<ConstValue>, op: impl Fn(u64, u64) -> u64) -> ConstValue {
    match (stack.pop(), stack.pop()) {
        (Some(ConstValue::I64(b)), Some(ConstValue::I64(a))) => ConstValue::I64(op(a, b)),
        _ => unreachable!("constant expressions are validated"),
    }
}
