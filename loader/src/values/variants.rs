//! Variants, of which options, results and enums are special cases: a discriminant and a payload.
//!
//! ```text
//! flat    discriminant | payload, joined with the other cases'; what a case does not use is 0
//! memory  discriminant: u8, u16 or u32 | padding | payload
//! ```
//!
//! `N` is the number of cases, `V` the whole, `T` a case's payload; `()` is an absent one.

use cwasm_format::TrapCode;
use cwasm_format::abi::discriminant_size;

use super::{ComponentType, LiftContext, Lower, LowerContext};
use crate::error::{Error, Result};

/// Writes the flat form of a case and its payload.
#[inline(always)]
pub fn lower_case<T: Lower>(
    case: u32,
    payload: &T,
    cx: &mut LowerContext<'_>,
    out: &mut [u64],
) -> Result<()> {
    let (discriminant, joined) = out.split_at_mut(1);
    let (own, rest) = joined.split_at_mut(T::FLAT.count());
    discriminant[0] = case.into();
    rest.fill(0);
    payload.lower_flat(cx, own)
}

/// Writes a case and its payload to memory.
#[inline(always)]
pub fn store_case<V: ComponentType, T: Lower, const N: usize>(
    case: u32,
    payload: &T,
    cx: &mut LowerContext<'_>,
    offset: usize,
) -> Result<()> {
    let size = const { discriminant_size(N) as usize };
    cx.write(offset, &case.to_le_bytes()[..size]);
    let payload_offset = V::LAYOUT.at(cx.width()).payload_offset(N);
    payload.store(cx, offset + payload_offset as usize)
}

/// As [`store_case`], of a payload without pointers.
#[inline(always)]
pub fn write_case<V: ComponentType, T: Lower, const N: usize>(
    case: u32,
    payload: &T,
    bytes: &mut [u8],
) {
    let size = const { discriminant_size(N) as usize };
    bytes[..size].copy_from_slice(&case.to_le_bytes()[..size]);
    let start = const { V::LAYOUT.plain().payload_offset(N) as usize };
    payload.write(&mut bytes[start..][..T::LAYOUT.plain().size as usize]);
}

/// The discriminant in memory.
#[inline(always)]
pub fn discriminant<const N: usize>(bytes: &[u8]) -> u32 {
    let mut case = [0; 4];
    let size = const { discriminant_size(N) as usize };
    case[..size].copy_from_slice(&bytes[..size]);
    u32::from_le_bytes(case)
}

/// The payload's part of the flat form.
#[inline(always)]
pub fn flat_payload<T: ComponentType>(flat: &[u64]) -> &[u64] {
    &flat[1..1 + T::FLAT.count()]
}

/// The payload's part of the bytes in memory.
#[inline(always)]
pub fn payload_bytes<'b, V: ComponentType, T: ComponentType, const N: usize>(
    cx: &LiftContext<'_>,
    bytes: &'b [u8],
) -> &'b [u8] {
    let width = cx.width();
    let start = V::LAYOUT.at(width).payload_offset(N);
    &bytes[start as usize..][..T::LAYOUT.at(width).size as usize]
}

/// The trap of a discriminant that no case has.
#[cold]
pub fn invalid_discriminant() -> Error {
    Error::trapped(TrapCode::InvalidDiscriminant)
}
