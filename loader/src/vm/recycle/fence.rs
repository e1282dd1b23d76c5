//! Fences: memory whose pages are read-only until somebody writes to them.
//!
//! Instances of one component tend to write to the same pages. When a slot has seen this a few
//! times, all its other pages are made read-only. As long as nobody writes to one of these, it is
//! known without a system call which pages must be made clean for the next instance; and the first
//! write to one of them, by whatever code, opens the whole area again:
//!
//! ```text
//! closed -> a write faults -> the signal handler calls `open_at` -> open, the write is done again
//! ```
//!
//! Reads never fault, so that slices of memory can be given to anybody, system calls included.
//! Memory is written to by compiled code and by the loader on its behalf, on threads that take the
//! signals of traps (`sys::thread::enter`).
#![allow(
    unsafe_code,
    reason = "changes the protection of memory in a signal handler"
)]

use std::io;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::sys::memory::{Reservation, make_accessible};

/// Areas that can be fenced at a time: others are not.
const AREAS: usize = 1024;

/// All closed areas, for signal handlers: they can neither lock nor follow addresses that another
/// thread may be freeing.
static CLOSED: [Closed; AREAS] = [const { Closed::new() }; AREAS];

/// Entries from the start that have been used.
static USED: AtomicUsize = AtomicUsize::new(0);

/// An area, if `start` is not 0.
struct Closed {
    /// Whether somebody has the entry.
    is_taken: AtomicBool,
    /// Addresses. `start` is written last and removed first.
    start: AtomicUsize,
    end: AtomicUsize,
}

impl Closed {
    const fn new() -> Closed {
        Closed {
            is_taken: AtomicBool::new(false),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
        }
    }

    /// The area, if it contains this address.
    fn around(&self, address: usize) -> Option<Range<usize>> {
        let start = self.start.load(Ordering::Acquire);
        let end = self.end.load(Ordering::Acquire);
        // The same as before: `end` belongs to it.
        let same = self.start.load(Ordering::Relaxed) == start;
        (same && start != 0 && (start..end).contains(&address)).then_some(start..end)
    }
}

/// A fence around an area of a reservation. Opening it makes all of the area writable.
#[derive(Debug)]
pub(crate) struct Fence {
    /// Invariant 1: the index of an entry that is ours alone.
    entry: usize,
    /// Parts that stay writable, in ascending order: offsets in the reservation, whole pages.
    writable: Box<[Range<usize>]>,
}

impl Fence {
    /// Makes the first `len` bytes of a reservation, which can be written to, read-only but for
    /// these parts. `None`: there are too many fences.
    ///
    /// # Errors
    /// If the system refuses: some parts may be read-only.
    pub(crate) fn close(
        reservation: &Reservation,
        len: usize,
        writable: Box<[Range<usize>]>,
    ) -> io::Result<Option<Fence>> {
        let free = |closed: &Closed| !closed.is_taken.swap(true, Ordering::AcqRel);
        let Some(entry) = CLOSED.iter().position(free) else {
            return Ok(None);
        };
        USED.fetch_max(entry + 1, Ordering::AcqRel);
        // Opens what is closed by then if there is an error.
        let fence = Fence { entry, writable };
        let start = reservation.start().addr().get();
        let closed = &CLOSED[entry];
        closed.end.store(start + len, Ordering::Release);
        closed.start.store(start, Ordering::Release);
        let starts = fence.writable.iter().map(|part| part.start);
        let ends = fence.writable.iter().map(|part| part.end);
        let gaps = std::iter::once(0)
            .chain(ends)
            .zip(starts.chain(std::iter::once(len)));
        for (from, to) in gaps.filter(|(from, to)| from < to) {
            reservation.make_read_only(from, to - from)?;
        }
        Ok(Some(fence))
    }

    /// Whether nobody has written to anything but [`writable`](Fence::writable).
    pub(crate) fn is_closed(&self) -> bool {
        CLOSED[self.entry].start.load(Ordering::Acquire) != 0
    }

    /// The parts that can be written to.
    pub(crate) fn writable(&self) -> &[Range<usize>] {
        &self.writable
    }

    /// Opens it, if it is closed: the whole area can be written to.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn open(self) -> io::Result<()> {
        let closed = &CLOSED[self.entry];
        let (start, end) = (
            closed.start.load(Ordering::Acquire),
            closed.end.load(Ordering::Acquire),
        );
        match start {
            0 => Ok(()),
            _ => open(closed, start..end),
        }
    }
}

impl Drop for Fence {
    fn drop(&mut self) {
        let closed = &CLOSED[self.entry];
        closed.start.store(0, Ordering::Release);
        closed.is_taken.store(false, Ordering::Release);
    }
}

/// Opens the fence around this address, if there is a closed one: a write there has failed, and can
/// be done again. Safe in signal handlers.
pub(crate) fn open_at(address: usize) -> bool {
    // Whoever writes to an area has its instance, so that its own entry does not change meanwhile.
    let used = USED.load(Ordering::Acquire);
    let mut all = CLOSED[..used].iter();
    let found = all.find_map(|closed| Some((closed, closed.around(address)?)));
    found.is_some_and(|(closed, area)| open(closed, area).is_ok())
}

fn open(closed: &Closed, area: Range<usize>) -> io::Result<()> {
    let start = ptr::with_exposed_provenance_mut(area.start);
    let start = NonNull::new(start).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: pages of an area that could be written to before it was fenced, and whose owner does
    // not change it meanwhile: `close` says which, and what it relies on is whether it is closed.
    unsafe { make_accessible(start, area.len()) }?;
    closed.start.store(0, Ordering::Release);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::PAGE_SIZE;

    #[test]
    fn a_write_opens_it() {
        let area = Reservation::new(8 * PAGE_SIZE, 6 * PAGE_SIZE).unwrap();
        let start = area.start().as_ptr().expose_provenance();
        let writable = |pages: Range<usize>| pages.start * PAGE_SIZE..pages.end * PAGE_SIZE;
        let parts = [writable(0..1), writable(3..5)];
        let close = || {
            let fence = Fence::close(&area, 6 * PAGE_SIZE, parts.clone().into());
            fence.unwrap().unwrap()
        };
        let fence = close();
        for page in [0, 3, 4] {
            // SAFETY: accessible, and ours.
            unsafe {
                area.start()
                    .as_ptr()
                    .wrapping_add(page * PAGE_SIZE)
                    .write(1)
            };
        }
        assert!(fence.is_closed());
        assert!(!open_at(start + 6 * PAGE_SIZE) && !open_at(start - 1));
        assert!(fence.is_closed());
        assert!(open_at(start + 2 * PAGE_SIZE + 5));
        assert!(!fence.is_closed() && !open_at(start + 2 * PAGE_SIZE));
        // SAFETY: as above, now that it is open.
        unsafe { area.start().as_ptr().wrapping_add(2 * PAGE_SIZE).write(1) };
        fence.open().unwrap();
        close().open().unwrap();
        // SAFETY: as above.
        unsafe { area.start().as_ptr().wrapping_add(5 * PAGE_SIZE).write(1) };
        assert!(!open_at(start));
    }
}
