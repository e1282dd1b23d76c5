//! The parts of derived implementations. Not for use by hand: they change without notice.

use cwasm_format::hash::{Hasher, Tag};
use cwasm_format::types::TypeDef;

pub use crate::values::handles::HandleType;
pub use crate::values::{LiftContext, LowerContext};
pub use cwasm_format::abi::{Flat, FlatType, Layout, field_offsets};
pub use cwasm_format::hash::TypeHash;
pub use cwasm_format::types::{Types, ValueType};

pub use super::seal::Seal;
pub use super::tuples::{concat, describe_part, flat_offsets, is_canonical};
pub use super::variants::{
    discriminant, flat_payload, invalid_discriminant, lower_case, payload_bytes, store_case,
    write_case,
};

/// The hash of a record of these fields.
pub const fn record_hash(fields: &[(&str, TypeHash)]) -> TypeHash {
    with_parts(Tag::Record, fields)
}

/// The hash of a variant of these cases.
pub const fn variant_hash(cases: &[(&str, TypeHash)]) -> TypeHash {
    with_parts(Tag::Variant, cases)
}

/// The hash of an enum of these cases.
pub const fn enum_hash(names: &[&str]) -> TypeHash {
    of_names(Tag::Enum, names)
}

/// The hash of these flags.
pub const fn flags_hash(names: &[&str]) -> TypeHash {
    of_names(Tag::Flags, names)
}

const fn with_parts(tag: Tag, parts: &[(&str, TypeHash)]) -> TypeHash {
    let mut hasher = Hasher::new(tag);
    hasher.count(parts.len());
    let mut i = 0;
    while i < parts.len() {
        hasher.name(parts[i].0);
        hasher.part(parts[i].1);
        i += 1;
    }
    hasher.finish()
}

const fn of_names(tag: Tag, names: &[&str]) -> TypeHash {
    let mut hasher = Hasher::new(tag);
    hasher.count(names.len());
    let mut i = 0;
    while i < names.len() {
        hasher.name(names[i]);
        i += 1;
    }
    hasher.finish()
}

/// Adds a record of these fields.
pub fn push_record(types: &mut Types, fields: Vec<(&str, ValueType)>) -> ValueType {
    let fields = fields.into_iter().map(|(name, ty)| (name.to_owned(), ty));
    ValueType::Def(types.push(TypeDef::Record(fields.collect())))
}

/// Adds a variant of these cases.
pub fn push_variant(types: &mut Types, cases: Vec<(&str, Option<ValueType>)>) -> ValueType {
    let cases = cases.into_iter().map(|(name, ty)| (name.to_owned(), ty));
    ValueType::Def(types.push(TypeDef::Variant(cases.collect())))
}

/// Adds an enum of these cases.
pub fn push_enum(types: &mut Types, names: &[&str]) -> ValueType {
    let names = names.iter().map(|name| (*name).to_owned());
    ValueType::Def(types.push(TypeDef::Enum(names.collect())))
}

/// Adds these flags.
pub fn push_flags(types: &mut Types, names: &[&str]) -> ValueType {
    let names = names.iter().map(|name| (*name).to_owned());
    ValueType::Def(types.push(TypeDef::Flags(names.collect())))
}
