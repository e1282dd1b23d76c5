//! Core modules that a component imports, and those that it exports.
//!
//! A component that imports core modules is an open unit: items that it gives to an instance of an
//! imported module, and items that it gets from one, are accessed through slots and references as
//! between core modules. The modules that it exports are in
//! [`SectionId::Modules`](crate::header::SectionId): each is a complete artifact, which starts at a
//! page.
//!
//! ```text
//! instance 0   import 2   init: thunk of what runs before it
//!              args:  "env" "memory" -> context offset of a VmMemory
//!                     "env" "log"    -> context offset of a VmFuncRef
//! import 3     "run", of instance 0  -> slot: VmFuncImport
//! ```

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::exports::{ExportRecord, StrRef};

/// An instance of an imported core module, in the order of instantiation.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ModuleInstanceRecord {
    /// Index of the import: one of [`kind::MODULE`](crate::exports::kind::MODULE).
    pub import: u32,
    /// Text offset of the thunk that runs the component's steps before this instance, or `NONE`.
    pub init: u32,
    /// Index of its first [`ModuleArgRecord`].
    pub args: u32,
    /// The number of its arguments.
    pub arg_count: u32,
}

/// An argument of an instance of an imported core module.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ModuleArgRecord {
    /// The module name of the import.
    pub module: StrRef,
    /// The name of the import, and the item that is given, as if the component exported it. With
    /// [`IMPORTED`](crate::exports::IMPORTED) the index is that of an import of a core kind,
    /// counted among these.
    pub item: ExportRecord,
}

/// The type of a core module that is imported: in an artifact as bytes in the strings.
///
/// ```text
/// module  number of imports: u32, imports, number of exports: u32, exports
/// import  module name, item
/// export  item
/// item    name, kind: u32 (a number of `kind`), core type (see `core_type`)
/// name, core type: length in bytes: u32, bytes
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleType {
    /// The items that an instance of the module is given: module name and item.
    pub imports: Vec<(String, CoreItem)>,
    /// The items that it must export.
    pub exports: Vec<CoreItem>,
}

/// A core import or export of a [`ModuleType`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreItem {
    /// The name.
    pub name: String,
    /// A number of [`crate::exports::kind`].
    pub kind: u32,
    /// The encoded type.
    pub core_type: Vec<u8>,
}

impl ModuleType {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u32(&mut out, self.imports.len());
        for (module, item) in &self.imports {
            put_bytes(&mut out, module.as_bytes());
            item.encode(&mut out);
        }
        put_u32(&mut out, self.exports.len());
        self.exports.iter().for_each(|item| item.encode(&mut out));
        out
    }

    /// Decodes a type; `None` if `bytes` are not one.
    pub fn decode(mut bytes: &[u8]) -> Option<ModuleType> {
        let mut ty = ModuleType::default();
        // Each item takes bytes, so a wrong count fails early.
        for _ in 0..take_u32(&mut bytes)? {
            let module = take_name(&mut bytes)?;
            ty.imports.push((module, CoreItem::decode(&mut bytes)?));
        }
        for _ in 0..take_u32(&mut bytes)? {
            ty.exports.push(CoreItem::decode(&mut bytes)?);
        }
        bytes.is_empty().then_some(ty)
    }
}

impl CoreItem {
    fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.name.as_bytes());
        out.extend(self.kind.to_le_bytes());
        put_bytes(out, &self.core_type);
    }

    fn decode(bytes: &mut &[u8]) -> Option<CoreItem> {
        Some(CoreItem {
            name: take_name(bytes)?,
            kind: take_u32(bytes)?,
            core_type: take_bytes(bytes)?.to_vec(),
        })
    }
}

/// Names and types come from a binary, which is less than 4 GiB long.
fn put_u32(out: &mut Vec<u8>, value: usize) {
    out.extend(u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, bytes.len());
    out.extend(bytes);
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    let (value, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*value))
}

fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = take_u32(bytes)?;
    let (taken, rest) = bytes.split_at_checked(len as usize)?;
    *bytes = rest;
    Some(taken)
}

fn take_name(bytes: &mut &[u8]) -> Option<String> {
    String::from_utf8(take_bytes(bytes)?.to_vec()).ok()
}

const _: () =
    assert!(size_of::<ModuleInstanceRecord>() == 16 && size_of::<ModuleArgRecord>() == 32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_come_back_and_parts_of_them_do_not() {
        let item = |name: &str, kind| CoreItem {
            name: name.to_owned(),
            kind,
            core_type: vec![1, 2, 3],
        };
        let ty = ModuleType {
            imports: vec![
                ("env".to_owned(), item("f", 16)),
                (String::new(), item("", 18)),
            ],
            exports: vec![item("memory", 18)],
        };
        let bytes = ty.encode();
        assert_eq!(ModuleType::decode(&bytes), Some(ty));
        for len in 0..bytes.len() {
            assert_eq!(ModuleType::decode(&bytes[..len]), None);
        }
        assert_eq!(ModuleType::decode(&[bytes, vec![0]].concat()), None);
    }
}
