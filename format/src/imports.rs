//! What an artifact imports.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::exports::{CanonOptions, StrRef};
use crate::hash::TypeHash;

/// One import, in the order of declaration.
///
/// | kind | at `slot` in the context | filled by the loader with |
/// |---|---|---|
/// | component function | `VmHostImport` | the host's shim |
/// | instance | nothing | |
/// | core function | `VmFuncImport` | code, context and reference of the callee |
/// | core table, memory, global | `u64` | address of the `VmTable`, `VmMemory` or value |
///
/// A component's functions inside an imported instance are named by path, as exports are. `slot`
/// is `NONE` where nothing in the unit uses the import.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ImportRecord {
    /// Module name of a core import; empty for components.
    pub module: StrRef,
    /// The name or path.
    pub name: StrRef,
    /// A number of [`crate::exports::kind`].
    pub kind: u32,
    /// Context offset of what the loader fills in, or `NONE`.
    pub slot: u32,
    /// Hash of a component function's type; zero otherwise.
    pub hash: TypeHash,
    /// The core type, encoded as in [`core_type`]; empty for components.
    pub core_type: StrRef,
    /// Index of a component function's type in the descriptions.
    pub func_type: u32,
    /// Zero.
    pub reserved: u32,
}

/// A lowered host function: what its shim needs to lift arguments and lower the result.
///
/// Compiled trampolines pass the address of this record to the shim.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LowerRecord {
    /// Index of the import.
    pub import: u32,
    /// Context offset of the calling instance's flags.
    pub flags: u32,
    /// How values pass through memory.
    pub options: CanonOptions,
}

/// The encoding of core types in [`SectionId::Strings`](crate::header::SectionId): equal types
/// have equal bytes.
///
/// ```text
/// func    number of params: u8 varint (LEB128), valtypes, number of results, valtypes
/// table   valtype, limits
/// memory  log2 of the page size: u8, limits
/// global  valtype, 1 if mutable else 0
/// limits  min: u64 LE, max: u64 LE (all ones: none), 1 if 64-bit else 0, 1 if shared else 0
/// valtype 0x7f i32, 0x7e i64, 0x7d f32, 0x7c f64, 0x7b v128, 0x70 funcref, 0x6f externref
/// ```
pub mod core_type {
    /// A core value type that the format knows.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[repr(u8)]
    #[allow(missing_docs, reason = "the names are WebAssembly's")]
    pub enum ValType {
        I32 = 0x7f,
        I64 = 0x7e,
        F32 = 0x7d,
        F64 = 0x7c,
        V128 = 0x7b,
        FuncRef = 0x70,
        ExternRef = 0x6f,
    }

    impl ValType {
        /// The type of this byte.
        pub const fn from_byte(byte: u8) -> Option<ValType> {
            Some(match byte {
                0x7f => ValType::I32,
                0x7e => ValType::I64,
                0x7d => ValType::F32,
                0x7c => ValType::F64,
                0x7b => ValType::V128,
                0x70 => ValType::FuncRef,
                0x6f => ValType::ExternRef,
                _ => return None,
            })
        }
    }

    impl core::fmt::Display for ValType {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str(match self {
                ValType::I32 => "i32",
                ValType::I64 => "i64",
                ValType::F32 => "f32",
                ValType::F64 => "f64",
                ValType::V128 => "v128",
                ValType::FuncRef => "funcref",
                ValType::ExternRef => "externref",
            })
        }
    }

    /// Limits of a table or memory, in elements or pages.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Limits {
        /// The initial size.
        pub min: u64,
        /// The declared maximum.
        pub max: Option<u64>,
        /// Whether indices are 64 bits.
        pub is_64: bool,
        /// Whether it is shared between threads.
        pub shared: bool,
    }

    /// Encodes a function type.
    pub fn encode_func(params: &[ValType], results: &[ValType], out: &mut Vec<u8>) {
        for types in [params, results] {
            let mut count = types.len();
            while count >= 0x80 {
                out.push(count as u8 | 0x80);
                count >>= 7;
            }
            out.push(count as u8);
            out.extend(types.iter().map(|ty| *ty as u8));
        }
    }

    /// Encodes a table type.
    pub fn encode_table(element: ValType, limits: Limits, out: &mut Vec<u8>) {
        out.push(element as u8);
        encode_limits(limits, out);
    }

    /// Encodes a memory type.
    pub fn encode_memory(page_log2: u8, limits: Limits, out: &mut Vec<u8>) {
        out.push(page_log2);
        encode_limits(limits, out);
    }

    /// Encodes a global's type.
    pub fn encode_global(content: ValType, mutable: bool, out: &mut Vec<u8>) {
        out.push(content as u8);
        out.push(u8::from(mutable));
    }

    fn encode_limits(limits: Limits, out: &mut Vec<u8>) {
        out.extend(limits.min.to_le_bytes());
        out.extend(limits.max.unwrap_or(u64::MAX).to_le_bytes());
        out.push(u8::from(limits.is_64));
        out.push(u8::from(limits.shared));
    }

    /// Decodes a function type into parameters and results; `None` if `bytes` is not one.
    pub fn decode_func(bytes: &[u8]) -> Option<(Vec<ValType>, Vec<ValType>)> {
        let mut bytes = bytes;
        let params = decode_val_types(&mut bytes)?;
        let results = decode_val_types(&mut bytes)?;
        bytes.is_empty().then_some((params, results))
    }

    /// Decodes a table type; `None` if `bytes` is not one.
    pub fn decode_table(bytes: &[u8]) -> Option<(ValType, Limits)> {
        let (first, rest) = bytes.split_first()?;
        Some((ValType::from_byte(*first)?, decode_limits(rest)?))
    }

    /// Decodes a memory type into the log2 of its page size and limits; `None` if `bytes` is not
    /// one.
    pub fn decode_memory(bytes: &[u8]) -> Option<(u8, Limits)> {
        let (first, rest) = bytes.split_first()?;
        Some((*first, decode_limits(rest)?))
    }

    /// Decodes a global's type and whether it is mutable; `None` if `bytes` is not one.
    pub fn decode_global(bytes: &[u8]) -> Option<(ValType, bool)> {
        match *bytes {
            [content, mutable @ 0..=1] => Some((ValType::from_byte(content)?, mutable == 1)),
            _ => None,
        }
    }

    fn decode_val_types(bytes: &mut &[u8]) -> Option<Vec<ValType>> {
        let (mut count, mut shift) = (0usize, 0);
        loop {
            let (byte, rest) = bytes.split_first()?;
            *bytes = rest;
            count |= usize::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (types, rest) = bytes.split_at_checked(count)?;
        *bytes = rest;
        types.iter().map(|byte| ValType::from_byte(*byte)).collect()
    }

    fn decode_limits(bytes: &[u8]) -> Option<Limits> {
        let (min, rest) = bytes.split_first_chunk::<8>()?;
        let (max, rest) = rest.split_first_chunk::<8>()?;
        let max = u64::from_le_bytes(*max);
        match *rest {
            [is_64 @ 0..=1, shared @ 0..=1] => Some(Limits {
                min: u64::from_le_bytes(*min),
                max: (max != u64::MAX).then_some(max),
                is_64: is_64 == 1,
                shared: shared == 1,
            }),
            _ => None,
        }
    }
}

const _: () = assert!(size_of::<ImportRecord>() == 56 && size_of::<LowerRecord>() == 24);
