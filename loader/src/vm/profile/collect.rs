//! Samples become a profile: functions and stacks are kept once each, with numbers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::data::{FrameKind, ProfileFrame, ProfileSample, ProfileStack};
use super::frames;
use super::ring::Head;
use crate::artifact::{Unit, UnitId, registry};

/// Different stacks at most, with those of callers.
const MAX_STACKS: usize = 1 << 20;

/// Functions and stacks.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) frames: Vec<ProfileFrame>,
    frame_numbers: HashMap<ProfileFrame, u32>,
    /// The frames of functions of units that there are; `None` for those that are not shown.
    functions: HashMap<(UnitId, usize), Shown>,
    pub(super) stacks: Vec<ProfileStack>,
    stack_numbers: HashMap<ProfileStack, u32>,
    /// Samples of all threads.
    samples: usize,
}

/// How a function is shown.
#[derive(Clone, Copy, Debug)]
struct Shown {
    frame: u32,
    /// Only if it is the innermost.
    is_innermost_only: bool,
}

/// The samples of a thread.
#[derive(Default)]
pub(super) struct Samples {
    pub(super) all: Vec<ProfileSample>,
    /// For each stack the last sample.
    last: HashMap<u32, usize>,
}

impl Collected {
    /// Adds a sample of a thread; whether there was room for it. More than `max_samples` are put
    /// together with others of the same stack.
    ///
    /// Units of the program counters must not be dropped meanwhile, other than `dropping`, which is
    /// being dropped.
    pub(super) fn add(
        &mut self,
        samples: &mut Samples,
        (head, pcs): (Head, &[usize]),
        max_samples: usize,
        dropping: Option<&Unit>,
    ) -> bool {
        let Some(stack) = self.stack_of(head, pcs, dropping) else {
            return false;
        };
        if self.samples >= max_samples
            && let Some(place) = samples.last.get(&stack)
            && let Some(same) = samples.all.get_mut(*place)
        {
            same.weight += head.weight;
            return true;
        }
        // At least the first of each stack.
        if self.samples >= max_samples.saturating_add(MAX_STACKS) {
            return false;
        }
        self.samples += 1;
        samples.last.insert(stack, samples.all.len());
        samples.all.push(ProfileSample {
            stack,
            time: head.time,
            weight: head.weight,
        });
        true
    }

    /// Forgets where functions of a unit are: it is dropped.
    pub(super) fn forget(&mut self, unit: UnitId) {
        self.functions.retain(|(id, _), _| *id != unit);
    }

    /// The number of a stack, given innermost first; `None` if there are too many, or nothing of it
    /// is known.
    fn stack_of(&mut self, head: Head, pcs: &[usize], dropping: Option<&Unit>) -> Option<u32> {
        let mut stack = None;
        if head.flags.is_truncated {
            let frame = self.special(FrameKind::Truncated, "[truncated]");
            stack = Some(self.push(stack, frame)?);
        }
        for (depth, pc) in pcs.iter().enumerate().rev() {
            let Some(shown) = self.function(*pc, dropping) else {
                continue;
            };
            if depth == 0 || !shown.is_innermost_only {
                stack = Some(self.push(stack, shown.frame)?);
            }
        }
        if head.flags.in_trap {
            let frame = self.special(FrameKind::Trap, "[trap]");
            stack = Some(self.push(stack, frame)?);
        }
        stack
    }

    /// The number of the stack with this frame on top of `caller`; `None` if there are too many.
    fn push(&mut self, caller: Option<u32>, frame: u32) -> Option<u32> {
        let stack = ProfileStack { frame, caller };
        match self.stack_numbers.entry(stack) {
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(_) if self.stacks.len() >= MAX_STACKS => None,
            Entry::Vacant(place) => {
                let number = self.stacks.len() as u32;
                self.stacks.push(stack);
                Some(*place.insert(number))
            }
        }
    }

    /// How the function at `pc` is shown; `None` if there is none.
    fn function(&mut self, pc: usize, dropping: Option<&Unit>) -> Option<Shown> {
        match dropping.filter(|unit| unit.text_offset(pc).is_some()) {
            Some(unit) => self.function_of(unit, pc),
            None => registry::with_unit(pc, |unit| self.function_of(unit, pc))?,
        }
    }

    fn function_of(&mut self, unit: &Unit, pc: usize) -> Option<Shown> {
        let artifact = unit.artifact();
        let index = frames::function_at(&artifact, unit.text_offset(pc)?)?;
        if let Some(shown) = self.functions.get(&(unit.id(), index)) {
            return Some(*shown);
        }
        let shown = Shown {
            frame: self.frame(frames::describe(&artifact, index)?),
            is_innermost_only: frames::is_thunk(&artifact, index),
        };
        self.functions.insert((unit.id(), index), shown);
        Some(shown)
    }

    /// The number of a frame that is no function.
    fn special(&mut self, kind: FrameKind, name: &str) -> u32 {
        self.frame(ProfileFrame {
            kind,
            name: name.to_owned(),
        })
    }

    fn frame(&mut self, frame: ProfileFrame) -> u32 {
        if let Some(number) = self.frame_numbers.get(&frame) {
            return *number;
        }
        let number = self.frames.len() as u32;
        self.frames.push(frame.clone());
        self.frame_numbers.insert(frame, number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::profile::ring::Flags;

    /// A sample of a stack that is only told by its flags.
    fn sample(time: u64, in_trap: bool) -> Head {
        let flags = Flags {
            in_trap,
            is_truncated: true,
        };
        Head {
            time,
            weight: 10,
            flags,
        }
    }

    #[test]
    fn samples_are_put_together_when_there_are_enough() {
        let (mut collected, mut samples) = (Collected::default(), Samples::default());
        for (time, in_trap) in [(1, false), (2, false), (3, false), (4, true), (5, true)] {
            assert!(collected.add(&mut samples, (sample(time, in_trap), &[]), 2, None));
        }
        let found: Vec<_> = samples
            .all
            .iter()
            .map(|sample| (sample.stack, sample.time, sample.weight))
            .collect();
        assert_eq!(found, [(0, 1, 10), (0, 2, 20), (1, 4, 20)]);
        assert_eq!(collected.stacks[1].caller, Some(0));
    }

    #[test]
    fn nothing_is_no_stack() {
        let (mut collected, mut samples) = (Collected::default(), Samples::default());
        let head = Head {
            flags: Flags::default(),
            ..sample(1, false)
        };
        assert!(!collected.add(&mut samples, (head, &[0x1234]), 2, None));
        assert!(samples.all.is_empty());
    }
}
