//! References and boxes: they stand for the type that they point to.

use std::rc::Rc;
use std::sync::Arc;

use cwasm_format::abi::{Flat, Layout};
use cwasm_format::hash::TypeHash;
use cwasm_format::types::{Types, ValueType};

use super::seal::Seal;
use super::{ComponentType, Lift, LiftContext, Lower, LowerContext};
use crate::error::Result;
use crate::values::handles::HandleType;

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<T: ComponentType + ?Sized> ComponentType for $pointer {
            // All is that of `T`.
            const SEAL: Seal = Seal::KEPT;

            const HASH: TypeHash = T::HASH;
            const LAYOUT: Layout = T::LAYOUT;
            const FLAT: Flat = T::FLAT;
            const HOLDS_VIEWS: bool = T::HOLDS_VIEWS;
            const HANDLES: usize = T::HANDLES;
            const HAS_POINTERS: bool = T::HAS_POINTERS;

            fn handles(found: &mut Vec<HandleType>) {
                T::handles(found);
            }

            fn describe(types: &mut Types) -> Option<ValueType> {
                T::describe(types)
            }
        }

        impl<T: Lower + ?Sized> Lower for $pointer {
            // Writes the `T`.
            const SEAL: Seal = Seal::KEPT;

            #[inline(always)]
            fn lower_flat(&self, cx: &mut LowerContext<'_>, out: &mut [u64]) -> Result<()> {
                T::lower_flat(self, cx, out)
            }

            #[inline(always)]
            fn store(&self, cx: &mut LowerContext<'_>, offset: usize) -> Result<()> {
                T::store(self, cx, offset)
            }

            #[inline(always)]
            fn write(&self, bytes: &mut [u8]) {
                T::write(self, bytes);
            }
        }
    )*};
}

forward!(&T, Box<T>, Rc<T>, Arc<T>);

macro_rules! boxed {
    ($($pointer:ident),*) => {$(
        impl<T: Lift> Lift for $pointer<T> {
            // Reads the `T`.
            const SEAL: Seal = Seal::KEPT;

            #[inline(always)]
            fn lift_flat(cx: &mut LiftContext<'_>, flat: &[u64]) -> Result<Self> {
                cx.charge_block(1, size_of::<T>())?;
                T::lift_flat(cx, flat).map($pointer::new)
            }

            #[inline(always)]
            fn load(cx: &mut LiftContext<'_>, bytes: &[u8]) -> Result<Self> {
                cx.charge_block(1, size_of::<T>())?;
                T::load(cx, bytes).map($pointer::new)
            }
        }

        impl Lift for $pointer<str> {
            // Reads the string.
            const SEAL: Seal = Seal::KEPT;

            fn lift_flat(cx: &mut LiftContext<'_>, flat: &[u64]) -> Result<Self> {
                String::lift_flat(cx, flat).map($pointer::from)
            }

            fn load(cx: &mut LiftContext<'_>, bytes: &[u8]) -> Result<Self> {
                String::load(cx, bytes).map($pointer::from)
            }
        }

        impl<T: Lift> Lift for $pointer<[T]> {
            // Reads the list.
            const SEAL: Seal = Seal::KEPT;

            fn lift_flat(cx: &mut LiftContext<'_>, flat: &[u64]) -> Result<Self> {
                Vec::lift_flat(cx, flat).map($pointer::from)
            }

            fn load(cx: &mut LiftContext<'_>, bytes: &[u8]) -> Result<Self> {
                Vec::load(cx, bytes).map($pointer::from)
            }
        }
    )*};
}

boxed!(Box, Rc, Arc);
