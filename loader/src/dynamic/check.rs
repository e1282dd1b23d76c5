//! Checks values of the host against types, before a guest is entered.

use cwasm_format::resources::HandleUse;
use cwasm_format::types::{TypeDef, Types, ValueType};
use cwasm_format::wit::Wit;

use super::{check_stack, entry_types, handle_of, select};
use crate::error::{Error, Result};
use crate::resource::ResourceAny;
use crate::val::Val;

macro_rules! is_primitive {
    ($($name:ident: $rust:ty),*) => {
        fn is_primitive(ty: ValueType, val: &Val) -> bool {
            matches!((ty, val), $((ValueType::$name, Val::$name(_)))|*)
        }
    };
}

primitives!(is_primitive);

/// Checks values of the host against types.
pub(crate) struct Check<'c> {
    pub(crate) types: &'c Types,
    /// Whether a resource can be given where a function has this handle.
    pub(crate) handle: &'c dyn Fn(HandleUse, &ResourceAny) -> Result<()>,
}

impl Check<'_> {
    /// Checks that values have these types.
    ///
    /// # Errors
    /// The type that was found and the one that was expected.
    pub(crate) fn all(
        &self,
        expected: impl ExactSizeIterator<Item = ValueType>,
        vals: &[Val],
        what: &str,
    ) -> Result<()> {
        if expected.len() != vals.len() {
            let (expected, found) = (expected.len(), vals.len());
            return Err(Error::msg(format_args!(
                "found {found} {what}s, expected {expected}"
            )));
        }
        for (index, (ty, val)) in expected.zip(vals).enumerate() {
            self.one(ty, val)
                .map_err(|error| error.context(format!("{what} {index}")))?;
        }
        Ok(())
    }

    /// Checks that a value has this type.
    pub(super) fn one(&self, ty: ValueType, val: &Val) -> Result<()> {
        let mismatch = || mismatch(self.types, ty, val);
        let ValueType::Def(id) = ty else {
            return if is_primitive(ty, val) {
                Ok(())
            } else {
                Err(mismatch())
            };
        };
        check_stack()?;
        match (self.types.def(id), val) {
            (TypeDef::List(element), Val::List(items)) => {
                items.iter().try_for_each(|item| self.one(*element, item))
            }
            (TypeDef::FixedList(element, len), Val::List(items))
                if items.len() == *len as usize =>
            {
                items.iter().try_for_each(|item| self.one(*element, item))
            }
            (TypeDef::Map(entry), Val::Map(pairs)) => {
                let (key, value) = entry_types(self.types, *entry)?;
                pairs.iter().try_for_each(|(k, v)| {
                    self.one(key, k)?;
                    self.one(value, v)
                })
            }
            (TypeDef::Record(fields), Val::Record(vals)) => {
                let names = fields.iter().map(|(name, _)| name);
                if !names.eq(vals.iter().map(|(name, _)| name)) {
                    return Err(mismatch());
                }
                let mut pairs = fields.iter().zip(vals);
                pairs.try_for_each(|((_, ty), (_, val))| self.one(*ty, val))
            }
            (TypeDef::Tuple(fields), Val::Tuple(vals)) if fields.len() == vals.len() => fields
                .iter()
                .zip(vals)
                .try_for_each(|(ty, val)| self.one(*ty, val)),
            (TypeDef::Flags(names), Val::Flags(set))
                if set.iter().all(|name| names.contains(name)) =>
            {
                Ok(())
            }
            (TypeDef::Stream(_), Val::Stream(stream)) if !stream.is_future => Ok(()),
            (TypeDef::Future(_), Val::Stream(stream)) if stream.is_future => Ok(()),
            (TypeDef::ErrorContext, Val::ErrorContext(_)) => Ok(()),
            (def, Val::Resource(resource)) => match handle_of(def) {
                Some(handle) => (self.handle)(handle, resource),
                None => Err(mismatch()),
            },
            (def, val) => match select(def, val) {
                Some((_, None)) => Ok(()),
                Some((_, Some((ty, val)))) => self.one(ty, val),
                None => Err(mismatch()),
            },
        }
    }
}

#[cold]
fn mismatch(types: &Types, ty: ValueType, val: &Val) -> Error {
    let expected = Wit::new(types).value(ty);
    let found = val.kind();
    match val {
        Val::Variant(case, _) | Val::Enum(case) => Error::msg(format_args!(
            "found {found} of case `{case}`, expected `{expected}`"
        )),
        Val::Record(fields) => {
            let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
            let names = names.join("`, `");
            Error::msg(format_args!(
                "found {found} of fields `{names}`, expected `{expected}`"
            ))
        }
        Val::List(items) => {
            let len = items.len();
            Error::msg(format_args!(
                "found {found} of {len} elements, expected `{expected}`"
            ))
        }
        _ => Error::msg(format_args!("found {found}, expected `{expected}`")),
    }
}
