//! The locals of a function, and where they are kept.
//!
//! Usually they are variables of `cranelift-frontend`, which builds SSA form: each block where
//! different values of a local meet has a parameter for it. `n` nested loops over `n` locals have
//! n² of those, and the register allocator merges them across the loops around them, which takes
//! time n³ and more. A function beyond the [`Budget`] is translated again with its locals in the
//! frame, where each access is a load or store: code and work are then linear in the function's
//! size.

use cranelift_codegen::ir::{
    self, InstBuilder, StackSlot, StackSlotData, StackSlotKind, Value, ValueLabel,
};
use cranelift_frontend::{FunctionBuilder, Variable};
use wasmparser::{FunctionBody, Operator, ValType};

use crate::error::Result;
use crate::ir::label::FrameLocals;

/// The most locals that a function has: validation refuses more.
const MAX_LOCALS: usize = 50_000;
/// Bytes in the frame for a local, if none is a vector.
const NUMBER_SIZE: u32 = 8;
/// Bytes in the frame for a local otherwise.
const VECTOR_SIZE: u32 = 16;

/// Where the locals of the function at hand are.
pub(super) enum Locals {
    Variables,
    Frame {
        slot: StackSlot,
        /// Each local's offset in the slot; `None` if nothing accesses the local.
        offsets: Vec<Option<i32>>,
        /// The types of the locals declared so far.
        types: Vec<ir::Type>,
    },
}

impl Locals {
    /// Gives each local that `body` accesses a place in the frame.
    pub(super) fn in_frame(
        body: &FunctionBody<'_>,
        params: &[ValType],
        builder: &mut FunctionBuilder<'_>,
    ) -> Result<Locals> {
        let mut has_vectors = params.contains(&ValType::V128);
        for local in body.get_locals_reader()? {
            has_vectors |= local?.1 == ValType::V128;
        }
        let size = match has_vectors {
            true => VECTOR_SIZE,
            false => NUMBER_SIZE,
        };
        let (mut offsets, mut used) = (Vec::new(), 0);
        // An operator that cannot be read becomes an error when it is translated.
        for op in body
            .get_operators_reader()?
            .into_iter()
            .map_while(|op| op.ok())
        {
            let (Operator::LocalGet { local_index }
            | Operator::LocalSet { local_index }
            | Operator::LocalTee { local_index }) = op
            else {
                continue;
            };
            let index = local_index as usize;
            if index >= MAX_LOCALS {
                break;
            }
            if index >= offsets.len() {
                offsets.resize(index + 1, None);
            }
            if offsets[index].is_none() {
                offsets[index] = Some((used * size) as i32);
                used += 1;
            }
        }
        let align = size.ilog2() as u8;
        let data = StackSlotData::new(StackSlotKind::ExplicitSlot, used * size, align);
        Ok(Locals::Frame {
            slot: builder.create_sized_stack_slot(data),
            offsets,
            types: Vec::new(),
        })
    }

    /// Where they are in the frame, if they are there.
    pub(super) fn into_frame(self) -> Option<FrameLocals> {
        match self {
            Locals::Variables => None,
            Locals::Frame { slot, offsets, .. } => Some(FrameLocals { slot, offsets }),
        }
    }

    /// Declares the next local with its first value.
    pub(super) fn declare(&mut self, builder: &mut FunctionBuilder<'_>, value: Value) {
        let ty = builder.func.dfg.value_type(value);
        match self {
            Locals::Variables => {
                let variable = builder.declare_var(ty);
                builder.def_var(variable, value);
                builder.set_val_label(value, ValueLabel::from_u32(variable.as_u32()));
            }
            Locals::Frame { types, .. } => {
                types.push(ty);
                let local = types.len() as u32 - 1;
                self.set(builder, local, value);
            }
        }
    }

    pub(super) fn get(&self, builder: &mut FunctionBuilder<'_>, local: u32) -> Value {
        match self {
            Locals::Variables => {
                // Where several values meet, there is a new one.
                let value = builder.use_var(variable(local));
                builder.set_val_label(value, ValueLabel::from_u32(local));
                value
            }
            Locals::Frame {
                slot,
                offsets,
                types,
            } => {
                let Some(offset) = offset(offsets, local) else {
                    unreachable!("what is accessed has a place")
                };
                let ty = types[local as usize];
                builder.ins().stack_load(ir::types::I64, ty, *slot, offset)
            }
        }
    }

    /// Sets a local. Does nothing for one in the frame that nothing accesses.
    pub(super) fn set(&self, builder: &mut FunctionBuilder<'_>, local: u32, value: Value) {
        match self {
            Locals::Variables => {
                builder.def_var(variable(local), value);
                builder.set_val_label(value, ValueLabel::from_u32(local));
            }
            Locals::Frame { slot, offsets, .. } => {
                if let Some(offset) = offset(offsets, local) {
                    let ins = builder.ins();
                    ins.stack_store(ir::types::I64, value, *slot, offset);
                }
            }
        }
    }
}

/// The offset of a local in the frame; `None` if nothing accesses it.
fn offset(offsets: &[Option<i32>], local: u32) -> Option<i32> {
    offsets.get(local as usize).copied().flatten()
}

/// The variable of a local: variables are declared in the order of the locals' indices.
fn variable(local: u32) -> Variable {
    Variable::from_u32(local)
}

/// How many block parameters a function may have while its locals are variables. The most that were
/// seen in a program are 10,000 in a function of 150 KB (PHP); small functions have up to ten per
/// operator.
pub(super) struct Budget {
    /// Bytes of the body.
    size: usize,
    /// Parameters of the heads of loops, each counted once for every loop that it is in.
    in_loops: usize,
    loops: usize,
}

impl Budget {
    const MIN_VALUES: usize = 200_000;
    const VALUES_PER_BYTE: usize = 64;
    const MIN_PARAMS: usize = 4_000;
    const PARAMS_PER_BYTE: usize = 2;
    const MIN_IN_LOOPS: usize = 50_000;
    const IN_LOOPS_PER_BYTE: usize = 4;

    pub(super) fn new(size: usize) -> Budget {
        Budget {
            size,
            in_loops: 0,
            loops: 0,
        }
    }

    pub(super) fn enter_loop(&mut self) {
        self.loops += 1;
    }

    /// Counts the parameters of the head of the innermost loop, once all branches to it are known.
    pub(super) fn leave_loop(&mut self, params: usize) {
        self.in_loops += params * self.loops;
        self.loops -= 1;
    }

    /// Whether the part translated so far is beyond the budget.
    pub(super) fn is_exceeded(&self, func: &ir::Function) -> bool {
        let most = Self::MIN_VALUES.max(Self::VALUES_PER_BYTE * self.size);
        let in_loops = Self::MIN_IN_LOOPS.max(Self::IN_LOOPS_PER_BYTE * self.size);
        func.dfg.num_values() > most || self.in_loops > in_loops
    }

    /// Whether the function, now complete, is beyond the budget.
    pub(super) fn is_exceeded_by_all(&self, func: &ir::Function) -> bool {
        let blocks = func.layout.blocks();
        let params: usize = blocks.map(|block| func.dfg.num_block_params(block)).sum();
        params > Self::MIN_PARAMS.max(Self::PARAMS_PER_BYTE * self.size) || self.is_exceeded(func)
    }
}
