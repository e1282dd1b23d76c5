//! Writes ELF files: artifacts, and files of debug information.

use object::elf;
use object::write::StringId;
use object::write::elf::{FileHeader, ProgramHeader, SectionHeader, SectionIndex, Sym, Writer};

use super::Symbol;

/// An ELF file.
pub(super) struct Elf<'e> {
    /// `e_machine`.
    pub(super) machine: u16,
    pub(super) segments: Vec<ProgramHeader>,
    /// Those that have a place come first, in the order of their places.
    pub(super) sections: Vec<Section<'e>>,
    /// Bytes up to which sections have a place.
    pub(super) placed: u64,
    /// Symbols of the section that is called `.text`, by address.
    pub(super) symbols: &'e [Symbol],
}

/// A section.
pub(super) struct Section<'e> {
    pub(super) name: &'e str,
    /// `sh_type`; without contents in the file if it is `SHT_NOBITS`.
    pub(super) kind: u32,
    /// `sh_flags`.
    pub(super) flags: u32,
    /// 0 if it is not mapped.
    pub(super) address: u64,
    /// Where it is in the file; `None` if that does not matter.
    pub(super) offset: Option<u64>,
    pub(super) align: u64,
    pub(super) size: u64,
    pub(super) bytes: &'e [u8],
}

impl<'e> Section<'e> {
    /// A section for tools, which is not mapped.
    pub(super) fn of_tools(name: &'e str, bytes: &'e [u8]) -> Section<'e> {
        let is_note = name.starts_with(".note");
        Section {
            name,
            kind: if is_note {
                elf::SHT_NOTE
            } else {
                elf::SHT_PROGBITS
            },
            flags: 0,
            address: 0,
            offset: None,
            // Records are read in place.
            align: if is_note { 4 } else { 16 },
            size: bytes.len() as u64,
            bytes,
        }
    }

    fn header(&self, name: StringId, offset: u64) -> SectionHeader {
        SectionHeader {
            name: Some(name),
            sh_type: self.kind,
            sh_flags: self.flags.into(),
            sh_addr: self.address,
            sh_offset: offset,
            sh_size: self.size,
            sh_link: 0,
            sh_info: 0,
            sh_addralign: self.align,
            sh_entsize: 0,
        }
    }
}

impl Elf<'_> {
    /// Appends the file to `out`, which is empty. `max_headers` is where its first section may be.
    ///
    /// # Panics
    /// If the name of a symbol has a zero byte, or the headers do not end before `max_headers`.
    pub(super) fn write(&self, out: &mut Vec<u8>, max_headers: usize) {
        let mut writer = Writer::new(object::Endianness::Little, true, out);
        writer.reserve_file_header();
        writer.reserve_program_headers(self.segments.len() as u32);
        if self.placed != 0 {
            writer.reserve_until(self.placed as usize);
        }
        writer.reserve_null_section_index();
        let mut text_index = None;
        let mut places = Vec::new();
        for section in &self.sections {
            let name = writer.add_section_name(section.name.as_bytes());
            let index = writer.reserve_section_index();
            if section.name == ".text" {
                text_index = Some(index);
            }
            let offset = section.offset.unwrap_or_else(|| {
                writer.reserve(section.bytes.len(), section.align as usize) as u64
            });
            places.push((name, offset));
        }
        let names: Vec<StringId> = self
            .symbols
            .iter()
            .map(|symbol| writer.add_string(symbol.name.as_bytes()))
            .collect();
        if !names.is_empty() {
            writer.reserve_null_symbol_index();
            for _ in &names {
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

        self.write_headers(&mut writer, max_headers);
        for (section, (_, offset)) in self.sections.iter().zip(&places) {
            if section.kind != elf::SHT_NOBITS {
                writer.pad_until(*offset as usize);
                writer.write(section.bytes);
            }
        }
        if self.placed != 0 && writer.len() < self.placed as usize {
            writer.pad_until(self.placed as usize);
        }
        self.write_symbols(&mut writer, &names, text_index);
        writer.write_strtab();
        writer.write_shstrtab();
        writer.write_null_section_header();
        for (section, (name, offset)) in self.sections.iter().zip(places) {
            writer.write_section_header(&section.header(name, offset));
        }
        if !names.is_empty() {
            writer.write_symtab_section_header(1 + names.len() as u32);
            writer.write_strtab_section_header();
        }
        writer.write_shstrtab_section_header();
    }

    fn write_headers(&self, writer: &mut Writer<'_>, max_headers: usize) {
        let header = FileHeader {
            os_abi: elf::ELFOSABI_NONE,
            abi_version: 0,
            e_type: elf::ET_DYN,
            e_machine: self.machine,
            e_entry: 0,
            e_flags: 0,
        };
        let written = writer.write_file_header(&header);
        assert!(
            written.is_ok(),
            "the file header is well-formed: {written:?}"
        );
        if !self.segments.is_empty() {
            writer.write_align_program_headers();
        }
        let segments = self.segments.iter();
        segments.for_each(|segment| writer.write_program_header(segment));
        assert!(
            writer.len() <= max_headers,
            "program headers end before the first section"
        );
    }

    fn write_symbols(
        &self,
        writer: &mut Writer<'_>,
        names: &[StringId],
        text_index: Option<SectionIndex>,
    ) {
        if names.is_empty() {
            return;
        }
        writer.write_null_symbol();
        let text = self.sections.iter().find(|section| section.name == ".text");
        let text = text.map_or(0, |text| text.address);
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
}
