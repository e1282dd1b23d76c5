//! Alignments, sizes and flat forms ("Alignment", "Element Size", "Flattening").

use super::{Shape, Type, Width};

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

impl Core {
    /// A pointer or length.
    pub fn pointer(width: Width) -> Core {
        match width {
            Width::W32 => Core::I32,
            Width::W64 => Core::I64,
        }
    }
}

/// How many flat values values of these types have together, whatever the width.
pub fn flat_count(types: &[Type]) -> usize {
    types.iter().map(|ty| flatten(ty, Width::W32).len()).sum()
}

/// "alignment"
pub fn alignment(ty: &Type, width: Width) -> usize {
    match ty.shape() {
        Shape::Bool => 1,
        Shape::Int { bytes, .. } | Shape::Float { bytes } => bytes,
        Shape::Char | Shape::Own(_) | Shape::Borrow(_) => 4,
        Shape::String | Shape::List(_) => width.bytes(),
        Shape::Record(fields) => {
            let fields = fields.into_iter();
            fields.map(|ty| alignment(ty, width)).max().unwrap_or(1)
        }
        Shape::Variant(cases) => {
            discriminant_size(cases.len()).max(payload_alignment(&cases, width))
        }
        Shape::Flags(count) => flags_size(count),
    }
}

/// "elem_size"
pub fn size(ty: &Type, width: Width) -> usize {
    match ty.shape() {
        Shape::Bool => 1,
        Shape::Int { bytes, .. } | Shape::Float { bytes } => bytes,
        Shape::Char | Shape::Own(_) | Shape::Borrow(_) => 4,
        Shape::String | Shape::List(_) => 2 * width.bytes(),
        Shape::Record(fields) => {
            let mut end = 0;
            for field in fields {
                end = align_to(end, alignment(field, width)) + size(field, width);
            }
            align_to(end, alignment(ty, width))
        }
        Shape::Variant(cases) => {
            let payloads = cases.iter().flatten();
            let payload = payloads.map(|ty| size(ty, width)).max().unwrap_or(0);
            align_to(
                payload_offset(&cases, width) + payload,
                alignment(ty, width),
            )
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
fn payload_alignment(cases: &[Option<&Type>], width: Width) -> usize {
    let payloads = cases.iter().flatten();
    payloads.map(|ty| alignment(ty, width)).max().unwrap_or(1)
}

/// Where the payload of a variant begins.
pub(super) fn payload_offset(cases: &[Option<&Type>], width: Width) -> usize {
    align_to(
        discriminant_size(cases.len()),
        payload_alignment(cases, width),
    )
}

/// The bytes of `count` flags.
pub(super) fn flags_size(count: usize) -> usize {
    match count {
        0..=8 => 1,
        9..=16 => 2,
        _ => 4,
    }
}

/// "flatten_type"
pub fn flatten(ty: &Type, width: Width) -> Vec<Core> {
    match ty.shape() {
        Shape::Int { bytes: 8, .. } => vec![Core::I64],
        Shape::Bool | Shape::Int { .. } | Shape::Char | Shape::Flags(_) => vec![Core::I32],
        Shape::Own(_) | Shape::Borrow(_) => vec![Core::I32],
        Shape::Float { bytes: 4 } => vec![Core::F32],
        Shape::Float { .. } => vec![Core::F64],
        Shape::String | Shape::List(_) => vec![Core::pointer(width); 2],
        Shape::Record(fields) => {
            let fields = fields.into_iter();
            fields.flat_map(|ty| flatten(ty, width)).collect()
        }
        Shape::Variant(cases) => {
            let mut flat = vec![Core::I32];
            flat.extend(join_payloads(&cases, width));
            flat
        }
    }
}

/// The flat form that all payloads fit in.
fn join_payloads(cases: &[Option<&Type>], width: Width) -> Vec<Core> {
    let mut joined: Vec<Core> = Vec::new();
    for payload in cases.iter().flatten() {
        for (index, core) in flatten(payload, width).into_iter().enumerate() {
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
