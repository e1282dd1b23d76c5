//! Slots: the address space of an instance.
//!
//! ```text
//! context            + context_size                        + reservation     + guard
//! | VmContext | ...  | first memory | not yet grown ...    | never accessible |
//! ```
//!
//! An instance without a memory has the context alone; further memories have reservations of their
//! own. A memory whose accesses are checked has a small guard, and gets a smaller reservation where
//! the system has no more. All memory starts as zeros, over which the runs of the images are laid:
//! some are mapped from the artifact and copied by the kernel where they are written, others are
//! copied at once, as the compiler has decided. The address space comes from a [`Pool`] and goes
//! back there.
#![allow(unsafe_code, reason = "owns the memory of instances")]

use std::io;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use cwasm_format::header::SectionId;
use cwasm_format::vmctx::{VmContext, VmHandles, VmMemory, VmTable};

use super::engine::Engine;
use crate::artifact::Unit;
use crate::artifact::plan::{InstancePlan, MemoryPlan, Run, TablePlan};
use crate::error::{Context as _, Error, Result};
use crate::fork;
use crate::sys::PAGE_SIZE;
use crate::sys::memory::{Reservation, make_accessible, round_up};
use crate::vm::handles;
use crate::vm::limits::StoreLimits;
use crate::vm::mappings::{Mappings, PER_RUN, Space};
use crate::vm::pool::Pool;
use crate::vm::table::MAX_ELEMENTS;

/// The context and the memories of one instance.
#[derive(Debug)]
pub(crate) struct Slot {
    engine: Engine,
    /// Context offset of the descriptor of the first memory.
    first_memory: Option<usize>,
    context_size: usize,
    /// Holds the context and, after it, the first memory. `None` only in `drop`.
    first: Option<Space>,
    /// The other memories: each with the context offset of its descriptor.
    others: Box<[(usize, Option<Space>)]>,
    /// Whether runs of images are mapped.
    mapped: bool,
    /// The mappings that these count as. Given back after they were unmapped.
    _runs: Option<Mappings>,
}

impl Slot {
    /// The slot of a new instance: images and descriptors of memories and tables are in place, all
    /// else in the context is as in its image.
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
        let first = match plan.memories.first() {
            Some(memory) => reserve(pool, limits, plan.context_size, memory)?,
            None => pool
                .take(plan.context_size, plan.context_size)
                .context("cannot allocate memory for an instance")?,
        };
        let others = plan.memories.iter().skip(1).map(|memory| {
            reserve(pool, limits, 0, memory).map(|reservation| (memory.slot, Some(reservation)))
        });
        let runs = match plan.mapped_runs {
            0 => None,
            count => Some(pool.budget().take(PER_RUN * count)),
        };
        let runs = runs.transpose();
        let runs = runs.context("cannot set up the memory of an instance")?;
        let mut slot = Slot {
            engine: engine.clone(),
            first_memory: plan.memories.first().map(|memory| memory.slot),
            context_size: plan.context_size,
            first: Some(first),
            others: others.collect::<Result<Box<[_]>>>()?,
            mapped: false,
            _runs: runs,
        };
        let filled = slot.fill(unit, plan);
        // In any case, and after the image of the context, which has other bytes in these places:
        // `drop` reads the sizes of memories.
        slot.write_memories(plan, limits);
        slot.write_tables(plan, limits);
        slot.write_handles(plan, limits);
        filled.context("cannot set up the memory of an instance")?;
        Ok(slot)
    }

    /// The context's address.
    #[inline]
    pub(crate) fn context(&self) -> NonNull<VmContext> {
        match &self.first {
            Some(first) => first.start().cast(),
            None => unreachable!("only `drop` takes the reservation"),
        }
    }

    /// Whether an address is in the slot, guards included.
    pub(crate) fn contains(&self, address: usize) -> bool {
        let mut all = self
            .first
            .iter()
            .chain(self.others.iter().flat_map(|(_, other)| other));
        all.any(|reservation| reservation.contains(address))
    }

    /// Where a memory or the context lies: its reservation and the offset there.
    fn place(&self, plan: &InstancePlan, memory: Option<usize>) -> (&Reservation, usize) {
        let (reservation, start) = match memory {
            None => (&self.first, 0),
            Some(0) => (&self.first, plan.context_size),
            Some(index) => (&self.others[index - 1].1, 0),
        };
        match reservation {
            Some(space) => (space, start),
            None => unreachable!("only `drop` takes the reservations"),
        }
    }

    /// Lays the images over the zeros.
    fn fill(&mut self, unit: &Unit, plan: &InstancePlan) -> io::Result<()> {
        let images = unit.artifact().section(SectionId::Images);
        for run in &plan.runs {
            let bytes = &images[run.source..run.source + run.size];
            let is_mapped = run.is_mapped && self.map_run(plan, run, bytes)?;
            if !is_mapped {
                let (reservation, start) = self.place(plan, run.memory);
                copy(bytes, reservation, start + run.offset);
            }
        }
        Ok(())
    }

    /// Maps a run; whether that was possible.
    fn map_run(&mut self, plan: &InstancePlan, run: &Run, bytes: &[u8]) -> io::Result<bool> {
        self.mapped = true;
        let (reservation, start) = self.place(plan, run.memory);
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
            let (reservation, start) = self.place(plan, Some(index));
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
}

impl Slot {
    fn write_handles(&self, plan: &InstancePlan, limits: &StoreLimits) {
        let context = self.context();
        for offset in &plan.handle_tables {
            // SAFETY: inside the context (checked by the plan).
            let slot = unsafe { context.byte_add(*offset as usize) }.cast::<VmHandles>();
            // SAFETY: as above; aligned as well, and nothing else refers to it yet.
            unsafe { slot.write(handles::empty(limits.get_handles())) };
        }
    }

    /// Bytes of a memory that are accessible.
    fn accessible(&self, descriptor: usize) -> usize {
        // SAFETY: inside the context (checked by the plan).
        let memory = unsafe { self.context().byte_add(descriptor) }.cast::<VmMemory>();
        // SAFETY: as above; written by `new`, and the instance is not used any more.
        let byte_len = unsafe { memory.read() }.byte_len;
        // Sizes are at most that of the reservation.
        round_up(byte_len as usize).unwrap_or(0)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let first = self
            .first_memory
            .map_or(0, |descriptor| self.accessible(descriptor));
        let lens: Vec<_> = self
            .others
            .iter()
            .map(|(place, _)| self.accessible(*place))
            .collect();
        let pool = self.engine.pool();
        for ((_, other), len) in self.others.iter_mut().zip(lens) {
            if let Some(reservation) = other.take() {
                pool.give_back(reservation, len, self.mapped);
            }
        }
        if let Some(reservation) = self.first.take() {
            pool.give_back(reservation, self.context_size + first, self.mapped);
        }
    }
}

/// Reserves `before` accessible bytes and a memory after them, whose initial size is accessible.
fn reserve(pool: &Pool, limits: &StoreLimits, before: usize, memory: &MemoryPlan) -> Result<Space> {
    let is_checked = memory.is_checked;
    let mut size = memory.reservation;
    if is_checked {
        size = limits.memory_max(size as u64) as usize;
    }
    let least = round_up(memory.byte_len).unwrap_or(usize::MAX);
    // The limit may be no multiple of the page size.
    size = size.next_multiple_of(PAGE_SIZE).max(least);
    let guarded = |size: usize| take(pool, before, least, size.checked_add(memory.guard_size));
    let reservation = guarded(size).or_else(|error| match is_checked {
        true => take_smaller(guarded, least, size).ok_or(error),
        false => Err(error),
    });
    reservation.with_context(|| {
        let size = Bytes(size.saturating_add(memory.guard_size));
        let least = Bytes(memory.byte_len);
        match is_checked {
            true => {
                format!("cannot reserve {size}, nor {least}, of address space for a linear memory")
            }
            false => format!(
                "cannot reserve {size} of address space for a linear memory; code compiled with \
                 `--bounds check` can do with {least}"
            ),
        }
    })
}

/// Takes `before` and `accessible` bytes that are accessible, of `before` and `size` bytes.
fn take(pool: &Pool, before: usize, accessible: usize, size: Option<usize>) -> io::Result<Space> {
    let size = size.and_then(|size| before.checked_add(size));
    match (size, before.checked_add(accessible)) {
        (Some(size), Some(accessible)) => pool.take(size.max(PAGE_SIZE), accessible),
        _ => Err(io::ErrorKind::OutOfMemory.into()),
    }
}

/// Takes half of `size`, or half of that and so on, at least `least`. As much is left for the host,
/// unless that would be too little for the memory.
fn take_smaller(
    take: impl Fn(usize) -> io::Result<Space>,
    least: usize,
    size: usize,
) -> Option<Space> {
    let halves = std::iter::successors(Some(size), |size| round_up(size / 2));
    let mut sizes = halves
        .skip(1)
        .take_while(|size| *size > least.max(PAGE_SIZE));
    let found = sizes.find_map(|size| {
        let reservation = take(size).ok()?;
        Reservation::new(size, 0).ok().map(|_| reservation)
    });
    found.or_else(|| take(least).ok())
}

/// Copies to accessible pages of a slot that is not yet in use.
///
/// # Panics
/// If they are not in the reservation.
fn copy(bytes: &[u8], reservation: &Reservation, offset: usize) {
    let size = reservation.size();
    assert!(
        offset <= size && bytes.len() <= size - offset,
        "part of the reservation"
    );
    let target = reservation.start().as_ptr().wrapping_add(offset);
    // SAFETY: the pages are in the reservation (checked above) and accessible (the plan's runs end
    // inside the initial size), and nobody else refers to them yet.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
}

/// The part of a memory that never changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixed {
    pub(crate) base: *mut u8,
    pub(crate) max_byte_len: u64,
    pub(crate) page_log2: u32,
    pub(crate) is_shared: bool,
}

impl Fixed {
    /// # Safety
    /// - `memory` is a live memory.
    pub(crate) unsafe fn of(memory: NonNull<VmMemory>) -> Fixed {
        let memory = memory.as_ptr();
        // Field by field, because another thread may be writing the size.
        // SAFETY: live (the caller's contract), and nobody writes it.
        let base = unsafe { (*memory).base };
        // SAFETY: as above.
        let max_byte_len = unsafe { (*memory).max_byte_len };
        // SAFETY: as above.
        let page_log2 = unsafe { (*memory).page_log2 };
        // SAFETY: as above.
        let is_shared = unsafe { (*memory).is_shared } != 0;
        Fixed {
            base: std::ptr::with_exposed_provenance_mut(base as usize),
            max_byte_len,
            page_log2,
            is_shared,
        }
    }
}

/// The size of a memory in bytes: accessed atomically, because other threads may do so too.
///
/// # Safety
/// - `memory` is a live memory, and stays so for `'a`.
pub(crate) unsafe fn byte_len<'a>(memory: NonNull<VmMemory>) -> &'a AtomicU64 {
    // SAFETY: live (the caller's contract).
    let byte_len = unsafe { &raw mut (*memory.as_ptr()).byte_len };
    // SAFETY: aligned and live; compiled code reads it as a whole, which is atomic.
    unsafe { AtomicU64::from_ptr(byte_len) }
}

/// Held while a shared memory grows.
static GROWING: Mutex<()> = Mutex::new(());

/// Grows a memory by `delta` pages: the old size in pages, or `None` if it cannot.
///
/// # Safety
/// - `memory` is a live memory, and nobody refers to its bytes. Unless it is shared, nobody else
///   uses it.
pub(crate) unsafe fn grow(memory: NonNull<VmMemory>, delta: u64) -> Option<u64> {
    // SAFETY: live (the caller's contract).
    let fixed = unsafe { Fixed::of(memory) };
    let _growing = fixed.is_shared.then(|| fork::lock(&GROWING));
    // SAFETY: as above.
    let byte_len = unsafe { self::byte_len(memory) };
    let old_len = byte_len.load(Ordering::Relaxed);
    let new_len = delta
        .checked_mul(1 << fixed.page_log2)?
        .checked_add(old_len)?;
    if new_len > fixed.max_byte_len {
        return None;
    }
    let accessible = round_up(old_len as usize)?;
    let size = round_up(new_len as usize)? - accessible;
    if size != 0 {
        let start = NonNull::new(fixed.base.wrapping_add(accessible))?;
        // SAFETY: the pages are in the memory's reservation, because `max_byte_len` is, and nobody
        // relies on them being inaccessible: they become part of the memory.
        unsafe { make_accessible(start, size) }.ok()?;
    }
    // Who sees the new size can access the pages.
    byte_len.store(new_len, Ordering::SeqCst);
    Some(old_len >> fixed.page_log2)
}

/// A memory that the host defined.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct HostMemory {
    /// Invariant 1: its `base` is the start of the reservation. Must be the first field.
    vm: VmMemory,
    reservation: Space,
}

impl HostMemory {
    /// A memory of `min` to `max` pages of 64 KiB, all of whose addresses are reserved.
    pub(crate) fn new(
        engine: &Engine,
        (min, max): (u64, Option<u64>),
        is_shared: bool,
        limits: &StoreLimits,
    ) -> Result<HostMemory> {
        let most = cwasm_format::data::RESERVATION_32;
        let bytes = |pages: u64| pages.checked_mul(1 << 16).filter(|bytes| *bytes <= most);
        let Some(byte_len) = bytes(min) else {
            return Err(Error::msg(format!("a memory cannot have {min} pages")));
        };
        if let Some(max) = max.filter(|max| *max < min) {
            return Err(Error::msg(format!(
                "a memory that starts with {min} pages cannot have at most {max}"
            )));
        }
        limits.check_memory(byte_len)?;
        // Any module may import it, also one whose code relies on guards.
        let size = (most + cwasm_format::data::GUARD_SIZE) as usize;
        let reservation =
            take(engine.pool(), 0, byte_len as usize, Some(size)).with_context(|| {
                let size = Bytes(size);
                format!("cannot reserve {size} of address space for a memory of the host")
            })?;
        let vm = VmMemory {
            base: reservation.start().as_ptr().expose_provenance() as u64,
            byte_len,
            max_byte_len: limits.memory_max(max.and_then(bytes).unwrap_or(most)),
            page_log2: 16,
            is_shared: is_shared.into(),
        };
        Ok(HostMemory { vm, reservation })
    }

    /// Whether an address is in the memory or its guard. Safe in signal handlers.
    ///
    /// # Safety
    /// - `memory` is live.
    pub(crate) unsafe fn contains(memory: NonNull<HostMemory>, address: usize) -> bool {
        // Not of the whole, because another thread may be writing the size.
        // SAFETY: live (the caller's contract), and nobody writes it.
        let reservation = unsafe { &(*memory.as_ptr()).reservation };
        reservation.contains(address)
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
