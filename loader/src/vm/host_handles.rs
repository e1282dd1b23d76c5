//! The handles that the host has: a table for each store.
//!
//! Entries have generations, so that the use of a [`ResourceAny`](crate::ResourceAny) that was
//! given away or dropped, or whose call is over, is noticed.

use cwasm_format::types::ResourceNumber;

use crate::error::{Error, Result};
use crate::vm::resources::ResourceType;

/// The table.
#[derive(Debug, Default)]
pub(crate) struct HostHandles {
    entries: Vec<Slot>,
    /// Indices of entries that are free.
    free: Vec<u32>,
    /// Entries that are lent to guests, by calls that are not over: the youngest last.
    lent: Vec<u32>,
    /// Borrows that host functions got which have not returned yet: the youngest last.
    borrowed: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    entry: Option<Entry>,
}

/// A resource that the host has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) rep: u32,
    pub(crate) ty: ResourceType,
    /// The instance that it came from, and the resource's number there, by which its destructor is
    /// found.
    pub(crate) origin: Option<(u32, ResourceNumber)>,
    pub(crate) owned: bool,
    lends: u32,
}

/// A reference to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostHandle {
    index: u32,
    generation: u32,
}

impl Entry {
    /// A resource that is not lent.
    pub(crate) fn new(
        rep: u32,
        ty: ResourceType,
        origin: Option<(u32, ResourceNumber)>,
        owned: bool,
    ) -> Entry {
        Entry {
            rep,
            ty,
            origin,
            owned,
            lends: 0,
        }
    }
}

impl HostHandles {
    /// Bytes of memory that an entry takes.
    pub(crate) const ENTRY_SIZE: usize = size_of::<Slot>() + size_of::<u32>();

    /// Adds an entry. A borrow lasts until [`end_host_call`](HostHandles::end_host_call).
    pub(crate) fn add(&mut self, entry: Entry) -> HostHandle {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.entries.push(Slot {
                    generation: 0,
                    entry: None,
                });
                // 2^32 entries do not fit in memory.
                self.entries.len() as u32 - 1
            }
        };
        if !entry.owned {
            self.borrowed.push(index);
        }
        let slot = &mut self.entries[index as usize];
        slot.entry = Some(entry);
        HostHandle {
            index,
            generation: slot.generation,
        }
    }

    /// The entry of a handle.
    ///
    /// # Errors
    /// If it is not there any more.
    pub(crate) fn get(&self, handle: HostHandle) -> Result<&Entry> {
        let slot = self.entries.get(handle.index as usize);
        slot.filter(|slot| slot.generation == handle.generation)
            .and_then(|slot| slot.entry.as_ref())
            .ok_or_else(|| {
                Error::msg(
                    "a resource is used that was given away or dropped, or whose call is over",
                )
            })
    }

    /// Takes an owned resource out.
    ///
    /// # Errors
    /// If it is not there any more, is a borrow, or is lent.
    pub(crate) fn take(&mut self, handle: HostHandle) -> Result<Entry> {
        let entry = *self.get(handle)?;
        if !entry.owned {
            return Err(Error::msg(
                "found a borrowed resource, expected an owned one",
            ));
        }
        if entry.lends != 0 {
            return Err(Error::msg(
                "a resource is given away or dropped while it is lent",
            ));
        }
        self.remove(handle.index);
        Ok(entry)
    }

    fn remove(&mut self, index: u32) {
        let slot = &mut self.entries[index as usize];
        slot.entry = None;
        // One that would have as many generations as there are is not used again.
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(index);
        }
    }

    /// Lends a resource to a guest until [`end_guest_call`](HostHandles::end_guest_call).
    ///
    /// # Errors
    /// If it is not there any more.
    pub(crate) fn lend(&mut self, handle: HostHandle) -> Result<Entry> {
        let entry = *self.get(handle)?;
        if let Some(entry) = &mut self.entries[handle.index as usize].entry {
            entry.lends += 1;
        }
        self.lent.push(handle.index);
        Ok(entry)
    }

    /// Begins a call of a guest: returns the argument of
    /// [`end_guest_call`](HostHandles::end_guest_call).
    pub(crate) fn begin_guest_call(&self) -> usize {
        self.lent.len()
    }

    /// Ends a call of a guest, and its loans.
    pub(crate) fn end_guest_call(&mut self, begin: usize) {
        for index in self.lent.drain(begin.min(self.lent.len())..) {
            if let Some(entry) = &mut self.entries[index as usize].entry {
                entry.lends -= 1;
            }
        }
    }

    /// Keeps the borrows of a call that began so for longer: they end with
    /// [`end_borrowed`](HostHandles::end_borrowed).
    #[cfg(feature = "async")]
    pub(crate) fn keep_borrowed(&mut self, begin: usize) -> Vec<u32> {
        self.borrowed.split_off(begin.min(self.borrowed.len()))
    }

    /// Ends borrows that were kept.
    #[cfg(feature = "async")]
    pub(crate) fn end_borrowed(&mut self, borrowed: &[u32]) {
        borrowed.iter().for_each(|index| self.remove(*index));
    }

    /// Begins a call of a host function: returns the argument of
    /// [`end_host_call`](HostHandles::end_host_call).
    pub(crate) fn begin_host_call(&self) -> usize {
        self.borrowed.len()
    }

    /// Ends a call of a host function, and its borrows.
    pub(crate) fn end_host_call(&mut self, begin: usize) {
        while self.borrowed.len() > begin {
            if let Some(index) = self.borrowed.pop() {
                self.remove(index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(rep: u32, owned: bool) -> Entry {
        Entry::new(rep, ResourceType::host::<u8>(), None, owned)
    }

    #[test]
    fn what_is_gone_is_not_found_again() {
        let mut handles = HostHandles::default();
        let first = handles.add(entry(1, true));
        assert_eq!(handles.take(first).unwrap().rep, 1);
        let second = handles.add(entry(2, true));
        assert_eq!(first.index, second.index);
        assert!(handles.get(first).is_err() && handles.take(first).is_err());
        assert_eq!(handles.get(second).unwrap().rep, 2);
    }

    #[test]
    fn borrows_end_with_their_call() {
        let mut handles = HostHandles::default();
        let outer = handles.begin_host_call();
        let borrow = handles.add(entry(1, false));
        let inner = handles.begin_host_call();
        let nested = handles.add(entry(2, false));
        assert!(handles.take(borrow).is_err());
        handles.end_host_call(inner);
        assert!(handles.get(nested).is_err() && handles.get(borrow).is_ok());
        handles.end_host_call(outer);
        assert!(handles.get(borrow).is_err());
    }

    #[test]
    fn what_is_lent_stays() {
        let mut handles = HostHandles::default();
        let owned = handles.add(entry(1, true));
        let outer = handles.begin_guest_call();
        handles.lend(owned).unwrap();
        let inner = handles.begin_guest_call();
        handles.lend(owned).unwrap();
        handles.end_guest_call(inner);
        assert!(handles.take(owned).is_err());
        handles.end_guest_call(outer);
        assert!(handles.take(owned).is_ok());
    }
}
