//! The entries of a module's units, with the places of code and values in the text.
//!
//! Two walks through all entries: the first makes those that are kept, the second gives them their
//! attributes, which may refer to entries that come later or are in other units. Left out are
//! functions that there is no code of, and what is about calls.

use std::collections::HashMap;
use std::ops::Range;

use gimli::constants::{self, DwTag};
use gimli::write::{
    Address, AttributeValue, DebugInfoRef, Dwarf, Expression, Location, LocationList, Unit,
    UnitEntryId, UnitId,
};
use gimli::{DebugInfoOffset, UnitOffset, read};

use super::super::budget::{Budget, Refusal};
use super::super::dwarf::{self, Entry, Value};
use super::super::rows::files;
use super::super::source::Source;
use super::super::texts::{TextId, Texts};
use super::ENCODING;
use super::expression::{Steps, Surroundings, Variable};
use super::lines::Lines;
use super::places::Places;
use super::values::Function;
use crate::env::MemoryLoc;

/// A core instance whose module has debug information.
pub(super) struct Instance<'i, 'a> {
    pub(super) module: &'i dwarf::Dwarf<'a>,
    pub(super) source: &'i Source,
    /// The instance's first memory.
    pub(super) memory: Option<&'i MemoryLoc>,
    /// Bytes of the module's code section.
    pub(super) code_len: u32,
    /// The instance's functions, in the order of the text, where no others are between them.
    pub(super) places: &'i [Places<'i>],
}

impl<'i, 'a> Instance<'i, 'a> {
    fn function(&self, index: usize) -> Function<'i> {
        Function {
            places: &self.places[index],
            memory: self.memory,
        }
    }

    /// Where a variable at an address in memory is: in functions of the instance, whose frame base
    /// is the start of the memory. Those of others have another.
    fn global(&self, address: i64) -> LocationList {
        let mut data = Expression::new();
        data.op_fbreg(address);
        let (first, last) = (self.places.first(), self.places.last());
        let location = first.zip(last).map(|(first, last)| Location::StartEnd {
            begin: Address::Constant(first.native.start),
            end: Address::Constant(last.native.end),
            data,
        });
        LocationList(location.into_iter().collect())
    }

    fn surroundings<'s>(
        &'s self,
        unit: usize,
        frame_base: Option<&'s Steps>,
    ) -> Surroundings<'s, 'a> {
        Surroundings {
            sections: &self.module.sections,
            unit: &self.module.units[unit].unit,
            frame_base,
            place: None,
        }
    }
}

/// Adds the units of an instance's module.
///
/// # Errors
/// If they are not well-formed, or take too many steps.
pub(super) fn add(
    instance: &Instance<'_, '_>,
    dwarf: &mut Dwarf,
    texts: &mut Texts,
    budget: &mut Budget,
) -> Result<(), Refusal> {
    let functions = instance.places.iter().enumerate();
    let mut adding = Adding {
        instance,
        dwarf,
        texts,
        budget,
        functions: functions.map(|(index, of)| (of.start, index)).collect(),
        kept: HashMap::new(),
        ranges: Vec::new(),
    };
    let mut units = Vec::new();
    for unit in 0..instance.module.units.len() {
        units.extend(adding.entries(unit)?);
    }
    for unit in units {
        adding.attributes(unit)?;
    }
    Ok(())
}

/// Entries inside of each other at most, as they are written by a recursive function. Deeper ones
/// are left out.
const MAX_NESTING: usize = 512;

/// The name of the variable that is an instance's memory, for `docs/gdb/cwasm.py`.
const MEMORY: &str = "__cwasm_memory";

/// Steps of an entry that is made.
const NEW_ENTRY: u64 = 8;

/// Steps of giving an entry so many attributes, each of which is compared with those before.
fn attributes_steps(count: usize) -> u64 {
    let count = count as u64;
    1 + 2 * count + count * count / 32
}

/// A unit that is kept.
struct Kept {
    /// Its number in the module.
    from: usize,
    id: UnitId,
    /// Which of its entries are kept, in their order.
    entries: Vec<(UnitOffset, UnitEntryId)>,
    /// The functions in it that there is code of.
    functions: Vec<usize>,
}

struct Adding<'d, 'i, 'a> {
    instance: &'d Instance<'i, 'a>,
    dwarf: &'d mut Dwarf,
    texts: &'d mut Texts,
    budget: &'d mut Budget,
    /// The functions by their start in the code section.
    functions: HashMap<u32, usize>,
    /// The entries that are kept.
    kept: HashMap<DebugInfoOffset, (UnitId, UnitEntryId)>,
    /// A buffer.
    ranges: Vec<Range<u32>>,
}

/// What the entries are in that are being read.
struct Open {
    depth: isize,
    /// The function whose code it is about.
    function: Option<usize>,
    /// What leaves the address of its frame in memory.
    frame_base: Option<Steps>,
    /// The code that its variables are for.
    code: Vec<Range<u64>>,
}

impl<'a> Adding<'_, '_, 'a> {
    /// Makes the entries of a unit; `None` if there is no code of it.
    fn entries(&mut self, from: usize) -> Result<Option<Kept>, Refusal> {
        let module = self.instance.module;
        let unit = &module.units[from].unit;
        let mut entries = unit.header.entries_raw(&unit.abbreviations, None)?;
        let mut entry = Entry::null();
        let mut new = Unit::new(ENCODING, gimli::write::LineProgram::none());
        let mut kept = Vec::new();
        let mut functions = Vec::new();
        // Parents, and the depth below which entries are left out.
        let mut parents: Vec<(isize, UnitEntryId)> = Vec::new();
        let mut left_out = None;
        while !entries.is_empty() {
            let (depth, offset) = (entries.next_depth(), entries.next_offset());
            if !entries.read_entry(&mut entry)? {
                continue;
            }
            self.budget.take(NEW_ENTRY + entry.attrs().len() as u64)?;
            if left_out.is_some_and(|above| depth > above) {
                continue;
            }
            left_out = None;
            while parents.last().is_some_and(|(parent, _)| *parent >= depth) {
                parents.pop();
            }
            let is_left_out = match entry.tag() {
                constants::DW_TAG_subprogram => match self.function(from, &entry)? {
                    Code::None => false,
                    Code::Left => true,
                    Code::Function(function) => {
                        functions.push(function);
                        false
                    }
                },
                tag => is_about_calls(tag),
            };
            if is_left_out || parents.len() >= MAX_NESTING {
                left_out = Some(depth);
                continue;
            }
            let id = match parents.last() {
                Some((_, parent)) => new.add(*parent, entry.tag()),
                None if kept.is_empty() => new.root(),
                // Only one entry has no parent.
                None => continue,
            };
            parents.push((depth, id));
            kept.push((offset, id));
        }
        if functions.is_empty() {
            return Ok(None);
        }
        let id = self.dwarf.units.add(new);
        for (offset, entry) in &kept {
            if let Some(place) = offset.to_debug_info_offset(&unit.header) {
                self.kept.insert(place, (id, *entry));
            }
        }
        Ok(Some(Kept {
            from,
            id,
            entries: kept,
            functions,
        }))
    }

    /// The code of a function's entry.
    fn function(&mut self, unit: usize, entry: &Entry<'a>) -> Result<Code, Refusal> {
        let has_code = |name| entry.attr_value(name).is_some();
        if !has_code(constants::DW_AT_low_pc) && !has_code(constants::DW_AT_ranges) {
            return Ok(Code::None);
        }
        let Instance {
            module, code_len, ..
        } = self.instance;
        module.ranges(unit, entry, *code_len, self.budget, &mut self.ranges)?;
        let first = self.ranges.first();
        let function = first.and_then(|range| self.functions.get(&range.start));
        Ok(function.map_or(Code::Left, |function| Code::Function(*function)))
    }

    /// Gives the entries of a unit their attributes, and the unit its lines.
    fn attributes(&mut self, kept: Kept) -> Result<(), Refusal> {
        let instance = self.instance;
        let unit = &instance.module.units[kept.from].unit;
        let slice = |text: Option<dwarf::Slice<'a>>| text.map_or(&[][..], |text| text.slice());
        let (name, folder) = (slice(unit.name), slice(unit.comp_dir));
        self.budget.take_text(name.len() + folder.len())?;
        let mut lines = Lines::new(name, folder);
        let files = files(instance.module, kept.from, self.texts, self.budget)?;
        let mut entries = unit.header.entries_raw(&unit.abbreviations, None)?;
        let mut entry = Entry::null();
        let mut next = kept.entries.iter().peekable();
        let mut open: Vec<Open> = Vec::new();
        while !entries.is_empty() {
            let (depth, offset) = (entries.next_depth(), entries.next_offset());
            if !entries.read_entry(&mut entry)? {
                continue;
            }
            self.budget.take(attributes_steps(entry.attrs().len()))?;
            let Some((_, id)) = next.next_if(|(kept, _)| *kept == offset) else {
                continue;
            };
            while open.last().is_some_and(|open| open.depth >= depth) {
                open.pop();
            }
            let at = At {
                from: kept.from,
                unit: kept.id,
                entry: *id,
            };
            self.plain(at, &entry, (&files, &mut lines))?;
            self.code(at, &entry, depth, &mut open)?;
            if let constants::DW_TAG_variable | constants::DW_TAG_formal_parameter = entry.tag() {
                match open.last() {
                    Some(open) => self.variable(at, &entry, open)?,
                    None => self.global(at, &entry),
                }
            }
        }
        for function in &kept.functions {
            let places = &instance.places[*function];
            lines.add(places, instance.source, self.texts, self.budget)?;
        }
        if instance.memory.is_some() {
            self.memory(kept.id);
        }
        let unit = self.dwarf.units.get_mut(kept.id);
        unit.line_program = lines.program;
        let ranges = kept.functions.iter().map(|function| {
            let range = &instance.places[*function].native;
            start_end(range)
        });
        let ranges = gimli::write::RangeList(ranges.collect());
        let ranges = AttributeValue::RangeListRef(unit.ranges.add(ranges));
        let root = unit.get_mut(unit.root());
        root.set(constants::DW_AT_ranges, ranges);
        let start = AttributeValue::Address(Address::Constant(0));
        root.set(constants::DW_AT_low_pc, start);
        Ok(())
    }

    /// Adds a variable to a unit that is the first byte of the memory of the instance whose code
    /// runs: what addresses of the guest count from.
    fn memory(&mut self, unit: UnitId) {
        let unit = self.dwarf.units.get_mut(unit);
        let byte = unit.add(unit.root(), constants::DW_TAG_base_type);
        let variable = unit.add(unit.root(), constants::DW_TAG_variable);
        let name = |name: &str| AttributeValue::String(name.as_bytes().to_vec());
        let entry = unit.get_mut(byte);
        entry.set(constants::DW_AT_name, name("unsigned char"));
        entry.set(constants::DW_AT_byte_size, AttributeValue::Data1(1));
        let encoding = AttributeValue::Encoding(constants::DW_ATE_unsigned_char);
        entry.set(constants::DW_AT_encoding, encoding);
        let location = self.instance.global(0);
        let location = unit.locations.add(location);
        let entry = unit.get_mut(variable);
        entry.set(constants::DW_AT_name, name(MEMORY));
        entry.set(constants::DW_AT_type, AttributeValue::UnitRef(byte));
        entry.set(constants::DW_AT_artificial, AttributeValue::Flag(true));
        let location = AttributeValue::LocationListRef(location);
        entry.set(constants::DW_AT_location, location);
    }

    fn set(&mut self, at: At, name: constants::DwAt, value: AttributeValue) {
        let unit = self.dwarf.units.get_mut(at.unit);
        unit.get_mut(at.entry).set(name, value);
    }

    /// Sets the attributes that have nothing to do with code and values.
    fn plain(
        &mut self,
        at: At,
        entry: &Entry<'a>,
        (files, lines): (&[TextId], &mut Lines),
    ) -> Result<(), Refusal> {
        for attr in entry.attrs() {
            let name = attr.name();
            match name {
                // Set elsewhere, or of no meaning any more.
                constants::DW_AT_sibling
                | constants::DW_AT_low_pc
                | constants::DW_AT_high_pc
                | constants::DW_AT_entry_pc
                | constants::DW_AT_ranges
                | constants::DW_AT_location
                | constants::DW_AT_frame_base
                | constants::DW_AT_stmt_list
                | constants::DW_AT_str_offsets_base
                | constants::DW_AT_addr_base
                | constants::DW_AT_loclists_base
                | constants::DW_AT_rnglists_base
                | constants::DW_AT_macros
                | constants::DW_AT_macro_info => {}
                constants::DW_AT_decl_file | constants::DW_AT_call_file => {
                    let number = match attr.value() {
                        read::AttributeValue::FileIndex(index) => Some(index),
                        value => value.udata_value(),
                    };
                    let file = number.and_then(|number| files.get(usize::try_from(number).ok()?));
                    if let Some(file) = file {
                        let file = lines.file(*file, self.texts, self.budget)?;
                        self.set(at, name, AttributeValue::FileIndex(Some(file)));
                    }
                }
                _ => {
                    if let Some(value) = self.value(at, &attr.value())? {
                        self.set(at, name, value);
                    }
                }
            }
        }
        if let constants::DW_TAG_pointer_type
        | constants::DW_TAG_reference_type
        | constants::DW_TAG_rvalue_reference_type
        | constants::DW_TAG_ptr_to_member_type = entry.tag()
        {
            // Addresses of the guest are shorter than those of the machine.
            let unit = &self.instance.module.units[at.from].unit;
            let size = unit.header.encoding().address_size;
            self.set(at, constants::DW_AT_byte_size, AttributeValue::Data1(size));
        }
        Ok(())
    }

    /// A value that means the same in the text; `None` if there is none.
    fn value(&mut self, at: At, value: &Value<'a>) -> Result<Option<AttributeValue>, Refusal> {
        use read::AttributeValue as From;
        let module = self.instance.module;
        let unit = &module.units[at.from].unit;
        Ok(Some(match *value {
            From::Block(bytes) => {
                self.budget.take(bytes.len() as u64)?;
                AttributeValue::Block(bytes.slice().to_vec())
            }
            From::Data1(value) => AttributeValue::Data1(value),
            From::Data2(value) => AttributeValue::Data2(value),
            From::Data4(value) => AttributeValue::Data4(value),
            From::Data8(value) => AttributeValue::Data8(value),
            From::Sdata(value) => AttributeValue::Sdata(value),
            From::Udata(value) => AttributeValue::Udata(value),
            From::Flag(value) => AttributeValue::Flag(value),
            From::Encoding(value) => AttributeValue::Encoding(value),
            From::DecimalSign(value) => AttributeValue::DecimalSign(value),
            From::Endianity(value) => AttributeValue::Endianity(value),
            From::Accessibility(value) => AttributeValue::Accessibility(value),
            From::Visibility(value) => AttributeValue::Visibility(value),
            From::Virtuality(value) => AttributeValue::Virtuality(value),
            From::Language(value) => AttributeValue::Language(value),
            From::AddressClass(value) => AttributeValue::AddressClass(value),
            From::IdentifierCase(value) => AttributeValue::IdentifierCase(value),
            From::CallingConvention(value) => AttributeValue::CallingConvention(value),
            From::Inline(value) => AttributeValue::Inline(value),
            From::Ordering(value) => AttributeValue::Ordering(value),
            From::UnitRef(offset) => {
                let place = offset.to_debug_info_offset(&unit.header);
                let found = place.and_then(|place| self.kept.get(&place));
                match found {
                    Some((_, entry)) => AttributeValue::UnitRef(*entry),
                    None => return Ok(None),
                }
            }
            From::DebugInfoRef(place) => match self.kept.get(&place) {
                Some((id, entry)) => AttributeValue::DebugInfoRef(DebugInfoRef::Entry(*id, *entry)),
                None => return Ok(None),
            },
            From::String(_)
            | From::DebugStrRef(_)
            | From::DebugLineStrRef(_)
            | From::DebugStrOffsetsIndex(_) => {
                let text = module.sections.attr_string(unit, *value)?;
                // Equal ones are there once, but each is compared.
                self.budget.take_text(text.len())?;
                AttributeValue::StringRef(self.dwarf.strings.add(text.slice()))
            }
            _ => return Ok(None),
        }))
    }

    /// Sets where the code of an entry is, if it has some, and notes what its children are in.
    fn code(
        &mut self,
        at: At,
        entry: &Entry<'a>,
        depth: isize,
        open: &mut Vec<Open>,
    ) -> Result<(), Refusal> {
        let instance = self.instance;
        match entry.tag() {
            constants::DW_TAG_subprogram => {
                let function = match self.function(at.from, entry)? {
                    Code::Function(function) => Some(function),
                    Code::None | Code::Left => None,
                };
                let mut code = Vec::new();
                let mut frame_base = None;
                if let Some(function) = function {
                    let range = instance.places[function].native.clone();
                    self.set_code(at, std::slice::from_ref(&range));
                    code.push(range);
                    self.memory_base(at, function)?;
                    frame_base = self.frame_base(at.from, entry);
                }
                open.push(Open {
                    depth,
                    function,
                    frame_base,
                    code,
                });
            }
            constants::DW_TAG_inlined_subroutine | constants::DW_TAG_lexical_block => {
                let Some(outer) = open.last() else {
                    return Ok(());
                };
                let (function, frame_base) = (outer.function, outer.frame_base.clone());
                let Instance {
                    module, code_len, ..
                } = instance;
                module.ranges(at.from, entry, *code_len, self.budget, &mut self.ranges)?;
                let mut code = Vec::new();
                if let Some(function) = function {
                    for range in &self.ranges {
                        instance.places[function].find(range, self.budget, &mut code)?;
                    }
                }
                self.set_code(at, &code);
                open.push(Open {
                    depth,
                    function,
                    frame_base,
                    code,
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn set_code(&mut self, at: At, code: &[Range<u64>]) {
        match code {
            [] => {}
            [range] => {
                let start = AttributeValue::Address(Address::Constant(range.start));
                self.set(at, constants::DW_AT_low_pc, start);
                let size = AttributeValue::Udata(range.end - range.start);
                self.set(at, constants::DW_AT_high_pc, size);
            }
            _ => {
                let list = gimli::write::RangeList(code.iter().map(start_end).collect());
                let unit = self.dwarf.units.get_mut(at.unit);
                let list = AttributeValue::RangeListRef(unit.ranges.add(list));
                self.set(at, constants::DW_AT_ranges, list);
            }
        }
    }

    /// Sets the frame base of a function, which is the start of its memory here: so variables that
    /// are in no function have a place in the frame of any.
    fn memory_base(&mut self, at: At, function: usize) -> Result<(), Refusal> {
        let mut found = Vec::new();
        let function = self.instance.function(function);
        function.memory_locations(self.budget, &mut found)?;
        self.set_locations(at, constants::DW_AT_frame_base, found);
        Ok(())
    }

    /// What leaves the address of a function's frame in memory.
    fn frame_base(&self, unit: usize, entry: &Entry<'a>) -> Option<Steps> {
        let value = entry.attr_value(constants::DW_AT_frame_base)?;
        let around = self.instance.surroundings(unit, None);
        Variable::of(value.exprloc_value()?, &around)?.into_value()
    }

    /// Sets where the value of a variable is.
    fn variable(&mut self, at: At, entry: &Entry<'a>, open: &Open) -> Result<(), Refusal> {
        let Some(value) = entry.attr_value(constants::DW_AT_location) else {
            return Ok(());
        };
        let instance = self.instance;
        let Some(function) = open.function else {
            return Ok(());
        };
        let function = instance.function(function);
        let mut around = instance.surroundings(at.from, open.frame_base.as_ref());
        let mut found = Vec::new();
        if let Some(expression) = value.exprloc_value() {
            if let Some(variable) = Variable::of(expression, &around) {
                function.locations(&variable, &open.code, self.budget, &mut found)?;
            }
        } else if let Some(mut list) =
            (instance.module.sections).attr_locations(around.unit, value)?
        {
            let mut code = Vec::new();
            while let Some(location) = list.next()? {
                self.budget.take(1 + location.data.0.len() as u64)?;
                let bound = |address: u64| u32::try_from(address).unwrap_or(u32::MAX);
                let range = bound(location.range.begin)..bound(location.range.end);
                around.place = Some((function.places, range.start));
                let Some(variable) = Variable::of(location.data, &around) else {
                    continue;
                };
                code.clear();
                function.places.find(&range, self.budget, &mut code)?;
                function.locations(&variable, &code, self.budget, &mut found)?;
            }
        }
        self.set_locations(at, constants::DW_AT_location, found);
        Ok(())
    }

    fn set_locations(&mut self, at: At, name: constants::DwAt, found: Vec<Location>) {
        if !found.is_empty() {
            let unit = self.dwarf.units.get_mut(at.unit);
            let list = unit.locations.add(LocationList(found));
            self.set(at, name, AttributeValue::LocationListRef(list));
        }
    }

    /// Sets where a variable is that is in no function.
    fn global(&mut self, at: At, entry: &Entry<'a>) {
        let around = self.instance.surroundings(at.from, None);
        let value = entry.attr_value(constants::DW_AT_location);
        let expression = value.and_then(|value| value.exprloc_value());
        let variable = expression.and_then(|expression| Variable::of(expression, &around));
        if let Some(address) = variable.and_then(Variable::into_address)
            && self.instance.memory.is_some()
        {
            let LocationList(found) = self.instance.global(address);
            self.set_locations(at, constants::DW_AT_location, found);
        }
    }
}

/// An entry that is being made.
#[derive(Clone, Copy)]
struct At {
    /// The number of its unit in the module.
    from: usize,
    unit: UnitId,
    entry: UnitEntryId,
}

/// Whether there is code of a function.
enum Code {
    /// It is a declaration, or one of whose code there are only inlined copies.
    None,
    /// Its code was left out.
    Left,
    /// It is this function.
    Function(usize),
}

/// Whether entries of this kind are about calls, which are not kept.
fn is_about_calls(tag: DwTag) -> bool {
    matches!(
        tag,
        constants::DW_TAG_call_site
            | constants::DW_TAG_call_site_parameter
            | constants::DW_TAG_GNU_call_site
            | constants::DW_TAG_GNU_call_site_parameter
            | constants::DW_TAG_dwarf_procedure
    )
}

fn start_end(range: &Range<u64>) -> gimli::write::Range {
    gimli::write::Range::StartEnd {
        begin: Address::Constant(range.start),
        end: Address::Constant(range.end),
    }
}
