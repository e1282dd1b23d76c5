//! Values of scripts: arguments to pass, and results to compare with.

use cwasm::{CoreVal, Val, ValType};
use wast::component::WastVal;
use wast::core::{AbstractHeapType, HeapType, NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::{WastArg, WastRet};

/// The argument of a core function. `None` if there are no such values here.
pub(crate) fn core_arg(arg: &WastArgCore<'_>) -> Option<CoreVal> {
    Some(match arg {
        WastArgCore::I32(value) => CoreVal::I32(*value),
        WastArgCore::I64(value) => CoreVal::I64(*value),
        WastArgCore::F32(value) => CoreVal::F32(value.bits),
        WastArgCore::F64(value) => CoreVal::F64(value.bits),
        WastArgCore::V128(value) => CoreVal::V128(u128::from_le_bytes(value.to_le_bytes())),
        WastArgCore::RefExtern(value) => CoreVal::ExternRef(Some(*value)),
        WastArgCore::RefNull(HeapType::Abstract { ty, .. }) => match ty {
            AbstractHeapType::Func => CoreVal::FuncRef(None),
            AbstractHeapType::Extern => CoreVal::ExternRef(None),
            AbstractHeapType::Exn | AbstractHeapType::NoExn => CoreVal::ExnRef(None),
            _ => return None,
        },
        _ => return None,
    })
}

/// Whether a core function's result is the expected one.
pub(crate) fn core_matches(expected: &WastRetCore<'_>, found: &CoreVal) -> bool {
    match (expected, found) {
        (WastRetCore::I32(expected), CoreVal::I32(found)) => expected == found,
        (WastRetCore::I64(expected), CoreVal::I64(found)) => expected == found,
        (WastRetCore::F32(expected), CoreVal::F32(found)) => f32_matches(expected, *found),
        (WastRetCore::F64(expected), CoreVal::F64(found)) => f64_matches(expected, *found),
        (WastRetCore::V128(expected), CoreVal::V128(found)) => v128_matches(expected, *found),
        (
            WastRetCore::RefNull(ty),
            CoreVal::FuncRef(None) | CoreVal::ExternRef(None) | CoreVal::ExnRef(None),
        ) => null_matches(ty, found.ty()),
        (WastRetCore::RefExtern(expected), CoreVal::ExternRef(Some(found))) => {
            expected.is_none_or(|expected| expected == *found)
        }
        (WastRetCore::RefFunc(None), CoreVal::FuncRef(found)) => found.is_some(),
        (WastRetCore::Either(cases), _) => cases.iter().any(|case| core_matches(case, found)),
        _ => false,
    }
}

/// Whether the null reference of a type is the expected one.
fn null_matches(expected: &Option<HeapType<'_>>, found: ValType) -> bool {
    let Some(expected) = expected else {
        return true;
    };
    let HeapType::Abstract { ty, .. } = expected else {
        return false;
    };
    match ty {
        AbstractHeapType::Func | AbstractHeapType::NoFunc => found == ValType::FUNCREF,
        AbstractHeapType::Extern | AbstractHeapType::NoExtern => found == ValType::EXTERNREF,
        AbstractHeapType::Exn | AbstractHeapType::NoExn => found == ValType::EXNREF,
        _ => false,
    }
}

fn f32_matches(expected: &NanPattern<wast::token::F32>, found: u32) -> bool {
    match expected {
        NanPattern::CanonicalNan => found & 0x7fff_ffff == 0x7fc0_0000,
        NanPattern::ArithmeticNan => found & 0x7fc0_0000 == 0x7fc0_0000,
        NanPattern::Value(value) => value.bits == found,
    }
}

fn f64_matches(expected: &NanPattern<wast::token::F64>, found: u64) -> bool {
    match expected {
        NanPattern::CanonicalNan => found & (u64::MAX >> 1) == 0x7ff8_0000_0000_0000,
        NanPattern::ArithmeticNan => found & 0x7ff8_0000_0000_0000 == 0x7ff8_0000_0000_0000,
        NanPattern::Value(value) => value.bits == found,
    }
}

fn v128_matches(expected: &V128Pattern, found: u128) -> bool {
    let bytes = found.to_le_bytes();
    let words = |lane: usize| bytes.as_chunks::<4>().0[lane];
    let doubles = |lane: usize| bytes.as_chunks::<8>().0[lane];
    match expected {
        V128Pattern::I8x16(lanes) => (0..16).all(|lane| lanes[lane] as u8 == bytes[lane]),
        V128Pattern::I16x8(lanes) => {
            (0..8).all(|lane| lanes[lane].to_le_bytes() == bytes.as_chunks::<2>().0[lane])
        }
        V128Pattern::I32x4(lanes) => (0..4).all(|lane| lanes[lane].to_le_bytes() == words(lane)),
        V128Pattern::I64x2(lanes) => (0..2).all(|lane| lanes[lane].to_le_bytes() == doubles(lane)),
        V128Pattern::F32x4(lanes) => {
            (0..4).all(|lane| f32_matches(&lanes[lane], u32::from_le_bytes(words(lane))))
        }
        V128Pattern::F64x2(lanes) => {
            (0..2).all(|lane| f64_matches(&lanes[lane], u64::from_le_bytes(doubles(lane))))
        }
    }
}

/// The argument of a component function. `None` if there are no such values here.
pub(crate) fn component_arg(arg: &WastArg<'_>) -> Option<Val> {
    match arg {
        WastArg::Component(value) => component_value(value),
        // `f32.const` reads as core WebAssembly's.
        WastArg::Core(WastArgCore::F32(value)) => Some(Val::F32(f32::from_bits(value.bits))),
        WastArg::Core(WastArgCore::F64(value)) => Some(Val::F64(f64::from_bits(value.bits))),
        _ => None,
    }
}

fn component_value(arg: &WastVal<'_>) -> Option<Val> {
    let list = |values: &[WastVal<'_>]| {
        values
            .iter()
            .map(component_value)
            .collect::<Option<Vec<_>>>()
    };
    // The value of an optional payload; `None` inside is an unknown value.
    let payload = |value: &Option<Box<WastVal<'_>>>| match value {
        Some(value) => Some(Some(Box::new(component_value(value)?))),
        None => Some(None),
    };
    Some(match arg {
        WastVal::Bool(value) => Val::Bool(*value),
        WastVal::U8(value) => Val::U8(*value),
        WastVal::S8(value) => Val::S8(*value),
        WastVal::U16(value) => Val::U16(*value),
        WastVal::S16(value) => Val::S16(*value),
        WastVal::U32(value) => Val::U32(*value),
        WastVal::S32(value) => Val::S32(*value),
        WastVal::U64(value) => Val::U64(*value),
        WastVal::S64(value) => Val::S64(*value),
        WastVal::F32(value) => Val::F32(f32::from_bits(value.bits)),
        WastVal::F64(value) => Val::F64(f64::from_bits(value.bits)),
        WastVal::Char(value) => Val::Char(*value),
        WastVal::String(value) => Val::String((*value).into()),
        WastVal::List(values) => Val::List(list(values)?),
        WastVal::Tuple(values) => Val::Tuple(list(values)?),
        WastVal::Record(fields) => Val::Record(
            fields
                .iter()
                .map(|(name, value)| Some(((*name).into(), component_value(value)?)))
                .collect::<Option<_>>()?,
        ),
        WastVal::Variant(case, value) => Val::Variant((*case).into(), payload(value)?),
        WastVal::Enum(case) => Val::Enum((*case).into()),
        WastVal::Option(value) => Val::Option(payload(value)?),
        WastVal::Result(Ok(value)) => Val::Result(Ok(payload(value)?)),
        WastVal::Result(Err(value)) => Val::Result(Err(payload(value)?)),
        WastVal::Flags(names) => Val::Flags(names.iter().map(|name| (*name).into()).collect()),
        WastVal::Map(pairs) => Val::Map(
            pairs
                .iter()
                .map(|(key, value)| Some((component_value(key)?, component_value(value)?)))
                .collect::<Option<_>>()?,
        ),
    })
}

/// Whether a component function's result is the expected one. All NaNs are the same: the canonical
/// ABI does not keep their payloads.
pub(crate) fn component_matches(expected: &WastRet<'_>, found: &Val) -> bool {
    match (expected, found) {
        (WastRet::Component(expected), _) => {
            component_value(expected).is_some_and(|expected| same(&expected, found))
        }
        (WastRet::Core(WastRetCore::F32(expected)), Val::F32(found)) => match expected {
            NanPattern::Value(value) => {
                same(&Val::F32(f32::from_bits(value.bits)), &Val::F32(*found))
            }
            _ => found.is_nan(),
        },
        (WastRet::Core(WastRetCore::F64(expected)), Val::F64(found)) => match expected {
            NanPattern::Value(value) => {
                same(&Val::F64(f64::from_bits(value.bits)), &Val::F64(*found))
            }
            _ => found.is_nan(),
        },
        _ => false,
    }
}

fn same(a: &Val, b: &Val) -> bool {
    let all = |a: &[Val], b: &[Val]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b));
    let payload = |a: &Option<Box<Val>>, b: &Option<Box<Val>>| match (a, b) {
        (Some(a), Some(b)) => same(a, b),
        (None, None) => true,
        _ => false,
    };
    match (a, b) {
        (Val::F32(a), Val::F32(b)) => a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
        (Val::F64(a), Val::F64(b)) => a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
        (Val::List(a), Val::List(b)) | (Val::Tuple(a), Val::Tuple(b)) => all(a, b),
        (Val::Map(a), Val::Map(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|(a, b)| same(&a.0, &b.0) && same(&a.1, &b.1))
        }
        (Val::Record(a), Val::Record(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && same(&a.1, &b.1))
        }
        (Val::Variant(case, a), Val::Variant(found, b)) => case == found && payload(a, b),
        (Val::Option(a), Val::Option(b)) => payload(a, b),
        (Val::Result(Ok(a)), Val::Result(Ok(b))) => payload(a, b),
        (Val::Result(Err(a)), Val::Result(Err(b))) => payload(a, b),
        (Val::Flags(a), Val::Flags(b)) => {
            a.len() == b.len() && a.iter().all(|name| b.contains(name))
        }
        _ => a == b,
    }
}
