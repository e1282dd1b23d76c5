//! Accounts for each byte of an artifact, once.

use std::ops::Range;

use cwasm_format::data::IMAGE_CONTEXT;
use cwasm_format::exports::{IMPORTED, kind};
use cwasm_format::header::{HEADER_END, SectionId};
use cwasm_format::{Artifact, names, traps};
use serde::Serialize;

use super::claims::Claims;
use crate::code::{self, Code, Owner};
use crate::elf::Tail;

/// What bytes are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Use {
    /// Machine code.
    Code,
    /// Initial contents of memories and of the context, and data segments.
    Images,
    /// What the loader looks up by addresses of code, and what it makes instances of.
    Tables,
    /// Imports and exports with their types and names.
    Interface,
    /// Names, symbols, lines and DWARF.
    Debug,
    /// Headers and tables of the file.
    Headers,
    /// Between functions and sections.
    Padding,
}

impl Use {
    pub(super) const ALL: [Use; 7] = [
        Use::Code,
        Use::Images,
        Use::Tables,
        Use::Interface,
        Use::Debug,
        Use::Headers,
        Use::Padding,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Use::Code => "code",
            Use::Images => "images",
            Use::Tables => "tables",
            Use::Interface => "interface",
            Use::Debug => "debug",
            Use::Headers => "headers",
            Use::Padding => "padding",
        }
    }
}

/// Bytes by their use.
pub(super) type Bytes = [u64; Use::ALL.len()];

/// The bytes of an artifact.
pub(super) struct Account<'a> {
    pub(super) code: Code<'a>,
    /// Bytes of each function, by number.
    pub(super) functions: Vec<Bytes>,
    /// All others, but those of `modules`.
    pub(super) parts: Vec<Part<'a>>,
    /// The artifacts of exported core modules, by the name of the export.
    pub(super) modules: Vec<(&'a str, Account<'a>)>,
}

/// Bytes that are no function's.
pub(super) struct Part<'a> {
    pub(super) name: String,
    pub(super) used_for: Use,
    pub(super) owner: Owner<'a>,
    pub(super) bytes: u64,
}

impl<'a> Account<'a> {
    /// Accounts for all bytes of the artifact.
    pub(super) fn of(artifact: Artifact<'a>) -> Account<'a> {
        let mut account = Account::without_modules(artifact);
        let (found, left) = modules(&artifact);
        account.part(Use::Padding, "after exported core modules", left);
        account.modules = found;
        account
    }

    /// As [`of`](Account::of), without the artifacts in it.
    fn without_modules(artifact: Artifact<'a>) -> Account<'a> {
        let tail = Tail::read(&artifact);
        let code = Code::read(artifact, &tail);
        let mut account = Account {
            functions: vec![Bytes::default(); code.functions.len()],
            code,
            parts: Vec::new(),
            modules: Vec::new(),
        };
        account.part(
            Use::Headers,
            "ELF header and artifact header",
            HEADER_END as u64,
        );
        account.gaps(&artifact);
        account.text(&artifact);
        account.images(&artifact);
        account.tables(&artifact);
        account.names(&artifact);
        account.tail(&artifact, &tail);
        account
    }

    fn part(&mut self, used_for: Use, name: &str, bytes: u64) {
        self.owned_part(used_for, name.to_owned(), Owner::default(), bytes);
    }

    fn owned_part(&mut self, used_for: Use, name: String, owner: Owner<'a>, bytes: u64) {
        if bytes > 0 {
            self.parts.push(Part {
                name,
                used_for,
                owner,
                bytes,
            });
        }
    }

    /// The bytes between sections, and the sections that are no function's.
    fn gaps(&mut self, artifact: &Artifact<'_>) {
        let (mut end, mut padding) = (HEADER_END as u64, 0);
        for id in SectionId::ALL {
            let range = artifact.range(*id);
            padding += range.offset - end;
            end = range.offset + range.size;
            if let Some(used_for) = used_for(*id) {
                self.part(used_for, id.name(), range.size);
            }
        }
        self.part(Use::Padding, "between sections", padding);
    }

    fn text(&mut self, artifact: &Artifact<'_>) {
        let mut padding = artifact.range(SectionId::Text).size;
        for (function, bytes) in self.code.functions.iter().zip(&mut self.functions) {
            let len = u64::from(function.range.end - function.range.start);
            bytes[Use::Code as usize] = len;
            padding -= len;
        }
        self.part(Use::Padding, "between functions", padding);
    }

    fn images(&mut self, artifact: &Artifact<'a>) {
        let size = artifact.range(SectionId::Images).size;
        let memories = artifact.memories().len();
        let mut claims = Claims::new();
        for run in artifact.image_runs() {
            let owner = match run.target {
                IMAGE_CONTEXT => memories as u32,
                // Of a damaged file.
                memory if memory as usize >= memories => continue,
                memory => memory,
            };
            claims.add(run.source, run.source.saturating_add(run.size), owner);
        }
        let mut found = vec![0; memories + 1];
        let left = claims.settle(0..size, |owner, bytes| found[owner as usize] += bytes);
        for (memory, bytes) in (0..).zip(found) {
            let (name, owner) = match memory as usize == memories {
                true => ("image of the context".to_owned(), Owner::default()),
                false => (
                    format!("image of memory {memory}"),
                    self.code.owner_of_memory(memory),
                ),
            };
            self.owned_part(Use::Images, name, owner, bytes);
        }
        self.part(Use::Padding, "in images", len(&left));
    }

    /// The tables that have entries of functions.
    fn tables(&mut self, artifact: &Artifact<'_>) {
        let functions = (0..artifact.functions().len() as u32).map(Some);
        self.records(artifact, SectionId::Functions, functions.collect());
        let after = |return_offset: u32| self.code.at(return_offset.saturating_sub(1));
        let entries = artifact.entries().iter();
        let entries = entries.map(|entry| after(entry.return_offset)).collect();
        let sites: Vec<_> = artifact
            .catch_sites()
            .iter()
            .map(|site| after(site.return_offset))
            .collect();
        let refs = artifact.func_refs().iter();
        let refs = refs.map(|func_ref| self.code.at(func_ref.code)).collect();
        let blocks = artifact.trap_blocks().iter();
        let blocks = blocks.map(|block| self.code.at(block.first)).collect();
        self.handlers(artifact, &sites);
        self.records(artifact, SectionId::Entries, entries);
        self.records(artifact, SectionId::CatchSites, sites);
        self.records(artifact, SectionId::FuncRefs, refs);
        self.records(artifact, SectionId::TrapBlocks, blocks);
        self.traps(artifact);
    }

    /// Gives each record of a section to a function, where it is one's.
    fn records(&mut self, artifact: &Artifact<'_>, id: SectionId, owners: Vec<Option<u32>>) {
        let mut left = artifact.range(id).size;
        for owner in owners.into_iter().flatten() {
            self.functions[owner as usize][Use::Tables as usize] += id.record_size();
            left -= id.record_size();
        }
        self.part(Use::Tables, id.name(), left);
    }

    /// The lists of handlers of exceptions belong to the first function whose calls have them.
    fn handlers(&mut self, artifact: &Artifact<'_>, owners: &[Option<u32>]) {
        let lists = artifact.catch_lists();
        let mut list_owners = vec![None; lists.len()];
        for (site, owner) in artifact.catch_sites().iter().zip(owners) {
            if let Some(list) = list_owners.get_mut(site.list as usize) {
                *list = list.or(*owner);
            }
        }
        let id = SectionId::Catches;
        let mut claims = Claims::new();
        for (list, owner) in lists.iter().zip(&list_owners) {
            let first = u64::from(list.first) * id.record_size();
            let size = u64::from(list.count) * id.record_size();
            if let Some(owner) = owner {
                claims.add(first, first + size, *owner);
            }
        }
        let functions = &mut self.functions;
        let left = claims.settle(0..artifact.range(id).size, |owner, bytes| {
            functions[owner as usize][Use::Tables as usize] += bytes;
        });
        self.part(Use::Tables, id.name(), len(&left));
        self.records(artifact, SectionId::CatchLists, list_owners);
    }

    fn traps(&mut self, artifact: &Artifact<'_>) {
        let bytes = artifact.section(SectionId::TrapBytes);
        let mut left = bytes.len() as u64;
        for trap in traps::iter(artifact.trap_blocks(), bytes) {
            if let Some(owner) = self.code.at(trap.offset) {
                self.functions[owner as usize][Use::Tables as usize] += u64::from(trap.size);
                left -= u64::from(trap.size);
            }
        }
        self.part(Use::Tables, SectionId::TrapBytes.name(), left);
    }

    fn names(&mut self, artifact: &Artifact<'_>) {
        let known = artifact.section(SectionId::Names);
        let mut claims = Claims::new();
        for number in 0..self.functions.len() as u32 {
            let pair = 4 + 8 * u64::from(number);
            if let Some(name) = names::range(known, number) {
                claims.add(pair, pair + 8, number);
                claims.add(name.start as u64, name.end as u64, number);
            }
        }
        let functions = &mut self.functions;
        let left = claims.settle(0..known.len() as u64, |owner, bytes| {
            functions[owner as usize][Use::Debug as usize] += bytes;
        });
        self.part(Use::Debug, SectionId::Names.name(), len(&left));
    }

    /// What follows the sections.
    fn tail(&mut self, artifact: &Artifact<'_>, tail: &Tail) {
        const SYMBOL: u64 = size_of::<object::elf::Sym64<object::LittleEndian>>() as u64;
        let mut claims = Claims::new();
        for symbol in &tail.symbols {
            let Some(owner) = self.code.at(symbol.start) else {
                continue;
            };
            let place = tail.symbol_table.start + SYMBOL * u64::from(symbol.place);
            claims.add(place, place + SYMBOL, owner);
            if let Some(name) = tail.name_of(symbol) {
                claims.add(name.start, name.end, owner);
            }
        }
        let given = &mut self.functions;
        let left = claims.settle(tail.start..artifact.bytes().len() as u64, |owner, bytes| {
            given[owner as usize][Use::Debug as usize] += bytes;
        });
        let (debug, headers) = (Use::Debug, Use::Headers);
        let mut tables = vec![
            (debug, "symbols", &tail.symbol_table, 0),
            (debug, "names of symbols", &tail.symbol_names, 0),
            (headers, "names of sections", &tail.section_names, 0),
            (headers, "ELF section headers", &tail.section_headers, 0),
        ];
        let sections = tail.debug.iter();
        tables.extend(sections.map(|(name, range)| (debug, name.as_str(), range, 0)));
        let mut padding = 0;
        for range in left {
            let mut claims = Claims::new();
            for ((_, _, table, _), number) in tables.iter().zip(0..) {
                claims.add(table.start, table.end, number);
            }
            let left = claims.settle(range, |table, bytes| tables[table as usize].3 += bytes);
            padding += len(&left);
        }
        for (used_for, name, _, bytes) in tables {
            self.part(used_for, name, bytes);
        }
        self.part(Use::Padding, "between tables of the file", padding);
    }

    /// The sum of all bytes.
    pub(super) fn total(&self) -> u64 {
        let functions = self.functions.iter().flatten();
        let parts = self.parts.iter().map(|part| part.bytes);
        let modules = self.modules.iter().map(|(_, account)| account.total());
        functions.sum::<u64>() + parts.sum::<u64>() + modules.sum::<u64>()
    }
}

/// What a section is for; `None` if that is not the same for all of it.
fn used_for(id: SectionId) -> Option<Use> {
    Some(match id {
        SectionId::Text
        | SectionId::Images
        | SectionId::Modules
        | SectionId::Names
        | SectionId::Functions
        | SectionId::Entries
        | SectionId::CatchSites
        | SectionId::CatchLists
        | SectionId::Catches
        | SectionId::FuncRefs
        | SectionId::TrapBlocks
        | SectionId::TrapBytes => return None,
        SectionId::Data => Use::Images,
        SectionId::Memories
        | SectionId::Tables
        | SectionId::ImageRuns
        | SectionId::RefSlots
        | SectionId::Nests
        | SectionId::HandleTables
        | SectionId::Concurrent => Use::Tables,
        SectionId::Strings
        | SectionId::Exports
        | SectionId::ExportSlots
        | SectionId::Imports
        | SectionId::Lifts
        | SectionId::Lowers
        | SectionId::Resources
        | SectionId::HandleUses
        | SectionId::Tasks
        | SectionId::Ops
        | SectionId::CoreTypes
        | SectionId::ModuleInstances
        | SectionId::ModuleArgs
        | SectionId::Tags
        | SectionId::Describe => Use::Interface,
    })
}

/// The artifacts of exported core modules, and the bytes of their section that are none's.
fn modules<'a>(artifact: &Artifact<'a>) -> (Vec<(&'a str, Account<'a>)>, u64) {
    let section = artifact.section(SectionId::Modules);
    let exports = artifact.exports().iter();
    let exports = exports.filter(|export| {
        export.kind == kind::MODULE && export.index & IMPORTED == 0 && export.core_type.len > 0
    });
    let mut ranges: Vec<_> = exports
        .map(|export| (export.core_type.offset, export.core_type.len, export.name))
        .collect();
    ranges.sort_unstable_by_key(|(offset, len, name)| (*offset, *len, name.offset));
    let (mut found, mut end, mut left) = (Vec::new(), 0, section.len());
    for (offset, len, name) in ranges {
        let (offset, len) = (offset as usize, len as usize);
        let bytes = offset
            .checked_add(len)
            .and_then(|end| section.get(offset..end));
        // A module may be exported twice; those of a damaged file may be anything.
        if let Some(bytes) = bytes
            && offset >= end
            && offset % size_of::<u128>() == 0
            && let Ok(module) = Artifact::inspect(bytes)
        {
            let name = artifact.string_bytes(name).and_then(code::text);
            let name = name.unwrap_or("?");
            let mut account = Account::without_modules(module);
            // Modules have none: only a damaged file does.
            let inner = module.range(SectionId::Modules).size;
            account.part(Use::Padding, SectionId::Modules.name(), inner);
            found.push((name, account));
            end = offset + len;
            left -= len;
        }
    }
    (found, left as u64)
}

fn len(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}
