//! The context: what compiled code and loader share at run time.
//!
//! One *slot* of address space holds the context and the unit's first memory, so that one register
//! is the base of both:
//!
//! ```text
//! vmctx                              vmctx + context_size           + 4 GiB + guard
//! | VmContext | flags | globals | descriptors | tables | 0 | first memory ... | no access |
//! ```
//!
//! The compiler lays out everything behind [`VmContext`] and writes its initial bytes into the
//! context image; every offset is a constant in the code. Compiled code takes offsets with
//! `offset_of!`; the loader uses the fields.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The head of every context.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VmContext {
    /// Address of the [`VmStore`] of the store that the instance belongs to. Must be the first
    /// field, as in [`VmHostFunc`].
    pub store: u64,
    /// Address of the loader's own data of the instance.
    pub instance: u64,
}

/// What all contexts of one store share.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VmStore {
    /// Address of the table of [`Builtin`](crate::builtin::Builtin)s.
    pub builtins: u64,
    /// The lowest stack pointer with which the host may be called. Set at every entry.
    pub stack_limit: u64,
    /// Address of the loader's own data of the store.
    pub host: u64,
}

/// A linear memory.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VmMemory {
    /// Address of byte 0. Never changes in the life of the instance.
    pub base: u64,
    /// Size in bytes that can be accessed now.
    pub byte_len: u64,
    /// Size in bytes beyond which it cannot grow: the declared maximum, at most the reservation.
    pub max_byte_len: u64,
    /// Log2 of the page size in bytes.
    pub page_log2: u32,
    /// 1 if other threads may use and grow it at the same time, so that `byte_len` is accessed
    /// atomically; else 0.
    pub is_shared: u32,
}

/// A table.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VmTable {
    /// Address of element 0; each element is 8 bytes.
    pub base: u64,
    /// Number of elements.
    pub len: u64,
    /// Number of elements beyond which it cannot grow.
    pub max: u64,
    /// Elements allocated by the loader at `base`; 0 while they lie in the context.
    pub capacity: u64,
}

/// The handle table of a component instance (`Table` of the canonical ABI).
///
/// Handle 0 is never used. Free entries form a list, so that an index that was given back last is
/// given out first; those that were never used come after all that were, in ascending order.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VmHandles {
    /// Address of entry 0, allocated by the loader; 0 as long as there are none.
    pub base: u64,
    /// Number of entries, entry 0 included.
    pub len: u32,
    /// Index of the first free entry, or 0.
    pub free: u32,
    /// Number of borrows that the instance's call has got and not dropped yet.
    pub borrows: u32,
    /// Index of the first entry that is lent while arguments are lifted, or [`VmHandle::END`].
    pub lent: u32,
    /// Number of entries beyond which it cannot grow.
    pub max: u32,
    /// Zero.
    pub reserved: u32,
}

/// An entry of a handle table.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VmHandle {
    /// The resource's representation; in a free entry the index of the next one, or 0.
    pub rep: u32,
    /// The bits of a [`HandleUse`](crate::resources::HandleUse), or [`VmHandle::FREE`].
    pub ty: u32,
    /// 0 if it is not lent; else the index of the next entry that is, or [`VmHandle::END`].
    pub lent: u32,
    /// Zero.
    pub reserved: u32,
}

impl VmHandle {
    /// The [`ty`](VmHandle::ty) of a free entry.
    pub const FREE: u32 = u32::MAX;
    /// The end of the list of entries that are lent.
    pub const END: u32 = u32::MAX;
}

/// A function reference that may cross contexts, used by units of one core module ("open").
///
/// A reference value in such a unit is the address of one of these, or 0 for null.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VmFuncRef {
    /// Address of the code.
    pub code: u64,
    /// The context (or [`VmHostFunc`]) that the code is called with.
    pub context: u64,
    /// The engine-wide number of the function's type.
    pub type_id: u64,
}

/// An imported function of an open unit, in its context.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VmFuncImport {
    /// Address of the code.
    pub code: u64,
    /// The context that the code is called with.
    pub context: u64,
    /// Address of the function's [`VmFuncRef`], for `ref.func`.
    pub func_ref: u64,
}

/// A host function of a component, in its context.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VmHostImport {
    /// Address of the host's shim; see [`crate::code`] for its signature.
    pub code: u64,
    /// First argument of the shim.
    pub data: u64,
}

/// A host function given to open units: what their code sees as the callee's context.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VmHostFunc {
    /// Address of the [`VmStore`], as in [`VmContext`].
    pub store: u64,
    /// Address of the host's shim: `extern "C" fn(data, store: *mut VmStore, values: *mut u128) -> RawReturn`.
    pub code: u64,
    /// First argument of the shim.
    pub data: u64,
}

/// Bytes of the page that the code of an interruptible unit reads to see whether it shall go on, all
/// of them at some place. Its address is in the context; a fault is the trap
/// [`Interrupt`](crate::TrapCode::Interrupt).
pub const INTERRUPT_PAGE_SIZE: u32 = 4096;

/// What thunks and host shims return, in two registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RawReturn {
    /// The flat result's bits (floats as their bits, 32-bit values zero-extended), or 0.
    pub value: u64,
    /// 0, or the number of a [`TrapCode`](crate::TrapCode).
    pub status: u64,
}

/// Flags of one component instance: a `u32` in the context.
pub mod flags {
    /// The instance may be entered: it is not active and has never trapped.
    pub const MAY_ENTER: u32 = 1;
    /// The instance may call out: it is not in `realloc` or post-return.
    pub const MAY_LEAVE: u32 = 2;
    /// The flags of a fresh instance.
    pub const INITIAL: u32 = MAY_ENTER | MAY_LEAVE;
}

/// A function reference of a unit all of whose functions lie in one artifact ("closed"): null is
/// 0, others hold the type's number plus one in the high half and the offset of the code in the
/// text in the low half. It needs no relocation, so tables are part of the context image.
pub const fn closed_func_ref(type_number: u32, text_offset: u32) -> u64 {
    (type_number as u64 + 1) << 32 | text_offset as u64
}

const _: () = assert!(core::mem::offset_of!(VmContext, store) == 0);
const _: () = assert!(core::mem::offset_of!(VmHostFunc, store) == 0);
const _: () = assert!(size_of::<VmMemory>() == 32 && size_of::<VmTable>() == 32);
const _: () = assert!(size_of::<VmHandles>() == 32 && size_of::<VmHandle>() == 16);
const _: () = assert!(size_of::<VmFuncRef>() == 24 && size_of::<VmFuncImport>() == 24);
