//! Strings: `String`, `str`, and [`WasmStr`], a view of one in a guest's memory.
#![allow(unsafe_code, reason = "views read memory by address")]

use std::borrow::Cow;

use cwasm_format::TrapCode;
use cwasm_format::abi::{Flat, Layout, PointerWidth};
use cwasm_format::hash::{Tag, TypeHash};
use cwasm_format::types::{Types, ValueType};

use super::context::check_length;
use super::seal::Seal;
use super::{ComponentType, Lift, LiftContext, Lower, LowerContext, lists, transcode};
use crate::error::Result;
use crate::vm::canon::CanonOptions;
use crate::vm::store_context::AsContext;
use crate::vm::store_id::StoreId;
use cwasm_format::encoding::{CodeUnits, StringEncoding};

/// A string in a guest's memory, read where it lies.
///
/// A result is taken as a view with [`call_deferred`](crate::TypedFunc::call_deferred), a
/// parameter of a host function by naming this type. The string is checked when it is read: a view
/// that a host function keeps beyond the call reads whatever the guest has put there since.
#[derive(Debug)]
pub struct WasmStr {
    place: StrPlace,
    options: CanonOptions,
    store: StoreId,
}

/// Where a string lies in memory: inside of it, and aligned.
#[derive(Clone, Copy, Debug)]
pub(super) struct StrPlace {
    pub(super) pointer: u64,
    pub(super) byte_len: u32,
    pub(super) units: CodeUnits,
}

impl WasmStr {
    /// The string; borrowed from the guest's memory if it is UTF-8 there.
    ///
    /// # Errors
    /// [`InvalidStringEncoding`](TrapCode::InvalidStringEncoding) if it is not well-formed; or
    /// `store` is not the store of the view.
    pub fn to_str<'a>(&'a self, store: &'a impl AsContext) -> Result<Cow<'a, str>> {
        let store = store.as_context();
        lists::check_store(self.store, store.opaque().id())?;
        // SAFETY: the instance lives as long as its store, which is the one that is borrowed for
        // `'a` (just checked): neither wasm nor anything that writes runs on it.
        let cx = unsafe { LiftContext::new(&self.options, store.opaque()) };
        transcode::decode(transcode::bytes(&cx, self.place)?, self.place.units)
    }
}

impl StrPlace {
    /// The place of a string of this pointer and length, checked.
    fn new(cx: &LiftContext<'_>, (pointer, len): (u64, u64)) -> Result<StrPlace> {
        let utf16_tag = cx.width().utf16_tag();
        let (units, len) = match cx.encoding() {
            StringEncoding::Utf8 => (CodeUnits::Utf8, len),
            StringEncoding::Utf16 => (CodeUnits::Utf16, len),
            StringEncoding::Latin1Utf16 if len & utf16_tag != 0 => {
                (CodeUnits::Utf16, len ^ utf16_tag)
            }
            StringEncoding::Latin1Utf16 => (CodeUnits::Latin1, len),
        };
        // A longer one is too long in any units.
        let byte_len = len.min(u64::from(u32::MAX)) * units.size();
        let byte_len = check_length(byte_len, TrapCode::StringTooLong)?;
        let place = StrPlace {
            pointer,
            byte_len,
            units,
        };
        transcode::bytes(cx, place)?;
        Ok(place)
    }
}

/// The most bytes of UTF-8 that a byte of such a string can become.
const fn utf8_growth(units: CodeUnits) -> usize {
    match units {
        CodeUnits::Utf8 => 1,
        // Two bytes become three at most.
        CodeUnits::Utf16 | CodeUnits::Latin1 => 2,
    }
}

/// Pointer and length in the flat form.
#[inline(always)]
pub(crate) fn pair_of_flat(cx: &LiftContext<'_>, flat: &[u64]) -> (u64, u64) {
    let options = cx.options();
    (options.pointer(flat[0]), options.pointer(flat[1]))
}

/// Pointer and length in memory.
#[inline(always)]
pub(crate) fn pair_of_bytes(cx: &LiftContext<'_>, bytes: &[u8]) -> (u64, u64) {
    let pair = match cx.width() {
        PointerWidth::W32 => match bytes.as_chunks().0 {
            [pointer, len] => Some((
                u32::from_le_bytes(*pointer).into(),
                u32::from_le_bytes(*len).into(),
            )),
            _ => None,
        },
        PointerWidth::W64 => match bytes.as_chunks().0 {
            [pointer, len] => Some((u64::from_le_bytes(*pointer), u64::from_le_bytes(*len))),
            _ => None,
        },
    };
    match pair {
        Some(pair) => pair,
        None => unreachable!("{} bytes are not a pointer and a length", bytes.len()),
    }
}

/// Writes pointer and length in the flat form.
#[inline(always)]
pub(crate) fn pair_to_flat((pointer, len): (u64, u64), out: &mut [u64]) {
    out[0] = pointer;
    out[1] = len;
}

/// Writes pointer and length to memory.
#[inline]
pub(crate) fn pair_to_memory((pointer, len): (u64, u64), cx: &mut LowerContext<'_>, offset: usize) {
    match cx.width() {
        // Offsets in such a memory, and lengths with their tag, have 32 bits.
        PointerWidth::W32 => cx.write(offset, &(len << 32 | pointer).to_le_bytes()),
        PointerWidth::W64 => {
            let pair = u128::from(len) << 64 | u128::from(pointer);
            cx.write(offset, &pair.to_le_bytes());
        }
    }
}

fn lift_string(cx: &mut LiftContext<'_>, pair: (u64, u64)) -> Result<String> {
    let place = StrPlace::new(cx, pair)?;
    cx.charge_block(place.byte_len as usize, utf8_growth(place.units))?;
    transcode::decode_owned(transcode::bytes(cx, place)?, place.units)
}

/// Reads a string that takes at most `max` bytes of the host's memory; `None` if it may take more.
///
/// # Errors
/// If it is not in the memory, too long for a string, or not well-formed.
#[cfg(feature = "async")]
pub(crate) fn lift_short_string(
    cx: &LiftContext<'_>,
    pair: (u64, u64),
    max: usize,
) -> Result<Option<String>> {
    let place = StrPlace::new(cx, pair)?;
    if place.byte_len as usize * utf8_growth(place.units) > max {
        return Ok(None);
    }
    transcode::decode_owned(transcode::bytes(cx, place)?, place.units).map(Some)
}

/// Copies a string from one guest's memory to another's: pointer and length.
#[cfg(feature = "async")]
pub(crate) fn copy_string(
    from: &LiftContext<'_>,
    pair: (u64, u64),
    to: &mut LowerContext<'_>,
) -> Result<(u64, u64)> {
    let place = StrPlace::new(from, pair)?;
    let may_fit = from.encoding() == StringEncoding::Latin1Utf16;
    transcode::copy(transcode::bytes(from, place)?, place.units, may_fit, to)
}

fn lift_view(cx: &mut LiftContext<'_>, pair: (u64, u64)) -> Result<WasmStr> {
    let place = StrPlace::new(cx, pair)?;
    Ok(WasmStr {
        place,
        options: *cx.options(),
        store: cx.store_id(),
    })
}

macro_rules! component_type {
    ($rust:ty, $holds_views:literal) => {
        impl ComponentType for $rust {
            // The constants are those of `string`.
            const SEAL: Seal = Seal::KEPT;

            const HASH: TypeHash = TypeHash::primitive(Tag::String);
            const LAYOUT: Layout = Layout::POINTER_PAIR;
            const FLAT: Flat = Flat::POINTER_PAIR;
            const HOLDS_VIEWS: bool = $holds_views;
            const HAS_POINTERS: bool = true;

            fn describe(_: &mut Types) -> Option<ValueType> {
                Some(ValueType::String)
            }
        }
    };
}

component_type!(str, false);
component_type!(String, false);
component_type!(WasmStr, true);

impl Lower for str {
    // Writes pointer and length of a copy in the guest's memory.
    const SEAL: Seal = Seal::KEPT;

    #[inline]
    fn lower_flat(&self, cx: &mut LowerContext<'_>, out: &mut [u64]) -> Result<()> {
        pair_to_flat(transcode::encode(cx, self)?, out);
        Ok(())
    }

    #[inline]
    fn store(&self, cx: &mut LowerContext<'_>, offset: usize) -> Result<()> {
        let pair = transcode::encode(cx, self)?;
        pair_to_memory(pair, cx, offset);
        Ok(())
    }
}

impl Lower for String {
    // As `str`.
    const SEAL: Seal = Seal::KEPT;

    #[inline]
    fn lower_flat(&self, cx: &mut LowerContext<'_>, out: &mut [u64]) -> Result<()> {
        self.as_str().lower_flat(cx, out)
    }

    #[inline]
    fn store(&self, cx: &mut LowerContext<'_>, offset: usize) -> Result<()> {
        self.as_str().store(cx, offset)
    }
}

impl Lift for String {
    // Reads pointer and length, and takes well-formed strings only.
    const SEAL: Seal = Seal::KEPT;

    #[inline]
    fn lift_flat(cx: &mut LiftContext<'_>, flat: &[u64]) -> Result<String> {
        lift_string(cx, pair_of_flat(cx, flat))
    }

    #[inline]
    fn load(cx: &mut LiftContext<'_>, bytes: &[u8]) -> Result<String> {
        lift_string(cx, pair_of_bytes(cx, bytes))
    }
}

impl Lift for WasmStr {
    // Reads pointer and length, checks them, and checks the string whenever it is read.
    const SEAL: Seal = Seal::KEPT;

    #[inline]
    fn lift_flat(cx: &mut LiftContext<'_>, flat: &[u64]) -> Result<WasmStr> {
        lift_view(cx, pair_of_flat(cx, flat))
    }

    #[inline]
    fn load(cx: &mut LiftContext<'_>, bytes: &[u8]) -> Result<WasmStr> {
        lift_view(cx, pair_of_bytes(cx, bytes))
    }
}
