//! `Option` and `Result`, and `()` for an absent side.
//!
//! ```text
//! flat    discriminant | payload, joined with the other case's; what a case does not use is 0
//! memory  discriminant: u8 | padding | payload
//! ```
#![allow(unsafe_code, reason = "implements unsafe traits")]

use cwasm_format::TrapCode;
use cwasm_format::abi::{Flat, Layout};
use cwasm_format::hash::{Tag, TypeHash};
use cwasm_format::types::{TypeDef, Types, ValueType};

use super::{ComponentType, Lift, LiftContext, Lower, LowerContext, tuples};
use crate::error::{Error, Result};

/// Writes the flat form of a case and its payload.
#[inline(always)]
fn lower_case<T: Lower>(
    case: u64,
    payload: &T,
    cx: &mut LowerContext<'_>,
    out: &mut [u64],
) -> Result<()> {
    let (discriminant, joined) = out.split_at_mut(1);
    let (own, rest) = joined.split_at_mut(T::FLAT.count());
    discriminant[0] = case;
    rest.fill(0);
    payload.lower_flat(cx, own)
}

/// Writes a case and its payload to memory, as `V` lies there.
#[inline(always)]
fn store_case<V: ComponentType, T: Lower>(
    case: u8,
    payload: &T,
    cx: &mut LowerContext<'_>,
    offset: usize,
) -> Result<()> {
    cx.write(offset, &[case]);
    let payload_offset = V::LAYOUT.at(cx.width()).payload_offset(2);
    payload.store(cx, offset + payload_offset as usize)
}

/// The payload's part of the flat form.
#[inline(always)]
fn flat_payload<T: ComponentType>(flat: &[u64]) -> &[u64] {
    &flat[1..1 + T::FLAT.count()]
}

/// The payload's part of the bytes of a `V`.
#[inline(always)]
fn payload_bytes<'b, V: ComponentType, T: ComponentType>(
    cx: &LiftContext<'_>,
    bytes: &'b [u8],
) -> &'b [u8] {
    let width = cx.width();
    let offset = V::LAYOUT.at(width).payload_offset(2);
    &bytes[offset as usize..][..T::LAYOUT.at(width).size as usize]
}

#[cold]
fn invalid_discriminant() -> Error {
    Error::trapped(TrapCode::InvalidDiscriminant)
}

// SAFETY: the constants are those of `option<T>`.
unsafe impl<T: ComponentType> ComponentType for Option<T> {
    const HASH: TypeHash = TypeHash::of_parts(Tag::Option, &[T::HASH]);
    const LAYOUT: Layout = Layout::variant(&[Layout::EMPTY, T::LAYOUT]);
    const FLAT: Flat = Flat::variant(&[Flat::EMPTY, T::FLAT]);
    const HOLDS_VIEWS: bool = T::HOLDS_VIEWS;

    fn describe(types: &mut Types) -> Option<ValueType> {
        let payload = tuples::describe_part::<T>(types);
        Some(ValueType::Def(types.push(TypeDef::Option(payload))))
    }
}

// SAFETY: writes case 0 for `None`, and case 1 and the payload for `Some`.
unsafe impl<T: Lower> Lower for Option<T> {
    #[inline]
    fn lower_flat(&self, cx: &mut LowerContext<'_>, out: &mut [u64]) -> Result<()> {
        match self {
            None => lower_case(0, &(), cx, out),
            Some(payload) => lower_case(1, payload, cx, out),
        }
    }

    #[inline]
    fn store(&self, cx: &mut LowerContext<'_>, offset: usize) -> Result<()> {
        match self {
            None => store_case::<Self, ()>(0, &(), cx, offset),
            Some(payload) => store_case::<Self, T>(1, payload, cx, offset),
        }
    }
}

// SAFETY: takes cases 0 and 1 only.
unsafe impl<T: Lift> Lift for Option<T> {
    #[inline]
    fn lift_flat(cx: &mut LiftContext<'_>, flat: &[u64]) -> Result<Self> {
        match flat[0] as u32 {
            0 => Ok(None),
            1 => T::lift_flat(cx, flat_payload::<T>(flat)).map(Some),
            _ => Err(invalid_discriminant()),
        }
    }

    #[inline]
    fn load(cx: &mut LiftContext<'_>, bytes: &[u8]) -> Result<Self> {
        match bytes[0] {
            0 => Ok(None),
            1 => T::load(cx, payload_bytes::<Self, T>(cx, bytes)).map(Some),
            _ => Err(invalid_discriminant()),
        }
    }
}

// SAFETY: the constants are those of `result<T, E>`.
unsafe impl<T: ComponentType, E: ComponentType> ComponentType for Result<T, E> {
    const HASH: TypeHash = TypeHash::of_parts(Tag::Result, &[T::HASH, E::HASH]);
    const LAYOUT: Layout = Layout::variant(&[T::LAYOUT, E::LAYOUT]);
    const FLAT: Flat = Flat::variant(&[T::FLAT, E::FLAT]);
    const HOLDS_VIEWS: bool = T::HOLDS_VIEWS || E::HOLDS_VIEWS;

    fn describe(types: &mut Types) -> Option<ValueType> {
        let ok = T::describe(types);
        let err = E::describe(types);
        Some(ValueType::Def(types.push(TypeDef::Result { ok, err })))
    }
}

// SAFETY: writes case 0 and its payload for `Ok`, and case 1 and its payload for `Err`.
unsafe impl<T: Lower, E: Lower> Lower for Result<T, E> {
    #[inline]
    fn lower_flat(&self, cx: &mut LowerContext<'_>, out: &mut [u64]) -> Result<()> {
        match self {
            Ok(payload) => lower_case(0, payload, cx, out),
            Err(payload) => lower_case(1, payload, cx, out),
        }
    }

    #[inline]
    fn store(&self, cx: &mut LowerContext<'_>, offset: usize) -> Result<()> {
        match self {
            Ok(payload) => store_case::<Self, T>(0, payload, cx, offset),
            Err(payload) => store_case::<Self, E>(1, payload, cx, offset),
        }
    }
}

// SAFETY: takes cases 0 and 1 only.
unsafe impl<T: Lift, E: Lift> Lift for Result<T, E> {
    #[inline]
    fn lift_flat(cx: &mut LiftContext<'_>, flat: &[u64]) -> Result<Self> {
        match flat[0] as u32 {
            0 => T::lift_flat(cx, flat_payload::<T>(flat)).map(Ok),
            1 => E::lift_flat(cx, flat_payload::<E>(flat)).map(Err),
            _ => Err(invalid_discriminant()),
        }
    }

    #[inline]
    fn load(cx: &mut LiftContext<'_>, bytes: &[u8]) -> Result<Self> {
        match bytes[0] {
            0 => T::load(cx, payload_bytes::<Self, T>(cx, bytes)).map(Ok),
            1 => E::load(cx, payload_bytes::<Self, E>(cx, bytes)).map(Err),
            _ => Err(invalid_discriminant()),
        }
    }
}
