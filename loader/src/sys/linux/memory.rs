//! Address space.
#![allow(unsafe_code, reason = "maps and protects memory")]

use std::ffi::c_void;
use std::io;
use std::ptr::{self, NonNull};
#[cfg(feature = "recycle")]
use std::sync::Arc;
#[cfg(feature = "recycle")]
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};

use crate::sys::PAGE_SIZE;

/// `size` rounded up to whole pages; `None` if that is too much.
pub(crate) const fn round_up(size: usize) -> Option<usize> {
    match size.checked_add(PAGE_SIZE - 1) {
        Some(sum) => Some(sum & !(PAGE_SIZE - 1)),
        None => None,
    }
}

/// Mappings that a process may have.
pub(crate) fn max_mappings() -> usize {
    /// Where it cannot be read: what the kernel starts with.
    const USUAL: usize = 65_530;
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    let number = text.and_then(|text| text.trim().parse().ok());
    number.unwrap_or(USUAL)
}

/// A range of address space that this process owns: whole pages, unmapped when dropped.
///
/// Only pages that were made accessible can be accessed.
#[derive(Debug)]
pub(crate) struct Reservation {
    /// Invariant 1: `size` bytes from here are mapped and ours alone.
    start: NonNull<u8>,
    size: usize,
    /// What it is a part of, which stays mapped as long.
    #[cfg(feature = "recycle")]
    whole: Option<Arc<Reservation>>,
}

// SAFETY: an owner of plain memory, which no thread is special for.
unsafe impl Send for Reservation {}
// SAFETY: shared access reads the range only.
unsafe impl Sync for Reservation {}

impl Reservation {
    /// Reserves `size` bytes, not 0, a multiple of the page size. The first `accessible` of them, a
    /// multiple as well, are zeros that can be read and written.
    pub(crate) fn new(size: usize, accessible: usize) -> io::Result<Reservation> {
        let all = accessible == size;
        let protection = if all {
            ProtFlags::READ | ProtFlags::WRITE
        } else {
            ProtFlags::empty()
        };
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping, at an address that the kernel chooses, affects no other memory.
        let start =
            unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), size, protection, flags) }?;
        // A mapping at address 0 is not given unless asked for.
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let reservation = Reservation {
            start,
            size,
            #[cfg(feature = "recycle")]
            whole: None,
        };
        if accessible != 0 && !all {
            reservation.make_accessible(0, accessible)?;
        }
        Ok(reservation)
    }

    /// `size` bytes of another one from `offset` on, whole pages.
    ///
    /// # Panics
    /// If they are not inside.
    ///
    /// # Safety
    /// - Nobody else has or uses these pages as long as the part lives.
    #[cfg(feature = "recycle")]
    pub(crate) unsafe fn part(
        whole: &Arc<Reservation>,
        (offset, size): (usize, usize),
    ) -> Reservation {
        Reservation {
            start: whole.address(offset, size),
            size,
            whole: Some(Arc::clone(whole)),
        }
    }

    /// Whether it is a part of this one.
    #[cfg(feature = "recycle")]
    pub(crate) fn is_part_of(&self, other: &Arc<Reservation>) -> bool {
        let whole = self.whole.as_ref();
        whole.is_some_and(|whole| Arc::ptr_eq(whole, other))
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Whether an address is in the range.
    pub(crate) fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.start.addr().get()) < self.size
    }

    /// Makes whole pages of the range readable and writable.
    pub(crate) fn make_accessible(&self, offset: usize, size: usize) -> io::Result<()> {
        // SAFETY: the pages are ours (invariant 1); nobody relies on what is inaccessible here.
        unsafe { make_accessible(self.address(offset, size), size) }
    }

    /// Maps whole pages at `source`, a private mapping of a file, at `offset` as well, copied when
    /// written; `source` stays. They can be read only until
    /// [`make_accessible`](Self::make_accessible).
    ///
    /// # Errors
    /// If the kernel cannot do it (Linux before 5.13, or no mapping of a file); the pages at
    /// `offset` may then be inaccessible for good, so map or fill something else there with
    /// [`Reservation::reset`].
    ///
    /// # Safety
    /// - `size` bytes from `source` are a part of one private, read-only mapping of a file to which
    ///   nothing was written, and stay so meanwhile.
    pub(crate) unsafe fn map_copy(
        &self,
        offset: usize,
        source: NonNull<u8>,
        size: usize,
    ) -> io::Result<()> {
        let target = self.address(offset, size).as_ptr().cast::<c_void>();
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP;
        // SAFETY: the target pages are ours (invariant 1), so that they may be replaced. The source
        // stays mapped and reads from its file again (the caller's contract).
        let mapped = unsafe { libc::mremap(source.as_ptr().cast(), size, size, flags, target) };
        if mapped == libc::MAP_FAILED {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// Makes whole pages of the range inaccessible.
    pub(crate) fn make_inaccessible(&self, offset: usize, size: usize) -> io::Result<()> {
        let start = self.address(offset, size).as_ptr().cast();
        // SAFETY: the pages are ours (invariant 1), and nobody refers to what is in them: the
        // owner says so.
        Ok(unsafe { rustix::mm::mprotect(start, size, MprotectFlags::empty()) }?)
    }

    /// Makes whole pages inaccessible by marks in page tables, which take no mapping; they are
    /// zeros afterwards.
    ///
    /// # Errors
    /// If the system cannot ([`has_guards`]).
    #[cfg(feature = "recycle")]
    pub(crate) fn install_guard(&self, offset: usize, size: usize) -> io::Result<()> {
        // SAFETY: the pages are ours (invariant 1), and nobody refers to what is in them: the
        // owner says so.
        unsafe { install_guard(self.address(offset, size), size) }
    }

    /// Removes the marks of [`install_guard`](Self::install_guard) where there are any.
    #[cfg(feature = "recycle")]
    pub(crate) fn remove_guards(&self, offset: usize, size: usize) -> io::Result<()> {
        // SAFETY: the pages are ours (invariant 1); nobody relies on what is inaccessible here.
        unsafe { remove_guards(self.address(offset, size), size) }
    }

    /// Has the system give no huge pages to all of the range.
    #[cfg(feature = "recycle")]
    pub(crate) fn refuse_huge_pages(&self) -> io::Result<()> {
        let start = self.start.as_ptr().cast();
        // SAFETY: the pages are ours (invariant 1); what is in them stays.
        match unsafe { rustix::mm::madvise(start, self.size, Advice::LinuxNoHugepage) } {
            // A system that has none.
            Err(rustix::io::Errno::INVAL) => Ok(()),
            result => Ok(result?),
        }
    }

    /// Makes whole pages of the range readable, and not writable.
    #[cfg(feature = "recycle")]
    pub(crate) fn make_read_only(&self, offset: usize, size: usize) -> io::Result<()> {
        let start = self.address(offset, size).as_ptr().cast();
        // SAFETY: the pages are ours (invariant 1), and their owner says that nobody relies on
        // writing to them.
        Ok(unsafe { rustix::mm::mprotect(start, size, MprotectFlags::READ) }?)
    }

    /// Sets whether the system keeps whole pages apart from those before them, which may have the
    /// same protection now and then: so it need not split and join them each time. Pages that are
    /// apart are not in core dumps.
    #[cfg(feature = "recycle")]
    pub(crate) fn set_apart(&self, offset: usize, size: usize, apart: bool) -> io::Result<()> {
        let start = self.address(offset, size).as_ptr().cast();
        let advice = match apart {
            true => Advice::LinuxDontDump,
            false => Advice::LinuxDoDump,
        };
        // SAFETY: the pages are ours (invariant 1); what is in them stays.
        Ok(unsafe { rustix::mm::madvise(start, size, advice) }?)
    }

    /// Makes whole pages, none of which is mapped from a file, zeros again.
    pub(crate) fn discard(&self, offset: usize, size: usize) -> io::Result<()> {
        let start = self.address(offset, size).as_ptr().cast();
        // SAFETY: the pages are ours (invariant 1), and plain bytes.
        Ok(unsafe { rustix::mm::madvise(start, size, Advice::LinuxDontNeed) }?)
    }

    /// Makes whole pages inaccessible zeros, whatever they were.
    pub(crate) fn unmap(&self, offset: usize, size: usize) -> io::Result<()> {
        self.replace(offset, size, ProtFlags::empty())
    }

    /// Replaces whole pages by zeros that can be read and written.
    pub(crate) fn reset(&self, offset: usize, size: usize) -> io::Result<()> {
        self.replace(offset, size, ProtFlags::READ | ProtFlags::WRITE)
    }

    fn replace(&self, offset: usize, size: usize, protection: ProtFlags) -> io::Result<()> {
        let start = self.address(offset, size).as_ptr().cast();
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
        // SAFETY: the pages are ours (invariant 1), and plain bytes.
        let mapped = unsafe { rustix::mm::mmap_anonymous(start, size, protection, flags) };
        mapped.map(drop).map_err(io::Error::from)
    }

    /// The address of a part of the range.
    ///
    /// # Panics
    /// If it is not inside the range, or not whole pages.
    fn address(&self, offset: usize, size: usize) -> NonNull<u8> {
        assert!(
            offset <= self.size && size <= self.size - offset,
            "part of the reservation"
        );
        assert!(
            offset.is_multiple_of(PAGE_SIZE) && size.is_multiple_of(PAGE_SIZE),
            "whole pages"
        );
        // SAFETY: inside the mapping (checked above).
        unsafe { self.start.add(offset) }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        #[cfg(feature = "recycle")]
        if self.whole.is_some() {
            return;
        }
        // SAFETY: the range is ours (invariant 1), and nothing uses it after its owner.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.size) };
        debug_assert!(
            unmapped.is_ok(),
            "a whole mapping can be unmapped: {unmapped:?}"
        );
    }
}

/// Makes whole pages readable and writable.
///
/// # Safety
/// - The pages are mapped and the caller's, and nobody relies on them being inaccessible.
pub(crate) unsafe fn make_accessible(start: NonNull<u8>, size: usize) -> io::Result<()> {
    let flags = MprotectFlags::READ | MprotectFlags::WRITE;
    // SAFETY: the pages are the caller's (its contract).
    Ok(unsafe { rustix::mm::mprotect(start.as_ptr().cast(), size, flags) }?)
}

/// `MADV_GUARD_INSTALL` and `MADV_GUARD_REMOVE` of `linux/mman.h`.
#[cfg(feature = "recycle")]
const GUARD_INSTALL: libc::c_int = 102;
#[cfg(feature = "recycle")]
const GUARD_REMOVE: libc::c_int = 103;

/// Whether new mappings can have guards in page tables: from Linux 6.13 on, unless all memory of
/// the process is locked (`mlockall`). Once they could not, it is not tried again.
#[cfg(feature = "recycle")]
pub(crate) fn has_guards() -> bool {
    static LACKS: AtomicBool = AtomicBool::new(false);
    if LACKS.load(Ordering::Relaxed) {
        return false;
    }
    let page = Reservation::new(PAGE_SIZE, PAGE_SIZE);
    let has = page.is_ok_and(|page| page.install_guard(0, PAGE_SIZE).is_ok());
    LACKS.store(!has, Ordering::Relaxed);
    has
}

/// Makes whole pages accessible that start with a guard, and so many bytes after them inaccessible.
///
/// # Safety
/// - All of these pages are mapped and the caller's, and nobody refers to them or relies on the
///   first `size` bytes being inaccessible.
#[cfg(feature = "recycle")]
pub(crate) unsafe fn move_guard(start: NonNull<u8>, size: usize, guard: usize) -> io::Result<()> {
    // SAFETY: inside the caller's pages (its contract).
    let end = unsafe { start.add(size) };
    // SAFETY: as above.
    unsafe { install_guard(end, guard) }?;
    // SAFETY: as above.
    unsafe { remove_guards(start, size) }
}

/// # Safety
/// - The pages are mapped and the caller's, and nobody refers to what is in them.
#[cfg(feature = "recycle")]
unsafe fn install_guard(start: NonNull<u8>, size: usize) -> io::Result<()> {
    // SAFETY: the caller's contract.
    advise(unsafe { libc::madvise(start.as_ptr().cast(), size, GUARD_INSTALL) })
}

/// # Safety
/// - The pages are mapped and the caller's, and nobody relies on them being inaccessible.
#[cfg(feature = "recycle")]
unsafe fn remove_guards(start: NonNull<u8>, size: usize) -> io::Result<()> {
    // SAFETY: the caller's contract.
    advise(unsafe { libc::madvise(start.as_ptr().cast(), size, GUARD_REMOVE) })
}

/// What `madvise` has returned, as a result.
#[cfg(feature = "recycle")]
fn advise(done: libc::c_int) -> io::Result<()> {
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes whole pages executable and readable, and not writable.
///
/// # Safety
/// - The pages are a mapping of the caller's, and nothing writes to them.
pub(crate) unsafe fn make_executable(start: NonNull<u8>, size: usize) -> io::Result<()> {
    let flags = MprotectFlags::READ | MprotectFlags::EXEC;
    // SAFETY: the pages are the caller's (its contract).
    Ok(unsafe { rustix::mm::mprotect(start.as_ptr().cast(), size, flags) }?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_pages_are_copied_on_write_and_the_source_stays() {
        let bytes: Vec<u8> = (0..8 * PAGE_SIZE)
            .map(|i| (i / PAGE_SIZE) as u8 + 1)
            .collect();
        let file = super::super::file::in_memory(&bytes).unwrap();
        // SAFETY: nobody else has the file.
        let map = unsafe { memmap2::MmapOptions::new().map_copy_read_only(&file) }.unwrap();
        drop(file);
        for round in 0..2 {
            let slot = Reservation::new(1 << 32, PAGE_SIZE).unwrap();
            let source = NonNull::from(&map[2 * PAGE_SIZE]);
            // SAFETY: a private mapping of a file, all of which is read-only.
            unsafe { slot.map_copy(PAGE_SIZE, source, 4 * PAGE_SIZE) }.unwrap();
            slot.make_accessible(PAGE_SIZE, 8 * PAGE_SIZE).unwrap();
            let start = slot.start();
            // SAFETY: nine pages are accessible.
            let pages = unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), 9 * PAGE_SIZE) };
            let firsts: Vec<u8> = pages.iter().step_by(PAGE_SIZE).copied().collect();
            assert_eq!(firsts, [0, 3, 4, 5, 6, 0, 0, 0, 0], "round {round}");
            pages.fill(99);
            assert_eq!(&map[..], &bytes[..]);
        }
        let slot = Reservation::new(16 * PAGE_SIZE, 0).unwrap();
        let anonymous = Reservation::new(PAGE_SIZE, PAGE_SIZE).unwrap();
        // SAFETY: an anonymous mapping is emptied by this, and nothing reads it.
        let refused = unsafe { slot.map_copy(0, anonymous.start(), PAGE_SIZE) };
        // Even if the kernel refuses it, the pages can be used afterwards.
        drop(refused);
        slot.reset(0, PAGE_SIZE).unwrap();
        // SAFETY: the page was just made accessible.
        assert_eq!(unsafe { slot.start().read() }, 0);
    }

    #[test]
    fn too_much_address_space_is_an_error() {
        assert!(Reservation::new(1 << 60, 0).is_err());
    }
}
