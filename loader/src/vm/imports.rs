//! The values for the slots of a component's imports.
#![allow(unsafe_code, reason = "shares addresses between threads")]

use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;

use cwasm_format::vmctx::VmHostImport;

/// A bit beside the representation that a destructor of the host is given, if it is the host that
/// drops the resource: guests have 32 bits.
pub(crate) const DROPPED_BY_HOST: u64 = 1 << 32;

/// A bit beside that one, if the host's call can wait for the destructor.
#[cfg(feature = "async")]
pub(crate) const DROPPED_BY_FIBER: u64 = 1 << 33;

/// A host function as compiled code calls it: the value for the slot of an import.
#[derive(Clone)]
pub(crate) struct HostImport {
    /// The shim: see [`cwasm_format::code`].
    pub(crate) code: NonNull<u8>,
    /// First argument of the shim; valid as long as `keep`.
    pub(crate) data: NonNull<u8>,
    /// Owner of what `data` points to.
    pub(crate) keep: Arc<dyn Any + Send + Sync>,
    /// Whether it waits for a future of the host.
    #[cfg(feature = "async")]
    pub(crate) is_async: bool,
}

// SAFETY: `code` is a function and `data` is owned by `keep`, which is `Send` and `Sync`.
unsafe impl Send for HostImport {}
// SAFETY: as above.
unsafe impl Sync for HostImport {}

/// Resolved imports: context offsets and what is written there.
///
/// Invariant: each is the slot of an import of the component that the table is used for, and what
/// is written there matches the import's type.
#[derive(Debug)]
pub(crate) struct ImportTable(pub(crate) Box<[(u32, VmHostImport)]>);
