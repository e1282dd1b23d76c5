//! A table of the host's values, which resources stand for.

use std::any::Any;
use std::collections::{BTreeSet, VecDeque};
use std::fmt;

use crate::resource::Resource;

/// Bits of a number that are its index; the others are its generation.
const INDEX_BITS: u32 = 22;

/// The most values that a table may hold.
const MAX_CAPACITY: usize = (1 << INDEX_BITS) - 1;

/// Holds the host's values by the numbers that [`Resource`]s have.
///
/// Numbers have generations: the number of a deleted value does not find the next value in the same
/// place, until that place was used 1024 times.
///
/// ```
/// use cwasm::{Resource, ResourceTable};
///
/// let mut table = ResourceTable::new();
/// let name = table.push(String::from("a"))?;
/// table.get_mut(&name)?.push('b');
/// let copy = Resource::<String>::new_borrow(name.rep());
/// assert_eq!(table.get(&copy)?, "ab");
/// assert_eq!(table.delete(name)?, "ab");
/// assert!(table.get(&copy).is_err());
/// # Ok::<(), cwasm::ResourceTableError>(())
/// ```
#[derive(Debug)]
pub struct ResourceTable {
    slots: Vec<Slot>,
    /// Places to use again: the one that was given back last is the last.
    free: VecDeque<u32>,
    len: usize,
    max_capacity: usize,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    entry: Option<Entry>,
}

struct Entry {
    value: Box<dyn Any + Send>,
    /// Number of the value that this one belongs to.
    parent: Option<u32>,
    /// Numbers of the values that belong to this one.
    children: BTreeSet<u32>,
}

/// Why an operation of a [`ResourceTable`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResourceTableError {
    /// The table is full.
    Full,
    /// There is no such value, or not any more.
    NotPresent,
    /// The value is of another type.
    WrongType,
    /// The value has children, which must be deleted first.
    HasChildren,
}

impl ResourceTable {
    /// An empty table.
    pub fn new() -> ResourceTable {
        ResourceTable {
            slots: Vec::new(),
            free: VecDeque::new(),
            len: 0,
            max_capacity: MAX_CAPACITY,
        }
    }

    /// An empty table with room for so many values.
    pub fn with_capacity(capacity: usize) -> ResourceTable {
        let mut table = ResourceTable::new();
        table.slots.reserve(capacity.min(MAX_CAPACITY));
        table
    }

    /// Sets how many values the table may hold; 2^22 - 1, if it is not set or set to more.
    pub fn set_max_capacity(&mut self, capacity: usize) {
        self.max_capacity = capacity.min(MAX_CAPACITY);
    }

    /// How many values the table holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the table holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a value.
    ///
    /// # Errors
    /// [`ResourceTableError::Full`]
    pub fn push<T: Send + 'static>(&mut self, value: T) -> Result<Resource<T>, ResourceTableError> {
        self.push_entry(Box::new(value), None)
            .map(Resource::new_own)
    }

    /// Adds a value that belongs to another one, which cannot be deleted before.
    ///
    /// # Errors
    /// [`ResourceTableError::Full`], or [`ResourceTableError::NotPresent`] if the parent is not
    /// there.
    pub fn push_child<T: Send + 'static, U: 'static>(
        &mut self,
        value: T,
        parent: &Resource<U>,
    ) -> Result<Resource<T>, ResourceTableError> {
        self.entry(parent.rep())?;
        let child = self.push_entry(Box::new(value), Some(parent.rep()))?;
        self.entry_mut(parent.rep())?.children.insert(child);
        Ok(Resource::new_own(child))
    }

    /// The values that belong to another one, in the order of their numbers.
    ///
    /// # Errors
    /// [`ResourceTableError::NotPresent`] if the parent is not there.
    pub fn iter_children<T: 'static>(
        &self,
        parent: &Resource<T>,
    ) -> Result<impl Iterator<Item = &(dyn Any + Send)>, ResourceTableError> {
        let children = &self.entry(parent.rep())?.children;
        Ok(children
            .iter()
            .filter_map(|child| Some(&*self.entry(*child).ok()?.value)))
    }

    /// The value of a resource, owned or borrowed.
    ///
    /// # Errors
    /// [`ResourceTableError::NotPresent`] or [`ResourceTableError::WrongType`]
    pub fn get<T: 'static>(&self, resource: &Resource<T>) -> Result<&T, ResourceTableError> {
        let value = &self.entry(resource.rep())?.value;
        value.downcast_ref().ok_or(ResourceTableError::WrongType)
    }

    /// The value of a resource, owned or borrowed.
    ///
    /// # Errors
    /// [`ResourceTableError::NotPresent`] or [`ResourceTableError::WrongType`]
    pub fn get_mut<T: 'static>(
        &mut self,
        resource: &Resource<T>,
    ) -> Result<&mut T, ResourceTableError> {
        let value = &mut self.entry_mut(resource.rep())?.value;
        value.downcast_mut().ok_or(ResourceTableError::WrongType)
    }

    /// Takes a value out of the table.
    ///
    /// # Errors
    /// [`ResourceTableError::NotPresent`], [`ResourceTableError::WrongType`] or
    /// [`ResourceTableError::HasChildren`]: the value stays.
    pub fn delete<T: 'static>(&mut self, resource: Resource<T>) -> Result<T, ResourceTableError> {
        let number = resource.rep();
        let entry = self.entry(number)?;
        if !entry.value.is::<T>() {
            return Err(ResourceTableError::WrongType);
        }
        if !entry.children.is_empty() {
            return Err(ResourceTableError::HasChildren);
        }
        let slot = &mut self.slots[place(number)];
        slot.generation = (slot.generation + 1) & (u32::MAX >> INDEX_BITS);
        let Some(Entry { value, parent, .. }) = slot.entry.take() else {
            return Err(ResourceTableError::NotPresent);
        };
        self.free.push_back(place(number) as u32);
        self.len -= 1;
        if let Some(parent) = parent
            && let Ok(parent) = self.entry_mut(parent)
        {
            parent.children.remove(&number);
        }
        match value.downcast() {
            Ok(value) => Ok(*value),
            Err(_) => unreachable!("the type was compared"),
        }
    }

    fn push_entry(
        &mut self,
        value: Box<dyn Any + Send>,
        parent: Option<u32>,
    ) -> Result<u32, ResourceTableError> {
        if self.len >= self.max_capacity {
            return Err(ResourceTableError::Full);
        }
        let index = match self.free.pop_front() {
            Some(index) => index,
            None => {
                self.slots.push(Slot::default());
                // At most `MAX_CAPACITY`.
                self.slots.len() as u32 - 1
            }
        };
        let slot = &mut self.slots[index as usize];
        slot.entry = Some(Entry {
            value,
            parent,
            children: BTreeSet::new(),
        });
        self.len += 1;
        Ok(slot.generation << INDEX_BITS | index)
    }

    fn entry(&self, number: u32) -> Result<&Entry, ResourceTableError> {
        let slot = self.slots.get(place(number));
        slot.filter(|slot| slot.generation == number >> INDEX_BITS)
            .and_then(|slot| slot.entry.as_ref())
            .ok_or(ResourceTableError::NotPresent)
    }

    fn entry_mut(&mut self, number: u32) -> Result<&mut Entry, ResourceTableError> {
        let slot = self.slots.get_mut(place(number));
        slot.filter(|slot| slot.generation == number >> INDEX_BITS)
            .and_then(|slot| slot.entry.as_mut())
            .ok_or(ResourceTableError::NotPresent)
    }
}

/// The index in a number.
fn place(number: u32) -> usize {
    (number & MAX_CAPACITY as u32) as usize
}

impl Default for ResourceTable {
    fn default() -> ResourceTable {
        ResourceTable::new()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("parent", &self.parent)
            .field("children", &self.children)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ResourceTableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResourceTableError::Full => "the table of resources is full",
            ResourceTableError::NotPresent => "there is no such resource in the table",
            ResourceTableError::WrongType => "the resource in the table is of another type",
            ResourceTableError::HasChildren => "the resource in the table has children",
        })
    }
}

impl std::error::Error for ResourceTableError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn borrow<T: 'static>(resource: &Resource<T>) -> Resource<T> {
        Resource::new_borrow(resource.rep())
    }

    #[test]
    fn stale_numbers_are_found_out() {
        let mut table = ResourceTable::new();
        let mut numbers = BTreeSet::new();
        let mut last = None;
        for round in 0..1024u32 {
            let value = table.push(round).unwrap();
            assert!(numbers.insert(value.rep()));
            assert_eq!(*table.get(&value).unwrap(), round);
            if let Some(last) = last.replace(borrow(&value)) {
                assert_eq!(table.get(&last), Err(ResourceTableError::NotPresent));
                assert_eq!(table.delete(last), Err(ResourceTableError::NotPresent));
            }
            assert_eq!(table.delete(value), Ok(round));
        }
        assert!(table.is_empty());
    }

    #[test]
    fn types_are_compared() {
        let mut table = ResourceTable::new();
        let value = table.push(1u8).unwrap();
        let other = Resource::<u16>::new_own(value.rep());
        assert_eq!(table.get(&other), Err(ResourceTableError::WrongType));
        assert_eq!(table.get_mut(&other), Err(ResourceTableError::WrongType));
        assert_eq!(table.delete(other), Err(ResourceTableError::WrongType));
        let unknown = Resource::<u8>::new_own(value.rep() + 1);
        assert_eq!(table.get(&unknown), Err(ResourceTableError::NotPresent));
        assert_eq!(table.delete(value), Ok(1));
    }

    #[test]
    fn children_go_first() {
        let mut table = ResourceTable::new();
        let parent = table.push("parent").unwrap();
        let first = table.push_child(1u8, &parent).unwrap();
        let second = table.push_child(2u8, &parent).unwrap();
        let children = table.iter_children(&parent).unwrap();
        let children: Vec<_> = children.map(|child| child.downcast_ref::<u8>()).collect();
        assert_eq!(children, [Some(&1), Some(&2)]);
        let again = borrow(&parent);
        assert_eq!(table.delete(again), Err(ResourceTableError::HasChildren));
        assert_eq!(table.delete(first), Ok(1));
        assert_eq!(table.delete(second), Ok(2));
        assert_eq!(table.delete(borrow(&parent)), Ok("parent"));
        let orphan = table.push_child(3u8, &parent);
        assert_eq!(orphan.unwrap_err(), ResourceTableError::NotPresent);
    }

    #[test]
    fn capacity_is_a_limit() {
        let mut table = ResourceTable::with_capacity(2);
        table.set_max_capacity(2);
        let first = table.push(1u8).unwrap();
        table.push(2u8).unwrap();
        assert_eq!(table.push(3u8).unwrap_err(), ResourceTableError::Full);
        assert_eq!(table.delete(first), Ok(1));
        assert_eq!((table.push(4u8).is_ok(), table.len()), (true, 2));
    }
}
