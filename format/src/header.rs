//! The header: the first thing a loader reads, at a fixed place in the file.
//!
//! ```text
//! 0x200  magic            "cwasm\r\n\x1a"
//! 0x208  abi_version                        rises with every change of layout or ABI
//! 0x20c  target           1 = x86_64-linux
//! 0x210  cpu_features     bits of cpu.rs
//! 0x218  file_size
//! 0x220  kind             1 = component, 2 = module
//! ...    context layout, entry points
//!        sections         offset and size of each, in the order of `SectionId`
//!        digest           SHA-256 of the file with this field and the checksum zero
//!        checksum         of all bytes of the file before it
//! ```

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The offset of the header in the file: after the ELF header (64 bytes) and room for 8 program
/// headers.
pub const HEADER_OFFSET: usize = 0x200;

/// The first bytes of the header. The line ends detect transfers as text.
pub const MAGIC: [u8; 8] = *b"cwasm\r\n\x1a";

/// The version this crate writes. Version 2 has more builtins and traps, shared memories, and
/// references to function types; version 3 has interruptible code and resources; version 4 has
/// memories of 64 bits for the canonical ABI, lists of fixed length, maps, and modules as imports
/// and exports, and its thunks store their context; in version 5 instances may be entered while
/// they wait; version 6 says which runs of images are mapped, and stores equal names of functions
/// once; in version 7 memories may have a guard that moves, of which code knows nothing; version 8
/// has tasks, streams and futures; version 9 has exceptions; version 10 has error contexts.
pub const ABI_VERSION: u32 = 10;

/// The lowest version this crate reads.
pub const ABI_VERSION_MIN: u32 = 9;

/// Bytes of a page: the alignment of sections that are mapped, and the granularity of mapped runs.
pub const PAGE_SIZE: u64 = 4096;

/// The target number of x86-64 Linux.
pub const TARGET_X86_64_LINUX: u32 = 1;

/// Stands for "none" where a `u32` is an offset or index.
pub const NONE: u32 = u32::MAX;

/// The value of [`Header::interrupt_slot`] in an artifact that cannot be interrupted. (Versions 1
/// and 2 have zero there.)
pub const NO_INTERRUPTS: u32 = 0;

/// The targets: number, name, and machine of ELF files (`e_machine`; this is `EM_X86_64`).
const TARGETS: &[(u32, &str, u16)] = &[(TARGET_X86_64_LINUX, "x86_64-unknown-linux-gnu", 62)];

/// The name of a target number, for messages.
pub fn target_name(target: u32) -> &'static str {
    let found = TARGETS.iter().find(|(number, ..)| *number == target);
    found.map_or("an unknown target", |(_, name, _)| name)
}

/// `e_machine` of ELF files for a target number: 0 (`EM_NONE`) for one that is unknown.
#[cfg(feature = "write")]
pub(crate) fn elf_machine(target: u32) -> u16 {
    let found = TARGETS.iter().find(|(number, ..)| *number == target);
    found.map_or(0, |(.., machine)| *machine)
}

/// The kind of an artifact's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// A component: one closed unit.
    Component = 1,
    /// A core module: an open unit.
    Module = 2,
}

impl core::fmt::Display for Kind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Kind::Component => "component",
            Kind::Module => "core module",
        })
    }
}

macro_rules! sections {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $record:expr;)*) => {
        /// A section: its place in [`Header::sections`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum SectionId { $($(#[$doc])* $name,)* }

        impl SectionId {
            /// All sections, in their order in the header and in the file.
            pub const ALL: &'static [SectionId] = &[$(SectionId::$name,)*];

            /// The name, as in the ELF section header.
            pub const fn name(self) -> &'static str {
                match self { $(SectionId::$name => $text,)* }
            }

            /// The size of one record: the section's size is a multiple of it.
            pub const fn record_size(self) -> u64 {
                match self { $(SectionId::$name => $record as u64,)* }
            }
        }
    };
}

sections! {
    /// UTF-8 text that records refer to.
    Strings = ".cwasm.strings", 1;
    /// [`crate::exports::ExportRecord`]s, sorted by name.
    Exports = ".cwasm.exports", size_of::<crate::exports::ExportRecord>();
    /// [`crate::lookup::ExportSlot`]s, which find exports by name.
    ExportSlots = ".cwasm.export_slots", size_of::<crate::lookup::ExportSlot>();
    /// [`crate::imports::ImportRecord`]s, in the order of the unit's imports.
    Imports = ".cwasm.imports", size_of::<crate::imports::ImportRecord>();
    /// [`crate::exports::LiftRecord`]s.
    Lifts = ".cwasm.lifts", size_of::<crate::exports::LiftRecord>();
    /// [`crate::imports::LowerRecord`]s.
    Lowers = ".cwasm.lowers", size_of::<crate::imports::LowerRecord>();
    /// [`crate::resources::ResourceRecord`]s.
    Resources = ".cwasm.resources", size_of::<crate::resources::ResourceRecord>();
    /// [`crate::resources::HandleUse`]s.
    HandleUses = ".cwasm.handle_uses", size_of::<crate::resources::HandleUse>();
    /// [`crate::resources::HandleTableRecord`]s.
    HandleTables = ".cwasm.handle_tables", size_of::<crate::resources::HandleTableRecord>();
    /// [`crate::resources::NestRecord`]s.
    Nests = ".cwasm.nests", size_of::<crate::resources::NestRecord>();
    /// [`crate::concurrent::ConcurrentRecord`]s.
    Concurrent = ".cwasm.concurrent", size_of::<crate::concurrent::ConcurrentRecord>();
    /// [`crate::concurrent::TaskRecord`]s.
    Tasks = ".cwasm.tasks", size_of::<crate::concurrent::TaskRecord>();
    /// [`crate::concurrent::OpRecord`]s.
    Ops = ".cwasm.ops", size_of::<crate::concurrent::OpRecord>();
    /// [`crate::data::MemoryRecord`]s.
    Memories = ".cwasm.memories", size_of::<crate::data::MemoryRecord>();
    /// [`crate::data::TableRecord`]s.
    Tables = ".cwasm.tables", size_of::<crate::data::TableRecord>();
    /// [`crate::data::ImageRecord`]s.
    ImageRuns = ".cwasm.image_runs", size_of::<crate::data::ImageRecord>();
    /// [`crate::code::CoreTypeRecord`]s.
    CoreTypes = ".cwasm.core_types", size_of::<crate::code::CoreTypeRecord>();
    /// [`crate::code::FuncRefRecord`]s.
    FuncRefs = ".cwasm.func_refs", size_of::<crate::code::FuncRefRecord>();
    /// [`crate::code::RefSlotRecord`]s.
    RefSlots = ".cwasm.ref_slots", size_of::<crate::code::RefSlotRecord>();
    /// [`crate::modules::ModuleInstanceRecord`]s, in the order of instantiation.
    ModuleInstances = ".cwasm.module_instances", size_of::<crate::modules::ModuleInstanceRecord>();
    /// [`crate::modules::ModuleArgRecord`]s.
    ModuleArgs = ".cwasm.module_args", size_of::<crate::modules::ModuleArgRecord>();
    /// [`crate::code::EntryRecord`]s, sorted by return address.
    Entries = ".cwasm.entries", size_of::<crate::code::EntryRecord>();
    /// [`crate::exceptions::TagRecord`]s, by number.
    Tags = ".cwasm.tags", size_of::<crate::exceptions::TagRecord>();
    /// [`crate::exceptions::CatchSite`]s, sorted by return address.
    CatchSites = ".cwasm.catch_sites", size_of::<crate::exceptions::CatchSite>();
    /// [`crate::exceptions::CatchList`]s.
    CatchLists = ".cwasm.catch_lists", size_of::<crate::exceptions::CatchList>();
    /// [`crate::exceptions::CatchRecord`]s.
    Catches = ".cwasm.catches", size_of::<crate::exceptions::CatchRecord>();
    /// [`crate::code::FunctionRecord`]s, sorted by start.
    Functions = ".cwasm.functions", size_of::<crate::code::FunctionRecord>();
    /// [`crate::traps::TrapBlock`]s.
    TrapBlocks = ".cwasm.trap_blocks", size_of::<crate::traps::TrapBlock>();
    /// The bytes of the trap table.
    TrapBytes = ".cwasm.traps", 1;
    /// Data that compiled code reads, such as passive segments.
    Data = ".rodata", 1;
    /// Full types and names, decoded only when asked for: [`crate::describe`].
    Describe = ".cwasm.describe", 1;
    /// Machine code. Starts and ends at a page.
    Text = ".text", PAGE_SIZE;
    /// The bytes of images, page by page.
    Images = ".cwasm.images", PAGE_SIZE;
    /// The artifacts of core modules that the component exports; each starts at a page.
    Modules = ".cwasm.modules", PAGE_SIZE;
    /// With `--debug`: the names of functions, see [`crate::names`].
    Names = ".cwasm.names", 1;
}

impl SectionId {
    /// Whether the section starts and ends at a page.
    pub const fn is_paged(self) -> bool {
        self.record_size() == PAGE_SIZE
    }
}

/// How many sections there are.
pub const SECTION_COUNT: usize = SectionId::ALL.len();

/// The range of a section in the file.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SectionRange {
    /// Offset from the start of the file: a multiple of 16.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

/// The header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`ABI_VERSION`] of the writer.
    pub abi_version: u32,
    /// One of the `TARGET_` numbers.
    pub target: u32,
    /// CPU features that the code uses: bits of [`crate::cpu`].
    pub cpu_features: u64,
    /// Bytes of the whole file.
    pub file_size: u64,
    /// A [`Kind`].
    pub kind: u32,
    /// Bytes of the context, rounded up to a page: the distance from the context to the first
    /// memory.
    pub context_size: u32,
    /// Text offset of the thunk that runs what could not be evaluated at compile time (such as
    /// start functions), or [`NONE`]. If there are instances of imported core modules, it runs the
    /// steps after the last one.
    pub init_thunk: u32,
    /// Text offset after the last core function, where thunks and trampolines follow.
    pub thunks_start: u32,
    /// Context offset of the array of `u32` type numbers that the loader fills (open units), or
    /// [`NONE`]; it has one element per record of [`SectionId::CoreTypes`].
    pub type_ids: u32,
    /// Context offset of the address of the page that code checks for interrupts, a `u64` (see
    /// [`INTERRUPT_PAGE_SIZE`](crate::vmctx::INTERRUPT_PAGE_SIZE)), or [`NO_INTERRUPTS`].
    pub interrupt_slot: u32,
    /// Each section's place, indexed by [`SectionId`].
    pub sections: [SectionRange; SECTION_COUNT],
    /// SHA-256 of the whole file, with this field and the checksum zero.
    pub digest: [u8; 32],
    /// [`checksum`] of the bytes of the file before this field.
    pub checksum: u64,
}

/// Offset of the checksum field in the file.
pub const CHECKSUM_OFFSET: usize = HEADER_OFFSET + core::mem::offset_of!(Header, checksum);

/// Offset of the digest field in the file.
pub const DIGEST_OFFSET: usize = HEADER_OFFSET + core::mem::offset_of!(Header, digest);

/// The offset of the end of the header, where records may begin.
pub const HEADER_END: usize = HEADER_OFFSET + size_of::<Header>();

/// A checksum against accidents: 64-bit FNV-1a over 8-byte words. It does not protect against
/// intentional changes.
///
/// The length of `bytes` must be a multiple of 8; bytes beyond the last multiple are ignored.
pub fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .as_chunks::<8>()
        .0
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, word| {
            (hash ^ u64::from_le_bytes(*word))
                .wrapping_mul(0x0000_0100_0000_01b3)
                .rotate_left(29)
        })
}

const _: () = assert!(size_of::<Header>() == 56 + 16 * SECTION_COUNT + 40);
const _: () = assert!(CHECKSUM_OFFSET.is_multiple_of(8));
