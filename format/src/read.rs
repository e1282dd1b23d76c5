//! Reads an artifact where it is mapped.

use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::code::{CoreTypeRecord, EntryRecord, FuncRefRecord, FunctionRecord, RefSlotRecord};
use crate::concurrent::{ConcurrentRecord, OpRecord, TaskRecord};
use crate::data::{ImageRecord, MemoryRecord, TableRecord};
use crate::error::FormatError;
use crate::exceptions::{CatchList, CatchRecord, CatchSite, TagRecord};
use crate::exports::{ExportRecord, LiftRecord, StrRef};
use crate::header::{
    ABI_VERSION, ABI_VERSION_MIN, CHECKSUM_OFFSET, DIGEST_OFFSET, HEADER_END, HEADER_OFFSET,
    Header, Kind, MAGIC, PAGE_SIZE, SectionId, SectionRange, checksum,
};
use crate::imports::{ImportRecord, LowerRecord};
use crate::lookup::{self, ExportSlot};
use crate::modules::{ModuleArgRecord, ModuleInstanceRecord};
use crate::resources::{HandleTableRecord, HandleUse, NestRecord, ResourceRecord};
use crate::traps::TrapBlock;

/// A view of an artifact's bytes whose header and sections have been checked.
///
/// Records are not checked: code that follows an offset or index of one must check it (methods such
/// as [`Artifact::string`] do).
#[derive(Clone, Copy, Debug)]
pub struct Artifact<'a> {
    bytes: &'a [u8],
    header: &'a Header,
    kind: Kind,
}

/// The machine that reads, to compare with the header.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// One of the `TARGET_` numbers.
    pub target: u32,
    /// The CPU's features: bits of [`crate::cpu`].
    pub cpu_features: u64,
}

impl<'a> Artifact<'a> {
    /// Checks that `bytes`, which must be aligned to 16, are an artifact that `host` can run. Takes
    /// the same time whatever the artifact's size.
    ///
    /// # Errors
    /// Each fault has a [`FormatError`] of its own. Text, images and the contents of records are
    /// not checked; see [`Artifact::verify_digest`].
    pub fn open(bytes: &'a [u8], host: &Host) -> Result<Artifact<'a>, FormatError> {
        let artifact = Artifact::inspect(bytes)?;
        let header = artifact.header;
        if header.target != host.target {
            return Err(FormatError::Target {
                found: header.target,
                expected: host.target,
            });
        }
        let missing = header.cpu_features & !host.cpu_features;
        if missing != 0 {
            return Err(FormatError::CpuFeatures { missing });
        }
        Ok(artifact)
    }

    /// As [`Artifact::open`], for any target: to inspect, not to run.
    ///
    /// # Errors
    /// As [`Artifact::open`], except those of target and CPU features.
    pub fn inspect(bytes: &'a [u8]) -> Result<Artifact<'a>, FormatError> {
        let header = find_header(bytes)?;
        if header.abi_version < ABI_VERSION_MIN || header.abi_version > ABI_VERSION {
            return Err(FormatError::AbiVersion {
                found: header.abi_version,
                min: ABI_VERSION_MIN,
                max: ABI_VERSION,
            });
        }
        if header.file_size != bytes.len() as u64 {
            return Err(FormatError::FileSize {
                found: bytes.len() as u64,
                expected: header.file_size,
            });
        }
        let kind = match header.kind {
            1 => Kind::Component,
            2 => Kind::Module,
            found => return Err(FormatError::Kind { found }),
        };
        let found = checksum(&bytes[..CHECKSUM_OFFSET]);
        if found != header.checksum {
            return Err(FormatError::HeaderChecksum {
                found,
                expected: header.checksum,
            });
        }
        let artifact = Artifact {
            bytes,
            header,
            kind,
        };
        artifact.check_sections()?;
        Ok(artifact)
    }

    fn check_sections(&self) -> Result<(), FormatError> {
        let mut end = HEADER_END as u64;
        for (id, range) in SectionId::ALL.iter().zip(&self.header.sections) {
            let align = if id.is_paged() { PAGE_SIZE } else { 16 };
            let range_end = range.offset.checked_add(range.size);
            let sound = range.offset >= end
                && range.offset % align == 0
                && range_end.is_some_and(|end| end <= self.bytes.len() as u64)
                && range.size % id.record_size() == 0
                && range.size <= u64::from(u32::MAX);
            if !sound {
                return Err(FormatError::Section {
                    name: id.name(),
                    offset: range.offset,
                    size: range.size,
                });
            }
            end = range.offset + range.size;
        }
        if u64::from(self.header.context_size) % PAGE_SIZE != 0 || self.header.context_size == 0 {
            return Err(FormatError::Record {
                section: "header",
                index: 0,
                field: "context_size",
                found: self.header.context_size.into(),
            });
        }
        Ok(())
    }

    /// Computes `sha256` over the file, as the writer did, and compares it with the header's. Reads
    /// the whole file.
    ///
    /// # Errors
    /// [`FormatError::Digest`] if it differs.
    pub fn verify_digest(
        &self,
        sha256: impl FnOnce(&[&[u8]]) -> [u8; 32],
    ) -> Result<(), FormatError> {
        let zeros = [0; HEADER_END - DIGEST_OFFSET];
        let parts = [
            &self.bytes[..DIGEST_OFFSET],
            &zeros,
            &self.bytes[HEADER_END..],
        ];
        if sha256(&parts) == self.header.digest {
            Ok(())
        } else {
            Err(FormatError::Digest)
        }
    }

    /// The header.
    pub fn header(&self) -> &'a Header {
        self.header
    }

    /// Whether the artifact is a component or a core module.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The whole file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The range of a section in the file.
    pub fn range(&self, id: SectionId) -> SectionRange {
        self.header.sections[id as usize]
    }

    /// The bytes of a section.
    #[inline]
    pub fn section(&self, id: SectionId) -> &'a [u8] {
        let range = self.range(id);
        // Checked by `check_sections`.
        &self.bytes[range.offset as usize..(range.offset + range.size) as usize]
    }

    #[inline]
    fn records<T: FromBytes + Immutable + KnownLayout>(&self, id: SectionId) -> &'a [T] {
        match <[T]>::ref_from_bytes(self.section(id)) {
            Ok(records) => records,
            Err(error) => unreachable!("sections are aligned and of whole records: {error:?}"),
        }
    }

    /// The exports, sorted by name.
    #[inline]
    pub fn exports(&self) -> &'a [ExportRecord] {
        self.records(SectionId::Exports)
    }

    /// The hash table that finds exports by name.
    #[inline]
    pub fn export_slots(&self) -> &'a [ExportSlot] {
        self.records(SectionId::ExportSlots)
    }

    /// The imports.
    pub fn imports(&self) -> &'a [ImportRecord] {
        self.records(SectionId::Imports)
    }

    /// The instances of imported core modules.
    pub fn module_instances(&self) -> &'a [ModuleInstanceRecord] {
        self.records(SectionId::ModuleInstances)
    }

    /// The arguments of the instances of imported core modules.
    pub fn module_args(&self) -> &'a [ModuleArgRecord] {
        self.records(SectionId::ModuleArgs)
    }

    /// The lifted functions.
    #[inline]
    pub fn lifts(&self) -> &'a [LiftRecord] {
        self.records(SectionId::Lifts)
    }

    /// The lowered host functions.
    pub fn lowers(&self) -> &'a [LowerRecord] {
        self.records(SectionId::Lowers)
    }

    /// The resource types, by number.
    pub fn resources(&self) -> &'a [ResourceRecord] {
        self.records(SectionId::Resources)
    }

    /// The handles in the types of functions.
    pub fn handle_uses(&self) -> &'a [HandleUse] {
        self.records(SectionId::HandleUses)
    }

    /// The handle tables of component instances.
    pub fn handle_tables(&self) -> &'a [HandleTableRecord] {
        self.records(SectionId::HandleTables)
    }

    /// The concurrent component instances.
    pub fn concurrent(&self) -> &'a [ConcurrentRecord] {
        self.records(SectionId::Concurrent)
    }

    /// The functions that are called through the loader.
    pub fn tasks(&self) -> &'a [TaskRecord] {
        self.records(SectionId::Tasks)
    }

    /// The built-in functions, and calls that go through the loader.
    pub fn ops(&self) -> &'a [OpRecord] {
        self.records(SectionId::Ops)
    }

    /// The component instances that call themselves, an instance around them, or one nested in
    /// them.
    pub fn nests(&self) -> &'a [NestRecord] {
        self.records(SectionId::Nests)
    }

    /// The memories that the unit defines.
    pub fn memories(&self) -> &'a [MemoryRecord] {
        self.records(SectionId::Memories)
    }

    /// The tables that the unit defines.
    pub fn tables(&self) -> &'a [TableRecord] {
        self.records(SectionId::Tables)
    }

    /// The runs of all images.
    pub fn image_runs(&self) -> &'a [ImageRecord] {
        self.records(SectionId::ImageRuns)
    }

    /// The core function types (open units).
    pub fn core_types(&self) -> &'a [CoreTypeRecord] {
        self.records(SectionId::CoreTypes)
    }

    /// The function references that the loader fills (open units).
    pub fn func_refs(&self) -> &'a [FuncRefRecord] {
        self.records(SectionId::FuncRefs)
    }

    /// The pointers to function references that the loader fills (open units).
    pub fn ref_slots(&self) -> &'a [RefSlotRecord] {
        self.records(SectionId::RefSlots)
    }

    /// The entries into wasm, sorted by return address.
    pub fn entries(&self) -> &'a [EntryRecord] {
        self.records(SectionId::Entries)
    }

    /// The tags, by number.
    pub fn tags(&self) -> &'a [TagRecord] {
        self.records(SectionId::Tags)
    }

    /// The calls from which exceptions are caught, sorted by return address.
    pub fn catch_sites(&self) -> &'a [CatchSite] {
        self.records(SectionId::CatchSites)
    }

    /// The lists of handlers of catch sites.
    pub fn catch_lists(&self) -> &'a [CatchList] {
        self.records(SectionId::CatchLists)
    }

    /// The handlers of catch lists.
    pub fn catches(&self) -> &'a [CatchRecord] {
        self.records(SectionId::Catches)
    }

    /// The functions, sorted by start.
    pub fn functions(&self) -> &'a [FunctionRecord] {
        self.records(SectionId::Functions)
    }

    /// The blocks of the trap table.
    pub fn trap_blocks(&self) -> &'a [TrapBlock] {
        self.records(SectionId::TrapBlocks)
    }

    /// The text that `reference` names; `None` if it is not text of this artifact.
    pub fn string(&self, reference: StrRef) -> Option<&'a str> {
        core::str::from_utf8(self.string_bytes(reference)?).ok()
    }

    /// The bytes that `reference` names; `None` if they are not inside the strings.
    pub fn string_bytes(&self, reference: StrRef) -> Option<&'a [u8]> {
        let start = reference.offset as usize;
        let end = start.checked_add(reference.len as usize)?;
        self.section(SectionId::Strings).get(start..end)
    }

    /// The export of this name.
    #[inline]
    pub fn export(&self, name: &str) -> Option<&'a ExportRecord> {
        self.exports().get(self.export_index(name)? as usize)
    }

    /// The index of the export of this name.
    #[inline]
    pub fn export_index(&self, name: &str) -> Option<u32> {
        let name_of = |index| self.export_name(index);
        let slot = lookup::find(self.export_slots(), name.as_bytes(), name_of)?;
        Some(slot.export)
    }

    /// The name of an export, by its index.
    pub fn export_name(&self, index: u32) -> Option<&'a [u8]> {
        self.string_bytes(self.exports().get(index as usize)?.name)
    }
}

fn find_header(bytes: &[u8]) -> Result<&Header, FormatError> {
    if bytes.starts_with(b"\0asm") {
        return Err(FormatError::IsWasm);
    }
    match bytes.first_chunk::<4>() {
        Some([0x7f, b'E', b'L', b'F']) => {}
        Some(found) => return Err(FormatError::NotElf { found: *found }),
        None => {
            return Err(FormatError::TooShort {
                found: bytes.len() as u64,
                expected: HEADER_END as u64,
            });
        }
    }
    if let Some(magic) = bytes.get(HEADER_OFFSET..HEADER_OFFSET + 8)
        && magic != MAGIC
    {
        let mut found = [0; 8];
        found.copy_from_slice(magic);
        return Err(FormatError::NotArtifact { found });
    }
    let header = bytes
        .get(HEADER_OFFSET..)
        .and_then(|rest| Header::ref_from_prefix(rest).ok());
    match header {
        Some((header, _)) => Ok(header),
        None => Err(FormatError::TooShort {
            found: bytes.len() as u64,
            expected: HEADER_END as u64,
        }),
    }
}
