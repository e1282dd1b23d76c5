//! The command's allocator: the system's, with a count of bytes while `--memory-limit` holds.
//!
//! A limit of the system (`RLIMIT_DATA`, `RLIMIT_AS`) would also count unused stacks, and would
//! make allocations fail, which aborts without a word about the limit. This one counts the bytes
//! that the build allocates, and stops the allocation that would exceed the limit. (A block that
//! moves when it grows is counted once.)
#![allow(unsafe_code, reason = "an allocator is `unsafe` to implement")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed};

use crate::limits;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// No limit: nothing is counted.
const NONE: usize = usize::MAX;

/// The most bytes that may be in use.
static LIMIT: AtomicUsize = AtomicUsize::new(NONE);

/// Bytes allocated minus bytes freed since the limit was set; may be negative.
static IN_USE: AtomicIsize = AtomicIsize::new(0);

struct Counting;

/// Limits the bytes that may be allocated from now on.
pub(crate) fn limit(bytes: usize) {
    IN_USE.store(0, Relaxed);
    LIMIT.store(bytes, Relaxed);
}

/// Ends the limit.
pub(crate) fn unlimit() {
    LIMIT.store(NONE, Relaxed);
}

/// Counts `more` bytes, if there is a limit.
#[inline]
fn count(more: isize) {
    let limit = LIMIT.load(Relaxed);
    if limit != NONE {
        let in_use = IN_USE.fetch_add(more, Relaxed).saturating_add(more);
        if more > 0 && usize::try_from(in_use).is_ok_and(|in_use| in_use > limit) {
            exceeded(limit);
        }
    }
}

#[cold]
fn exceeded(limit: usize) -> ! {
    // The message about it needs memory.
    unlimit();
    limits::exceeded(format_args!(
        "memory limit exceeded: needs more than {limit} bytes (--memory-limit)"
    ))
}

/// The size of an allocation, which is at most `isize::MAX`.
fn size(layout: Layout) -> isize {
    layout.size() as isize
}

// SAFETY: the system's allocator does everything, with unchanged arguments. `count` neither unwinds
// nor allocates: if the limit is exceeded, the process exits.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(size(layout));
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(size(layout));
        // SAFETY: the caller's contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-size(layout));
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size as isize - size(layout));
        // SAFETY: the caller's contract.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
