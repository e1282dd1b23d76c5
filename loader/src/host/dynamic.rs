//! Host functions of whatever type an import has.
#![allow(unsafe_code, reason = "is called by machine code")]

use std::sync::Arc;

use cwasm_format::abi::{MAX_FLAT_PARAMS, MAX_FLAT_RESULTS};
use cwasm_format::types::{FuncType, Types};

use super::{HostCall, import, shim, with_loans};
use crate::artifact::Unit;
#[cfg(feature = "async")]
use crate::concurrent::{Accessor, BoxedFuture};
use crate::dynamic::{self, Check};
#[cfg(feature = "async")]
use crate::error::Error;
use crate::error::Result;
use crate::types::ComponentFunc;
use crate::val::Val;
use crate::values::{LiftContext, LowerContext};
#[cfg(feature = "async")]
use crate::vm::caller::Caller;
use crate::vm::caller::apart;
use crate::vm::canon::CanonOptions;
use crate::vm::enter::Failure;
use crate::vm::imports::HostImport;
use crate::vm::store_context::{AsContextMut, StoreContextMut};

/// The host's function, which is called with values of the type that the import has.
pub(super) enum DynamicFn<T: 'static> {
    /// It returns its results.
    Blocking(Arc<BlockingFn<T>>),
    /// It may wait.
    #[cfg(feature = "async")]
    Async(Arc<AsyncFn<T>>),
    /// It may wait, beside others.
    #[cfg(feature = "async")]
    Concurrent(Arc<ConcurrentFn<T>>),
}

type BlockingFn<T> =
    dyn Fn(StoreContextMut<'_, T>, ComponentFunc, &[Val], &mut [Val]) -> Result<()> + Send + Sync;

#[cfg(feature = "async")]
type AsyncFn<T> = dyn for<'a> Fn(
        StoreContextMut<'a, T>,
        ComponentFunc,
        &'a [Val],
        &'a mut [Val],
    ) -> Box<dyn Future<Output = Result<()>> + Send + 'a>
    + Send
    + Sync;

#[cfg(feature = "async")]
type ConcurrentFn<T> = dyn for<'a> Fn(&'a Accessor<T>, ComponentFunc, &'a [Val], &'a mut [Val]) -> BoxedFuture<'a, ()>
    + Send
    + Sync;

impl<T: 'static> Clone for DynamicFn<T> {
    fn clone(&self) -> DynamicFn<T> {
        match self {
            DynamicFn::Blocking(func) => DynamicFn::Blocking(Arc::clone(func)),
            #[cfg(feature = "async")]
            DynamicFn::Async(func) => DynamicFn::Async(Arc::clone(func)),
            #[cfg(feature = "async")]
            DynamicFn::Concurrent(func) => DynamicFn::Concurrent(Arc::clone(func)),
        }
    }
}

/// The type of an import.
///
/// # Errors
/// If the artifact's descriptions are malformed.
pub(super) fn type_of(unit: &Unit, func_type: u32) -> Result<ComponentFunc, String> {
    let description = unit.description().map_err(|error| error.to_string())?;
    let ty = ComponentFunc::new(Arc::clone(description), func_type);
    ty.ok_or_else(|| "a function that the artifact does not describe".to_owned())
}

/// A function of any type, for one import.
pub(super) struct Dynamic<T: 'static> {
    func: DynamicFn<T>,
    ty: ComponentFunc,
}

impl<T: 'static> Dynamic<T> {
    pub(super) fn import(func: DynamicFn<T>, ty: ComponentFunc) -> Result<HostImport, String> {
        match (ty.func().is_async, &func) {
            (true, _) => return Err(WRONG_KIND.to_owned()),
            #[cfg(feature = "async")]
            (false, DynamicFn::Concurrent(_)) => return Err(WRONG_KIND.to_owned()),
            (false, _) => {}
        }
        let shape = Shape::of(ty.types(), ty.func());
        let shim = shim::<Dynamic<T>>(shape.param_count + usize::from(shape.has_out_pointer));
        #[cfg(feature = "async")]
        let is_async = matches!(func, DynamicFn::Async(_));
        Ok(HostImport {
            #[cfg(feature = "async")]
            is_async,
            ..import(Dynamic { func, ty }, shim)
        })
    }

    fn lift(
        types: &Types,
        ty: &FuncType,
        cx: &mut LiftContext<'_>,
        args: &[u64],
    ) -> Result<Vec<Val>> {
        dynamic::lift_params(types, ty, cx, args, MAX_FLAT_PARAMS)
    }

    fn lower(
        types: &Types,
        ty: &FuncType,
        cx: &mut LowerContext<'_>,
        results: &[Val],
        args: &[u64],
    ) -> Result<u64> {
        let (Some(ty), [result], shape) = (ty.result, results, Shape::of(types, ty)) else {
            return Ok(0);
        };
        let pointer = match shape.has_out_pointer {
            true => args[shape.param_count],
            false => 0,
        };
        dynamic::lower_result(types, ty, cx, result, (!shape.has_out_pointer, pointer))
    }
}

/// That a function is of another kind than its import.
const WRONG_KIND: &str = "functions that are `async` in the component need `func_new_concurrent`, \
                          and others do not";

impl<T: 'static> HostCall for Dynamic<T> {
    type Data = T;

    unsafe fn call(
        &self,
        store: &mut StoreContextMut<'_, T>,
        options: &CanonOptions,
        args: &[u64],
    ) -> Result<u64, Failure> {
        // SAFETY: the caller's contract.
        let run = |store: &mut StoreContextMut<'_, T>| unsafe { self.run(store, options, args) };
        // SAFETY: the caller's contract.
        unsafe { with_loans(store, options, run) }
    }
}

impl<T: 'static> Dynamic<T> {
    /// # Safety
    /// - As for [`HostCall::call`].
    unsafe fn run(
        &self,
        store: &mut StoreContextMut<'_, T>,
        options: &CanonOptions,
        args: &[u64],
    ) -> Result<u64, Failure> {
        let (types, ty) = (self.ty.types(), self.ty.func());
        let context = options.context();
        // SAFETY: the context of an instance of the store (the caller's contract).
        unsafe { store.begin_host_call(context) }?;
        // SAFETY: as for this.
        let results = unsafe { self.lift_and_call(store, options, (types, ty), args) };
        // SAFETY: as above.
        let results = unsafe { store.end_host_call(context, results) }?;
        apart(|| {
            let opaque = &*store.opaque();
            // SAFETY: the instance is live (the caller's contract).
            let instance = || unsafe { options.instance() };
            let check = Check {
                types,
                handle: &|handle, resource| resource.check(opaque, instance(), handle),
            };
            check
                .all(ty.result.iter().copied(), &results, "result")
                .map_err(Failure::Host)?;
            // SAFETY: the instance is one of the store, in which wasm is active.
            let mut cx = unsafe { LowerContext::new(store.opaque(), options) };
            Self::lower(types, ty, &mut cx, &results, args).map_err(Failure::Guest)
        })
    }

    /// # Safety
    /// - As for [`HostCall::call`].
    unsafe fn lift_and_call(
        &self,
        store: &mut StoreContextMut<'_, T>,
        options: &CanonOptions,
        (types, ty): (&Types, &FuncType),
        args: &[u64],
    ) -> Result<Vec<Val>, Failure> {
        let params = apart(|| {
            // SAFETY: the instance is live and has stopped (the caller's contract); the context is
            // dropped before the host's function runs.
            let mut cx = unsafe { LiftContext::with_handles(options, store.opaque(), 0) };
            Self::lift(types, ty, &mut cx, args).map_err(Failure::Guest)
        })?;
        // A result that the host's function does not set is refused, unless a bool is expected.
        let mut results = vec![Val::Bool(false); usize::from(ty.result.is_some())];
        let ty = self.ty.clone();
        match &self.func {
            DynamicFn::Blocking(func) => {
                func(store.as_context_mut(), ty, &params, &mut results).map_err(Failure::Host)?;
            }
            #[cfg(feature = "async")]
            DynamicFn::Async(func) => {
                let waiter = store.opaque().waiter(Caller::Guest)?;
                let future = || func(store.reborrow(), ty, &params, &mut results);
                waiter
                    .wait_for_boxed(future)
                    .map_err(|cancelled| Failure::Host(cancelled.into()))?
                    .map_err(Failure::Host)?;
            }
            #[cfg(feature = "async")]
            DynamicFn::Concurrent(_) => {
                return Err(Failure::Host(Error::msg(WRONG_KIND)));
            }
        }
        Ok(results)
    }
}

/// The arguments of a function.
struct Shape {
    /// How many arguments the parameters are.
    param_count: usize,
    /// Whether one more argument says where the result goes.
    has_out_pointer: bool,
}

impl Shape {
    fn of(types: &Types, ty: &FuncType) -> Shape {
        let params = types.params_flat(ty);
        Shape {
            param_count: if params.count() <= MAX_FLAT_PARAMS {
                params.count()
            } else {
                1
            },
            has_out_pointer: types.result_flat(ty).count() > MAX_FLAT_RESULTS,
        }
    }
}
