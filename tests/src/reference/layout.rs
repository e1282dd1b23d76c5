//! Alignments, sizes and flat forms ("Alignment", "Element Size", "Flattening").

use super::{Shape, Type};

/// A function of more flat parameters takes one pointer.
pub const MAX_FLAT_PARAMS: usize = 16;
/// A function of more flat results returns one pointer.
pub const MAX_FLAT_RESULTS: usize = 1;

/// A core value type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are WebAssembly's")]
pub enum Core {
    I32,
    I64,
    F32,
    F64,
}

/// "alignment"
pub fn alignment(ty: &Type) -> usize {
    match ty.shape() {
        Shape::Bool => 1,
        Shape::Int { bytes, .. } | Shape::Float { bytes } => bytes,
        Shape::Char | Shape::String | Shape::List(_) => 4,
        Shape::Record(fields) => fields.into_iter().map(alignment).max().unwrap_or(1),
        Shape::Variant(cases) => discriminant_size(cases.len()).max(payload_alignment(&cases)),
        Shape::Flags(count) => flags_size(count),
    }
}

/// "elem_size"
pub fn size(ty: &Type) -> usize {
    match ty.shape() {
        Shape::Bool => 1,
        Shape::Int { bytes, .. } | Shape::Float { bytes } => bytes,
        Shape::Char => 4,
        Shape::String | Shape::List(_) => 8,
        Shape::Record(fields) => {
            let mut end = 0;
            for field in fields {
                end = align_to(end, alignment(field)) + size(field);
            }
            align_to(end, alignment(ty))
        }
        Shape::Variant(cases) => {
            let payload = cases.iter().flatten().map(|ty| size(ty)).max().unwrap_or(0);
            align_to(payload_offset(&cases) + payload, alignment(ty))
        }
        Shape::Flags(count) => flags_size(count),
    }
}

/// The smallest multiple of `alignment` that is not below `offset`.
pub(super) fn align_to(offset: usize, alignment: usize) -> usize {
    offset.div_ceil(alignment) * alignment
}

/// "discriminant_type", in bytes: that many as are needed for the highest case.
pub(super) fn discriminant_size(cases: usize) -> usize {
    match cases - 1 {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 4,
    }
}

/// "max_case_alignment"
fn payload_alignment(cases: &[Option<&Type>]) -> usize {
    let payloads = cases.iter().flatten();
    payloads.map(|ty| alignment(ty)).max().unwrap_or(1)
}

/// Where the payload of a variant begins.
pub(super) fn payload_offset(cases: &[Option<&Type>]) -> usize {
    align_to(discriminant_size(cases.len()), payload_alignment(cases))
}

/// The bytes of so many flags.
pub(super) fn flags_size(count: usize) -> usize {
    match count {
        0..=8 => 1,
        9..=16 => 2,
        _ => 4,
    }
}

/// "flatten_type"
pub fn flatten(ty: &Type) -> Vec<Core> {
    match ty.shape() {
        Shape::Int { bytes: 8, .. } => vec![Core::I64],
        Shape::Bool | Shape::Int { .. } | Shape::Char | Shape::Flags(_) => vec![Core::I32],
        Shape::Float { bytes: 4 } => vec![Core::F32],
        Shape::Float { .. } => vec![Core::F64],
        Shape::String | Shape::List(_) => vec![Core::I32, Core::I32],
        Shape::Record(fields) => fields.into_iter().flat_map(flatten).collect(),
        Shape::Variant(cases) => {
            let mut flat = vec![Core::I32];
            flat.extend(join_payloads(&cases));
            flat
        }
    }
}

/// The flat form that all payloads fit in.
fn join_payloads(cases: &[Option<&Type>]) -> Vec<Core> {
    let mut joined: Vec<Core> = Vec::new();
    for payload in cases.iter().flatten() {
        for (index, core) in flatten(payload).into_iter().enumerate() {
            match joined.get_mut(index) {
                Some(other) => *other = join(*other, core),
                None => joined.push(core),
            }
        }
    }
    joined
}

/// "join"
fn join(a: Core, b: Core) -> Core {
    match (a, b) {
        _ if a == b => a,
        (Core::I32, Core::F32) | (Core::F32, Core::I32) => Core::I32,
        _ => Core::I64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_by_hand() {
        let option = Type::Option(Box::new(Type::U64));
        assert_eq!((size(&option), alignment(&option)), (16, 8));
        assert_eq!(flatten(&option), [Core::I32, Core::I64]);
        let mixed = Type::Variant(vec![
            Some(Type::F32),
            Some(Type::String),
            Some(Type::Tuple(vec![Type::F64, Type::F32])),
        ]);
        assert_eq!((size(&mixed), alignment(&mixed)), (24, 8));
        assert_eq!(flatten(&mixed), [Core::I32, Core::I64, Core::I32]);
        let record = Type::Record(vec![Type::U8, Type::Enum(257), Type::Flags(9), Type::Bool]);
        assert_eq!((size(&record), alignment(&record)), (8, 2));
    }
}
