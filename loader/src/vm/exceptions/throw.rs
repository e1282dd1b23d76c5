//! From a throw to its handler.
//!
//! The frames of compiled code are walked as for a trap ([`unwind`]), up to a call that has a
//! handler for the exception. Frames in between are forgotten: they are of core functions of the
//! same component instance, or of core modules, and have nothing to undo.
#![allow(unsafe_code, reason = "leaves frames of compiled code")]

use std::ptr::NonNull;

use cwasm_format::TrapCode;
use cwasm_format::exceptions::{CatchList, catch};
use cwasm_format::exports::IMPORTED;
use cwasm_format::header::NONE;
use cwasm_format::vmctx::VmContext;

use super::{Origin, Tag};
use crate::artifact::{Unit, registry};
use crate::sys;
use crate::sys::frames::{Caller, read_word};
use crate::sys::registers::Resume;
use crate::vm::instance::InstanceData;
use crate::vm::store::StoreOpaque;
use crate::vm::unwind;

/// Throws an exception of a tag of the unit.
///
/// # Safety
/// - `context` is that of the instance whose code throws, of a store that nothing else uses; `tag`
///   is one of its unit, `values` are `count` values.
/// - `frame` is the frame pointer of compiled code that is active on this thread.
pub(crate) unsafe extern "C" fn throw(
    context: NonNull<VmContext>,
    tag: u32,
    values: NonNull<u128>,
    count: usize,
    frame: usize,
) -> ! {
    // SAFETY: as the caller says.
    let identity = unsafe { identity(context, tag) };
    // SAFETY: as the caller says.
    let caller = unsafe { Caller::of_frame(frame) };
    let origin = Origin {
        context: context.addr().get(),
        tag,
        pc: caller.map_or(0, |caller| caller.return_address - 1),
    };
    let tag = Tag {
        identity,
        origin: Some(origin),
    };
    // SAFETY: as the caller says.
    let values = unsafe { std::slice::from_raw_parts(values.as_ptr(), count) };
    // SAFETY: as the caller says.
    let store = unsafe { StoreOpaque::of_running(context) };
    store.exceptions().set_thrown(tag, values);
    // SAFETY: as the caller says.
    unsafe { deliver(store, frame) }
}

/// Throws the exception of a reference.
///
/// # Safety
/// - As for [`throw`]; `reference` is one that the store has given to its code.
pub(crate) unsafe extern "C" fn throw_ref(
    context: NonNull<VmContext>,
    reference: u64,
    frame: usize,
) -> ! {
    // SAFETY: as the caller says.
    let store = unsafe { StoreOpaque::of_running(context) };
    let code = match store.exceptions().set_thrown_again(reference) {
        // SAFETY: as the caller says.
        Some(()) => unsafe { deliver(store, frame) },
        // The code has it from nowhere: the artifact is broken.
        None => TrapCode::NullReference,
    };
    // SAFETY: as the caller says.
    unsafe { raise(code, frame) }
}

/// Continues in the handler of the exception that is thrown, or leaves wasm if it has none.
///
/// # Safety
/// - `frame` is the frame pointer of compiled code that is active on this thread, of the store,
///   which nothing else uses.
pub(crate) unsafe fn deliver(store: &mut StoreOpaque, frame: usize) -> ! {
    let Some(tag) = store.exceptions().tag() else {
        unreachable!("an exception is thrown")
    };
    // SAFETY: the caller's contract.
    let found = unsafe { Caller::of_frame(frame) }.and_then(|first| {
        // SAFETY: as above.
        unsafe { find(first, tag) }
    });
    let code = match found {
        None => TrapCode::UncaughtException,
        Some(handler) => match prepare(store, &handler) {
            Ok(resume) => {
                // SAFETY: a handler in a frame that is active on this thread; those below have
                // nothing to drop, nor has this one.
                unsafe { sys::registers::resume(&resume) }
            }
            Err(code) => code,
        },
    };
    // SAFETY: the caller's contract.
    unsafe { raise(code, frame) }
}

/// Gives a handler what it has caught.
fn prepare(store: &mut StoreOpaque, handler: &Handler) -> Result<Resume, TrapCode> {
    if handler.has_reference {
        if store.exceptions().should_collect() {
            store.collect_exceptions();
        }
        let max = store.limits().get_exception_size();
        if store.exceptions().keep(max).is_err() {
            store.collect_exceptions();
            store.exceptions().check_room(max)?;
            store.exceptions().keep(max)?;
        }
    }
    Ok(Resume {
        value: store.exceptions().address(),
        ..handler.resume
    })
}

/// Leaves wasm with a trap.
///
/// # Safety
/// - `frame` is the frame pointer of compiled code that is active on this thread.
unsafe fn raise(code: TrapCode, frame: usize) -> ! {
    // SAFETY: the caller's contract.
    match unsafe { unwind::on_raise(code, frame) } {
        // SAFETY: a landing pad of the innermost thunk; this frame has nothing to drop.
        Some(resume) => unsafe { sys::registers::resume(&resume) },
        // Wasm cannot run on, and there is nowhere to go back to: the artifact is broken.
        None => std::process::abort(),
    }
}

/// What handlers compare of a tag.
///
/// # Safety
/// - `context` is that of a live instance, and `tag` a tag of its unit.
unsafe fn identity(context: NonNull<VmContext>, tag: u32) -> u64 {
    // SAFETY: live (the caller's contract).
    let unit = unsafe { InstanceData::of(context) }.unit();
    let slot = unit.artifact().tags().get(tag as usize);
    match slot.map_or(NONE, |record| record.slot) {
        NONE => tag.into(),
        // SAFETY: the plan has checked the slots of tags.
        slot => unsafe { address_in(context.addr().get(), slot) }.unwrap_or(0) as u64,
    }
}

/// The address of the tag whose slot is in a context.
///
/// # Safety
/// - The context, at this address, has such a slot.
unsafe fn address_in(context: usize, slot: u32) -> Option<usize> {
    match slot & IMPORTED {
        0 => context.checked_add(slot as usize),
        // SAFETY: a word of the context (the caller's contract).
        _ => unsafe { read_word(context.checked_add((slot & !IMPORTED) as usize)?) },
    }
}

/// A handler that was found.
struct Handler {
    resume: Resume,
    /// Whether it gets a reference to the exception.
    has_reference: bool,
}

/// What a frame does with an exception.
enum Step {
    Handler(Handler),
    /// It passes on.
    Up,
    /// It does not go further than this frame.
    End,
}

/// The handler of an exception; `None` if nothing catches it.
///
/// # Safety
/// - `caller` is that of compiled code that is active on this thread.
unsafe fn find(mut caller: Caller, tag: Tag) -> Option<Handler> {
    loop {
        // The instruction before the return address is the call.
        let pc = caller.return_address.checked_sub(1)?;
        // SAFETY: a frame of compiled code (the caller's contract).
        let step = registry::with_unit(pc, |unit| unsafe { step(unit, pc, caller, tag) })??;
        match step {
            Step::Handler(handler) => return Some(handler),
            Step::End => return None,
            // SAFETY: the return address is in compiled code, so the frame is one of compiled code.
            Step::Up => caller = unsafe { Caller::of_frame(caller.fp) }?,
        }
    }
}

/// What the frame does that has called with the last instruction at `pc`; `None` if the tables are
/// broken.
///
/// # Safety
/// - `caller` is this frame, of compiled code of `unit` that is active on this thread.
unsafe fn step(unit: &Unit, pc: usize, caller: Caller, tag: Tag) -> Option<Step> {
    let offset = unit.text_offset(pc)? + 1;
    let artifact = unit.artifact();
    let sites = artifact.catch_sites();
    let Ok(place) = sites.binary_search_by_key(&offset, |site| site.return_offset) else {
        let is_entry = offset >= artifact.header().thunks_start && {
            let entries = artifact.entries();
            let place = entries.binary_search_by_key(&offset, |entry| entry.return_offset);
            place.is_ok()
        };
        return Some(if is_entry { Step::End } else { Step::Up });
    };
    let list = artifact.catch_lists().get(sites[place].list as usize)?;
    let sp = caller.fp.checked_sub(list.frame_size as usize)?;
    // SAFETY: the caller's contract.
    let context = unsafe { context_of(list, sp) }?;
    let first = list.first as usize;
    let catches = artifact.catches().get(first..first + list.count as usize)?;
    for record in catches {
        if record.catches & catch::BOUNDARY != 0 {
            return Some(Step::End);
        }
        let is_match = record.catches & catch::ANY != 0 || {
            let number = record.catches & catch::TAG;
            let caught = match context {
                None => u64::from(number),
                Some(context) => {
                    let slot = artifact.tags().get(number as usize)?.slot;
                    // SAFETY: the context of the frame's function.
                    unsafe { address_in(context, slot) }? as u64
                }
            };
            caught == tag.identity
        };
        if is_match {
            let pc = unit.text().range().start + record.handler as usize;
            let resume = Resume {
                pc: unit.text().range().contains(&pc).then_some(pc)?,
                sp,
                fp: caller.fp,
                value: 0,
            };
            return Some(Step::Handler(Handler {
                resume,
                has_reference: record.catches & catch::REFERENCE != 0,
            }));
        }
    }
    Some(Step::Up)
}

/// The context of a frame of an open unit; `Some(None)` in a closed one, `None` if it is not there.
///
/// # Safety
/// - `sp` is the stack pointer of a frame that is active on this thread, at a call that has `list`.
unsafe fn context_of(list: &CatchList, sp: usize) -> Option<Option<usize>> {
    match list.context_offset {
        NONE => Some(None),
        // SAFETY: a word of the frame (the caller's contract).
        offset => unsafe { read_word(sp.checked_add(offset as usize)?) }.map(Some),
    }
}
