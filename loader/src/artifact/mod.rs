//! Artifacts: open, map, check. The cost does not depend on the artifact's size.
//!
//! One mapping holds the whole file, read-only; the text is executable. The file is closed again:
//! whoever needs pages of it copies them, or duplicates the mapping.
//!
//! Offsets and indices in records are checked when they are followed: [`Unit`] turns offsets into
//! addresses, and [`plan`] checks all that instantiation follows, once for each artifact.
#![allow(unsafe_code, reason = "maps files and hands out addresses in them")]

#[cfg(feature = "backtrace")]
mod debug;
#[cfg(feature = "gdb")]
mod gdb;
pub(crate) mod plan;
mod records;
pub(crate) mod registry;
mod text;
#[cfg(feature = "verify")]
mod verify;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use memmap2::{Mmap, MmapOptions};

#[cfg(feature = "coredump")]
use cwasm_format::debug::section;
use cwasm_format::describe::Description;
use cwasm_format::exports::{LiftRecord, StrRef, kind};
use cwasm_format::hash::TypeHash;
use cwasm_format::header::{Kind, SectionId};
#[cfg(feature = "backtrace")]
use cwasm_format::lines::Lines;
use cwasm_format::lookup::{self, ExportSlot};
use cwasm_format::names;
use cwasm_format::read::Host;
use cwasm_format::resources::{HandleUse, UseRange};
#[cfg(feature = "coredump")]
use cwasm_format::state::{self, CoreState};
use cwasm_format::{Artifact, FormatError};

#[cfg(feature = "metrics")]
use crate::counters::{CountedArtifact, Counters};
use crate::error::{Context as _, Error, Result};
use crate::fork::{self, Once};
use crate::sys;
use crate::trace;

#[cfg(feature = "backtrace")]
use debug::DebugInfo;
use plan::InstancePlan;
use records::{RecordId, Records, handle_uses, record_id};
pub(crate) use text::{Code, Text};

/// A mapped and registered artifact.
pub(crate) struct Unit {
    /// Invariant 1: point into `map`, so they must not leave with their lifetime; the text is
    /// executable.
    records: Records<'static>,
    /// Sections of the artifact that are wanted often: what finds its exports, and its lifts.
    slots: &'static [ExportSlot],
    lifts: &'static [LiftRecord],
    plan: Once<InstancePlan>,
    description: Once<Arc<Description>>,
    #[cfg(feature = "backtrace")]
    debug: Once<DebugInfo>,
    #[cfg(feature = "backtrace")]
    this: Weak<Unit>,
    /// What gdb knows it by.
    #[cfg(feature = "gdb")]
    _gdb: Option<gdb::Known>,
    id: UnitId,
    /// The modules that the component exports, by their offset in the section, as far as somebody
    /// asked for them.
    embedded: Mutex<HashMap<u32, Arc<Unit>>>,
    #[cfg(feature = "metrics")]
    counted: Once<CountedArtifact>,
    /// Unmapped when the last unit in it is dropped.
    map: Arc<Mmap>,
}

/// The number of a unit: no two units of a process have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct UnitId(u64);

impl UnitId {
    /// The number of a new unit.
    fn next() -> UnitId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        UnitId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Unit {
    /// Maps the artifact in the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, or is no artifact of this kind that this machine can run.
    ///
    /// # Safety
    /// - The file is an artifact whose machine code may be run, and nobody changes or truncates it
    ///   while it is mapped.
    pub(crate) unsafe fn map(host: &Host, path: &Path, kind: Kind) -> Result<Arc<Unit>> {
        trace::enter!(DEBUG, "load", path = %path.display(), %kind);
        let open = || {
            let file = File::open(path)?;
            let size = file.metadata()?.len();
            // SAFETY: nobody changes the file (the caller's contract).
            unsafe { Unit::map_file(host, &file, size, kind) }
        };
        open().with_context(|| format!("cannot load `{}`", path.display()))
    }

    /// Copies the artifact in the file at `path` to memory of its own, if it has this digest.
    ///
    /// # Errors
    /// As [`Unit::map`], or if it has another digest.
    #[cfg(feature = "verify")]
    pub(crate) fn map_verified(
        host: &Host,
        path: &Path,
        digest: &[u8; 32],
        kind: Kind,
    ) -> Result<Arc<Unit>> {
        trace::enter!(DEBUG, "load", path = %path.display(), %kind);
        let open = || {
            let (file, size) = verify::copy(File::open(path)?, digest)?;
            // SAFETY: nobody else has the file, and its code is what the digest was made of, which
            // whoever gave it trusts.
            unsafe { Unit::map_file(host, &file, size, kind) }
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
    pub(crate) unsafe fn from_bytes(host: &Host, bytes: &[u8], kind: Kind) -> Result<Arc<Unit>> {
        trace::enter!(DEBUG, "load", %kind);
        let open = || {
            let file = sys::file::in_memory(bytes)?;
            // SAFETY: nobody else has the file.
            unsafe { Unit::map_file(host, &file, bytes.len() as u64, kind) }
        };
        open().context("cannot load an artifact from memory")
    }

    /// # Safety
    /// - As for [`Unit::map`].
    unsafe fn map_file(host: &Host, file: &File, size: u64, kind: Kind) -> Result<Arc<Unit>> {
        if size == 0 {
            // Nothing cannot be mapped.
            Artifact::open(&[], host)?;
        }
        let mut options = MmapOptions::new();
        options.len(usize::try_from(size)?);
        // SAFETY: nobody changes the file while it is mapped (the caller's contract).
        let map = Arc::new(unsafe { options.map_copy_read_only(file) }?);
        let range = 0..map.len();
        // SAFETY: the caller's contract.
        let unit = unsafe { Unit::in_map(host, map, range, kind) };
        let unit = unit.map_err(|error| explain_denial(file, error))?;
        trace::event!(DEBUG, bytes = size, "artifact mapped");
        Ok(unit)
    }

    /// The unit of a part of a mapping, which starts at a page.
    ///
    /// # Safety
    /// - The part is the artifact of a unit that there is not yet, whose machine code may be run,
    ///   and nobody changes it while it is mapped.
    unsafe fn in_map(
        host: &Host,
        map: Arc<Mmap>,
        range: Range<usize>,
        kind: Kind,
    ) -> Result<Arc<Unit>> {
        let bytes: *const [u8] = &raw const map[range];
        // SAFETY: the mapping does not move and is kept as long as the reference (invariant 1).
        let artifact = Artifact::open(unsafe { &*bytes }, host)?;
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
        // SAFETY: a part of the mapping, which stays as long as the unit and is never written to.
        let text = unsafe { Text::new(NonNull::from(section).cast(), section.len() as u32) };
        if text.size() != 0 {
            // SAFETY: whole pages (checked by `open`) of our mapping, which is never written to.
            unsafe { sys::memory::make_executable(text.start(), text.size() as usize) }?;
        }
        let new = |_this: &Weak<Unit>| Unit {
            records: Records { artifact, text },
            slots: artifact.export_slots(),
            lifts: artifact.lifts(),
            plan: Once::new(),
            description: Once::new(),
            #[cfg(feature = "backtrace")]
            debug: Once::new(),
            #[cfg(feature = "backtrace")]
            this: Weak::clone(_this),
            #[cfg(feature = "gdb")]
            _gdb: gdb::register(artifact.bytes()),
            id: UnitId::next(),
            embedded: Mutex::default(),
            #[cfg(feature = "metrics")]
            counted: Once::new(),
            map,
        };
        #[cfg(feature = "backtrace")]
        let unit = Arc::new_cyclic(new);
        #[cfg(not(feature = "backtrace"))]
        let unit = Arc::new(new(&Weak::new()));
        registry::register(text.range(), Arc::as_ptr(&unit))?;
        Ok(unit)
    }

    /// The exported function of a component of this name or path.
    pub(crate) fn lift(&self, name: &str) -> Option<&LiftRecord> {
        let name_of = |index| self.records.artifact.export_name(index);
        let slot = lookup::find(self.slots, name.as_bytes(), name_of)?;
        self.lifts.get(slot.lift as usize)
    }

    /// Has the artifact counted until it is unmapped.
    #[cfg(feature = "metrics")]
    pub(crate) fn count(&self, counters: &Arc<Counters>) {
        let bytes = self.records.artifact.bytes().len() as u64;
        self.counted.get_or_init(|| counters.artifact(bytes));
    }

    /// The artifact's records.
    pub(crate) fn artifact(&self) -> Artifact<'_> {
        self.records.artifact
    }

    pub(crate) fn text(&self) -> Text {
        self.records.text
    }

    pub(crate) fn id(&self) -> UnitId {
        self.id
    }

    /// The unit of a core module that the component exports, by a range that the plan has checked.
    ///
    /// # Errors
    /// If it is not the artifact of a module.
    pub(crate) fn embedded(&self, host: &Host, range: StrRef) -> Result<Arc<Unit>> {
        // Nothing panics while the lock is held.
        let mut embedded = fork::lock(&self.embedded);
        if let Some(known) = embedded.get(&range.offset) {
            return Ok(Arc::clone(known));
        }
        let section = self.records.artifact.range(SectionId::Modules).offset;
        let start = self.records.artifact.bytes().as_ptr().addr() - self.map.as_ptr().addr();
        let start = start + section as usize + range.offset as usize;
        let map = Arc::clone(&self.map);
        // SAFETY: who mapped the component promised it for all of it, and there is none at this
        // offset yet.
        let unit =
            unsafe { Unit::in_map(host, map, start..start + range.len as usize, Kind::Module) }?;
        embedded.insert(range.offset, Arc::clone(&unit));
        Ok(unit)
    }

    /// Context offset of the address of the page that its code checks; `None` if it does not.
    pub(crate) fn interrupt_slot(&self) -> Option<u32> {
        self.records.interrupt_slot()
    }

    /// The offset of an address in the text; `None` if it is not there.
    pub(crate) fn text_offset(&self, pc: usize) -> Option<u32> {
        self.records.text.offset(pc)
    }

    /// The records that instantiation follows, checked.
    pub(crate) fn plan(&self) -> Result<&InstancePlan, FormatError> {
        if let Some(plan) = self.plan.get() {
            return Ok(plan);
        }
        let plan = InstancePlan::new(&self.records)?;
        Ok(self.plan.get_or_init(|| plan))
    }

    /// Checks that functions are of the types by which they are linked and called: those of their
    /// hashes.
    fn check_hashes(&self, description: &Description) -> Result<(), FormatError> {
        let artifact = self.artifact();
        let check = |record: RecordId, func_type: u32, hash: TypeHash| {
            let func = description.funcs.get(func_type as usize);
            match func.map(|func| description.types.func_hash(func)) {
                Some(expected) if expected == hash => Ok(()),
                _ => Err(record.error("hash", hash.0[0])),
            }
        };
        for (index, lift) in artifact.lifts().iter().enumerate() {
            check(
                record_id(SectionId::Lifts, index),
                lift.func_type,
                lift.hash,
            )?;
        }
        for (index, import) in artifact.imports().iter().enumerate() {
            if import.kind == kind::FUNC {
                check(
                    record_id(SectionId::Imports, index),
                    import.index,
                    import.hash,
                )?;
            }
        }
        Ok(())
    }

    /// The full types and names, decoded at the first use.
    pub(crate) fn description(&self) -> Result<&Arc<Description>, FormatError> {
        if let Some(description) = self.description.get() {
            return Ok(description);
        }
        let description = Description::decode(self.records.artifact.section(SectionId::Describe))?;
        self.check_hashes(&description)?;
        Ok(self.description.get_or_init(|| Arc::new(description)))
    }

    /// Another reference to this; `None` while it is dropped.
    #[cfg(feature = "backtrace")]
    pub(crate) fn shared(&self) -> Option<Arc<Unit>> {
        self.this.upgrade()
    }

    /// The name of the function with this number in the text, if it is known.
    pub(crate) fn function_name(&self, index: u32) -> Option<&str> {
        let name = names::lookup(self.artifact().section(SectionId::Names), index);
        #[cfg(feature = "backtrace")]
        let name = name.or_else(|| names::lookup(self.debug().names(), index));
        name
    }

    /// Where code comes from, if it is known.
    #[cfg(feature = "backtrace")]
    pub(crate) fn lines(&self) -> Option<&Lines> {
        self.debug().lines()
    }

    /// Where the state of core instances is; `None` if that is not known.
    #[cfg(feature = "coredump")]
    pub(crate) fn core_state(&self) -> Option<CoreState<'_>> {
        let inside = section(self.records.artifact.bytes(), state::SECTION);
        let state = inside.and_then(CoreState::read);
        #[cfg(feature = "backtrace")]
        let state = state.or_else(|| self.debug().state());
        state
    }

    #[cfg(feature = "backtrace")]
    fn debug(&self) -> &DebugInfo {
        // Read before forks are kept out, which may take long.
        self.debug.get().unwrap_or_else(|| {
            let read = DebugInfo::read(self);
            self.debug.get_or_init(|| read)
        })
    }

    /// The handles of a range; `None` if there is no such range.
    pub(crate) fn handle_uses(&self, range: UseRange) -> Option<&[HandleUse]> {
        handle_uses(&self.records.artifact, range)
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let unregister = || registry::unregister(self.records.text.range());
        #[cfg(feature = "profile")]
        if let Some(before) = BEFORE_DROP.get() {
            return before(self, &unregister);
        }
        unregister();
    }
}

/// What is done with a unit before it is unregistered, which the function must do.
#[cfg(feature = "profile")]
static BEFORE_DROP: std::sync::OnceLock<BeforeDrop> = std::sync::OnceLock::new();

/// A function that is called with a unit that is dropped, and with what unregisters it.
#[cfg(feature = "profile")]
type BeforeDrop = fn(&Unit, &dyn Fn());

/// Calls this function with each unit that is dropped, once in a process: it calls its argument,
/// which unregisters the unit.
#[cfg(feature = "profile")]
pub(crate) fn before_drop(function: BeforeDrop) {
    let _ = BEFORE_DROP.set(function);
}

impl std::fmt::Debug for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unit")
            .field("text", &self.records.text)
            .finish_non_exhaustive()
    }
}

/// Says why the system refuses to make code executable, which is "permission denied" for it.
#[cold]
fn explain_denial(file: &File, error: Error) -> Error {
    let io = error.downcast_ref::<io::Error>();
    if io.is_none_or(|io| io.kind() != io::ErrorKind::PermissionDenied) {
        return error;
    }
    error.context(match sys::file::is_on_noexec(file) {
        true => {
            "its file system is mounted `noexec`, so that its code cannot be executed: copy it to \
             another file system, or load its bytes (`from_bytes`, `cwasm run - < FILE`)"
        }
        false => "a policy of this system does not let code in files be mapped executable",
    })
}
