//! Resources that the host defines, in typed calls.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};

use super::ResourceAny;
use super::handle::Handle;
use crate::error::{Error, Result};
use crate::values::handles::HandleType;
use crate::values::{LiftContext, LowerContext};
use crate::vm::host_handles::Entry;
use crate::vm::resources::ResourceType;
use crate::vm::store_context::AsContextMut;

/// A resource that the host defines, as its functions get and give it: for `own<R>` and
/// `borrow<R>`, where `R` was linked as [`ResourceType::host::<T>()`](ResourceType::host).
///
/// [`Own`](crate::Own) and [`Borrow`](crate::Borrow) of it stand for one of the two only. It is a
/// number, the *representation*, whose meaning is the host's:
/// [`ResourceTable`](crate::ResourceTable) gives such numbers to values. Giving an owned one to a
/// guest takes it from the host: it cannot be given away again.
pub struct Resource<T> {
    rep: u32,
    owned: bool,
    /// Whether it was given away.
    taken: AtomicBool,
    resource: PhantomData<fn() -> T>,
}

impl<T: 'static> Resource<T> {
    /// A resource of its own, for `own<R>`.
    pub fn new_own(rep: u32) -> Resource<T> {
        Resource::new(rep, true)
    }

    /// A resource that somebody else owns, for `borrow<R>`.
    pub fn new_borrow(rep: u32) -> Resource<T> {
        Resource::new(rep, false)
    }

    fn new(rep: u32, owned: bool) -> Resource<T> {
        Resource {
            rep,
            owned,
            taken: AtomicBool::new(false),
            resource: PhantomData,
        }
    }

    /// The number that stands for it.
    pub fn rep(&self) -> u32 {
        self.rep
    }

    /// Whether it was made as owned, or got as `own<R>`.
    pub fn owned(&self) -> bool {
        self.owned
    }

    /// Takes this as owned; no second time.
    fn take(&self) -> Result<u32> {
        if !self.owned {
            return Err(Error::msg(
                "found a borrowed resource, expected an owned one",
            ));
        }
        if self.taken.swap(true, Ordering::Relaxed) {
            return Err(given_away());
        }
        Ok(self.rep)
    }

    /// This resource as one of any type, in the store's table.
    ///
    /// # Errors
    /// If it is borrowed, or was given away.
    pub fn try_into_resource_any(self, mut store: impl AsContextMut) -> Result<ResourceAny> {
        let rep = self.take()?;
        let mut store = store.as_context_mut();
        let entry = Entry::new(rep, ResourceType::host::<T>(), None, true);
        Ok(ResourceAny::add(store.opaque(), entry))
    }

    /// A resource of any type that is one of these: as [`ResourceAny::try_into_resource`].
    ///
    /// # Errors
    /// As [`ResourceAny::try_into_resource`].
    pub fn try_from_resource_any(
        resource: ResourceAny,
        mut store: impl AsContextMut,
    ) -> Result<Resource<T>> {
        let mut store = store.as_context_mut();
        if resource.get(store.opaque())?.ty != ResourceType::host::<T>() {
            return Err(Error::msg(format_args!(
                "found a resource of another type, expected `{}`",
                std::any::type_name::<T>()
            )));
        }
        let entry = match resource.owned() {
            true => resource.take(store.opaque())?,
            false => resource.get(store.opaque())?,
        };
        Ok(Resource::new(entry.rep, entry.owned))
    }
}

/// Conversions between the host's resources and those of any type.
impl ResourceAny {
    /// A resource of the host, in the store's table: as
    /// [`Resource::try_into_resource_any`].
    ///
    /// # Errors
    /// If it is borrowed, or was given away.
    pub fn try_from_resource<T: 'static>(
        resource: Resource<T>,
        store: impl AsContextMut,
    ) -> Result<ResourceAny> {
        resource.try_into_resource_any(store)
    }

    /// This resource as one of the host's, of the type that was linked as
    /// [`ResourceType::host::<T>()`](ResourceType::host). Takes an owned one out of the store's
    /// table.
    ///
    /// # Errors
    /// If it is of another type, is lent to a guest or not there any more, or `store` is not its
    /// store.
    pub fn try_into_resource<T: 'static>(self, store: impl AsContextMut) -> Result<Resource<T>> {
        Resource::try_from_resource_any(self, store)
    }
}

#[cold]
fn given_away() -> Error {
    Error::msg("a resource is used that was given away")
}

impl<T> fmt::Debug for Resource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.owned { "own" } else { "borrow" };
        f.debug_struct("Resource").field(kind, &self.rep).finish()
    }
}

impl<T: 'static> Handle for Resource<T> {
    fn handle() -> HandleType {
        HandleType::host::<T>()
    }

    fn lower(&self, cx: &mut LowerContext<'_>) -> Result<u32> {
        let handle = cx.handle_use()?;
        if !handle.is_borrow() {
            return cx.add_handle(handle, self.take()?);
        }
        if self.taken.load(Ordering::Relaxed) {
            return Err(given_away());
        }
        cx.add_handle(handle, self.rep)
    }

    fn lift(cx: &mut LiftContext<'_>, handle: u32) -> Result<Resource<T>> {
        let handle_use = cx.handle_use()?;
        let rep = cx.take_handle(handle_use, handle)?;
        Ok(Resource::new(rep, !handle_use.is_borrow()))
    }
}
