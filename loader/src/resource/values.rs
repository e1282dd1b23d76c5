//! Handles as values: the traits of values for all Rust types that are handles.

use cwasm_format::abi::{Flat, FlatType, HANDLE_SIZE, Layout};
use cwasm_format::hash::{Tag, TypeHash};
use cwasm_format::types::{ResourceNumber, TypeDef, Types, ValueType};

use super::handle::Handle;
use super::{Borrow, Own, Resource, ResourceAny};
use crate::error::Result;
use crate::values::derive::Seal;
use crate::values::handles::HandleType;
use crate::values::{ComponentType, Lift, LiftContext, Lower, LowerContext};

macro_rules! handle {
    ($($rust:ty [$($generics:tt)*], $def:ident;)*) => {$(
        impl<$($generics)*> ComponentType for $rust {
            // The constants are those of a handle.
            const SEAL: Seal = Seal::KEPT;

            const HASH: TypeHash = TypeHash::primitive(Tag::Handle);
            const LAYOUT: Layout = Layout::scalar(HANDLE_SIZE);
            const FLAT: Flat = Flat::one(FlatType::I32);
            const HAS_POINTERS: bool = true;
            const HANDLES: usize = 1;

            fn describe(types: &mut Types) -> Option<ValueType> {
                let handle = TypeDef::$def(ResourceNumber::ANY);
                Some(ValueType::Def(types.push(handle)))
            }

            fn handles(found: &mut Vec<HandleType>) {
                found.push(<$rust as Handle>::handle());
            }
        }

        impl<$($generics)*> Lower for $rust {
            // Writes a handle that the guest has.
            const SEAL: Seal = Seal::KEPT;

            #[inline]
            fn lower_flat(&self, cx: &mut LowerContext<'_>, out: &mut [u64]) -> Result<()> {
                out[0] = Handle::lower(self, cx)?.into();
                Ok(())
            }

            #[inline]
            fn store(&self, cx: &mut LowerContext<'_>, offset: usize) -> Result<()> {
                let handle = Handle::lower(self, cx)?;
                cx.write(offset, &handle.to_le_bytes());
                Ok(())
            }
        }

        impl<$($generics)*> Lift for $rust {
            // Takes handles that the guest has.
            const SEAL: Seal = Seal::KEPT;

            #[inline]
            fn lift_flat(cx: &mut LiftContext<'_>, flat: &[u64]) -> Result<Self> {
                <$rust as Handle>::lift(cx, flat[0] as u32)
            }

            #[inline]
            fn load(cx: &mut LiftContext<'_>, bytes: &[u8]) -> Result<Self> {
                match bytes.first_chunk() {
                    Some(bytes) => <$rust as Handle>::lift(cx, u32::from_le_bytes(*bytes)),
                    None => unreachable!("a handle has four bytes"),
                }
            }
        }
    )*};
}

handle! {
    Resource<T> [T: 'static], Own;
    ResourceAny [], Own;
    Own<R> [R: Handle], Own;
    Borrow<R> [R: Handle], Borrow;
}
