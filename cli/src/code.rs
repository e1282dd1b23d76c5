//! The functions of an artifact's text, for commands that show them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use cwasm_format::code::function_kind;
use cwasm_format::exports::kind;
use cwasm_format::header::SectionId;
use cwasm_format::{Artifact, names};

use crate::elf::Tail;

/// What the compiler puts between functions, and after the last: `int3`.
const PADDING: u8 = 0xcc;

/// The bytes of a name that are looked at.
const MAX_NAME: usize = 4096;

/// The functions, and where each is.
pub(crate) struct Code<'a> {
    artifact: Artifact<'a>,
    /// In the order of the artifact's table; a function's place is its number.
    pub(crate) functions: Vec<Function<'a>>,
    /// Text offset of each function and its number, sorted.
    starts: Vec<(u32, u32)>,
}

/// A function.
pub(crate) struct Function<'a> {
    pub(crate) kind: FunctionKind,
    /// Of a core function.
    pub(crate) core_instance: u32,
    /// Index of a core function in its module; of others, in the list of their kind.
    pub(crate) index: u32,
    /// As people write it; `None` if it is not known.
    pub(crate) name: Option<&'a str>,
    /// Text offsets of its instructions, without the padding after them.
    pub(crate) range: Range<u32>,
}

/// The kind of a function: see [`function_kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FunctionKind {
    Core,
    Thunk,
    Trampoline,
    Builtin,
    Adapter,
    Init,
    Resource,
    Unknown,
}

/// The names of a core instance's component and module, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner<'a> {
    pub(crate) component: Option<&'a str>,
    pub(crate) module: Option<&'a str>,
}

impl FunctionKind {
    fn of_number(number: u32) -> FunctionKind {
        match number {
            function_kind::CORE => FunctionKind::Core,
            function_kind::THUNK => FunctionKind::Thunk,
            function_kind::TRAMPOLINE => FunctionKind::Trampoline,
            function_kind::BUILTIN => FunctionKind::Builtin,
            function_kind::ADAPTER => FunctionKind::Adapter,
            function_kind::INIT => FunctionKind::Init,
            function_kind::RESOURCE => FunctionKind::Resource,
            _ => FunctionKind::Unknown,
        }
    }

    /// The name of one such function.
    pub(crate) fn name(self) -> &'static str {
        match self {
            FunctionKind::Core => "core",
            FunctionKind::Thunk => "thunk",
            FunctionKind::Trampoline => "trampoline",
            FunctionKind::Builtin => "builtin",
            FunctionKind::Adapter => "adapter",
            FunctionKind::Init => "init",
            FunctionKind::Resource => "resource",
            FunctionKind::Unknown => "unknown",
        }
    }
}

impl<'a> Code<'a> {
    /// Reads the functions. Records of damaged files may say anything: ranges are inside the text,
    /// and do not overlap.
    pub(crate) fn read(artifact: Artifact<'a>, tail: &Tail) -> Code<'a> {
        let text = artifact.section(SectionId::Text);
        let len = text.len() as u32;
        let numbered = artifact.functions().iter().zip(0..);
        let mut starts: Vec<(u32, u32)> = numbered
            .map(|(record, number)| (record.start.min(len), number))
            .collect();
        starts.sort_unstable();
        let mut ranges = vec![0..0; starts.len()];
        let ends = starts.iter().skip(1).map(|next| next.0).chain([len]);
        for ((start, number), end) in starts.iter().zip(ends) {
            ranges[*number as usize] = *start..end_of_code(text, *start..end, tail);
        }
        let exported = exported(&artifact);
        let known = artifact.section(SectionId::Names);
        let records = artifact.functions().iter().zip(ranges).zip(0..);
        let function = records.map(|((record, range), number)| Function {
            kind: FunctionKind::of_number(record.kind & 0xff),
            core_instance: record.kind >> 8,
            index: record.index,
            name: name(known, number).or_else(|| exported.get(&record.start).copied()),
            range,
        });
        let functions = function.collect();
        Code {
            artifact,
            functions,
            starts,
        }
    }

    /// The number of the function that has the text offset.
    pub(crate) fn at(&self, offset: u32) -> Option<u32> {
        let next = self.starts.partition_point(|(start, _)| *start <= offset);
        Some(self.starts.get(next.checked_sub(1)?)?.1)
    }

    /// The name to show of a function.
    pub(crate) fn shown(&self, function: &Function<'a>) -> Cow<'a, str> {
        if let Some(name) = function.name {
            return name.into();
        }
        let Function {
            kind,
            core_instance,
            index,
            ..
        } = function;
        match kind {
            FunctionKind::Core => format!("core[{core_instance}].func[{index}]").into(),
            kind => format!("{}[{index}]", kind.name()).into(),
        }
    }

    /// The component and module of a core instance.
    pub(crate) fn owner_of_instance(&self, instance: u32) -> Owner<'a> {
        match instance < self.known_instances() {
            true => self.owner(instance),
            false => Owner::default(),
        }
    }

    /// Those of the core instance that defines a memory.
    pub(crate) fn owner_of_memory(&self, memory: u32) -> Owner<'a> {
        let instances = self.known_instances();
        match instances.checked_add(memory) {
            Some(place) if instances > 0 => self.owner(place),
            _ => Owner::default(),
        }
    }

    /// How many core instances have their names in the artifact.
    fn known_instances(&self) -> u32 {
        let count = names::count(self.artifact.section(SectionId::Names));
        let memories = self.artifact.memories().len() as u32;
        let others = count.saturating_sub(self.functions.len() as u32) / 2;
        others.saturating_sub(memories)
    }

    /// The owner whose names are at this place after those of functions.
    fn owner(&self, place: u32) -> Owner<'a> {
        let known = self.artifact.section(SectionId::Names);
        let name = |more: u32| {
            let index = place.checked_mul(2)?.checked_add(more)?;
            self::name(known, index.checked_add(self.functions.len() as u32)?)
        };
        Owner {
            component: name(0),
            module: name(1),
        }
    }
}

/// Where the code of a function ends that has no more than this range of the text.
fn end_of_code(text: &[u8], range: Range<u32>, tail: &Tail) -> u32 {
    let fits = |size: &u32| *size <= range.end - range.start;
    if let Some(size) = tail.size_at(range.start).filter(fits) {
        return range.start + size;
    }
    let bytes = &text[range.start as usize..range.end as usize];
    let code = bytes.iter().rposition(|byte| *byte != PADDING);
    range.start + code.map_or(0, |last| last as u32 + 1)
}

/// The name at this place of the section of names.
fn name(known: &[u8], place: u32) -> Option<&str> {
    known.get(names::range(known, place)?).and_then(text)
}

/// The text of these bytes, or its start: functions of a hostile file may all share a name of many
/// megabytes.
pub(crate) fn text(bytes: &[u8]) -> Option<&str> {
    let start = &bytes[..bytes.len().min(MAX_NAME)];
    let text = match str::from_utf8(start) {
        Ok(text) => text,
        // Cut within a character.
        Err(error) if start.len() < bytes.len() && error.error_len().is_none() => {
            str::from_utf8(&start[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// The names of exported functions, by the text offsets of their thunks.
fn exported<'a>(artifact: &Artifact<'a>) -> HashMap<u32, &'a str> {
    let mut found = HashMap::new();
    for export in artifact.exports() {
        if export.kind == kind::FUNC
            && let Some(lift) = artifact.lifts().get(export.index as usize)
            && let Some(name) = artifact.string_bytes(export.name).and_then(text)
        {
            found.entry(lift.thunk).or_insert(name);
        }
    }
    found
}
