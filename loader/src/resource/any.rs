//! Resources of any type.
#![allow(unsafe_code, reason = "calls destructors")]

use std::ptr::NonNull;

use cwasm_format::TrapCode;
use cwasm_format::header::NONE;
use cwasm_format::resources::HandleUse;
use cwasm_format::vmctx::{RawReturn, VmContext};

use super::handle::Handle;
use crate::error::{Error, Result};
use crate::values::handles::HandleType;
use crate::values::{LiftContext, LowerContext};
use crate::vm::call::Ready;
use crate::vm::caller::Caller;
use crate::vm::enter::Entered;
#[cfg(feature = "async")]
use crate::vm::fiber::OnFiber;
use crate::vm::host_handles::{Entry, HostHandle};
#[cfg(feature = "async")]
use crate::vm::imports::DROPPED_BY_FIBER;
use crate::vm::imports::DROPPED_BY_HOST;
use crate::vm::instance::InstanceData;
use crate::vm::resources::ResourceType;
use crate::vm::store::{HostFailure, StoreOpaque};
use crate::vm::store_context::{AsContext, AsContextMut, StoreContextMut};
use crate::vm::store_id::StoreId;

/// A resource of any type, the host's or a guest's, that a store holds for the host.
///
/// An owned one (from `own<R>`) is the host's until it is given to a guest again or
/// [dropped](ResourceAny::resource_drop); if it is forgotten, its destructor does not run. A
/// borrowed one (from `borrow<R>`) can be used until the host function that got it returns. Using
/// one after that, or with another store, is an error. In a function's type it stands for both;
/// [`Own`](crate::Own) and [`Borrow`](crate::Borrow) of it for one of the two only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceAny {
    store: StoreId,
    handle: HostHandle,
    owned: bool,
}

impl ResourceAny {
    /// Adds a resource to the table of a store.
    pub(crate) fn add(store: &mut StoreOpaque, entry: Entry) -> ResourceAny {
        ResourceAny {
            store: store.id(),
            handle: store.resources.add(entry),
            owned: entry.owned,
        }
    }

    /// The type of the resource.
    ///
    /// # Errors
    /// If it is not there any more, or `store` is not its store.
    pub fn ty(&self, store: impl AsContext) -> Result<ResourceType> {
        let entry = self.get(store.as_context().opaque())?;
        Ok(entry.ty)
    }

    /// Whether it is owned, or borrowed.
    pub fn owned(&self) -> bool {
        self.owned
    }

    /// Drops the resource: an owned one's destructor runs.
    ///
    /// # Errors
    /// - It is not there any more, is lent to a guest, or `store` is not its store.
    /// - The component that defines it cannot be entered; the resource stays.
    /// - The destructor fails or traps. If it is a guest's, the instance can never be entered
    ///   again.
    ///
    /// # Panics
    /// If a host function panics that the destructor calls.
    pub fn resource_drop(self, mut store: impl AsContextMut) -> Result<()> {
        self.drop_for(&mut store.as_context_mut(), Caller::Host)
    }

    /// As [`resource_drop`](ResourceAny::resource_drop), where the destructor can wait: it is the
    /// host's and [async](crate::LinkerInstance::resource_async), or a guest's that calls functions
    /// that are.
    ///
    /// # Errors
    /// As [`resource_drop`](ResourceAny::resource_drop).
    ///
    /// # Panics
    /// As [`resource_drop`](ResourceAny::resource_drop).
    #[cfg(feature = "async")]
    pub async fn resource_drop_async(self, mut store: impl AsContextMut<Data: Send>) -> Result<()> {
        let mut store = store.as_context_mut();
        let instance = self
            .get(store.opaque())?
            .origin
            .map(|(instance, _)| instance);
        if !instance.is_some_and(|instance| store.uses_fiber(instance)) {
            return self.drop_for(&mut store, Caller::Host);
        }
        let call =
            move |mut store: StoreContextMut<'_, _>| self.drop_for(&mut store, Caller::Fiber);
        OnFiber::new(store, call).await
    }

    fn drop_for<T: 'static>(
        self,
        store: &mut StoreContextMut<'_, T>,
        caller: Caller,
    ) -> Result<()> {
        if !self.owned {
            // A borrowed resource ends with its call.
            return self.get(store.opaque()).map(drop);
        }
        let Some((instance, resource)) = self.get(store.opaque())?.origin else {
            return self.take(store.opaque()).map(drop);
        };
        let data = store.opaque().instance(instance);
        let context = data.context();
        let record = data.unit().artifact().resources()[resource.0 as usize];
        if record.flags == NONE {
            let dtor = data
                .host_resource(resource)
                .and_then(|found| found.dtor.clone());
            let rep = self.take(store.opaque())?.rep;
            let Some(dtor) = dtor else { return Ok(()) };
            type Destructor =
                unsafe extern "C" fn(NonNull<u8>, NonNull<VmContext>, u64) -> RawReturn;
            // SAFETY: destructors of the host have this signature.
            let code = unsafe { std::mem::transmute::<NonNull<u8>, Destructor>(dtor.code) };
            let by = match caller {
                #[cfg(feature = "async")]
                Caller::Fiber => DROPPED_BY_HOST | DROPPED_BY_FIBER,
                _ => DROPPED_BY_HOST,
            };
            // SAFETY: its own data, and the context of an instance that is in the store.
            let returned = unsafe { code(dtor.data, context, u64::from(rep) | by) };
            return host_result(store.opaque(), returned);
        }
        // SAFETY: the context of an instance of this store.
        unsafe { store.begin_guest_call(context, caller) }?;
        let result = self.destroy(store, (instance, record.dtor), caller);
        store.end_guest_call(result, caller)
    }

    /// Runs a guest's destructor: a thunk of the instance.
    fn destroy<T: 'static>(
        self,
        store: &mut StoreContextMut<'_, T>,
        (instance, dtor): (u32, u32),
        caller: Caller,
    ) -> Result<()> {
        let data = store.opaque().instance(instance);
        let (context, text) = (data.context(), data.text());
        let ready = Ready::of(store.opaque(), caller)?;
        let rep = self.take(store.opaque())?.rep;
        if dtor == NONE {
            return Ok(());
        }
        // SAFETY: checked by the plan.
        let code = unsafe { text.at(dtor) };
        // SAFETY: an instance of this store, which is ours; references into it are made anew.
        let entered = unsafe { Entered::new(context) };
        // SAFETY: the thunk of a destructor, which has one parameter, of a live instance that was
        // just entered; no reference into the store is held.
        unsafe { ready.call(code, context, &[rep.into()]) }?;
        entered.leave();
        Ok(())
    }

    fn check_store(&self, store: &StoreOpaque) -> Result<()> {
        if self.store == store.id() {
            Ok(())
        } else {
            Err(Error::msg(
                "a resource is used with another store than its own",
            ))
        }
    }

    /// The store's entry.
    ///
    /// # Errors
    /// If it is not there any more, or `store` is not its store.
    pub(crate) fn get(&self, store: &StoreOpaque) -> Result<Entry> {
        self.check_store(store)?;
        store.resources.get(self.handle).copied()
    }

    /// Takes an owned resource out of the store's table.
    ///
    /// # Errors
    /// As [`ResourceAny::get`]; or it is borrowed or lent.
    pub(crate) fn take(&self, store: &mut StoreOpaque) -> Result<Entry> {
        self.check_store(store)?;
        store.resources.take(self.handle)
    }

    /// Checks that this can be given to a function of `instance` that expects this handle.
    ///
    /// # Errors
    /// Why it cannot.
    pub(crate) fn check(
        &self,
        store: &StoreOpaque,
        instance: &InstanceData,
        handle: HandleUse,
    ) -> Result<()> {
        let entry = self.get(store)?;
        if Some(entry.ty) != instance.resource_type(handle.resource()) {
            return Err(Error::msg(
                "found a resource of another type than the function's",
            ));
        }
        if !handle.is_borrow() && !entry.owned {
            return Err(Error::msg(
                "found a borrowed resource, expected an owned one",
            ));
        }
        Ok(())
    }

    /// Gives the resource to a guest: its handle there, or its representation if the guest defines
    /// it and borrows.
    ///
    /// # Errors
    /// As [`ResourceAny::check`]; or it is lent, or the guest's table is full.
    pub(crate) fn lower_as(&self, cx: &mut LowerContext<'_>, handle: HandleUse) -> Result<u32> {
        self.check(cx.store(), cx.instance(), handle)?;
        if !handle.is_borrow() {
            let entry = self.take(cx.store_mut())?;
            return cx.add_handle(handle, entry.rep);
        }
        let entry = cx.store_mut().resources.lend(self.handle)?;
        if cx.defines(handle.resource()) {
            return Ok(entry.rep);
        }
        cx.add_handle(handle, entry.rep)
    }

    /// Gets a resource from a guest.
    ///
    /// # Errors
    /// The traps of the specification.
    pub(crate) fn lift_as(
        cx: &mut LiftContext<'_>,
        handle_use: HandleUse,
        handle: u32,
    ) -> Result<ResourceAny> {
        let resource = handle_use.resource();
        let instance = cx.instance();
        let Some(ty) = instance.resource_type(resource) else {
            return Err(Error::msg(
                "a handle of a resource that the artifact does not have",
            ));
        };
        let origin = instance.index().map(|index| (index, resource));
        let rep = cx.take_handle(handle_use, handle)?;
        let owned = !handle_use.is_borrow();
        let entry = Entry::new(rep, ty, origin, owned);
        Ok(ResourceAny {
            store: cx.store_id(),
            handle: cx.add_to_host(entry)?,
            owned,
        })
    }
}

impl Handle for ResourceAny {
    fn handle() -> HandleType {
        HandleType::ANY
    }

    fn lower(&self, cx: &mut LowerContext<'_>) -> Result<u32> {
        let handle = cx.handle_use()?;
        self.lower_as(cx, handle)
    }

    fn lift(cx: &mut LiftContext<'_>, handle: u32) -> Result<ResourceAny> {
        let handle_use = cx.handle_use()?;
        ResourceAny::lift_as(cx, handle_use, handle)
    }
}

/// The result of a destructor of the host.
fn host_result(store: &mut StoreOpaque, returned: RawReturn) -> Result<()> {
    match (returned.status, store.take_host_failure()) {
        (0, _) => Ok(()),
        (_, Some(HostFailure::Error(error))) => Err(error),
        (_, Some(HostFailure::Panic(payload))) => std::panic::resume_unwind(payload),
        (_, None) => Err(Error::trapped(TrapCode::HostError)),
    }
}
