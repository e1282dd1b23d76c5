//! Lists: `Vec`, slices, and [`WasmList`], a view of one in a guest's memory.
#![allow(unsafe_code, reason = "views read memory by address")]

use std::collections::TryReserveError;
use std::fmt;
use std::marker::PhantomData;

use cwasm_format::TrapCode;
use cwasm_format::abi::{Extent, Flat, Layout, PointerWidth};
use cwasm_format::hash::{Tag, TypeHash};
use cwasm_format::types::{TypeDef, Types, ValueType};

use super::context::check_length;
use super::scalars::{Plain, cast};
use super::seal::Seal;
use super::strings::{pair_of_bytes, pair_of_flat, pair_to_flat, pair_to_memory};
use super::{ComponentType, Lift, LiftContext, Lower, LowerContext, tuples};
use crate::error::{Error, Result};
use crate::values::handles::HandleType;
use crate::vm::canon::CanonOptions;
use crate::vm::store_context::AsContext;
use crate::vm::store_id::StoreId;

/// A list in a guest's memory, read where it lies.
///
/// A result is taken as a view with [`call_deferred`](crate::TypedFunc::call_deferred), a
/// parameter of a host function by naming this type. Elements are lifted, and so checked, when
/// they are read: a view that a host function keeps beyond the call reads whatever the guest has
/// put there since.
pub struct WasmList<T> {
    pointer: u64,
    /// So many elements are no longer than a list can be.
    len: u64,
    options: CanonOptions,
    store: StoreId,
    element: PhantomData<fn() -> T>,
}

/// The elements of a [`WasmList`].
pub struct WasmListIter<'a, T> {
    cx: LiftContext<'a>,
    elements: std::slice::ChunksExact<'a, u8>,
    element: PhantomData<fn() -> T>,
}

impl<T: Lift> WasmList<T> {
    /// The number of elements.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The element at `index`; `None` beyond the end.
    ///
    /// # Errors
    /// If the element cannot be lifted, or `store` is not the store of the view.
    pub fn get(&self, store: &impl AsContext, index: usize) -> Option<Result<T>> {
        match self.iter(store) {
            Ok(mut elements) => elements.nth(index),
            Err(error) => Some(Err(error)),
        }
    }

    /// All elements, lifted one by one.
    ///
    /// # Errors
    /// If `store` is not the store of the view.
    pub fn iter<'a>(&'a self, store: &'a impl AsContext) -> Result<WasmListIter<'a, T>> {
        let (cx, bytes) = self.bytes(store)?;
        let elements = bytes.chunks_exact(element_size::<T>(cx.width()));
        Ok(WasmListIter {
            cx,
            elements,
            element: PhantomData,
        })
    }

    /// A context to lift elements, and the bytes of all of them.
    fn bytes<'a>(&'a self, store: &'a impl AsContext) -> Result<(LiftContext<'a>, &'a [u8])> {
        let store = store.as_context().opaque();
        check_store(self.store, store.id())?;
        // SAFETY: the instance lives as long as its store, which is the one that is borrowed for
        // `'a` (just checked): neither wasm nor anything that writes runs on it.
        let cx = unsafe { LiftContext::new(&self.options, store) };
        let bytes = list_bytes::<T>(&cx, (self.pointer, self.len))?;
        Ok((cx, bytes))
    }
}

macro_rules! as_le_slice {
    ($($number:ty),*) => {$(
        impl WasmList<$number> {
            /// The elements where they lie in the guest's memory, which is little-endian.
            ///
            /// # Errors
            /// If `store` is not the store of the view.
            pub fn as_le_slice<'a>(&'a self, store: &'a impl AsContext) -> Result<&'a [$number]> {
                numbers(self, store)
            }
        }
    )*};
}

as_le_slice!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);

fn numbers<'a, T: Lift + Plain>(
    list: &'a WasmList<T>,
    store: &'a impl AsContext,
) -> Result<&'a [T]> {
    match cast(list.bytes(store)?.1) {
        Some(numbers) => Ok(numbers),
        // Memories start at a page, and the pointer is aligned.
        None => unreachable!("aligned in memory, but not for the host"),
    }
}

impl<T: Lift> Iterator for WasmListIter<'_, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        self.elements
            .next()
            .map(|bytes| T::load(&mut self.cx, bytes))
    }

    fn nth(&mut self, n: usize) -> Option<Result<T>> {
        self.elements
            .nth(n)
            .map(|bytes| T::load(&mut self.cx, bytes))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.elements.size_hint()
    }
}

impl<T: Lift> ExactSizeIterator for WasmListIter<'_, T> {}

impl<T> fmt::Debug for WasmList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WasmList({} elements at {:#x})", self.len, self.pointer)
    }
}

/// The size of an element; 1 for `()`, of which no component has lists.
fn element_size<T: ComponentType>(width: PointerWidth) -> usize {
    match T::LAYOUT.at(width).size {
        0 => 1,
        size => size as usize,
    }
}

/// Checks that a view is used with its own store.
pub(super) fn check_store(own: StoreId, given: StoreId) -> Result<()> {
    if own == given {
        return Ok(());
    }
    Err(Error::msg(
        "a view of a guest's memory is used with another store than its own",
    ))
}

/// An empty vector with room for this many elements.
pub(crate) fn reserve<T>(len: usize) -> Result<Vec<T>> {
    let mut items = Vec::new();
    match items.try_reserve_exact(len) {
        Ok(()) => Ok(items),
        Err(error) => Err(out_of_memory(error)),
    }
}

#[cold]
pub(super) fn out_of_memory(error: TryReserveError) -> Error {
    Error::new(error).context("no memory for a guest's value")
}

/// The extent of a list's elements, one after the other.
///
/// # Errors
/// [`TrapCode::ListTooLong`].
pub(crate) fn elements_extent(len: u64, element: Extent) -> Result<Extent> {
    // A length beyond 32 bits is too long, whatever the elements are.
    let len = len.min(1 << 32);
    let size = check_length(len * u64::from(element.size), TrapCode::ListTooLong)?;
    Ok(Extent {
        size,
        align: element.align,
    })
}

/// The bytes of a list's elements.
pub(super) fn list_bytes<'a, T: ComponentType>(
    cx: &LiftContext<'a>,
    (pointer, len): (u64, u64),
) -> Result<&'a [u8]> {
    let extent = elements_extent(len, T::LAYOUT.at(cx.width()))?;
    cx.bytes(pointer, extent, TrapCode::ListOutOfBounds)
}

fn lift_vec<T: Lift>(cx: &mut LiftContext<'_>, pair: (u64, u64)) -> Result<Vec<T>> {
    let bytes = list_bytes::<T>(cx, pair)?;
    cx.charge_block(pair.1 as usize, size_of::<T>())?;
    T::load_list(cx, bytes)
}

fn lift_view<T: Lift>(cx: &mut LiftContext<'_>, pair: (u64, u64)) -> Result<WasmList<T>> {
    const {
        assert!(
            T::HANDLES == 0,
            "handles change hands when they are lifted: take a `Vec`"
        )
    };
    list_bytes::<T>(cx, pair)?;
    let (pointer, len) = pair;
    let (options, store) = (*cx.options(), cx.store_id());
    Ok(WasmList {
        pointer,
        len,
        options,
        store,
        element: PhantomData,
    })
}

/// Copies the elements to the guest's memory: pointer and length.
fn lower_slice<T: Lower>(items: &[T], cx: &mut LowerContext<'_>) -> Result<(u64, u64)> {
    let extent = elements_extent(items.len() as u64, T::LAYOUT.at(cx.width()))?;
    let pointer = cx.allocate(extent, TrapCode::ListOutOfBounds)?;
    T::store_list(items, cx, pointer)?;
    Ok((pointer as u64, items.len() as u64))
}

macro_rules! component_type {
    ($rust:ty, $holds_views:expr) => {
        impl<T: ComponentType> ComponentType for $rust {
            // The constants are those of `list<T>`.
            const SEAL: Seal = Seal::KEPT;

            const HASH: TypeHash = TypeHash::of_parts(Tag::List, &[T::HASH]);
            const LAYOUT: Layout = Layout::POINTER_PAIR;
            const FLAT: Flat = Flat::POINTER_PAIR;
            const HOLDS_VIEWS: bool = $holds_views;
            const HAS_POINTERS: bool = true;
            const HANDLES: usize = T::HANDLES;

            fn handles(found: &mut Vec<HandleType>) {
                T::handles(found);
            }

            fn describe(types: &mut Types) -> Option<ValueType> {
                let element = tuples::describe_part::<T>(types);
                Some(ValueType::Def(types.push(TypeDef::List(element))))
            }
        }
    };
}

component_type!([T], T::HOLDS_VIEWS);
component_type!(Vec<T>, T::HOLDS_VIEWS);
component_type!(WasmList<T>, true);

impl<T: Lower> Lower for [T] {
    // Writes pointer and length of a copy in the guest's memory.
    const SEAL: Seal = Seal::KEPT;

    #[inline]
    fn lower_flat(&self, cx: &mut LowerContext<'_>, out: &mut [u64]) -> Result<()> {
        pair_to_flat(lower_slice(self, cx)?, out);
        Ok(())
    }

    #[inline]
    fn store(&self, cx: &mut LowerContext<'_>, offset: usize) -> Result<()> {
        let pair = lower_slice(self, cx)?;
        pair_to_memory(pair, cx, offset);
        Ok(())
    }
}

impl<T: Lower> Lower for Vec<T> {
    // As `[T]`.
    const SEAL: Seal = Seal::KEPT;

    #[inline]
    fn lower_flat(&self, cx: &mut LowerContext<'_>, out: &mut [u64]) -> Result<()> {
        self.as_slice().lower_flat(cx, out)
    }

    #[inline]
    fn store(&self, cx: &mut LowerContext<'_>, offset: usize) -> Result<()> {
        self.as_slice().store(cx, offset)
    }
}

impl<T: Lift> Lift for Vec<T> {
    // Reads pointer and length, and all elements.
    const SEAL: Seal = Seal::KEPT;

    #[inline]
    fn lift_flat(cx: &mut LiftContext<'_>, flat: &[u64]) -> Result<Vec<T>> {
        lift_vec(cx, pair_of_flat(cx, flat))
    }

    #[inline]
    fn load(cx: &mut LiftContext<'_>, bytes: &[u8]) -> Result<Vec<T>> {
        lift_vec(cx, pair_of_bytes(cx, bytes))
    }
}

impl<T: Lift> Lift for WasmList<T> {
    // Reads pointer and length, checks them, and lifts elements whenever they are read.
    const SEAL: Seal = Seal::KEPT;

    #[inline]
    fn lift_flat(cx: &mut LiftContext<'_>, flat: &[u64]) -> Result<WasmList<T>> {
        lift_view(cx, pair_of_flat(cx, flat))
    }

    #[inline]
    fn load(cx: &mut LiftContext<'_>, bytes: &[u8]) -> Result<WasmList<T>> {
        lift_view(cx, pair_of_bytes(cx, bytes))
    }
}
