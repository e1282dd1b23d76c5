//! Labels of the values on the operand stack, for debuggers: optimised code of a guest leaves there
//! what variables are.

use cranelift_codegen::ir::{Value, ValueLabel};
use cranelift_frontend::FunctionBuilder;

use crate::ir::label::{self, Operand};

/// The lowest places of the stack have labels: compilers leave variables in the first few.
const MAX_DEPTH: usize = 64;

/// The values that operators have left on the stack of a function.
#[derive(Default)]
pub(crate) struct Operands {
    /// The stack after the last operator.
    last: Vec<Value>,
    /// In the order of the code.
    pub(crate) left: Vec<Operand>,
}

impl Operands {
    pub(super) fn clear(&mut self) {
        self.last.clear();
        self.left.clear();
    }

    /// Gives labels to what the operator at this offset has left.
    pub(super) fn note(&mut self, builder: &mut FunctionBuilder<'_>, stack: &[Value], offset: u32) {
        let stack = &stack[..stack.len().min(MAX_DEPTH)];
        for (depth, value) in stack.iter().enumerate() {
            if self.last.get(depth) == Some(value) {
                continue;
            }
            let ty = builder.func.dfg.value_type(*value);
            builder.set_val_label(
                *value,
                ValueLabel::from_u32(label::operand(self.left.len())),
            );
            self.left.push(Operand {
                offset,
                depth: depth as u8,
                int_bytes: ty.is_int().then(|| ty.bytes() as u8),
            });
        }
        self.last.clear();
        self.last.extend_from_slice(stack);
    }
}
