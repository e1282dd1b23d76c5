//! Strings: `String`, `str`, and [`WasmStr`], a view of one in a guest's memory.
#![allow(unsafe_code, reason = "implements unsafe traits; views read memory by address")]

use std::borrow::Cow;

use cwasm_format::abi::{Flat, Layout};
use cwasm_format::hash::{Tag, TypeHash};
use cwasm_format::types::{Types, ValueType};

use super::{ComponentType, Lift, LiftContext, Lower, LowerContext, lists, transcode};
use crate::error::{Error, Result};
use crate::raw::CanonOptions;
use crate::store::{AsContext, StoreContext, StoreId};

/// A string in a guest's memory, read where it lies.
///
/// A result is taken as a view with [`call_deferred`](crate::TypedFunc::call_deferred), a host
/// function's parameter simply by its type. It is checked each time it is read, since the guest may
/// have changed it meanwhile: a view that is kept beyond its call still reads the guest's memory,
/// but whatever lies there then.
#[derive(Debug)]
pub struct WasmStr {
    place: StrPlace,
    options: CanonOptions,
    store: StoreId,
}

/// Where a string lies in memory, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct StrPlace {
    pub(super) pointer: u32,
    pub(super) byte_len: u32,
    pub(super) units: Units,
}

/// The code units of a string in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Units {
    Utf8,
    Utf16,
    Latin1,
}

impl WasmStr {
    /// The string. Borrowed from the guest's memory if it is UTF-8 there.
    ///
    /// # Errors
    /// [`InvalidStringEncoding`](crate::TrapCode::InvalidStringEncoding) if it is not well-formed.
    ///
    /// # Panics
    /// If `store` is not the store that the view is from.
    pub fn to_str<'a, T: 'static>(
        &self,
        store: impl Into<StoreContext<'a, T>>,
    ) -> Result<Cow<'a, str>> {
        let store = store.into();
        lists::check_store(self.store, store.opaque().id());
        // SAFETY: the instance lives as long as its store, which this is (just checked), and which
        // is borrowed for `'a`: neither wasm nor anything else runs on it.
        let mut cx = unsafe { LiftContext::new(&self.options, self.store) };
        transcode::decode(&mut cx, self.place)
    }
}

impl<'a, T: 'static, C: AsContext<Data = T>> From<&'a C> for StoreContext<'a, T> {
    fn from(store: &'a C) -> StoreContext<'a, T> {
        store.as_context()
    }
}

/// Pointer and length in the flat form.
#[inline(always)]
pub(super) fn pair_of_flat(flat: &[u64]) -> (u32, u32) {
    (flat[0] as u32, flat[1] as u32)
}

/// Pointer and length in memory.
#[inline(always)]
pub(super) fn pair_of_bytes(bytes: &[u8]) -> (u32, u32) {
    match bytes.as_chunks() {
        ([pointer, len], _) => (u32::from_le_bytes(*pointer), u32::from_le_bytes(*len)),
        _ => unreachable!("pointer and length are 8 bytes"),
    }
}

/// Writes pointer and length in the flat form.
#[inline(always)]
pub(super) fn pair_to_flat((pointer, len): (u32, u32), out: &mut [u64]) {
    out[0] = pointer.into();
    out[1] = len.into();
}

/// Writes pointer and length to memory.
#[inline]
pub(super) fn pair_to_memory(
    (pointer, len): (u32, u32),
    cx: &mut LowerContext<'_>,
    offset: usize,
) {
    cx.write(offset, &(u64::from(len) << 32 | u64::from(pointer)).to_le_bytes());
}

macro_rules! string {
    ($($rust:ty),*) => {$(
        // SAFETY: the constants are those of `string`.
        unsafe impl ComponentType for $rust {
            const HASH: TypeHash = TypeHash::primitive(Tag::String);
            const LAYOUT: Layout = Layout::POINTER_PAIR;
            const FLAT: Flat = Flat::POINTER_PAIR;
            const HOLDS_VIEWS: bool = is_view::<$rust>();

            fn describe(_: &mut Types) -> Option<ValueType> {
                Some(ValueType::String)
            }
        }
    )*};
}
