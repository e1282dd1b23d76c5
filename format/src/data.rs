//! Memories, tables and the images they start from.
//!
//! ```text
//! .cwasm.images:  | mapped run of memory 0 | mapped run of memory 1 | ... | copied run | ...
//! ```
//!
//! An image is a list of runs: bytes of the file that belong at an offset of the context or of a
//! memory. Everything between runs is zero. *Mapped* runs are whole pages, mapped copy-on-write
//! from the artifact; the bytes of the others are copied when an instance is made.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of address space that a memory with 32-bit addresses reserves: all that an address can
/// reach. Code relies on it for memories that it imports, unless it checks accesses.
pub const RESERVATION_32: u64 = 1 << 32;

/// Inaccessible bytes behind a reservation: an access whose constant offset is smaller needs no
/// check. Larger offsets do not occur in practice.
pub const GUARD_SIZE: u64 = 32 << 20;

/// Inaccessible bytes behind the size of a memory whose accesses are compared with it: what starts
/// inside, or at the end, and does not get further needs no other check.
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
    /// 1 if code compares accesses with the memory's size, so that they rely on the guard alone,
    /// wherever it begins; else 0.
    pub is_checked: u8,
    /// 1 if other threads may use it at the same time, else 0.
    pub is_shared: u16,
    /// Initial size in pages. If that is more than the reservation, there can be no instance.
    pub min: u64,
    /// Maximum in pages: the declared one, or the most that the address type allows.
    pub max: u64,
    /// Bytes behind the memory's reservation that code may touch without a check, so that must
    /// never be accessible.
    pub guard_size: u64,
    /// Bytes that the memory reserves: code touches up to this without a check. If accesses are
    /// checked, what it needs to grow as far as it may: it can do with less, but for its initial
    /// size.
    pub reservation: u64,
}

/// A table that the unit defines. Its `VmTable` (with `len` and `max`) is in the context image but
/// for its address, which the loader fills.
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

/// The target of an [`ImageRecord`] that is the context and not a memory.
pub const IMAGE_CONTEXT: u32 = u32::MAX;

/// The most runs that an instance maps. Each takes up to two of the mappings that a process may
/// have (65,530 on Linux, by default), so that thousands of instances fit whatever their guests
/// are. Compilers put few and long runs of bytes into a memory; a guest that has more has the
/// longest mapped.
pub const MAX_MAPPED_RUNS: usize = 16;

/// A run of an image.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ImageRecord {
    /// Index of the memory, or [`IMAGE_CONTEXT`].
    pub target: u32,
    /// 1 if it is mapped: then offset, source and size are multiples of the page size. 0 if it is
    /// copied.
    pub is_mapped: u32,
    /// Where the run belongs: bytes from the start of the target.
    pub offset: u64,
    /// Where it stands: bytes from the start of the images section.
    pub source: u64,
    /// Bytes.
    pub size: u64,
}
