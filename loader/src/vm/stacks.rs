//! The stacks of fibers.
#![allow(unsafe_code, reason = "says where stacks are")]

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use corosensei::stack::{Stack as StackEnds, StackPointer};

use super::mappings::Budget;
use super::space::Space;
use crate::error::{Context as _, Result};
use crate::fork;
use crate::sys::{self, PAGE_SIZE, PROBE_DISTANCE};

/// Bytes below a stack that nothing can be read from or written to: no function reaches farther
/// below its stack pointer.
const GUARD: usize = PROBE_DISTANCE;

/// Bytes at the high end of a stack that stay in memory while it waits for its next fiber.
const KEPT: usize = 32 << 10;

/// A stack for fibers, which grows down to a guard.
#[derive(Debug)]
pub(crate) struct Stack(Space);

impl Stack {
    /// A stack of at least `size` bytes.
    fn new(budget: &Arc<Budget>, size: usize) -> io::Result<Stack> {
        let size = sys::memory::round_up(size.max(PAGE_SIZE)).ok_or(io::ErrorKind::OutOfMemory)?;
        let all = size.checked_add(GUARD).ok_or(io::ErrorKind::OutOfMemory)?;
        let space = Space::new(budget, all, 0)?;
        space.make_accessible(GUARD, size)?;
        Ok(Stack(space))
    }

    /// The addresses that can be used.
    pub(super) fn range(&self) -> Range<usize> {
        let start = self.0.start().addr().get();
        start + GUARD..start + self.0.size()
    }

    /// Where it is.
    pub(super) fn ends(&self) -> Ends {
        Ends(self.range())
    }

    /// Gives back what a deep call has used.
    fn trim(&self) -> io::Result<()> {
        match self.0.size().checked_sub(KEPT) {
            Some(end) if end > GUARD => self.0.discard(GUARD, end - GUARD),
            _ => Ok(()),
        }
    }
}

/// Where a [`Stack`] is, for a coroutine: its fiber owns both.
pub(super) struct Ends(Range<usize>);

// SAFETY: the ends of a `Stack`, whose pages are accessible and longer than a page, with a guard
// below.
unsafe impl StackEnds for Ends {
    fn base(&self) -> StackPointer {
        StackPointer::new(self.0.end).unwrap_or(StackPointer::MAX)
    }

    fn limit(&self) -> StackPointer {
        StackPointer::new(self.0.start - GUARD).unwrap_or(StackPointer::MIN)
    }
}

/// The stacks of an engine that no fiber uses.
#[derive(Debug)]
pub(crate) struct Stacks {
    free: Mutex<Vec<Stack>>,
    /// How many are kept.
    max: usize,
    /// Bytes of each.
    size: usize,
}

impl Stacks {
    pub(crate) fn new(max: usize, size: usize) -> Stacks {
        Stacks {
            free: Mutex::default(),
            max,
            size,
        }
    }

    pub(crate) fn take(&self, budget: &Arc<Budget>) -> Result<Stack> {
        let free = fork::lock(&self.free).pop();
        match free {
            Some(stack) => Ok(stack),
            None => Stack::new(budget, self.size).context("cannot make the stack of a fiber"),
        }
    }

    /// Keeps a stack for the next fiber.
    pub(crate) fn give_back(&self, stack: Stack) {
        if stack.trim().is_err() {
            return;
        }
        let mut free = fork::lock(&self.free);
        if free.len() < self.max {
            free.push(stack);
            return;
        }
        drop(free);
        drop(stack);
    }

    /// Gives back all.
    pub(crate) fn release(&self) {
        let free = std::mem::take(&mut *fork::lock(&self.free));
        drop(free);
    }
}
