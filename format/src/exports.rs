//! The exports of an artifact.
//!
//! Exports are sorted by the bytes of their names, for binary search. A function inside an
//! exported instance is named by its path: instance name, `#`, function name
//! (`wasi:cli/run@0.2.0#run`); `#` cannot occur in a component's names. An exported instance also
//! has a record of its own.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::hash::TypeHash;
use crate::resources::UseRange;

/// A range of [`SectionId::Strings`](crate::header::SectionId).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct StrRef {
    /// Byte offset in the section.
    pub offset: u32,
    /// Bytes.
    pub len: u32,
}

/// Kinds of exports and imports: [`ExportRecord::kind`], [`ImportRecord::kind`].
///
/// [`ImportRecord::kind`]: crate::imports::ImportRecord::kind
pub mod kind {
    /// A component function.
    pub const FUNC: u32 = 1;
    /// A component instance.
    pub const INSTANCE: u32 = 2;
    /// A resource type.
    pub const RESOURCE: u32 = 3;
    /// A core module.
    pub const MODULE: u32 = 4;
    /// A core function.
    pub const CORE_FUNC: u32 = 16;
    /// A core table.
    pub const CORE_TABLE: u32 = 17;
    /// A core memory.
    pub const CORE_MEMORY: u32 = 18;
    /// A core global.
    pub const CORE_GLOBAL: u32 = 19;
    /// A core tag.
    pub const CORE_TAG: u32 = 20;
}

/// One export.
///
/// | kind | `index` |
/// |---|---|
/// | component function | its [`LiftRecord`] |
/// | instance | 0 |
/// | resource type | its [`ResourceRecord`](crate::resources::ResourceRecord) |
/// | core module | 0, or its import with [`IMPORTED`] set |
/// | core function | context offset of its `VmFuncRef`, or its import with [`IMPORTED`] set |
/// | core table | context offset of its `VmTable`, or its import with [`IMPORTED`] set |
/// | core memory | context offset of its `VmMemory`, or its import with [`IMPORTED`] set |
/// | core global | context offset of its value, or its import with [`IMPORTED`] set |
/// | core tag | context offset of its `VmTag`, or its import with [`IMPORTED`] set |
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExportRecord {
    /// The name or path.
    pub name: StrRef,
    /// A number of [`kind`].
    pub kind: u32,
    /// Which item of its kind; see above.
    pub index: u32,
    /// The core type, encoded as in [`crate::imports::core_type`]; of a core module, the range of
    /// its artifact in [`SectionId::Modules`](crate::header::SectionId) if it is not imported;
    /// otherwise empty.
    pub core_type: StrRef,
}

/// Set in [`ExportRecord::index`] when a unit exports what it imports.
pub const IMPORTED: u32 = 1 << 31;

/// How the host calls a lifted function.
///
/// All offsets are text offsets of thunks (see [`crate::code`]) or context offsets.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LiftRecord {
    /// Hash of the function's type.
    pub hash: TypeHash,
    /// Thunk that takes the flat parameters.
    pub thunk: u32,
    /// Thunk of the post-return function: takes the flat result. Or `NONE`.
    pub post_return: u32,
    /// The canonical options.
    pub options: CanonOptions,
    /// Context offset of the instance's flags.
    pub flags: u32,
    /// Index of the function's type in [`Description::funcs`](crate::describe::Description).
    pub func_type: u32,
    /// Index of its [`TaskRecord`](crate::concurrent::TaskRecord) plus one, if the function is
    /// called through the loader; else 0.
    pub task: u32,
}

/// The canonical options of a lift or lower, resolved.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CanonOptions {
    /// Context offset of the `VmMemory`, or with [`IMPORTED`] of the slot of an import of a core
    /// memory, or `NONE`.
    pub memory: u32,
    /// Text offset of the thunk of `realloc`: `(old, old_size, align, new_size) -> pointer`. Or
    /// `NONE`.
    pub realloc: u32,
    /// The number of a [`StringEncoding`](crate::encoding::StringEncoding).
    pub string_encoding: u32,
    /// Context offset of the component instance's `VmHandles`, or `NONE`.
    pub handles: u32,
    /// The handles in the function's type, or in the payload of a stream or future.
    pub uses: UseRange,
    /// 1 if the memory's addresses, and so pointers and lengths, have 64 bits; else 0.
    pub is_64: u32,
}

const _: () = assert!(size_of::<ExportRecord>() == 24 && size_of::<LiftRecord>() == 64);
