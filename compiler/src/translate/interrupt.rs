//! Interruptible code: where it checks whether the host wants it to stop.
//!
//! A check ([`Checks`](crate::ir::check::Checks)) is one instruction without a branch. The page
//! that it loads from belongs to the store; its address is at a fixed offset in the context.
//!
//! Between two checks there is a bounded number of instructions:
//!
//! - Each loop checks at its head; a small one that is unrolled ([`super::unroll`]) in every other
//!   iteration.
//! - Each function that calls another one, or itself, checks where it begins, so no chain of calls
//!   or tail calls goes without. One that calls none ends by itself, or in a loop.
//! - Code that is neither checks after so many operators ([`Budget`]): few after a call, because
//!   a deep recursion returns to that place in each of its frames.
//!
//! Builtins bound their own work, and their trampolines check.

use cranelift_codegen::ir::Inst;

/// How many operators may follow each other without a check.
const MOST_OPERATORS: u32 = 1024;
/// How many after a call.
const MOST_AFTER_CALL: u32 = 16;

/// Counts operators to know when a check is due.
///
/// Operators are counted in the order of the code; every path but back to a loop's head takes a
/// part of them in this order. All counts are positions in it.
#[derive(Default)]
pub(super) struct Budget {
    position: u32,
    /// Where a check is on every path to here, or was before this many operators.
    checked: u32,
    /// After the last call.
    called: u32,
}

/// The budget where a frame begins.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    position: u32,
    checked: u32,
}

impl Budget {
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
        self.lower();
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            position: self.position,
            checked: self.checked,
        }
    }

    /// Goes on where a frame ends, or its second part begins: what led here may have left the
    /// frame anywhere.
    pub(super) fn merge(&mut self, frame: Mark) {
        self.checked = frame.checked;
        if self.called >= frame.position {
            self.lower();
        }
    }

    fn lower(&mut self) {
        let least = self
            .position
            .saturating_sub(MOST_OPERATORS - MOST_AFTER_CALL);
        self.checked = self.checked.min(least);
    }

    /// Whether the function calls any.
    fn has_calls(&self) -> bool {
        self.called != 0
    }
}

/// The check at the start of a function, until it is known whether it is needed.
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

    /// Removes the check of a function that calls none.
    pub(super) fn finish_entry(&mut self, entry: EntryCheck) {
        if let EntryCheck(Some([page, check])) = entry
            && !self.budget.has_calls()
        {
            let layout = &mut self.emit.builder.func.layout;
            layout.remove_inst(check);
            layout.remove_inst(page);
        }
    }

    /// Counts an operator and checks, if it is time.
    pub(super) fn count_operator(&mut self) {
        if self.emit.refs.checks.is_needed() && self.budget.operator() {
            self.check();
        }
    }

    /// Checks whether to stop.
    pub(super) fn check(&mut self) {
        let context = self.emit.vmctx;
        self.emit.refs.checks.emit(self.emit.builder, context);
        self.budget.check();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many operators come before the next check.
    fn left(budget: &mut Budget) -> u32 {
        let mut count = 0;
        while !budget.operator() {
            count += 1;
        }
        budget.check();
        count
    }

    #[test]
    fn checks_are_due_soon_behind_calls_only() {
        let mut budget = Budget::default();
        assert_eq!(left(&mut budget), MOST_OPERATORS);
        assert_eq!(left(&mut budget), MOST_OPERATORS);
        budget.call();
        assert_eq!(left(&mut budget), MOST_AFTER_CALL);
        assert_eq!(left(&mut budget), MOST_OPERATORS);
    }

    #[test]
    fn a_check_in_a_frame_is_not_on_every_path() {
        let mut budget = Budget::default();
        let frame = budget.mark();
        assert_eq!(left(&mut budget), MOST_OPERATORS);
        budget.merge(frame);
        assert_eq!(left(&mut budget), 0);
        // A call in a frame may be the last that was done there, checks after it or not.
        let frame = budget.mark();
        budget.operator();
        budget.call();
        budget.check();
        budget.merge(frame);
        assert_eq!(left(&mut budget), MOST_AFTER_CALL);
    }
}
