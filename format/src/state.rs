//! Where the state of core instances is, written with `--debug`: for core dumps.
//!
//! The section `.cwasm.state` is for tools that look at what has happened, so it is found by the
//! ELF section headers and is not in the header's table: artifacts without `--debug` have nothing
//! of it.
//!
//! ```text
//! StateHeader | CoreInstanceRecord ... | StateMemory ... | StateGlobal ... | ModuleName ... |
//! names
//! ```
//!
//! For each core instance, in the order of the unit's core instances, its memories and globals are
//! those of its index spaces, imported ones first. Any text may be a name.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::exports::StrRef;
use crate::header::NONE;

/// The name of the section.
pub const SECTION: &str = ".cwasm.state";

/// How many records there are of each kind.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StateHeader {
    /// Of [`CoreInstanceRecord`].
    pub instances: u32,
    /// Of [`StateMemory`].
    pub memories: u32,
    /// Of [`StateGlobal`].
    pub globals: u32,
    /// Of [`ModuleName`].
    pub modules: u32,
}

/// A core instance.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CoreInstanceRecord {
    /// Index of its core module, or [`NONE`] for an instance of a module that the component
    /// imports: it is an instance of another artifact.
    pub module: u32,
    /// Index of its first [`StateMemory`].
    pub memories: u32,
    /// The number of its memories.
    pub memory_count: u32,
    /// Index of its first [`StateGlobal`].
    pub globals: u32,
    /// The number of its globals.
    pub global_count: u32,
    /// Zero.
    pub reserved: u32,
}

/// A memory as a core instance sees it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StateMemory {
    /// Context offset of its `VmMemory`, or with [`IMPORTED`](crate::exports::IMPORTED) of the slot
    /// of an import, which holds the address of one.
    pub place: u32,
    /// 1 if addresses have 64 bits, else 0.
    pub is_64: u32,
    /// The declared maximum in pages, or [`NO_MAX`].
    pub max: u64,
}

/// A global as a core instance sees it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StateGlobal {
    /// The bits of a global that is a constant, low half first; else 0.
    pub value: [u64; 2],
    /// Context offset of its value, or with [`IMPORTED`](crate::exports::IMPORTED) of the slot of
    /// an import, which holds the value's address; [`NONE`] for a constant.
    pub place: u32,
    /// A number of [`global_type`].
    pub ty: u32,
}

/// The name of a core module.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ModuleName {
    /// A range of the names, counted from the first. Empty if it has none.
    pub name: StrRef,
}

/// The [`StateMemory::max`] of a memory that declares none.
pub const NO_MAX: u64 = u64::MAX;

/// Types of globals, for [`StateGlobal::ty`].
#[allow(missing_docs, reason = "the names are WebAssembly's")]
pub mod global_type {
    pub const I32: u32 = 0;
    pub const I64: u32 = 1;
    pub const F32: u32 = 2;
    pub const F64: u32 = 3;
    pub const V128: u32 = 4;
    /// A reference to a function, of any type.
    pub const FUNC_REF: u32 = 5;
    /// A reference to a value of the host.
    pub const EXTERN_REF: u32 = 6;
    /// A reference to an exception.
    pub const EXN_REF: u32 = 7;
}

/// The bits of a constant of [`StateGlobal`] that is a reference to a function: which one, only
/// the context could say.
pub const SOME_FUNCTION: u128 = 1;

/// The section, read where it is. Offsets and indices in records are not checked.
#[derive(Clone, Copy, Debug)]
pub struct CoreState<'a> {
    /// In the order of the unit's core instances.
    pub instances: &'a [CoreInstanceRecord],
    /// Those of all instances.
    pub memories: &'a [StateMemory],
    /// Those of all instances.
    pub globals: &'a [StateGlobal],
    /// By index of the module.
    pub modules: &'a [ModuleName],
    names: &'a [u8],
}

/// A copy of the section that is aligned, with zeros after it.
pub fn words(section: &[u8]) -> Vec<u64> {
    let mut words = vec![0; section.len().div_ceil(size_of::<u64>())];
    words.as_mut_bytes()[..section.len()].copy_from_slice(section);
    words
}

impl<'a> CoreState<'a> {
    /// The records in `bytes`, which must be aligned to 8; `None` if they are no such section.
    pub fn read(bytes: &'a [u8]) -> Option<CoreState<'a>> {
        let (header, rest) = StateHeader::ref_from_prefix(bytes).ok()?;
        let (instances, rest) = records(rest, header.instances)?;
        let (memories, rest) = records(rest, header.memories)?;
        let (globals, rest) = records(rest, header.globals)?;
        let (modules, names) = records(rest, header.modules)?;
        Some(CoreState {
            instances,
            memories,
            globals,
            modules,
            names,
        })
    }

    /// As [`read`](CoreState::read), of what [`words`] returned.
    pub fn read_words(words: &'a [u64]) -> Option<CoreState<'a>> {
        CoreState::read(words.as_bytes())
    }

    /// The name of a module; `None` if it has none, or there is no such module.
    pub fn module_name(&self, module: u32) -> Option<&'a str> {
        let StrRef { offset, len } = self.modules.get(module as usize)?.name;
        let name = self.names.get(offset as usize..)?.get(..len as usize)?;
        let name = core::str::from_utf8(name).ok()?;
        (!name.is_empty()).then_some(name)
    }

    /// The memories of an instance; `None` if it names others than there are.
    pub fn memories_of(&self, instance: &CoreInstanceRecord) -> Option<&'a [StateMemory]> {
        range(self.memories, instance.memories, instance.memory_count)
    }

    /// The globals of an instance; `None` if it names others than there are.
    pub fn globals_of(&self, instance: &CoreInstanceRecord) -> Option<&'a [StateGlobal]> {
        range(self.globals, instance.globals, instance.global_count)
    }
}

fn records<T>(bytes: &[u8], count: u32) -> Option<(&[T], &[u8])>
where
    T: FromBytes + Immutable + KnownLayout,
{
    <[T]>::ref_from_prefix_with_elems(bytes, count as usize).ok()
}

fn range<T>(all: &[T], first: u32, count: u32) -> Option<&[T]> {
    all.get(first as usize..)?.get(..count as usize)
}

/// Collects the records of the section.
#[cfg(feature = "write")]
#[derive(Debug, Default)]
pub struct StateWriter {
    instances: Vec<CoreInstanceRecord>,
    memories: Vec<StateMemory>,
    globals: Vec<StateGlobal>,
    modules: Vec<ModuleName>,
    names: Vec<u8>,
}

#[cfg(feature = "write")]
impl StateWriter {
    /// Adds the next module.
    pub fn module(&mut self, name: &str) {
        self.modules.push(ModuleName {
            name: StrRef {
                offset: self.names.len() as u32,
                len: name.len() as u32,
            },
        });
        self.names.extend(name.as_bytes());
    }

    /// Adds the next instance, of a module by its index, or [`NONE`].
    pub fn instance(
        &mut self,
        module: u32,
        memories: impl IntoIterator<Item = StateMemory>,
        globals: impl IntoIterator<Item = StateGlobal>,
    ) {
        let first = (self.memories.len() as u32, self.globals.len() as u32);
        self.memories.extend(memories);
        self.globals.extend(globals);
        self.instances.push(CoreInstanceRecord {
            module,
            memories: first.0,
            memory_count: self.memories.len() as u32 - first.0,
            globals: first.1,
            global_count: self.globals.len() as u32 - first.1,
            reserved: 0,
        });
    }

    /// The bytes of the section; `None` if there are more than 4 GiB of names, or too many records.
    pub fn finish(self) -> Option<Vec<u8>> {
        let count = |len: usize| u32::try_from(len).ok();
        count(self.names.len())?;
        let header = StateHeader {
            instances: count(self.instances.len())?,
            memories: count(self.memories.len())?,
            globals: count(self.globals.len())?,
            modules: count(self.modules.len())?,
        };
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(self.instances.as_bytes());
        bytes.extend(self.memories.as_bytes());
        bytes.extend(self.globals.as_bytes());
        bytes.extend(self.modules.as_bytes());
        bytes.extend(self.names);
        Some(bytes)
    }
}

const _: () = assert!(NONE & crate::exports::IMPORTED != 0);
const _: () = assert!(size_of::<StateHeader>() == 16 && size_of::<CoreInstanceRecord>() == 24);
const _: () = assert!(size_of::<StateMemory>() == 16 && size_of::<StateGlobal>() == 24);

#[cfg(all(test, feature = "write"))]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut writer = StateWriter::default();
        writer.module("main");
        writer.module("");
        let memory = StateMemory {
            place: 40,
            is_64: 0,
            max: NO_MAX,
        };
        let global = StateGlobal {
            value: [7, 0],
            place: NONE,
            ty: global_type::I64,
        };
        writer.instance(0, [memory], [global, global]);
        writer.instance(1, [], []);
        writer.instance(0, [memory; 2], [global]);
        writer.finish().unwrap()
    }

    /// As sections are in files.
    fn aligned(bytes: &[u8]) -> (Vec<u64>, usize) {
        let mut words = vec![0; bytes.len().div_ceil(8)];
        words.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
        (words, bytes.len())
    }

    #[test]
    fn records_come_back() {
        let (words, len) = aligned(&sample());
        let state = CoreState::read(&words.as_bytes()[..len]).unwrap();
        let counts = |instance: &CoreInstanceRecord| {
            let memories = state.memories_of(instance).unwrap();
            (memories.len(), state.globals_of(instance).unwrap().len())
        };
        let found: Vec<_> = state.instances.iter().map(counts).collect();
        assert_eq!(found, [(1, 2), (0, 0), (2, 1)]);
        assert_eq!(state.module_name(0), Some("main"));
        assert_eq!((state.module_name(1), state.module_name(2)), (None, None));
        assert_eq!(state.memories[0].place, 40);
        assert_eq!(state.globals[2].value, [7, 0]);
    }

    #[test]
    fn other_bytes_are_none_or_some_records() {
        let bytes = sample();
        for len in 0..bytes.len() - "main".len() {
            let (words, len) = aligned(&bytes[..len]);
            assert!(CoreState::read(&words.as_bytes()[..len]).is_none(), "{len}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let (mut words, len) = aligned(&bytes);
                words.as_mut_bytes()[at] ^= 1 << bit;
                let Some(state) = CoreState::read(&words.as_bytes()[..len]) else {
                    continue;
                };
                for instance in state.instances {
                    let _ = (state.memories_of(instance), state.globals_of(instance));
                    let _ = state.module_name(instance.module);
                }
            }
        }
    }
}
