//! A guest: a memory, and a `realloc` that does what its script says.
//!
//! `hostile::wat` has the same `realloc` in WebAssembly; both must give the same answers.

use cwasm::TrapCode;

use super::{Handles, Width};

/// Bytes of a page of memory.
pub const PAGE: usize = 65536;

/// How many bytes [`Action::Scribble`] overwrites.
const SCRIBBLE: usize = 24;

/// The behaviour of a call of `realloc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// Behaves: the next free place, to which it copies what was there.
    Bump = 0,
    /// Returns the step's value, and copies nothing.
    Return,
    /// Makes the memory one page longer and goes on there.
    Grow,
    /// Overwrites bytes at the step's value, and behaves.
    Scribble,
    /// Executes `unreachable`.
    Trap,
    /// Does not return: calls itself until the stack is exhausted. A loop joins it once the loader
    /// can interrupt guests.
    Recurse,
    /// Returns the old place; behaves if there is none.
    InPlace,
    /// Behaves, but copies nothing.
    NoCopy,
    /// Behaves, but returns a place that is off by the step's value.
    Off,
    /// Returns the place that ends where the memory ends, plus the step's value.
    AtEnd,
    /// Calls an import.
    Leave,
}

/// One step of the script of `realloc`: the behaviour of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub action: Action,
    /// Where, for some; a pointer has the low bits.
    pub value: u64,
}

/// Things that a guest's function does besides what is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Behaviour {
    /// Nothing.
    Return = 0,
    /// Executes `unreachable`.
    Trap,
    /// Calls an import.
    Leave,
}

/// The knowledge about a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is what it must be.
    Exact,
    /// The specification leaves it open: padding, or given away twice.
    Loose,
    /// A part of some NaN.
    Nan,
}

/// Nobody's byte.
const NOBODY: u32 = 0;
/// A byte that was given away twice.
const SEVERAL: u32 = u32::MAX;

/// A guest: see the module.
#[derive(Clone, Debug)]
pub struct Guest {
    /// The memory's content.
    pub bytes: Vec<u8>,
    /// The knowledge about each byte.
    pub states: Vec<State>,
    /// Where NaNs were written, and of how many bytes.
    pub nans: Vec<(usize, usize)>,
    /// The value that each byte belongs to.
    owners: Vec<u32>,
    next_owner: u32,
    max_pages: usize,
    /// How wide its pointers are.
    pub width: Width,
    /// Where [`Action::Bump`] goes on.
    pub next: u64,
    /// The behaviour of the calls of `realloc`, in order; later calls behave correctly.
    pub script: Vec<Step>,
    /// The arguments of each call of `realloc`: old pointer, old size, alignment, new size.
    pub calls: Vec<[u64; 4]>,
    /// Its handles.
    pub handles: Handles,
    /// Whether lifting has read what is not known exactly.
    pub unsure: bool,
}

/// A piece of memory that `realloc` gave, or a caller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buffer {
    pub(super) pointer: usize,
    pub(super) size: usize,
    owner: u32,
}

impl Guest {
    /// A guest whose memory holds `bytes`, a multiple of [`PAGE`].
    pub fn new(
        bytes: Vec<u8>,
        (max_pages, width): (usize, Width),
        next: u64,
        script: Vec<Step>,
    ) -> Guest {
        Guest {
            states: vec![State::Exact; bytes.len()],
            owners: vec![NOBODY; bytes.len()],
            bytes,
            nans: Vec::new(),
            next_owner: NOBODY,
            max_pages,
            width,
            next,
            script,
            calls: Vec::new(),
            handles: Handles::default(),
            unsure: false,
        }
    }

    /// Whether a range is inside.
    pub(super) fn has(&self, at: usize, len: usize) -> bool {
        at.checked_add(len)
            .is_some_and(|end| end <= self.bytes.len())
    }

    /// Reads bytes, which are inside.
    pub(super) fn read(&mut self, at: usize, len: usize) -> &[u8] {
        let range = at..at + len;
        let known = |state: &State| *state == State::Exact;
        self.unsure |= !self.states[range.clone()].iter().all(known);
        &self.bytes[range]
    }

    /// Writes bytes of a value that owns them.
    pub(super) fn write(&mut self, at: usize, bytes: &[u8], state: State) {
        if state == State::Nan {
            self.nans.push((at, bytes.len()));
        }
        for (at, byte) in (at..).zip(bytes) {
            self.bytes[at] = *byte;
            self.states[at] = match self.owners[at] {
                SEVERAL => State::Loose,
                _ => state,
            };
        }
    }

    /// Memory for a value, which may write its padding or not.
    pub(super) fn claim(&mut self, pointer: usize, size: usize) {
        self.next_owner += 1;
        self.own(pointer, size, self.next_owner);
        self.states[pointer..pointer + size].fill(State::Loose);
    }

    fn own(&mut self, pointer: usize, size: usize, owner: u32) {
        for at in pointer..pointer + size {
            if self.owners[at] == NOBODY || self.owners[at] == owner {
                self.owners[at] = owner;
            } else {
                self.owners[at] = SEVERAL;
                self.states[at] = State::Loose;
            }
        }
    }

    /// Memory for a string: `realloc` with its checks.
    pub(super) fn string_buffer(
        &mut self,
        old: Option<Buffer>,
        align: usize,
        size: usize,
    ) -> Result<Buffer, TrapCode> {
        let owner = match old {
            Some(old) => old.owner,
            None => {
                self.next_owner += 1;
                self.next_owner
            }
        };
        let (from, len) = old.map_or((0, 0), |old| (old.pointer, old.size));
        let pointer = self.realloc([from, len, align, size], owner)?;
        if !pointer.is_multiple_of(align) {
            return Err(TrapCode::UnalignedPointer);
        }
        if !self.has(pointer, size) {
            return Err(TrapCode::StringOutOfBounds);
        }
        self.own(pointer, size, owner);
        let kept = if pointer == from { size.min(len) } else { 0 };
        // What was written to the memory that is given back is not said.
        for at in from + kept..from + len {
            self.states[at] = State::Loose;
            if self.owners[at] == owner && !(pointer..pointer + size).contains(&at) {
                self.owners[at] = NOBODY;
            }
        }
        Ok(Buffer {
            pointer,
            size,
            owner,
        })
    }

    /// Memory for a list, record or tuple: `realloc` with its checks.
    pub(super) fn allocate(
        &mut self,
        align: usize,
        size: usize,
        out_of_bounds: TrapCode,
    ) -> Result<usize, TrapCode> {
        let pointer = self.realloc([0, 0, align, size], NOBODY)?;
        self.place(pointer, align, size, out_of_bounds)
    }

    /// Checks memory for a value, and claims it.
    pub(super) fn place(
        &mut self,
        pointer: usize,
        align: usize,
        size: usize,
        out_of_bounds: TrapCode,
    ) -> Result<usize, TrapCode> {
        if !pointer.is_multiple_of(align) {
            return Err(TrapCode::UnalignedPointer);
        }
        if !self.has(pointer, size) {
            return Err(out_of_bounds);
        }
        self.claim(pointer, size);
        Ok(pointer)
    }

    /// Calls `realloc` on behalf of `owner`.
    fn realloc(&mut self, args: [usize; 4], owner: u32) -> Result<usize, TrapCode> {
        let args = args.map(|arg| arg as u64);
        let behave = Step {
            action: Action::Bump,
            value: 0,
        };
        let step = self.script.get(self.calls.len()).copied();
        let Step { action, value } = step.unwrap_or(behave);
        self.calls.push(args);
        let [old, old_size, align, size] = args;
        let pointer = match action {
            Action::Trap => return Err(TrapCode::Unreachable),
            Action::Recurse => return Err(TrapCode::StackOverflow),
            Action::Leave => return Err(TrapCode::CannotLeave),
            Action::Return => value,
            Action::AtEnd => (self.bytes.len() as u64)
                .wrapping_sub(size)
                .wrapping_add(value),
            Action::InPlace if old_size != 0 => old,
            Action::NoCopy => self.bump(align, size),
            Action::Bump | Action::Grow | Action::Scribble | Action::InPlace | Action::Off => {
                match action {
                    Action::Grow => self.grow(),
                    Action::Scribble => self.scribble((value & self.width.mask()) as usize),
                    _ => {}
                }
                let mut pointer = self.bump(align, size);
                if action == Action::Off {
                    pointer = pointer.wrapping_add(value);
                }
                pointer &= self.width.mask();
                self.copy(
                    pointer as usize,
                    old as usize,
                    old_size.min(size) as usize,
                    owner,
                )?;
                pointer
            }
        };
        Ok((pointer & self.width.mask()) as usize)
    }

    fn bump(&mut self, align: u64, size: u64) -> u64 {
        let pointer = self.next.wrapping_add(align - 1) & align.wrapping_neg();
        self.next = pointer.wrapping_add(size);
        pointer
    }

    fn grow(&mut self) {
        let end = self.bytes.len();
        if end / PAGE < self.max_pages {
            self.next = end as u64;
            self.bytes.resize(end + PAGE, 0);
            self.states.resize(end + PAGE, State::Exact);
            self.owners.resize(end + PAGE, NOBODY);
        }
    }

    fn scribble(&mut self, at: usize) {
        if !self.has(at, SCRIBBLE) {
            return;
        }
        self.bytes[at..at + SCRIBBLE].fill(0x5a);
        for at in at..at + SCRIBBLE {
            if self.owners[at] == NOBODY {
                self.states[at] = State::Exact;
            } else {
                // What lies there may be written before or after.
                self.owners[at] = SEVERAL;
                self.states[at] = State::Loose;
            }
        }
    }

    /// `memory.copy`
    fn copy(&mut self, to: usize, from: usize, len: usize, owner: u32) -> Result<(), TrapCode> {
        if !self.has(to, len) || !self.has(from, len) {
            return Err(TrapCode::MemoryOutOfBounds);
        }
        self.bytes.copy_within(from..from + len, to);
        self.states.copy_within(from..from + len, to);
        for at in to..to + len {
            if self.owners[at] != NOBODY && self.owners[at] != owner {
                self.owners[at] = SEVERAL;
                self.states[at] = State::Loose;
            }
        }
        Ok(())
    }
}
