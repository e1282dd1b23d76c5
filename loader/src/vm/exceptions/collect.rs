//! Which kept exceptions a guest can still throw: those whose references are in memory that
//! references may be in.
//!
//! These are the stacks of the store's guests, contexts (with globals and tables), tables that
//! grew, and tables and globals of the host. All words there are taken for references that look
//! like one (Boehm, Weiser: "Garbage Collection in an Uncooperative Environment"), so that neither
//! code nor calls have anything to do for it. A word that is none keeps an exception too long, no
//! more.
#![allow(unsafe_code, reason = "reads stacks and contexts")]

#[cfg(feature = "async")]
use std::collections::BTreeMap;
use std::ops::Range;

use cwasm_format::vmctx::VmTable;

use super::{Exceptions, Threshold, number};
use crate::sys;
use crate::vm::items::HostReferences;
use crate::vm::store::StoreOpaque;
use crate::vm::table;

/// The stacks that do not run, on which guests of the store wait: the used part of each. Only
/// stores with exceptions keep these.
#[derive(Debug, Default)]
pub(crate) struct Stacks {
    /// Those of suspended fibers: where each begins, by its end.
    #[cfg(feature = "async")]
    suspended: BTreeMap<usize, usize>,
    /// Those that have resumed the fiber that runs, the outermost first.
    #[cfg(feature = "async")]
    resuming: Vec<Range<usize>>,
}

/// Bytes below a stack pointer that may hold registers of its function, saved by what it calls.
#[cfg(feature = "async")]
const SAVED: usize = 1024;

#[cfg(feature = "async")]
impl Stacks {
    /// The stack of a fiber, which ends here, is switched to.
    pub(crate) fn resume(&mut self, end: usize) {
        self.suspended.remove(&end);
        let start = sys::registers::stack_pointer() - SAVED;
        self.resuming.push(start..sys::thread::stack_end());
    }

    /// The fiber that was switched to last is left again.
    pub(crate) fn leave(&mut self) {
        self.resuming.pop();
    }

    /// A fiber whose stack ends here waits with this stack pointer.
    pub(crate) fn suspend(&mut self, end: usize, pointer: usize) {
        self.suspended.insert(end, pointer - SAVED);
    }

    fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let suspended = self.suspended.iter().map(|(end, start)| *start..*end);
        suspended.chain(self.resuming.iter().cloned())
    }
}

#[cfg(not(feature = "async"))]
impl Stacks {
    fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        std::iter::empty()
    }
}

/// Words that are read for each exception that is kept, at most, in the long run.
const WORDS_FOR_EACH: usize = 64;

/// Marks the exceptions that are referred to.
struct Marker<'e> {
    exceptions: &'e mut Exceptions,
    /// Those whose values were not looked at yet.
    left: Vec<u32>,
    /// Words that were looked at.
    words: usize,
}

impl StoreOpaque {
    /// Drops kept exceptions that nothing refers to.
    #[cold]
    pub(super) fn collect_exceptions(&mut self) {
        let mut exceptions = std::mem::take(self.exceptions());
        let mut marker = Marker::new(&mut exceptions);
        marker.stacks();
        for instance in self.instances() {
            let context = instance.context().addr().get();
            let artifact = instance.unit().artifact();
            let size = artifact.header().context_size as usize;
            // SAFETY: the context of a live instance, which nothing uses meanwhile.
            unsafe { marker.range(context..context + size) };
            for record in artifact.tables() {
                // SAFETY: the plan, which the instance was made from, has checked all tables.
                let table = unsafe { instance.slot::<VmTable>(record.slot) };
                // SAFETY: as above; nothing uses it meanwhile.
                let table = unsafe { table.read() };
                if table.capacity != 0 {
                    marker.table(&table);
                }
            }
        }
        self.host_items.references(|found| match found {
            HostReferences::Table(table) => marker.table(table),
            HostReferences::Global(bits) => marker.word(*bits as u64),
        });
        let words = marker.finish();
        exceptions.sweep(words);
        *self.exceptions() = exceptions;
    }
}

impl<'e> Marker<'e> {
    fn new(exceptions: &'e mut Exceptions) -> Marker<'e> {
        let mut left = Vec::new();
        for (number, kept) in (0..).zip(&mut exceptions.kept) {
            if let Some(kept) = kept {
                kept.is_marked = *kept.is_pinned.get_mut();
                if kept.is_marked {
                    left.push(number);
                }
            }
        }
        Marker {
            exceptions,
            left,
            words: 0,
        }
    }

    /// Looks at the stacks: the one that runs, and those that wait.
    fn stacks(&mut self) {
        let stacks = std::mem::take(&mut self.exceptions.stacks);
        for stack in stacks.ranges() {
            // SAFETY: the used part of a stack that does not run.
            unsafe { self.range(stack) };
        }
        self.exceptions.stacks = stacks;
        let thrown = std::mem::take(&mut self.exceptions.thrown.words);
        thrown.iter().for_each(|word| self.word(*word as u64));
        self.exceptions.thrown.words = thrown;
        sys::registers::with_saved_registers(|pointer| {
            let high = sys::thread::stack_end();
            // SAFETY: the used part of this thread's stack.
            unsafe { self.range(pointer..high) };
        });
    }

    /// Looks at the words of memory.
    ///
    /// # Safety
    /// - It can be read, and nothing writes to it meanwhile.
    unsafe fn range(&mut self, range: Range<usize>) {
        let words = range.start.next_multiple_of(size_of::<u64>())..range.end;
        self.words += words.len() / size_of::<u64>();
        for address in words.step_by(size_of::<u64>()) {
            let word = std::ptr::with_exposed_provenance::<u64>(address);
            // SAFETY: aligned, and inside of the range (the caller's contract).
            self.word(unsafe { word.read_volatile() });
        }
    }

    /// Looks at the elements of a table.
    fn table(&mut self, table: &VmTable) {
        let Some(elements) = table::range(table, 0, table.len) else {
            return;
        };
        let start = elements.addr();
        // SAFETY: the table's elements, which nothing uses meanwhile.
        unsafe { self.range(start..start + table.len as usize * size_of::<u64>()) };
    }

    fn word(&mut self, word: u64) {
        let Some(number) = number(word) else { return };
        let Some(Some(kept)) = self.exceptions.kept.get_mut(number) else {
            return;
        };
        if !kept.is_marked {
            kept.is_marked = true;
            self.left.push(number as u32);
        }
    }

    /// Looks at the values of those that were marked; the number of words that were looked at.
    fn finish(mut self) -> usize {
        while let Some(number) = self.left.pop() {
            let kept = self.exceptions.kept[number as usize].as_mut();
            let values = kept.map(|kept| std::mem::take(&mut kept.values));
            let values = values.unwrap_or_default();
            self.words += values.len();
            values.iter().for_each(|value| self.word(*value as u64));
            if let Some(kept) = &mut self.exceptions.kept[number as usize] {
                kept.values = values;
            }
        }
        self.words
    }
}

impl Exceptions {
    /// Drops those that are not marked, for which so many words were looked at.
    fn sweep(&mut self, words: usize) {
        for (number, place) in (0..).zip(&mut self.kept) {
            if let Some(kept) = place
                && !kept.is_marked
            {
                self.bytes -= kept.bytes();
                *place = None;
                self.free.push(number);
            }
        }
        let (count, first) = (self.kept.len() - self.free.len(), Threshold::default());
        let more = first.count.max(count).max(words / WORDS_FOR_EACH);
        self.next_collection = Threshold {
            count: count + more,
            bytes: self.bytes + first.bytes.max(self.bytes),
        };
    }
}
