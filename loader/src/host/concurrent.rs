//! Host functions whose futures run beside each other, for functions that are `async` in a
//! component's type.
#![allow(unsafe_code, reason = "is called by the loader with addresses")]

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use cwasm_format::abi::MAX_FLAT_RESULTS;
use cwasm_format::concurrent::OpRecord;
use cwasm_format::vmctx::{RawReturn, VmContext};

use super::dynamic::DynamicFn;
use super::import_of;
use crate::concurrent::{self, Accessor, BoxedFuture, Values};
use crate::dynamic::{self, Check};
use crate::error::{Error, Result};
use crate::types::ComponentFunc;
use crate::val::Val;
use crate::values::{ComponentNamedList, Lift, LiftContext, Lower, LowerContext};
use crate::vm::enter::{Failure, fail, panicked};
use crate::vm::imports::HostImport;
use crate::vm::store_context::StoreContextMut;

/// A function that is called through the loader.
trait ConcurrentCall: Send + Sync + 'static {
    /// The host's data in the store.
    type Data: 'static;

    /// Calls it: the flat result, or the subtask's state and handle.
    ///
    /// # Errors
    /// The guest's values are wrong, or the function fails.
    fn call(
        &self,
        store: &mut StoreContextMut<'_, Self::Data>,
        place: (NonNull<VmContext>, NonNull<OpRecord>),
        args: &[u64],
    ) -> Result<u64>;
}

unsafe extern "C" fn shim<C: ConcurrentCall>(
    data: NonNull<C>,
    context: NonNull<VmContext>,
    op: NonNull<OpRecord>,
    args: *const u64,
) -> RawReturn {
    // SAFETY: live, and what this was made for (the contract of `HostCode`).
    let func = unsafe { data.as_ref() };
    // SAFETY: a record of a mapped artifact (as above).
    let count = unsafe { op.as_ref() }.count as usize;
    // SAFETY: there are as many arguments (as above).
    let args = unsafe { std::slice::from_raw_parts(args, count) };
    // SAFETY: the store of the instance that calls; whoever has it waits for us.
    let mut store = unsafe { StoreContextMut::<C::Data>::from_context(context) };
    let call = AssertUnwindSafe(|| func.call(&mut store, (context, op), args));
    match catch_unwind(call) {
        Ok(Ok(value)) => RawReturn { value, status: 0 },
        Ok(Err(error)) => {
            let failure = match error.trap() {
                Some(_) => Failure::Guest(error),
                None => Failure::Host(error),
            };
            fail(store.opaque(), failure)
        }
        Err(payload) => panicked(store.opaque(), payload),
    }
}

/// A function whose type is that of `P` and `R`.
pub(super) struct Typed<T, F, P, R> {
    func: F,
    signature: PhantomData<fn(T, P) -> R>,
}

/// The values of functions with these types.
struct TypedValues<P, R>(PhantomData<fn(P) -> R>);

impl<T, F, P, R> Typed<T, F, P, R>
where
    T: 'static,
    F: for<'a> Fn(&'a Accessor<T>, P) -> BoxedFuture<'a, R> + Send + Sync + 'static,
    P: ComponentNamedList + Lift + 'static,
    R: ComponentNamedList + Lower + 'static,
{
    pub(super) fn import(func: F) -> HostImport {
        let host = Typed::<T, F, P, R> {
            func,
            signature: PhantomData,
        };
        import_of(host, shim::<Self> as *const ())
    }
}

impl<T, F, P, R> ConcurrentCall for Typed<T, F, P, R>
where
    T: 'static,
    F: for<'a> Fn(&'a Accessor<T>, P) -> BoxedFuture<'a, R> + Send + Sync + 'static,
    P: ComponentNamedList + Lift + 'static,
    R: ComponentNamedList + Lower + 'static,
{
    type Data = T;

    fn call(
        &self,
        store: &mut StoreContextMut<'_, T>,
        place: (NonNull<VmContext>, NonNull<OpRecord>),
        args: &[u64],
    ) -> Result<u64> {
        let values = TypedValues::<P, R>(PhantomData);
        concurrent::call_host(store, place, args, values, |accessor, params| {
            (self.func)(accessor, params)
        })
    }
}

impl<P, R> Values for TypedValues<P, R>
where
    P: ComponentNamedList + Lift + 'static,
    R: ComponentNamedList + Lower + 'static,
{
    type Params = P;
    type Results = R;

    fn lift(&self, cx: &mut LiftContext<'_>, args: &[u64], max: usize) -> Result<P> {
        if P::FLAT.fits() && P::FLAT.count() <= max {
            return P::lift_flat(cx, &args[..P::FLAT.count()]);
        }
        let bytes = cx.pointed(args[0], P::LAYOUT)?;
        P::load(cx, bytes)
    }

    fn lower(
        &self,
        cx: &mut LowerContext<'_>,
        results: &R,
        is_flat: bool,
        pointer: u64,
    ) -> Result<u64> {
        cx.skip_handles(P::HANDLES);
        if R::FLAT.count() == 0 {
            return Ok(0);
        }
        if is_flat && R::FLAT.count() <= MAX_FLAT_RESULTS {
            let mut value = [0; MAX_FLAT_RESULTS];
            results.lower_flat(cx, &mut value[..R::FLAT.count()])?;
            return Ok(value[0]);
        }
        let offset = cx.out_pointer(pointer, R::LAYOUT)?;
        results.store(cx, offset)?;
        Ok(0)
    }
}

/// A function of whatever type an import has.
pub(super) struct Dynamic<T: 'static> {
    func: DynamicFn<T>,
    ty: ComponentFunc,
}

/// The values of a function of this type.
struct DynamicValues(ComponentFunc);

impl<T: 'static> Dynamic<T> {
    pub(super) fn import(func: DynamicFn<T>, ty: ComponentFunc) -> HostImport {
        import_of(Dynamic { func, ty }, shim::<Self> as *const ())
    }
}

impl<T: 'static> ConcurrentCall for Dynamic<T> {
    type Data = T;

    fn call(
        &self,
        store: &mut StoreContextMut<'_, T>,
        place: (NonNull<VmContext>, NonNull<OpRecord>),
        args: &[u64],
    ) -> Result<u64> {
        let ty = self.ty.clone();
        let count = usize::from(ty.func().result.is_some());
        let values = DynamicValues(ty.clone());
        match &self.func {
            DynamicFn::Concurrent(func) => {
                let func = Arc::clone(func);
                concurrent::call_host(store, place, args, values, |accessor, params| {
                    Box::pin(async move {
                        let mut results = vec![Val::Bool(false); count];
                        func(accessor, ty, &params, &mut results).await?;
                        Ok(results)
                    })
                })
            }
            DynamicFn::Blocking(func) => {
                let func = Arc::clone(func);
                concurrent::call_host(store, place, args, values, |accessor, params| {
                    let mut results = vec![Val::Bool(false); count];
                    let called = accessor.with(|store| func(store, ty, &params, &mut results));
                    Box::pin(async move { called.map(|()| results) })
                })
            }
            DynamicFn::Async(_) => Err(Error::msg(
                "the function is `async` in the component: it needs `func_new_concurrent`",
            )),
        }
    }
}

impl Values for DynamicValues {
    type Params = Vec<Val>;
    type Results = Vec<Val>;

    fn lift(&self, cx: &mut LiftContext<'_>, args: &[u64], max: usize) -> Result<Vec<Val>> {
        dynamic::lift_params(self.0.types(), self.0.func(), cx, args, max)
    }

    fn lower(
        &self,
        cx: &mut LowerContext<'_>,
        results: &Vec<Val>,
        is_flat: bool,
        pointer: u64,
    ) -> Result<u64> {
        let (types, ty) = (self.0.types(), self.0.func());
        {
            let (store, instance) = (cx.store(), cx.instance());
            let check = Check {
                types,
                handle: &|handle, resource| resource.check(store, instance, handle),
            };
            check.all(ty.result.iter().copied(), results, "result")?;
        }
        let (Some(ty), [result]) = (ty.result, &results[..]) else {
            return Ok(0);
        };
        dynamic::lower_result(types, ty, cx, result, (is_flat, pointer))
    }
}
