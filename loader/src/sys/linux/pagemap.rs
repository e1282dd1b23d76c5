//! Which pages were written to: the kernel's `PAGEMAP_SCAN`, of Linux 6.7 and later.
//!
//! Private memory has pages of its own where it was written to; elsewhere it shows the file that is
//! mapped, or zeros. The scan tells these apart, also where the system has swapped pages out. It
//! does not tell whether a page was written to since the last scan: a page of its own stays one.
#![allow(unsafe_code, reason = "an ioctl with addresses")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::IntoRawFd;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::sys::PAGE_SIZE;
use crate::sys::memory::Reservation;

/// `/proc/self/pagemap`, or -1. It is of the process that opened it: a child opens its own.
static PAGEMAP: AtomicI32 = AtomicI32::new(-1);

/// `_IOWR('f', 16, struct pm_scan_arg)` of `linux/fs.h`.
const PAGEMAP_SCAN: libc::Ioctl = 0xc060_6610;

/// Categories of pages, of `linux/fs.h`.
const FILE: u64 = 1 << 2;
const PRESENT: u64 = 1 << 3;
const SWAPPED: u64 = 1 << 4;
const PFNZERO: u64 = 1 << 5;

/// Ranges that one call gets.
const RANGES: usize = 32;

/// `struct page_region` of `linux/fs.h`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

/// `struct pm_scan_arg` of `linux/fs.h`.
#[derive(Default)]
#[repr(C)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

const _: () = assert!(size_of::<ScanArg>() == 96 && size_of::<PageRegion>() == 24);

/// A part of memory, as the kernel sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pages {
    /// Addresses, of whole pages.
    pub(crate) range: Range<usize>,
    /// Whether it is the kernel's page of zeros: nothing was written, or all that was are zeros.
    pub(crate) is_zero: bool,
}

/// Opens what the scan needs, if it is there, unless it is open.
pub(crate) fn open() {
    if PAGEMAP.load(Ordering::Acquire) == -1 && !reopen() {
        PAGEMAP.store(-1, Ordering::Release);
    }
}

/// In a child of `fork`: what its parent opened shows the parent's memory. It stays open, because
/// the number may be another file's by now, if the host has closed all that it did not know.
pub(crate) fn after_fork() {
    if PAGEMAP.swap(-1, Ordering::AcqRel) != -1 {
        open();
    }
}

/// Opens it; whether it can be used.
fn reopen() -> bool {
    let Ok(file) = File::open("/proc/self/pagemap") else {
        return false;
    };
    let new = file.into_raw_fd();
    if PAGEMAP
        .compare_exchange(-1, new, Ordering::AcqRel, Ordering::Acquire)
        .is_err()
    {
        // SAFETY: just opened, and nobody else has it: another thread was faster.
        unsafe { libc::close(new) };
        return true;
    }
    says_the_truth()
}

/// Tries it with pages of which it is known what was done to them.
fn says_the_truth() -> bool {
    let Ok(pages) = Reservation::new(3 * PAGE_SIZE, 3 * PAGE_SIZE) else {
        return false;
    };
    let start = pages.start();
    // SAFETY: three pages are accessible, and ours.
    unsafe { start.as_ptr().wrapping_add(PAGE_SIZE).write(1) };
    let start = start.addr().get();
    let mut found = Vec::new();
    let scanned = scan(start..start + 3 * PAGE_SIZE, |pages| found.push(pages));
    let written = Pages {
        range: start + PAGE_SIZE..start + 2 * PAGE_SIZE,
        is_zero: false,
    };
    scanned.is_ok() && found == [written]
}

/// Calls `each` with the pages in `range` that the memory has for itself, in ascending order: all
/// that was written to since it was mapped or discarded is among them. With them come pages that
/// show the kernel's page of zeros.
///
/// # Errors
/// If the kernel cannot do it; or `/proc` is not there.
pub(crate) fn scan(range: Range<usize>, mut each: impl FnMut(Pages)) -> io::Result<()> {
    let pagemap = PAGEMAP.load(Ordering::Acquire);
    if pagemap == -1 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let mut regions = [PageRegion::default(); RANGES];
    let mut argument = ScanArg {
        size: size_of::<ScanArg>() as u64,
        start: range.start as u64,
        end: range.end as u64,
        vec: regions.as_mut_ptr().expose_provenance() as u64,
        vec_len: RANGES as u64,
        // Not of a file, and there.
        category_inverted: FILE,
        category_mask: FILE,
        category_anyof_mask: PRESENT | SWAPPED,
        return_mask: PFNZERO,
        ..ScanArg::default()
    };
    while argument.start < argument.end {
        // SAFETY: the kernel reads and writes the argument, and writes at most `vec_len` regions.
        let found = unsafe { libc::ioctl(pagemap, PAGEMAP_SCAN, &raw mut argument) };
        let found = usize::try_from(found).map_err(|_| io::Error::last_os_error())?;
        for region in regions.iter().take(found) {
            each(Pages {
                range: region.start as usize..region.end as usize,
                is_zero: region.categories & PFNZERO != 0,
            });
        }
        if argument.walk_end <= argument.start {
            return Err(io::ErrorKind::Unsupported.into());
        }
        argument.start = argument.walk_end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The offsets, in pages, of what a scan of a reservation finds.
    fn found(pages: &Reservation) -> io::Result<Vec<(usize, usize, bool)>> {
        let start = pages.start().addr().get();
        let mut found = Vec::new();
        scan(start..start + pages.size(), |pages| {
            let at = |address: usize| (address - start) / PAGE_SIZE;
            found.push((at(pages.range.start), at(pages.range.end), pages.is_zero));
        })?;
        Ok(found)
    }

    #[test]
    fn pages_that_were_written_are_found() {
        open();
        if PAGEMAP.load(Ordering::Acquire) == -1 {
            eprintln!("the kernel has no PAGEMAP_SCAN: its fallback is tested elsewhere");
            return;
        }
        let pages = Reservation::new(256 * PAGE_SIZE, 200 * PAGE_SIZE).unwrap();
        assert_eq!(found(&pages).unwrap(), []);
        // Every other page: more ranges than one call gets.
        for index in (1..200).step_by(2) {
            // SAFETY: accessible, and ours.
            unsafe {
                pages
                    .start()
                    .as_ptr()
                    .wrapping_add(index * PAGE_SIZE + 5)
                    .write(1)
            };
        }
        let third = pages.start().as_ptr().wrapping_add(2 * PAGE_SIZE);
        // SAFETY: as above.
        assert_eq!(unsafe { third.read() }, 0);
        let all = found(&pages).unwrap();
        let written: Vec<_> = all.iter().filter(|(_, _, is_zero)| !is_zero).collect();
        assert_eq!(written.len(), 100);
        assert!(all.contains(&(2, 3, true)), "{all:?}");
        // Also after they have become inaccessible.
        pages.make_inaccessible(0, 200 * PAGE_SIZE).unwrap();
        assert_eq!(found(&pages).unwrap(), all);
        pages.discard(0, 200 * PAGE_SIZE).unwrap();
        assert_eq!(found(&pages).unwrap(), []);
    }
}
