//! Calls of exported functions.
//!
//! ```text
//! call -> enter -> lower -> invoke -> thunk, wasm -> lift -> post-return -> leave
//! ```
//!
//! **Invariant:** an instance that was entered and not left in this way can never be entered again:
//! `MAY_ENTER` is cleared before the first thing that can fail, and set behind the last.
#![allow(unsafe_code, reason = "enters machine code")]

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use cwasm_format::FormatError;
use cwasm_format::TrapCode;
use cwasm_format::abi::{MAX_FLAT_PARAMS, MAX_FLAT_RESULTS};
use cwasm_format::hash::TypeHash;
use cwasm_format::types::{FuncType, Types};
use cwasm_format::vmctx::flags::{MAY_ENTER, MAY_LEAVE};

use crate::dynamic::{self, Check, Places};
use crate::error::{Error, Result};
use crate::hook::CallHook;
use crate::raw::{self, CallTarget};
use crate::resource::{HandleType, check_handles};
use crate::signature;
use crate::store::{AsContext, AsContextMut, StoreContextMut, StoreOpaque};
use crate::trap::take_trap;
use crate::types::ComponentFunc;
use crate::val::Val;
use crate::values::{ComponentNamedList, Lift, LiftContext, Lower, LowerContext};

/// An exported function whose type is not known to Rust.
///
/// A small handle: the function lives as long as its store.
#[derive(Clone, Copy, Debug)]
pub struct Func {
    target: CallTarget,
}

/// An exported function that takes `P` and returns `R`, both tuples: `TypedFunc<(u32, &str),
/// (String,)>`.
///
/// All that a call needs is resolved in the handle. A small handle: the function lives as long as
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
    target: CallTarget,
    signature: PhantomData<fn(P) -> R>,
}

/// The result of [`TypedFunc::call_deferred`], and that the guest waits for its post-return.
///
/// It dereferences to the result, and goes to [`TypedFunc::post_return`]: if it is dropped, the instance
/// can never be entered again.
#[must_use = "the instance cannot be entered again before `TypedFunc::post_return`"]
pub struct Deferred<R> {
    result: R,
    pending: Pending,
}

/// A call that is not over.
#[derive(Clone, Copy)]
struct Pending {
    /// Invariant 1: entered and not left yet.
    target: CallTarget,
    /// The instance's flags before it was entered.
    flags: u32,
    /// What the core function returned.
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
        check_store(&self.target, store.opaque())?;
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

    /// As [`Func::typed`], for code that `bindgen!` makes: a type that differs in lifetimes only from the
    /// one with which the function was found, so that its handles have been compared.
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
        check_store(&self.target, store.opaque())?;
        if self.target.hash != const { signature::hash::<P, R>() } {
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
        check_store(&self.target, store)?;
        let expected = is_borrow.iter().map(|it| HandleType::ANY.expect(*it));
        self.check_handles(store, &expected.collect::<Vec<_>>())
    }

    #[cold]
    fn mismatch(&self, store: &StoreOpaque, rust: String) -> Error {
        let unit = store.instance(self.target.instance).unit();
        match unit.description() {
            Ok(description) => {
                let component = signature::of_component(description, self.target.func_type);
                Error::msg(format_args!(
                    "type mismatch: expected `{component}`, found `{rust}`"
                ))
            }
            Err(error) => Error::new(error).context(format_args!(
                "type mismatch: expected a function of another type, found `{rust}`"
            )),
        }
    }

    /// Calls the function and writes its results to `results`, which must be as long as there are
    /// results: one or none.
    ///
    /// # Errors
    /// - Values of another number or other types than the function's, or resources that are not there
    ///   any more: the guest is not entered. (A resource that is given twice, or given while it is lent,
    ///   is found out when it is given: the instance can never be entered again.)
    /// - The guest traps, or what it gives is not a value of the result's type: the instance can
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
        check_store(&self.target, store.opaque())?;
        let unit = Arc::clone(store.opaque().instance(self.target.instance).unit());
        let description = unit.description()?;
        let types = &description.types;
        let Some(func) = description.funcs.get(self.target.func_type as usize) else {
            return Err(Error::new(FormatError::Describe));
        };
        {
            let store = &*store.opaque();
            let instance = store.instance(self.target.instance);
            let check = Check {
                types,
                handle: &|handle, resource| resource.check(store, instance, handle),
            };
            check.all(func.params.iter().map(|(_, ty)| *ty), params, "parameter")?;
        }
        if results.len() != usize::from(func.result.is_some()) {
            let (found, expected) = (results.len(), usize::from(func.result.is_some()));
            return Err(Error::msg(format_args!(
                "found {found} results, expected {expected}"
            )));
        }
        store.begin(CallHook::CallingWasm)?;
        let lent = store.opaque().resources.begin_guest_call();
        let result = self.call_checked(&mut store, types, func, params, results);
        store.opaque().resources.end_guest_call(lent);
        store.end(CallHook::ReturningFromWasm, result)
    }

    /// Calls the function with values of its type.
    fn call_checked<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        types: &Types,
        func: &FuncType,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        let flags = enter(&self.target, store.opaque())?;
        let mut args = [0; MAX_FLAT_PARAMS];
        let count = {
            // SAFETY: the instance is one of this store, which was just entered.
            let mut cx = unsafe { LowerContext::new(store.opaque(), &self.target.options) };
            lower_vals(types, func, params, &mut cx, &mut args)?
        };
        let target = &self.target;
        // SAFETY: the thunk and the context of a live instance that was just entered, with
        // arguments of the function's type; no reference into the store is held.
        let returned =
            unsafe { raw::invoke(target.code, target.options.context(), &args[..count]) };
        if returned.status != 0 {
            return Err(take_trap(store.opaque(), returned.status));
        }
        // SAFETY: the function of this instance has returned.
        unsafe { check_borrows(&self.target) }?;
        let value = returned.value;
        if let Some(result) = results.first_mut() {
            // SAFETY: the instance is live, no wasm runs, and the context is dropped before.
            let mut cx =
                unsafe { LiftContext::with_handles(&self.target.options, store.opaque(), 0) };
            *result = lift_val(types, func, &mut cx, value)?;
        }
        let arg_count = types.result_flat(func).count().min(MAX_FLAT_RESULTS);
        let pending = Pending {
            target: self.target,
            flags,
            value,
        };
        // SAFETY: the call is this one, and returned as many values.
        unsafe { pending.finish(store, arg_count) }
    }

    /// Lets the instance be entered again that a trap closed for good.
    ///
    /// Only for the suites of core WebAssembly, which call a module again after it trapped: inside a
    /// component it is the component model that forbids this, not the module.
    ///
    /// # Errors
    /// If `store` is not the function's store.
    #[cfg(feature = "enter-after-trap")]
    #[doc(hidden)]
    pub fn enter_after_trap(&self, mut store: impl AsContextMut) -> Result<()> {
        check_store(&self.target, store.as_context_mut().opaque())?;
        // SAFETY: the store owns the instance, and is ours.
        unsafe { self.target.options.set_flags(MAY_ENTER | MAY_LEAVE) };
        Ok(())
    }
}

/// Traps if the instance has not dropped all that it borrowed.
///
/// # Safety
/// - The instance of the function is live, and does not run.
unsafe fn check_borrows(target: &CallTarget) -> Result<()> {
    // SAFETY: no wasm runs, and the reference is not kept.
    match unsafe { target.options.handles() } {
        Some(table) if table.borrows != 0 => Err(Error::trapped(TrapCode::BorrowsRemain)),
        _ => Ok(()),
    }
}

/// Lowers parameters of checked types: how many arguments they are.
fn lower_vals(
    types: &Types,
    func: &FuncType,
    params: &[Val],
    cx: &mut LowerContext<'_>,
    args: &mut [u64; MAX_FLAT_PARAMS],
) -> Result<usize> {
    let flat = types.params_flat(func);
    let fields = func.params.iter().map(|(_, ty)| *ty).zip(params);
    let mut places = Places::new(cx.width());
    if flat.fits() {
        for (ty, val) in fields {
            dynamic::lower_flat(types, ty, val, cx, &mut args[places.next_flat(types, ty)])?;
        }
        return Ok(flat.count());
    }
    let pointer = cx.allocate_value(types.params_layout(func))?;
    for (ty, val) in fields {
        let place = places.next_bytes(types, ty);
        dynamic::store(types, ty, val, cx, pointer + place.start)?;
    }
    args[0] = pointer as u64;
    Ok(1)
}

/// Lifts the result, which the function has.
fn lift_val(types: &Types, func: &FuncType, cx: &mut LiftContext<'_>, value: u64) -> Result<Val> {
    let Some(ty) = func.result else {
        return Err(Error::new(FormatError::Describe));
    };
    let abi = types.abi(ty);
    if abi.flat.count() <= MAX_FLAT_RESULTS {
        return dynamic::lift_flat(types, ty, cx, &[value][..abi.flat.count()]);
    }
    let bytes = cx.pointed(value, abi.layout)?;
    dynamic::load(types, ty, cx, bytes)
}

impl<P: ComponentNamedList, R: ComponentNamedList> TypedFunc<P, R> {
    /// The function whose type has this hash. `None` if that is the hash of another type, or there are
    /// handles, which take another look.
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
    /// - The guest traps, or what it gives is not an `R`: the instance can never be entered again.
    ///   [`Error::trap`] has the reason.
    /// - A host function that the guest calls fails: [`Error::downcast_ref`] finds its error. The
    ///   instance can never be entered again.
    /// - The instance cannot be entered: it is active, or has trapped.
    /// - `store` is not the function's store.
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
        store.begin(CallHook::CallingWasm)?;
        let result = self.call_whole(&mut store, params);
        store.end(CallHook::ReturningFromWasm, result)
    }

    /// Calls the function, but not its post-return: until [`TypedFunc::post_return`], views in
    /// the result can be read, and nothing can enter the instance.
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
        store.begin(CallHook::CallingWasm)?;
        let result = self.start_lending(&mut store, params);
        let (result, flags, value) = store.end(CallHook::ReturningFromWasm, result)?;
        Ok(Deferred {
            result,
            pending: Pending {
                target: self.target,
                flags,
                value,
            },
        })
    }

    /// Ends a call of [`TypedFunc::call_deferred`]: lets the guest release what the result lies in.
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
        check_store(&result.pending.target, store.opaque())?;
        let which = |target: &CallTarget| (target.instance, target.code, target.post_return);
        if which(&self.target) != which(&result.pending.target) {
            return Err(Error::msg(
                "`post_return` is called with the result of another function",
            ));
        }
        // Another thread than the one of the call may be here.
        raw::enter(store.opaque())?;
        // SAFETY: the store was just compared, and the call returned as many values.
        unsafe { result.pending.finish(&mut store, Self::RESULT_COUNT) }
    }

    #[inline(always)]
    fn call_whole<T: 'static>(&self, store: &mut StoreContextMut<'_, T>, params: P) -> Result<R> {
        let (result, flags, value) = self.start_lending(store, params)?;
        let pending = Pending {
            target: self.target,
            flags,
            value,
        };
        // SAFETY: the call is this one, and returned as many values.
        unsafe { pending.finish(store, Self::RESULT_COUNT) }?;
        Ok(result)
    }

    /// All of a call but post-return: the result, the instance's flags before, and what the core
    /// function returned.
    #[inline(always)]
    fn start_lending<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        params: P,
    ) -> Result<(R, u32, u64)> {
        if P::HANDLES == 0 {
            return self.start(store, params);
        }
        let lent = store.opaque().resources.begin_guest_call();
        let result = self.start(store, params);
        store.opaque().resources.end_guest_call(lent);
        result
    }

    /// As [`start_lending`](Self::start_lending), with what is lent left so.
    #[inline(always)]
    fn start<T: 'static>(
        &self,
        store: &mut StoreContextMut<'_, T>,
        params: P,
    ) -> Result<(R, u32, u64)> {
        let target = &self.target;
        check_store(target, store.opaque())?;
        let flags = enter(target, store.opaque())?;
        let mut args = [0; MAX_FLAT_PARAMS];
        {
            // SAFETY: the instance is one of this store, which was just entered.
            let mut cx = unsafe { LowerContext::new(store.opaque(), &target.options) };
            lower_params(&mut cx, &params, &mut args)?;
        }
        let args = &args[..Self::ARG_COUNT];
        // SAFETY: the thunk and the context of a live instance that was just entered, with
        // arguments of the function's type (invariant 1); no reference into the store is held.
        let returned = unsafe { raw::invoke(target.code, target.options.context(), args) };
        if returned.status != 0 {
            return Err(take_trap(store.opaque(), returned.status));
        }
        if P::HANDLES != 0 {
            // SAFETY: the function of this instance has returned.
            unsafe { check_borrows(target) }?;
        }
        let value = returned.value;
        // SAFETY: the instance is live, no wasm runs, and the context is dropped before.
        let mut cx =
            unsafe { LiftContext::with_handles(&target.options, store.opaque(), P::HANDLES) };
        let result = lift_result(&mut cx, value)?;
        Ok((result, flags, value))
    }
}

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

#[inline(always)]
fn lift_result<R: Lift>(cx: &mut LiftContext<'_>, value: u64) -> Result<R> {
    if R::FLAT.count() <= MAX_FLAT_RESULTS {
        return R::lift_flat(cx, &[value][..R::FLAT.count()]);
    }
    let bytes = cx.pointed(value, R::LAYOUT)?;
    R::load(cx, bytes)
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

#[cold]
fn wrong_store() -> Error {
    Error::msg("a function is used with another store than its own")
}

/// Enters the instance of a function of this store: its flags before.
#[inline(always)]
fn enter(target: &CallTarget, store: &mut StoreOpaque) -> Result<u32> {
    // SAFETY: the store owns the instance, and is ours.
    let flags = unsafe { target.options.flags() };
    if flags & MAY_ENTER == 0 {
        return Err(Error::trapped(TrapCode::CannotEnter));
    }
    raw::enter(store)?;
    // SAFETY: as above.
    unsafe { target.options.set_flags(flags & !MAY_ENTER) };
    Ok(flags)
}

impl Pending {
    /// Runs post-return and leaves the instance.
    ///
    /// # Safety
    /// - `store` is the store of the call.
    /// - The core function returned `count` values, 0 or 1.
    #[inline(always)]
    unsafe fn finish<T: 'static>(
        self,
        store: &mut StoreContextMut<'_, T>,
        count: usize,
    ) -> Result<()> {
        let target = &self.target;
        if let Some(post_return) = target.post_return {
            // SAFETY: the store owns the instance, and is ours (the caller's contract).
            unsafe {
                target
                    .options
                    .set_flags(self.flags & !(MAY_ENTER | MAY_LEAVE))
            };
            let args = &[self.value][..count];
            // SAFETY: as in `invoke`; post-return takes what the core function returned.
            let result = unsafe { raw::invoke(post_return, target.options.context(), args) };
            if result.status != 0 {
                return Err(take_trap(store.opaque(), result.status));
            }
        }
        // SAFETY: the store owns the instance, and is ours (the caller's contract).
        unsafe { target.options.set_flags(self.flags) };
        Ok(())
    }
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

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Func>();
    is_send_and_sync::<TypedFunc<(std::rc::Rc<str>,), (std::rc::Rc<str>,)>>();
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::fake::{Guest, Realloc};
    use crate::values::{WasmList, WasmStr};

    const READY: u32 = MAY_ENTER | MAY_LEAVE;

    fn typed<P, R>(guest: &mut Guest, args: usize, post_return: Option<usize>) -> TypedFunc<P, R> {
        TypedFunc {
            target: guest.target(args, post_return),
            signature: PhantomData,
        }
    }

    fn code<T>(result: Result<T>) -> TrapCode {
        match result {
            Ok(_) => panic!("no trap"),
            Err(error) => error.trap().expect("a trap").code(),
        }
    }

    #[test]
    fn scalars_pass_in_registers() {
        let mut guest = Guest::new();
        let func = typed::<(u32, i32), (u64,)>(&mut guest, 2, None);
        guest.set_return(u64::MAX, 0);
        assert_eq!(func.call(&mut guest.store, (7, -1)).unwrap(), (u64::MAX,));
        let func = typed::<(), ()>(&mut guest, 0, None);
        func.call(&mut guest.store, ()).unwrap();
        assert_eq!(guest.take_calls(), [vec![7, 0xffff_ffff], vec![]]);
        assert_eq!(guest.flags(), READY);
    }

    #[test]
    fn post_return_takes_what_the_function_returned() {
        let mut guest = Guest::new();
        let func = typed::<(&str,), (u32,)>(&mut guest, 2, Some(1));
        guest.set_return(5, 0);
        assert_eq!(func.call(&mut guest.store, ("abc",)).unwrap(), (5,));
        let calls = guest.take_calls();
        assert_eq!((calls.len(), calls[0][1], &calls[1][..]), (2, 3, &[5][..]));
        assert_eq!(guest.flags(), READY);
    }

    #[test]
    fn what_does_not_fit_passes_through_memory() {
        let mut guest = Guest::new();
        let list = vec![(1u8, 2u64)];
        let many = (
            list.clone(),
            "ab",
            1u64,
            2u64,
            3u64,
            4u64,
            5u64,
            6u64,
            7u64,
            8u64,
        );
        let params = (many, 9u8, 10u16, 11u32, 12u64, 13u64);
        let func = typed::<_, (Vec<(u8, u64)>,)>(&mut guest, 1, None);
        // The function returns its own parameters: they start with the list.
        guest.set_return(crate::raw::fake::HEAP.into(), 0);
        assert_eq!(func.call(&mut guest.store, params).unwrap(), (list,));
        assert_eq!(guest.take_calls(), [[u64::from(crate::raw::fake::HEAP)]]);
        assert_eq!(guest.take_reallocs()[0][2..], [8, 8 + 8 + 64 + 8 + 16]);
    }

    #[test]
    fn a_failed_call_is_the_last() {
        let cannot_enter = |guest: &mut Guest| {
            assert_eq!(guest.flags() & MAY_ENTER, 0);
            let func = typed::<(), ()>(guest, 0, None);
            assert_eq!(code(func.call(&mut guest.store, ())), TrapCode::CannotEnter);
            assert!(guest.take_calls().is_empty());
        };
        // The guest traps.
        let mut guest = Guest::new();
        guest.set_return(0, TrapCode::IntegerDivisionByZero.number().into());
        let func = typed::<(), (u32,)>(&mut guest, 0, None);
        assert_eq!(
            code(func.call(&mut guest.store, ())),
            TrapCode::IntegerDivisionByZero
        );
        guest.take_calls();
        cannot_enter(&mut guest);
        // The result is no value of its type.
        for (value, expected) in [
            (3, TrapCode::UnalignedPointer),
            (u64::from(u32::MAX) - 3, TrapCode::MemoryOutOfBounds),
        ] {
            let mut guest = Guest::new();
            guest.set_return(value, 0);
            let func = typed::<(), (String,)>(&mut guest, 0, None);
            assert_eq!(code(func.call(&mut guest.store, ())), expected);
            guest.take_calls();
            cannot_enter(&mut guest);
        }
        // The parameters cannot be lowered.
        let mut guest = Guest::new();
        guest.set_realloc(Realloc::Traps);
        let func = typed::<(&[u8],), ()>(&mut guest, 2, None);
        assert_eq!(
            code(func.call(&mut guest.store, (&[1],))),
            TrapCode::Unreachable
        );
        cannot_enter(&mut guest);
    }

    #[test]
    fn deferred_results_are_read_before_post_return() {
        let mut guest = Guest::new();
        guest.memory()[8..24].copy_from_slice(b"\x20\0\0\0\x02\0\0\0\x20\0\0\0\x02\0\0\0");
        guest.memory()[32..34].copy_from_slice(b"hi");
        guest.set_return(8, 0);
        type View = ((WasmStr, WasmList<u8>),);
        let func = typed::<(), View>(&mut guest, 0, Some(1));
        let result = func.call_deferred(&mut guest.store, ()).unwrap();
        assert_eq!(guest.flags(), MAY_LEAVE);
        let (text, bytes) = &result.0;
        assert_eq!(text.to_str(&guest.store).unwrap(), "hi");
        assert_eq!(bytes.as_le_slice(&guest.store).unwrap(), b"hi");
        let again = func.call_deferred(&mut guest.store, ());
        assert_eq!(code(again.map(drop)), TrapCode::CannotEnter);
        func.post_return(&mut guest.store, result).unwrap();
        assert_eq!(guest.flags(), READY);
        assert_eq!(guest.take_calls(), [vec![], vec![8]]);
    }

    #[test]
    fn other_stores_are_refused() {
        let (mut guest, mut other) = (Guest::new(), Guest::new());
        let func = typed::<(), ()>(&mut guest, 0, None);
        assert!(
            func.call(&mut other.store, ())
                .unwrap_err()
                .trap()
                .is_none()
        );
        let deferred = func.call_deferred(&mut guest.store, ()).unwrap();
        assert!(func.post_return(&mut other.store, deferred).is_err());
        assert_eq!(guest.take_calls().len(), 1);
    }

    #[test]
    fn results_of_other_functions_are_refused() {
        let mut guest = Guest::new();
        let func = typed::<(), ()>(&mut guest, 0, Some(1));
        let other = typed::<(), ()>(&mut guest, 1, Some(1));
        let deferred = func.call_deferred(&mut guest.store, ()).unwrap();
        let error = other.post_return(&mut guest.store, deferred).unwrap_err();
        assert!(error.to_string().contains("another function"), "{error}");
        assert_eq!((guest.flags(), guest.take_calls().len()), (MAY_LEAVE, 1));
    }
}
