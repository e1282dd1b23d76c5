//! Entries by number.

/// The number of an entry: it is used again when the entry is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(pub(crate) u32);

impl Id {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Entries by number.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Entry<T>>,
    /// The first free entry.
    free: u32,
    len: u32,
}

#[derive(Debug)]
enum Entry<T> {
    Used(T),
    /// The next free entry.
    Free(u32),
}

const NONE: u32 = u32::MAX;

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab {
            entries: Vec::new(),
            free: NONE,
            len: 0,
        }
    }
}

impl<T> Slab<T> {
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// The number of the entry that is added next.
    pub(crate) fn next_id(&self) -> Id {
        match self.free {
            NONE => Id(self.entries.len() as u32),
            free => Id(free),
        }
    }

    /// Adds an entry.
    pub(crate) fn add(&mut self, entry: T) -> Id {
        self.len += 1;
        let index = self.free;
        match self.entries.get_mut(index as usize) {
            Some(place) => {
                if let Entry::Free(next) = std::mem::replace(place, Entry::Used(entry)) {
                    self.free = next;
                }
                Id(index)
            }
            None => {
                self.entries.push(Entry::Used(entry));
                Id(self.entries.len() as u32 - 1)
            }
        }
    }

    /// Removes an entry.
    pub(crate) fn remove(&mut self, id: Id) -> Option<T> {
        let place = self.entries.get_mut(id.index())?;
        if matches!(place, Entry::Free(_)) {
            return None;
        }
        self.len -= 1;
        match std::mem::replace(place, Entry::Free(self.free)) {
            Entry::Used(entry) => {
                self.free = id.0;
                Some(entry)
            }
            Entry::Free(_) => None,
        }
    }

    pub(crate) fn get(&self, id: Id) -> Option<&T> {
        match self.entries.get(id.index()) {
            Some(Entry::Used(entry)) => Some(entry),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        match self.entries.get_mut(id.index()) {
            Some(Entry::Used(entry)) => Some(entry),
            _ => None,
        }
    }

    /// The numbers of all entries.
    pub(crate) fn ids(&self) -> impl Iterator<Item = Id> {
        let entries = (0..).zip(&self.entries);
        entries
            .filter(|(_, entry)| matches!(entry, Entry::Used(_)))
            .map(|(index, _)| Id(index))
    }
}

impl<T> std::ops::Index<Id> for Slab<T> {
    type Output = T;

    fn index(&self, id: Id) -> &T {
        match self.get(id) {
            Some(entry) => entry,
            None => panic!("entry {} is not there", id.0),
        }
    }
}

impl<T> std::ops::IndexMut<Id> for Slab<T> {
    fn index_mut(&mut self, id: Id) -> &mut T {
        match self.get_mut(id) {
            Some(entry) => entry,
            None => panic!("entry {} is not there", id.0),
        }
    }
}
