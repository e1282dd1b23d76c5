//! Calls of functions whose types Rust knows.
#![allow(unsafe_code, reason = "enters machine code")]

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use cwasm_format::abi::{MAX_FLAT_PARAMS, MAX_FLAT_RESULTS};
use cwasm_format::hash::TypeHash;

#[cfg(feature = "tracing")]
use super::export;
use super::{Func, OpenCall, check_dropped, check_store, lending, lower_params, post_return};
#[cfg(feature = "async")]
use super::{check_owner, task};
#[cfg(feature = "async")]
use crate::concurrent::Accessor;
use crate::error::{Error, Result};
use crate::signature;
use crate::trace;
use crate::values::{ComponentNamedList, Lift, LiftContext, Lower, LowerContext};
use crate::vm::call::Ready;
use crate::vm::caller::Caller;
#[cfg(feature = "async")]
use crate::vm::caller::apart;
use crate::vm::canon::CallTarget;
use crate::vm::enter::Entered;
#[cfg(feature = "async")]
use crate::vm::fiber::OnFiber;
use crate::vm::store_context::{AsContextMut, StoreContextMut};

/// An exported function that takes `P` and returns `R`, both tuples: `TypedFunc<(u32, &str),
/// (String,)>`.
///
/// Everything that a call needs is resolved. A small handle: the function lives as long as
/// its store.
///
/// ```no_run
/// # fn example(mut store: cwasm::Store<()>, instance: cwasm::Instance) -> cwasm::Result<()> {
/// let add = instance.get_typed_func::<(u32, u32), (u32,)>(&mut store, "add")?;
/// let (sum,) = add.call(&mut store, (1, 2))?;
/// assert_eq!(sum, 3);
/// # Ok(())
/// # }
/// ```
pub struct TypedFunc<P, R> {
    /// Invariant 1: a function whose type's hash is that of `P` and `R`.
    pub(super) target: CallTarget,
    pub(super) signature: PhantomData<fn(P) -> R>,
}

/// The result of [`TypedFunc::call_deferred`]; the guest waits for its post-return.
///
/// It dereferences to the result, and goes to [`TypedFunc::post_return`]: if it is dropped, the
/// instance can never be entered again.
#[must_use = "the instance cannot be entered again before `TypedFunc::post_return`"]
pub struct Deferred<R> {
    result: R,
    call: OpenCall,
}

impl<P: ComponentNamedList, R: ComponentNamedList> TypedFunc<P, R> {
    /// The function whose type has this hash. `None` if that is the hash of another type, or there
    /// are handles, which take another look.
    #[inline(always)]
    pub(crate) fn of_plain(hash: TypeHash, target: impl FnOnce() -> CallTarget) -> Option<Self> {
        let same = hash == const { signature::hash::<P, R>() };
        let plain = const { P::HANDLES + R::HANDLES == 0 };
        (same && plain).then(|| TypedFunc {
            target: target(),
            signature: PhantomData,
        })
    }
}

impl<P, R> TypedFunc<P, R> {
    /// The function without its Rust type.
    pub fn func(&self) -> Func {
        Func::new(self.target)
    }
}

impl<P, R> TypedFunc<P, R>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    /// How many arguments the parameters are.
    const ARG_COUNT: usize = if P::FLAT.fits() { P::FLAT.count() } else { 1 };
    /// How many values the core function returns.
    const RESULT_COUNT: usize = if R::FLAT.count() < MAX_FLAT_RESULTS {
        R::FLAT.count()
    } else {
        MAX_FLAT_RESULTS
    };

    /// Calls the function.
    ///
    /// Does not compile for results that are views of the guest's memory, such as
    /// [`WasmStr`](crate::WasmStr): see [`TypedFunc::call_deferred`].
    ///
    /// # Errors
    /// - The guest traps, or its result is not an `R`: the instance can never be entered again.
    ///   [`Error::trap`] has the reason.
    /// - A host function that the guest calls fails: [`Error::downcast_ref`] finds its error. The
    ///   instance can never be entered again.
    /// - The instance cannot be entered: its component has trapped, results lie in its memory until
    ///   [`TypedFunc::post_return`], or it is active and the host does not want
    ///   [re-entrance](crate::Config::allow_reentrance).
    /// - `store` is not the function's store.
    /// - The thread runs on another stack than its own, as in a coroutine, or its stack has no
    ///   guard pages: then the end of the stack would not be noticed.
    ///
    /// # Panics
    /// If a host function panics that the guest calls.
    #[inline]
    pub fn call(&self, mut store: impl AsContextMut, params: P) -> Result<R> {
        const {
            assert!(
                !R::HOLDS_VIEWS,
                "a view of the guest's memory needs `call_deferred`"
            )
        };
        let mut store = store.as_context_mut();
        trace::enter!(TRACE, "call", export = %export::name(store.opaque(), &self.target));
        #[cfg(feature = "async")]
        if check_store(&self.target, store.opaque()).is_err() {
            return self.call_task(store, params);
        }
        #[cfg(not(feature = "async"))]
        check_store(&self.target, store.opaque())?;
        // SAFETY: the context of an instance of this store, which was just compared.
        unsafe { store.begin_guest_call(self.target.options.context(), Caller::Host) }?;
        let result = if P::HANDLES == 0 {
            self.run(&mut store, params, true)
        } else {
            lending(&mut store, |store| self.run(store, params, true))
        };
        store.end_guest_call(result.map(|(result, _)| result), Caller::Host)
    }

    /// Calls the function, of a component whose imports may wait
    /// ([`LinkerInstance::func_wrap_async`](crate::LinkerInstance::func_wrap_async)). If none of
    /// them does, and no [hook](crate::Store::set_call_hook_async), this is [`TypedFunc::call`];
    /// otherwise the call has a stack of its own, on which it waits.
    ///
    /// The call is cancelled if the future is dropped before it is ready: the host function that it
    /// waits for is dropped, and nothing of the component runs any more.
    ///
    /// # Errors
    /// As [`TypedFunc::call`]; or there is no memory for a stack.
    ///
    /// # Panics
    /// As [`TypedFunc::call`].
    #[cfg(feature = "async")]
    pub async fn call_async(&self, mut store: impl AsContextMut<Data: Send>, params: P) -> Result<R>
    where
        P: Send,
        R: Send,
    {
        let mut store = store.as_context_mut();
        check_owner(&self.target, store.opaque())?;
        if self.target.task != 0 {
            return trace::in_span!(
                task::call_async(store.reborrow(), &self.target, task::Typed::new(params)),
                TRACE,
                "call",
                export = %export::name(store.opaque(), &self.target)
            )
            .await;
        }
        if !store.uses_fiber(self.target.instance) {
            return self.call(store, params);
        }
        let func = *self;
        let call = move |mut store: StoreContextMut<'_, _>| func.call_on_fiber(&mut store, params);
        trace::in_span!(
            OnFiber::new(store.reborrow(), call),
            TRACE,
            "call",
            export = %export::name(store.opaque(), &self.target)
        )
        .await
    }

    /// Calls the function beside other calls of the store, in
    /// [`Store::run_concurrent`](crate::Store::run_concurrent). A function that no task can wait in
    /// runs at once, as by [`call`](TypedFunc::call). If the future is dropped, the call goes on,
    /// and its result is dropped.
    ///
    /// # Errors
    /// As [`call`](TypedFunc::call); or the component was not made for concurrent calls, and has
    /// imports that wait
    /// ([`LinkerInstance::func_wrap_async`](crate::LinkerInstance::func_wrap_async)).
    ///
    /// # Panics
    /// As [`call`](TypedFunc::call); or as [`Accessor::with`](crate::Accessor::with).
    #[cfg(feature = "async")]
    pub async fn call_concurrent<T: 'static>(&self, accessor: &Accessor<T>, params: P) -> Result<R>
    where
        P: Send + 'static,
        R: Send + 'static,
    {
        accessor.with(|mut store| check_owner(&self.target, store.opaque()))?;
        if self.target.task != 0 {
            let call = task::Typed::new(params);
            return trace::in_span!(
                task::call_concurrent(accessor, &self.target, call),
                TRACE,
                "call",
                export = %accessor.with(|mut store| export::name(store.opaque(), &self.target).to_string())
            )
            .await;
        }
        accessor.with(|mut store| match store.needs_fiber(self.target.instance) {
            true => Err(super::needs_call_async()),
            false => self.call(store, params),
        })
    }

    /// Calls a function that is called as a task, of this store.
    ///
    /// # Errors
    /// As [`call`](TypedFunc::call); or it waits for the host.
    #[cfg(feature = "async")]
    #[cold]
    #[inline(never)]
    fn call_task<T: 'static>(&self, mut store: StoreContextMut<'_, T>, params: P) -> Result<R> {
        check_owner(&self.target, store.opaque())?;
        task::call(&mut store, &self.target, task::Typed::new(params))
    }

    #[cfg(feature = "async")]
    fn call_on_fiber<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        params: P,
    ) -> Result<R> {
        const {
            assert!(
                !R::HOLDS_VIEWS,
                "a view of the guest's memory needs `call_deferred`"
            )
        };
        // SAFETY: the context of an instance of this store, as `call_async` has seen.
        unsafe { store.begin_guest_call(self.target.options.context(), Caller::Fiber) }?;
        let result = if P::HANDLES == 0 {
            self.run_on_fiber(store, params)
        } else {
            lending(store, |store| self.run_on_fiber(store, params))
        };
        store.end_guest_call(result, Caller::Fiber)
    }

    /// Calls the function, but not its post-return: until [`TypedFunc::post_return`], views in the
    /// result can be read, and nothing can enter the component. A host function that it calls must
    /// not return before, either.
    ///
    /// ```no_run
    /// # use cwasm::{AsContextMut, Result, TypedFunc, WasmStr};
    /// # fn example(mut store: impl AsContextMut, name: TypedFunc<(), (WasmStr,)>) -> Result<()> {
    /// let result = name.call_deferred(&mut store, ())?;
    /// println!("{}", result.0.to_str(&store)?);
    /// name.post_return(&mut store, result)
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`TypedFunc::call`].
    ///
    /// # Panics
    /// As [`TypedFunc::call`].
    #[inline]
    pub fn call_deferred(&self, mut store: impl AsContextMut, params: P) -> Result<Deferred<R>> {
        let mut store = store.as_context_mut();
        trace::enter!(TRACE, "call", export = %export::name(store.opaque(), &self.target));
        check_store(&self.target, store.opaque())?;
        let context = self.target.options.context();
        // SAFETY: the context of an instance of this store, which was just compared.
        unsafe { store.begin_guest_call(context, Caller::Host) }?;
        let result = if P::HANDLES == 0 {
            self.run(&mut store, params, false)
        } else {
            lending(&mut store, |store| self.run(store, params, false))
        };
        if result.is_ok() {
            // SAFETY: as above.
            unsafe { store.hold(context) };
        }
        let (result, value) = store.end_guest_call(result, Caller::Host)?;
        Ok(Deferred {
            result,
            call: OpenCall {
                target: self.target,
                value,
            },
        })
    }

    /// Ends a call of [`TypedFunc::call_deferred`]: the guest releases the memory of the result.
    ///
    /// # Errors
    /// - The guest traps: the instance can never be entered again.
    /// - `result` is of another function, or `store` is not its store. The instance can never be
    ///   entered again: the result is gone.
    ///
    /// # Panics
    /// As [`TypedFunc::call`].
    pub fn post_return(&self, mut store: impl AsContextMut, result: Deferred<R>) -> Result<()> {
        let mut store = store.as_context_mut();
        check_store(&result.call.target, store.opaque())?;
        let which = |target: &CallTarget| (target.instance, target.code, target.post_return);
        if which(&self.target) != which(&result.call.target) {
            return Err(Error::msg(
                "`post_return` is called with the result of another function",
            ));
        }
        // Another thread than the one of the call may be here.
        let ready = Ready::new(store.opaque())?;
        let context = self.target.options.context();
        // SAFETY: the context of an instance of this store, which `call_deferred` held for this
        // result.
        unsafe { store.release(context) }?;
        // SAFETY: an instance of this store, which is ours; references into it are made anew.
        let entered = unsafe { Entered::new(context) };
        // SAFETY: the store was just compared, and the call returned as many values.
        unsafe {
            post_return(
                &self.target,
                ready,
                &[result.call.value][..Self::RESULT_COUNT],
            )
        }?;
        entered.leave();
        Ok(())
    }

    /// The call: the result, and the value that the core function returned. If it `is_whole`, with
    /// post-return.
    #[inline(always)]
    fn run<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        params: P,
        is_whole: bool,
    ) -> Result<(R, u64)> {
        let target = &self.target;
        let mut args = [0; MAX_FLAT_PARAMS];
        let (ready, entered, scope) = self.enter(store, &params, &mut args, Caller::Host)?;
        let args = &args[..Self::ARG_COUNT];
        // SAFETY: the thunk and the context of a live instance that was just entered, with
        // arguments of the function's type (invariant 1); no reference into the store is held.
        let value = unsafe { ready.call(target.code, target.options.context(), args) }?;
        let result = self.finish(store, ready, scope, value, is_whole)?;
        entered.leave();
        Ok((result, value))
    }

    /// As [`run`](TypedFunc::run), on a fiber.
    #[cfg(feature = "async")]
    fn run_on_fiber<T: 'static>(&self, store: &mut StoreContextMut<'_, T>, params: P) -> Result<R> {
        let target = &self.target;
        let mut args = [0; MAX_FLAT_PARAMS];
        let (ready, entered, scope) =
            apart(|| self.enter(store, &params, &mut args, Caller::Fiber))?;
        let args = &args[..Self::ARG_COUNT];
        // SAFETY: as in `run`.
        let value = unsafe { ready.call(target.code, target.options.context(), args) }?;
        let result = apart(|| self.finish(store, ready, scope, value, true))?;
        entered.leave();
        Ok(result)
    }

    /// The part of a call before the core function.
    #[inline(always)]
    fn enter<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        params: &P,
        args: &mut [u64; MAX_FLAT_PARAMS],
        caller: Caller,
    ) -> Result<(Ready, Entered, Option<u32>)> {
        let target = &self.target;
        let ready = Ready::of(store.opaque(), caller)?;
        // SAFETY: an instance of this store, which is ours; references into it are made anew.
        let entered = unsafe { Entered::new(target.options.context()) };
        // SAFETY: the instance is one of this store, which was just entered.
        let mut cx = unsafe { LowerContext::new(store.opaque(), &target.options) };
        lower_params(&mut cx, params, args)?;
        let scope = cx.scope();
        Ok((ready, entered, scope))
    }

    /// The part of a call after the core function, which has returned `value`.
    #[inline(always)]
    fn finish<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        ready: Ready,
        scope: Option<u32>,
        value: u64,
        is_whole: bool,
    ) -> Result<R> {
        let target = &self.target;
        if P::HANDLES != 0 {
            // SAFETY: the function of this instance has returned.
            unsafe { check_dropped(target, scope) }?;
        }
        // SAFETY: the instance is live, no wasm runs, and the context is dropped before.
        let mut cx =
            unsafe { LiftContext::with_handles(&target.options, store.opaque(), P::HANDLES) };
        let result = lift_result(&mut cx, value)?;
        if is_whole {
            // SAFETY: the call is this one, and returned as many values.
            unsafe { post_return(target, ready, &[value][..Self::RESULT_COUNT]) }?;
        }
        Ok(result)
    }
}

#[inline(always)]
fn lift_result<R: Lift>(cx: &mut LiftContext<'_>, value: u64) -> Result<R> {
    if R::FLAT.count() <= MAX_FLAT_RESULTS {
        return R::lift_flat(cx, &[value][..R::FLAT.count()]);
    }
    let bytes = cx.pointed(value, R::LAYOUT)?;
    R::load(cx, bytes)
}

impl<R> Deref for Deferred<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.result
    }
}

impl<R: fmt::Debug> fmt::Debug for Deferred<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Deferred").field(&self.result).finish()
    }
}

impl<P, R> Clone for TypedFunc<P, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, R> Copy for TypedFunc<P, R> {}

impl<P, R> fmt::Debug for TypedFunc<P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedFunc")
            .field("target", &self.target)
            .finish()
    }
}
