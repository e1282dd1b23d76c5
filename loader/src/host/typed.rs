//! Host functions whose types Rust knows.
#![allow(unsafe_code, reason = "is called by machine code")]

use std::marker::PhantomData;

use cwasm_format::abi::MAX_FLAT_RESULTS;

use super::{HostCall, import, shim, with_loans};
use crate::error::Result;
use crate::values::{ComponentNamedList, Lift, LiftContext, Lower, LowerContext};
use crate::vm::canon::CanonOptions;
use crate::vm::enter::Failure;
use crate::vm::imports::HostImport;
use crate::vm::store_context::{AsContextMut, StoreContextMut};

/// A function whose type is that of `P` and `R`.
pub(super) struct Typed<T, F, P, R> {
    func: F,
    signature: PhantomData<fn(T, P) -> R>,
}

impl<T, F, P, R> Typed<T, F, P, R>
where
    T: 'static,
    F: Fn(StoreContextMut<'_, T>, P) -> Result<R> + Send + Sync + 'static,
    P: ComponentNamedList + Lift + 'static,
    R: ComponentNamedList + Lower + 'static,
{
    /// A constant, so that one shim is compiled and not all.
    const SHIM: *const () = shim::<Self>(Flat::<P, R>::ARG_COUNT);

    pub(super) fn import(func: F) -> HostImport {
        import(
            Typed::<T, F, P, R> {
                func,
                signature: PhantomData,
            },
            Self::SHIM,
        )
    }
}

/// Parameters `P` and results `R` as the arguments and the result of a shim.
pub(super) struct Flat<P, R>(PhantomData<fn(P) -> R>);

impl<P, R> Flat<P, R>
where
    P: ComponentNamedList + Lift + 'static,
    R: ComponentNamedList + Lower + 'static,
{
    /// How many arguments the parameters are.
    const PARAM_COUNT: usize = if P::FLAT.fits() { P::FLAT.count() } else { 1 };
    /// Whether one more argument says where the results go.
    const HAS_OUT_POINTER: bool = R::FLAT.count() > MAX_FLAT_RESULTS;
    /// How many arguments there are.
    pub(super) const ARG_COUNT: usize = Self::PARAM_COUNT + Self::HAS_OUT_POINTER as usize;

    #[inline(always)]
    pub(super) fn lift(cx: &mut LiftContext<'_>, args: &[u64]) -> Result<P> {
        if P::FLAT.fits() {
            return P::lift_flat(cx, &args[..P::FLAT.count()]);
        }
        let bytes = cx.pointed(args[0], P::LAYOUT)?;
        P::load(cx, bytes)
    }

    #[inline(always)]
    pub(super) fn lower(cx: &mut LowerContext<'_>, results: &R, args: &[u64]) -> Result<u64> {
        if Self::HAS_OUT_POINTER {
            let offset = cx.out_pointer(args[Self::PARAM_COUNT], R::LAYOUT)?;
            results.store(cx, offset)?;
            return Ok(0);
        }
        let mut value = [0; MAX_FLAT_RESULTS];
        results.lower_flat(cx, &mut value[..R::FLAT.count()])?;
        Ok(value[0])
    }
}

impl<T, F, P, R> HostCall for Typed<T, F, P, R>
where
    T: 'static,
    F: Fn(StoreContextMut<'_, T>, P) -> Result<R> + Send + Sync + 'static,
    P: ComponentNamedList + Lift + 'static,
    R: ComponentNamedList + Lower + 'static,
{
    type Data = T;

    #[inline(always)]
    unsafe fn call(
        &self,
        store: &mut StoreContextMut<'_, T>,
        options: &CanonOptions,
        args: &[u64],
    ) -> Result<u64, Failure> {
        if P::HANDLES == 0 {
            // SAFETY: the caller's contract.
            return unsafe { self.run(store, options, args) };
        }
        // SAFETY: the caller's contract.
        let run = |store: &mut StoreContextMut<'_, T>| unsafe { self.run(store, options, args) };
        // SAFETY: the caller's contract.
        unsafe { with_loans(store, options, run) }
    }
}

impl<T, F, P, R> Typed<T, F, P, R>
where
    T: 'static,
    F: Fn(StoreContextMut<'_, T>, P) -> Result<R> + Send + Sync + 'static,
    P: ComponentNamedList + Lift + 'static,
    R: ComponentNamedList + Lower + 'static,
{
    /// # Safety
    /// - As for [`HostCall::call`].
    #[inline(always)]
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
        let results = unsafe { self.lift_and_call(store, options, args) };
        // SAFETY: as above.
        let results = unsafe { store.end_host_call(context, results) }?;
        // SAFETY: the instance is one of the store, in which wasm is active.
        let mut cx = unsafe { LowerContext::at_handle(store.opaque(), options, P::HANDLES) };
        Flat::<P, R>::lower(&mut cx, &results, args).map_err(Failure::Guest)
    }

    /// # Safety
    /// - As for [`HostCall::call`].
    #[inline(always)]
    unsafe fn lift_and_call(
        &self,
        store: &mut StoreContextMut<'_, T>,
        options: &CanonOptions,
        args: &[u64],
    ) -> Result<R, Failure> {
        let params = {
            // SAFETY: the instance is live and has stopped (the caller's contract); the context is
            // dropped before the host's function runs.
            let mut cx = unsafe { LiftContext::with_handles(options, store.opaque(), 0) };
            Flat::<P, R>::lift(&mut cx, args).map_err(Failure::Guest)?
        };
        (self.func)(store.as_context_mut(), params).map_err(Failure::Host)
    }
}
