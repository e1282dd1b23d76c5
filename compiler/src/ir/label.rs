//! Labels of values whose places debuggers want to know: the locals of a function by their index,
//! its context, what its operators leave on the operand stack, and what locals are sums of.

use cranelift_codegen::ir::StackSlot;

/// The label of the context. No function has as many locals.
pub(crate) const CONTEXT: u32 = 1 << 20;

/// The label of the first value on the operand stack.
const OPERANDS: u32 = 1 << 21;

/// The label of what the first local is a sum of. There are fewer values on the operand stack.
const SUMS: u32 = 1 << 25;

/// A value that an operator has left on the operand stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand {
    /// The operator: bytes from the start of the function's body.
    pub(crate) offset: u32,
    /// How many values are below it.
    pub(crate) depth: u8,
    /// Bytes of an integer; `None` of other types.
    pub(crate) int_bytes: Option<u8>,
}

/// The locals of a function that are in its frame: they have no labels, as they do not move.
#[derive(Debug)]
pub(crate) struct FrameLocals {
    pub(crate) slot: StackSlot,
    /// The offset of each in the slot; `None` if nothing accesses it.
    pub(crate) offsets: Vec<Option<i32>>,
}

/// The label of a value that was left as the first, second, ... in its function: each has its own.
/// A body has fewer bytes than there are labels.
pub(crate) fn operand(number: usize) -> u32 {
    OPERANDS + number as u32
}

/// The label of the value that a local is the sum of, with a constant.
pub(crate) fn sum(local: u32) -> u32 {
    SUMS + local
}

/// The number of the value on the operand stack with this label; `None` if it is a local or the
/// context.
pub(crate) fn operand_number(label: u32) -> Option<usize> {
    Some(label.checked_sub(OPERANDS)? as usize)
}
