//! Labels of values whose places debuggers want to know: the locals of a function by their index,
//! its context, and what its operators leave on the operand stack.

use cranelift_codegen::ir::StackSlot;

/// The label of the context. No function has as many locals.
pub(crate) const CONTEXT: u32 = 1 << 20;

/// The label of the first value on the operand stack.
const OPERANDS: u32 = 1 << 21;

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

/// The number of the value on the operand stack with this label; `None` if it is a local or the
/// context.
pub(crate) fn operand_number(label: u32) -> Option<usize> {
    Some(label.checked_sub(OPERANDS)? as usize)
}
