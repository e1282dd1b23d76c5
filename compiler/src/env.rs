//! The places of all items that a core function can name: constants of the unit's layout.

use cwasm_format::exports::IMPORTED;

use crate::ir::symbol::FuncId;
use crate::module::Module;

/// A core instance as its functions see it: for each index space, the place of each item.
pub(crate) struct Env<'a> {
    pub(crate) module: &'a Module<'a>,
    /// Number of the core instance in the unit.
    pub(crate) instance: u32,
    pub(crate) funcs: Vec<FuncLoc>,
    pub(crate) tables: Vec<TableLoc>,
    pub(crate) memories: Vec<MemoryLoc>,
    pub(crate) globals: Vec<GlobalLoc>,
    pub(crate) tags: Vec<TagLoc>,
    pub(crate) data: Vec<DataLoc>,
    pub(crate) elements: Vec<ElementLoc>,
    /// The unit's number for each function type, by type index. Equal types have equal numbers.
    pub(crate) type_numbers: Vec<u32>,
    pub(crate) refs: FuncRefs,
    /// Context offset of the address of the page that code checks for interrupts; `None` if code is
    /// not interruptible.
    pub(crate) interrupt_slot: Option<u32>,
}

/// How function references are represented in the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FuncRefs {
    /// [`cwasm_format::vmctx::closed_func_ref`]: all functions are in this text and take this
    /// context.
    Closed,
    /// Address of a [`cwasm_format::vmctx::VmFuncRef`]; type numbers are compared through the
    /// array of `u32` at this context offset.
    Open { type_ids: u32 },
}

/// A tag of the unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TagLoc {
    /// Its place in [`UnitLayout::tags`](crate::layout::UnitLayout).
    pub(crate) number: u32,
    /// [`TagRecord::slot`](cwasm_format::exceptions::TagRecord::slot).
    pub(crate) slot: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum FuncLoc {
    /// In the unit: called directly with the same context.
    Local {
        func: FuncId,
        /// Context offset of its `VmFuncRef` in an open unit, if something refers to it.
        func_ref: Option<u32>,
    },
    /// A `VmFuncImport` at this context offset (open units only).
    Import { slot: u32 },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryLoc {
    pub(crate) base: MemoryBase,
    /// Initial size in bytes: the memory never gets smaller.
    pub(crate) min_byte_len: u64,
    /// Accesses below this need no check: those between the size and this fault.
    pub(crate) reservation: u64,
    /// Bytes after the reservation that fault too.
    pub(crate) guard_size: u64,
    pub(crate) is_64: bool,
    /// Whether each access that may be out of bounds is compared with the size. Of such a memory,
    /// code relies on the guard only.
    pub(crate) is_checked: bool,
    /// Whether it always has its initial size.
    pub(crate) is_fixed: bool,
    /// Whether other threads may access and grow it.
    pub(crate) is_shared: bool,
    pub(crate) page_log2: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum MemoryBase {
    /// Byte 0 is at `vmctx + context_size`; its `VmMemory` is at context offset `desc`.
    First { context_size: u32, desc: u32 },
    /// The `VmMemory` is at this context offset.
    Own { desc: u32 },
    /// The address of the `VmMemory` is at this context offset (open units only).
    Import { slot: u32 },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum TableLoc {
    /// The table never grows, so its elements are always at this context offset. `desc` is its
    /// `VmTable`.
    Fixed { desc: u32, elements: u32, len: u32 },
    /// The table is never written and never grows: its elements are at an offset in the data
    /// section (closed units only).
    Constant {
        data: u32,
        len: u32,
        /// If no element is null and all are functions of one type, that type's number.
        all_of_type: Option<u32>,
    },
    /// The `VmTable` is at this context offset.
    Own { desc: u32 },
    /// The address of the `VmTable` is at this context offset (open units only).
    Import { slot: u32 },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum GlobalLoc {
    /// Immutable and known.
    Const(ConstValue),
    /// The value is at this context offset.
    Own { offset: u32 },
    /// The address of the value is at this context offset (open units only).
    Import { slot: u32 },
}

/// A value known at compile time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConstValue {
    I32(u32),
    I64(u64),
    /// As bits.
    F32(u32),
    /// As bits.
    F64(u64),
    V128(u128),
    Ref(ConstRef),
}

/// A reference known at compile time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConstRef {
    Null,
    /// A function of the unit (closed units), with the number of its type.
    Closed {
        func: FuncId,
        type_number: u32,
    },
    /// A function whose reference the loader fills in (open units).
    Open(RefSource),
}

/// Where the loader finds the value of a function reference of an open unit, which it fills in
/// before anything runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefSource {
    /// The `VmFuncRef` at this context offset.
    FuncRef(u32),
    /// The `VmFuncImport` at this context offset.
    Import(u32),
}

impl RefSource {
    /// [`RefSlotRecord::source`](cwasm_format::code::RefSlotRecord::source).
    pub(crate) fn number(self) -> u32 {
        match self {
            RefSource::FuncRef(slot) => slot,
            RefSource::Import(slot) => slot | IMPORTED,
        }
    }
}

/// A data segment: its bytes are in the artifact's data, its current length (0 once dropped) is a
/// `u64` in the context. `None` for segments that no instruction names.
pub(crate) type DataLoc = Option<SegmentLoc>;

/// An element segment; its elements are 8 bytes each. See [`DataLoc`].
pub(crate) type ElementLoc = Option<SegmentLoc>;

#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentLoc {
    pub(crate) start: SegmentStart,
    /// Context offset of the current length, a `u64`.
    pub(crate) len: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum SegmentStart {
    /// Offset in the artifact's data section.
    Data(u32),
    /// Offset in the context.
    Context(u32),
}
