//! From a trap to the thunk that entered wasm.
//!
//! Every frame of compiled code begins with the caller's frame pointer and the return address:
//!
//! ```text
//! fp -> | caller's fp | return address |
//! ```
//!
//! The chain is walked from where the trap happened up to the first return address that is in the
//! table of entries of its artifact: that frame is the innermost thunk's, and its landing pad takes
//! over. Only frames of compiled code are passed, because wasm is entered through thunks alone.
//!
//! A fault is a trap only if the instruction is in the trap table and could get to the address that
//! it failed at: the thunk's frame holds the context, through which the store and its memories are
//! found. Anything else is a fault of ours or the host's, and is left to others.
#![allow(unsafe_code, reason = "reads the stack of compiled code")]

use std::cell::Cell;

use cwasm_format::code::EntryRecord;
use cwasm_format::header::SectionId;
use cwasm_format::{TrapCode, traps};

use crate::artifact::registry;
use crate::sys;
use crate::sys::PROBE_DISTANCE;
use crate::sys::frames::{Caller, read_word};
use crate::sys::registers::Resume;
use crate::sys::signals::{Answer, Cause, Fault};
#[cfg(feature = "recycle")]
use crate::vm::recycle::fence;
use crate::vm::store::StoreOpaque;

/// Frames that a backtrace shows.
const MAX_FRAMES: usize = 64;

/// The backtrace of this thread's last trap: written in signal handlers, so it has neither lazy
/// initialisation nor a destructor.
struct TrapSite {
    len: Cell<usize>,
    truncated: Cell<bool>,
    /// The context by which wasm was entered.
    #[cfg(feature = "coredump")]
    context: Cell<usize>,
    pcs: [Cell<usize>; MAX_FRAMES],
}

thread_local! {
    static SITE: TrapSite = const {
        TrapSite {
            len: Cell::new(0),
            truncated: Cell::new(false),
            #[cfg(feature = "coredump")]
            context: Cell::new(0),
            pcs: [const { Cell::new(0) }; MAX_FRAMES],
        }
    };
}

impl TrapSite {
    fn clear(&self) {
        self.len.set(0);
        self.truncated.set(false);
        #[cfg(feature = "coredump")]
        self.context.set(0);
    }

    fn push(&self, pc: usize) {
        match self.pcs.get(self.len.get()) {
            Some(place) => {
                place.set(pc);
                self.len.set(self.len.get() + 1);
            }
            None => self.truncated.set(true),
        }
    }
}

/// Gives `f` the program counters of this thread's last trap, innermost first, and whether there
/// are more; then forgets them.
pub(crate) fn take_backtrace(f: impl FnOnce(&[usize], bool)) {
    let mut pcs = [0; MAX_FRAMES];
    let (len, truncated) = SITE.with(|site| {
        for (pc, place) in pcs.iter_mut().zip(&site.pcs) {
            *pc = place.get();
        }
        let result = (site.len.get().min(MAX_FRAMES), site.truncated.get());
        site.clear();
        result
    });
    f(&pcs[..len], truncated);
}

/// The address of the context, or host function, by which wasm was entered that this thread's last
/// trap ended; 0 if there was none, or its backtrace has been taken.
#[cfg(feature = "coredump")]
pub(crate) fn entry_context() -> usize {
    SITE.with(|site| site.context.get())
}

/// Decides about a fault: whether it is a write to memory that is fenced, or a trap of compiled
/// code. Runs in a signal handler.
pub(crate) fn on_fault(fault: &Fault) -> Option<Answer> {
    match fault.cause {
        #[cfg(feature = "recycle")]
        Cause::Access(address) if fence::open_at(address) => Some(Answer::Again),
        _ => on_trap(fault),
    }
}

/// If a fault is a trap of compiled code: where to continue. Or it is the end of a time slice.
fn on_trap(fault: &Fault) -> Option<Answer> {
    let registers = &fault.registers;
    let (code, starts_function) = registry::with_unit(registers.pc, |unit| {
        let artifact = unit.artifact();
        let offset = unit.text_offset(registers.pc)?;
        let (blocks, bytes) = (
            artifact.trap_blocks(),
            artifact.section(SectionId::TrapBytes),
        );
        let code = trap_of(fault, traps::lookup(blocks, bytes, offset))?;
        let functions = artifact.functions();
        let starts = functions
            .binary_search_by_key(&offset, |function| function.start)
            .is_ok();
        Some((code, starts))
    })??;
    // At a function's first instruction, its frame is not there yet.
    let first = if starts_function {
        // SAFETY: the call that led here has just been made.
        unsafe { Caller::at_start(registers) }?
    } else {
        // SAFETY: in compiled code, the frame pointer is that of the running function.
        unsafe { Caller::of_frame(registers.fp) }?
    };
    SITE.with(TrapSite::clear);
    SITE.with(|site| site.push(registers.pc));
    // SAFETY: the frame of running compiled code.
    let entry = unsafe { find_entry(first, code) }?;
    #[cfg(feature = "async")]
    if let (TrapCode::Interrupt, Cause::Access(address)) = (code, fault.cause) {
        // SAFETY: the store of the code that runs on this thread.
        let store = unsafe { entry.store() }?;
        if store.may_fault_at(code, address) && store.is_slice_over() {
            return Some(Answer::Detour(store.detour()));
        }
    }
    let is_ours = match (fault.cause, code) {
        // The thread's own stack, as `trap_of` has seen.
        (_, TrapCode::StackOverflow) => true,
        // SAFETY: the store of the code that runs on this thread.
        (Cause::Access(address), _) => unsafe { entry.store() }?.may_fault_at(code, address),
        _ => true,
    };
    is_ours.then_some(Answer::Resume(entry.resume))
}

/// The trap that a fault is, if it is one, at an instruction of which the trap table says `listed`.
/// It may also depend on the store whether the address is one that the guest may reach.
fn trap_of(fault: &Fault, listed: Option<TrapCode>) -> Option<TrapCode> {
    match (fault.cause, listed) {
        (Cause::Access(address), None | Some(TrapCode::StackOverflow)) => {
            is_stack_overflow(address, fault.registers.sp).then_some(TrapCode::StackOverflow)
        }
        (Cause::Access(_), Some(TrapCode::MemoryOutOfBounds | TrapCode::Interrupt))
        | (Cause::Division, Some(TrapCode::IntegerDivisionByZero | TrapCode::IntegerOverflow))
        | (Cause::Instruction, _) => listed,
        (Cause::Access(_) | Cause::Division, _) => None,
    }
}

/// Leaves wasm with a trap: where the innermost thunk above the frame at `frame` continues.
///
/// # Safety
/// - `frame` is the frame pointer of compiled code that is active on this thread.
pub(crate) unsafe fn on_raise(code: TrapCode, frame: usize) -> Option<Resume> {
    SITE.with(TrapSite::clear);
    // SAFETY: the caller's contract.
    let first = unsafe { Caller::of_frame(frame) }?;
    // SAFETY: as above.
    unsafe { find_entry(first, code) }.map(|entry| entry.resume)
}

/// Whether `address` is beyond the end of this thread's stack, and near its stack pointer.
fn is_stack_overflow(address: usize, sp: usize) -> bool {
    sys::thread::overflow_range(PROBE_DISTANCE).contains(&address)
        && address.abs_diff(sp) <= PROBE_DISTANCE
}

/// How wasm was entered.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where the thunk continues after a trap.
    resume: Resume,
    /// Address of the word in the thunk's frame that is its first argument.
    context: usize,
}

impl Entry {
    /// The store whose code was entered.
    ///
    /// # Safety
    /// - For `'a`, the thunk's frame is active on this thread, and nothing but its wasm runs.
    unsafe fn store<'a>(&self) -> Option<&'a StoreOpaque> {
        // SAFETY: a word of an active frame (the caller's contract).
        let context = unsafe { read_word(self.context) }?;
        // SAFETY: thunks are called with a context or host function of a store that lives meanwhile
        // (the contract of `Ready::call`); nothing but wasm uses it.
        unsafe { StoreOpaque::of_context(context) }
    }
}

/// Walks to the innermost thunk and notes the frames on the way.
///
/// # Safety
/// - `caller` is that of compiled code that is active on this thread.
unsafe fn find_entry(mut caller: Caller, code: TrapCode) -> Option<Entry> {
    loop {
        // The instruction before the return address is the call.
        let pc = caller.return_address.checked_sub(1)?;
        let entry = registry::with_unit(pc, |unit| {
            let offset = unit.text_offset(pc)? + 1;
            let artifact = unit.artifact();
            if offset < artifact.header().thunks_start {
                return Some(None);
            }
            let entries = artifact.entries();
            let place = entries.binary_search_by_key(&offset, |entry| entry.return_offset);
            let Some(entry) = place.ok().and_then(|place| entries.get(place)) else {
                return Some(None);
            };
            enter_at(entry, unit.text().range(), caller.fp, code).map(Some)
        })??;
        if let Some(entry) = entry {
            #[cfg(feature = "coredump")]
            SITE.with(|site| {
                // SAFETY: a word of the thunk's frame, which is active (the caller's contract).
                let context = unsafe { read_word(entry.context) };
                site.context.set(context.unwrap_or(0));
            });
            return Some(entry);
        }
        SITE.with(|site| site.push(pc));
        // SAFETY: the return address is in compiled code, so the frame is one of compiled code.
        caller = unsafe { Caller::of_frame(caller.fp) }?;
    }
}

/// The entry by a thunk whose frame pointer is `fp`.
fn enter_at(
    entry: &EntryRecord,
    text: std::ops::Range<usize>,
    fp: usize,
    code: TrapCode,
) -> Option<Entry> {
    let pc = text.start + entry.handler_offset as usize;
    let sp = fp.checked_sub(entry.frame_size as usize)?;
    let context = sp.checked_add(entry.context_offset as usize)?;
    let value = code.number().into();
    (text.contains(&pc) && context < fp).then_some(Entry {
        resume: Resume { pc, sp, fp, value },
        context,
    })
}
