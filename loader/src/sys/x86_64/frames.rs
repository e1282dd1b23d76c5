//! Frames of compiled code: where functions return to.
//!
//! ```text
//! fp -> | caller's fp | return address |
//! ```
#![allow(unsafe_code, reason = "reads the stack of compiled code")]

use super::registers::Registers;

/// Where a function returns to.
#[derive(Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) return_address: usize,
    /// The frame pointer of the function that is returned to.
    pub(crate) fp: usize,
}

impl Caller {
    /// The caller of the function whose first instruction is about to run: the return address is on
    /// top of the stack, and the frame pointer is the caller's.
    ///
    /// # Safety
    /// - The function was called, on this thread.
    pub(crate) unsafe fn at_start(registers: &Registers) -> Option<Caller> {
        // SAFETY: the call has just written it (the caller's contract).
        let return_address = unsafe { read_word(registers.sp) }?;
        Some(Caller {
            return_address,
            fp: registers.fp,
        })
    }

    /// The caller of the function whose frame is at `fp`.
    ///
    /// # Safety
    /// - `fp` is the frame pointer of compiled code that is active on this thread.
    pub(crate) unsafe fn of_frame(fp: usize) -> Option<Caller> {
        // SAFETY: a frame of compiled code has these two words (the caller's contract).
        let caller_fp = unsafe { read_word(fp) }?;
        // SAFETY: as above.
        let return_address = unsafe { read_word(fp + size_of::<usize>()) }?;
        // Callers lie above on the stack: a chain that does not rise is none.
        (caller_fp > fp).then_some(Caller {
            return_address,
            fp: caller_fp,
        })
    }
}

/// The word at this address; `None` where no word of a frame can be.
///
/// # Safety
/// - Addresses that are aligned are in the active part of this thread's stack.
pub(crate) unsafe fn read_word(address: usize) -> Option<usize> {
    let word = std::ptr::with_exposed_provenance::<usize>(address);
    if !word.is_aligned() || word.is_null() {
        return None;
    }
    // SAFETY: aligned, and a part of the stack (the caller's contract).
    Some(unsafe { word.read_volatile() })
}
