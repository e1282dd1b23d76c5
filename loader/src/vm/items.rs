//! Core items by their addresses: what modules import and export, and what the host defines for
//! them.
//!
//! Addresses are followed only together with the store that owns what they point to.
#![allow(
    unsafe_code,
    reason = "owns items that compiled code reaches by address"
)]

use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;

use cwasm_format::vmctx::{VmFuncRef, VmHostFunc, VmMemory, VmTable, VmTag};

use super::memory::HostMemory;
use super::table;
use super::type_ids::{TypeIds, TypeRegistry};
use crate::core_types::{GlobalType, MemoryType, TableType};

/// A core item of a store.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Item {
    Func(FuncItem),
    Table(TableItem),
    Memory(MemoryItem),
    Global(GlobalItem),
    Tag(TagItem),
}

/// A function of a store.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FuncItem {
    /// Lives as long as the store.
    Wasm(NonNull<VmFuncRef>),
    /// The start of one of the store's host functions.
    Host(NonNull<VmHostFunc>),
}

/// A table of a store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableItem {
    /// Lives as long as the store.
    pub(crate) address: NonNull<VmTable>,
    pub(crate) ty: TableType,
}

/// A memory of a store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryItem {
    /// Lives as long as the store.
    pub(crate) address: NonNull<VmMemory>,
    pub(crate) ty: MemoryType,
    pub(crate) guard: Guard,
    /// Whether it is shared with other stores, which may use it at any time.
    pub(crate) is_foreign: bool,
}

/// A global of a store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GlobalItem {
    /// Lives as long as the store, and has room for the type.
    pub(crate) address: NonNull<u8>,
    pub(crate) ty: GlobalType,
}

/// A tag of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TagItem {
    /// Lives as long as the store.
    pub(crate) address: NonNull<VmTag>,
}

/// The inaccessible bytes that code which imports a memory may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Guard {
    /// None.
    None,
    /// [`CHECKED_GUARD_SIZE`](cwasm_format::data::CHECKED_GUARD_SIZE) bytes after its size.
    Size,
    /// All that a 32-bit index and a constant offset get to: code without checks needs them.
    Address,
}

// SAFETY: addresses, which are followed only with exclusive or shared access to their store.
unsafe impl Send for FuncItem {}
// SAFETY: as above.
unsafe impl Sync for FuncItem {}
// SAFETY: as above.
unsafe impl Send for TableItem {}
// SAFETY: as above.
unsafe impl Sync for TableItem {}
// SAFETY: as above.
unsafe impl Send for MemoryItem {}
// SAFETY: as above.
unsafe impl Sync for MemoryItem {}
// SAFETY: as above.
unsafe impl Send for GlobalItem {}
// SAFETY: as above.
unsafe impl Sync for GlobalItem {}
// SAFETY: as above.
unsafe impl Send for TagItem {}
// SAFETY: as above.
unsafe impl Sync for TagItem {}

impl Item {
    /// The address that code which imports the item has; `None` of functions, which have more than
    /// that.
    pub(crate) fn address(&self) -> Option<u64> {
        let address: *mut u8 = match self {
            Item::Func(_) => return None,
            Item::Table(table) => table.address.as_ptr().cast(),
            Item::Memory(memory) => memory.address.as_ptr().cast(),
            Item::Global(global) => global.address.as_ptr(),
            Item::Tag(tag) => tag.address.as_ptr().cast(),
        };
        Some(address.expose_provenance() as u64)
    }
}

/// Where references may be that the host has given to code.
pub(crate) enum HostReferences<'i> {
    Table(&'i VmTable),
    /// As bits.
    Global(&'i u128),
}

/// The core items that the host defined in a store: they live as long as it.
#[derive(Default)]
pub(crate) struct HostItems {
    memories: Vec<Owned<HostMemory>>,
    shared_memories: Vec<Arc<SharedHostMemory>>,
    others: Vec<Box<dyn Any + Send>>,
}

impl HostItems {
    /// Keeps a memory: its address.
    pub(crate) fn add_memory(&mut self, memory: HostMemory) -> NonNull<VmMemory> {
        let owned = Owned::new(memory);
        let address = owned.as_ptr().cast();
        self.memories.push(owned);
        address
    }

    /// Keeps a memory that other stores may have, too.
    pub(crate) fn add_shared_memory(&mut self, memory: Arc<SharedHostMemory>) {
        self.shared_memories.push(memory);
    }

    /// Keeps any other item: its address.
    pub(crate) fn add<T: Send + 'static>(&mut self, item: T) -> NonNull<T> {
        let owned = Owned::new(item);
        let address = owned.as_ptr();
        self.others.push(Box::new(owned));
        address
    }

    /// Keeps a tag.
    pub(crate) fn add_tag(&mut self, tag: HostTag) -> TagItem {
        TagItem {
            address: self.add(tag).cast(),
        }
    }

    /// Gives all tables and values of globals, where references may be.
    pub(crate) fn references(&self, mut visit: impl FnMut(HostReferences<'_>)) {
        for item in &self.others {
            if let Some(found) = item.downcast_ref::<Owned<HostTable>>() {
                // SAFETY: live as long as its owner; no code of the store uses it meanwhile.
                visit(HostReferences::Table(&unsafe { found.as_ptr().as_ref() }.0));
            } else if let Some(found) = item.downcast_ref::<Owned<u128>>() {
                // SAFETY: as above.
                visit(HostReferences::Global(unsafe { found.as_ptr().as_ref() }));
            }
        }
    }

    /// Whether an address is in a memory of these or its guard. Safe in signal handlers.
    pub(crate) fn contains(&self, address: usize) -> bool {
        let own = |memory: &Owned<HostMemory>| {
            // SAFETY: live as long as its owner.
            unsafe { HostMemory::contains(memory.as_ptr(), address) }
        };
        self.memories.iter().any(own) || self.shared_memories.iter().any(|memory| own(&memory.0))
    }
}

/// A memory of the host that several stores use at once.
#[derive(Debug)]
pub(crate) struct SharedHostMemory(Owned<HostMemory>);

// SAFETY: all threads read what never changes, and access size and bytes atomically; it grows under
// a lock.
unsafe impl Sync for SharedHostMemory {}

impl SharedHostMemory {
    pub(crate) fn new(memory: HostMemory) -> SharedHostMemory {
        SharedHostMemory(Owned::new(memory))
    }

    /// The address, valid as long as this.
    pub(crate) fn vm(&self) -> NonNull<VmMemory> {
        self.0.as_ptr().cast()
    }
}

/// A box that compiled code has the address of: it is reached by pointers only.
#[derive(Debug)]
struct Owned<T>(NonNull<T>);

// SAFETY: owns a `T`, as a box does.
unsafe impl<T: Send> Send for Owned<T> {}

impl<T> Owned<T> {
    fn new(value: T) -> Owned<T> {
        Owned(NonNull::from(Box::leak(Box::new(value))))
    }

    /// The address, valid as long as this owner.
    fn as_ptr(&self) -> NonNull<T> {
        self.0
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: from a box, and freed here only.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// A tag that the host defined.
#[repr(C)]
pub(crate) struct HostTag {
    /// Must be the first field.
    vm: VmTag,
    /// Owns the number of the type.
    _type_ids: TypeIds,
}

impl HostTag {
    /// A tag of the parameters of the function type of this encoding.
    pub(crate) fn new(ty: &[u8], types: &Arc<TypeRegistry>) -> HostTag {
        let type_ids = TypeIds::new([ty].into_iter(), types);
        HostTag {
            vm: VmTag {
                type_id: type_ids[0].into(),
            },
            _type_ids: type_ids,
        }
    }
}

/// A table that the host defined.
#[repr(transparent)]
pub(crate) struct HostTable(pub(crate) VmTable);

impl Drop for HostTable {
    fn drop(&mut self) {
        // SAFETY: the table's elements are used by its store alone, which is being dropped.
        unsafe { table::free(&self.0) };
    }
}
