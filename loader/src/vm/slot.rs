//! Slots: the address space of an instance, and what it starts from.
//!
//! ```text
//! context            + context_size                        + reservation     + guard
//! | VmContext | ...  | first memory | not yet grown ...    | never accessible |
//! ```
//!
//! An instance without a memory has the context alone; further memories have reservations of their
//! own. All memory starts as zeros, over which the runs of the images are laid: some are mapped
//! from the artifact and copied by the kernel where they are written, others are copied at once, as
//! the compiler has decided. Then a slot is *clean*.
//!
//! ```text
//! new -> clean -> prepare -> in use -> reset -> clean -> prepare -> ...
//! ```
//!
//! When its instance is dropped, a slot stays mapped, with the pages that were written to: the
//! kernel finds them ([`pagemap`]), and the images and zeros are copied over them, which costs less
//! than to give them back and have each faulted in again. Where the kernel does not tell, or too
//! many were written to, they are given back. When instances have written to the same pages a few
//! times, the others are fenced ([`Fence`]), and the kernel need not be asked.
#![allow(unsafe_code, reason = "owns the memory of instances")]

use std::io;
use std::ops::Range;
use std::ptr::NonNull;

use cwasm_format::header::SectionId;
use cwasm_format::vmctx::{VmContext, VmHandles, VmMemory, VmTable};

use super::engine::Engine;
use super::fence::Fence;
use super::habits::{Habits, Written};
use super::handles;
use super::memory;
use crate::artifact::Unit;
use crate::artifact::plan::{InstancePlan, Run, TablePlan};
use crate::error::{Context as _, Error, Result};
use crate::sys::memory::{Reservation, round_up};
use crate::sys::pagemap::{self, Pages};
use crate::vm::limits::StoreLimits;
use crate::vm::mappings::{Mappings, PER_RUN, Space};
use crate::vm::table::MAX_ELEMENTS;

/// The context and the memories of one instance.
#[derive(Debug)]
pub(crate) struct Slot {
    engine: Engine,
    /// The context and, after it, the first memory; then the other memories.
    areas: Box<[Area]>,
    /// Whether runs of images are mapped.
    mapped: bool,
    /// Whether runs that are mapped as a rule had to be copied.
    copied: bool,
    /// Whether an instance uses it, so that the descriptors in the context are those of its
    /// memories.
    in_use: bool,
    /// Whether it could not be made clean: then nobody can use its address space again.
    is_lost: bool,
    /// What its instances have written to.
    habits: Habits,
    /// Fences around all other pages.
    fenced: Option<Fenced>,
    /// The mappings that the runs count as. Given back after they were unmapped.
    _runs: Option<Mappings>,
}

/// A part of a slot's address space.
#[derive(Debug)]
struct Area {
    /// `None` only in `drop`.
    space: Option<Space>,
    /// Bytes before the memory: the context.
    before: usize,
    /// Context offset of the descriptor of the memory, if there is one.
    descriptor: Option<usize>,
    /// Bytes that are accessible at first: whole pages.
    initial: usize,
    /// Bytes that are accessible, as known when no instance uses it.
    accessible: usize,
}

/// Fences around the areas of a slot.
#[derive(Debug)]
struct Fenced {
    fences: Box<[Fence]>,
    _mappings: Mappings,
}

impl Fenced {
    /// Opens all of them.
    ///
    /// # Errors
    /// If the system refuses.
    fn open(self) -> io::Result<()> {
        self.fences.into_iter().try_for_each(Fence::open)
    }
}

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
}

impl Slot {
    /// A new slot, clean.
    ///
    /// # Errors
    /// If there is not enough address space or memory.
    pub(crate) fn new(
        engine: &Engine,
        limits: &StoreLimits,
        unit: &Unit,
        plan: &InstancePlan,
    ) -> Result<Slot> {
        let too_long = |table: &&TablePlan| table.len > MAX_ELEMENTS;
        if let Some(table) = plan.tables.iter().find(too_long) {
            let message = format!("a table cannot have {} elements", table.len);
            return Err(Error::msg(message));
        }
        let pool = engine.pool();
        let areas = (0..plan.memories.len().max(1)).map(|index| {
            let before = if index == 0 { plan.context_size } else { 0 };
            let Some(memory) = plan.memories.get(index) else {
                let space = pool.take(before, before);
                return Ok(Area {
                    space: Some(space.context("cannot allocate memory for an instance")?),
                    before,
                    descriptor: None,
                    initial: before,
                    accessible: before,
                });
            };
            let initial = before + round_up(memory.byte_len).unwrap_or(0);
            Ok(Area {
                space: Some(memory::reserve(pool, limits, before, memory)?),
                before,
                descriptor: Some(memory.slot),
                initial,
                accessible: initial,
            })
        });
        let areas = areas.collect::<Result<Box<[_]>>>()?;
        let runs = match plan.mapped_runs {
            0 => None,
            count => Some(pool.budget().take(PER_RUN * count)),
        };
        let runs = runs.transpose();
        let runs = runs.context("cannot set up the memory of an instance")?;
        // Their bytes are the business of several threads.
        let is_shared = plan.memories.iter().any(|memory| memory.is_shared);
        let mut slot = Slot {
            engine: engine.clone(),
            areas,
            mapped: false,
            copied: false,
            in_use: false,
            is_lost: false,
            habits: Habits::new(engine.fences_pages() && !is_shared),
            fenced: None,
            _runs: runs,
        };
        slot.fill(unit, plan)
            .context("cannot set up the memory of an instance")?;
        Ok(slot)
    }

    /// The context's address.
    #[inline]
    pub(crate) fn context(&self) -> NonNull<VmContext> {
        self.space(0).start().cast()
    }

    /// Whether an address is in the slot, guards included.
    pub(crate) fn contains(&self, address: usize) -> bool {
        let mut all = self.areas.iter().flat_map(|area| &area.space);
        all.any(|space| space.contains(address))
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

    /// Makes a clean slot ready for an instance: writes the descriptors of memories and tables. All
    /// else in the context is as in its image.
    pub(crate) fn prepare(&mut self, plan: &InstancePlan, limits: &StoreLimits) {
        // `settle` reads the sizes of memories there.
        self.write_memories(plan, limits);
        self.in_use = true;
        self.write_tables(plan, limits);
        self.write_handles(plan, limits);
    }

    /// Makes the slot clean again, when its instance is gone: nothing is left of what that has
    /// written.
    ///
    /// # Errors
    /// If the system refuses: the slot cannot be used again.
    pub(crate) fn reset(&mut self, unit: &Unit, plan: &InstancePlan) -> io::Result<Reset> {
        self.settle();
        if let Some(fences) = self.closed_fences() {
            let mut copied = 0;
            for (index, fence) in fences.iter().enumerate() {
                for part in fence.writable() {
                    copied += part.len();
                    self.restore(unit, plan, index, part.clone(), false);
                }
            }
            return Ok(Reset {
                resident: copied,
                copied,
                emptied: false,
                fenced: true,
            });
        }
        self.is_lost = true;
        if let Some(fenced) = self.fenced.take() {
            fenced.open()?;
            self.habits.surprise();
        }
        let reset = self.reset_open(unit, plan)?;
        self.is_lost = false;
        Ok(reset)
    }

    /// The fences, if nobody has written to anything beyond them, and no memory has grown.
    fn closed_fences(&self) -> Option<&[Fence]> {
        let fences = &self.fenced.as_ref()?.fences;
        let mut areas = fences.iter().zip(&self.areas);
        let closed =
            areas.all(|(fence, area)| fence.is_closed() && area.accessible == area.initial);
        closed.then_some(fences)
    }

    /// Makes a slot without fences clean again.
    fn reset_open(&mut self, unit: &Unit, plan: &InstancePlan) -> io::Result<Reset> {
        let mut written = Written::new(self.habits.may_fence());
        let mut scans = self.engine.scans_pages();
        for index in 0..self.areas.len() {
            let Area {
                accessible,
                initial,
                ..
            } = self.areas[index];
            let most = self.habits.most_to_copy(self.engine.kept().max_of_one());
            let is_done = scans && {
                written.begin_area(most);
                self.reset_written(unit, plan, index, accessible, &mut written)
            };
            if !is_done {
                scans = false;
                self.space(index).discard(0, accessible)?;
                self.copy_runs(unit, plan, index);
            }
            if accessible > initial {
                let grown = accessible - initial;
                self.space(index).make_inaccessible(initial, grown)?;
                self.areas[index].accessible = initial;
                written.parts = None;
            }
        }
        if !scans {
            self.habits.forget();
            return Ok(Reset {
                emptied: true,
                ..Reset::default()
            });
        }
        self.habits.note(written.bytes);
        if let Some(parts) = written.parts
            && self.habits.is_regular()
        {
            self.fence(parts)?;
        }
        Ok(Reset {
            resident: written.bytes,
            copied: written.bytes,
            emptied: false,
            fenced: false,
        })
    }

    /// Closes fences around what instances do not write to, if there are mappings for them.
    ///
    /// # Errors
    /// If the system refuses, and what has changed by then cannot be undone.
    fn fence(&mut self, parts: Vec<Vec<Range<usize>>>) -> io::Result<()> {
        let count: usize = parts.iter().map(|parts| 2 * parts.len() + 1).sum();
        let Ok(mappings) = self.engine.pool().budget().take(count) else {
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
                    self.habits.surprise();
                    return refused.map(drop).or(Ok(()));
                }
            }
        }
        self.fenced = Some(Fenced {
            fences: fences.into(),
            _mappings: mappings,
        });
        Ok(())
    }

    /// Notes how much of each area is accessible: the instance is gone.
    fn settle(&mut self) {
        for index in 0..self.areas.len() {
            self.areas[index].accessible = self.accessible(index);
        }
        self.in_use = false;
    }

    /// Copies images and zeros over the pages of an area that were written to. Whether that was all:
    /// if not, there are too many of them, or the kernel does not say which they are, and any of
    /// them may be unchanged.
    fn reset_written(
        &self,
        unit: &Unit,
        plan: &InstancePlan,
        index: usize,
        accessible: usize,
        written: &mut Written,
    ) -> bool {
        let start = self.space(index).start().addr().get();
        let mut is_within = true;
        let scanned = pagemap::scan(start..start + accessible, |pages| {
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

    fn space(&self, index: usize) -> &Space {
        match &self.areas[index].space {
            Some(space) => space,
            None => unreachable!("only `drop` takes the reservations"),
        }
    }

    /// Where a memory or the context lies: its reservation and the offset there.
    fn place(&self, memory: Option<usize>) -> (&Reservation, usize) {
        match memory {
            None => (self.space(0), 0),
            Some(index) => (self.space(index), self.areas[index].before),
        }
    }

    /// Lays the images over the zeros.
    fn fill(&mut self, unit: &Unit, plan: &InstancePlan) -> io::Result<()> {
        let images = unit.artifact().section(SectionId::Images);
        for run in plan.runs.iter().filter(|run| run.is_mapped) {
            let bytes = &images[run.source..run.source + run.size];
            if !self.map_run(run, bytes)? {
                self.copied = true;
            }
        }
        for index in 0..self.areas.len() {
            self.copy_runs(unit, plan, index);
        }
        Ok(())
    }

    /// Copies those runs to an area that are not mapped there: when its pages are given back, they
    /// are gone.
    fn copy_runs(&self, unit: &Unit, plan: &InstancePlan, index: usize) {
        let images = unit.artifact().section(SectionId::Images);
        let area = |run: &&Run| run.memory.unwrap_or(0) == index;
        let copied = |run: &&Run| !run.is_mapped || self.copied;
        for run in plan.runs.iter().filter(area).filter(copied) {
            let (reservation, start) = self.place(run.memory);
            let bytes = &images[run.source..run.source + run.size];
            copy(bytes, reservation, start + run.offset);
        }
    }

    /// Maps a run; whether that was possible.
    fn map_run(&mut self, run: &Run, bytes: &[u8]) -> io::Result<bool> {
        self.mapped = true;
        let (reservation, start) = self.place(run.memory);
        let (offset, source) = (start + run.offset, NonNull::from(bytes).cast());
        // SAFETY: whole pages of the artifact's mapping, which is private, of a file and read-only
        // here; the caller keeps it.
        match unsafe { reservation.map_copy(offset, source, run.size) } {
            Ok(()) => reservation.make_accessible(offset, run.size).map(|()| true),
            Err(_) => reservation.reset(offset, run.size).map(|()| false),
        }
    }

    fn write_memories(&self, plan: &InstancePlan, limits: &StoreLimits) {
        let context = self.context();
        for (index, memory) in plan.memories.iter().enumerate() {
            let (reservation, start) = self.place(Some(index));
            let base = reservation.start().as_ptr().wrapping_add(start);
            let max_byte_len = memory
                .max_byte_len
                .min(reservation.size() - start - memory.guard_size);
            let descriptor = VmMemory {
                base: base.expose_provenance() as u64,
                byte_len: memory.byte_len as u64,
                max_byte_len: limits.memory_max(max_byte_len as u64),
                page_log2: memory.page_log2,
                is_shared: memory.is_shared.into(),
            };
            // SAFETY: inside the context (checked by the plan).
            let slot = unsafe { context.byte_add(memory.slot) }.cast::<VmMemory>();
            // SAFETY: as above; aligned as well, and nothing else refers to it yet.
            unsafe { slot.write(descriptor) };
        }
    }

    fn write_tables(&self, plan: &InstancePlan, limits: &StoreLimits) {
        let context = self.context();
        for table in &plan.tables {
            // SAFETY: inside the context (checked by the plan).
            let slot = unsafe { context.byte_add(table.slot) }.cast::<VmTable>();
            // SAFETY: as above; aligned as well, and nothing else refers to it yet.
            let descriptor = unsafe { &mut *slot.as_ptr() };
            let elements = context.as_ptr().cast::<u8>().wrapping_add(table.elements);
            descriptor.base = elements.expose_provenance() as u64;
            descriptor.len = table.len;
            descriptor.max = limits.table_max(descriptor.max);
            descriptor.capacity = 0;
        }
    }

    fn write_handles(&self, plan: &InstancePlan, limits: &StoreLimits) {
        let context = self.context();
        for offset in &plan.handle_tables {
            // SAFETY: inside the context (checked by the plan).
            let slot = unsafe { context.byte_add(*offset as usize) }.cast::<VmHandles>();
            // SAFETY: as above; aligned as well, and nothing else refers to it yet.
            unsafe { slot.write(handles::empty(limits.get_handles())) };
        }
    }

    /// Whether an instance uses it: whether tables and handle tables are as this has left them.
    pub(crate) fn is_in_use(&self) -> bool {
        self.in_use
    }

    /// Bytes of an area that are accessible.
    fn accessible(&self, index: usize) -> usize {
        let area = &self.areas[index];
        let Some(descriptor) = area.descriptor.filter(|_| self.in_use) else {
            return area.accessible;
        };
        // SAFETY: inside the context (checked by the plan).
        let memory = unsafe { self.context().byte_add(descriptor) }.cast::<VmMemory>();
        // SAFETY: as above; written by `prepare`, and the instance is not used any more.
        let byte_len = unsafe { memory.read() }.byte_len;
        // Sizes are at most that of the reservation.
        area.before + round_up(byte_len as usize).unwrap_or(0)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.settle();
        if let Some(fenced) = self.fenced.take() {
            self.is_lost |= fenced.open().is_err();
        }
        for area in &mut self.areas {
            if let Some(space) = area.space.take().filter(|_| !self.is_lost) {
                let pool = self.engine.pool();
                pool.give_back(space, area.accessible, self.mapped);
            }
        }
    }
}

/// Copies to accessible pages of a slot that is not in use.
///
/// # Panics
/// If they are not in the reservation.
fn copy(bytes: &[u8], reservation: &Reservation, offset: usize) {
    let target = target(reservation, offset, bytes.len());
    // SAFETY: the pages are in the reservation (checked above) and accessible (the plan's runs end
    // inside the initial size), and nobody refers to them.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
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

/// The address of a part of a reservation.
///
/// # Panics
/// If it is not inside.
fn target(reservation: &Reservation, offset: usize, len: usize) -> *mut u8 {
    let size = reservation.size();
    assert!(
        offset <= size && len <= size - offset,
        "part of the reservation"
    );
    reservation.start().as_ptr().wrapping_add(offset)
}
