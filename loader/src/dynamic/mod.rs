//! Lifting and lowering of [`Val`]s, by types that are known at run time only.
//!
//! The same forms and checks as in [`values`](crate::values), whose implementations do the work
//! for all types without parts. Types come from [`Types::from_defs`], so they are finite, not
//! nested deeply and of limited size.
//!
//! Values of the host are [checked](Check) against their types before a guest is entered, so that
//! a wrong one costs an error and not the instance.

use cwasm_format::abi::{Extent, PointerWidth};
use cwasm_format::resources::HandleUse;
use cwasm_format::types::{TypeDef, Types, ValueType};

use crate::error::{Error, Result};
use crate::sys;
use crate::val::Val;

/// Gives all types without parts, and Rust's, to a macro.
macro_rules! primitives {
    ($then:ident) => {
        $then! {
            Bool: bool, S8: i8, U8: u8, S16: i16, U16: u16, S32: i32, U32: u32, S64: i64,
            U64: u64, F32: f32, F64: f64, Char: char, String: String
        }
    };
}

mod check;
#[cfg(feature = "async")]
mod copy;
mod functions;
mod lift;
mod lower;
#[cfg(test)]
mod tests;

pub(crate) use check::Check;
#[cfg(feature = "async")]
pub(crate) use copy::{Copier, Side};
pub(crate) use functions::{lift_params, lift_result, lower_params, lower_result};
pub(crate) use lift::{lift_flat, load};
pub(crate) use lower::{lower_flat, store};

/// The handle that a type is, if it is one.
fn handle_of(def: &TypeDef) -> Option<HandleUse> {
    match def {
        TypeDef::Own(resource) => Some(HandleUse::own(*resource)),
        TypeDef::Borrow(resource) => Some(HandleUse::borrow(*resource)),
        _ => None,
    }
}

/// The types of the keys and values of a map with these entries.
fn entry_types(types: &Types, entry: ValueType) -> Result<(ValueType, ValueType)> {
    match *types.fields_of(entry) {
        [key, value] => Ok((key, value)),
        _ => Err(unchecked()),
    }
}

/// The case of a variant, enum, option or result that a value is, and its payload with its type.
/// `None` if the value is not of the type, as far as that can be seen without the payload.
fn select<'v>(def: &TypeDef, val: &'v Val) -> Option<(usize, Option<(ValueType, &'v Val)>)> {
    let (case, payload) = match (def, val) {
        (TypeDef::Variant(cases), Val::Variant(name, payload)) => (
            cases.iter().position(|(case, _)| case == name)?,
            payload.as_deref(),
        ),
        (TypeDef::Enum(names), Val::Enum(name)) => {
            (names.iter().position(|case| case == name)?, None)
        }
        (TypeDef::Option(_), Val::Option(payload)) => {
            (usize::from(payload.is_some()), payload.as_deref())
        }
        (TypeDef::Result { .. }, Val::Result(Ok(payload))) => (0, payload.as_deref()),
        (TypeDef::Result { .. }, Val::Result(Err(payload))) => (1, payload.as_deref()),
        _ => return None,
    };
    match (payload_type(def, case)?, payload) {
        (None, None) => Some((case, None)),
        (Some(ty), Some(val)) => Some((case, Some((ty, val)))),
        _ => None,
    }
}

/// The number of cases of a variant, enum, option or result.
fn case_count(def: &TypeDef) -> usize {
    match def {
        TypeDef::Variant(cases) => cases.len(),
        TypeDef::Enum(names) => names.len(),
        _ => 2,
    }
}

/// The type of the payload of a case; `None` if there is no such case.
fn payload_type(def: &TypeDef, case: usize) -> Option<Option<ValueType>> {
    match (def, case) {
        (TypeDef::Variant(cases), _) => cases.get(case).map(|(_, payload)| *payload),
        (TypeDef::Enum(names), _) => names.get(case).map(|_| None),
        (TypeDef::Option(_), 0) => Some(None),
        (TypeDef::Option(payload), 1) => Some(Some(*payload)),
        (TypeDef::Result { ok, .. }, 0) => Some(*ok),
        (TypeDef::Result { err, .. }, 1) => Some(*err),
        _ => None,
    }
}

/// Goes through the fields of a record: the place of each.
pub(crate) struct Places {
    flat: usize,
    extent: Extent,
    width: PointerWidth,
}

impl Places {
    /// The places in flat values, or in a memory of this pointer width.
    pub(crate) fn new(width: PointerWidth) -> Places {
        Places {
            flat: 0,
            extent: Extent::EMPTY,
            width,
        }
    }

    /// The range of the next field's flat form.
    pub(crate) fn next_flat(&mut self, types: &Types, ty: ValueType) -> std::ops::Range<usize> {
        let start = self.flat;
        self.flat += types.abi(ty).flat.count();
        start..self.flat
    }

    /// The range of the next field's bytes.
    pub(crate) fn next_bytes(&mut self, types: &Types, ty: ValueType) -> std::ops::Range<usize> {
        let field = types.abi(ty).layout.at(self.width);
        let (offset, extent) = self.extent.push_field(field);
        self.extent = extent;
        offset as usize..offset as usize + field.size as usize
    }
}

/// Checks that there is stack for one more level of nested values: as much as wasm leaves for the
/// host lasts for some of the types that there can be.
///
/// # Errors
/// If there is not.
#[inline]
pub(crate) fn check_stack() -> Result<()> {
    match sys::thread::has_stack(0) {
        true => Ok(()),
        false => Err(too_deep()),
    }
}

/// A value that is nested deeper than the host's stack is left.
#[cold]
pub(crate) fn too_deep() -> Error {
    Error::msg("too little of the host's stack is left for values nested this deep")
}

/// A value that [`Check`] would have refused.
#[cold]
fn unchecked() -> Error {
    Error::msg("a value is not of its type")
}
