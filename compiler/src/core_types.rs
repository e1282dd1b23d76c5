//! Core types as the artifact has them: without type indices, so that equal types of different
//! modules have equal encodings. The encoding is that of [`cwasm_format::imports::core_type`].
//!
//! Equality is that of the specification ("Type Equivalence"): recursion groups are equal if they
//! are equal after each reference to a member of the group is replaced by the member's place.

use cwasm_format::hash::{Hasher, Tag, TypeHash};
use cwasm_format::imports::core_type::{self, HeapType, RefType, ValType};
use wasmparser::{AbstractHeapType, FuncType, UnpackedIndex};

use crate::error::{Error, Result};

/// The function types of a module, by type index.
#[derive(Default)]
pub(crate) struct CoreTypes(Vec<CoreType>);

struct CoreType {
    encoded: Vec<u8>,
    hash: TypeHash,
}

impl CoreTypes {
    /// Adds the types of a recursion group.
    pub(crate) fn push_group(&mut self, members: &[FuncType]) -> Result<()> {
        let first = self.0.len();
        let is_recursive = |ty: &wasmparser::ValType| concrete(*ty).is_some_and(|ty| ty >= first);
        let needs_identity = members.len() > 1
            || members
                .iter()
                .flat_map(|ty| ty.params().iter().chain(ty.results()))
                .any(is_recursive);
        let group = if needs_identity {
            let mut hasher = Hasher::new(Tag::CoreGroup);
            hasher.count(members.len());
            for member in members {
                // A hash that stands for the place; no type has it except by chance.
                let ty = self.func_type(member, |place| TypeHash([place as u64, 0]))?;
                hasher.bytes(&encoded(&ty));
            }
            Some(hasher.finish())
        } else {
            None
        };
        let mut types = Vec::with_capacity(members.len());
        for (place, member) in members.iter().enumerate() {
            let member_hash = |place| group.map(|group| TypeHash::core_member(group, place));
            let own = |place| member_hash(place).unwrap_or(TypeHash::NONE);
            let mut ty = self.func_type(member, own)?;
            ty.identity = member_hash(place);
            types.push(CoreType {
                encoded: encoded(&ty),
                hash: ty.hash(),
            });
        }
        self.0.append(&mut types);
        Ok(())
    }

    /// The encoding of a function type.
    pub(crate) fn encoded(&self, type_index: u32) -> &[u8] {
        &self.0[type_index as usize].encoded
    }

    /// All encodings, by type index.
    pub(crate) fn all_encoded(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|ty| &*ty.encoded)
    }

    /// A value type of the module.
    pub(crate) fn val_type(&self, ty: wasmparser::ValType) -> Result<ValType> {
        self.val_type_in(ty, |_| unreachable!("type indices are validated"))
    }

    /// A function type. `own` gives the hash of a member of the group that is being added.
    fn func_type(
        &self,
        ty: &FuncType,
        own: impl Fn(usize) -> TypeHash,
    ) -> Result<core_type::FuncType> {
        let types = |types: &[wasmparser::ValType]| {
            let types = types.iter().map(|ty| self.val_type_in(*ty, &own));
            types.collect::<Result<Vec<_>>>()
        };
        Ok(core_type::FuncType {
            params: types(ty.params())?,
            results: types(ty.results())?,
            identity: None,
        })
    }

    fn val_type_in(
        &self,
        ty: wasmparser::ValType,
        own: impl Fn(usize) -> TypeHash,
    ) -> Result<ValType> {
        Ok(match ty {
            wasmparser::ValType::I32 => ValType::I32,
            wasmparser::ValType::I64 => ValType::I64,
            wasmparser::ValType::F32 => ValType::F32,
            wasmparser::ValType::F64 => ValType::F64,
            wasmparser::ValType::V128 => ValType::V128,
            wasmparser::ValType::Ref(ref_type) => {
                check_ref_type(ref_type)?;
                let heap = match concrete(ty) {
                    Some(index) => HeapType::Concrete(match self.0.get(index) {
                        Some(known) => known.hash,
                        None => own(index - self.0.len()),
                    }),
                    None => abstract_heap(ref_type),
                };
                ValType::Ref(RefType {
                    nullable: ref_type.is_nullable(),
                    heap,
                })
            }
        })
    }
}

/// Refuses reference types that need a proposal that is not supported.
pub(crate) fn check_ref_type(ty: wasmparser::RefType) -> Result<()> {
    let feature = match ty.heap_type() {
        wasmparser::HeapType::Abstract { shared: true, .. } => "shared-everything-threads",
        wasmparser::HeapType::Abstract { ty, .. } => match ty {
            AbstractHeapType::Func
            | AbstractHeapType::Extern
            | AbstractHeapType::Exn
            | AbstractHeapType::NoExn => return Ok(()),
            AbstractHeapType::Cont | AbstractHeapType::NoCont => "stack-switching",
            _ => "gc",
        },
        // All types that a module defines are function types.
        wasmparser::HeapType::Concrete(_) => return Ok(()),
        wasmparser::HeapType::Exact(_) => "custom-descriptors",
    };
    Err(Error::unsupported(feature, None))
}

/// The referents of a reference type without a type index, which [`check_ref_type`] has seen.
fn abstract_heap(ty: wasmparser::RefType) -> HeapType {
    match ty.heap_type() {
        wasmparser::HeapType::Abstract { ty, .. } => match ty {
            AbstractHeapType::Extern => HeapType::Extern,
            AbstractHeapType::Exn => HeapType::Exn,
            AbstractHeapType::NoExn => HeapType::NoExn,
            _ => HeapType::Func,
        },
        _ => HeapType::Func,
    }
}

/// The type index of a reference to a function type.
fn concrete(ty: wasmparser::ValType) -> Option<usize> {
    match ty {
        wasmparser::ValType::Ref(ty) => match ty.heap_type() {
            wasmparser::HeapType::Concrete(UnpackedIndex::Module(index)) => Some(index as usize),
            _ => None,
        },
        _ => None,
    }
}

fn encoded(ty: &core_type::FuncType) -> Vec<u8> {
    let mut bytes = Vec::new();
    ty.encode(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use crate::decode::decode;
    use crate::features::Features;

    /// The encodings of the types of a module.
    fn encodings(text: &str) -> Vec<Vec<u8>> {
        let bytes = wat::parse_str(text).unwrap();
        let decoded = decode(&bytes, Features::default()).unwrap();
        let types = &decoded.modules[0].core_types;
        types.all_encoded().map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn equal_types_have_equal_encodings_whatever_their_indices() {
        let a = encodings(
            "(module (type $f (func)) (type $g (func (param (ref $f)) (result (ref null $f)))))",
        );
        let b = encodings(
            "(module (type (func (param i32))) (type $f (func)) (type (func (param (ref 0))))
               (type $g (func (param (ref $f)) (result (ref null $f)))))",
        );
        assert_eq!((&a[0], &a[1]), (&b[1], &b[3]));
        assert_ne!(b[2], b[3]);
    }

    #[test]
    fn recursion_groups_are_equal_as_a_whole() {
        let types = encodings(
            "(module
               (type $f (func))
               (rec (type $a (func (param (ref $b)))) (type $b (func (param (ref $a)))))
               (rec (type $c (func (param (ref $d)))) (type $d (func (param (ref $c)))))
               (rec (type (func)) (type (func)))
               (rec (type (func)))
               (type $s (func (result (ref $s)))) (type $t (func (result (ref $t))))
               (type $u (func (result (ref $s)))))",
        );
        let [f, a, b, c, d, first, second, single, s, t, u] = &types[..] else {
            panic!("eleven types");
        };
        assert_eq!((a, b), (c, d));
        assert_ne!(a, b);
        assert_ne!(first, second);
        assert_ne!(first, f);
        assert_eq!(single, f);
        assert_eq!(s, t);
        assert_ne!(s, u);
    }

    #[test]
    fn encodings_do_not_grow_with_nesting() {
        let mut text = String::from("(module (type (func))");
        for index in 0..100 {
            text.push_str(&format!(
                "(type (func (param (ref {index}) (ref {index}))))"
            ));
        }
        text.push(')');
        assert!(encodings(&text).iter().all(|ty| ty.len() < 64));
    }
}
