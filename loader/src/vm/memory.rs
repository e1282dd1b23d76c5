//! Linear memories: their address space, growing, and those that the host defines.
//!
//! A memory whose accesses are checked has a small guard, and gets a smaller reservation where the
//! system has no more.
#![allow(unsafe_code, reason = "reads and grows the memory of guests")]

use std::io;
#[cfg(feature = "recycle")]
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use cwasm_format::vmctx::VmMemory;

use super::engine::Engine;
use crate::artifact::plan::MemoryPlan;
use crate::error::{Context as _, Error, Result};
use crate::fork;
use crate::sys::PAGE_SIZE;
use crate::sys::memory::{Reservation, make_accessible, round_up};
#[cfg(feature = "recycle")]
use crate::sys::memory::{move_guard, uncover};
use crate::vm::limits::StoreLimits;
use crate::vm::pool::Pool;
use crate::vm::space::Space;

/// Bytes of address space that a memory is given, without guard, if there are as many.
fn wanted(limits: &StoreLimits, memory: &MemoryPlan) -> usize {
    let mut size = memory.reservation;
    if memory.is_checked {
        size = limits.memory_max(size as u64) as usize;
    }
    let least = round_up(memory.byte_len).unwrap_or(usize::MAX);
    // The limit may be no multiple of the page size.
    size.next_multiple_of(PAGE_SIZE).max(least)
}

/// Whether a memory in so many bytes of address space, guard included, can grow as far as these
/// limits let it.
#[cfg(feature = "recycle")]
pub(super) fn fits(size: usize, limits: &StoreLimits, memory: &MemoryPlan) -> bool {
    wanted(limits, memory).saturating_add(memory.guard_size) <= size
}

/// Reserves `before` accessible bytes and a memory after them, whose initial size is accessible.
/// `is_mapped` says that files will be mapped there.
pub(super) fn reserve(
    pool: &Pool,
    limits: &StoreLimits,
    before: usize,
    memory: &MemoryPlan,
    is_mapped: bool,
) -> Result<Space> {
    let is_checked = memory.is_checked;
    // Threads would see a guard move.
    let guard = (is_checked && !memory.is_shared && !is_mapped).then_some(memory.guard_size);
    let size = wanted(limits, memory);
    let least = round_up(memory.byte_len).unwrap_or(usize::MAX);
    let guarded = |size: usize| {
        let size = size.checked_add(memory.guard_size);
        take(pool, before, least, size, guard)
    };
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

/// Takes `before` and `accessible` bytes that are accessible, of `before` and `size` bytes. With a
/// guard, nothing beyond it is touched.
fn take(
    pool: &Pool,
    before: usize,
    accessible: usize,
    size: Option<usize>,
    guard: Option<usize>,
) -> io::Result<Space> {
    let size = size.and_then(|size| before.checked_add(size));
    let (Some(size), Some(accessible)) = (size, before.checked_add(accessible)) else {
        return Err(io::ErrorKind::OutOfMemory.into());
    };
    match guard {
        Some(guard) => pool.take_guarded(size.max(PAGE_SIZE), accessible, guard),
        None => pool.take(size.max(PAGE_SIZE), accessible),
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

/// The part of a memory that never changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixed {
    pub(crate) base: *mut u8,
    pub(crate) max_byte_len: u64,
    pub(crate) page_log2: u32,
    pub(crate) is_shared: bool,
    /// Bytes of the guard that moves when it grows, or what [`marked`] returns.
    #[cfg(feature = "recycle")]
    guard: usize,
}

/// Set in [`VmMemory::guard`] if the other bits say where the part ends that has guards in place of
/// being inaccessible: guards are whole pages.
#[cfg(feature = "recycle")]
const MARKED: usize = 1;

/// What [`VmMemory::guard`] is for a memory which has guards on all that it can grow into up to
/// `end`, whole pages of less than 4 GiB.
#[cfg(feature = "recycle")]
pub(super) fn marked(end: usize) -> u32 {
    (end | MARKED) as u32
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
        let page_log2 = unsafe { (*memory).page_log2 }.into();
        // SAFETY: as above.
        let is_shared = unsafe { (*memory).is_shared } != 0;
        #[cfg(feature = "recycle")]
        // SAFETY: as above.
        let guard = unsafe { (*memory).guard } as usize;
        Fixed {
            base: std::ptr::with_exposed_provenance_mut(base as usize),
            max_byte_len,
            page_log2,
            is_shared,
            #[cfg(feature = "recycle")]
            guard,
        }
    }

    /// Makes pages accessible that become a part of the memory.
    ///
    /// # Safety
    /// - They follow those that are accessible, end where the memory can end at most, and nobody
    ///   relies on them being inaccessible.
    unsafe fn extend(&self, start: NonNull<u8>, size: usize) -> io::Result<()> {
        #[cfg(feature = "recycle")]
        if self.guard & MARKED != 0 {
            let end = self.base.addr() + (self.guard & !MARKED);
            let guarded = end.saturating_sub(start.addr().get()).min(size);
            // SAFETY: the pages are in the memory's reservation (the caller's contract). They are
            // not accessible yet, so those before the end of the marks have guards.
            return unsafe { uncover(start, size, guarded) };
        }
        #[cfg(feature = "recycle")]
        if self.guard != 0 {
            // SAFETY: the pages are in the memory's reservation (the caller's contract), which has
            // as many bytes as the guard after the largest size (`reserve`).
            return unsafe { move_guard(start, size, self.guard) };
        }
        // SAFETY: the pages are in the memory's reservation (the caller's contract).
        unsafe { make_accessible(start, size) }
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
        unsafe { fixed.extend(start, size) }.ok()?;
    }
    // Who sees the new size can access the pages.
    byte_len.store(new_len, Ordering::SeqCst);
    Some(old_len >> fixed.page_log2)
}

/// Where a marked memory is, and the part of it, whole pages, by which it has grown since it had so
/// many pages; `None` for other memories.
///
/// # Safety
/// - `memory` is a live memory.
#[cfg(feature = "recycle")]
pub(super) unsafe fn unmarked_since(
    memory: NonNull<VmMemory>,
    pages: u64,
) -> Option<(usize, Range<usize>)> {
    // SAFETY: the caller's contract.
    let fixed = unsafe { Fixed::of(memory) };
    if fixed.guard & MARKED == 0 {
        return None;
    }
    // SAFETY: as above.
    let new_len = unsafe { byte_len(memory) }.load(Ordering::Relaxed);
    let start = round_up((pages << fixed.page_log2) as usize)?;
    let end = round_up(new_len as usize)?;
    Some((fixed.base.addr(), start..end))
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
        let reservation = take(engine.pool(), 0, byte_len as usize, Some(size), None)
            .with_context(|| {
                let size = Bytes(size);
                format!("cannot reserve {size} of address space for a memory of the host")
            })?;
        let vm = VmMemory {
            base: reservation.start().as_ptr().expose_provenance() as u64,
            byte_len,
            max_byte_len: limits.memory_max(max.and_then(bytes).unwrap_or(most)),
            page_log2: 16,
            is_shared: is_shared.into(),
            guard: 0,
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
        const GIB: u128 = 1 << 30;
        match self.0 as u128 {
            // Without floats, whose printing is 9 KB of a small host.
            bytes if bytes >= GIB => {
                let tenths = (bytes * 10 + GIB / 2) / GIB;
                write!(f, "{}.{} GiB", tenths / 10, tenths % 10)
            }
            bytes => write!(f, "{} KiB", bytes >> 10),
        }
    }
}
