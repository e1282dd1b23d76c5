//! The interface of gdb for compilers at run time: a list of ELF files, and a function in which gdb
//! stops to look at it.
#![allow(unsafe_code, reason = "a list that gdb reads, by names that it knows")]

use std::arch::global_asm;
use std::ptr;
use std::sync::{Mutex, PoisonError};

/// An element of the list: `struct jit_code_entry`.
#[repr(C)]
struct Entry {
    next: *mut Entry,
    previous: *mut Entry,
    file: *const u8,
    size: u64,
}

/// The list: `struct jit_descriptor`.
#[repr(C)]
struct Descriptor {
    version: u32,
    /// What has just been done to `relevant`.
    action: u32,
    relevant: *mut Entry,
    first: *mut Entry,
}

/// Actions.
const REGISTER: u32 = 1;
const UNREGISTER: u32 = 2;

// Other runtimes in the process may have the same, which these are then: there is one list.
global_asm!(
    ".pushsection .data.__jit_debug_descriptor, \"aw\"",
    ".balign 8",
    ".weak __jit_debug_descriptor",
    ".type __jit_debug_descriptor, @object",
    ".size __jit_debug_descriptor, 24",
    "__jit_debug_descriptor:",
    ".long 1",
    ".long 0",
    ".quad 0",
    ".quad 0",
    ".popsection",
    ".pushsection .text.__jit_debug_register_code, \"ax\"",
    ".weak __jit_debug_register_code",
    ".type __jit_debug_register_code, @function",
    "__jit_debug_register_code:",
    "ret",
    ".size __jit_debug_register_code, 1",
    ".popsection",
);

unsafe extern "C" {
    static mut __jit_debug_descriptor: Descriptor;
    fn __jit_debug_register_code();
}

/// Held while the list is changed. Callers keep forks out.
static LIST: Mutex<()> = Mutex::new(());

/// A file that gdb knows, until this is dropped.
pub(crate) struct Registered {
    /// Owned; in the list, which may change its links.
    entry: *mut Entry,
    _file: Box<[u8]>,
}

// SAFETY: the entry is used with the list locked only, by any thread.
unsafe impl Send for Registered {}
// SAFETY: as above; nothing is done by a shared reference.
unsafe impl Sync for Registered {}

impl Registered {
    /// Makes a file known.
    pub(crate) fn new(file: Box<[u8]>) -> Registered {
        let entry = Box::into_raw(Box::new(Entry {
            next: ptr::null_mut(),
            previous: ptr::null_mut(),
            file: file.as_ptr(),
            size: file.len() as u64,
        }));
        let _list = LIST.lock().unwrap_or_else(PoisonError::into_inner);
        let descriptor = &raw mut __jit_debug_descriptor;
        // SAFETY: the list is there for good, and changed with its lock held.
        let first = unsafe { (*descriptor).first };
        // SAFETY: our own entry, which nobody else knows yet.
        unsafe { (*entry).next = first };
        // SAFETY: null, or an entry of the list, which stays while it is in there.
        if let Some(first) = unsafe { first.as_mut() } {
            first.previous = entry;
        }
        // SAFETY: as above.
        unsafe { (*descriptor).first = entry };
        // SAFETY: as above, with the entry in the list.
        unsafe { tell(REGISTER, entry) };
        Registered { entry, _file: file }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let _list = LIST.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: our own entry, which is in the list.
        let Entry { next, previous, .. } = *unsafe { &*self.entry };
        // SAFETY: null, or an entry of the list.
        if let Some(next) = unsafe { next.as_mut() } {
            next.previous = previous;
        }
        // SAFETY: null, or an entry of the list.
        match unsafe { previous.as_mut() } {
            Some(previous) => previous.next = next,
            None => {
                let descriptor = &raw mut __jit_debug_descriptor;
                // SAFETY: the list is there for good, and changed with its lock held.
                unsafe { (*descriptor).first = next };
            }
        }
        // SAFETY: as above.
        unsafe { tell(UNREGISTER, self.entry) };
        // SAFETY: a box of ours, which is in no list any more.
        drop(unsafe { Box::from_raw(self.entry) });
    }
}

/// Tells gdb what was done to an entry.
///
/// # Safety
/// - The list is locked.
unsafe fn tell(action: u32, entry: *mut Entry) {
    let descriptor = &raw mut __jit_debug_descriptor;
    // SAFETY: the list is locked (the caller's contract).
    unsafe { (*descriptor).action = action };
    // SAFETY: as above.
    unsafe { (*descriptor).relevant = entry };
    // SAFETY: does nothing.
    unsafe { __jit_debug_register_code() };
}
