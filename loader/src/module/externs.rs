//! Tables, memories and globals as the host handles them.
//!
//! Handles are addresses in a store with the store's number; they are followed only together with
//! that store, which owns what they point to.
#![allow(unsafe_code, reason = "follows addresses into a store")]

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cwasm_format::imports::core_type::{Limits, ValType};
use cwasm_format::vmctx::{VmMemory, VmTable};

use super::{CoreFunc, CoreTag, CoreVal, SharedMemory, check_store};
use crate::core_types::{ExternType, GlobalType, MemoryType, TableType};
use crate::error::{Error, Result};
use crate::vm::items::{GlobalItem, Guard, HostTable, Item, MemoryItem, TableItem};
use crate::vm::memory::{self, HostMemory};
use crate::vm::store::StoreOpaque;
use crate::vm::store_context::{AsContext, AsContextMut};
use crate::vm::store_id::StoreId;
use crate::vm::table;

/// A core item: what modules import and export.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names are WebAssembly's")]
pub enum Extern {
    Func(CoreFunc),
    Table(CoreTable),
    Memory(CoreMemory),
    Global(CoreGlobal),
    Tag(CoreTag),
}

/// A table in a store.
#[derive(Clone, Copy, Debug)]
pub struct CoreTable {
    store: StoreId,
    item: TableItem,
}

/// A memory in a store.
#[derive(Clone, Copy, Debug)]
pub struct CoreMemory {
    store: StoreId,
    item: MemoryItem,
}

/// A global in a store.
#[derive(Clone, Copy, Debug)]
pub struct CoreGlobal {
    store: StoreId,
    item: GlobalItem,
}

impl Extern {
    /// The item of this store.
    pub(super) fn new(store: StoreId, item: Item) -> Extern {
        match item {
            Item::Func(item) => Extern::Func(CoreFunc::of_item(store, item)),
            Item::Table(item) => Extern::Table(CoreTable { store, item }),
            Item::Memory(item) => Extern::Memory(CoreMemory { store, item }),
            Item::Global(item) => Extern::Global(CoreGlobal { store, item }),
            Item::Tag(item) => Extern::Tag(CoreTag::of_item(store, item)),
        }
    }

    /// The item, which is good for its store only.
    pub(super) fn item(&self) -> Item {
        match self {
            Extern::Func(func) => Item::Func(func.item()),
            Extern::Table(table) => Item::Table(table.item),
            Extern::Memory(memory) => Item::Memory(memory.item),
            Extern::Global(global) => Item::Global(global.item),
            Extern::Tag(tag) => Item::Tag(tag.item()),
        }
    }

    /// The type, with the current size as the minimum of tables and memories.
    pub(crate) fn ty(&self, store: &StoreOpaque) -> Result<ExternType> {
        Ok(match self {
            Extern::Func(func) => ExternType::Func(func.ty_in(store)?),
            Extern::Table(table) => {
                let limits = Limits {
                    min: table.get(store)?.len,
                    ..table.item.ty.limits
                };
                ExternType::Table(TableType {
                    limits,
                    ..table.item.ty
                })
            }
            Extern::Memory(memory) => {
                let size = memory.size_in(store)?;
                let limits = Limits {
                    min: size,
                    ..memory.item.ty.limits
                };
                ExternType::Memory(MemoryType {
                    limits,
                    ..memory.item.ty
                })
            }
            Extern::Global(global) => {
                check_store(global.store, store)?;
                ExternType::Global(global.item.ty)
            }
            Extern::Tag(tag) => ExternType::Tag(tag.ty_in(store)?),
        })
    }
}

fn limits(min: u64, max: Option<u64>) -> Limits {
    Limits {
        min,
        max,
        is_64: false,
        shared: false,
    }
}

impl CoreTable {
    /// A new table of null references.
    ///
    /// # Errors
    /// If `element` is no type of references that may be null, or `min` elements are too many.
    pub fn new(
        mut store: impl AsContextMut,
        element: ValType,
        min: u64,
        max: Option<u64>,
    ) -> Result<CoreTable> {
        let mut context = store.as_context_mut();
        let store = context.opaque();
        if !matches!(element, ValType::Ref(ty) if ty.nullable) {
            return Err(Error::msg(format!(
                "a table cannot have elements of type {element}"
            )));
        }
        store.limits().check_table(min)?;
        let most = max.unwrap_or(u64::MAX).min(u32::MAX.into());
        let base = NonNull::<u64>::dangling().as_ptr().expose_provenance() as u64;
        let mut vm = VmTable {
            base,
            len: 0,
            max: store.limits().table_max(most),
            capacity: 0,
        };
        if table::grow(&mut vm, min, 0, || false).is_none() {
            return Err(Error::msg(format!("a table cannot have {min} elements")));
        }
        let address = store.host_items.add(HostTable(vm)).cast();
        let ty = TableType {
            element,
            limits: limits(min, max),
        };
        Ok(CoreTable {
            store: store.id(),
            item: TableItem { address, ty },
        })
    }

    /// The number of elements.
    ///
    /// # Errors
    /// If the table belongs to another store.
    pub fn size(&self, store: impl AsContext) -> Result<u64> {
        Ok(self.get(store.as_context().opaque())?.len)
    }

    /// The element at `index`; `None` if there are fewer.
    ///
    /// # Errors
    /// If the table belongs to another store.
    pub fn element(&self, store: impl AsContext, index: u64) -> Result<Option<CoreVal>> {
        let context = store.as_context();
        let table = self.get(context.opaque())?;
        Ok(table::range(table, index, 1).map(|element| {
            // SAFETY: inside the table, which nothing writes to meanwhile.
            let bits = unsafe { element.read() };
            CoreVal::from_bits(self.item.ty.element, bits.into(), context.opaque())
        }))
    }

    /// Sets the element at `index`.
    ///
    /// # Errors
    /// If there are fewer, `value` has another type, or either belongs to another store.
    pub fn set_element(
        &self,
        mut store: impl AsContextMut,
        index: u64,
        value: CoreVal,
    ) -> Result<()> {
        let mut context = store.as_context_mut();
        let store = context.opaque();
        let bits = value.to_bits(self.item.ty.element, store)?;
        let Some(element) = table::range(self.get(store)?, index, 1) else {
            return Err(Error::msg(format!("the table has no element {index}")));
        };
        // SAFETY: inside the table, which nothing else uses now.
        unsafe { element.write(bits as u64) };
        Ok(())
    }

    fn get<'a>(&self, store: &'a StoreOpaque) -> Result<&'a VmTable> {
        check_store(self.store, store)?;
        // SAFETY: lives as long as the store (as items do), which is borrowed.
        Ok(unsafe { self.item.address.as_ref() })
    }
}

impl CoreMemory {
    /// A new memory of zeros, of `min` to `max` pages of 64 KiB.
    ///
    /// # Errors
    /// If there is not enough address space or memory.
    pub fn new(mut store: impl AsContextMut, min: u64, max: Option<u64>) -> Result<CoreMemory> {
        let mut context = store.as_context_mut();
        let store = context.opaque();
        let memory = HostMemory::new(store.engine(), (min, max), false, store.limits())?;
        let address = store.host_items.add_memory(memory);
        let ty = MemoryType {
            page_log2: 16,
            limits: limits(min, max),
        };
        Ok(CoreMemory {
            store: store.id(),
            item: MemoryItem {
                address,
                ty,
                guard: Guard::Address,
                is_foreign: false,
            },
        })
    }

    /// The shared memory in a store, for modules to import.
    pub fn from_shared(mut store: impl AsContextMut, memory: &SharedMemory) -> CoreMemory {
        let mut context = store.as_context_mut();
        let store = context.opaque();
        let shared = CoreMemory {
            store: store.id(),
            item: MemoryItem {
                address: memory.vm(),
                ty: memory.ty(),
                guard: Guard::Address,
                is_foreign: true,
            },
        };
        // Keeps it as long as the store.
        store
            .host_items
            .add_shared_memory(Arc::clone(memory.shared()));
        shared
    }

    /// The size in pages.
    ///
    /// # Errors
    /// If the memory belongs to another store.
    pub fn size(&self, store: impl AsContext) -> Result<u64> {
        self.size_in(store.as_context().opaque())
    }

    fn size_in(&self, store: &StoreOpaque) -> Result<u64> {
        check_store(self.store, store)?;
        // SAFETY: lives as long as the store (as items do), which is borrowed.
        let page_log2 = unsafe { memory::Fixed::of(self.item.address) }.page_log2;
        // SAFETY: as above.
        let byte_len = unsafe { memory::byte_len(self.item.address) };
        Ok(byte_len.load(Ordering::SeqCst) >> page_log2)
    }

    /// Grows by `delta` pages: the old size in pages, or `None` if it cannot.
    ///
    /// # Errors
    /// If the memory belongs to another store.
    pub fn grow(&self, mut store: impl AsContextMut, delta: u64) -> Result<Option<u64>> {
        let mut context = store.as_context_mut();
        check_store(self.store, context.opaque())?;
        // SAFETY: lives as long as the store (as items do), which is exclusively ours.
        Ok(unsafe { memory::grow(self.item.address, delta) })
    }

    /// The bytes.
    ///
    /// # Errors
    /// If the memory belongs to another store, or is a [`SharedMemory`].
    pub fn data<'a, T: 'static>(&self, store: &'a impl AsContext<Data = T>) -> Result<&'a [u8]> {
        let memory = self.get(store.as_context().opaque())?;
        let base = std::ptr::with_exposed_provenance(memory.base as usize);
        // SAFETY: `byte_len` bytes are accessible, and nothing writes while the store is borrowed.
        Ok(unsafe { std::slice::from_raw_parts(base, memory.byte_len as usize) })
    }

    /// The bytes, to change them.
    ///
    /// # Errors
    /// If the memory belongs to another store, or is a [`SharedMemory`].
    pub fn data_mut<'a, T: 'static>(
        &self,
        store: &'a mut impl AsContextMut<Data = T>,
    ) -> Result<&'a mut [u8]> {
        let mut context = store.as_context_mut();
        let memory = self.get(context.opaque())?;
        let base = std::ptr::with_exposed_provenance_mut(memory.base as usize);
        // SAFETY: `byte_len` bytes are accessible, and nothing else uses them while the store is
        // exclusively borrowed.
        Ok(unsafe { std::slice::from_raw_parts_mut(base, memory.byte_len as usize) })
    }

    fn get<'a>(&self, store: &'a StoreOpaque) -> Result<&'a VmMemory> {
        check_store(self.store, store)?;
        if self.item.is_foreign {
            let message = "the bytes of a shared memory can change at any time";
            return Err(Error::msg(message));
        }
        // SAFETY: lives as long as the store (as items do), which is borrowed.
        Ok(unsafe { self.item.address.as_ref() })
    }
}

impl CoreGlobal {
    /// A new global.
    ///
    /// # Errors
    /// If `value` has another type or belongs to another store.
    pub fn new(
        mut store: impl AsContextMut,
        content: ValType,
        mutable: bool,
        value: CoreVal,
    ) -> Result<CoreGlobal> {
        let mut context = store.as_context_mut();
        let store = context.opaque();
        let bits: u128 = value.to_bits(content, store)?;
        let address = store.host_items.add(bits).cast();
        Ok(CoreGlobal {
            store: store.id(),
            item: GlobalItem {
                address,
                ty: GlobalType { content, mutable },
            },
        })
    }

    /// The type.
    pub fn ty(&self) -> GlobalType {
        self.item.ty
    }

    /// The value.
    ///
    /// # Errors
    /// If the global belongs to another store.
    pub fn get(&self, store: impl AsContext) -> Result<CoreVal> {
        let context = store.as_context();
        let store = context.opaque();
        check_store(self.store, store)?;
        let bits = match size_of_value(self.item.ty.content) {
            // SAFETY: lives as long as the store and has room for its type (as items do).
            4 => unsafe { self.item.address.cast::<u32>().read() }.into(),
            // SAFETY: as above.
            8 => unsafe { self.item.address.cast::<u64>().read() }.into(),
            // SAFETY: as above.
            _ => unsafe { self.item.address.cast::<u128>().read() },
        };
        Ok(CoreVal::from_bits(self.item.ty.content, bits, store))
    }

    /// Sets the value.
    ///
    /// # Errors
    /// If the global is immutable, `value` has another type, or either belongs to another store.
    pub fn set(&self, mut store: impl AsContextMut, value: CoreVal) -> Result<()> {
        let mut context = store.as_context_mut();
        let store = context.opaque();
        check_store(self.store, store)?;
        if !self.item.ty.mutable {
            return Err(Error::msg("the global is immutable"));
        }
        let bits = value.to_bits(self.item.ty.content, store)?;
        match size_of_value(self.item.ty.content) {
            // SAFETY: lives as long as the store and has room for its type (as items do).
            4 => unsafe { self.item.address.cast().write(bits as u32) },
            // SAFETY: as above.
            8 => unsafe { self.item.address.cast().write(bits as u64) },
            // SAFETY: as above.
            _ => unsafe { self.item.address.cast().write(bits) },
        }
        Ok(())
    }
}

/// Bytes of a value in a context.
const fn size_of_value(ty: ValType) -> usize {
    match ty {
        ValType::I32 | ValType::F32 => 4,
        ValType::I64 | ValType::F64 | ValType::Ref(_) => 8,
        ValType::V128 => 16,
    }
}
