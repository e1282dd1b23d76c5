//! Entering instances and leaving them: the checks when host and guests call each other.
//!
//! Instances may be entered again while they wait for a call of their own, so that an entry has
//! nothing to write, and nothing to compare but one word of the store
//! ([`Watch`](super::watch::Watch)). It is 0 unless there is something to do:
//!
//! - the host has set a hook;
//! - something has trapped, so that the contexts of some component are [closed](VmContext::closed);
//! - results lie in the memory of an instance until their post-return, so that its context is
//!   [held](VmContext::held);
//! - the host does not want active instances to be entered: then a context is held by each call of
//!   a host function, the only place from which an active instance could be entered.
//!
//! **Invariant:** the word is not 0 as long as the context of a component is closed or held.
//! **Invariant:** nothing of a component runs once its context is closed: neither is it entered,
//! nor does a host function return to it. The same holds while results lie in its memory.
#![allow(unsafe_code, reason = "reads and writes the heads of contexts")]

use std::any::Any;
use std::ptr::NonNull;

use cwasm_format::TrapCode;
use cwasm_format::vmctx::{RawReturn, VmContext};

use super::caller::Caller;
use super::hook::CallHook;
use super::store::{HostFailure, StoreOpaque};
use super::store_context::StoreContextMut;
use crate::error::{Error, Result};

/// Why a host function did not return.
pub(crate) enum Failure {
    /// The guest: its values are wrong, its `realloc` failed, or it cannot continue.
    Guest(Error),
    /// The host's function failed.
    Host(Error),
}

/// Keeps the error for the caller of the guest, and returns the trap that the trampoline raises.
#[cold]
#[inline(never)]
pub(crate) fn fail(store: &mut StoreOpaque, failure: Failure) -> RawReturn {
    let code = match failure {
        Failure::Guest(error) => {
            let trap = error.trap().map(|trap| (trap.code(), !trap.has_frames()));
            // The trap that the trampoline raises says it all, but for where `realloc` was.
            if !matches!(trap, Some((_, true))) {
                store.set_host_failure(HostFailure::Error(error));
            }
            trap.map_or(TrapCode::HostError, |(code, _)| code)
        }
        Failure::Host(error) => {
            store.set_host_failure(HostFailure::Error(error));
            TrapCode::HostError
        }
    };
    RawReturn {
        value: 0,
        status: code.number().into(),
    }
}

#[cold]
#[inline(never)]
pub(crate) fn panicked(store: &mut StoreOpaque, payload: Box<dyn Any + Send>) -> RawReturn {
    store.set_host_failure(HostFailure::Panic(payload));
    RawReturn {
        value: 0,
        status: TrapCode::HostError.number().into(),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Host(error)
    }
}

/// The slow paths take a copy of the reference, so that the fast ones keep theirs in a register.
impl<T: 'static> StoreContextMut<'_, T> {
    /// The host is about to call a function of the instance.
    ///
    /// # Errors
    /// The hook's; [`TrapCode::CannotEnter`].
    ///
    /// # Safety
    /// - `context` is the context of an instance of this store.
    #[inline(always)]
    pub(crate) unsafe fn begin_guest_call(
        &mut self,
        context: NonNull<VmContext>,
        caller: Caller,
    ) -> Result<()> {
        if self.opaque().watch.is_idle() {
            return Ok(());
        }
        // SAFETY: the caller's contract.
        unsafe { self.reborrow().begin_watched_guest_call(context, caller) }
    }

    /// # Safety
    /// - As for [`begin_guest_call`](StoreContextMut::begin_guest_call).
    #[cold]
    #[inline(never)]
    unsafe fn begin_watched_guest_call(
        mut self,
        context: NonNull<VmContext>,
        caller: Caller,
    ) -> Result<()> {
        self.call_hook(CallHook::CallingWasm, caller)?;
        // SAFETY: live, and the store is ours (the caller's contract).
        let VmContext { closed, held, .. } = unsafe { context.read() };
        if (closed, held) == (0, 0) {
            return Ok(());
        }
        self.call_hook(CallHook::ReturningFromWasm, caller)?;
        Err(Error::trapped(TrapCode::CannotEnter))
    }

    /// A call of the host is over, with its result.
    ///
    /// # Errors
    /// The call's, or else the hook's.
    #[inline(always)]
    pub(crate) fn end_guest_call<R>(&mut self, result: Result<R>, caller: Caller) -> Result<R> {
        if self.opaque().watch.is_idle() {
            return result;
        }
        let told = self
            .reborrow()
            .call_hook(CallHook::ReturningFromWasm, caller);
        let result = result?;
        told.map(|()| result)
    }

    /// The instance is about to call a host function.
    ///
    /// # Errors
    /// The hook's.
    ///
    /// # Safety
    /// - As for [`begin_guest_call`](StoreContextMut::begin_guest_call).
    #[inline(always)]
    pub(crate) unsafe fn begin_host_call(&mut self, context: NonNull<VmContext>) -> Result<()> {
        if self.opaque().watch.is_idle() {
            return Ok(());
        }
        // SAFETY: the caller's contract.
        unsafe { self.reborrow().begin_watched_host_call(context) }
    }

    /// # Safety
    /// - As for [`begin_guest_call`](StoreContextMut::begin_guest_call).
    #[cold]
    #[inline(never)]
    unsafe fn begin_watched_host_call(mut self, mut context: NonNull<VmContext>) -> Result<()> {
        if !self.opaque().watch.refuses_active() {
            return self.call_hook(CallHook::CallingHost, Caller::Guest);
        }
        // SAFETY: live, and the store is ours (the caller's contract).
        unsafe { context.as_mut() }.held += 1;
        let told = self.call_hook(CallHook::CallingHost, Caller::Guest);
        if told.is_err() {
            // The call does not begin.
            // SAFETY: as above; the hook is over.
            unsafe { context.as_mut() }.held -= 1;
        }
        told
    }

    /// A host function is over, with its result: the instance that called it continues, if
    /// it has succeeded.
    ///
    /// # Errors
    /// The function's, or else the hook's. The component has trapped meanwhile:
    /// [`TrapCode::CannotEnter`]. Results lie in its memory.
    ///
    /// # Safety
    /// - As for [`begin_guest_call`](StoreContextMut::begin_guest_call).
    #[inline(always)]
    pub(crate) unsafe fn end_host_call<R>(
        &mut self,
        context: NonNull<VmContext>,
        result: Result<R, Failure>,
    ) -> Result<R, Failure> {
        if self.opaque().watch.is_idle() {
            return result;
        }
        // SAFETY: the caller's contract.
        let watched = unsafe { self.reborrow().end_watched_host_call(context) };
        let result = result?;
        watched.map(|()| result)
    }

    /// # Safety
    /// - As for [`begin_guest_call`](StoreContextMut::begin_guest_call).
    #[cold]
    #[inline(never)]
    unsafe fn end_watched_host_call(
        mut self,
        mut context: NonNull<VmContext>,
    ) -> Result<(), Failure> {
        let told = self.call_hook(CallHook::ReturningFromHost, Caller::Guest);
        // SAFETY: live, and the store is ours (the caller's contract).
        let context = unsafe { context.as_mut() };
        // It is the host's function that holds it: nothing was entered meanwhile.
        if self.opaque().watch.refuses_active() {
            context.held = context.held.saturating_sub(1);
        }
        told?;
        if context.closed != 0 {
            return Err(Failure::Guest(Error::trapped(TrapCode::CannotEnter)));
        }
        if context.held != 0 {
            return Err(Failure::Host(Error::msg(
                "a host function returns before `post_return` of a call of the component that called it",
            )));
        }
        Ok(())
    }

    /// Results lie in the instance's memory, until [`release`](StoreContextMut::release).
    ///
    /// # Safety
    /// - As for [`begin_guest_call`](StoreContextMut::begin_guest_call).
    #[inline]
    pub(crate) unsafe fn hold(&mut self, mut context: NonNull<VmContext>) {
        // SAFETY: live, and the store is ours (the caller's contract).
        unsafe { context.as_mut() }.held += 1;
        self.opaque().watch.add_deferred();
    }

    /// Results lie in the instance's memory no longer.
    ///
    /// # Errors
    /// [`TrapCode::CannotEnter`], if the component has trapped meanwhile.
    ///
    /// # Safety
    /// - As for [`begin_guest_call`](StoreContextMut::begin_guest_call), and it was held by
    ///   [`hold`](StoreContextMut::hold) for these results.
    #[inline]
    pub(crate) unsafe fn release(&mut self, mut context: NonNull<VmContext>) -> Result<()> {
        // SAFETY: live, and the store is ours (the caller's contract).
        let context = unsafe { context.as_mut() };
        context.held -= 1;
        self.opaque().watch.remove_deferred();
        match context.closed {
            0 => Ok(()),
            _ => Err(Error::trapped(TrapCode::CannotEnter)),
        }
    }
}

/// An entry into an instance: unless it is [left](Entered::leave), nothing of its component runs
/// ever again, whether it was an error or a panic that came between.
pub(crate) struct Entered {
    /// Invariant 1: the context of an instance whose store is ours.
    context: NonNull<VmContext>,
}

impl Entered {
    /// # Safety
    /// - `context` is the context of an instance of a store that is ours as long as this is there,
    ///   and no reference into the store is used when it is dropped.
    #[inline(always)]
    pub(crate) unsafe fn new(context: NonNull<VmContext>) -> Entered {
        Entered { context }
    }

    /// Leaves the instance: the call has succeeded.
    #[inline(always)]
    pub(crate) fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Entered {
    #[cold]
    #[inline(never)]
    fn drop(&mut self) {
        // SAFETY: live, and ours (invariant 1).
        let context = unsafe { self.context.as_mut() };
        // If wasm has trapped in it, the thunk has done this already.
        context.closed = 1;
        let store = std::ptr::with_exposed_provenance_mut::<StoreOpaque>(context.store as usize);
        // SAFETY: a context's store is the `VmStore` that its `StoreOpaque` begins with (checked in
        // `store`), which is ours (invariant 1).
        unsafe { &mut *store }.watch.set_trapped();
    }
}

/// Lets the instance be entered again that something has trapped in.
///
/// # Safety
/// - `context` is the context of a live instance of a store that is ours.
#[cfg(feature = "enter-after-trap")]
pub(crate) unsafe fn reopen(mut context: NonNull<VmContext>) {
    // SAFETY: the caller's contract.
    unsafe { context.as_mut() }.closed = 0;
}
