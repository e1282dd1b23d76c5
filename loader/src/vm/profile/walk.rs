//! The stack of interrupted code, in a signal handler.
//!
//! ```text
//! host       tables for unwinding say where functions return to
//! guest      frame pointers do
//! host       ...
//! ```
//!
//! Nothing but this thread's stack in use is read, whatever registers and tables say. So a walk can
//! be wrong, at worst, where the host's code has wrong tables, or an instruction of a prologue is
//! not told from others.

use cwasm_format::header::SectionId;

use super::ring::{Flags, MAX_FRAMES};
use crate::artifact::registry;
use crate::sys::frames::Caller;
use crate::sys::host_frames::{HostCache, HostFrames, HostPlace, Stopped};
use crate::sys::interrupted;
use crate::sys::registers::Registers;
use crate::sys::signals;
use crate::sys::thread::StackInUse;

/// Frames of the host that are passed at most, in all.
const MAX_HOST_FRAMES: usize = 512;

/// The program counters of frames of guests, innermost first.
pub(super) struct Frames {
    pcs: Box<[usize; MAX_FRAMES]>,
    len: usize,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walked {
    /// Frames of guests.
    Guest(Flags),
    /// None: the host runs alone.
    Outside,
    /// None before the walk was stopped.
    Unknown,
}

impl Frames {
    pub(super) fn new() -> Frames {
        Frames {
            pcs: Box::new([0; MAX_FRAMES]),
            len: 0,
        }
    }

    pub(super) fn pcs(&self) -> &[usize] {
        &self.pcs[..self.len]
    }

    /// Adds a frame; whether there was room.
    fn push(&mut self, pc: usize) -> bool {
        let place = self.pcs.get_mut(self.len);
        let has_room = place.is_some();
        if let Some(place) = place {
            *place = pc;
            self.len += 1;
        }
        has_room
    }
}

/// Walks the stack of the code that was interrupted with these registers. Safe in signal handlers.
pub(super) fn walk(
    interrupted: &Registers,
    hosts: &HostFrames,
    cache: &mut HostCache,
    frames: &mut Frames,
) -> Walked {
    frames.len = 0;
    let mut flags = Flags::default();
    let (registers, stack) = match StackInUse::above(interrupted.sp) {
        Some(stack) => (*interrupted, stack),
        // Perhaps it is the handler of a trap, on its own stack.
        None => {
            let fault = signals::noted_fault();
            let found = fault.and_then(|fault| Some((fault, StackInUse::above(fault.sp)?)));
            let Some(found) = found else {
                return Walked::Unknown;
            };
            flags.in_trap = true;
            found
        }
    };
    let stopped = walk_on(&registers, &stack, (hosts, cache), frames);
    flags.is_truncated = stopped.is_none();
    match stopped {
        _ if frames.len != 0 => Walked::Guest(flags),
        Some(Stopped::Start) => Walked::Outside,
        Some(Stopped::Unknown) | None => Walked::Unknown,
    }
}

/// Collects frames of guests until the walk stops, or (`None`) there are too many frames.
fn walk_on(
    registers: &Registers,
    stack: &StackInUse,
    (hosts, cache): (&HostFrames, &mut HostCache),
    frames: &mut Frames,
) -> Option<Stopped> {
    let word = |address| stack.word(address);
    let mut place = HostPlace {
        pc: registers.pc,
        is_return: false,
        sp: registers.sp,
        fp: registers.fp,
    };
    let mut hosts_left = MAX_HOST_FRAMES;
    loop {
        // The instruction before a return address is the call.
        let pc = place.pc.wrapping_sub(usize::from(place.is_return));
        let found = if registry::is_code(pc) {
            if !frames.push(pc) {
                return None;
            }
            match place.is_return {
                true => caller_of_guest(place.fp, word),
                false => caller_of_interrupted(registers, word),
            }
        } else {
            hosts_left = hosts_left.checked_sub(1)?;
            match hosts.caller(place, cache, word) {
                Ok(found) => Some(found),
                Err(stopped) => return Some(stopped),
            }
        };
        let Some((caller, sp)) = found.filter(|(_, sp)| *sp > place.sp) else {
            return Some(Stopped::Unknown);
        };
        place = HostPlace {
            pc: caller.return_address,
            is_return: true,
            sp,
            fp: caller.fp,
        };
    }
}

/// The caller of the guest's function whose frame is at `fp`, and its stack pointer.
fn caller_of_guest(fp: usize, word: impl Fn(usize) -> Option<usize>) -> Option<(Caller, usize)> {
    let return_at = fp.checked_add(size_of::<usize>())?;
    let caller = Caller {
        return_address: word(return_at)?,
        fp: word(fp)?,
    };
    Some((caller, return_at.checked_add(size_of::<usize>())?))
}

/// As [`caller_of_guest`], for code that was interrupted, perhaps before it has a frame.
fn caller_of_interrupted(
    registers: &Registers,
    word: impl Fn(usize) -> Option<usize>,
) -> Option<(Caller, usize)> {
    registry::with_unit(registers.pc, |unit| {
        let text = unit.artifact().section(SectionId::Text);
        let offset = unit.text_offset(registers.pc)? as usize;
        interrupted::caller(registers, (text, offset), word)
    })?
}
