//! Frames of the host's code, which may have no frame pointers: its tables for unwinding say where
//! functions return to.
//!
//! Nothing allocates or waits while frames are walked, so that it can be done in a signal handler.
//! Modules that are loaded later are not known.

use std::ops::Range;

use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};
use framehop::{
    ExplicitModuleSectionInfo, FrameAddress, Module, MustNotAllocateDuringUnwind, Unwinder,
};

use super::frames::Caller;
use crate::sys::modules;

/// The tables of all modules.
pub(crate) struct HostFrames {
    unwinder: UnwinderX86_64<Box<[u8]>, MustNotAllocateDuringUnwind>,
    /// The modules' code, sorted.
    code: Vec<Range<usize>>,
}

/// What one thread has found out about frames, for the next time.
pub(crate) struct HostCache(CacheX86_64<MustNotAllocateDuringUnwind>);

impl HostCache {
    pub(crate) fn new() -> HostCache {
        HostCache(CacheX86_64::new_in())
    }
}

/// A place in the host's code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostPlace {
    /// The next instruction.
    pub(crate) pc: usize,
    /// Whether it is the one after a call.
    pub(crate) is_return: bool,
    /// The stack pointer.
    pub(crate) sp: usize,
    /// The register that is the frame pointer where code has one.
    pub(crate) fp: usize,
}

/// Why there is no caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The thread begins here.
    Start,
    /// It is not known.
    Unknown,
}

impl HostFrames {
    /// Reads the tables of the modules that are loaded.
    pub(crate) fn new() -> HostFrames {
        let mut unwinder = UnwinderX86_64::new();
        let mut code = Vec::new();
        for module in modules::loaded() {
            code.push(module.code.clone());
            let base = module.base as u64;
            let avma = module.code.start as u64..module.code.end as u64;
            // Addresses as they are, and not as files say.
            let section = |(address, bytes): &(usize, Box<[u8]>)| {
                let start = *address as u64;
                Some(start..start + bytes.len() as u64)
            };
            let info = ExplicitModuleSectionInfo {
                base_svma: base,
                text_svma: Some(avma.clone()),
                eh_frame_svma: section(&module.frames),
                eh_frame_hdr_svma: section(&module.index),
                eh_frame: Some(module.frames.1),
                eh_frame_hdr: Some(module.index.1),
                ..ExplicitModuleSectionInfo::default()
            };
            unwinder.add_module(Module::new(String::new(), avma, base, info));
        }
        code.sort_unstable_by_key(|range| range.start);
        HostFrames { unwinder, code }
    }

    /// The caller of the function that is at `place`, and the stack pointer there. `word` reads the
    /// stack. Safe in signal handlers if `word` is.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn caller(
        &self,
        place: HostPlace,
        cache: &mut HostCache,
        word: impl Fn(usize) -> Option<usize>,
    ) -> Result<(Caller, usize), Stopped> {
        if !self.is_known(place.pc - usize::from(place.is_return && place.pc != 0)) {
            return Err(Stopped::Unknown);
        }
        let address = match place.is_return {
            true => FrameAddress::from_return_address(place.pc as u64).ok_or(Stopped::Unknown)?,
            false => FrameAddress::InstructionPointer(place.pc as u64),
        };
        let (sp, fp) = (place.sp as u64, place.fp as u64);
        let mut registers = UnwindRegsX86_64::new(place.pc as u64, sp, fp);
        let mut read = |address: u64| {
            let word = word(usize::try_from(address).map_err(|_| ())?);
            word.map(|word| word as u64).ok_or(())
        };
        let found = self
            .unwinder
            .unwind_frame(address, &mut registers, &mut cache.0, &mut read);
        match found {
            Ok(Some(return_address)) => {
                let caller = Caller {
                    return_address: return_address as usize,
                    fp: registers.bp() as usize,
                };
                Ok((caller, registers.sp() as usize))
            }
            Ok(None) => Err(Stopped::Start),
            Err(_) => Err(Stopped::Unknown),
        }
    }

    /// Whether an address is in a module's code: for others there would be guesses.
    fn is_known(&self, pc: usize) -> bool {
        let after = self.code.partition_point(|range| range.start <= pc);
        let range = after.checked_sub(1).and_then(|at| self.code.get(at));
        range.is_some_and(|range| range.contains(&pc))
    }
}
