//! Calls of exported functions.
//!
//! ```text
//! TypedFunc::call -> run: ready, lower -> Ready::call -> thunk -> wasm
//!                         lift, post-return, leave
//! ```
//!
//! **Invariant:** nothing of a component runs again once one of its instances was entered and not
//! left in this way ([`Entered`]). An instance that waits for a call of its own may be entered.
#![allow(unsafe_code, reason = "enters machine code")]

#[cfg(feature = "tracing")]
mod export;
#[cfg(feature = "async")]
mod task;
#[cfg(test)]
mod tests;
mod typed;

use std::marker::PhantomData;
use std::sync::Arc;

use cwasm_format::FormatError;
use cwasm_format::abi::{MAX_FLAT_PARAMS, MAX_FLAT_RESULTS};
use cwasm_format::types::{FuncType, Types};

#[cfg(feature = "async")]
use crate::concurrent::Accessor;
use crate::dynamic::{self, Check};
use crate::error::{Error, Result};
use crate::finally::finally;
use crate::signature;
use crate::trace;
use crate::types::ComponentFunc;
use crate::val::Val;
use crate::values::handles::{HandleType, check_handles};
use crate::values::{ComponentNamedList, LiftContext, Lower, LowerContext};
use crate::vm::call::Ready;
use crate::vm::caller::{Caller, apart};
use crate::vm::canon::CallTarget;
use crate::vm::enter::Entered;
#[cfg(feature = "async")]
use crate::vm::fiber::OnFiber;
use crate::vm::handles;
use crate::vm::store::StoreOpaque;
use crate::vm::store_context::{AsContext, AsContextMut, StoreContextMut};

pub use typed::{Deferred, TypedFunc};

/// An exported function whose type is not known to Rust.
///
/// A small handle: the function lives as long as its store.
#[derive(Clone, Copy, Debug)]
pub struct Func {
    target: CallTarget,
}

/// A call that is not over.
#[derive(Clone, Copy)]
struct OpenCall {
    /// Invariant 1: entered and not left yet.
    target: CallTarget,
    /// The value that the core function returned.
    value: u64,
}

impl Func {
    pub(crate) fn new(target: CallTarget) -> Func {
        Func { target }
    }

    /// The function's type.
    ///
    /// # Errors
    /// If `store` is not the function's store, or the artifact's descriptions are malformed.
    pub fn ty(&self, store: impl AsContext) -> Result<ComponentFunc> {
        let store = store.as_context();
        check_owner(&self.target, store.opaque())?;
        let unit = store.opaque().instance(self.target.instance).unit();
        ComponentFunc::new(Arc::clone(unit.description()?), self.target.func_type)
            .ok_or_else(|| Error::new(FormatError::Describe))
    }

    /// This function with parameters `P` and results `R`.
    ///
    /// # Errors
    /// If the function's type is not that of `P` and `R`, or `store` is not its store.
    pub fn typed<P, R>(&self, store: impl AsContext) -> Result<TypedFunc<P, R>>
    where
        P: ComponentNamedList,
        R: ComponentNamedList,
    {
        let store = store.as_context();
        let func = self.typed_again(&store)?;
        if P::HANDLES + R::HANDLES != 0 {
            self.check_handles(store.opaque(), &signature::handles::<P, R>())?;
        }
        Ok(func)
    }

    /// As [`Func::typed`], for code that `bindgen!` makes, with a type that differs in lifetimes
    /// only from the one with which the function was found: its handles have been compared already.
    ///
    /// # Errors
    /// As [`Func::typed`], but for handles.
    #[doc(hidden)]
    pub fn typed_again<P, R>(&self, store: impl AsContext) -> Result<TypedFunc<P, R>>
    where
        P: ComponentNamedList,
        R: ComponentNamedList,
    {
        let store = store.as_context();
        check_owner(&self.target, store.opaque())?;
        let is_async = self.target.hash == const { signature::async_hash::<P, R>() };
        if !is_async && self.target.hash != const { signature::hash::<P, R>() } {
            return Err(self.mismatch(store.opaque(), signature::of_rust::<P, R>()));
        }
        Ok(TypedFunc {
            target: self.target,
            signature: PhantomData,
        })
    }

    /// Checks that the handles in the function's type are what Rust expects.
    fn check_handles(&self, store: &StoreOpaque, rust: &[HandleType]) -> Result<()> {
        let instance = store.instance(self.target.instance);
        // SAFETY: the instance is one of the store, which is borrowed meanwhile.
        let uses = unsafe { self.target.options.uses() };
        check_handles(uses, rust, instance.host_resources(), instance.unit())
            .map_err(|error| Error::msg(format_args!("type mismatch: {error}")))
    }

    /// Checks which of the handles in the function's type are borrowed.
    ///
    /// # Errors
    /// If others are, or `store` is not its store.
    pub(crate) fn check_borrows(&self, store: &StoreOpaque, is_borrow: &[bool]) -> Result<()> {
        check_owner(&self.target, store)?;
        let expected = is_borrow.iter().map(|it| HandleType::ANY.expect(*it));
        self.check_handles(store, &expected.collect::<Vec<_>>())
    }

    #[cold]
    fn mismatch(&self, store: &StoreOpaque, rust: String) -> Error {
        let unit = store.instance(self.target.instance).unit();
        let component = unit
            .description()
            .map(|description| signature::of_component(description, self.target.func_type));
        match component {
            Ok(Some(component)) => Error::msg(format_args!(
                "type mismatch: expected `{component}`, found `{rust}`"
            )),
            other => {
                let error = other.err().unwrap_or(FormatError::Describe);
                Error::new(error).context(format!(
                    "type mismatch: expected a function of another type, found `{rust}`"
                ))
            }
        }
    }

    /// Calls the function and writes its results to `results`, which must be as long as there are
    /// results: one or none.
    ///
    /// # Errors
    /// - Values of another number or other types than the function's, or resources that are not
    ///   there any more: the guest is not entered. (A resource that is given twice, or given while
    ///   it is lent, is noticed only when it is lowered: the instance can never be entered again.)
    /// - The guest traps, or its result is not a value of the result's type: the instance can
    ///   never be entered again. [`Error::trap`] has the reason.
    /// - The instance cannot be entered, `store` is not its store, or the artifact's descriptions
    ///   are malformed.
    ///
    /// # Panics
    /// If a host function panics that the guest calls.
    pub fn call(
        &self,
        mut store: impl AsContextMut,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        let mut store = store.as_context_mut();
        trace::enter!(TRACE, "call", export = %export::name(store.opaque(), &self.target));
        self.call_for(&mut store, params, results, Caller::Host)
    }

    /// As [`call`](Func::call), of a component whose imports may wait: see
    /// [`TypedFunc::call_async`].
    ///
    /// # Errors
    /// As [`call`](Func::call).
    ///
    /// # Panics
    /// As [`call`](Func::call).
    #[cfg(feature = "async")]
    pub async fn call_async(
        &self,
        mut store: impl AsContextMut<Data: Send>,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        let mut store = store.as_context_mut();
        check_owner(&self.target, store.opaque())?;
        if self.target.task != 0 {
            let call = task::Dynamic::new(&self.target, store.opaque(), params, results.len())?;
            let result = trace::in_span!(
                task::call_async(store.reborrow(), &self.target, call),
                TRACE,
                "call",
                export = %export::name(store.opaque(), &self.target)
            )
            .await?;
            results
                .iter_mut()
                .zip(result)
                .for_each(|(place, val)| *place = val);
            return Ok(());
        }
        if !store.uses_fiber(self.target.instance) {
            trace::enter!(TRACE, "call", export = %export::name(store.opaque(), &self.target));
            return self.call_for(&mut store, params, results, Caller::Host);
        }
        let func = *self;
        let call = move |mut store: StoreContextMut<'_, _>| {
            func.call_for(&mut store, params, results, Caller::Fiber)
        };
        trace::in_span!(
            OnFiber::new(store.reborrow(), call),
            TRACE,
            "call",
            export = %export::name(store.opaque(), &self.target)
        )
        .await
    }

    /// Calls the function beside other calls of the store: see [`TypedFunc::call_concurrent`].
    ///
    /// # Errors
    /// As [`call`](Func::call), and [`TypedFunc::call_concurrent`].
    ///
    /// # Panics
    /// As [`TypedFunc::call_concurrent`].
    #[cfg(feature = "async")]
    pub async fn call_concurrent<T: 'static>(
        &self,
        accessor: &Accessor<T>,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        accessor.with(|mut store| check_owner(&self.target, store.opaque()))?;
        if self.target.task != 0 {
            let call = accessor.with(|mut store| {
                task::Dynamic::new(&self.target, store.opaque(), params, results.len())
            })?;
            let result = trace::in_span!(
                task::call_concurrent(accessor, &self.target, call),
                TRACE,
                "call",
                export = %accessor.with(|mut store| export::name(store.opaque(), &self.target).to_string())
            )
            .await?;
            results
                .iter_mut()
                .zip(result)
                .for_each(|(place, val)| *place = val);
            return Ok(());
        }
        accessor.with(|mut store| match store.needs_fiber(self.target.instance) {
            true => Err(needs_call_async()),
            false => self.call(store, params, results),
        })
    }

    fn call_for<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        params: &[Val],
        results: &mut [Val],
        caller: Caller,
    ) -> Result<()> {
        check_owner(&self.target, store.opaque())?;
        #[cfg(feature = "async")]
        if self.target.task != 0 {
            let call = task::Dynamic::new(&self.target, store.opaque(), params, results.len())?;
            let result = task::call(store, &self.target, call)?;
            results
                .iter_mut()
                .zip(result)
                .for_each(|(place, val)| *place = val);
            return Ok(());
        }
        let unit = Arc::clone(store.opaque().instance(self.target.instance).unit());
        let description = unit.description()?;
        let types = &description.types;
        let Some(func) = description.funcs.get(self.target.func_type as usize) else {
            return Err(Error::new(FormatError::Describe));
        };
        apart(|| {
            let store = &*store.opaque();
            let instance = store.instance(self.target.instance);
            let check = Check {
                types,
                handle: &|handle, resource| resource.check(store, instance, handle),
            };
            check.all(func.params.iter().map(|(_, ty)| *ty), params, "parameter")
        })?;
        if results.len() != usize::from(func.result.is_some()) {
            let (found, expected) = (results.len(), usize::from(func.result.is_some()));
            return Err(Error::msg(format_args!(
                "found {found} results, expected {expected}"
            )));
        }
        // SAFETY: the context of an instance of this store, which was just compared.
        unsafe { store.begin_guest_call(self.target.options.context(), caller) }?;
        let result = lending(store, |store| {
            self.call_checked(store, (types, func), params, results, caller)
        });
        store.end_guest_call(result, caller)
    }

    /// Calls the function with values of its type.
    fn call_checked<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        (types, func): (&Types, &FuncType),
        params: &[Val],
        results: &mut [Val],
        caller: Caller,
    ) -> Result<()> {
        let ready = apart(|| Ready::of(store.opaque(), caller))?;
        // SAFETY: an instance of this store, which is ours; references into it are made anew.
        let entered = unsafe { Entered::new(self.target.options.context()) };
        let mut args = [0; MAX_FLAT_PARAMS];
        let (count, scope) = apart(|| {
            // SAFETY: the instance is one of this store, which was just entered.
            let mut cx = unsafe { LowerContext::new(store.opaque(), &self.target.options) };
            let count = dynamic::lower_params(types, func, params, &mut cx, &mut args)?;
            Ok::<_, Error>((count, cx.scope()))
        })?;
        let target = &self.target;
        // SAFETY: the thunk and the context of a live instance that was just entered, with
        // arguments of the function's type; no reference into the store is held.
        let value = unsafe { ready.call(target.code, target.options.context(), &args[..count]) }?;
        // SAFETY: the function of this instance has returned.
        unsafe { check_dropped(&self.target, scope) }?;
        if let Some(result) = results.first_mut() {
            apart(|| {
                // SAFETY: the instance is live, no wasm runs, and the context is dropped before.
                let mut cx =
                    unsafe { LiftContext::with_handles(&self.target.options, store.opaque(), 0) };
                let Some(ty) = func.result else {
                    return Err(Error::new(FormatError::Describe));
                };
                *result = dynamic::lift_result(types, ty, &mut cx, &[value], MAX_FLAT_RESULTS)?;
                Ok::<_, Error>(())
            })?;
        }
        let arg_count = types.result_flat(func).count().min(MAX_FLAT_RESULTS);
        // SAFETY: the call is this one, and returned as many values.
        unsafe { post_return(target, ready, &[value][..arg_count]) }?;
        entered.leave();
        Ok(())
    }

    /// Lets the instance be entered again that a trap closed for good.
    ///
    /// Only for the suites of core WebAssembly, which call a module again after it trapped: inside
    /// a component it is the component model that forbids this, not the module.
    ///
    /// # Errors
    /// If `store` is not the function's store.
    #[cfg(feature = "enter-after-trap")]
    #[doc(hidden)]
    pub fn enter_after_trap(&self, mut store: impl AsContextMut) -> Result<()> {
        check_owner(&self.target, store.as_context_mut().opaque())?;
        // SAFETY: the store owns the instance, and is ours.
        unsafe { crate::vm::enter::reopen(self.target.options.context()) };
        // SAFETY: as above.
        unsafe {
            self.target
                .options
                .set_flags(cwasm_format::vmctx::flags::INITIAL)
        };
        Ok(())
    }
}

/// Traps if the instance has not dropped all handles that the call has lent it, in this scope.
///
/// # Safety
/// - The instance of the function is live, and does not run.
unsafe fn check_dropped(target: &CallTarget, scope: Option<u32>) -> Result<()> {
    let Some(scope) = scope else { return Ok(()) };
    // SAFETY: no wasm runs, and the reference is not kept.
    match unsafe { target.options.handles() } {
        Some(table) => handles::close(table, scope).map_err(Error::trapped),
        None => Ok(()),
    }
}

/// Checks that a function is called with its own store: that it is live, and ours.
#[inline(always)]
fn check_store(target: &CallTarget, store: &StoreOpaque) -> Result<()> {
    if target.store == store.id() {
        Ok(())
    } else {
        Err(wrong_store())
    }
}

/// As [`check_store`], for all functions.
fn check_owner(target: &CallTarget, store: &StoreOpaque) -> Result<()> {
    if target.owner == store.id() {
        Ok(())
    } else {
        Err(wrong_store())
    }
}

#[cfg(feature = "async")]
#[cold]
fn needs_call_async() -> Error {
    Error::msg("a function whose component waits on a stack of its own needs `call_async`")
}

#[cold]
fn wrong_store() -> Error {
    Error::msg("a function is used with another store than its own")
}

/// Lowers parameters whose types Rust knows: flat, or to memory with the pointer as argument.
///
/// # Errors
/// If they cannot be lowered.
#[inline(always)]
fn lower_params<P: Lower>(
    cx: &mut LowerContext<'_>,
    params: &P,
    args: &mut [u64; MAX_FLAT_PARAMS],
) -> Result<()> {
    if P::FLAT.fits() {
        return params.lower_flat(cx, &mut args[..P::FLAT.count()]);
    }
    let pointer = cx.allocate_value(P::LAYOUT)?;
    args[0] = pointer as u64;
    params.store(cx, pointer)
}

/// Runs post-return, if the function has one, for these values that the core function returned.
///
/// # Errors
/// The guest's trap.
///
/// # Safety
/// - `ready` is for the store of the function, which waits for this, and is ours.
/// - The core function returned these values, one or none.
#[inline(always)]
unsafe fn post_return(target: &CallTarget, ready: Ready, values: &[u64]) -> Result<()> {
    let options = &target.options;
    let Some(code) = target.post_return else {
        return Ok(());
    };
    // SAFETY: the store owns the instance, and is ours (the caller's contract).
    let flags = unsafe { options.flags() };
    // SAFETY: as above.
    unsafe { options.set_flags(0) };
    // SAFETY: post-return takes what the core function returned (the caller's contract).
    unsafe { ready.call(code, options.context(), values) }?;
    // SAFETY: as above.
    unsafe { options.set_flags(flags) };
    Ok(())
}

/// Runs a call whose parameters have handles, and ends its loans afterwards.
fn lending<T: 'static, R>(
    store: &mut StoreContextMut<'_, T>,
    call: impl FnOnce(&mut StoreContextMut<'_, T>) -> R,
) -> R {
    let lent = store.opaque().resources.begin_guest_call();
    finally(store, call, |store| {
        store.opaque().resources.end_guest_call(lent);
    })
}

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Func>();
    is_send_and_sync::<TypedFunc<(std::rc::Rc<str>,), (std::rc::Rc<str>,)>>();
};
