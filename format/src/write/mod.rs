//! Writes an artifact: the counterpart of [`crate::read`].

mod elf;

use object::elf as object_elf;
use object::write::elf::ProgramHeader;
use sha2::{Digest, Sha256};
use zerocopy::{Immutable, IntoBytes};

use crate::data::ImageRecord;
use crate::debug::{BUILD_ID, BUILD_ID_LEN};
use crate::exports::{ExportRecord, StrRef, kind};
use crate::header::{
    ABI_VERSION, CHECKSUM_OFFSET, DIGEST_OFFSET, HEADER_END, HEADER_OFFSET, Header, Kind, MAGIC,
    NONE, PAGE_SIZE, SECTION_COUNT, SectionId, SectionRange, checksum, elf_machine,
};
use crate::lookup;

/// Text that records refer to; equal texts are kept once.
#[derive(Debug, Default)]
pub struct Strings {
    bytes: Vec<u8>,
    known: std::collections::HashMap<Vec<u8>, StrRef>,
}

impl Strings {
    /// Adds the text, if it is new, and returns its reference.
    ///
    /// # Panics
    /// If all texts together exceed 4 GiB.
    pub fn add(&mut self, text: &[u8]) -> StrRef {
        if let Some(known) = self.known.get(text) {
            return *known;
        }
        let offset = u32::try_from(self.bytes.len()).expect("names fit into 4 GiB");
        let len = u32::try_from(text.len()).expect("names fit into 4 GiB");
        self.bytes.extend_from_slice(text);
        let reference = StrRef { offset, len };
        self.known.insert(text.to_vec(), reference);
        reference
    }

    /// The text of a reference that [`add`](Strings::add) has returned.
    ///
    /// # Panics
    /// If the reference is not from this table.
    pub fn get(&self, reference: StrRef) -> &[u8] {
        &self.bytes[reference.offset as usize..][..reference.len as usize]
    }

    /// All text.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Collects the runs of images.
#[derive(Debug, Default)]
pub struct Images {
    /// The bytes of mapped runs, which come first: whole pages.
    mapped: Vec<u8>,
    /// The bytes of copied runs, without padding.
    copied: Vec<u8>,
    /// The runs. Sources of copied runs count from the start of `copied`.
    runs: Vec<ImageRecord>,
}

impl Images {
    /// Adds a run that instances map: whole pages that are loaded at byte `offset` of `target`. A
    /// unit has at most [`MAX_MAPPED_RUNS`](crate::data::MAX_MAPPED_RUNS) of them.
    ///
    /// # Panics
    /// If offset or size is no multiple of the page size.
    pub fn map(&mut self, target: u32, offset: u64, bytes: &[u8]) {
        let size = bytes.len() as u64;
        assert!(offset.is_multiple_of(PAGE_SIZE) && size.is_multiple_of(PAGE_SIZE));
        self.runs.push(ImageRecord {
            target,
            is_mapped: 1,
            offset,
            source: self.mapped.len() as u64,
            size,
        });
        self.mapped.extend_from_slice(bytes);
    }

    /// Adds a run that instances copy to byte `offset` of `target`.
    pub fn copy(&mut self, target: u32, offset: u64, bytes: &[u8]) {
        self.runs.push(ImageRecord {
            target,
            is_mapped: 0,
            offset,
            source: self.copied.len() as u64,
            size: bytes.len() as u64,
        });
        self.copied.extend_from_slice(bytes);
    }

    /// The bytes of the images section and the records of the runs.
    pub fn finish(mut self) -> (Vec<u8>, Vec<ImageRecord>) {
        let copied = self.mapped.len() as u64;
        let runs = self.runs.iter_mut().filter(|run| run.is_mapped == 0);
        runs.for_each(|run| run.source += copied);
        self.mapped.append(&mut self.copied);
        (self.mapped, self.runs)
    }
}

/// A symbol for debuggers and profilers.
#[derive(Debug)]
pub struct Symbol {
    /// Its name, without zero bytes.
    pub name: String,
    /// Text offset.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

/// A section for tools: see [`crate::debug`].
#[derive(Debug)]
pub struct DebugSection {
    /// Its name.
    pub name: &'static str,
    /// Its contents.
    pub bytes: Vec<u8>,
}

/// The fields of the header that the compiler sets.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "documented in Header")]
pub struct Facts {
    pub target: u32,
    pub cpu_features: u64,
    pub kind: Kind,
    pub context_size: u32,
    pub init_thunk: u32,
    pub thunks_start: u32,
    pub type_ids: u32,
    pub interrupt_slot: u32,
}

/// Everything that becomes an artifact.
#[derive(Debug)]
pub struct Contents {
    /// Fields of the header.
    pub facts: Facts,
    sections: [Vec<u8>; SECTION_COUNT],
    /// Symbols for the ELF symbol table. Without symbols there is no table.
    pub symbols: Vec<Symbol>,
    /// Sections for tools, which the header does not name.
    pub debug: Vec<DebugSection>,
}

impl Contents {
    /// An artifact without any section's contents.
    pub fn new(facts: Facts) -> Contents {
        Contents {
            facts,
            sections: std::array::from_fn(|_| Vec::new()),
            symbols: Vec::new(),
            debug: Vec::new(),
        }
    }

    /// Sets the contents of a section.
    pub fn set(&mut self, id: SectionId, bytes: Vec<u8>) {
        self.sections[id as usize] = bytes;
    }

    /// The contents of a section.
    pub fn get(&self, id: SectionId) -> &[u8] {
        &self.sections[id as usize]
    }

    /// Sets the contents of a section to these records.
    pub fn set_records<T: IntoBytes + Immutable>(&mut self, id: SectionId, records: &[T]) {
        assert_eq!(
            size_of::<T>() as u64,
            id.record_size(),
            "records of {}",
            id.name()
        );
        self.set(id, records.as_bytes().to_vec());
    }

    /// Sets the exports, and the hash table that finds them by name.
    pub fn set_exports(&mut self, exports: &[ExportRecord], strings: &Strings) {
        self.set_records(SectionId::Exports, exports);
        let is_component = self.facts.kind == Kind::Component;
        let named = exports.iter().map(|export| {
            let is_lift = is_component && export.kind == kind::FUNC;
            let lift = if is_lift { export.index } else { NONE };
            (strings.get(export.name), lift)
        });
        let slots = lookup::table(named);
        self.set_records(SectionId::ExportSlots, &slots);
    }

    /// The range of each section in the file. Contents that are set afterwards must have the same
    /// size.
    pub fn place(&self) -> [SectionRange; SECTION_COUNT] {
        let mut ranges = [SectionRange::default(); SECTION_COUNT];
        let mut end = HEADER_END as u64;
        for id in SectionId::ALL {
            let offset = end.next_multiple_of(if id.is_paged() { PAGE_SIZE } else { 16 });
            let mut size = self.sections[*id as usize].len() as u64;
            if id.is_paged() {
                size = size.next_multiple_of(PAGE_SIZE);
            }
            ranges[*id as usize] = SectionRange { offset, size };
            end = offset + size;
        }
        ranges
    }

    /// The build id: the start of a digest of all that is mapped. An artifact and its file of debug
    /// information have the same.
    pub fn build_id(&self) -> [u8; BUILD_ID_LEN] {
        let mapped = SectionId::ALL.iter().filter(|id| **id != SectionId::Names);
        let parts: Vec<&[u8]> = mapped.map(|id| self.get(*id)).collect();
        let digest = sha256(&parts);
        std::array::from_fn(|place| digest[place])
    }

    /// Moves names, symbols and sections for tools to a file of their own: its bytes.
    pub fn split(&mut self) -> Vec<u8> {
        let text = self.place()[SectionId::Text as usize];
        let names = std::mem::take(&mut self.sections[SectionId::Names as usize]);
        let symbols = std::mem::take(&mut self.symbols);
        let debug = std::mem::take(&mut self.debug);
        let text = elf::Section {
            kind: object_elf::SHT_NOBITS,
            offset: Some(0),
            size: text.size,
            bytes: &[],
            ..self.section(SectionId::Text, text)
        };
        let names = elf::Section::of_tools(SectionId::Names.name(), &names);
        let sections = debug.iter();
        let sections = sections.map(|section| elf::Section::of_tools(section.name, &section.bytes));
        let file = elf::Elf {
            machine: elf_machine(self.facts.target),
            segments: Vec::new(),
            sections: [text, names].into_iter().chain(sections).collect(),
            placed: 0,
            symbols: &symbols,
        };
        let mut bytes = Vec::new();
        file.write(&mut bytes, HEADER_OFFSET);
        // Both have the same id.
        let is_id = |section: &DebugSection| section.name == BUILD_ID;
        self.debug.extend(debug.into_iter().filter(is_id));
        bytes
    }

    /// The bytes of the artifact. The same contents give the same bytes.
    ///
    /// # Panics
    /// If the name of a symbol has a zero byte.
    pub fn write(mut self) -> Vec<u8> {
        let ranges = self.place();
        for id in [SectionId::Text, SectionId::Images, SectionId::Modules] {
            let size = ranges[id as usize].size as usize;
            // Text is padded with `int3`.
            let fill = if id == SectionId::Text { 0xcc } else { 0 };
            self.sections[id as usize].resize(size, fill);
        }
        let mut bytes = Vec::new();
        self.elf(&ranges).write(&mut bytes, HEADER_OFFSET);
        self.finish_header(&ranges, &mut bytes);
        bytes
    }

    fn elf(&self, ranges: &[SectionRange; SECTION_COUNT]) -> elf::Elf<'_> {
        let shown = SectionId::ALL.iter().copied();
        let sections = shown
            .filter(|id| ranges[*id as usize].size != 0)
            .map(|id| self.section(id, ranges[id as usize]));
        let last = ranges[SECTION_COUNT - 1];
        let debug = self.debug.iter();
        let debug = debug.map(|section| elf::Section::of_tools(section.name, &section.bytes));
        elf::Elf {
            machine: elf_machine(self.facts.target),
            segments: segments(ranges),
            sections: sections.chain(debug).collect(),
            placed: last.offset + last.size,
            symbols: &self.symbols,
        }
    }

    fn section(&self, id: SectionId, range: SectionRange) -> elf::Section<'_> {
        let loaded = id != SectionId::Names;
        elf::Section {
            name: id.name(),
            kind: object_elf::SHT_PROGBITS,
            flags: match id {
                SectionId::Text => object_elf::SHF_ALLOC | object_elf::SHF_EXECINSTR,
                _ if loaded => object_elf::SHF_ALLOC,
                _ => 0,
            },
            address: if loaded { range.offset } else { 0 },
            offset: Some(range.offset),
            align: if id.is_paged() { PAGE_SIZE } else { 16 },
            size: range.size,
            bytes: &self.sections[id as usize],
        }
    }

    fn finish_header(&self, ranges: &[SectionRange; SECTION_COUNT], bytes: &mut [u8]) {
        let facts = &self.facts;
        let mut header = Header {
            magic: MAGIC,
            abi_version: ABI_VERSION,
            target: facts.target,
            cpu_features: facts.cpu_features,
            file_size: bytes.len() as u64,
            kind: facts.kind as u32,
            context_size: facts.context_size,
            init_thunk: facts.init_thunk,
            thunks_start: facts.thunks_start,
            type_ids: facts.type_ids,
            interrupt_slot: facts.interrupt_slot,
            sections: *ranges,
            digest: [0; 32],
            checksum: 0,
        };
        bytes[HEADER_OFFSET..HEADER_END].copy_from_slice(header.as_bytes());
        header.digest = sha256(&[bytes]);
        bytes[DIGEST_OFFSET..DIGEST_OFFSET + 32].copy_from_slice(&header.digest);
        let sum = checksum(&bytes[..CHECKSUM_OFFSET]);
        bytes[CHECKSUM_OFFSET..HEADER_END].copy_from_slice(&sum.to_le_bytes());
    }
}

/// SHA-256 of the parts, one after the other: what [`crate::read::Artifact::verify_digest`] takes.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

fn segments(ranges: &[SectionRange; SECTION_COUNT]) -> Vec<ProgramHeader> {
    let text = ranges[SectionId::Text as usize];
    let images = ranges[SectionId::Images as usize];
    let load = |flags, start: u64, end: u64| ProgramHeader {
        p_type: object_elf::PT_LOAD,
        p_flags: flags,
        p_offset: start,
        p_vaddr: start,
        p_paddr: start,
        p_filesz: end - start,
        p_memsz: end - start,
        p_align: PAGE_SIZE,
    };
    let mut segments = vec![load(object_elf::PF_R, 0, text.offset)];
    if text.size != 0 {
        segments.push(load(
            object_elf::PF_R | object_elf::PF_X,
            text.offset,
            text.offset + text.size,
        ));
    }
    if images.size != 0 {
        segments.push(load(
            object_elf::PF_R,
            images.offset,
            images.offset + images.size,
        ));
    }
    let modules = ranges[SectionId::Modules as usize];
    if modules.size != 0 {
        segments.push(load(
            object_elf::PF_R,
            modules.offset,
            modules.offset + modules.size,
        ));
    }
    segments.push(ProgramHeader {
        p_type: object_elf::PT_GNU_STACK,
        p_flags: object_elf::PF_R | object_elf::PF_W,
        p_align: 16,
        ..load(0, 0, 0)
    });
    segments
}
