//! Artifacts: open, map, check. The cost does not depend on the artifact's size.
//!
//! One mapping holds the whole file, read-only; the text is executable. The file is closed again:
//! whoever needs pages of it copies them, or duplicates the mapping.
//!
//! What records say is checked when it is followed: [`Unit`] turns offsets into addresses, and
//! [`plan`] checks all that instantiation follows, once for each artifact.
#![allow(unsafe_code, reason = "maps files and hands out addresses in them")]

pub(crate) mod plan;
pub(crate) mod registry;

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use memmap2::{Mmap, MmapOptions};

use cwasm_format::describe::Description;
use cwasm_format::exports::{CanonOptions, IMPORTED, LiftRecord, StrRef, kind};
use cwasm_format::header::{Kind, NO_INTERRUPTS, NONE, SectionId};
use cwasm_format::lookup::{self, ExportSlot};
use cwasm_format::resources::{HandleUse, UseRange};
use cwasm_format::vmctx::VmContext;
use cwasm_format::{Artifact, FormatError};

use crate::artifact::plan::Plan;
use crate::engine::Engine;
use crate::error::{Context as _, Result};
use crate::sys;
use crate::vm::canon::StringEncoding;

/// A mapped and registered artifact.
pub(crate) struct Unit {
    /// Invariant 1: points into `map`, so it must not leave with its lifetime.
    artifact: Artifact<'static>,
    /// Sections of `artifact` that are wanted often: what finds its exports, and its lifts.
    slots: &'static [ExportSlot],
    lifts: &'static [LiftRecord],
    /// Invariant 2: the text section of `map`, executable.
    text: Text,
    plan: OnceLock<Plan>,
    description: OnceLock<Arc<Description>>,
    /// The modules that the component exports, by their offset in the section, as far as somebody
    /// asked for them.
    embedded: Mutex<HashMap<u32, Arc<Unit>>>,
    /// Unmapped when the last unit in it is dropped.
    map: Arc<Mmap>,
}

/// The machine code of a mapped artifact.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    start: NonNull<u8>,
    size: u32,
}

/// The address of machine code of a mapped artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(NonNull<u8>);

/// A record of an artifact, for errors about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordId {
    pub(crate) section: SectionId,
    pub(crate) index: u32,
}

// SAFETY: addresses of memory that nothing writes to; running it is checked elsewhere.
unsafe impl Send for Text {}
// SAFETY: as above.
unsafe impl Sync for Text {}
// SAFETY: as above.
unsafe impl Send for Code {}
// SAFETY: as above.
unsafe impl Sync for Code {}

impl Unit {
    /// Maps the artifact in the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, or is no artifact of this kind that this machine can run.
    ///
    /// # Safety
    /// - The file is an artifact whose machine code may be run, and nobody changes or truncates it
    ///   while it is mapped.
    pub(crate) unsafe fn map(engine: &Engine, path: &Path, kind: Kind) -> Result<Arc<Unit>> {
        let open = || {
            let file = File::open(path)?;
            let size = file.metadata()?.len();
            // SAFETY: nobody changes the file (the caller's contract).
            unsafe { Unit::map_file(engine, &file, size, kind) }
        };
        open().with_context(|| format!("cannot load `{}`", path.display()))
    }

    /// Copies the artifact in `bytes` to memory of its own.
    ///
    /// # Errors
    /// As [`Unit::map`].
    ///
    /// # Safety
    /// - The machine code of the artifact may be run.
    pub(crate) unsafe fn from_bytes(
        engine: &Engine,
        bytes: &[u8],
        kind: Kind,
    ) -> Result<Arc<Unit>> {
        let open = || {
            let file = sys::file::in_memory(bytes)?;
            // SAFETY: nobody else has the file.
            unsafe { Unit::map_file(engine, &file, bytes.len() as u64, kind) }
        };
        open().with_context(|| "cannot load an artifact from memory")
    }

    /// # Safety
    /// - As for [`Unit::map`].
    unsafe fn map_file(engine: &Engine, file: &File, size: u64, kind: Kind) -> Result<Arc<Unit>> {
        if size == 0 {
            // Nothing cannot be mapped.
            Artifact::open(&[], engine.host())?;
        }
        let mut options = MmapOptions::new();
        options.len(usize::try_from(size)?);
        // SAFETY: nobody changes the file while it is mapped (the caller's contract).
        let map = Arc::new(unsafe { options.map_copy_read_only(file) }?);
        let range = 0..map.len();
        // SAFETY: the caller's contract.
        unsafe { Unit::in_map(engine, map, range, kind) }
    }

    /// The unit of a part of a mapping, which starts at a page.
    ///
    /// # Safety
    /// - The part is the artifact of a unit that there is not yet, whose machine code may be run, and
    ///   nobody changes it while it is mapped.
    unsafe fn in_map(
        engine: &Engine,
        map: Arc<Mmap>,
        range: Range<usize>,
        kind: Kind,
    ) -> Result<Arc<Unit>> {
        let bytes: *const [u8] = &raw const map[range];
        // SAFETY: the mapping does not move and is kept as long as the reference (invariant 1).
        let artifact = Artifact::open(unsafe { &*bytes }, engine.host())?;
        if artifact.kind() != kind {
            let found = artifact.kind();
            return Err(FormatError::WrongKind {
                found,
                expected: kind,
            }
            .into());
        }
        let section = artifact.section(SectionId::Text);
        // Sections are at most 4 GiB long (checked by `open`).
        let text = Text {
            start: NonNull::from(section).cast(),
            size: section.len() as u32,
        };
        if text.size != 0 {
            // SAFETY: whole pages (checked by `open`) of our mapping, which is never written to.
            unsafe { sys::memory::make_executable(text.start, text.size as usize) }?;
        }
        let unit = Arc::new(Unit {
            artifact,
            slots: artifact.export_slots(),
            lifts: artifact.lifts(),
            text,
            plan: OnceLock::new(),
            description: OnceLock::new(),
            embedded: Mutex::default(),
            map,
        });
        registry::register(text.range(), Arc::as_ptr(&unit))?;
        Ok(unit)
    }

    /// The exported function of a component of this name or path.
    pub(crate) fn lift(&self, name: &str) -> Option<&LiftRecord> {
        let name_of = |index| self.artifact.export_name(index);
        let slot = lookup::find(self.slots, name.as_bytes(), name_of)?;
        self.lifts.get(slot.lift as usize)
    }

    /// The artifact's records.
    pub(crate) fn artifact(&self) -> Artifact<'_> {
        self.artifact
    }

    pub(crate) fn text(&self) -> Text {
        self.text
    }

    /// The unit of a core module that the component exports, by a range that the plan has checked.
    ///
    /// # Errors
    /// If it is not the artifact of a module.
    pub(crate) fn embedded(&self, engine: &Engine, range: StrRef) -> Result<Arc<Unit>> {
        // Nothing panics while the lock is held.
        let mut embedded = self.embedded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = embedded.get(&range.offset) {
            return Ok(Arc::clone(known));
        }
        let section = self.artifact.range(SectionId::Modules).offset;
        let start = self.artifact.bytes().as_ptr().addr() - self.map.as_ptr().addr();
        let start = start + section as usize + range.offset as usize;
        let map = Arc::clone(&self.map);
        // SAFETY: who mapped the component promised it for all of it, and there is none at this
        // offset yet.
        let unit =
            unsafe { Unit::in_map(engine, map, start..start + range.len as usize, Kind::Module) }?;
        embedded.insert(range.offset, Arc::clone(&unit));
        Ok(unit)
    }

    /// Context offset of the address of the page that its code checks; `None` if it does not.
    pub(crate) fn interrupt_slot(&self) -> Option<u32> {
        let slot = self.artifact.header().interrupt_slot;
        (slot != NO_INTERRUPTS).then_some(slot)
    }

    /// The offset of an address in the text; `None` if it is not there.
    pub(crate) fn text_offset(&self, pc: usize) -> Option<u32> {
        let offset = pc.checked_sub(self.text.range().start)?;
        u32::try_from(offset)
            .ok()
            .filter(|offset| *offset < self.text.size)
    }

    /// What instantiation follows, checked.
    pub(crate) fn plan(&self) -> Result<&Plan, FormatError> {
        if let Some(plan) = self.plan.get() {
            return Ok(plan);
        }
        let plan = Plan::new(self)?;
        Ok(self.plan.get_or_init(|| plan))
    }

    /// The full types and names, decoded at the first use.
    pub(crate) fn description(&self) -> Result<&Arc<Description>, FormatError> {
        if let Some(description) = self.description.get() {
            return Ok(description);
        }
        let description = Description::decode(self.artifact.section(SectionId::Describe))?;
        Ok(self.description.get_or_init(|| Arc::new(description)))
    }

    /// The code at a text offset that a record holds.
    pub(crate) fn code(
        &self,
        record: RecordId,
        field: &'static str,
        offset: u32,
    ) -> Result<Code, FormatError> {
        if offset >= self.text.size {
            return Err(record.error(field, offset));
        }
        // SAFETY: inside the text.
        Ok(unsafe { self.text.at(offset) })
    }

    /// As [`Unit::code`], where the record may say that there is none.
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

    /// Checks canonical options and the context offset of the flags that belong to them.
    pub(crate) fn check_options(
        &self,
        record: RecordId,
        options: &CanonOptions,
        flags: u32,
    ) -> Result<(), FormatError> {
        let memories = self.artifact.memories();
        let mut imports = self.artifact.imports().iter();
        let has_memory = match options.memory {
            NONE => true,
            slot if slot & IMPORTED != 0 => imports
                .any(|import| import.kind == kind::CORE_MEMORY && import.slot == slot & !IMPORTED),
            slot => memories.iter().any(|memory| memory.slot == slot),
        };
        if !has_memory {
            return Err(record.error("memory", options.memory));
        }
        self.optional_code(record, "realloc", options.realloc)?;
        if StringEncoding::from_number(options.string_encoding).is_none() {
            return Err(record.error("string_encoding", options.string_encoding));
        }
        let tables = self.artifact.handle_tables();
        if options.handles != NONE && !tables.iter().any(|table| table.slot == options.handles) {
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
        match self.handle_uses(uses) {
            Some(_) => Ok(()),
            None => Err(record.error("uses", uses.start)),
        }
    }

    /// The handles of a range; `None` if there is no such range.
    pub(crate) fn handle_uses(&self, range: UseRange) -> Option<&[HandleUse]> {
        let start = range.start as usize;
        let end = start.checked_add(range.len as usize)?;
        self.artifact.handle_uses().get(start..end)
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        registry::unregister(self.text.range());
    }
}

impl std::fmt::Debug for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unit")
            .field("text", &self.text)
            .finish_non_exhaustive()
    }
}

impl Text {
    /// The addresses of the text.
    pub(crate) fn range(self) -> Range<usize> {
        let start = self.start.addr().get();
        start..start + self.size as usize
    }

    /// The address of this offset.
    ///
    /// # Safety
    /// - The offset is less than the size of the text.
    #[inline]
    pub(crate) unsafe fn at(self, offset: u32) -> Code {
        // SAFETY: inside the mapping (the caller's contract).
        Code(unsafe { self.start.add(offset as usize) })
    }
}

impl Code {
    #[inline]
    pub(crate) fn address(self) -> NonNull<u8> {
        self.0
    }
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
