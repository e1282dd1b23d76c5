//! Lists of fixed length: arrays.
//!
//! ```text
//! flat    the elements' flat values, one after the other
//! memory  the elements, one after the other
//! ```

use cwasm_format::abi::{Flat, Layout};
use cwasm_format::hash::TypeHash;
use cwasm_format::types::{TypeDef, Types, ValueType};

use super::seal::Seal;
use super::{ComponentType, Lift, LiftContext, Lower, LowerContext, scalars, tuples};
use crate::error::Result;
use crate::values::handles::HandleType;

/// The array of what `make` returns for each index, or its first error.
fn try_from_fn<T, const N: usize>(mut make: impl FnMut(usize) -> Result<T>) -> Result<[T; N]> {
    let mut result = Ok(());
    let items: [Option<T>; N] = std::array::from_fn(|index| {
        if result.is_err() {
            return None;
        }
        make(index).map_err(|error| result = Err(error)).ok()
    });
    result?;
    Ok(items.map(|item| match item {
        Some(item) => item,
        None => unreachable!("what is missing is an error"),
    }))
}

impl<T: ComponentType, const N: usize> ComponentType for [T; N] {
    // The constants are those of `list<T, N>`.
    const SEAL: Seal = Seal::KEPT;

    const HASH: TypeHash = TypeHash::fixed_list(T::HASH, N as u32);
    const LAYOUT: Layout = {
        assert!(N as u64 <= u32::MAX as u64, "longer than any list");
        T::LAYOUT.repeat(N as u32)
    };
    const FLAT: Flat = T::FLAT.repeat(N as u32);
    const HOLDS_VIEWS: bool = T::HOLDS_VIEWS;
    const HAS_POINTERS: bool = T::HAS_POINTERS;
    const HANDLES: usize = T::HANDLES;

    fn handles(found: &mut Vec<HandleType>) {
        T::handles(found);
    }

    fn describe(types: &mut Types) -> Option<ValueType> {
        let element = tuples::describe_part::<T>(types);
        let list = TypeDef::FixedList(element, N as u32);
        Some(ValueType::Def(types.push(list)))
    }
}

impl<T: Lower, const N: usize> Lower for [T; N] {
    // Writes all elements, in their order.
    const SEAL: Seal = Seal::KEPT;

    const IS_CANONICAL: bool = T::IS_CANONICAL;

    #[inline]
    fn lower_flat(&self, cx: &mut LowerContext<'_>, out: &mut [u64]) -> Result<()> {
        let count = T::FLAT.count();
        for (index, item) in self.iter().enumerate() {
            item.lower_flat(cx, &mut out[index * count..][..count])?;
        }
        Ok(())
    }

    #[inline]
    fn store(&self, cx: &mut LowerContext<'_>, offset: usize) -> Result<()> {
        T::store_list(self, cx, offset)
    }

    #[inline]
    fn write(&self, bytes: &mut [u8]) {
        let places = bytes.chunks_exact_mut(T::LAYOUT.plain().size.max(1) as usize);
        self.iter()
            .zip(places)
            .for_each(|(item, place)| item.write(place));
    }
}

impl<T: Lift, const N: usize> Lift for [T; N] {
    // Reads all elements, in their order.
    const SEAL: Seal = Seal::KEPT;

    const IS_CANONICAL: bool = T::IS_CANONICAL;

    #[inline]
    fn lift_flat(cx: &mut LiftContext<'_>, flat: &[u64]) -> Result<Self> {
        let count = T::FLAT.count();
        try_from_fn(|index| T::lift_flat(cx, &flat[index * count..][..count]))
    }

    #[inline]
    fn load(cx: &mut LiftContext<'_>, bytes: &[u8]) -> Result<Self> {
        if T::IS_CANONICAL {
            return Ok(scalars::value_of(bytes));
        }
        let size = T::LAYOUT.at(cx.width()).size as usize;
        try_from_fn(|index| T::load(cx, &bytes[index * size..][..size]))
    }
}
