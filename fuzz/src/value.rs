//! Core values as both implementations can give and take them.

use crate::rng::Rng;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    I32,
    I64,
    F32,
    F64,
    V128,
    Func,
    Extern,
    Exn,
}

/// A value. Floats are their bits. Of a function or an exception only whether there is one can be
/// compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    I32(u32),
    I64(u64),
    F32(u32),
    F64(u64),
    V128(u128),
    Func { is_null: bool },
    Extern(Option<u32>),
    Exn { is_null: bool },
}

/// Floats at which something changes, of both widths.
const FLOATS: &[f64] = &[
    0.0,
    -0.0,
    0.5,
    -0.5,
    1.0,
    -1.0,
    1.5,
    2.5,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    f64::MIN_POSITIVE,
    f64::MAX,
    1e-45,
    3.4e38,
    2_147_483_647.0,
    2_147_483_648.0,
    -2_147_483_649.0,
    4_294_967_295.0,
    4_294_967_296.0,
    9_007_199_254_740_993.0,
    9_223_372_036_854_775_808.0,
    -9_223_372_036_854_775_808.0,
    18_446_744_073_709_551_616.0,
];

/// A page of a memory.
const PAGE: u64 = 0x1_0000;

impl Value {
    /// A value of this type, often one near a place where something changes.
    pub(crate) fn random(ty: Type, rng: &mut Rng) -> Value {
        match ty {
            Type::I32 => Value::I32(integer(rng) as u32),
            Type::I64 => Value::I64(integer(rng)),
            Type::F32 if rng.one_in(4) => Value::F32(rng.next() as u32),
            Type::F32 => Value::F32((rng.pick(FLOATS) as f32).to_bits()),
            Type::F64 if rng.one_in(4) => Value::F64(rng.next()),
            Type::F64 => Value::F64(rng.pick(FLOATS).to_bits()),
            Type::V128 => {
                let half = integer(rng);
                let other = if rng.one_in(2) { half } else { integer(rng) };
                Value::V128(u128::from(half) << 64 | u128::from(other))
            }
            Type::Func => Value::Func { is_null: true },
            Type::Exn => Value::Exn { is_null: true },
            Type::Extern if rng.one_in(4) => Value::Extern(None),
            Type::Extern => Value::Extern(Some(rng.next() as u32)),
        }
    }

    /// The value mixed into a digest.
    pub(crate) fn digest(self, digest: u64) -> u64 {
        let bits = match self {
            Value::I32(bits) | Value::F32(bits) => u128::from(bits),
            Value::I64(bits) | Value::F64(bits) => u128::from(bits),
            Value::V128(bits) => bits,
            Value::Func { is_null } | Value::Exn { is_null } => u128::from(is_null),
            Value::Extern(value) => value.map_or(0, |value| u128::from(value) + 1),
        };
        let low = mix(digest, bits as u64);
        mix(low, (bits >> 64) as u64)
    }
}

/// `word` mixed into a digest.
pub(crate) fn mix(digest: u64, word: u64) -> u64 {
    Rng::new(digest ^ word.rotate_left(32)).next()
}

fn integer(rng: &mut Rng) -> u64 {
    match rng.below(8) {
        0 | 1 => rng.below(32),
        2 => rng.below(2 * PAGE),
        3 => (PAGE * rng.below(4)).wrapping_sub(rng.below(20)),
        4 => (1u64 << rng.below(64)).wrapping_sub(rng.below(3)),
        5 => (1u64 << 31)
            .wrapping_mul(rng.below(3))
            .wrapping_sub(rng.below(20)),
        6 => u64::MAX - rng.below(20),
        _ => rng.next(),
    }
}
