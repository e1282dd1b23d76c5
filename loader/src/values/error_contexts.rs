//! Error contexts as values: handles of the guest.

use cwasm_format::abi::{Flat, FlatType, HANDLE_SIZE, Layout};
use cwasm_format::hash::{Tag, TypeHash};
use cwasm_format::types::{TypeDef, Types, ValueType};

use super::seal::Seal;
use super::{ComponentType, Lift, LiftContext, Lower, LowerContext};
use crate::error::Result;
use crate::vm::error_context::ErrorContext;

impl ComponentType for ErrorContext {
    // The constants are those of a handle.
    const SEAL: Seal = Seal::KEPT;
    const HASH: TypeHash = TypeHash::primitive(Tag::ErrorContext);
    const LAYOUT: Layout = Layout::scalar(HANDLE_SIZE);
    const FLAT: Flat = Flat::one(FlatType::I32);
    const HAS_POINTERS: bool = true;

    fn describe(types: &mut Types) -> Option<ValueType> {
        Some(ValueType::Def(types.push(TypeDef::ErrorContext)))
    }
}

impl Lower for ErrorContext {
    // Writes a handle that the guest has.
    const SEAL: Seal = Seal::KEPT;

    fn lower_flat(&self, cx: &mut LowerContext<'_>, out: &mut [u64]) -> Result<()> {
        out[0] = cx.add_error_context(self)?.into();
        Ok(())
    }

    fn store(&self, cx: &mut LowerContext<'_>, offset: usize) -> Result<()> {
        let handle = cx.add_error_context(self)?;
        cx.write(offset, &handle.to_le_bytes());
        Ok(())
    }
}

impl Lift for ErrorContext {
    // Follows handles that the guest has.
    const SEAL: Seal = Seal::KEPT;

    fn lift_flat(cx: &mut LiftContext<'_>, flat: &[u64]) -> Result<Self> {
        cx.error_context(flat[0] as u32)
    }

    fn load(cx: &mut LiftContext<'_>, bytes: &[u8]) -> Result<Self> {
        match bytes.first_chunk() {
            Some(bytes) => cx.error_context(u32::from_le_bytes(*bytes)),
            None => unreachable!("a handle has four bytes"),
        }
    }
}
