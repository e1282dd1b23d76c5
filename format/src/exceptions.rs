//! Exceptions: the tables by which a throw finds the code that catches it.
//!
//! ```text
//! return address -> CatchSite -> CatchList -> CatchRecord, CatchRecord, ...
//! ```
//!
//! A throw walks the frames of compiled code from the innermost one. Where the return address of a
//! frame has a [`CatchSite`], the records of its list are compared in order; the first that matches
//! is the handler. The walk ends at a thunk, and at a record that says so ([`catch::BOUNDARY`]):
//! there the exception is not caught.
//!
//! A handler expects the stack pointer and frame pointer of its function, and in the first result
//! register the address of the exception's values, which the loader keeps until the next throw:
//!
//! ```text
//! | reference, if it is caught with one | tag | value 0: 16 bytes | value 1 ...
//! ```
//!
//! In a closed unit all frames between a throw and a thunk belong to one instance, so that the
//! number of a tag tells it from all others. Of an open unit, whose tags may come from elsewhere,
//! the handler's function keeps its context in its frame, through which the numbers become
//! addresses of [`VmTag`](crate::vmctx::VmTag)s.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::exports::StrRef;

/// A tag of the unit; its number is its place in the section.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TagRecord {
    /// In an open unit: context offset of its `VmTag`, or with
    /// [`IMPORTED`](crate::exports::IMPORTED) of the address of one. In a closed unit `NONE`.
    pub slot: u32,
    /// The core instance whose module defines or imports it.
    pub core_instance: u32,
    /// Its index in that module.
    pub index: u32,
    /// In an open unit: index of the function type whose parameters are its own in the core types.
    /// In a closed unit `NONE`.
    pub core_type: u32,
    /// A name by which the module imports or exports it; may be empty.
    pub name: StrRef,
}

/// A call inside of a `try_table`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CatchSite {
    /// Text offset of the call's return address.
    pub return_offset: u32,
    /// Index of its list of handlers.
    pub list: u32,
}

/// The handlers of calls in one function, innermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CatchList {
    /// Bytes from the stack pointer up to the frame pointer at the calls, and in the handlers.
    pub frame_size: u32,
    /// In an open unit: bytes from the stack pointer up to where the function keeps its context;
    /// otherwise `NONE`.
    pub context_offset: u32,
    /// The first of its records.
    pub first: u32,
    /// The number of its records.
    pub count: u32,
}

/// A handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CatchRecord {
    /// What it catches: bits of [`catch`], and the number of the tag.
    pub catches: u32,
    /// Text offset of its code.
    pub handler: u32,
}

/// The bits of [`CatchRecord::catches`].
pub mod catch {
    /// The bits that hold the number of the tag.
    pub const TAG: u32 = (1 << 24) - 1;
    /// It catches exceptions of any tag; there is no number.
    pub const ANY: u32 = 1 << 24;
    /// It catches with a reference to the exception.
    pub const REFERENCE: u32 = 1 << 25;
    /// Nothing catches the exception: here one component calls another.
    pub const BOUNDARY: u32 = 1 << 26;
}

/// Bytes of a value of an exception, and of reference and tag before the first one.
pub const VALUE_SIZE: u32 = 16;

const _: () = assert!(size_of::<TagRecord>() == 24 && size_of::<CatchList>() == 16);
