//! Fills in a new instance of an open unit: types, references and imports.
#![allow(unsafe_code, reason = "fills in addresses that compiled code follows")]

use std::ptr::NonNull;

use cwasm_format::data::{CHECKED_GUARD_SIZE, GUARD_SIZE, RESERVATION_32};
use cwasm_format::exceptions::TagRecord;
use cwasm_format::exports::{ExportRecord, IMPORTED};
use cwasm_format::header::NONE;
use cwasm_format::imports::ImportRecord;
use cwasm_format::vmctx::{VmContext, VmFuncImport, VmFuncRef, VmTag};

use super::extern_type;
use super::func::set_host_ref;
use crate::core_types::ExternType;
use crate::error::{Error, Result};
use crate::vm::instance::{InstanceData, InstanceKind};
use crate::vm::items::{FuncItem, GlobalItem, Guard, Item, MemoryItem, TableItem, TagItem};
use crate::vm::store::StoreOpaque;

/// An export of an instance of a module.
pub(super) fn exported(data: &InstanceData, export: &ExportRecord) -> Item {
    if export.index & IMPORTED != 0 {
        let InstanceKind::Module { imports, .. } = data.kind() else {
            unreachable!("only modules export what they import")
        };
        return imports[(export.index & !IMPORTED) as usize];
    }
    let ty = extern_type(data.unit(), export.kind, export.core_type);
    // SAFETY: the plan has checked that exports are what their kind says, and where.
    let address = unsafe { data.slot::<u8>(export.index) };
    match ty {
        ExternType::Func(_) => Item::Func(FuncItem::Wasm(address.cast())),
        ExternType::Table(ty) => Item::Table(TableItem {
            address: address.cast(),
            ty,
        }),
        ExternType::Memory(ty) => {
            let memories = data.unit().artifact().memories();
            let memory = memories.iter().find(|memory| memory.slot == export.index);
            let guard = memory.map_or(Guard::None, |memory| {
                match (memory.is_checked, memory.reservation, memory.guard_size) {
                    (0, RESERVATION_32.., GUARD_SIZE..) => Guard::Address,
                    (_, _, CHECKED_GUARD_SIZE..) => Guard::Size,
                    _ => Guard::None,
                }
            });
            Item::Memory(MemoryItem {
                address: address.cast(),
                ty,
                guard,
                is_foreign: false,
            })
        }
        ExternType::Global(ty) => Item::Global(GlobalItem { address, ty }),
        ExternType::Tag(_) => Item::Tag(TagItem {
            address: address.cast(),
        }),
    }
}

/// Checks that a memory has the inaccessible pages that code relies on which imports it as this
/// type.
pub(super) fn check_guard(
    found: &Item,
    ty: &ExternType,
    record: &ImportRecord,
) -> std::result::Result<(), &'static str> {
    let needed = match ty {
        // Accesses to other memories are always checked, whatever the record says.
        ExternType::Memory(ty)
            if !ty.limits.is_64 && ty.page_log2 == 16 && record.is_checked == 0 =>
        {
            Guard::Address
        }
        _ => Guard::Size,
    };
    match found {
        Item::Memory(memory) if memory.guard < needed => Err(
            "the memory has too small a guard: its module was compiled with `--bounds check`, which \
             what imports it needs too",
        ),
        _ => Ok(()),
    }
}

/// A new instance whose context is being filled in.
pub(super) struct Setup<'a> {
    pub(super) data: &'a InstanceData,
}

impl Setup<'_> {
    /// Fills in all that is not in the image: types, references and imports.
    pub(super) fn fill(&self, store: &mut StoreOpaque) {
        self.fill_types();
        self.fill_imports(store);
        self.fill_ref_slots();
    }

    /// Fills in types, references to the unit's own functions, and its tags.
    pub(super) fn fill_types(&self) {
        let artifact = self.data.unit().artifact();
        let type_ids = self.data.type_ids();
        if artifact.header().type_ids != NONE {
            for (index, id) in type_ids.iter().enumerate() {
                self.write(artifact.header().type_ids + 4 * index as u32, *id);
            }
        }
        for func_ref in artifact.func_refs() {
            // SAFETY: checked by the plan.
            let code = unsafe { self.data.text().at(func_ref.code) };
            let context = self.data.context().as_ptr();
            let value = VmFuncRef {
                code: code.address().as_ptr().expose_provenance() as u64,
                context: context.expose_provenance() as u64,
                type_id: type_ids[func_ref.core_type as usize].into(),
            };
            self.write(func_ref.slot, value);
        }
        let is_own = |tag: &&TagRecord| tag.slot != NONE && tag.slot & IMPORTED == 0;
        for tag in artifact.tags().iter().filter(is_own) {
            let value = VmTag {
                type_id: type_ids[tag.core_type as usize].into(),
            };
            self.write(tag.slot, value);
        }
    }

    /// Fills in the tables and globals that hold references from the start.
    pub(super) fn fill_ref_slots(&self) {
        for slot in self.data.unit().artifact().ref_slots() {
            let address = if slot.source & IMPORTED == 0 {
                self.address(slot.source)
            } else {
                // SAFETY: the plan has checked that this is the slot of a function's import.
                let import = unsafe { self.data.slot::<VmFuncImport>(slot.source & !IMPORTED) };
                // SAFETY: as above; written by `fill_imports`.
                unsafe { import.read() }.func_ref
            };
            self.write(slot.slot, address);
        }
    }

    fn fill_imports(&self, store: &mut StoreOpaque) {
        let InstanceKind::Module { imports, host_refs } = self.data.kind() else {
            unreachable!("the instance is of a module")
        };
        let mut host_refs = host_refs.iter();
        for (import, record) in imports.iter().zip(self.data.unit().artifact().imports()) {
            match import {
                Item::Func(FuncItem::Wasm(func_ref)) => self.link_func(record.slot, *func_ref),
                Item::Func(FuncItem::Host(func)) => {
                    // One was made for each host function, in this order.
                    let Some(func_ref) = host_refs.next() else {
                        unreachable!("each host function has a reference")
                    };
                    let func_ref = NonNull::from(func_ref);
                    set_host_ref(store, *func, func_ref);
                    self.link_func(record.slot, func_ref);
                }
                import => self.link_address(record.slot, import),
            }
        }
    }

    /// Fills in an import of a component.
    ///
    /// # Errors
    /// If it is a function of the host, which has no code for components.
    pub(super) fn link(&self, record: &ImportRecord, import: &Item) -> Result<()> {
        match import {
            Item::Func(FuncItem::Wasm(func_ref)) => self.link_func(record.slot, *func_ref),
            Item::Func(FuncItem::Host(_)) => {
                return Err(Error::msg(
                    "a component cannot use a host function that a core module exports",
                ));
            }
            import => self.link_address(record.slot, import),
        }
        Ok(())
    }

    /// Fills in the slot of a function, if it has one.
    fn link_func(&self, slot: u32, func_ref: NonNull<VmFuncRef>) {
        // SAFETY: references live as long as the store.
        let VmFuncRef { code, context, .. } = unsafe { func_ref.read() };
        let func_ref = func_ref.as_ptr().expose_provenance() as u64;
        if slot != NONE {
            self.write(
                slot,
                VmFuncImport {
                    code,
                    context,
                    func_ref,
                },
            );
        }
    }

    /// Fills in the slot of anything else, if it has one.
    fn link_address(&self, slot: u32, import: &Item) {
        let Some(address) = import.address() else {
            unreachable!("functions have more than an address")
        };
        if slot != NONE {
            self.write(slot, address);
        }
    }

    /// The address of an offset in the context.
    fn address(&self, offset: u32) -> u64 {
        let context: *mut VmContext = self.data.context().as_ptr();
        context
            .wrapping_byte_add(offset as usize)
            .expose_provenance() as u64
    }

    /// Writes to a slot that a record names.
    fn write<T>(&self, offset: u32, value: T) {
        // SAFETY: the plan has checked all slots for what is written there.
        let slot = unsafe { self.data.slot::<T>(offset) };
        // SAFETY: as above; no code runs yet.
        unsafe { slot.write(value) };
    }
}
