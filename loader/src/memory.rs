//! Slots: the address space of an instance.
//!
//! ```text
//! context            + context_size                        + reservation     + guard
//! | VmContext | ...  | first memory | not yet grown ...    | never accessible |
//! ```
//!
//! An instance without a memory has the context alone; further memories have reservations of their
//! own. All memory starts as zeros, over which the runs of the images are laid: long runs are
//! mapped from the artifact and copied by the kernel where they are written, short ones are copied
//! at once, because a page fault costs more than copying a page.
#![allow(unsafe_code, reason = "owns the memory of instances")]

use std::io;
use std::ptr::NonNull;

use cwasm_format::header::SectionId;
use cwasm_format::vmctx::{VmContext, VmMemory, VmTable};

use crate::artifact::Unit;
use crate::error::{Context as _, Error, Result};
use crate::plan::{MemoryPlan, Plan, Run};
use crate::sys::memory::{Reservation, make_accessible, round_up};



/// Bytes of a run up to which copying is cheaper than mapping.
const COPY_LIMIT: usize = 8 * crate::sys::memory::PAGE_SIZE;

/// The context and the memories of one instance.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Holds the context and, behind it, the first memory.
    first: Reservation,
    /// The reservations of the other memories.
    others: Box<[Reservation]>,
}

impl Slot {
    /// The slot of a new instance: images and descriptors of memories and tables are in place, all
    /// else in the context is as in its image.
    ///
    /// # Errors
    /// If there is not enough address space or memory.
    pub(crate) fn new(unit: &Unit, plan: &Plan) -> Result<Slot> {
        let first = match plan.memories.first() {
            Some(memory) => reserve(plan.context_size, memory)?,
            None => Reservation::new(plan.context_size, 0)
                .with_context(|| "cannot allocate memory for an instance")?,
        };
        let others = plan.memories.iter().skip(1);
        let others = others.map(|memory| reserve(0, memory)).collect::<Result<Box<[_]>>>()?;
        let slot = Slot { first, others };
        slot.fill(unit, plan).with_context(|| "cannot set up the memory of an instance")?;
        Ok(slot)
    }

    /// The context's address.
    pub(crate) fn context(&self) -> NonNull<VmContext> {
        self.first.start().cast()
    }

    /// Where a memory or the context lies: its reservation and the offset there.
    fn place(&self, plan: &Plan, memory: Option<usize>) -> (&Reservation, usize) {
        match memory {
            None => (&self.first, 0),
            Some(0) => (&self.first, plan.context_size),
            Some(index) => (&self.others[index - 1], 0),
        }
    }

    fn fill(&self, unit: &Unit, plan: &Plan) -> io::Result<()> {
        let images = unit.artifact().section(SectionId::Images);
        let (short, long): (Vec<&Run>, Vec<&Run>) =
            plan.runs.iter().partition(|run| run.size <= COPY_LIMIT);
        // Mapping comes first, so that one change of protection serves all pages.
        for run in &long {
            let (reservation, start) = self.place(plan, run.memory);
            let source = NonNull::from(&images[run.source..run.source + run.size]).cast();
            let offset = start + run.offset;
            // SAFETY: whole pages of the artifact's mapping, which is private, of a file and
            // read-only here; they are kept by `unit`.
            if unsafe { reservation.map_copy(offset, source, run.size) }.is_err() {
                reservation.reset(offset, run.size)?;
                copy(&images[run.source..run.source + run.size], reservation, offset);
            }
        }
        self.make_accessible(plan)?;
        for run in &short {
            let (reservation, start) = self.place(plan, run.memory);
            copy(&images[run.source..run.source + run.size], reservation, start + run.offset);
        }
        self.write_descriptors(plan);
        Ok(())
    }

    fn make_accessible(&self, plan: &Plan) -> io::Result<()> {
        let len = |memory: &MemoryPlan| {
            round_up(memory.byte_len).ok_or(io::Error::from(io::ErrorKind::OutOfMemory))
        };
        let first = plan.memories.first().map_or(Ok(0), len)?;
        self.first.make_accessible(0, plan.context_size + first)?;
        for (reservation, memory) in self.others.iter().zip(plan.memories.iter().skip(1)) {
            if memory.byte_len != 0 {
                reservation.make_accessible(0, len(memory)?)?;
            }
        }
        Ok(())
    }

    fn write_descriptors(&self, plan: &Plan) {
        let context = self.context();
        for (index, memory) in plan.memories.iter().enumerate() {
            let (reservation, start) = self.place(plan, Some(index));
            let base = reservation.start().as_ptr().wrapping_add(start);
            let descriptor = VmMemory {
                base: base.expose_provenance() as u64,
                byte_len: memory.byte_len as u64,
                max_byte_len: memory.max_byte_len as u64,
                page_log2: memory.page_log2.into(),
            };
            // SAFETY: inside the context (checked by the plan).
            let slot = unsafe { context.byte_add(memory.slot) }.cast::<VmMemory>();
            // SAFETY: as above; aligned as well, and nothing else refers to it yet.
            unsafe { slot.write(descriptor) };
        }
        for table in &plan.tables {
            // SAFETY: inside the context (checked by the plan).
            let slot = unsafe { context.byte_add(table.slot) }.cast::<VmTable>();
            // SAFETY: as above; aligned as well, and nothing else refers to it yet.
            let descriptor = unsafe { &mut *slot.as_ptr() };
            let elements = context.as_ptr().cast::<u8>().wrapping_add(table.elements);
            descriptor.base = elements.expose_provenance() as u64;
            descriptor.len = table.len.into();
            descriptor.capacity = 0;
        }
    }
}

/// Reserves `before` bytes and a memory behind them.
fn reserve(before: usize, memory: &MemoryPlan) -> Result<Reservation> {
    let sizes = [memory.reservation, memory.guard_size];
    let size = sizes.iter().try_fold(before, |sum, size| sum.checked_add(*size));
    let reservation = match size {
        Some(size) => Reservation::new(size.max(1 << 12), 0),
        None => Err(io::ErrorKind::OutOfMemory.into()),
    };
    reservation.with_context(|| {
        format!(
            "cannot reserve {} of address space for a linear memory",
            Bytes(memory.reservation + memory.guard_size)
        )
    })
}

/// Copies to accessible pages of a slot that is not yet in use.
///
/// # Panics
/// If they are not in the reservation.
fn copy(bytes: &[u8], reservation: &Reservation, offset: usize) {
    let size = reservation.size();
    assert!(offset <= size && bytes.len() <= size - offset, "part of the reservation");
    let target = reservation.start().as_ptr().wrapping_add(offset);
    // SAFETY: the pages are in the reservation (checked above) and accessible (the plan's runs end
    // inside the initial size), and nobody else refers to them yet.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
}

/// Grows a memory by `delta` pages: the old size in pages, or `None` if it cannot.
///
/// # Safety
/// - `memory` is the memory of a live instance, and nobody else uses it or refers to its bytes.
pub(crate) unsafe fn grow(memory: NonNull<VmMemory>, delta: u64) -> Option<u64> {
    // SAFETY: live and ours (the caller's contract).
    let memory = unsafe { &mut *memory.as_ptr() };
    let new_len = delta.checked_mul(1 << memory.page_log2)?.checked_add(memory.byte_len)?;
    if new_len > memory.max_byte_len {
        return None;
    }
    let old_pages = memory.byte_len >> memory.page_log2;
    let accessible = round_up(memory.byte_len as usize)?;
    let size = round_up(new_len as usize)? - accessible;
    if size != 0 {
        let base = std::ptr::with_exposed_provenance_mut::<u8>(memory.base as usize);
        let start = NonNull::new(base.wrapping_add(accessible))?;
        // SAFETY: the pages are in the memory's reservation, because `max_byte_len` is, and nobody
        // relies on them being inaccessible: they become part of the memory.
        unsafe { make_accessible(start, size) }.ok()?;
    }
    memory.byte_len = new_len;
    Some(old_pages)
}

/// A memory that the host defined.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct HostMemory {
    /// Invariant 1: its `base` is the start of the reservation. Must be the first field.
    vm: VmMemory,
    _reservation: Reservation,
}

impl HostMemory {
    /// A memory of `min` to `max` pages of 64 KiB, all of whose addresses are reserved.
    pub(crate) fn new(min: u64, max: Option<u64>) -> Result<HostMemory> {
        let most = crate::module::MEMORY_RESERVATION;
        let bytes = |pages: u64| pages.checked_mul(1 << 16).filter(|bytes| *bytes <= most);
        let Some(byte_len) = bytes(min) else {
            return Err(Error::msg(format!("a memory cannot have {min} pages")));
        };
        let plan = MemoryPlan {
            slot: 0,
            page_log2: 16,
            byte_len: byte_len as usize,
            max_byte_len: max.and_then(bytes).unwrap_or(most) as usize,
            reservation: most as usize,
            guard_size: crate::module::MEMORY_GUARD as usize,
        };
        let reservation = reserve(0, &plan)?;
        if byte_len != 0 {
            let accessible = reservation.make_accessible(0, plan.byte_len);
            accessible.with_context(|| format!("cannot allocate {}", Bytes(plan.byte_len)))?;
        }
        let vm = VmMemory {
            base: reservation.start().as_ptr().expose_provenance() as u64,
            byte_len,
            max_byte_len: plan.max_byte_len as u64,
            page_log2: 16,
        };
        Ok(HostMemory { vm, _reservation: reservation })
    }
}

/// Prints a number of bytes.
struct Bytes(usize);

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            gib if gib >= 1 << 30 => write!(f, "{:.1} GiB", gib as f64 / f64::from(1 << 30)),
            bytes => write!(f, "{} KiB", bytes >> 10),
        }
    }
}
