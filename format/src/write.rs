//! Writes an artifact: the counterpart of [`crate::read`].

use object::elf;
use object::write::elf::{FileHeader, ProgramHeader, SectionHeader, Sym, Writer};
use sha2::{Digest, Sha256};
use zerocopy::{Immutable, IntoBytes};

use crate::data::ImageRecord;
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

/// A section that only tools look for, by the ELF section headers: it is in no segment and not in
/// [`Header::sections`].
#[derive(Debug)]
pub struct DebugSection {
    /// Its name, without zero bytes.
    pub name: &'static str,
    /// Its contents; they start at a multiple of [`DEBUG_ALIGN`].
    pub bytes: Vec<u8>,
}

/// The alignment of a [`DebugSection`] in the file.
pub const DEBUG_ALIGN: usize = 16;

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
    /// What only tools look for.
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
        self.write_elf(&ranges, &mut bytes);
        self.finish_header(&ranges, &mut bytes);
        bytes
    }

    fn write_elf(&self, ranges: &[SectionRange; SECTION_COUNT], out: &mut Vec<u8>) {
        let mut writer = Writer::new(object::Endianness::Little, true, out);
        let segments = segments(ranges);
        writer.reserve_file_header();
        writer.reserve_program_headers(segments.len() as u32);
        let last = ranges[SECTION_COUNT - 1];
        writer.reserve_until((last.offset + last.size) as usize);

        writer.reserve_null_section_index();
        let shown: Vec<SectionId> = SectionId::ALL
            .iter()
            .copied()
            .filter(|id| ranges[*id as usize].size != 0)
            .collect();
        let mut text_index = None;
        let mut names = Vec::new();
        for id in &shown {
            names.push(writer.add_section_name(id.name().as_bytes()));
            let index = writer.reserve_section_index();
            if *id == SectionId::Text {
                text_index = Some(index);
            }
        }
        let mut debug = Vec::new();
        for section in &self.debug {
            let name = writer.add_section_name(section.name.as_bytes());
            writer.reserve_section_index();
            let offset = writer.reserve(section.bytes.len(), DEBUG_ALIGN);
            debug.push(debug_header(section, name, offset));
        }
        let symbol_names: Vec<_> = self
            .symbols
            .iter()
            .map(|symbol| writer.add_string(symbol.name.as_bytes()))
            .collect();
        if !self.symbols.is_empty() {
            writer.reserve_null_symbol_index();
            for _ in &self.symbols {
                writer.reserve_symbol_index(text_index);
            }
            writer.reserve_symtab_section_index();
            writer.reserve_strtab_section_index();
        }
        writer.reserve_shstrtab_section_index();
        writer.reserve_symtab();
        writer.reserve_strtab();
        writer.reserve_shstrtab();
        writer.reserve_section_headers();

        let header = FileHeader {
            os_abi: elf::ELFOSABI_NONE,
            abi_version: 0,
            e_type: elf::ET_DYN,
            e_machine: elf_machine(self.facts.target),
            e_entry: 0,
            e_flags: 0,
        };
        let written = writer.write_file_header(&header);
        assert!(
            written.is_ok(),
            "the file header is well-formed: {written:?}"
        );
        writer.write_align_program_headers();
        segments
            .iter()
            .for_each(|segment| writer.write_program_header(segment));
        assert!(
            writer.len() <= HEADER_OFFSET,
            "program headers end before the header"
        );
        for id in SectionId::ALL {
            let range = ranges[*id as usize];
            writer.pad_until(range.offset as usize);
            writer.write(&self.sections[*id as usize]);
            assert_eq!(
                writer.len() as u64,
                range.offset + range.size,
                "{}",
                id.name()
            );
        }
        for section in &self.debug {
            writer.write_align(DEBUG_ALIGN);
            writer.write(&section.bytes);
        }
        self.write_symbols(&mut writer, ranges, &symbol_names, text_index);
        writer.write_strtab();
        writer.write_shstrtab();
        writer.write_null_section_header();
        for (id, name) in shown.iter().zip(names) {
            writer.write_section_header(&section_header(*id, ranges[*id as usize], name));
        }
        debug
            .iter()
            .for_each(|header| writer.write_section_header(header));
        if !self.symbols.is_empty() {
            writer.write_symtab_section_header(1 + self.symbols.len() as u32);
            writer.write_strtab_section_header();
        }
        writer.write_shstrtab_section_header();
    }

    fn write_symbols(
        &self,
        writer: &mut Writer<'_>,
        ranges: &[SectionRange; SECTION_COUNT],
        names: &[object::write::StringId],
        text_index: Option<object::write::elf::SectionIndex>,
    ) {
        if self.symbols.is_empty() {
            return;
        }
        writer.write_null_symbol();
        let text = ranges[SectionId::Text as usize].offset;
        for (symbol, name) in self.symbols.iter().zip(names) {
            writer.write_symbol(&Sym {
                name: Some(*name),
                section: text_index,
                st_info: elf::STB_LOCAL << 4 | elf::STT_FUNC,
                st_other: elf::STV_DEFAULT,
                st_shndx: 0,
                st_value: text + u64::from(symbol.offset),
                st_size: symbol.size.into(),
            });
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
        p_type: elf::PT_LOAD,
        p_flags: flags,
        p_offset: start,
        p_vaddr: start,
        p_paddr: start,
        p_filesz: end - start,
        p_memsz: end - start,
        p_align: PAGE_SIZE,
    };
    let mut segments = vec![load(elf::PF_R, 0, text.offset)];
    if text.size != 0 {
        segments.push(load(
            elf::PF_R | elf::PF_X,
            text.offset,
            text.offset + text.size,
        ));
    }
    if images.size != 0 {
        segments.push(load(elf::PF_R, images.offset, images.offset + images.size));
    }
    let modules = ranges[SectionId::Modules as usize];
    if modules.size != 0 {
        segments.push(load(
            elf::PF_R,
            modules.offset,
            modules.offset + modules.size,
        ));
    }
    segments.push(ProgramHeader {
        p_type: elf::PT_GNU_STACK,
        p_flags: elf::PF_R | elf::PF_W,
        p_align: 16,
        ..load(0, 0, 0)
    });
    segments
}

fn section_header(
    id: SectionId,
    range: SectionRange,
    name: object::write::StringId,
) -> SectionHeader {
    let loaded = id != SectionId::Names;
    let flags = match id {
        SectionId::Text => elf::SHF_ALLOC | elf::SHF_EXECINSTR,
        _ if loaded => elf::SHF_ALLOC,
        _ => 0,
    };
    SectionHeader {
        name: Some(name),
        sh_type: elf::SHT_PROGBITS,
        sh_flags: flags.into(),
        sh_addr: if loaded { range.offset } else { 0 },
        sh_offset: range.offset,
        sh_size: range.size,
        sh_link: 0,
        sh_info: 0,
        sh_addralign: if id.is_paged() { PAGE_SIZE } else { 16 },
        sh_entsize: 0,
    }
}

fn debug_header(
    section: &DebugSection,
    name: object::write::StringId,
    offset: usize,
) -> SectionHeader {
    SectionHeader {
        name: Some(name),
        sh_type: elf::SHT_PROGBITS,
        sh_flags: 0,
        sh_addr: 0,
        sh_offset: offset as u64,
        sh_size: section.bytes.len() as u64,
        sh_link: 0,
        sh_info: 0,
        sh_addralign: DEBUG_ALIGN as u64,
        sh_entsize: 0,
    }
}
