//! Makes slots clean again, whose instances are gone.
//!
//! A slot stays mapped, with the pages that were written to: the kernel finds them ([`pagemap`]),
//! and the images and zeros are copied over them, which costs less than to give them back and have
//! each faulted in again. Where the kernel does not tell, or too many were written to, they are
//! given back. When instances have written to the same pages a few times, the others are fenced
//! ([`Fence`]), and the kernel need not be asked.
#![allow(
    unsafe_code,
    reason = "writes to the memory of instances that are gone"
)]

use std::io;
use std::ops::Range;

use cwasm_format::header::SectionId;

use super::crowd::Crowd;
use super::fence::Fence;
use super::habits::Written;
use super::reuse::Fenced;
use crate::artifact::Unit;
use crate::artifact::plan::{InstancePlan, Run};
use crate::sys::PAGE_SIZE;
use crate::sys::memory::Reservation;
use crate::sys::pagemap::{self, Pages};
use crate::vm::limits::StoreLimits;
use crate::vm::memory;
use crate::vm::slot::{Area, Slot, copy, target};

/// What a reset has done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reset {
    /// Bytes that the slot keeps pages for.
    pub(crate) resident: usize,
    /// Bytes that were copied.
    pub(crate) copied: usize,
    /// Whether pages were given back to the system instead.
    pub(crate) emptied: bool,
    /// Whether fences told what was written to.
    pub(crate) fenced: bool,
    /// Bytes among those that the slot keeps which are not clean: they must be covered before an
    /// instance may have it.
    pub(crate) left_grown: usize,
}

impl Slot {
    /// Makes the slot clean again, when its instance is gone: nothing is left of what that has
    /// written, but for what [`Reset::left_grown`] says.
    ///
    /// # Errors
    /// If the system refuses: the slot cannot be used again.
    pub(crate) fn reset(
        &mut self,
        unit: &Unit,
        plan: &InstancePlan,
        crowd: &Crowd,
    ) -> io::Result<Reset> {
        self.settle();
        self.is_lost = true;
        let is_crowded = self.has_grown() && crowd.note();
        let mut reset = match self.closed_fences() {
            true => self.reset_fenced(unit, plan, is_crowded)?,
            false => {
                if let Some(fenced) = self.reuse.fenced.take() {
                    fenced.open()?;
                    self.reuse.habits.surprise();
                }
                self.reset_open(unit, plan, is_crowded)?
            }
        };
        if is_crowded {
            reset.left_grown = self.left_grown();
            reset.resident += reset.left_grown;
        }
        self.is_lost = false;
        Ok(reset)
    }

    /// Whether a memory has more than it started with.
    fn has_grown(&self) -> bool {
        let mut areas = self.areas.iter();
        areas.any(|area| area.accessible > area.initial)
    }

    /// Whether there are fences, and nobody has written to anything beyond them.
    fn closed_fences(&self) -> bool {
        let fenced = self.reuse.fenced.as_ref();
        fenced.is_some_and(|fenced| fenced.fences.iter().all(Fence::is_closed))
    }

    /// Makes a slot with closed fences clean again.
    fn reset_fenced(
        &mut self,
        unit: &Unit,
        plan: &InstancePlan,
        is_crowded: bool,
    ) -> io::Result<Reset> {
        let mut copied = 0;
        let fences = self.reuse.fenced.iter().flat_map(|fenced| &fenced.fences);
        for (index, fence) in fences.enumerate() {
            for part in fence.writable() {
                copied += part.len();
                self.restore(unit, plan, index, part.clone(), false);
            }
        }
        for index in 0..self.areas.len() {
            copied += self.reset_grown(unit, plan, index, is_crowded)?;
        }
        Ok(Reset {
            resident: copied,
            copied,
            fenced: true,
            ..Reset::default()
        })
    }

    /// Makes the part of an area clean by which its memory has grown, and inaccessible again: how
    /// many bytes were copied. In a crowd it is left as it is where it is marked, and marked
    /// otherwise. The kernel is asked even if instances do the same again and again:
    /// to fill a few pages would cost less, but then all of them are there, and each change of
    /// their protection costs more.
    pub(super) fn reset_grown(
        &mut self,
        unit: &Unit,
        plan: &InstancePlan,
        index: usize,
        is_crowded: bool,
    ) -> io::Result<usize> {
        let Area {
            accessible,
            initial,
            ..
        } = self.areas[index];
        let grown = initial..accessible;
        if grown.is_empty() || is_crowded && self.may_leave_grown(index) {
            return Ok(0);
        }
        let mut written = Written::new(is_crowded);
        written.begin_area(self.engine.kept().max_of_one());
        let is_clean = self.engine.scans_pages()
            && self.reset_written(unit, plan, index, grown.clone(), &mut written);
        if !is_clean {
            self.space(index).discard(grown.start, grown.len())?;
            written.bytes = 0;
        }
        self.hide_grown(index)?;
        if is_crowded {
            let parts = written.parts.and_then(|mut parts| parts.pop());
            self.mark(plan, index, accessible, parts.unwrap_or_default())?;
        }
        Ok(written.bytes)
    }

    /// Makes a slot without fences clean again.
    fn reset_open(
        &mut self,
        unit: &Unit,
        plan: &InstancePlan,
        is_crowded: bool,
    ) -> io::Result<Reset> {
        let most = self
            .reuse
            .habits
            .most_to_copy(self.engine.kept().max_of_one());
        let mut written = Written::new(self.reuse.habits.may_fence());
        let mut is_done = self.engine.scans_pages();
        for index in 0..self.areas.len() {
            let initial = self.areas[index].initial;
            is_done = is_done && {
                written.begin_area(most);
                self.reset_written(unit, plan, index, 0..initial, &mut written)
            };
            if is_done {
                written.bytes += self.reset_grown(unit, plan, index, is_crowded)?;
            }
        }
        if !is_done {
            self.reuse.habits.forget();
            return self.empty(unit, plan);
        }
        self.reuse.habits.note(written.bytes);
        if let Some(parts) = written.parts
            && self.reuse.habits.is_regular()
        {
            self.fence(parts)?;
        }
        Ok(Reset {
            resident: written.bytes,
            copied: written.bytes,
            ..Reset::default()
        })
    }

    /// Gives all pages back to the system: the slot is clean then, but for what is copied at once.
    fn empty(&mut self, unit: &Unit, plan: &InstancePlan) -> io::Result<Reset> {
        for index in 0..self.areas.len() {
            let Area { accessible, .. } = self.areas[index];
            self.space(index).discard(0, accessible)?;
            self.copy_runs(unit, plan, index);
            self.hide_grown(index)?;
        }
        // At most: several runs may share a page, and those that are mapped take none.
        let pages = |run: &Run| (run.offset % PAGE_SIZE + run.size).next_multiple_of(PAGE_SIZE);
        let copied = plan.runs.iter().filter(|run| !run.is_mapped);
        Ok(Reset {
            resident: copied.map(pages).sum(),
            emptied: true,
            ..Reset::default()
        })
    }

    /// Makes the part of an area inaccessible again by which its memory has grown.
    fn hide_grown(&mut self, index: usize) -> io::Result<()> {
        let Area {
            accessible,
            initial,
            ..
        } = self.areas[index];
        if accessible > initial {
            self.unmark(index)?;
            self.areas[index].accessible = initial;
            match self.space(index).guard() {
                0 => {
                    let grown = accessible - initial;
                    self.space(index).make_inaccessible(initial, grown)?;
                    self.set_apart(index, accessible)?;
                }
                // What is beyond it is never touched, and the guard that is there may stay.
                guard => self.space(index).install_guard(initial, guard)?,
            }
        }
        Ok(())
    }

    /// Keeps apart what is behind the part by which a memory has grown, if there is a mapping left
    /// for it: the next instances grow as far and no further, as a rule.
    fn set_apart(&mut self, index: usize, end: usize) -> io::Result<()> {
        let before = self.areas[index].apart.as_ref().map_or(0, |(end, _)| *end);
        let rest = self.space(index).size() - end;
        if end <= before || rest == 0 {
            return Ok(());
        }
        self.join_area(index)?;
        self.keep_apart(index, end)
    }

    /// Keeps apart what is behind `end`, if there is a mapping left for it, and nothing is yet.
    pub(super) fn keep_apart(&mut self, index: usize, end: usize) -> io::Result<()> {
        let rest = self.space(index).size() - end;
        if let Some(mapping) = self.engine.pool().budget().take_spare(1) {
            self.space(index).set_apart(end, rest, true)?;
            self.areas[index].apart = Some((end, mapping));
        }
        Ok(())
    }

    /// Keeps nothing apart any more.
    ///
    /// # Errors
    /// If the system refuses.
    pub(in crate::vm) fn join(&mut self) -> io::Result<()> {
        (0..self.areas.len()).try_for_each(|index| self.join_area(index))
    }

    pub(super) fn join_area(&mut self, index: usize) -> io::Result<()> {
        let Some((end, _mapping)) = self.areas[index].apart.take() else {
            return Ok(());
        };
        let rest = self.space(index).size() - end;
        self.space(index).set_apart(end, rest, false)
    }

    /// Closes fences around what instances do not write to, if there are mappings for them.
    ///
    /// # Errors
    /// If the system refuses, and what has changed by then cannot be undone.
    fn fence(&mut self, parts: Vec<Vec<Range<usize>>>) -> io::Result<()> {
        let count: usize = parts.iter().map(|parts| 2 * parts.len() + 1).sum();
        let Some(mappings) = self.engine.pool().budget().take_spare(count) else {
            return Ok(());
        };
        let mut fences = Vec::new();
        for (index, parts) in parts.into_iter().enumerate() {
            let space = self.space(index);
            let len = self.areas[index].initial;
            match Fence::close(space, len, parts.into()) {
                Ok(Some(fence)) => fences.push(fence),
                refused => {
                    space.make_accessible(0, len)?;
                    for fence in fences {
                        fence.open()?;
                    }
                    // It would not go better the next time.
                    self.reuse.habits.surprise();
                    return refused.map(drop).or(Ok(()));
                }
            }
        }
        self.reuse.fenced = Some(Fenced {
            fences: fences.into(),
            _mappings: mappings,
        });
        Ok(())
    }

    /// Whether an instance with these limits can use it: whether its memories can grow as far as if
    /// it were new.
    pub(crate) fn fits(&self, plan: &InstancePlan, limits: &StoreLimits) -> bool {
        let mut memories = plan.memories.iter().enumerate();
        memories.all(|(index, memory)| {
            let size = self.space(index).size() - self.areas[index].before;
            !memory.is_checked || memory::fits(size, limits, memory)
        })
    }

    /// Copies images and zeros over the pages of a part of an area that were written to. Whether
    /// that was all: if not, there are too many of them, or the kernel does not say which they are,
    /// and any of them may be unchanged.
    fn reset_written(
        &self,
        unit: &Unit,
        plan: &InstancePlan,
        index: usize,
        part: Range<usize>,
        written: &mut Written,
    ) -> bool {
        let start = self.space(index).start().addr().get();
        let mut is_within = true;
        let scanned = pagemap::scan(start + part.start..start + part.end, |pages| {
            let Pages { range, is_zero } = pages;
            let range = range.start - start..range.end - start;
            if !is_zero {
                is_within = is_within && written.add(range.clone());
            }
            if is_within {
                self.restore(unit, plan, index, range, is_zero);
            }
        });
        scanned.is_ok() && is_within
    }

    /// Copies images and zeros over a part of an area, or, if it consists of zeros, images alone.
    fn restore(
        &self,
        unit: &Unit,
        plan: &InstancePlan,
        index: usize,
        part: Range<usize>,
        is_zero: bool,
    ) {
        let before = self.areas[index].before;
        let context = part.start..part.end.min(before);
        if !context.is_empty() {
            self.restore_in(unit, plan, None, context, is_zero);
        }
        let memory = part.start.max(before) - before..part.end.max(before) - before;
        if !memory.is_empty() {
            self.restore_in(unit, plan, Some(index), memory, is_zero);
        }
    }

    /// As [`restore`](Slot::restore), of a part of a memory or of the context.
    fn restore_in(
        &self,
        unit: &Unit,
        plan: &InstancePlan,
        memory: Option<usize>,
        part: Range<usize>,
        is_zero: bool,
    ) {
        let images = unit.artifact().section(SectionId::Images);
        let (reservation, start) = self.place(memory);
        let mut done = part.start;
        for run in plan.runs_in(memory, part.clone()) {
            let from = run.offset.max(done);
            let to = (run.offset + run.size).min(part.end);
            if from >= to {
                continue;
            }
            if !is_zero {
                zero(reservation, start + done, from - done);
            }
            let source = run.source + (from - run.offset);
            copy(
                &images[source..source + (to - from)],
                reservation,
                start + from,
            );
            done = to;
        }
        if !is_zero {
            zero(reservation, start + done, part.end - done);
        }
    }
}

/// Fills accessible bytes of a slot that is not in use with zeros.
///
/// # Panics
/// If they are not in the reservation.
fn zero(reservation: &Reservation, offset: usize, size: usize) {
    let target = target(reservation, offset, size);
    // SAFETY: in the reservation (checked above) and accessible (the callers give what was written
    // to), and nobody refers to it.
    unsafe { target.write_bytes(0, size) };
}
