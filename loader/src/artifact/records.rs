//! The records of an artifact, checked where they are followed.

use cwasm_format::encoding::StringEncoding;
use cwasm_format::exports::{CanonOptions, IMPORTED, kind};
use cwasm_format::header::{NO_INTERRUPTS, NONE, SectionId};
use cwasm_format::resources::{HandleUse, UseRange};
use cwasm_format::vmctx::VmContext;
use cwasm_format::{Artifact, FormatError};

use super::text::{Code, Text};

/// The records of an artifact, and the text that they refer to.
#[derive(Clone, Copy)]
pub(crate) struct Records<'a> {
    pub(crate) artifact: Artifact<'a>,
    pub(crate) text: Text,
}

/// A record of an artifact, for errors about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordId {
    pub(crate) section: SectionId,
    pub(crate) index: u32,
}

/// The places that canonical options may name, sorted: there are as many options as functions.
pub(crate) struct OptionSlots {
    /// Context offsets of memories, with [`IMPORTED`] for those that are.
    memories: Vec<u32>,
    /// Context offsets of handle tables.
    handles: Vec<u32>,
}

impl OptionSlots {
    pub(crate) fn of(artifact: &Artifact<'_>) -> OptionSlots {
        let imports = artifact.imports().iter();
        let imported = imports
            .filter(|import| import.kind == kind::CORE_MEMORY)
            .map(|import| import.slot | IMPORTED);
        let memories = artifact.memories().iter().map(|memory| memory.slot);
        let handles = artifact.handle_tables().iter().map(|table| table.slot);
        let mut slots = OptionSlots {
            memories: memories.chain(imported).collect(),
            handles: handles.collect(),
        };
        slots.memories.sort_unstable();
        slots.handles.sort_unstable();
        slots
    }
}

impl Records<'_> {
    /// Context offset of the address of the page that the code checks; `None` if it does not.
    pub(crate) fn interrupt_slot(&self) -> Option<u32> {
        let slot = self.artifact.header().interrupt_slot;
        (slot != NO_INTERRUPTS).then_some(slot)
    }

    /// The function at a text offset that a record holds.
    pub(crate) fn code(
        &self,
        record: RecordId,
        field: &'static str,
        offset: u32,
    ) -> Result<Code, FormatError> {
        let functions = self.artifact.functions();
        let starts = functions.binary_search_by_key(&offset, |function| function.start);
        let code = starts.ok().and_then(|_| self.text.get(offset));
        code.ok_or_else(|| record.error(field, offset))
    }

    /// As [`Records::code`], where the record may say that there is none.
    pub(crate) fn optional_code(
        &self,
        record: RecordId,
        field: &'static str,
        offset: u32,
    ) -> Result<Option<Code>, FormatError> {
        if offset == NONE {
            Ok(None)
        } else {
            self.code(record, field, offset).map(Some)
        }
    }

    /// Checks that `count` values of type `T` can be at a context offset that a record holds.
    pub(crate) fn check_slot<T>(
        &self,
        record: RecordId,
        field: &'static str,
        offset: u32,
        count: u32,
    ) -> Result<(), FormatError> {
        let size = size_of::<T>() as u64 * u64::from(count);
        let fits = u64::from(offset) + size <= u64::from(self.artifact.header().context_size);
        // The loader's own part of the context is nobody else's.
        let free = offset as usize >= size_of::<VmContext>();
        if fits && free && (offset as usize).is_multiple_of(align_of::<T>()) {
            Ok(())
        } else {
            Err(record.error(field, offset))
        }
    }

    /// Checks canonical options and the context offset of the flags that belong to them; `slots`
    /// are the artifact's.
    pub(crate) fn check_options(
        &self,
        slots: &OptionSlots,
        record: RecordId,
        options: &CanonOptions,
        flags: u32,
    ) -> Result<(), FormatError> {
        if options.memory != NONE && slots.memories.binary_search(&options.memory).is_err() {
            return Err(record.error("memory", options.memory));
        }
        self.optional_code(record, "realloc", options.realloc)?;
        if StringEncoding::from_number(options.string_encoding).is_none() {
            return Err(record.error("string_encoding", options.string_encoding));
        }
        if options.handles != NONE && slots.handles.binary_search(&options.handles).is_err() {
            return Err(record.error("handles", options.handles));
        }
        self.check_uses(record, options.uses)?;
        if options.uses.len != 0 && options.handles == NONE {
            return Err(record.error("handles", options.handles));
        }
        if options.is_64 > 1 {
            return Err(record.error("is_64", options.is_64));
        }
        self.check_slot::<u32>(record, "flags", flags, 1)
    }

    /// Checks a range of handles.
    pub(crate) fn check_uses(&self, record: RecordId, uses: UseRange) -> Result<(), FormatError> {
        match handle_uses(&self.artifact, uses) {
            Some(_) => Ok(()),
            None => Err(record.error("uses", uses.start)),
        }
    }
}

/// The handles of a range; `None` if there is no such range.
pub(crate) fn handle_uses<'a>(artifact: &Artifact<'a>, range: UseRange) -> Option<&'a [HandleUse]> {
    let start = range.start as usize;
    let end = start.checked_add(range.len as usize)?;
    artifact.handle_uses().get(start..end)
}

impl RecordId {
    /// The error that a field of this record names nothing.
    #[cold]
    pub(crate) fn error(self, field: &'static str, found: impl Into<u64>) -> FormatError {
        FormatError::Record {
            section: self.section.name(),
            index: self.index,
            field,
            found: found.into(),
        }
    }
}

/// The record of a section at this index.
pub(crate) fn record_id(section: SectionId, index: usize) -> RecordId {
    // A section is at most 4 GiB long.
    RecordId {
        section,
        index: index as u32,
    }
}
