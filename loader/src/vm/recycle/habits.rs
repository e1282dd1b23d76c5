//! What the instances of a slot write to, and what follows for the next ones.

use std::ops::Range;

use crate::sys::PAGE_SIZE;

/// What the instances that had a slot have written to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// Bytes that the first instance had written to, or the first after the slot was emptied.
    first: Option<usize>,
    /// Bytes that the slot has pages for.
    all: usize,
    /// Instances in a row that have written to no other pages than those before them.
    calm: u32,
    /// So many are needed before there are fences; `None`: there are none.
    patience: Option<u32>,
}

/// Instances that must have written to the same pages before the others are fenced.
const PATIENCE: u32 = 3;

/// Each write beyond a fence makes so many times as many instances necessary: a signal and the
/// system calls that follow take as long as to ask the kernel a few times.
const IMPATIENCE: u32 = 8;

/// Bytes that are copied for each instance with a fence, at most: so that those pages that an
/// instance writes to only now and then are not copied for all.
const MOST_FENCED: usize = 512 * PAGE_SIZE;

/// Parts of an area that a fence leaves writable, at most: each takes two mappings.
const MOST_PARTS: usize = 64;

/// Pages between two parts that are written to are left writable as well, if there are so few.
const GAP: usize = 4 * PAGE_SIZE;

impl Habits {
    /// Nothing is known yet; there may be fences or not.
    pub(crate) fn new(fences: bool) -> Habits {
        Habits {
            first: None,
            all: 0,
            calm: 0,
            patience: fences.then_some(PATIENCE),
        }
    }

    /// Forgets all but how often fences were in the way: the slot was emptied.
    pub(crate) fn forget(&mut self) {
        *self = Habits {
            patience: self.patience,
            ..Habits::new(false)
        };
    }

    /// The slot has pages for so many bytes now.
    pub(crate) fn note(&mut self, all: usize) {
        self.first.get_or_insert(all);
        self.calm = match all == self.all {
            true => self.calm.saturating_add(1),
            false => 0,
        };
        self.all = all;
    }

    /// A page was written to that was fenced, or the slot cannot be fenced.
    pub(crate) fn surprise(&mut self) {
        self.calm = 0;
        let more = |patience: u32| patience.saturating_mul(IMPATIENCE);
        self.patience = self.patience.map(more);
    }

    /// Whether there may be fences after the next instance.
    pub(crate) fn may_fence(&self) -> bool {
        self.patience
            .is_some_and(|patience| self.calm.saturating_add(1) >= patience)
    }

    /// Whether instances write to the same pages.
    pub(crate) fn is_regular(&self) -> bool {
        self.patience.is_some_and(|patience| self.calm >= patience)
    }

    /// The bytes that are copied at most before the pages are given back instead. Pages that one of
    /// many instances has written to are copied for each of the next ones; so when they are many
    /// more than one instance wrote to at first, they cost more than faults.
    pub(crate) fn most_to_copy(&self, max: usize) -> usize {
        /// A fault costs about as much as so many copies of a page.
        const FAULT: usize = 4;
        const FEW: usize = 16 * PAGE_SIZE;
        match self.first {
            Some(first) => (FAULT * first + FEW).min(max),
            None => max,
        }
    }
}

/// What was written to in a slot.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) bytes: usize,
    /// If more than this, not all was noted.
    most: usize,
    /// By area: parts, as offsets in ascending order. `None` if they are not asked for, or too many
    /// for fences.
    pub(crate) parts: Option<Vec<Vec<Range<usize>>>>,
}

impl Written {
    /// Nothing yet. Parts are noted if they are `wanted`.
    pub(crate) fn new(wanted: bool) -> Written {
        Written {
            bytes: 0,
            most: 0,
            parts: wanted.then(Vec::new),
        }
    }

    /// Goes on to the next area, until there are more than `most` bytes in all.
    pub(crate) fn begin_area(&mut self, most: usize) {
        self.most = most;
        if let Some(parts) = &mut self.parts {
            parts.push(Vec::new());
        }
    }

    /// Adds a part of the area; whether there are not too many bytes by now.
    pub(crate) fn add(&mut self, part: Range<usize>) -> bool {
        self.bytes += part.len();
        if self.bytes > MOST_FENCED {
            self.parts = None;
        }
        if let Some(area) = self.parts.as_mut().and_then(|parts| parts.last_mut()) {
            let count = area.len();
            match area.last_mut() {
                Some(last) if part.start - last.end <= GAP => last.end = part.end,
                _ if count < MOST_PARTS => area.push(part),
                _ => self.parts = None,
            }
        }
        self.bytes <= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_come_when_instances_are_regular() {
        let mut habits = Habits::new(true);
        for (all, regular) in [(8, false), (8, false), (8, false), (8, true), (9, false)] {
            habits.note(all);
            assert_eq!(habits.is_regular(), regular);
        }
        habits.surprise();
        for _ in 0..PATIENCE * IMPATIENCE {
            assert!(!habits.is_regular());
            habits.note(9);
        }
        assert!(habits.is_regular());
        habits.forget();
        assert!(!habits.may_fence());
        let mut never = Habits::new(false);
        (0..99).for_each(|_| never.note(1));
        assert!(!never.is_regular() && !never.may_fence());
    }

    #[test]
    fn parts_are_joined_and_bounded() {
        let pages = |from: usize, to: usize| from * PAGE_SIZE..to * PAGE_SIZE;
        let mut written = Written::new(true);
        written.begin_area(usize::MAX);
        for part in [pages(0, 1), pages(2, 3), pages(7, 9), pages(100, 101)] {
            assert!(written.add(part));
        }
        written.begin_area(6 * PAGE_SIZE);
        assert!(written.add(pages(0, 1)));
        assert!(!written.add(pages(5, 6)));
        let expected = vec![vec![pages(0, 9), pages(100, 101)], vec![pages(0, 6)]];
        assert_eq!(written.parts, Some(expected));
        for index in 0..=MOST_PARTS {
            let start = 200 + 5 * index + index;
            written.add(pages(start, start + 1));
        }
        assert_eq!(written.parts, None, "too many parts");
        let mut large = Written::new(true);
        large.begin_area(usize::MAX);
        assert!(large.add(pages(0, 513)));
        assert_eq!(large.parts, None, "too many bytes");
    }
}
