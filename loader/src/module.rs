//! Core modules: open units.

/// Bytes of address space of a memory that may be imported: compiled code relies on it.
pub(crate) const MEMORY_RESERVATION: u64 = 1 << 32;

/// Bytes behind it that can never be accessed.
pub(crate) const MEMORY_GUARD: u64 = 1 << 25;

#[derive(Debug)]
pub(crate) struct ModuleState;

#[derive(Default)]
pub(crate) struct HostItems;
