//! The system calls that no load can do without.
#![allow(unsafe_code, reason = "maps files as loaders do")]

use std::ffi::c_void;
use std::fs::{self, File};
use std::hint::black_box;
use std::ops::Range;
use std::path::Path;
use std::ptr;

use anyhow::{Context as _, Result, ensure};
use object::{Object as _, ObjectSection as _};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mprotect, munmap};

const PAGE_SIZE: usize = 4096;

/// Maps a file, makes its machine code executable, reads a byte, and unmaps it.
pub(crate) struct Floor<'a> {
    path: &'a Path,
    /// The pages of the machine code.
    code: Range<usize>,
}

impl<'a> Floor<'a> {
    /// For this artifact of either side.
    pub(crate) fn new(path: &'a Path) -> Result<Floor<'a>> {
        let bytes = fs::read(path)?;
        let file = object::File::parse(&bytes[..])?;
        let text = file.section_by_name(".text").context("no machine code")?;
        let (start, len) = text.file_range().context("no bytes of machine code")?;
        let start = start as usize / PAGE_SIZE * PAGE_SIZE;
        let end = (start + len as usize).next_multiple_of(PAGE_SIZE);
        ensure!(end <= bytes.len().next_multiple_of(PAGE_SIZE), "{path:?}");
        let code = start..end;
        Ok(Floor { path, code })
    }

    pub(crate) fn run(&self) -> Result<()> {
        let file = File::open(self.path)?;
        let len = file.metadata()?.len() as usize;
        let flags = MapFlags::PRIVATE;
        // SAFETY: a new mapping, of a file that nobody changes.
        let start = unsafe { mmap(ptr::null_mut(), len, ProtFlags::READ, flags, &file, 0) }?;
        let code = start.cast::<u8>().wrapping_add(self.code.start);
        let executable = MprotectFlags::READ | MprotectFlags::EXEC;
        // SAFETY: pages of the mapping (checked by `new`), which nobody else knows.
        unsafe { mprotect(code.cast::<c_void>(), self.code.len(), executable) }?;
        drop(file);
        // SAFETY: readable, and not empty.
        black_box(unsafe { start.cast::<u8>().read_volatile() });
        // SAFETY: the whole mapping, which nobody else knows.
        unsafe { munmap(start, len) }?;
        Ok(())
    }
}
