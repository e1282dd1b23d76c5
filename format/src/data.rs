//! Memories, tables and their initial images.
//!
//! ```text
//! .cwasm.images:  | mapped run of memory 0 | mapped run of memory 1 | ... | copied run | ...
//! ```
//!
//! An image is a list of runs: bytes of the file that are loaded at an offset of the context or of
//! a memory. All bytes between runs are zero. *Mapped* runs are whole pages, mapped copy-on-write
//! from the artifact; the bytes of the others are copied when an instance is made.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of address space that a memory with 32-bit addresses reserves: all that an address can
/// reach. Code relies on it for memories that it imports, unless it checks accesses.
pub const RESERVATION_32: u64 = 1 << 32;

/// Inaccessible bytes after a reservation: an access whose constant offset is smaller needs no
/// check. Larger offsets do not occur in practice.
pub const GUARD_SIZE: u64 = 32 << 20;

/// Inaccessible bytes after the size of a memory whose accesses are compared with the size: an
/// access that starts at most at the size, and ends within these bytes, needs no other check.
pub const CHECKED_GUARD_SIZE: u64 = 64 << 10;

/// The most address space that a memory may reserve.
pub const MAX_RESERVATION: u64 = 1 << 46;

/// The most elements that a table may have.
pub const MAX_TABLE_ELEMENTS: u64 = 10_000_000;

/// A memory that the unit defines.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MemoryRecord {
    /// Context offset of its `VmMemory`, which the loader fills.
    pub slot: u32,
    /// Log2 of the page size in bytes.
    pub page_log2: u8,
    /// 1 if code compares accesses with the memory's size, so that it relies on the guard alone,
    /// wherever that begins; else 0.
    pub is_checked: u8,
    /// 1 if other threads may use it at the same time, else 0.
    pub is_shared: u16,
    /// Initial size in pages. If that is more than the reservation, there can be no instance.
    pub min: u64,
    /// Maximum in pages: the declared one, or the most that the address type allows.
    pub max: u64,
    /// Bytes after the memory's reservation that code may touch without a check, and that must
    /// therefore never be accessible.
    pub guard_size: u64,
    /// Bytes of address space that the memory reserves: code touches this far without a check. If
    /// accesses are checked, the bytes that it needs to grow to its maximum: then less is possible,
    /// but not less than the initial size.
    pub reservation: u64,
}

/// A table that the unit defines. Its `VmTable` (with `len` and `max`) is in the context image,
/// except for its address, which the loader fills.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TableRecord {
    /// Context offset of its `VmTable`.
    pub slot: u32,
    /// Context offset of its initial elements.
    pub elements: u32,
    /// Initial number of elements. If there are more than [`MAX_TABLE_ELEMENTS`], there can be no
    /// instance.
    pub len: u64,
}

/// The target of an [`ImageRecord`] of the context.
pub const IMAGE_CONTEXT: u32 = u32::MAX;

/// The most runs that an instance maps. Each takes up to two of the mappings that a process may
/// have (65,530 on Linux, by default), so that thousands of instances of any guests fit. Compilers
/// put few and long runs of bytes into a memory; if a guest has more, the longest are mapped.
pub const MAX_MAPPED_RUNS: usize = 16;

/// A run of an image.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ImageRecord {
    /// Index of the memory, or [`IMAGE_CONTEXT`].
    pub target: u32,
    /// 1 if the run is mapped: then offset, source and size are multiples of the page size. 0 if it
    /// is copied.
    pub is_mapped: u32,
    /// Where the run belongs: bytes from the start of the target.
    pub offset: u64,
    /// Where the run's bytes are: bytes from the start of the images section.
    pub source: u64,
    /// Bytes of the run.
    pub size: u64,
}
