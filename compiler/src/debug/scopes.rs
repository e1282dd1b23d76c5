//! The functions of a module by address, and those that were inlined into them, as its debug
//! information says.

use std::collections::HashMap;
use std::ops::Range;

use gimli::{AttributeValue, DebugInfoOffset, UnitOffset, constants};

use super::budget::{Budget, Refusal};
use super::demangle::demangle;
use super::dwarf::{Dwarf, Entry, Slice, Value};
use super::rows::{Place, files};
use super::texts::{TextId, Texts};

/// How many references lead to a name at most: from an inlined copy to the function, and from its
/// definition to its declaration.
const MAX_REFERENCES: usize = 8;

/// Functions inlined into each other, at most. Deeper ones are left out.
const MAX_DEPTH: u32 = 512;

/// Code of a function.
#[derive(Debug)]
struct Function {
    start: u32,
    end: u32,
    name: TextId,
    /// Its inlined functions, in [`Scopes::inlined`].
    inlined: Range<usize>,
}

/// Code of a function that was inlined.
#[derive(Clone, Copy, Debug)]
struct Inlined {
    /// The index of the function that it is in.
    function: u32,
    /// How many inlined functions it is in.
    depth: u32,
    start: u32,
    end: u32,
    name: TextId,
    /// Where it was called.
    call: Place,
}

/// The functions of a module.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    /// Sorted by start.
    functions: Vec<Function>,
    /// By function, depth and start.
    inlined: Vec<Inlined>,
}

/// A function that has an address in its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) name: TextId,
    /// Where the next outer one has called it; `None` if it was not inlined.
    pub(crate) call: Option<Place>,
}

impl Scopes {
    /// Reads the functions of all units. `code_size` is that of the code section.
    ///
    /// # Errors
    /// If the entries are not well-formed, or take too many steps.
    pub(crate) fn read(
        dwarf: &Dwarf<'_>,
        code_size: u32,
        texts: &mut Texts,
        budget: &mut Budget,
    ) -> Result<Scopes, Refusal> {
        let mut reading = Reading {
            dwarf,
            code_size,
            texts,
            budget,
            scopes: Scopes::default(),
            names: HashMap::new(),
            decoded: HashMap::new(),
        };
        for unit in 0..dwarf.units.len() {
            reading.unit(unit)?;
        }
        Ok(reading.scopes.sorted())
    }

    fn sorted(mut self) -> Scopes {
        self.inlined
            .sort_by_key(|inlined| (inlined.function, inlined.depth, inlined.start));
        for (index, function) in self.functions.iter_mut().enumerate() {
            let of = |inlined: &Inlined| inlined.function as usize;
            let start = self.inlined.partition_point(|inlined| of(inlined) < index);
            let end = self.inlined.partition_point(|inlined| of(inlined) <= index);
            function.inlined = start..end;
        }
        // Of several that start together the first one is found, as in line tables.
        self.functions.reverse();
        self.functions.sort_by_key(|function| function.start);
        self
    }

    /// The functions that have an address in their code, innermost first.
    pub(crate) fn find(&self, address: u32, found: &mut Vec<Scope>) {
        found.clear();
        let after = self
            .functions
            .partition_point(|function| function.start <= address);
        let Some(function) = after.checked_sub(1).map(|place| &self.functions[place]) else {
            return;
        };
        if address >= function.end {
            return;
        }
        found.push(Scope {
            name: function.name,
            call: None,
        });
        let mut rest = &self.inlined[function.inlined.clone()];
        while let Some(first) = rest.first() {
            let end = rest.partition_point(|inlined| inlined.depth <= first.depth);
            let (same_depth, deeper) = rest.split_at(end);
            let after = same_depth.partition_point(|inlined| inlined.start <= address);
            let inlined = after.checked_sub(1).map(|place| &same_depth[place]);
            let Some(inlined) = inlined.filter(|inlined| address < inlined.end) else {
                break;
            };
            found.push(Scope {
                name: inlined.name,
                call: Some(inlined.call),
            });
            rest = deeper;
        }
        found.reverse();
    }
}

/// An entry whose children are being read.
struct Open {
    depth: isize,
    /// The functions, one for each part of its code, that its children are in.
    functions: Range<usize>,
    /// How many inlined functions its children are in.
    inlined: u32,
}

struct Reading<'r, 'a> {
    dwarf: &'r Dwarf<'a>,
    code_size: u32,
    texts: &'r mut Texts,
    budget: &'r mut Budget,
    scopes: Scopes,
    /// The names of entries that others refer to.
    names: HashMap<DebugInfoOffset, TextId>,
    /// Names as toolchains encode them, decoded.
    decoded: HashMap<&'a [u8], TextId>,
}

impl<'a> Reading<'_, 'a> {
    fn unit(&mut self, index: usize) -> Result<(), Refusal> {
        let unit = &self.dwarf.units[index].unit;
        let files = files(self.dwarf, index, self.texts, self.budget)?;
        let mut entries = unit.header.entries_raw(&unit.abbreviations, None)?;
        let mut entry = Entry::null();
        let mut open: Vec<Open> = Vec::new();
        let mut ranges = Vec::new();
        while !entries.is_empty() {
            let depth = entries.next_depth();
            if !entries.read_entry(&mut entry)? {
                continue;
            }
            self.budget.take(1 + entry.attrs().len() as u64)?;
            while open.last().is_some_and(|open| open.depth >= depth) {
                open.pop();
            }
            match entry.tag() {
                constants::DW_TAG_subprogram => {
                    self.dwarf
                        .ranges(index, &entry, self.code_size, self.budget, &mut ranges)?;
                    let first = self.scopes.functions.len();
                    if !ranges.is_empty() {
                        let name = self.name(index, &entry)?;
                        self.scopes
                            .functions
                            .extend(ranges.iter().map(|range| Function {
                                start: range.start,
                                end: range.end,
                                name,
                                inlined: 0..0,
                            }));
                    }
                    open.push(Open {
                        depth,
                        functions: first..self.scopes.functions.len(),
                        inlined: 0,
                    });
                }
                constants::DW_TAG_inlined_subroutine => {
                    let Some(Open {
                        functions, inlined, ..
                    }) = open.last()
                    else {
                        continue;
                    };
                    let (functions, inlined) = (functions.clone(), *inlined);
                    self.dwarf
                        .ranges(index, &entry, self.code_size, self.budget, &mut ranges)?;
                    if !ranges.is_empty() && inlined < MAX_DEPTH {
                        let name = self.name(index, &entry)?;
                        let call = call_place(&entry, &files);
                        self.inlined(&functions, inlined, &ranges, (name, call))?;
                    }
                    open.push(Open {
                        depth,
                        functions,
                        inlined: inlined + 1,
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Adds the code of an inlined function, which is in these functions.
    fn inlined(
        &mut self,
        functions: &Range<usize>,
        depth: u32,
        ranges: &[Range<u32>],
        (name, call): (TextId, Place),
    ) -> Result<(), Refusal> {
        for range in ranges {
            self.budget.take(functions.len() as u64)?;
            let mut inside = functions.clone();
            let function = inside.find(|function| {
                let function = &self.scopes.functions[*function];
                function.start <= range.start && range.end <= function.end
            });
            self.scopes.inlined.extend(function.map(|function| Inlined {
                function: function as u32,
                depth,
                start: range.start,
                end: range.end,
                name,
                call,
            }));
        }
        Ok(())
    }

    /// The name of an entry, as people write it.
    fn name(&mut self, index: usize, entry: &Entry<'a>) -> Result<TextId, Refusal> {
        self.name_in(index, entry, MAX_REFERENCES)
    }

    fn name_in(
        &mut self,
        index: usize,
        entry: &Entry<'a>,
        references: usize,
    ) -> Result<TextId, Refusal> {
        let unit = &self.dwarf.units[index].unit;
        let mut plain = None;
        let mut origin = None;
        for attr in entry.attrs() {
            match attr.name() {
                constants::DW_AT_linkage_name | constants::DW_AT_MIPS_linkage_name => {
                    let name = self.dwarf.sections.attr_string(unit, attr.value())?;
                    return self.demangled(name);
                }
                constants::DW_AT_name => plain = Some(attr.value()),
                constants::DW_AT_abstract_origin | constants::DW_AT_specification => {
                    origin = Some(attr.value());
                }
                _ => {}
            }
        }
        // The other entry may have the name with its namespaces.
        let named = match origin.filter(|_| references > 0) {
            Some(origin) => self.name_of(index, &origin, references - 1)?,
            None => TextId::NONE,
        };
        match plain {
            Some(plain) if named == TextId::NONE => {
                let name = self.dwarf.sections.attr_string(unit, plain)?;
                self.budget.take_text(name.len())?;
                Ok(self.texts.add_bytes(name.slice()))
            }
            _ => Ok(named),
        }
    }

    /// A name that the toolchain has encoded, decoded.
    fn demangled(&mut self, name: Slice<'a>) -> Result<TextId, Refusal> {
        self.budget.take_text(name.len())?;
        if let Some(known) = self.decoded.get(name.slice()) {
            return Ok(*known);
        }
        // Much more work than to look at it.
        self.budget.take(64 + name.len() as u64)?;
        let text = self.texts.add(&demangle(&name.to_string_lossy()));
        self.decoded.insert(name.slice(), text);
        Ok(text)
    }

    /// The name of the entry that a value refers to.
    fn name_of(
        &mut self,
        index: usize,
        value: &Value<'a>,
        references: usize,
    ) -> Result<TextId, Refusal> {
        let header = |index: usize| &self.dwarf.units[index].unit.header;
        let found = match *value {
            AttributeValue::UnitRef(offset) => offset
                .to_debug_info_offset(header(index))
                .map(|place| (place, index, offset)),
            AttributeValue::DebugInfoRef(place) => self
                .dwarf
                .unit_of(place)
                .map(|(index, offset)| (place, index, offset)),
            _ => None,
        };
        let Some((place, index, offset)) = found else {
            return Ok(TextId::NONE);
        };
        if let Some(name) = self.names.get(&place) {
            return Ok(*name);
        }
        let name = match self.entry(index, offset)? {
            Some(entry) => self.name_in(index, &entry, references)?,
            None => TextId::NONE,
        };
        self.names.insert(place, name);
        Ok(name)
    }

    /// `None` if a reference leads to what is no entry.
    fn entry(&mut self, index: usize, offset: UnitOffset) -> Result<Option<Entry<'a>>, Refusal> {
        let unit = &self.dwarf.units[index].unit;
        let Ok(mut entries) = unit.header.entries_raw(&unit.abbreviations, Some(offset)) else {
            return Ok(None);
        };
        // Taken before the attributes are read, as reading them may fail at the last one.
        let Ok(Some(abbreviation)) = entries.clone().read_abbreviation() else {
            return Ok(None);
        };
        self.budget
            .take(1 + abbreviation.attributes().len() as u64)?;
        let mut entry = Entry::null();
        let is_whole = entries.read_entry(&mut entry).is_ok();
        Ok(is_whole.then_some(entry))
    }
}

/// Where an inlined function was called.
fn call_place(entry: &Entry<'_>, files: &[TextId]) -> Place {
    let number = |name| {
        let value = entry.attr_value(name);
        let number = match value {
            Some(AttributeValue::FileIndex(index)) => Some(index),
            Some(value) => value.udata_value(),
            None => None,
        };
        number.and_then(|number| u32::try_from(number).ok())
    };
    let file = number(constants::DW_AT_call_file);
    let file = file.and_then(|file| files.get(file as usize));
    Place {
        file: file.copied().unwrap_or(TextId::NONE),
        line: number(constants::DW_AT_call_line).unwrap_or(0),
        column: number(constants::DW_AT_call_column).unwrap_or(0),
    }
}
