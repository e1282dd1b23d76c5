//! Machine code and its tables, and the calling conventions between compiled code and host.
//!
//! Text offsets count from the start of `.text`. Core functions come first, then thunks and
//! trampolines ([`Header::thunks_start`](crate::header::Header)).
//!
//! Calling conventions, all based on the target's C ABI (System V on x86-64):
//!
//! - Through a **thunk** the host enters wasm. There is one per signature and callee: `extern "C"
//!   fn(context, a0: u64, a1: u64, ...) -> RawReturn`. Each flat value is one `u64`: 32-bit values
//!   in the low half (the thunk ignores the high half), floats as their bits. It calls the core
//!   function; if that traps, control comes back to the thunk's landing pad, which returns the
//!   trap's number as the status.
//! - An **array thunk** enters any core function of one core type (open units):
//!   `extern "C" fn(callee_context, code, values: *mut u128) -> RawReturn`; parameters are read
//!   from `values`, results written there.
//! - A **host shim** of a component: `extern "C" fn(data, context, lower: *const LowerRecord, a0:
//!   u64, ...) -> RawReturn`. A status that is not 0 is raised as a trap by the trampoline.
//!
//! - A **destructor** of the host: `extern "C" fn(data, context, rep: u64) -> RawReturn`.
//!
//! How a trap finds its landing pad: every frame of compiled code keeps a frame pointer. From the
//! frame that traps, the chain is walked up to the first return address that is in the table of
//! entries: that frame is a thunk's. Entering wasm stores only one word for this, the thunk's first
//! argument: through it a signal handler finds the store whose memories may fault.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::exports::StrRef;

/// The call inside a thunk that enters wasm.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EntryRecord {
    /// Text offset of the call's return address. The table is sorted by it.
    pub return_offset: u32,
    /// Text offset of the landing pad. It expects the trap's number in the first result register,
    /// the stack pointer and frame pointer of the thunk, and nothing in other registers.
    pub handler_offset: u32,
    /// Bytes from the stack pointer up to the frame pointer at the call.
    pub frame_size: u32,
    /// Bytes from the stack pointer at the call up to where the thunk keeps its first argument: a
    /// context, or a [`VmHostFunc`](crate::vmctx::VmHostFunc).
    pub context_offset: u32,
}

/// Kinds of functions in the text, for [`FunctionRecord::kind`].
pub mod function_kind {
    /// A core function: `unit_part` is the core instance, `index` its function index.
    pub const CORE: u32 = 0;
    /// A host-to-wasm thunk.
    pub const THUNK: u32 = 1;
    /// A wasm-to-host trampoline.
    pub const TRAMPOLINE: u32 = 2;
    /// A trampoline to a builtin.
    pub const BUILTIN: u32 = 3;
    /// An adapter between components.
    pub const ADAPTER: u32 = 4;
    /// A function that runs at instantiation.
    pub const INIT: u32 = 5;
    /// A function on handles: `resource.new`, `resource.rep` or `resource.drop` of a component, or
    /// one that these share.
    pub const RESOURCE: u32 = 6;
}

/// One function of the text, sorted by start.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FunctionRecord {
    /// Text offset of its first instruction. It ends where the next one starts.
    pub start: u32,
    /// A number of [`function_kind`] in the low 8 bits, the core instance in the high 24.
    pub kind: u32,
    /// Index of the function in its core module, or in the list of its kind.
    pub index: u32,
}

/// A core function type of an open unit.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CoreTypeRecord {
    /// The type, encoded as in [`crate::imports::core_type`].
    pub core_type: StrRef,
    /// Text offset of its array thunk, or `NONE` if no function of this type can be called from
    /// outside.
    pub array_thunk: u32,
    /// Text offset of the trampoline through which wasm calls host functions of this type: its
    /// context is a `VmHostFunc`. Or `NONE`.
    pub host_trampoline: u32,
}

/// A `VmFuncRef` in the context of an open unit, which the loader fills.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FuncRefRecord {
    /// Context offset of the `VmFuncRef`.
    pub slot: u32,
    /// Text offset of the function.
    pub code: u32,
    /// Index of its type in the core types.
    pub core_type: u32,
}

/// A `u64` in the context of an open unit that the loader fills with the address of a `VmFuncRef`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RefSlotRecord {
    /// Context offset of the `u64`.
    pub slot: u32,
    /// Context offset of the `VmFuncRef`, or of the `VmFuncImport` whose `func_ref` is copied when
    /// [`IMPORTED`](crate::exports::IMPORTED) is set.
    pub source: u32,
}
