//! Marks: memory that instances grow into stays readable and writable, behind guards in page
//! tables.
//!
//! To change the protection of pages takes the lock of the address space for writing, and each
//! thread that does it waits until all others have flushed their TLBs. Where several threads drop
//! instances whose memory has grown ([`Crowd`](super::crowd::Crowd)), it is done otherwise:
//!
//! ```text
//! | context, initial memory | accessible so far | guards           | inaccessible ...
//!                           ^ initial           ^ accessible       ^ marked
//! ```
//!
//! `memory.grow` removes guards, and an instance that is dropped has them installed again, which
//! makes the pages zeros. Neither takes the lock for writing. The second is done for many instances
//! at once ([`gather`]), so that the other threads flush their TLBs once for all of them. Guards
//! take a few nanoseconds for each page, and pages must be faulted in again, so a thread that is
//! alone is better off without, as are memories that grow by much.

use std::io;
use std::ops::Range;

use crate::artifact::Unit;
use crate::artifact::plan::{InstancePlan, MemoryPlan};
use crate::sys::PAGE_SIZE;
use crate::sys::memory::{discard_all, has_guards, populate};
use crate::vm::instance::InstanceData;
use crate::vm::mappings::PER_RESERVATION;
use crate::vm::slot::{Area, Slot};

/// Bytes that are marked at most in an area.
const MOST_MARKED: usize = 64 * PAGE_SIZE;

/// Instances that must grow by little after one that has grown by more.
const PATIENCE: u32 = 8;

/// Gives back, with one flush of TLBs, the memory by which these instances have grown whose slots
/// are [left grown](Slot::left_grown). They are to be [covered](Slot::cover) all the same.
pub(crate) fn gather<'a>(instances: impl Iterator<Item = &'a InstanceData>) {
    let slots = instances.map(InstanceData::memory);
    let parts = slots.flat_map(|slot| {
        let areas = slot.areas.iter().enumerate();
        areas.filter_map(|(index, area)| {
            let part = (area.initial, area.left_grown());
            (part.1 != 0).then(|| (&**slot.space(index), part))
        })
    });
    // The guards that are installed next do the same, where this does not.
    let _ = discard_all(parts);
}

impl Area {
    /// Bytes by which its memory has grown that are marked, and accessible still.
    fn left_grown(&self) -> usize {
        match self.marked {
            Some(_) => self.accessible - self.initial,
            None => 0,
        }
    }
}

impl Slot {
    /// Whether the part by which the memory of an area has grown may stay as it is until it is
    /// covered.
    pub(super) fn may_leave_grown(&self, index: usize) -> bool {
        let area = &self.areas[index];
        area.marked.is_some_and(|end| area.accessible <= end)
    }

    /// Whether there are mappings for more of its kind, and less than half of them are taken.
    pub(crate) fn has_spare(&self) -> bool {
        let each = PER_RESERVATION + 1;
        let budget = self.engine.pool().budget();
        budget.has_spare(each * self.areas.len())
    }

    /// Bytes that must be covered before an instance may have the slot: its memory has grown by
    /// them, and they are as the instance before has left them.
    pub(super) fn left_grown(&self) -> usize {
        self.areas.iter().map(Area::left_grown).sum()
    }

    /// Makes what was left grown zeros, and inaccessible again.
    ///
    /// # Errors
    /// If the system refuses: the slot cannot be used again.
    pub(crate) fn cover(&mut self, unit: &Unit, plan: &InstancePlan) -> io::Result<()> {
        self.is_lost = true;
        for index in 0..self.areas.len() {
            let area = &self.areas[index];
            let (initial, len) = (area.initial, area.left_grown());
            if len == 0 {
                continue;
            }
            if self.space(index).install_guard(initial, len).is_ok() {
                self.areas[index].accessible = initial;
                continue;
            }
            // The process has locked its memory meanwhile.
            self.reuse.may_mark = false;
            self.space(index).remove_guards(initial, len)?;
            self.reset_grown(unit, plan, index, false)?;
        }
        self.is_lost = false;
        Ok(())
    }

    /// Marks what the memory of an area may grow into, which is clean and inaccessible, as far as
    /// instances have grown by now, one of them up to `grown` just now; if that is not much, and
    /// the system can do it. `touched` is what that one has written to.
    ///
    /// # Errors
    /// If the system refuses, and what has changed by then cannot be undone.
    pub(super) fn mark(
        &mut self,
        plan: &InstancePlan,
        index: usize,
        grown: usize,
        touched: Vec<Range<usize>>,
    ) -> io::Result<()> {
        let area = &mut self.areas[index];
        let (initial, before) = (area.initial, area.before);
        let Some((apart, _)) = area.apart else {
            return Ok(());
        };
        let end = if apart - initial <= MOST_MARKED {
            apart
        } else {
            grown
        };
        // Only what one thread uses, by code that relies on all else being inaccessible.
        let fits = |memory: &MemoryPlan| {
            !memory.is_shared && !memory.is_checked && u32::try_from(end - before).is_ok()
        };
        let may_mark = self.reuse.may_mark && end - initial <= MOST_MARKED;
        if !may_mark || !plan.memories.get(index).is_some_and(fits) || !has_guards() {
            return Ok(());
        }
        if area.unmarked_for != 0 {
            area.unmarked_for -= 1;
            return Ok(());
        }
        if end < apart {
            self.join_area(index)?;
            self.keep_apart(index, end)?;
        }
        let len = end - initial;
        let space = self.space(index);
        space.make_accessible(initial, len)?;
        if space.install_guard(initial, len).is_ok() {
            let area = &mut self.areas[index];
            area.marked = Some(end);
            area.touched = touched.into();
            return Ok(());
        }
        space.remove_guards(initial, len)?;
        space.make_inaccessible(initial, len)?;
        self.reuse.may_mark = false;
        Ok(())
    }

    /// Faults in what instances write to of the part of a memory at `base` that has just become
    /// accessible, if it is marked: at once, and before a guest reads there. A page that is read
    /// first is faulted in twice, and other CPUs flush their TLBs for the second.
    pub(in crate::vm) fn populate(&self, base: usize, part: Range<usize>) {
        let mut areas = self.areas.iter().enumerate();
        let found = areas.find(|(index, area)| {
            let start = self.space(*index).start().addr().get();
            area.marked.is_some() && start + area.before == base
        });
        let Some((index, area)) = found else {
            return;
        };
        let (start, end) = (area.before + part.start, area.before + part.end);
        let parts = area.touched.iter().filter_map(|touched| {
            let (from, to) = (touched.start.max(start), touched.end.min(end));
            (from < to).then(|| (&**self.space(index), (from, to - from)))
        });
        // Otherwise they are faulted in when they are touched.
        let _ = populate(parts);
    }

    /// Removes the marks of an area: what is not accessible is so by its protection.
    ///
    /// # Errors
    /// If the system refuses.
    pub(in crate::vm) fn unmark(&mut self, index: usize) -> io::Result<()> {
        let area = &mut self.areas[index];
        let accessible = area.accessible;
        match area.marked.take() {
            Some(end) if accessible < end => {
                let len = end - accessible;
                self.space(index).make_inaccessible(accessible, len)?;
                self.space(index).remove_guards(accessible, len)
            }
            Some(end) if accessible > end => {
                area.unmarked_for = PATIENCE;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
