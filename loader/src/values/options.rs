//! `Option` and `Result`: variants of two cases. `()` is an absent side.

use cwasm_format::abi::{Flat, Layout};
use cwasm_format::hash::{Tag, TypeHash};
use cwasm_format::types::{TypeDef, Types, ValueType};

use super::seal::Seal;
use super::variants::{
    discriminant, flat_payload, invalid_discriminant, lower_case, payload_bytes, store_case,
    write_case,
};
use super::{ComponentType, Lift, LiftContext, Lower, LowerContext, tuples};
use crate::error::Result;
use crate::values::handles::HandleType;

impl<T: ComponentType> ComponentType for Option<T> {
    // The constants are those of `option<T>`.
    const SEAL: Seal = Seal::KEPT;

    const HASH: TypeHash = TypeHash::of_parts(Tag::Option, &[T::HASH]);
    const LAYOUT: Layout = Layout::variant(&[Layout::EMPTY, T::LAYOUT]);
    const FLAT: Flat = Flat::variant(&[Flat::EMPTY, T::FLAT]);
    const HOLDS_VIEWS: bool = T::HOLDS_VIEWS;
    const HAS_POINTERS: bool = T::HAS_POINTERS;
    const HANDLES: usize = T::HANDLES;

    fn handles(found: &mut Vec<HandleType>) {
        T::handles(found);
    }

    fn describe(types: &mut Types) -> Option<ValueType> {
        let payload = tuples::describe_part::<T>(types);
        Some(ValueType::Def(types.push(TypeDef::Option(payload))))
    }
}

impl<T: Lower> Lower for Option<T> {
    // Writes case 0 for `None`, and case 1 and the payload for `Some`.
    const SEAL: Seal = Seal::KEPT;

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
            None => store_case::<Self, (), 2>(0, &(), cx, offset),
            Some(payload) => store_case::<Self, T, 2>(1, payload, cx, offset),
        }
    }

    #[inline]
    fn write(&self, bytes: &mut [u8]) {
        match self {
            None => write_case::<Self, (), 2>(0, &(), bytes),
            Some(payload) => write_case::<Self, T, 2>(1, payload, bytes),
        }
    }
}

impl<T: Lift> Lift for Option<T> {
    // Takes cases 0 and 1 only.
    const SEAL: Seal = Seal::KEPT;

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
        match discriminant::<2>(bytes) {
            0 => Ok(None),
            1 => T::load(cx, payload_bytes::<Self, T, 2>(cx, bytes)).map(Some),
            _ => Err(invalid_discriminant()),
        }
    }
}

impl<T: ComponentType, E: ComponentType> ComponentType for Result<T, E> {
    // The constants are those of `result<T, E>`.
    const SEAL: Seal = Seal::KEPT;

    const HASH: TypeHash = TypeHash::of_parts(Tag::Result, &[T::HASH, E::HASH]);
    const LAYOUT: Layout = Layout::variant(&[T::LAYOUT, E::LAYOUT]);
    const FLAT: Flat = Flat::variant(&[T::FLAT, E::FLAT]);
    const HOLDS_VIEWS: bool = T::HOLDS_VIEWS || E::HOLDS_VIEWS;
    const HAS_POINTERS: bool = T::HAS_POINTERS || E::HAS_POINTERS;
    const HANDLES: usize = T::HANDLES + E::HANDLES;

    fn handles(found: &mut Vec<HandleType>) {
        T::handles(found);
        E::handles(found);
    }

    fn describe(types: &mut Types) -> Option<ValueType> {
        let ok = T::describe(types);
        let err = E::describe(types);
        Some(ValueType::Def(types.push(TypeDef::Result { ok, err })))
    }
}

impl<T: Lower, E: Lower> Lower for Result<T, E> {
    // Writes case 0 and its payload for `Ok`, and case 1 and its payload for `Err`.
    const SEAL: Seal = Seal::KEPT;

    #[inline]
    fn lower_flat(&self, cx: &mut LowerContext<'_>, out: &mut [u64]) -> Result<()> {
        match self {
            Ok(payload) => lower_case(0, payload, cx, out),
            Err(payload) => {
                cx.skip_handles(T::HANDLES);
                lower_case(1, payload, cx, out)?;
                cx.rewind_handles(T::HANDLES);
                Ok(())
            }
        }
    }

    #[inline]
    fn store(&self, cx: &mut LowerContext<'_>, offset: usize) -> Result<()> {
        match self {
            Ok(payload) => store_case::<Self, T, 2>(0, payload, cx, offset),
            Err(payload) => {
                cx.skip_handles(T::HANDLES);
                store_case::<Self, E, 2>(1, payload, cx, offset)?;
                cx.rewind_handles(T::HANDLES);
                Ok(())
            }
        }
    }

    #[inline]
    fn write(&self, bytes: &mut [u8]) {
        match self {
            Ok(payload) => write_case::<Self, T, 2>(0, payload, bytes),
            Err(payload) => write_case::<Self, E, 2>(1, payload, bytes),
        }
    }
}

impl<T: Lift, E: Lift> Lift for Result<T, E> {
    // Takes cases 0 and 1 only.
    const SEAL: Seal = Seal::KEPT;

    #[inline]
    fn lift_flat(cx: &mut LiftContext<'_>, flat: &[u64]) -> Result<Self> {
        match flat[0] as u32 {
            0 => T::lift_flat(cx, flat_payload::<T>(flat)).map(Ok),
            1 => {
                cx.skip_handles(T::HANDLES);
                let payload = E::lift_flat(cx, flat_payload::<E>(flat))?;
                cx.rewind_handles(T::HANDLES);
                Ok(Err(payload))
            }
            _ => Err(invalid_discriminant()),
        }
    }

    #[inline]
    fn load(cx: &mut LiftContext<'_>, bytes: &[u8]) -> Result<Self> {
        match discriminant::<2>(bytes) {
            0 => T::load(cx, payload_bytes::<Self, T, 2>(cx, bytes)).map(Ok),
            1 => {
                cx.skip_handles(T::HANDLES);
                let payload = E::load(cx, payload_bytes::<Self, E, 2>(cx, bytes))?;
                cx.rewind_handles(T::HANDLES);
                Ok(Err(payload))
            }
            _ => Err(invalid_discriminant()),
        }
    }
}
