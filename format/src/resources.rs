//! Resource types and the handles that functions pass.
//!
//! Each resource type of a unit has a number: its record's place. Each instance of a nested
//! component defines resource types of its own, with numbers of their own.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::exports::StrRef;
use crate::types::ResourceNumber;

/// The most resource types of a unit.
pub const MAX_RESOURCES: u32 = 100_000;

/// The most handles in the types of all functions that cross between host and guest.
pub const MAX_HANDLE_USES: usize = 1 << 20;

/// A resource type.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ResourceRecord {
    /// The name or path by which it is imported or exported, for messages; may be empty.
    pub name: StrRef,
    /// Context offset of the flags of the component instance that defines it, or `NONE` if the host
    /// defines it.
    pub flags: u32,
    /// Text offset of the thunk of its destructor in the component, `(rep)`. Or `NONE`.
    pub dtor: u32,
    /// Index of the import by which the host provides it, or `NONE`.
    pub import: u32,
    /// Zero.
    pub reserved: u32,
}

/// A handle in a function's type: its resource, and whether it is borrowed.
///
/// Its bits are the resource's number, doubled, plus one if borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct HandleUse(pub u32);

impl HandleUse {
    /// `own<R>`.
    pub const fn own(resource: ResourceNumber) -> HandleUse {
        HandleUse(resource.0 << 1)
    }

    /// `borrow<R>`.
    pub const fn borrow(resource: ResourceNumber) -> HandleUse {
        HandleUse(resource.0 << 1 | 1)
    }

    /// The resource.
    pub const fn resource(self) -> ResourceNumber {
        ResourceNumber(self.0 >> 1)
    }

    /// Whether it is borrowed.
    pub const fn is_borrow(self) -> bool {
        self.0 & 1 != 0
    }
}

/// A range of [`SectionId::HandleUses`](crate::header::SectionId): the handles in a function's
/// type, in the order of [`Types::handles`](crate::types::Types::handles).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct UseRange {
    /// Index of the first.
    pub start: u32,
    /// The number of handles.
    pub len: u32,
}

/// The handle table of a component instance.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HandleTableRecord {
    /// Context offset of its `VmHandles`, which the loader fills.
    pub slot: u32,
}

/// A component instance that calls itself, an instance around it, or one nested in it: see
/// [`MAY_NEST`](crate::vmctx::flags::MAY_NEST).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NestRecord {
    /// Context offset of its flags.
    pub flags: u32,
}

const _: () = assert!(size_of::<ResourceRecord>() == 24 && size_of::<HandleUse>() == 4);
