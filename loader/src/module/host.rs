//! Core items that the host defined: they live in the store, at addresses that wasm knows.
#![allow(
    unsafe_code,
    reason = "owns items that compiled code reaches by address"
)]

use std::ptr::NonNull;

use cwasm_format::vmctx::{VmFuncRef, VmHostFunc, VmTable};

use super::CoreVal;
use crate::core_types::FuncType;
use crate::error::Result;
use crate::vm::table;

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
