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

/// Makes whole pages accessible, of which the first `guarded` bytes have guards, and the others are
/// inaccessible by their protection.
///
/// # Errors
/// If the system refuses: all of them are inaccessible as before.
///
/// # Safety
/// - All of these pages are mapped and the caller's, and nobody refers to them or relies on them
///   being inaccessible.
/// - `guarded` is at most `size`, and both are whole pages.
#[cfg(feature = "recycle")]
pub(crate) unsafe fn uncover(start: NonNull<u8>, size: usize, guarded: usize) -> io::Result<()> {
    let rest = size - guarded;
    // SAFETY: inside the caller's pages (its contract).
    let end = unsafe { start.add(guarded) };
    if rest != 0 {
        // SAFETY: the caller's contract.
        unsafe { make_accessible(end, rest) }?;
    }
    // SAFETY: the caller's contract.
    let removed = unsafe { remove_guards(start, guarded) };
    if removed.is_err() {
        // SAFETY: as above.
        let covered = unsafe { install_guard(start, guarded) };
        // SAFETY: as above.
        let hidden =
            unsafe { rustix::mm::mprotect(end.as_ptr().cast(), rest, MprotectFlags::empty()) };
        if covered.is_err() || hidden.is_err() {
            // Guests could touch what is not theirs.
            std::process::abort();
        }
    }
    removed
}

/// Makes whole pages of many reservations zeros again, none of which is mapped from a file: each
/// part is an offset and a size. From Linux 6.16 on, other CPUs flush their TLBs once for many.
///
/// # Errors
/// If the system refuses (before Linux 6.14, or where memory is locked): some may be zeros.
///
/// # Panics
/// If a part is not inside, or not whole pages.
#[cfg(feature = "recycle")]
pub(crate) fn discard_all<'a>(parts: impl Iterator<Item = Part<'a>>) -> io::Result<()> {
    // SAFETY: plain bytes, and nobody refers to what is in them: the owner says so.
    unsafe { advise_all(parts, libc::MADV_DONTNEED) }
}

/// Faults in whole pages that can be written to, as if they were; what is in them stays.
///
/// # Errors
/// If the system refuses (before Linux 6.14): some may be there.
///
/// # Panics
/// If a part is not inside, or not whole pages.
#[cfg(feature = "recycle")]
pub(crate) fn populate<'a>(parts: impl Iterator<Item = Part<'a>>) -> io::Result<()> {
    // SAFETY: what is in the pages stays.
    unsafe { advise_all(parts, libc::MADV_POPULATE_WRITE) }
}

/// A part of a reservation: an offset and a size.
#[cfg(feature = "recycle")]
pub(crate) type Part<'a> = (&'a Reservation, (usize, usize));

/// # Safety
/// - The advice may be given on these pages of the reservations.
#[cfg(feature = "recycle")]
unsafe fn advise_all<'a>(
    mut parts: impl Iterator<Item = Part<'a>>,
    advice: libc::c_int,
) -> io::Result<()> {
    /// `PIDFD_SELF_THREAD` of `linux/pidfd.h`: a child of a fork means itself by it.
    const SELF: libc::c_int = -10_000;
    /// Parts that one call gets.
    const PARTS: usize = 16;
    loop {
        let none = libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        };
        let mut all = [none; PARTS];
        let mut len = 0;
        for (place, (reservation, (offset, size))) in all.iter_mut().zip(parts.by_ref()) {
            place.iov_base = reservation.address(offset, size).as_ptr().cast();
            place.iov_len = size;
            len += 1;
        }
        if len == 0 {
            return Ok(());
        }
        // SAFETY: the pages are their reservations' (invariant 1), and the advice may be given (the
        // caller's contract); the kernel reads `len` of the records, which are there.
        let done = unsafe {
            libc::syscall(
                libc::SYS_process_madvise,
                SELF,
                all.as_ptr(),
                len,
                advice,
                0,
            )
        };
        if done == -1 {
            return Err(io::Error::last_os_error());
        }
    }
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

    /// Writes to the first byte of a page.
    #[cfg(feature = "recycle")]
    fn touch(pages: &Reservation, page: usize) {
        let place = pages.start().as_ptr().wrapping_add(page * PAGE_SIZE);
        // SAFETY: the tests say that it is accessible, and theirs.
        unsafe { place.write(1) };
    }

    /// Pages that the memory has for itself.
    #[cfg(feature = "recycle")]
    fn present(pages: &Reservation, count: usize) -> Vec<bool> {
        let mut found = vec![0; count];
        let start = pages.start().as_ptr().cast();
        // SAFETY: writes as many bytes as there are pages.
        let done = unsafe { libc::mincore(start, count * PAGE_SIZE, found.as_mut_ptr()) };
        assert_eq!(done, 0);
        found.iter().map(|byte| byte & 1 == 1).collect()
    }

    #[test]
    #[cfg(feature = "recycle")]
    fn many_are_discarded_and_populated_at_once() {
        let all: Vec<_> = (0..40)
            .map(|_| Reservation::new(4 * PAGE_SIZE, 3 * PAGE_SIZE).unwrap())
            .collect();
        let part = (PAGE_SIZE, 2 * PAGE_SIZE);
        if populate(all.iter().map(|pages| (pages, part))).is_err() {
            eprintln!("the kernel does not do this for many at once");
            return;
        }
        for pages in &all {
            assert_eq!(present(pages, 3), [false, true, true]);
            (0..3).for_each(|page| touch(pages, page));
        }
        discard_all(all.iter().map(|pages| (pages, part))).unwrap();
        for pages in &all {
            assert_eq!(present(pages, 3), [true, false, false]);
        }
        assert!(discard_all(std::iter::empty()).is_ok());
    }

    #[test]
    #[cfg(feature = "recycle")]
    fn guards_and_what_is_behind_them_become_accessible() {
        if !has_guards() {
            return;
        }
        let pages = Reservation::new(16 * PAGE_SIZE, 4 * PAGE_SIZE).unwrap();
        pages.install_guard(PAGE_SIZE, 3 * PAGE_SIZE).unwrap();
        // Guards alone, then guards and what is behind, then that alone.
        for (from, to) in [(1, 2), (2, 6), (6, 8)] {
            // SAFETY: inside the reservation.
            let start = unsafe { pages.start().add(from * PAGE_SIZE) };
            let guarded = 4usize.saturating_sub(from).min(to - from);
            let size = (to - from) * PAGE_SIZE;
            // SAFETY: the pages are the test's.
            unsafe { uncover(start, size, guarded * PAGE_SIZE) }.unwrap();
            (from..to).for_each(|page| touch(&pages, page));
        }
    }
}
