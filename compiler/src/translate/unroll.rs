//! Unrolls small innermost loops of interruptible code: their body is translated twice in a row, so
//! that they check in every other iteration.
//!
//! ```text
//! head: check, body -> second: body -> head
//!               \               \-> after the loop
//!                \----------------> after the loop
//! ```
//!
//! Measured on loops of about seven instructions (`interruptible.cost` of the bench): a check costs
//! up to 25 % in each iteration, 5 % in every other. More copies, or larger bodies, would cost more
//! than they save.

use cranelift_codegen::ir::Block;
use wasmparser::{Operator, OperatorsReader};

use super::operators::Translator;
use crate::error::Result;

/// The most operators of a body that is unrolled.
const MAX_OPERATORS: usize = 16;

/// The operators of a loop without its `end`, each with its offset.
pub(super) type Body<'a> = Vec<(Operator<'a>, u64)>;

/// A loop whose body is translated for the first time.
pub(super) struct Unrolled<'a> {
    body: Body<'a>,
    /// The block that its second copy branches back to.
    head: Block,
}

/// The body of the loop whose start `reader` has just read, if it is small, innermost and calls no
/// function.
pub(super) fn small_body<'a>(mut reader: OperatorsReader<'a>) -> Option<Body<'a>> {
    let mut body = Vec::new();
    let mut depth = 0;
    // An operator that cannot be read becomes an error when the first copy is translated.
    while let Ok((op, offset)) = reader.read_with_offset()
        && body.len() < MAX_OPERATORS
    {
        match op {
            Operator::Block { .. } | Operator::If { .. } => depth += 1,
            Operator::End if depth == 0 => return Some(body),
            Operator::End => depth -= 1,
            Operator::Loop { .. }
            | Operator::TryTable { .. }
            | Operator::Try { .. }
            | Operator::Rethrow { .. }
            | Operator::Throw { .. }
            | Operator::ThrowRef
            | Operator::Call { .. }
            | Operator::CallIndirect { .. }
            | Operator::CallRef { .. } => return None,
            _ => {}
        }
        body.push((op, offset));
    }
    None
}

impl<'e> Translator<'e, '_> {
    /// Unrolls the loop that has just begun at `head`.
    pub(super) fn unroll(&mut self, body: Body<'e>, head: Block) {
        let Some(index) = self.frames.len().checked_sub(1) else {
            unreachable!("the loop has a frame")
        };
        let second = self.loop_head(self.frames[index].ty);
        self.frames[index].target = second.into();
        self.unrolled = Some(Unrolled { body, head });
    }

    /// Ends the first copy of the innermost frame's body, and translates the second.
    pub(super) fn end_unrolled(&mut self, Unrolled { body, head }: Unrolled<'e>) -> Result<()> {
        let index = self.frames.len() - 1;
        let (ty, height) = (self.frames[index].ty, self.frames[index].height);
        let results = self.result_count(ty);
        let after = self.reachable.then(|| self.block_of_results(ty));
        if let Some(after) = after {
            self.jump(after, results);
        }
        let Some(second) = self.frames[index].target.expand() else {
            unreachable!("`unroll` has made the head of the second copy")
        };
        self.frames[index].target = head.into();
        self.emit.builder.seal_block(second);
        self.stack.truncate(height);
        self.continue_at(second);
        self.reachable = true;
        for (op, offset) in &body {
            self.operator(op, *offset)?;
        }
        self.end_innermost();
        // If the first copy reaches its end, so does the second.
        if let Some(after) = after {
            self.jump(after, results);
            self.end_at(after, height);
        }
        Ok(())
    }
}
