//! Exceptions: the one that is thrown, and those that references of guests keep.
//!
//! ```text
//! throw --values--> thrown --> a handler, which reads them at once
//!                     | ^
//!           catch_ref v | throw_ref
//!                    kept, by number
//! ```
//!
//! What is thrown is copied into one buffer of the store, where its handler finds it
//! ([`cwasm_format::exceptions`]). Only a handler that asks for a reference makes it one of the
//! kept exceptions, whose number the reference holds. Nobody counts references: when many
//! exceptions are kept, those are dropped that no word of memory which a guest's reference may be
//! in looks like ([`collect`]).

mod collect;
pub(crate) mod throw;

use std::sync::atomic::{AtomicBool, Ordering};

use cwasm_format::TrapCode;

use collect::Stacks;

/// The high half of all references, which is unlikely in other words.
const MARK: u64 = 0x7e5c_e971;

/// Bytes that a kept exception takes beside its values.
const OVERHEAD: usize = 64;

/// The part of the limit that must be free after a collection.
const ROOM: usize = 16;

/// The exceptions of a store that has any: an instance of it has tags, or the host throws.
#[derive(Debug, Default)]
pub(crate) struct Exceptions {
    thrown: Thrown,
    kept: Vec<Option<Kept>>,
    /// The numbers of no exception.
    free: Vec<u32>,
    /// Bytes that the kept ones take.
    bytes: usize,
    /// How many are kept when unused ones are looked for, and how many bytes they take.
    next_collection: Threshold,
    pub(crate) stacks: Stacks,
}

/// The exception that was thrown last.
#[derive(Debug, Default)]
struct Thrown {
    tag: Option<Tag>,
    /// As a handler gets it: reference and tag, then the values.
    words: Vec<u128>,
    /// Whether a host function throws it, whose trampoline does not know yet.
    is_by_host: bool,
}

/// The tag of an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    /// What handlers compare: the number in a closed unit, the address of the `VmTag` otherwise.
    pub(crate) identity: u64,
    /// Who has thrown it; `None` for the host.
    pub(crate) origin: Option<Origin>,
}

/// The code that has thrown an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The address of its context, which is only compared.
    pub(crate) context: usize,
    /// The number of the tag in its unit.
    pub(crate) tag: u32,
    /// The address of the call that has thrown it first.
    pub(crate) pc: usize,
}

/// An exception that a reference may keep.
#[derive(Debug)]
struct Kept {
    tag: Tag,
    values: Box<[u128]>,
    is_marked: bool,
    /// Whether the host has a reference.
    is_pinned: AtomicBool,
}

impl Kept {
    fn bytes(&self) -> usize {
        size_of_val(&*self.values) + OVERHEAD
    }
}

/// When to look for exceptions that nothing refers to.
#[derive(Debug)]
struct Threshold {
    count: usize,
    bytes: usize,
}

impl Default for Threshold {
    fn default() -> Threshold {
        Threshold {
            count: 1024,
            bytes: 256 << 10,
        }
    }
}

impl Exceptions {
    /// Makes this the exception that is thrown.
    pub(crate) fn set_thrown(&mut self, tag: Tag, values: &[u128]) {
        self.thrown.tag = Some(tag);
        self.thrown.words.clear();
        self.thrown.words.push(u128::from(tag.identity) << 64);
        self.thrown.words.extend_from_slice(values);
    }

    /// Makes a kept exception the one that is thrown; `None` if there is none of this reference.
    pub(crate) fn set_thrown_again(&mut self, reference: u64) -> Option<()> {
        let thrown = &mut self.thrown;
        let kept = self.kept.get(number(reference)?)?.as_ref()?;
        thrown.tag = Some(kept.tag);
        thrown.words.clear();
        let head = u128::from(kept.tag.identity) << 64 | u128::from(reference);
        thrown.words.push(head);
        thrown.words.extend_from_slice(&kept.values);
        Some(())
    }

    /// Makes this the exception that the host function throws which is about to return.
    pub(crate) fn throw_by_host(&mut self, tag: Tag, values: &[u128]) {
        self.set_thrown(tag, values);
        self.thrown.is_by_host = true;
    }

    /// Whether a host function that has returned throws.
    pub(crate) fn take_is_by_host(&mut self) -> bool {
        std::mem::take(&mut self.thrown.is_by_host)
    }

    /// The kept exception of a reference.
    pub(crate) fn kept(&self, reference: u64) -> Option<(Tag, &[u128])> {
        let kept = self.kept.get(number(reference)?)?.as_ref()?;
        Some((kept.tag, &kept.values))
    }

    /// The tag of the exception that is thrown.
    pub(crate) fn tag(&self) -> Option<Tag> {
        self.thrown.tag
    }

    /// The values of the exception that is thrown.
    pub(crate) fn values(&self) -> &[u128] {
        self.thrown.words.get(1..).unwrap_or_default()
    }

    /// What a handler gets: valid until something is thrown.
    fn address(&self) -> u64 {
        self.thrown.words.as_ptr().expose_provenance() as u64
    }

    /// Whether there are so many kept exceptions that unused ones should be dropped before another
    /// one is kept.
    fn should_collect(&self) -> bool {
        self.kept.len() - self.free.len() >= self.next_collection.count
            || self.bytes >= self.next_collection.bytes
    }

    /// Keeps the exception that is thrown, unless it was before, and gives its handler a reference.
    ///
    /// # Errors
    /// If the kept ones would take more than `max` bytes.
    fn keep(&mut self, max: usize) -> Result<(), TrapCode> {
        let (Some(tag), Some(head)) = (self.thrown.tag, self.thrown.words.first()) else {
            unreachable!("something is thrown")
        };
        if *head as u64 != 0 {
            return Ok(());
        }
        let kept = Kept {
            tag,
            values: self.values().into(),
            is_marked: false,
            is_pinned: AtomicBool::new(false),
        };
        let bytes = self.bytes + kept.bytes();
        if bytes > max {
            return Err(TrapCode::TooManyExceptions);
        }
        self.bytes = bytes;
        let number = match self.free.pop() {
            Some(number) => {
                self.kept[number as usize] = Some(kept);
                number
            }
            None => {
                self.kept.push(Some(kept));
                // Each takes more than a byte of memory.
                self.kept.len() as u32 - 1
            }
        };
        self.thrown.words[0] |= u128::from(reference(number));
        Ok(())
    }

    /// Checks that a collection has made enough room: otherwise each of the next exceptions would
    /// need one.
    ///
    /// # Errors
    /// If it has not.
    fn check_room(&self, max: usize) -> Result<(), TrapCode> {
        match self.bytes > max - max / ROOM {
            true => Err(TrapCode::TooManyExceptions),
            false => Ok(()),
        }
    }

    /// Keeps what a reference that the host gets refers to as long as the store; whether there is
    /// such an exception.
    pub(crate) fn pin(&self, reference: u64) -> bool {
        let kept = number(reference).and_then(|number| self.kept.get(number)?.as_ref());
        if let Some(kept) = kept {
            kept.is_pinned.store(true, Ordering::Relaxed);
        }
        kept.is_some()
    }
}

/// The reference to a kept exception.
fn reference(number: u32) -> u64 {
    MARK << 32 | u64::from(number)
}

/// The number of the exception that a word refers to, if it looks like a reference.
fn number(word: u64) -> Option<usize> {
    (word >> 32 == MARK).then_some(word as u32 as usize)
}
