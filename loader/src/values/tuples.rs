//! Tuples: `tuple<...>` as values, and the parameters and results of functions.

use std::mem::offset_of;

use cwasm_format::abi::{Extent, Flat, Layout, field_offsets};
use cwasm_format::hash::{Tag, TypeHash};
use cwasm_format::types::{TypeDef, Types, ValueType};

use super::seal::Seal;
use super::{ComponentNamedList, ComponentType, Lift, LiftContext, Lower, LowerContext};
use crate::error::Result;
use crate::values::handles::HandleType;

/// Where the flat form of each field of a record starts. Means nothing where the whole does not
/// fit.
pub const fn flat_offsets<const N: usize>(fields: [Flat; N]) -> [usize; N] {
    let mut offsets = [0; N];
    let mut next = 0;
    let mut i = 0;
    while i < N {
        offsets[i] = next;
        next += fields[i].count();
        i += 1;
    }
    offsets
}

/// The flat forms one after the other.
pub const fn concat(fields: &[Flat]) -> Flat {
    let mut flat = Flat::EMPTY;
    let mut i = 0;
    while i < fields.len() {
        flat = flat.concat(fields[i]);
        i += 1;
    }
    flat
}

/// Whether a Rust type of this size whose fields are canonical lies in memory as a record of them,
/// with no padding. `fields` are offset and size in Rust, and the canonical layout, of each.
pub const fn is_canonical(size: usize, fields: &[(usize, usize, Layout)]) -> bool {
    let mut extent = Extent::EMPTY;
    let mut i = 0;
    let mut sum = 0;
    while i < fields.len() {
        let (rust_offset, rust_size, field) = fields[i];
        let field = field.plain();
        let (offset, next) = extent.push_field(field);
        if offset as usize != rust_offset || field.size as usize != rust_size {
            return false;
        }
        sum += rust_size;
        extent = next;
        i += 1;
    }
    sum == size && extent.padded().size as usize == size
}

/// Adds the type of a part of another type. `()` is none: no component has what it is printed as.
pub fn describe_part<T: ComponentType + ?Sized>(types: &mut Types) -> ValueType {
    match T::describe(types) {
        Some(ty) => ty,
        None => ValueType::Def(types.push(TypeDef::Tuple(Vec::new()))),
    }
}

/// The hash of several results, which no function has: not the hash of any value's type.
const fn no_result(parts: &[TypeHash]) -> TypeHash {
    TypeHash::func(parts, TypeHash::NONE, false)
}

impl ComponentType for () {
    // The constants are those of an absent type.
    const SEAL: Seal = Seal::KEPT;

    const HASH: TypeHash = TypeHash::NONE;
    const LAYOUT: Layout = Layout::EMPTY;
    const FLAT: Flat = Flat::EMPTY;

    fn describe(_: &mut Types) -> Option<ValueType> {
        None
    }
}

impl Lower for () {
    // There is nothing to write.
    const SEAL: Seal = Seal::KEPT;

    #[inline(always)]
    fn lower_flat(&self, _: &mut LowerContext<'_>, _: &mut [u64]) -> Result<()> {
        Ok(())
    }

    #[inline(always)]
    fn write(&self, _: &mut [u8]) {}
}

impl Lift for () {
    // There is nothing to read.
    const SEAL: Seal = Seal::KEPT;

    #[inline(always)]
    fn lift_flat(_: &mut LiftContext<'_>, _: &[u64]) -> Result<()> {
        Ok(())
    }

    #[inline(always)]
    fn load(_: &mut LiftContext<'_>, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

impl ComponentNamedList for () {
    // The constants are those of nothing.
    const SEAL: Seal = Seal::KEPT;

    const LEN: usize = 0;
    const PARAMS_HASH: TypeHash = TypeHash::of_parts(Tag::Tuple, &[]);
    const RESULT_HASH: TypeHash = TypeHash::NONE;

    fn describe_list(_: &mut Types) -> Vec<ValueType> {
        Vec::new()
    }
}

macro_rules! tuples {
    ($($len:literal $result:ident: $($name:ident $index:tt),*;)*) => {$(
        impl<$($name: ComponentType),*> ComponentType for ($($name,)*) {
            // The constants are those of a tuple of these fields.
            const SEAL: Seal = Seal::KEPT;

            const HASH: TypeHash = TypeHash::of_parts(Tag::Tuple, &[$($name::HASH),*]);
            const LAYOUT: Layout = Layout::record(&[$($name::LAYOUT),*]);
            const FLAT: Flat = concat(&[$($name::FLAT),*]);
            const HOLDS_VIEWS: bool = $($name::HOLDS_VIEWS)||*;
            const HAS_POINTERS: bool = $($name::HAS_POINTERS)||*;
            const HANDLES: usize = 0 $(+ $name::HANDLES)*;

            fn handles(found: &mut Vec<HandleType>) {
                $($name::handles(found);)*
            }

            fn describe(types: &mut Types) -> Option<ValueType> {
                let fields = Self::describe_list(types);
                Some(ValueType::Def(types.push(TypeDef::Tuple(fields))))
            }
        }

        impl<$($name: Lower),*> Lower for ($($name,)*) {
            // Writes each field in its place.
            const SEAL: Seal = Seal::KEPT;

            const IS_CANONICAL: bool = $($name::IS_CANONICAL)&&* && is_canonical(
                size_of::<Self>(),
                &[$((offset_of!(Self, $index), size_of::<$name>(), $name::LAYOUT)),*],
            );

            #[inline]
            fn lower_flat(&self, cx: &mut LowerContext<'_>, out: &mut [u64]) -> Result<()> {
                let offsets = const { flat_offsets([$($name::FLAT),*]) };
                $(
                    self.$index.lower_flat(cx, &mut out[offsets[$index]..][..$name::FLAT.count()])?;
                    cx.skip_handles($name::HANDLES);
                )*
                cx.rewind_handles(Self::HANDLES);
                Ok(())
            }

            #[inline]
            fn store(&self, cx: &mut LowerContext<'_>, offset: usize) -> Result<()> {
                let offsets = const { field_offsets([$($name::LAYOUT),*]) };
                let width = cx.width();
                $(
                    self.$index.store(cx, offset + offsets[$index].at(width))?;
                    cx.skip_handles($name::HANDLES);
                )*
                cx.rewind_handles(Self::HANDLES);
                Ok(())
            }

            #[inline(always)]
            fn write(&self, bytes: &mut [u8]) {
                let offsets = const { field_offsets([$($name::LAYOUT),*]) };
                $(
                    let size = $name::LAYOUT.plain().size as usize;
                    self.$index.write(&mut bytes[offsets[$index].plain()..][..size]);
                )*
            }
        }

        impl<$($name: Lift),*> Lift for ($($name,)*) {
            // Reads each field in its place.
            const SEAL: Seal = Seal::KEPT;

            const IS_CANONICAL: bool = $($name::IS_CANONICAL)&&* && is_canonical(
                size_of::<Self>(),
                &[$((offset_of!(Self, $index), size_of::<$name>(), $name::LAYOUT)),*],
            );

            #[inline]
            fn lift_flat(cx: &mut LiftContext<'_>, flat: &[u64]) -> Result<Self> {
                let offsets = const { flat_offsets([$($name::FLAT),*]) };
                let value = ($({
                    let field = $name::lift_flat(cx, &flat[offsets[$index]..][..$name::FLAT.count()])?;
                    cx.skip_handles($name::HANDLES);
                    field
                },)*);
                cx.rewind_handles(Self::HANDLES);
                Ok(value)
            }

            #[inline]
            fn load(cx: &mut LiftContext<'_>, bytes: &[u8]) -> Result<Self> {
                let offsets = const { field_offsets([$($name::LAYOUT),*]) };
                let width = cx.width();
                let value = ($({
                    let size = $name::LAYOUT.at(width).size as usize;
                    let field = $name::load(cx, &bytes[offsets[$index].at(width)..][..size])?;
                    cx.skip_handles($name::HANDLES);
                    field
                },)*);
                cx.rewind_handles(Self::HANDLES);
                Ok(value)
            }
        }

        impl<$($name: ComponentType),*> ComponentNamedList for ($($name,)*) {
            // The constants are those of these parts.
            const SEAL: Seal = Seal::KEPT;

            const LEN: usize = $len;
            const PARAMS_HASH: TypeHash = TypeHash::of_parts(Tag::Tuple, &[$($name::HASH),*]);
            const RESULT_HASH: TypeHash = $result(&[$($name::HASH),*]);

            fn describe_list(types: &mut Types) -> Vec<ValueType> {
                vec![$(describe_part::<$name>(types)),*]
            }
        }
    )*};
}

/// The hash of one result.
const fn one_result(parts: &[TypeHash]) -> TypeHash {
    parts[0]
}

tuples! {
    1 one_result: A 0;
    2 no_result: A 0, B 1;
    3 no_result: A 0, B 1, C 2;
    4 no_result: A 0, B 1, C 2, D 3;
    5 no_result: A 0, B 1, C 2, D 3, E 4;
    6 no_result: A 0, B 1, C 2, D 3, E 4, F 5;
    7 no_result: A 0, B 1, C 2, D 3, E 4, F 5, G 6;
    8 no_result: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7;
    9 no_result: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8;
    10 no_result: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9;
    11 no_result: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10;
    12 no_result: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11;
    13 no_result: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12;
    14 no_result: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13;
    15 no_result: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14;
    16 no_result: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14, P 15;
}
