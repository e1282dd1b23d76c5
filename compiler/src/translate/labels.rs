//! Labels of values that are no locals, for debuggers: optimised code of a guest leaves on the
//! operand stack what variables are, and locals are not kept where another value says the same.

use std::collections::BTreeMap;

use cranelift_codegen::ir::{
    DataFlowGraph, InstructionData, Opcode, Value, ValueLabel, types::I32,
};
use cranelift_frontend::FunctionBuilder;
use wasmparser::Operator;

use crate::ir::label::{self, FrameLocals, Operand};

/// The lowest places of the stack have labels: compilers leave variables in the first few.
const MAX_DEPTH: usize = 64;

/// The values of a function that have labels and are no locals.
#[derive(Default)]
pub(crate) struct Labels {
    /// The stack after the last operator.
    last: Vec<Value>,
    /// What operators have left on the stack, in the order of the code.
    pub(crate) operands: Vec<Operand>,
    /// The locals that were set: what is added to another value, if they were set once, to a sum.
    sums: BTreeMap<u32, Option<i64>>,
    /// The function's locals, if they are in its frame.
    pub(crate) in_frame: Option<FrameLocals>,
}

impl Labels {
    /// Starts a function with so many parameters, which are set from the start.
    pub(super) fn start(&mut self, params: usize) {
        self.last.clear();
        self.operands.clear();
        self.sums = (0..params as u32).map(|local| (local, None)).collect();
        self.in_frame = None;
    }

    /// Each local that is always the value with the label [`label::sum`] and this number.
    pub(crate) fn sums(&self) -> impl Iterator<Item = (u32, i64)> {
        let sums = self.sums.iter();
        sums.filter_map(|(local, added)| Some((*local, (*added)?)))
    }

    /// Gives labels to what the operator at this offset has done, after which this is on the stack.
    /// `is_in_block` is whether it may run more than once, or never.
    pub(super) fn note(
        &mut self,
        builder: &mut FunctionBuilder<'_>,
        (operator, offset): (&Operator<'_>, u32),
        is_in_block: bool,
        stack: &[Value],
    ) {
        if let Operator::LocalSet { local_index } | Operator::LocalTee { local_index } = operator
            && self.last.len() < MAX_DEPTH
            && let Some(value) = self.last.last()
        {
            self.set(builder, *local_index, (*value, is_in_block));
        }
        let stack = &stack[..stack.len().min(MAX_DEPTH)];
        for (depth, value) in stack.iter().enumerate() {
            if self.last.get(depth) == Some(value) {
                continue;
            }
            let ty = builder.func.dfg.value_type(*value);
            let label = label::operand(self.operands.len());
            builder.set_val_label(*value, ValueLabel::from_u32(label));
            self.operands.push(Operand {
                offset,
                depth: depth as u8,
                int_bytes: ty.is_int().then(|| ty.bytes() as u8),
            });
        }
        self.last.clear();
        self.last.extend_from_slice(stack);
    }

    /// A local is set to a value, which was on the stack before.
    fn set(
        &mut self,
        builder: &mut FunctionBuilder<'_>,
        local: u32,
        (value, is_in_block): (Value, bool),
    ) {
        if let Some(added) = self.sums.get_mut(&local) {
            *added = None;
            return;
        }
        let sum = match is_in_block {
            // Until it is set again, it is the sum of an older value.
            true => None,
            false => sum(&builder.func.dfg, value),
        };
        if let Some((base, _)) = sum {
            builder.set_val_label(base, ValueLabel::from_u32(label::sum(local)));
        }
        self.sums.insert(local, sum.map(|(_, added)| added));
    }
}

/// What a value is the sum of, if one of the two is a constant.
fn sum(dfg: &DataFlowGraph, value: Value) -> Option<(Value, i64)> {
    let inst = dfg.value_def(dfg.resolve_aliases(value)).inst()?;
    let InstructionData::Binary {
        opcode,
        args: [base, added],
    } = dfg.insts[inst]
    else {
        return None;
    };
    let added = constant(dfg, added)?;
    match opcode {
        Opcode::Iadd => Some((base, added)),
        Opcode::Isub => Some((base, added.wrapping_neg())),
        _ => None,
    }
}

fn constant(dfg: &DataFlowGraph, value: Value) -> Option<i64> {
    let inst = dfg.value_def(dfg.resolve_aliases(value)).inst()?;
    let InstructionData::UnaryImm {
        opcode: Opcode::Iconst,
        imm,
    } = dfg.insts[inst]
    else {
        return None;
    };
    let bits = imm.bits();
    let is_short = dfg.value_type(value) == I32;
    Some(if is_short { bits as i32 as i64 } else { bits })
}
