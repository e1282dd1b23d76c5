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
//! new -> clean -> prepare -> in use -> drop
//!          ^                   '-> reset (`recycle/`) -.
//!          '-------------------------------------------'
//! ```
#![allow(unsafe_code, reason = "owns the memory of instances")]

use std::io;
#[cfg(feature = "recycle")]
use std::ops::Range;
use std::ptr::NonNull;

use cwasm_format::header::SectionId;
use cwasm_format::vmctx::{VmContext, VmHandles, VmMemory, VmTable};

use super::engine::Engine;
use super::handles;
use super::memory;
use crate::artifact::Unit;
use crate::artifact::plan::{InstancePlan, Run, TablePlan};
use crate::error::{Context as _, Error, Result};
use crate::sys::memory::{Reservation, round_up};
use crate::vm::limits::StoreLimits;
use crate::vm::mappings::{Mappings, PER_RUN};
#[cfg(feature = "recycle")]
use crate::vm::recycle::reuse::Reuse;
use crate::vm::space::Space;
use crate::vm::table::MAX_ELEMENTS;

/// The context and the memories of one instance.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(super) engine: Engine,
    /// The context and, after it, the first memory; then the other memories.
    pub(super) areas: Box<[Area]>,
    /// Whether runs of images are mapped.
    mapped: bool,
    /// Whether runs that are mapped as a rule had to be copied.
    copied: bool,
    /// Whether an instance uses it, so that the descriptors in the context are those of its
    /// memories.
    in_use: bool,
    /// Whether it could not be made clean: then nobody can use its address space again.
    pub(super) is_lost: bool,
    /// What it remembers of its instances.
    #[cfg(feature = "recycle")]
    pub(super) reuse: Reuse,
    /// The mappings that the runs count as. Given back after they were unmapped.
    _runs: Option<Mappings>,
}

/// A part of a slot's address space.
#[derive(Debug)]
pub(super) struct Area {
    /// `None` only in `drop`.
    space: Option<Space>,
    /// Bytes before the memory: the context.
    pub(super) before: usize,
    /// Context offset of the descriptor of the memory, if there is one.
    descriptor: Option<usize>,
    /// Bytes that are accessible at first: whole pages.
    #[cfg(feature = "recycle")]
    pub(super) initial: usize,
    /// Where the part starts that the system keeps apart, because instances grow up to there; and
    /// the mapping that this takes.
    #[cfg(feature = "recycle")]
    pub(super) apart: Option<(usize, Mappings)>,
    /// Invariant 1: if it is there, what follows `initial` up to this offset can be read and
    /// written, but for guards on all that is not accessible (`recycle/marks.rs`).
    #[cfg(feature = "recycle")]
    pub(super) marked: Option<usize>,
    /// What an instance had written to of the part that is marked: whole pages.
    #[cfg(feature = "recycle")]
    pub(super) touched: Box<[Range<usize>]>,
    /// So many instances must grow by little before the part is marked again.
    #[cfg(feature = "recycle")]
    pub(super) unmarked_for: u32,
    /// Bytes that are accessible, as known when no instance uses it.
    pub(super) accessible: usize,
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
        let is_mapped = plan.mapped_runs != 0;
        let areas = (0..plan.memories.len().max(1)).map(|index| {
            let before = if index == 0 { plan.context_size } else { 0 };
            let Some(memory) = plan.memories.get(index) else {
                let space = match is_mapped {
                    true => pool.take(before, before),
                    false => pool.take_guarded(before, before, 0),
                };
                return Ok(Area {
                    space: Some(space.context("cannot allocate memory for an instance")?),
                    before,
                    descriptor: None,
                    #[cfg(feature = "recycle")]
                    initial: before,
                    #[cfg(feature = "recycle")]
                    apart: None,
                    #[cfg(feature = "recycle")]
                    marked: None,
                    #[cfg(feature = "recycle")]
                    touched: Box::default(),
                    #[cfg(feature = "recycle")]
                    unmarked_for: 0,
                    accessible: before,
                });
            };
            let initial = before + round_up(memory.byte_len).unwrap_or(0);
            Ok(Area {
                space: Some(memory::reserve(pool, limits, before, memory, is_mapped)?),
                before,
                descriptor: Some(memory.slot),
                #[cfg(feature = "recycle")]
                initial,
                #[cfg(feature = "recycle")]
                apart: None,
                #[cfg(feature = "recycle")]
                marked: None,
                #[cfg(feature = "recycle")]
                touched: Box::default(),
                #[cfg(feature = "recycle")]
                unmarked_for: 0,
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
        // Shared bytes are the business of several threads.
        #[cfg(feature = "recycle")]
        let fences = engine.fences_pages() && plan.memories.iter().all(|memory| !memory.is_shared);
        let mut slot = Slot {
            engine: engine.clone(),
            areas,
            mapped: false,
            copied: false,
            in_use: false,
            is_lost: false,
            #[cfg(feature = "recycle")]
            reuse: Reuse::new(fences),
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

    /// Makes a clean slot ready for an instance: writes the descriptors of memories and tables. All
    /// else in the context is as in its image.
    pub(crate) fn prepare(&mut self, plan: &InstancePlan, limits: &StoreLimits) {
        // `settle` reads the sizes of memories there.
        self.write_memories(plan, limits);
        self.in_use = true;
        self.write_tables(plan, limits);
        self.write_handles(plan, limits);
    }

    /// Notes how much of each area is accessible: the instance is gone.
    pub(super) fn settle(&mut self) {
        for index in 0..self.areas.len() {
            self.areas[index].accessible = self.accessible(index);
        }
        self.in_use = false;
    }

    pub(super) fn space(&self, index: usize) -> &Space {
        match &self.areas[index].space {
            Some(space) => space,
            None => unreachable!("only `drop` takes the reservations"),
        }
    }

    /// Where a memory or the context lies: its reservation and the offset there.
    pub(super) fn place(&self, memory: Option<usize>) -> (&Reservation, usize) {
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
    pub(super) fn copy_runs(&self, unit: &Unit, plan: &InstancePlan, index: usize) {
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
                page_log2: memory.page_log2 as u16,
                is_shared: memory.is_shared.into(),
                guard: self.guard(index),
            };
            // SAFETY: inside the context (checked by the plan).
            let slot = unsafe { context.byte_add(memory.slot) }.cast::<VmMemory>();
            // SAFETY: as above; aligned as well, and nothing else refers to it yet.
            unsafe { slot.write(descriptor) };
        }
    }

    /// What [`VmMemory::guard`] says of an area's memory.
    fn guard(&self, index: usize) -> u32 {
        #[cfg(feature = "recycle")]
        if let Some(end) = self.areas[index].marked {
            // `mark` has seen that it fits.
            return memory::marked(end - self.areas[index].before);
        }
        self.space(index).guard() as u32
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
        #[cfg(feature = "recycle")]
        {
            self.is_lost |= self.reuse.open().is_err();
            self.is_lost |= self.join().is_err();
            for index in 0..self.areas.len() {
                self.is_lost |= self.unmark(index).is_err();
            }
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
pub(super) fn copy(bytes: &[u8], reservation: &Reservation, offset: usize) {
    let target = target(reservation, offset, bytes.len());
    // SAFETY: the pages are in the reservation (checked above) and accessible (the plan's runs end
    // inside the initial size), and nobody refers to them.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
}

/// The address of a part of a reservation.
///
/// # Panics
/// If it is not inside.
pub(super) fn target(reservation: &Reservation, offset: usize, len: usize) -> *mut u8 {
    let size = reservation.size();
    assert!(
        offset <= size && len <= size - offset,
        "part of the reservation"
    );
    reservation.start().as_ptr().wrapping_add(offset)
}
