//! The context: the state that compiled code and loader share at run time.
//!
//! One *slot* of address space holds the context and the unit's first memory, so that one register
//! is the base of both:
//!
//! ```text
//! vmctx                              vmctx + context_size           + 4 GiB + guard
//! | VmContext | flags | globals | descriptors | tables | 0 | first memory ... | no access |
//! ```
//!
//! The compiler lays out everything after [`VmContext`] and writes its initial bytes into the
//! context image; every offset is a constant in the code. The compiler takes the offsets of fields
//! with `offset_of!`; the loader uses the fields.

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
    /// Not 0 after a trap of any kind: then nothing of the instance runs again. Set by the landing
    /// pads of thunks and by the loader.
    pub closed: u32,
    /// If not 0, nothing may enter the instance for now. The loader counts the reasons: results
    /// that stay in its memory until post-return, and, if the host wants so, calls of host
    /// functions.
    pub held: u32,
}

/// The data that all contexts of one store share.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VmStore {
    /// Address of the table of [`Builtin`](crate::builtin::Builtin)s.
    pub builtins: u64,
    /// The lowest stack pointer of wasm: functions that call others compare it in their prologues,
    /// trampolines before they call the host. Set when wasm is entered, and put back afterwards:
    /// 0 while no wasm of the store is active, and otherwise the innermost one's.
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
    /// Current size in bytes.
    pub byte_len: u64,
    /// Size in bytes beyond which it cannot grow: the declared maximum, at most the reservation.
    pub max_byte_len: u64,
    /// Log2 of the page size in bytes.
    pub page_log2: u16,
    /// 1 if other threads may use and grow it at the same time, so that `byte_len` is accessed
    /// atomically; else 0.
    pub is_shared: u16,
    /// Bytes of the loader's guard that moves when the memory grows; 0 if all that it can grow into
    /// is inaccessible by itself. If it is odd, the bytes that are one less are where a part ends,
    /// counted from `base`, that has guards where it is not accessible.
    pub guard: u32,
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

/// The handle table of a component instance (`Table` of the canonical ABI), and what its calls
/// have borrowed and lent.
///
/// Handle 0 is never used. Free entries form a list: the index that was freed last is used first,
/// and indices that were never used come last, in ascending order.
///
/// Calls into and out of an instance nest, so their data are a stack of words:
///
/// ```text
/// | borrows of a call into it | handle lent by a call out | ... | borrows of the innermost call |
/// ```
///
/// A call that gives the instance borrowed handles has one word, the number of those that are not
/// dropped yet (`Task.num_borrows`). Its place on the stack is the *scope* of these handles
/// (`ResourceHandle.borrow_scope`). A call that the instance makes has a word for each lent handle
/// that the adapter's code does not keep track of itself (`Subtask.lenders`).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VmHandles {
    /// Address of entry 0, allocated by the loader; 0 while there are no entries.
    pub base: u64,
    /// Address of the stack, allocated by the loader; 0 while there is none.
    pub stack: u64,
    /// Number of entries, entry 0 included.
    pub len: u32,
    /// Index of the first free entry, or 0.
    pub free: u32,
    /// Number of entries beyond which the table cannot grow.
    pub max: u32,
    /// Number of words on the stack.
    pub stack_len: u32,
    /// Number of words that the stack has room for.
    pub stack_capacity: u32,
    /// Zero.
    pub reserved: u32,
}

/// The state of a concurrent component instance that code and loader share.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VmConcurrent {
    /// The storage of the running task (`context.get`, `context.set`).
    pub storage: [u64; 2],
    /// The loader's number of the instance plus one; 0 before its first task.
    pub number: u64,
}

/// An entry of a handle table.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VmHandle {
    /// The resource's representation; in a free entry the index of the next one, or 0.
    pub rep: u32,
    /// The bits of a [`HandleUse`](crate::resources::HandleUse), or [`VmHandle::FREE`].
    pub ty: u32,
    /// The number of its loans by calls that are not over (`num_lends`).
    pub lends: u32,
    /// In a borrowed handle: the place on the stack of its call's count.
    pub scope: u32,
}

impl VmHandle {
    /// The [`ty`](VmHandle::ty) of a subtask; its `rep`, and those of what follows, is the loader's
    /// number.
    pub const SUBTASK: u32 = u32::MAX - 1;
    /// The [`ty`](VmHandle::ty) of a set of waitables.
    pub const WAITABLE_SET: u32 = u32::MAX - 2;
    /// The [`ty`](VmHandle::ty) of an end of a stream or future.
    pub const END: u32 = u32::MAX - 3;
    /// The [`ty`](VmHandle::ty) of an error context.
    pub const ERROR_CONTEXT: u32 = u32::MAX - 4;
    /// The [`ty`](VmHandle::ty) of a free entry.
    pub const FREE: u32 = u32::MAX;
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

/// A tag of an open unit: its identity is its address.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VmTag {
    /// The engine-wide number of the function type whose parameters are the tag's.
    pub type_id: u64,
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
    /// Address of the host's shim: `extern "C" fn(data, store: *mut VmStore, values: *mut u128) ->
    /// RawReturn`.
    pub code: u64,
    /// First argument of the shim.
    pub data: u64,
}

/// Bytes of the page that interruptible code reads to check whether to go on. Code may read any
/// byte of it. Its address is in the context; a fault is the trap
/// [`Interrupt`](crate::TrapCode::Interrupt).
pub const INTERRUPT_PAGE_SIZE: u32 = 4096;

/// The return value of thunks and host shims, in two registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes)]
#[repr(C)]
pub struct RawReturn {
    /// The flat result's bits (floats as their bits, 32-bit values zero-extended), or 0.
    pub value: u64,
    /// 0, or the number of a [`TrapCode`](crate::TrapCode).
    pub status: u64,
}

/// Flags of one component instance: a `u32` in the context.
///
/// None of them says whether it may be entered: it may, unless [`VmContext::closed`] or
/// [`VmContext::held`] is not 0.
pub mod flags {
    /// The instance may call out: it is not in `realloc` or post-return.
    pub const MAY_LEAVE: u32 = 1;
    /// The instance may also call itself, the instances around it and those nested in it, all of
    /// which may be active. The loader clears the flag for hosts that do not want active instances
    /// to be entered.
    pub const MAY_NEST: u32 = 2;
    /// The flags of a fresh instance.
    pub const INITIAL: u32 = MAY_LEAVE | MAY_NEST;
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
const _: () = assert!(size_of::<VmContext>() == 24);
const _: () = assert!(size_of::<VmHandles>() == 40 && size_of::<VmHandle>() == 16);
const _: () = assert!(size_of::<VmFuncRef>() == 24 && size_of::<VmFuncImport>() == 24);
