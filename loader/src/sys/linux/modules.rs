//! The modules that the process has loaded, the program and its libraries: where their code is, and
//! their tables for unwinding.
#![allow(unsafe_code, reason = "reads the tables where they are loaded")]

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::ptr;

/// A program or library.
pub(crate) struct LoadedModule {
    /// The difference between addresses and those that its file says.
    pub(crate) base: usize,
    /// Addresses of its code.
    pub(crate) code: Range<usize>,
    /// The table by which frames are found (`.eh_frame_hdr`), and where it is.
    pub(crate) index: (usize, Box<[u8]>),
    /// The frames (`.eh_frame`), and perhaps what follows them, and where they are.
    pub(crate) frames: (usize, Box<[u8]>),
}

/// The modules that have tables for unwinding. The tables are copies: libraries may be unloaded.
pub(crate) fn loaded() -> Vec<LoadedModule> {
    let mut found: Vec<LoadedModule> = Vec::new();
    // SAFETY: `add` is a function of this signature, and the vector outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(add), (&raw mut found).cast()) };
    found
}

/// Adds a module to the vector at `data`. It is not unloaded meanwhile.
///
/// # Safety
/// - `info` describes a loaded module, and `data` is a `Vec<LoadedModule>` that is ours.
unsafe extern "C" fn add(info: *mut libc::dl_phdr_info, _size: usize, data: *mut c_void) -> c_int {
    // SAFETY: a description that the C library made (the caller's contract).
    let info = unsafe { &*info };
    // SAFETY: ours (the caller's contract).
    let found = unsafe { &mut *data.cast::<Vec<LoadedModule>>() };
    if info.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: so many headers lie there.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    // SAFETY: the headers are those of the module that is loaded there.
    found.extend(unsafe { describe(info.dlpi_addr as usize, headers) });
    0
}

/// The module of these headers; `None` without tables for unwinding.
///
/// # Safety
/// - The headers are those of a module that is loaded with this base.
unsafe fn describe(base: usize, headers: &[libc::Elf64_Phdr]) -> Option<LoadedModule> {
    let range = |header: &libc::Elf64_Phdr| {
        let start = base.wrapping_add(header.p_vaddr as usize);
        start..start.saturating_add(header.p_memsz as usize)
    };
    let loads = || {
        headers
            .iter()
            .filter(|header| header.p_type == libc::PT_LOAD)
    };
    let code = loads().filter(|header| header.p_flags & libc::PF_X != 0);
    let code = code
        .map(range)
        .reduce(|all, one| all.start.min(one.start)..all.end.max(one.end));
    let index = headers
        .iter()
        .find(|header| header.p_type == libc::PT_GNU_EH_FRAME)?;
    let index = range(index);
    // SAFETY: a part of the module (the caller's contract), which is readable.
    let index_bytes = unsafe { copy(&index) };
    let frames = frames_address(index.start, &index_bytes)?;
    // How long they are, nothing says; they end with a record that is empty.
    let readable = loads().filter(|header| header.p_flags & libc::PF_R != 0);
    let end = readable
        .map(range)
        .find(|range| range.contains(&frames))?
        .end;
    // SAFETY: as above.
    let frames_bytes = unsafe { copy(&(frames..end)) };
    Some(LoadedModule {
        base,
        code: code?,
        index: (index.start, index_bytes),
        frames: (frames, frames_bytes),
    })
}

/// The address of the frames that the table at `address` is of: LSB, "The .eh_frame_hdr section".
fn frames_address(address: usize, index: &[u8]) -> Option<usize> {
    /// Relative to the pointer itself, with a sign, of 4 bytes: how all linkers write it.
    const ENCODING: u8 = 0x1b;
    let [1, ENCODING, _, _, a, b, c, d, ..] = *index else {
        return None;
    };
    let distance = i32::from_le_bytes([a, b, c, d]);
    address
        .checked_add(4)?
        .checked_add_signed(distance as isize)
}

/// Copies bytes of a module.
///
/// # Safety
/// - They are readable, and nothing writes to them.
unsafe fn copy(range: &Range<usize>) -> Box<[u8]> {
    let start = ptr::with_exposed_provenance::<u8>(range.start);
    // SAFETY: the caller's contract.
    unsafe { std::slice::from_raw_parts(start, range.len()) }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_and_its_libraries_are_loaded() {
        let modules = loaded();
        let of = |address: usize| {
            let found = modules.iter().find(|module| module.code.contains(&address));
            found.unwrap_or_else(|| panic!("{address:#x} is in no module"))
        };
        let ours = of((this_program_and_its_libraries_are_loaded as *const ()).addr());
        let system = of((libc::dl_iterate_phdr as *const ()).addr());
        assert_ne!(ours.base, system.base);
        for module in [ours, system] {
            assert!(module.index.1.len() > 100 && module.frames.1.len() > 1000);
        }
    }
}
