//! What only ELF's own tables describe: debug information, symbols, their names, and the tables of
//! sections, which follow the artifact's last section.

use std::ops::Range;

use cwasm_format::Artifact;
use cwasm_format::header::{SECTION_COUNT, SectionId};
use object::LittleEndian;
use object::elf::{FileHeader64, SHT_STRTAB, SHT_SYMTAB, SectionHeader64, Sym64};
use object::pod::slice_from_all_bytes;
use object::read::elf::{FileHeader as _, SectionHeader as _};

const ENDIAN: LittleEndian = LittleEndian;

/// The sections of debug information that are told apart, and the bytes of their names, at most:
/// those of damaged files may be very many.
const MAX_DEBUG: usize = 32;
const MAX_NAME: usize = 32;

/// The end of an artifact's file. Ranges are offsets in the file, and may be empty.
#[derive(Default)]
pub(crate) struct Tail {
    /// Where it starts.
    pub(crate) start: u64,
    /// The symbols, sorted by their text offset. Those of nothing in the text are left out.
    pub(crate) symbols: Vec<Symbol>,
    /// The sections of debug information, with their names.
    pub(crate) debug: Vec<(String, Range<u64>)>,
    pub(crate) symbol_table: Range<u64>,
    pub(crate) symbol_names: Range<u64>,
    pub(crate) section_names: Range<u64>,
    pub(crate) section_headers: Range<u64>,
    /// Places of the bytes that end names.
    ends: Vec<u32>,
}

/// A function's symbol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Symbol {
    /// Text offset.
    pub(crate) start: u32,
    /// Bytes.
    pub(crate) size: u32,
    /// Its place in the table.
    pub(crate) place: u32,
    /// Offset of its name in the table of names.
    pub(crate) name: u32,
}

impl Tail {
    /// Reads what can be read: nothing that a loader needs is here.
    pub(crate) fn read(artifact: &Artifact<'_>) -> Tail {
        let last = artifact.range(SectionId::ALL[SECTION_COUNT - 1]);
        let mut tail = Tail {
            start: last.offset + last.size,
            ..Tail::default()
        };
        let bytes = artifact.bytes();
        let Ok(header) = FileHeader64::<LittleEndian>::parse(bytes) else {
            return tail;
        };
        let headers = header.section_headers(ENDIAN, bytes).unwrap_or_default();
        let start = header.e_shoff(ENDIAN);
        let end = start.saturating_add(size_of_val(headers) as u64);
        tail.section_headers = tail.inside(start..end);
        let table = headers
            .iter()
            .find(|header| header.sh_type(ENDIAN) == SHT_SYMTAB);
        let linked = table.map(|table| table.sh_link(ENDIAN) as usize);
        let names = header.section_strings(ENDIAN, bytes, headers);
        let names = names.unwrap_or_default();
        for (place, header) in headers.iter().enumerate() {
            let Some((offset, size)) = header.file_range(ENDIAN) else {
                continue;
            };
            let range = tail.inside(offset..offset.saturating_add(size).min(bytes.len() as u64));
            if Some(place) == linked {
                let strings = header.data(ENDIAN, bytes).unwrap_or_default();
                let zeros = strings.iter().take(u32::MAX as usize).zip(0..);
                let ends = zeros.filter(|(byte, _)| **byte == 0).map(|at| at.1);
                tail.ends = ends.collect();
                tail.symbol_names = range;
            } else if header.sh_type(ENDIAN) == SHT_STRTAB {
                tail.section_names = range;
            } else if header.sh_type(ENDIAN) != SHT_SYMTAB
                && !range.is_empty()
                && tail.debug.len() < MAX_DEBUG
            {
                let name = header.name(ENDIAN, names).unwrap_or_default();
                let name = String::from_utf8_lossy(&name[..name.len().min(MAX_NAME)]);
                tail.debug.push((name.into_owned(), range));
            }
        }
        if let Some(table) = table {
            tail.add_symbols(table, artifact);
        }
        tail
    }

    fn add_symbols(&mut self, table: &SectionHeader64<LittleEndian>, artifact: &Artifact<'_>) {
        let data = table.data(ENDIAN, artifact.bytes()).unwrap_or_default();
        let Ok(symbols) = slice_from_all_bytes::<Sym64<LittleEndian>>(data) else {
            return;
        };
        let offset = table.sh_offset(ENDIAN);
        self.symbol_table = self.inside(offset..offset.saturating_add(data.len() as u64));
        let text = artifact.range(SectionId::Text);
        let found = symbols.iter().zip(0..).filter_map(|(symbol, place)| {
            let start = symbol.st_value.get(ENDIAN).checked_sub(text.offset)?;
            let size = symbol.st_size.get(ENDIAN);
            let is_inside = start.checked_add(size)? <= text.size && size > 0;
            is_inside.then_some(Symbol {
                start: start as u32,
                size: size as u32,
                place,
                name: symbol.st_name.get(ENDIAN),
            })
        });
        self.symbols = found.collect();
        self.symbols.sort_unstable();
    }

    /// The part of a range that is in the tail.
    fn inside(&self, range: Range<u64>) -> Range<u64> {
        let start = range.start.max(self.start);
        start..range.end.max(start)
    }

    /// The size of the function at a text offset, if a symbol says it.
    pub(crate) fn size_at(&self, offset: u32) -> Option<u32> {
        let place = self.symbols.partition_point(|symbol| symbol.start < offset);
        let symbol = self.symbols.get(place)?;
        (symbol.start == offset).then_some(symbol.size)
    }

    /// The range in the file of the symbol's name, with the zero byte that ends it.
    pub(crate) fn name_of(&self, symbol: &Symbol) -> Option<Range<u64>> {
        let next = self.ends.partition_point(|end| *end < symbol.name);
        let end = *self.ends.get(next)? + 1;
        let table = self.symbol_names.start;
        Some(table + u64::from(symbol.name)..table + u64::from(end))
    }
}
