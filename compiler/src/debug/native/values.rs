//! Where the values of variables are.

use std::ops::Range;

use cwasm_format::vmctx::VmMemory;
use gimli::write::{Address, Expression, Location};
use gimli::{Operation, Register};

use super::super::budget::{Budget, Refusal};
use super::super::dwarf::Slice;
use super::places::Places;
use crate::env::{MemoryBase, MemoryLoc};
use crate::ir::label;
use crate::work::origins::{Value, ValuePlace};

/// Where a `VmMemory` has its address.
const BASE: u64 = std::mem::offset_of!(VmMemory, base) as u64;

/// Steps of a part of the code in which a variable is somewhere.
const LOCATION: u64 = 12;

/// Where a module says that a variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    /// It is the value of a local.
    Local(u32),
    /// In memory, at the address that a local has, plus the offset.
    Memory { local: u32, offset: i64 },
    /// In memory, at this address.
    Static { address: u64 },
}

impl Variable {
    /// What an expression means in a function whose frame is at the address that the local
    /// `frame_base` has. `None` for all that is not known here.
    pub(super) fn of(
        expression: gimli::Expression<Slice<'_>>,
        encoding: gimli::Encoding,
        frame_base: Option<u32>,
    ) -> Option<Variable> {
        let mut operations = expression.operations(encoding);
        let first = operations.next().ok()??;
        let second = operations.next().ok()?;
        let third = operations.next().ok()?;
        if third.is_some() {
            return None;
        }
        match (first, second) {
            (Operation::WasmLocal { index }, Some(Operation::StackValue)) => {
                Some(Variable::Local(index))
            }
            (Operation::FrameOffset { offset }, None) => Some(Variable::Memory {
                local: frame_base?,
                offset,
            }),
            (Operation::WasmLocal { index }, Some(Operation::PlusConstant { value })) => {
                Some(Variable::Memory {
                    local: index,
                    offset: i64::try_from(value).ok()?,
                })
            }
            (Operation::Address { address }, None) => Some(Variable::Static { address }),
            _ => None,
        }
    }

    /// Where it is in the code of a function, while code of `ranges` runs.
    ///
    /// # Errors
    /// If that takes too many steps.
    pub(super) fn locations(
        self,
        places: &Places<'_>,
        memory: Option<&MemoryLoc>,
        ranges: &[Range<u64>],
        budget: &mut Budget,
        found: &mut Vec<Location>,
    ) -> Result<(), Refusal> {
        let mut add = |range: Range<u64>, data: Expression| {
            found.push(Location::StartEnd {
                begin: Address::Constant(range.start),
                end: Address::Constant(range.end),
                data,
            });
        };
        match self {
            Variable::Local(local) => {
                for (range, value) in places.values(local) {
                    for part in overlaps(&range, ranges, budget)? {
                        add(part, value_place(value));
                    }
                }
            }
            Variable::Memory { local, offset } => {
                let Some(memory) = memory else {
                    return Ok(());
                };
                for (context_range, context) in places.values(label::CONTEXT) {
                    let inside = overlaps(&context_range, ranges, budget)?;
                    for (range, value) in places.values(local) {
                        for part in overlaps(&range, &inside, budget)? {
                            let address = |expression: &mut Expression| {
                                push(expression, value);
                                expression.op_constu(u32::MAX.into());
                                expression.op(gimli::DW_OP_and);
                                expression.op_consts(offset);
                                expression.op(gimli::DW_OP_plus);
                            };
                            add(part, in_memory(memory, context, address));
                        }
                    }
                }
            }
            Variable::Static { address } => {
                let Some(memory) = memory else {
                    return Ok(());
                };
                for (range, context) in places.values(label::CONTEXT) {
                    for part in overlaps(&range, ranges, budget)? {
                        let constant = |expression: &mut Expression| expression.op_constu(address);
                        add(part, in_memory(memory, context, constant));
                    }
                }
            }
        }
        Ok(())
    }
}

/// The parts of sorted ranges that overlap with a range.
fn overlaps(
    range: &Range<u64>,
    ranges: &[Range<u64>],
    budget: &mut Budget,
) -> Result<Vec<Range<u64>>, Refusal> {
    let first = ranges.partition_point(|other| other.end <= range.start);
    let others = ranges[first..].iter();
    let found: Vec<_> = others
        .take_while(|other| other.start < range.end)
        .map(|other| other.start.max(range.start)..other.end.min(range.end))
        .filter(|part| !part.is_empty())
        .collect();
    budget.take(1 + LOCATION * found.len() as u64)?;
    Ok(found)
}

/// The place that a value is in, as that of a variable.
fn value_place(value: &Value) -> Expression {
    let mut expression = Expression::new();
    match value.at {
        ValuePlace::Register(number) => expression.op_reg(Register(number)),
        ValuePlace::Frame(offset) => expression.op_fbreg(offset),
    }
    expression
}

/// Pushes a value.
fn push(expression: &mut Expression, value: &Value) {
    match value.at {
        ValuePlace::Register(number) => expression.op_breg(Register(number), 0),
        ValuePlace::Frame(offset) => {
            expression.op_fbreg(offset);
            expression.op_deref();
        }
    }
}

/// The native address of an address in the first memory of an instance.
fn in_memory(
    memory: &MemoryLoc,
    context: &Value,
    address: impl FnOnce(&mut Expression),
) -> Expression {
    let mut expression = Expression::new();
    push(&mut expression, context);
    match memory.base {
        MemoryBase::First { context_size, .. } => {
            expression.op_plus_uconst(context_size.into());
        }
        MemoryBase::Own { desc } => {
            expression.op_plus_uconst(u64::from(desc) + BASE);
            expression.op_deref();
        }
        MemoryBase::Import { slot } => {
            expression.op_plus_uconst(slot.into());
            expression.op_deref();
            expression.op_plus_uconst(BASE);
            expression.op_deref();
        }
    }
    address(&mut expression);
    expression.op(gimli::DW_OP_plus);
    expression
}
