//! Host functions that wait, whose types Rust knows.
//!
//! They run on the fiber of the call that the guest is in ([`fiber`](crate::vm::fiber)).
#![allow(unsafe_code, reason = "is called by machine code")]

use std::marker::PhantomData;

use super::typed::Flat;
use super::{HostCall, import, shim, with_loans};
use crate::error::Result;
use crate::values::{ComponentNamedList, Lift, LiftContext, Lower, LowerContext};
use crate::vm::caller::{Caller, apart};
use crate::vm::canon::CanonOptions;
use crate::vm::enter::Failure;
use crate::vm::imports::HostImport;
use crate::vm::store_context::StoreContextMut;

/// A function whose type is that of `P` and `R`, and which returns a future.
pub(super) struct Waiting<T, F, P, R> {
    func: F,
    signature: PhantomData<fn(T, P) -> R>,
}

impl<T, F, P, R> Waiting<T, F, P, R>
where
    T: 'static,
    F: for<'a> Fn(StoreContextMut<'a, T>, P) -> Box<dyn Future<Output = Result<R>> + Send + 'a>
        + Send
        + Sync
        + 'static,
    P: ComponentNamedList + Lift + 'static,
    R: ComponentNamedList + Lower + 'static,
{
    /// A constant, so that one shim is compiled and not all.
    const SHIM: *const () = shim::<Self>(Flat::<P, R>::ARG_COUNT);

    pub(super) fn import(func: F) -> HostImport {
        let host = Waiting::<T, F, P, R> {
            func,
            signature: PhantomData,
        };
        HostImport {
            is_async: true,
            ..import(host, Self::SHIM)
        }
    }

    /// # Safety
    /// - As for [`HostCall::call`].
    unsafe fn run(
        &self,
        store: &mut StoreContextMut<'_, T>,
        options: &CanonOptions,
        args: &[u64],
    ) -> Result<u64, Failure> {
        let context = options.context();
        // SAFETY: the context of an instance of the store (the caller's contract).
        unsafe { store.begin_host_call(context) }?;
        // SAFETY: as for this.
        let results = unsafe { self.lift_and_wait(store, options, args) };
        // SAFETY: as above.
        let results = unsafe { store.end_host_call(context, results) }?;
        apart(|| {
            // SAFETY: the instance is one of the store, in which wasm is active.
            let mut cx = unsafe { LowerContext::at_handle(store.opaque(), options, P::HANDLES) };
            Flat::<P, R>::lower(&mut cx, &results, args).map_err(Failure::Guest)
        })
    }

    /// # Safety
    /// - As for [`HostCall::call`].
    unsafe fn lift_and_wait(
        &self,
        store: &mut StoreContextMut<'_, T>,
        options: &CanonOptions,
        args: &[u64],
    ) -> Result<R, Failure> {
        let waiter = store.opaque().waiter(Caller::Guest)?;
        let params = apart(|| {
            // SAFETY: the instance is live and has stopped (the caller's contract); the context is
            // dropped before the host's function runs.
            let mut cx = unsafe { LiftContext::with_handles(options, store.opaque(), 0) };
            Flat::<P, R>::lift(&mut cx, args).map_err(Failure::Guest)
        })?;
        let future = || (self.func)(store.reborrow(), params);
        waiter
            .wait_for_boxed(future)
            .map_err(|cancelled| Failure::Host(cancelled.into()))?
            .map_err(Failure::Host)
    }
}

impl<T, F, P, R> HostCall for Waiting<T, F, P, R>
where
    T: 'static,
    F: for<'a> Fn(StoreContextMut<'a, T>, P) -> Box<dyn Future<Output = Result<R>> + Send + 'a>
        + Send
        + Sync
        + 'static,
    P: ComponentNamedList + Lift + 'static,
    R: ComponentNamedList + Lower + 'static,
{
    type Data = T;

    unsafe fn call(
        &self,
        store: &mut StoreContextMut<'_, T>,
        options: &CanonOptions,
        args: &[u64],
    ) -> Result<u64, Failure> {
        // SAFETY: the caller's contract.
        let run = |store: &mut StoreContextMut<'_, T>| unsafe { self.run(store, options, args) };
        if P::HANDLES == 0 {
            return run(store);
        }
        // SAFETY: the caller's contract.
        unsafe { with_loans(store, options, run) }
    }
}
