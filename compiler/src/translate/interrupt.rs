//! Interruptible code: where it checks whether the host wants it to stop.
//!
//! A check ([`Checks`](crate::ir::check::Checks)) is one load without a branch, from a page of the
//! store whose address is at a fixed offset in the context.
//!
//! Between two checks there is a bounded number of instructions:
//!
//! - Each loop checks at its head; a small one that is unrolled ([`super::unroll`]) checks in every
//!   other iteration.
//! - Each function that calls another one, or itself, checks at its start, so no chain of calls or
//!   tail calls is without checks. One that calls none ends by itself, or runs in a loop.
//! - Straight code checks after a number of operators ([`CheckBudget`]): a small number after a
//!   call, because a deep recursion returns to that place in each of its frames.
//!
//! Builtins bound their own work, and their trampolines check.

use cranelift_codegen::ir::Inst;

/// The most operators without a check between them.
const MOST_OPERATORS: u32 = 1024;
/// The most operators after a call without a check.
const MOST_AFTER_CALL: u32 = 16;

/// Counts operators to know when a check is due.
///
/// Operators are counted in the order of the code. Every path, except back to a loop's head,
/// executes some of them in this order. The fields are positions in it.
#[derive(Default)]
pub(super) struct CheckBudget {
    position: u32,
    /// On every path to here there is a check at this position or after it. Lower after calls, so
    /// that the next check comes sooner.
    checked: u32,
    /// The position after the last call.
    called: u32,
}

/// The state of the budget at the start of a frame.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    position: u32,
    checked: u32,
}

impl CheckBudget {
    /// Counts an operator; whether a check is due before it.
    pub(super) fn operator(&mut self) -> bool {
        self.position += 1;
        self.position - self.checked > MOST_OPERATORS
    }

    pub(super) fn check(&mut self) {
        self.checked = self.position;
    }

    pub(super) fn call(&mut self) {
        self.called = self.position;
        self.tighten();
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            position: self.position,
            checked: self.checked,
        }
    }

    /// Goes on at the end of a frame, or at its `else`: paths to this place may have left the frame
    /// anywhere.
    pub(super) fn merge(&mut self, frame: Mark) {
        self.checked = frame.checked;
        if self.called >= frame.position {
            self.tighten();
        }
    }

    /// Brings the next check forward, to at most [`MOST_AFTER_CALL`] operators from here.
    fn tighten(&mut self) {
        let least = self
            .position
            .saturating_sub(MOST_OPERATORS - MOST_AFTER_CALL);
        self.checked = self.checked.min(least);
    }

    /// Whether the function calls functions.
    fn has_calls(&self) -> bool {
        self.called != 0
    }
}

/// The check at the start of a function, kept until it is known whether it is needed.
pub(super) struct EntryCheck(Option<[Inst; 2]>);

impl super::Translator<'_, '_> {
    pub(super) fn check_entry(&mut self) -> EntryCheck {
        let context = self.emit.vmctx;
        EntryCheck(
            self.emit
                .refs
                .checks
                .emit_removable(self.emit.builder, context),
        )
    }

    /// Removes the check if the function has called none.
    pub(super) fn finish_entry(&mut self, entry: EntryCheck) {
        if let EntryCheck(Some([page, check])) = entry
            && !self.budget.has_calls()
        {
            let layout = &mut self.emit.builder.func.layout;
            layout.remove_inst(check);
            layout.remove_inst(page);
        }
    }

    /// Counts an operator, and emits a check if one is due.
    pub(super) fn count_operator(&mut self) {
        if self.emit.refs.checks.is_needed() && self.budget.operator() {
            self.check();
        }
    }

    /// Emits a check.
    pub(super) fn check(&mut self) {
        let context = self.emit.vmctx;
        self.emit.refs.checks.emit(self.emit.builder, context);
        self.budget.check();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of operators up to the next check.
    fn left(budget: &mut CheckBudget) -> u32 {
        let mut count = 0;
        while !budget.operator() {
            count += 1;
        }
        budget.check();
        count
    }

    #[test]
    fn checks_are_due_soon_behind_calls_only() {
        let mut budget = CheckBudget::default();
        assert_eq!(left(&mut budget), MOST_OPERATORS);
        assert_eq!(left(&mut budget), MOST_OPERATORS);
        budget.call();
        assert_eq!(left(&mut budget), MOST_AFTER_CALL);
        assert_eq!(left(&mut budget), MOST_OPERATORS);
    }

    #[test]
    fn a_check_in_a_frame_is_not_on_every_path() {
        let mut budget = CheckBudget::default();
        let frame = budget.mark();
        assert_eq!(left(&mut budget), MOST_OPERATORS);
        budget.merge(frame);
        assert_eq!(left(&mut budget), 0);
        // A path may leave the frame right after a call in it, before any later check.
        let frame = budget.mark();
        budget.operator();
        budget.call();
        budget.check();
        budget.merge(frame);
        assert_eq!(left(&mut budget), MOST_AFTER_CALL);
    }
}
