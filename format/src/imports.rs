//! The imports of an artifact.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::exports::{CanonOptions, StrRef};
use crate::hash::TypeHash;
use crate::resources::UseRange;

/// One import, in the order of declaration.
///
/// | kind | at `slot` in the context | filled by the loader with |
/// |---|---|---|
/// | component function | `VmHostImport` | the host's shim |
/// | instance | nothing | |
/// | resource type | `VmHostImport` | the host's destructor, or zero |
/// | core module | nothing | |
/// | core function | `VmFuncImport` | code, context and reference of the callee |
/// | other core items | `u64` | address of the `VmTable`, `VmMemory`, value or `VmTag` |
///
/// A component's functions inside an imported instance are named by path, as exports are. `slot` is
/// `NONE` where nothing in the unit uses the import. Core items that a component imports are
/// exports of its instances of imported core modules, and come last.
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
    /// The core type, encoded as in [`core_type`]; of a core module, its encoded
    /// [`ModuleType`](crate::modules::ModuleType); otherwise empty.
    pub core_type: StrRef,
    /// Index of a component function's type in the descriptions; for a resource type, its place in
    /// the resources; for a core item of a component, the place of the instance that exports it in
    /// [`SectionId::ModuleInstances`](crate::header::SectionId).
    pub index: u32,
    /// The handles in a component function's type.
    pub uses: UseRange,
    /// 1 if code compares accesses to an imported core memory with its size, so that they rely on a
    /// guard of [`CHECKED_GUARD_SIZE`](crate::data::CHECKED_GUARD_SIZE) alone; else 0.
    pub is_checked: u32,
}

/// A lowered host function: the data that its shim needs to lift arguments and lower the result.
///
/// Compiled trampolines pass the address of this record to the shim.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LowerRecord {
    /// Index of the import.
    pub import: u32,
    /// Context offset of the calling instance's flags.
    pub flags: u32,
    /// The canonical options.
    pub options: CanonOptions,
}

/// The encoding of core types in [`SectionId::Strings`](crate::header::SectionId): equal types
/// have equal bytes.
///
/// ```text
/// func    number of params: u8 varint (LEB128), valtypes, number of results, valtypes,
///         and the type's hash if this does not tell it from others (see below)
/// table   valtype, limits
/// memory  log2 of the page size: u8, limits
/// global  valtype, 1 if mutable else 0
/// tag     the func of its parameters
/// limits  min: u64 LE, max: u64 LE (all ones: none), 1 if 64-bit else 0, 1 if shared else 0
/// valtype 0x7f i32, 0x7e i64, 0x7d f32, 0x7c f64, 0x7b v128, 0x70 funcref, 0x6f externref,
///         0x69 exnref, 0x74 nullexnref, 0x64 heaptype for (ref heaptype),
///         0x63 0x60 hash for (ref null $t)
/// heaptype 0x70 func, 0x6f extern, 0x69 exn, 0x74 noexn, 0x60 hash for a function type
/// hash    two u64 LE
/// ```
///
/// A reference to a function type holds that type's [`TypeHash`]. The hash is that of the type's
/// encoding ([`TypeHash::core_func`]), so that it depends on the structure alone, whatever indices
/// the module has. Types that refer to each other, and all others of a recursion group with more
/// than one member, are equal only if their groups are and they are the same members: their hash is
/// that of group and place ([`TypeHash::core_member`]) and stands at the end of their encoding.
///
/// ```text
/// (func (param (ref null $t)))   01 63 60 <hash of $t> 00
/// ```
pub mod core_type {
    use crate::hash::TypeHash;

    /// A core value type.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[allow(missing_docs, reason = "the names are WebAssembly's")]
    pub enum ValType {
        I32,
        I64,
        F32,
        F64,
        V128,
        Ref(RefType),
    }

    /// A type of references.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct RefType {
        /// Whether null is one of its values.
        pub nullable: bool,
        /// The type that references of this type refer to.
        pub heap: HeapType,
    }

    /// The type of the referents of a reference type.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum HeapType {
        /// Any function.
        Func,
        /// Any value of the host.
        Extern,
        /// Any exception.
        Exn,
        /// Nothing: the bottom of the types of exceptions.
        NoExn,
        /// A function of the type with this hash.
        Concrete(TypeHash),
    }

    const FUNC: u8 = 0x70;
    const EXTERN: u8 = 0x6f;
    const EXN: u8 = 0x69;
    const NO_EXN: u8 = 0x74;
    const CONCRETE: u8 = 0x60;
    const REF: u8 = 0x64;
    const REF_NULL: u8 = 0x63;

    impl ValType {
        /// `funcref`: any function, or null.
        pub const FUNCREF: ValType = ValType::Ref(RefType {
            nullable: true,
            heap: HeapType::Func,
        });
        /// `externref`: any value of the host, or null.
        pub const EXTERNREF: ValType = ValType::Ref(RefType {
            nullable: true,
            heap: HeapType::Extern,
        });
        /// `exnref`: any exception, or null.
        pub const EXNREF: ValType = ValType::Ref(RefType {
            nullable: true,
            heap: HeapType::Exn,
        });
        /// `nullexnref`: null.
        pub const NULLEXNREF: ValType = ValType::Ref(RefType {
            nullable: true,
            heap: HeapType::NoExn,
        });

        /// Whether each value of this type is also one of `other`.
        pub fn is_subtype_of(&self, other: &ValType) -> bool {
            match (self, other) {
                (ValType::Ref(ty), ValType::Ref(other)) => ty.is_subtype_of(other),
                _ => self == other,
            }
        }

        /// Appends the encoding.
        pub fn encode(&self, out: &mut Vec<u8>) {
            match self {
                ValType::I32 => out.push(0x7f),
                ValType::I64 => out.push(0x7e),
                ValType::F32 => out.push(0x7d),
                ValType::F64 => out.push(0x7c),
                ValType::V128 => out.push(0x7b),
                &ValType::FUNCREF => out.push(FUNC),
                &ValType::EXTERNREF => out.push(EXTERN),
                &ValType::EXNREF => out.push(EXN),
                &ValType::NULLEXNREF => out.push(NO_EXN),
                ValType::Ref(ty) => {
                    out.push(if ty.nullable { REF_NULL } else { REF });
                    match ty.heap {
                        HeapType::Func => out.push(FUNC),
                        HeapType::Extern => out.push(EXTERN),
                        HeapType::Exn => out.push(EXN),
                        HeapType::NoExn => out.push(NO_EXN),
                        HeapType::Concrete(hash) => {
                            out.push(CONCRETE);
                            out.extend(hash.to_bytes());
                        }
                    }
                }
            }
        }

        /// Decodes the type at the start of `bytes`, and removes it; `None` if there is none.
        fn decode(bytes: &mut &[u8]) -> Option<ValType> {
            let nullable = match take(bytes)? {
                0x7f => return Some(ValType::I32),
                0x7e => return Some(ValType::I64),
                0x7d => return Some(ValType::F32),
                0x7c => return Some(ValType::F64),
                0x7b => return Some(ValType::V128),
                FUNC => return Some(ValType::FUNCREF),
                EXTERN => return Some(ValType::EXTERNREF),
                EXN => return Some(ValType::EXNREF),
                NO_EXN => return Some(ValType::NULLEXNREF),
                REF_NULL => true,
                REF => false,
                _ => return None,
            };
            let heap = match take(bytes)? {
                // Only the shorter encoding is valid.
                FUNC | EXTERN | EXN | NO_EXN if nullable => return None,
                FUNC => HeapType::Func,
                EXTERN => HeapType::Extern,
                EXN => HeapType::Exn,
                NO_EXN => HeapType::NoExn,
                CONCRETE => {
                    let (hash, rest) = bytes.split_first_chunk()?;
                    *bytes = rest;
                    HeapType::Concrete(TypeHash::from_bytes(*hash))
                }
                _ => return None,
            };
            Some(ValType::Ref(RefType { nullable, heap }))
        }
    }

    impl RefType {
        /// Whether each reference of this type is also one of `other`.
        pub fn is_subtype_of(&self, other: &RefType) -> bool {
            let heap_matches = match (self.heap, other.heap) {
                (HeapType::Concrete(_), HeapType::Func) | (HeapType::NoExn, HeapType::Exn) => true,
                (heap, other) => heap == other,
            };
            heap_matches && (other.nullable || !self.nullable)
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
                &ValType::FUNCREF => "funcref",
                &ValType::EXTERNREF => "externref",
                &ValType::EXNREF => "exnref",
                &ValType::NULLEXNREF => "nullexnref",
                ValType::Ref(ty) => return ty.fmt(f),
            })
        }
    }

    impl core::fmt::Display for RefType {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            let null = if self.nullable { "null " } else { "" };
            match self.heap {
                HeapType::Func => write!(f, "(ref {null}func)"),
                HeapType::Extern => write!(f, "(ref {null}extern)"),
                HeapType::Exn => write!(f, "(ref {null}exn)"),
                HeapType::NoExn => write!(f, "(ref {null}noexn)"),
                // Part of the hash is enough to tell types apart.
                HeapType::Concrete(hash) => write!(f, "(ref {null}func#{:08x})", hash.0[0] as u32),
            }
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

    /// A function type.
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    pub struct FuncType {
        /// The types of the parameters.
        pub params: Vec<ValType>,
        /// The types of the results.
        pub results: Vec<ValType>,
        /// The type's hash, if parameters and results alone do not identify it.
        pub identity: Option<TypeHash>,
    }

    impl FuncType {
        /// Appends the encoding.
        pub fn encode(&self, out: &mut Vec<u8>) {
            for types in [&self.params, &self.results] {
                let mut count = types.len();
                while count >= 0x80 {
                    out.push(count as u8 | 0x80);
                    count >>= 7;
                }
                out.push(count as u8);
                types.iter().for_each(|ty| ty.encode(out));
            }
            if let Some(hash) = self.identity {
                out.extend(hash.to_bytes());
            }
        }

        /// Decodes a function type; `None` if `bytes` is not one.
        pub fn decode(bytes: &[u8]) -> Option<FuncType> {
            let mut bytes = bytes;
            let params = decode_val_types(&mut bytes)?;
            let results = decode_val_types(&mut bytes)?;
            let identity = match bytes {
                [] => None,
                _ => Some(TypeHash::from_bytes(bytes.try_into().ok()?)),
            };
            Some(FuncType {
                params,
                results,
                identity,
            })
        }

        /// The hash by which references name the type.
        pub fn hash(&self) -> TypeHash {
            self.identity.unwrap_or_else(|| {
                let mut bytes = Vec::new();
                self.encode(&mut bytes);
                TypeHash::core_func(&bytes)
            })
        }
    }

    /// Encodes a table type.
    pub fn encode_table(element: ValType, limits: Limits, out: &mut Vec<u8>) {
        element.encode(out);
        encode_limits(limits, out);
    }

    /// Encodes a memory type.
    pub fn encode_memory(page_log2: u8, limits: Limits, out: &mut Vec<u8>) {
        out.push(page_log2);
        encode_limits(limits, out);
    }

    /// Encodes a global's type.
    pub fn encode_global(content: ValType, mutable: bool, out: &mut Vec<u8>) {
        content.encode(out);
        out.push(u8::from(mutable));
    }

    fn encode_limits(limits: Limits, out: &mut Vec<u8>) {
        out.extend(limits.min.to_le_bytes());
        out.extend(limits.max.unwrap_or(u64::MAX).to_le_bytes());
        out.push(u8::from(limits.is_64));
        out.push(u8::from(limits.shared));
    }

    /// Decodes a table type; `None` if `bytes` is not one.
    pub fn decode_table(bytes: &[u8]) -> Option<(ValType, Limits)> {
        let mut bytes = bytes;
        let element = ValType::decode(&mut bytes)?;
        Some((element, decode_limits(bytes)?))
    }

    /// Decodes a memory type into the log2 of its page size and limits; `None` if `bytes` is not
    /// one.
    pub fn decode_memory(bytes: &[u8]) -> Option<(u8, Limits)> {
        let (first, rest) = bytes.split_first()?;
        Some((*first, decode_limits(rest)?))
    }

    /// Decodes a global's type and whether it is mutable; `None` if `bytes` is not one.
    pub fn decode_global(bytes: &[u8]) -> Option<(ValType, bool)> {
        let mut bytes = bytes;
        let content = ValType::decode(&mut bytes)?;
        match *bytes {
            [mutable @ 0..=1] => Some((content, mutable == 1)),
            _ => None,
        }
    }

    fn take(bytes: &mut &[u8]) -> Option<u8> {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        Some(*first)
    }

    fn decode_val_types(bytes: &mut &[u8]) -> Option<Vec<ValType>> {
        let (mut count, mut shift) = (0usize, 0);
        loop {
            let byte = take(bytes)?;
            count |= usize::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        // Each type takes at least a byte, so a wrong count fails early.
        (0..count).map(|_| ValType::decode(bytes)).collect()
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

const _: () = assert!(size_of::<ImportRecord>() == 64 && size_of::<LowerRecord>() == 36);

#[cfg(test)]
mod tests {
    use super::core_type::*;
    use crate::hash::TypeHash;

    fn reference(nullable: bool, heap: HeapType) -> ValType {
        ValType::Ref(RefType { nullable, heap })
    }

    #[test]
    fn every_type_comes_back_and_has_one_encoding() {
        let concrete = HeapType::Concrete(TypeHash([1, 2]));
        let mut params = vec![ValType::I32, ValType::V128];
        for heap in [HeapType::Func, HeapType::Extern, concrete] {
            params.extend([reference(true, heap), reference(false, heap)]);
        }
        for identity in [None, Some(TypeHash([3, 4]))] {
            let ty = FuncType {
                params: params.clone(),
                results: vec![ValType::F64; 200],
                identity,
            };
            let mut bytes = Vec::new();
            ty.encode(&mut bytes);
            assert_eq!(FuncType::decode(&bytes), Some(ty));
            assert_eq!(FuncType::decode(&bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(decode_global(&[0x63, 0x70, 0]), None);
        assert_eq!(
            decode_global(&[0x64, 0x70, 1]),
            Some((reference(false, HeapType::Func), true))
        );
    }

    #[test]
    fn subtypes_are_as_wasm_says() {
        let concrete = HeapType::Concrete(TypeHash([1, 2]));
        let other = HeapType::Concrete(TypeHash([1, 3]));
        assert!(reference(false, concrete).is_subtype_of(&reference(true, concrete)));
        assert!(reference(false, concrete).is_subtype_of(&ValType::FUNCREF));
        assert!(!ValType::FUNCREF.is_subtype_of(&reference(true, concrete)));
        assert!(!reference(true, concrete).is_subtype_of(&reference(false, concrete)));
        assert!(!reference(true, concrete).is_subtype_of(&reference(true, other)));
        assert!(!ValType::EXTERNREF.is_subtype_of(&ValType::FUNCREF));
        assert!(ValType::I32.is_subtype_of(&ValType::I32));
    }
}
