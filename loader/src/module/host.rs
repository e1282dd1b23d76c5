//! Core items that the host defined: they live in the store, at addresses that wasm knows.
#![allow(
    unsafe_code,
    reason = "owns items that compiled code reaches by address"
)]

use std::ptr::NonNull;

use cwasm_format::vmctx::{VmFuncRef, VmHostFunc, VmTable};

use super::{CoreVal, SharedMemory};
use crate::core_types::FuncType;
use crate::error::Result;
use crate::vm::memory::HostMemory;
use crate::vm::table;

/// The core items that the host defined in a store.
#[derive(Default)]
pub(crate) struct HostItems {
    pub(crate) funcs: Vec<Owned<HostFunc>>,
    pub(crate) tables: Vec<Owned<HostTable>>,
    pub(crate) memories: Vec<Owned<HostMemory>>,
    pub(crate) globals: Vec<Owned<u128>>,
    pub(crate) shared_memories: Vec<SharedMemory>,
}

impl HostItems {
    /// Whether an address is in a memory of these or its guard. Safe in signal handlers.
    pub(crate) fn contains(&self, address: usize) -> bool {
        let own = |memory: &Owned<HostMemory>| {
            // SAFETY: live as long as its owner.
            unsafe { HostMemory::contains(memory.as_ptr(), address) }
        };
        self.memories.iter().any(own)
            || self
                .shared_memories
                .iter()
                .any(|memory| memory.contains(address))
    }
}

/// A host function for core modules.
#[repr(C)]
pub(crate) struct HostFunc {
    /// What wasm sees as the function's context. Must be the first field.
    pub(crate) vm: VmHostFunc,
    pub(crate) ty: FuncType,
    pub(crate) call: Box<HostCall>,
    /// A reference to this function in an instance that imports it: what it is as a value.
    pub(crate) func_ref: Option<NonNull<VmFuncRef>>,
}

/// The host's code.
pub(crate) type HostCall = dyn Fn(&[CoreVal]) -> Result<Vec<CoreVal>> + Send + Sync;

// SAFETY: the reference belongs to an instance of the store that the function belongs to.
unsafe impl Send for HostFunc {}

/// A table that the host defined.
#[repr(transparent)]
pub(crate) struct HostTable(pub(crate) VmTable);

impl Drop for HostTable {
    fn drop(&mut self) {
        // SAFETY: the table's elements are used by its store alone, which is being dropped.
        unsafe { table::free(&self.0) };
    }
}

/// A box that compiled code has the address of: it is reached by pointers only.
#[derive(Debug)]
pub(crate) struct Owned<T>(NonNull<T>);

// SAFETY: owns a `T`, as a box does.
unsafe impl<T: Send> Send for Owned<T> {}

impl<T> Owned<T> {
    pub(crate) fn new(value: T) -> Owned<T> {
        Owned(NonNull::from(Box::leak(Box::new(value))))
    }

    /// The address, valid as long as this owner.
    pub(crate) fn as_ptr(&self) -> NonNull<T> {
        self.0
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: from a box, and freed here only.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
