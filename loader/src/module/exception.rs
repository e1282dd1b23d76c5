//! Exceptions and their tags as the host handles them.
#![allow(unsafe_code, reason = "reads tags of a store")]

use std::fmt;
use std::ptr::NonNull;

use cwasm_format::TrapCode;
use cwasm_format::imports::core_type::ValType;

use super::{CoreVal, check_store};
use crate::core_types::FuncType;
use crate::error::{Error, Result};
use crate::vm::exceptions::Tag;
use crate::vm::items::{HostTag, TagItem};
use crate::vm::store::StoreOpaque;
use crate::vm::store_context::{AsContext, AsContextMut};
use crate::vm::store_id::StoreId;

/// A tag in a store. Two are equal if they are the same tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreTag {
    store: StoreId,
    item: TagItem,
}

impl CoreTag {
    /// A new tag, whose exceptions have values of these types, for modules to import.
    pub fn new(mut store: impl AsContextMut, params: impl IntoIterator<Item = ValType>) -> CoreTag {
        let mut context = store.as_context_mut();
        let store = context.opaque();
        let ty = FuncType::new(params, []).encode();
        let tag = HostTag::new(&ty, store.engine().types());
        CoreTag {
            store: store.id(),
            item: store.host_items.add_tag(tag),
        }
    }

    pub(super) fn of_item(store: StoreId, item: TagItem) -> CoreTag {
        CoreTag { store, item }
    }

    pub(super) fn item(&self) -> TagItem {
        self.item
    }

    /// The function type whose parameters are the tag's.
    ///
    /// # Errors
    /// If the tag belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> Result<FuncType> {
        self.ty_in(store.as_context().opaque())
    }

    pub(super) fn ty_in(&self, store: &StoreOpaque) -> Result<FuncType> {
        check_store(self.store, store)?;
        // SAFETY: lives as long as the store (as items do), which is borrowed.
        let type_id = unsafe { self.item.address.read() }.type_id;
        let bytes = store.engine().types().bytes(type_id as u32);
        match bytes.and_then(|bytes| FuncType::decode(&bytes)) {
            Some(ty) => Ok(ty),
            None => Err(Error::msg("the tag has an unknown type")),
        }
    }
}

/// An exception: a tag and values.
///
/// A call of a [`CoreFunc`](super::CoreFunc) that an exception leaves fails with one, which
/// [`Error::downcast_ref`] finds. A host function that returns one as its error throws it: the
/// module that has called it can catch it.
#[derive(Clone, Debug)]
pub struct CoreException {
    tag: CoreTag,
    values: Vec<CoreVal>,
}

impl CoreException {
    /// An exception of a tag.
    ///
    /// # Errors
    /// If the values are not as the tag's type says, or something belongs to another store.
    pub fn new(
        store: impl AsContext,
        tag: CoreTag,
        values: impl IntoIterator<Item = CoreVal>,
    ) -> Result<CoreException> {
        let exception = CoreException {
            tag,
            values: values.into_iter().collect(),
        };
        exception.to_bits(store.as_context().opaque())?;
        Ok(exception)
    }

    /// The tag.
    pub fn tag(&self) -> CoreTag {
        self.tag
    }

    /// The values.
    pub fn values(&self) -> &[CoreVal] {
        &self.values
    }

    fn to_bits(&self, store: &StoreOpaque) -> Result<Vec<u128>> {
        let ty = self.tag.ty_in(store)?;
        let (expected, found) = (ty.params().len(), self.values.len());
        if expected != found {
            return Err(Error::msg(format!(
                "expected {expected} values of an exception, found {found}"
            )));
        }
        let values = self.values.iter().zip(ty.params());
        values
            .map(|(value, ty)| value.to_bits(*ty, store))
            .collect()
    }

    /// The exception of this tag and these values of a store.
    fn of(store: &StoreOpaque, tag: Tag, bits: &[u128]) -> Result<CoreException> {
        let address = std::ptr::with_exposed_provenance_mut(tag.identity as usize);
        let Some(address) = NonNull::new(address) else {
            return Err(Error::msg("the exception has no tag"));
        };
        let tag = CoreTag::of_item(store.id(), TagItem { address });
        let ty = tag.ty_in(store)?;
        let values = ty.params().iter().zip(bits);
        Ok(CoreException {
            tag,
            values: values
                .map(|(ty, bits)| CoreVal::from_bits(*ty, *bits, store))
                .collect(),
        })
    }

    /// Makes it the one that is thrown in the store.
    ///
    /// # Errors
    /// If something of it belongs to another store.
    pub(super) fn throw(&self, store: &mut StoreOpaque) -> Result<()> {
        let values = self.to_bits(store)?;
        let tag = Tag {
            identity: self.tag.item.address.as_ptr().expose_provenance() as u64,
            origin: None,
        };
        store.exceptions().throw_by_host(tag, &values);
        Ok(())
    }
}

impl fmt::Display for CoreException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an exception with the values (")?;
        for (place, value) in self.values.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{value:?}")?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for CoreException {}

/// A reference to an exception, which the store keeps as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreExnRef {
    store: StoreId,
    reference: u64,
}

impl CoreExnRef {
    /// The reference that wasm of the store holds as these bits; `None` for null.
    pub(super) fn of_bits(bits: u64, store: &StoreOpaque) -> Option<CoreExnRef> {
        let exceptions = store.exceptions_if_any()?;
        exceptions.pin(bits).then(|| CoreExnRef {
            store: store.id(),
            reference: bits,
        })
    }

    /// The bits that wasm of the store holds.
    pub(super) fn bits(&self, store: &StoreOpaque) -> Result<u64> {
        check_store(self.store, store)?;
        Ok(self.reference)
    }

    /// The exception.
    ///
    /// # Errors
    /// If it belongs to another store.
    pub fn exception(&self, store: impl AsContext) -> Result<CoreException> {
        let context = store.as_context();
        let store = context.opaque();
        check_store(self.store, store)?;
        let exceptions = store.exceptions_if_any();
        match exceptions.and_then(|exceptions| exceptions.kept(self.reference)) {
            Some((tag, values)) => CoreException::of(store, tag, values),
            None => Err(Error::msg("the store keeps no such exception")),
        }
    }
}

/// Adds the exception that has left a core function to the error of the call.
#[cold]
pub(super) fn attach(store: &StoreOpaque, error: Error) -> Error {
    let trap = error
        .trap()
        .filter(|trap| trap.code() == TrapCode::UncaughtException);
    let (Some(trap), Some(exceptions)) = (trap, store.exceptions_if_any()) else {
        return error;
    };
    let Some(tag) = exceptions.tag() else {
        return error;
    };
    match CoreException::of(store, tag, exceptions.values()) {
        Ok(exception) => Error::new(exception).wrap(trap.clone()),
        Err(_) => error,
    }
}
