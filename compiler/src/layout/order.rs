//! Decides which segments can be folded although the specification copies them in order with other
//! steps.
//!
//! A folded segment is in place before any step runs. That makes no difference unless an earlier
//! step
//!
//! - writes the same memory or table: the segment would be overwritten,
//! - runs code that can see the memory or table, or
//! - traps after references to the unit's functions have escaped (into an imported table): then the
//!   instance lives on although the segment was never copied.

/// The effects of the steps so far.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The number of steps that no later segment can be moved before.
    fences: u32,
    /// Whether something outside may have references to the unit's functions.
    has_escaped: bool,
}

/// Whether segments can be folded into a memory or table.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Target {
    /// [`Order::fences`] when it was defined: earlier steps cannot see it.
    fences: u32,
    /// Whether a step writes it.
    is_written: bool,
}

impl Order {
    /// A memory or table that is defined now.
    pub(super) fn target(&self) -> Target {
        Target {
            fences: self.fences,
            is_written: false,
        }
    }

    /// Whether a segment that is next in order can be folded into this memory or table.
    pub(super) fn can_fold(&self, target: &Target) -> bool {
        !target.is_written && target.fences == self.fences
    }

    /// A step runs code.
    pub(super) fn code_runs(&mut self) {
        self.fences += 1;
        self.has_escaped = true;
    }

    /// A step may trap, and has no effect if it does.
    pub(super) fn may_trap(&mut self) {
        if self.has_escaped {
            self.fences += 1;
        }
    }

    /// A step gives references to the unit's functions away.
    pub(super) fn escapes(&mut self) {
        self.has_escaped = true;
    }
}

impl Target {
    /// A step writes it.
    pub(super) fn written(&mut self) {
        self.is_written = true;
    }
}
