//! DWARF sections of a core module, and their units.
//!
//! Addresses count from the start of the contents of the module's code section
//! (<https://yurydelendik.github.io/webassembly-dwarf/>).

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use gimli::{
    Abbreviations, AttributeValue, DebugAbbrevOffset, DebugAddrBase, DebugInfoOffset,
    DebugLineOffset, DebugLocListsBase, DebugRngListsBase, DebugStrOffsetsBase, DwarfFileType,
    EndianSlice, LittleEndian, Reader as _, Section as _, SectionId, constants,
};

use super::budget::{Budget, Refusal};

pub(crate) type Slice<'a> = EndianSlice<'a, LittleEndian>;
pub(crate) type Value<'a> = AttributeValue<Slice<'a>>;
pub(crate) type Entry<'a> = gimli::DebuggingInformationEntry<Slice<'a>>;

/// The debug information of a module.
pub(crate) struct Dwarf<'a> {
    pub(crate) sections: gimli::Dwarf<Slice<'a>>,
    /// By their place in `.debug_info`.
    pub(crate) units: Vec<Unit<'a>>,
}

pub(crate) struct Unit<'a> {
    pub(crate) unit: gimli::Unit<Slice<'a>>,
    pub(crate) lines: Option<DebugLineOffset>,
}

impl<'a> Dwarf<'a> {
    /// Reads the headers of all units.
    ///
    /// # Errors
    /// If they are not well-formed.
    pub(crate) fn read(
        sections: &[(&str, &'a [u8])],
        budget: &mut Budget,
    ) -> Result<Dwarf<'a>, Refusal> {
        let load = |id: SectionId| {
            let found = sections.iter().find(|(name, _)| *name == id.name());
            let bytes = found.map_or(&[][..], |(_, bytes)| bytes);
            Ok::<_, Refusal>(Slice::new(bytes, LittleEndian))
        };
        let mut dwarf = Dwarf {
            sections: gimli::Dwarf::load(load)?,
            units: Vec::new(),
        };
        let mut abbreviations: HashMap<DebugAbbrevOffset, Arc<Abbreviations>> = HashMap::new();
        let mut headers = dwarf.sections.units();
        while let Some(header) = headers.next()? {
            budget.take(1)?;
            let offset = header.debug_abbrev_offset();
            let known = match abbreviations.get(&offset) {
                Some(known) => Arc::clone(known),
                None => {
                    charge_table(&dwarf.sections.debug_abbrev, offset, budget)?;
                    let new = header.abbreviations(&dwarf.sections.debug_abbrev)?;
                    Arc::clone(abbreviations.entry(offset).or_insert(Arc::new(new)))
                }
            };
            let unit = read_unit(&dwarf.sections, header, known, budget)?;
            dwarf.units.extend(unit);
        }
        Ok(dwarf)
    }

    /// Sets `found` to the ranges of an entry that are in the module's code.
    ///
    /// # Errors
    /// If they are not well-formed, or take too many steps.
    pub(super) fn ranges(
        &self,
        unit: usize,
        entry: &Entry<'a>,
        code_size: u32,
        budget: &mut Budget,
        found: &mut Vec<Range<u32>>,
    ) -> Result<(), Refusal> {
        found.clear();
        let (sections, unit) = (&self.sections, &self.units[unit].unit);
        let mut add = |start: u64, end: u64| {
            // Code that the linker has left out is at 0 or beyond the end.
            if 0 < start && start < end && end <= code_size.into() {
                found.push(start as u32..end as u32);
            }
        };
        if let Some(value) = entry.attr_value(constants::DW_AT_ranges) {
            let Some(mut ranges) = sections.attr_ranges(unit, value)? else {
                return Ok(());
            };
            while let Some(range) = ranges.next()? {
                budget.take(1)?;
                add(range.begin, range.end);
            }
            return Ok(());
        }
        let low = entry.attr_value(constants::DW_AT_low_pc);
        let high = entry.attr_value(constants::DW_AT_high_pc);
        let (Some(low), Some(high)) = (low, high) else {
            return Ok(());
        };
        let Some(start) = sections.attr_address(unit, low)? else {
            return Ok(());
        };
        let end = match high.udata_value() {
            Some(size) => start.checked_add(size),
            None => sections.attr_address(unit, high)?,
        };
        add(start, end.unwrap_or(0));
        Ok(())
    }

    /// The unit that has an entry, and its offset in there.
    pub(crate) fn unit_of(&self, offset: DebugInfoOffset) -> Option<(usize, gimli::UnitOffset)> {
        let start = |unit: &Unit<'_>| unit.unit.header.debug_info_offset();
        let after = self
            .units
            .partition_point(|unit| start(unit).is_some_and(|start| start <= offset));
        let index = after.checked_sub(1)?;
        let inside = offset.to_unit_offset(&self.units[index].unit.header)?;
        Some((index, inside))
    }
}

/// Takes a step for each part of the table of abbreviations at `offset`. Tables may begin inside of
/// others, so that all of them together may have more parts than bytes.
fn charge_table(
    section: &gimli::DebugAbbrev<Slice<'_>>,
    offset: DebugAbbrevOffset,
    budget: &mut Budget,
) -> Result<(), Refusal> {
    let mut input = *section.reader();
    input.skip(offset.0)?;
    while input.read_uleb128()? != 0 {
        budget.take(1)?;
        let _tag = input.read_uleb128()?;
        let _has_children = input.read_u8()?;
        loop {
            budget.take(1)?;
            let (name, form) = (input.read_uleb128()?, input.read_uleb128()?);
            if form == u64::from(constants::DW_FORM_implicit_const.0) {
                input.read_sleb128()?;
            }
            if (name, form) == (0, 0) {
                break;
            }
        }
    }
    Ok(())
}

/// As [`gimli::Unit::new`], without the header of the line program, which many units may share.
/// `None` for units that describe no code, such as those of types.
fn read_unit<'a>(
    sections: &gimli::Dwarf<Slice<'a>>,
    header: gimli::UnitHeader<Slice<'a>>,
    abbreviations: Arc<Abbreviations>,
    budget: &mut Budget,
) -> Result<Option<Unit<'a>>, Refusal> {
    if !matches!(
        header.type_(),
        gimli::UnitType::Compilation | gimli::UnitType::Partial
    ) {
        return Ok(None);
    }
    let encoding = header.encoding();
    let mut unit = gimli::Unit {
        abbreviations,
        name: None,
        comp_dir: None,
        low_pc: 0,
        str_offsets_base: DebugStrOffsetsBase::default_for_encoding_and_file(
            encoding,
            DwarfFileType::Main,
        ),
        addr_base: DebugAddrBase(0),
        loclists_base: DebugLocListsBase::default_for_encoding_and_file(
            encoding,
            DwarfFileType::Main,
        ),
        rnglists_base: DebugRngListsBase::default_for_encoding_and_file(
            encoding,
            DwarfFileType::Main,
        ),
        line_program: None,
        dwo_id: None,
        header,
    };
    let mut root = Entry::null();
    {
        let mut entries = unit.header.entries_raw(&unit.abbreviations, None)?;
        if entries.is_empty() || !entries.read_entry(&mut root)? {
            return Ok(None);
        }
    }
    budget.take(root.attrs().len() as u64)?;
    let mut lines = None;
    for attr in root.attrs() {
        match (attr.name(), attr.value()) {
            (constants::DW_AT_stmt_list, AttributeValue::DebugLineRef(offset)) => {
                lines = Some(offset);
            }
            (constants::DW_AT_str_offsets_base, AttributeValue::DebugStrOffsetsBase(base)) => {
                unit.str_offsets_base = base
            }
            (constants::DW_AT_addr_base, AttributeValue::DebugAddrBase(base)) => {
                unit.addr_base = base;
            }
            (constants::DW_AT_loclists_base, AttributeValue::DebugLocListsBase(base)) => {
                unit.loclists_base = base;
            }
            (constants::DW_AT_rnglists_base, AttributeValue::DebugRngListsBase(base)) => {
                unit.rnglists_base = base;
            }
            _ => {}
        }
    }
    // These need the bases.
    for attr in root.attrs() {
        match attr.name() {
            constants::DW_AT_name | constants::DW_AT_comp_dir => {
                let text = sections.attr_string(&unit, attr.value()).ok();
                // Units may share a long one.
                budget.take_text(text.map_or(0, |text| text.len()))?;
                match attr.name() {
                    constants::DW_AT_name => unit.name = text,
                    _ => unit.comp_dir = text,
                }
            }
            constants::DW_AT_low_pc => {
                let address = sections.attr_address(&unit, attr.value())?;
                unit.low_pc = address.unwrap_or(0);
            }
            _ => {}
        }
    }
    Ok(Some(Unit { unit, lines }))
}
