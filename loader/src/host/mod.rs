//! Host functions as compiled code calls them.
//!
//! ```text
//! wasm -> trampoline -> shim (one per number of arguments) -> lift -> the closure -> lower
//! ```
//!
//! While a host function runs, the instance that called it may be entered again, unless the host
//! does not want it ([`enter`](crate::vm::enter)).
#![allow(unsafe_code, reason = "is called by machine code")]

#[cfg(feature = "async")]
mod concurrent;
mod dynamic;
#[cfg(test)]
mod tests;
mod typed;
#[cfg(feature = "async")]
mod waiting;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use cwasm_format::hash::TypeHash;
use cwasm_format::imports::{ImportRecord, LowerRecord};
use cwasm_format::vmctx::{RawReturn, VmContext};

use crate::artifact::Unit;
#[cfg(feature = "async")]
use crate::concurrent::{Accessor, BoxedFuture};
use crate::error::Result;
use crate::finally::finally;
use crate::link_error::{ImportItem, Mismatch};
use crate::signature;
use crate::types::ComponentFunc;
use crate::val::Val;
use crate::values::handles::{HandleType, check_handles};
use crate::values::{ComponentNamedList, Lift, Lower};
use crate::vm::caller::Caller;
use crate::vm::canon::CanonOptions;
use crate::vm::enter::{Failure, fail, panicked};
use crate::vm::handles;
use crate::vm::hook::CallHook;
#[cfg(feature = "async")]
use crate::vm::imports::DROPPED_BY_FIBER;
use crate::vm::imports::{DROPPED_BY_HOST, HostImport};
use crate::vm::instance::InstanceData;
use crate::vm::resources::HostResource;
use crate::vm::store_context::{AsContextMut, StoreContextMut};

use dynamic::{Dynamic, DynamicFn};
use typed::Typed;
#[cfg(feature = "async")]
use waiting::Waiting;

/// A host function, for imports of any component.
#[derive(Clone)]
pub(crate) struct HostFunc(Kind);

#[derive(Clone)]
enum Kind {
    /// For imports of one type.
    Typed {
        hash: TypeHash,
        import: HostImport,
        signature: fn() -> String,
        handles: fn() -> Vec<HandleType>,
        /// Which of the handles must be borrowed, where more is known than `handles` says.
        is_borrow: &'static [bool],
    },
    /// For imports of all types: makes a shim for one.
    Dynamic(Arc<Bind>),
}

/// Makes a shim for an import of an artifact, of the function type of this index.
type Bind = dyn Fn(&Unit, u32) -> Result<HostImport, String> + Send + Sync;

impl HostFunc {
    /// A function whose type is that of `P` and `R`.
    pub(crate) fn typed<T, F, P, R>(func: F) -> HostFunc
    where
        T: 'static,
        F: Fn(StoreContextMut<'_, T>, P) -> Result<R> + Send + Sync + 'static,
        P: ComponentNamedList + Lift + 'static,
        R: ComponentNamedList + Lower + 'static,
    {
        HostFunc(Kind::Typed {
            hash: const { signature::hash::<P, R>() },
            import: Typed::<T, F, P, R>::import(func),
            signature: signature::of_rust::<P, R>,
            handles: signature::handles::<P, R>,
            is_borrow: &[],
        })
    }

    /// As [`typed`](HostFunc::typed), of a function that waits.
    #[cfg(feature = "async")]
    pub(crate) fn typed_async<T, F, P, R>(func: F) -> HostFunc
    where
        T: 'static,
        F: for<'a> Fn(StoreContextMut<'a, T>, P) -> Box<dyn Future<Output = Result<R>> + Send + 'a>
            + Send
            + Sync
            + 'static,
        P: ComponentNamedList + Lift + 'static,
        R: ComponentNamedList + Lower + 'static,
    {
        HostFunc(Kind::Typed {
            hash: const { signature::hash::<P, R>() },
            import: Waiting::<T, F, P, R>::import(func),
            signature: signature::of_rust::<P, R>,
            handles: signature::handles::<P, R>,
            is_borrow: &[],
        })
    }

    /// A function of whatever type an import has.
    pub(crate) fn dynamic<T, F>(func: F) -> HostFunc
    where
        T: 'static,
        F: Fn(StoreContextMut<'_, T>, ComponentFunc, &[Val], &mut [Val]) -> Result<()>
            + Send
            + Sync
            + 'static,
    {
        HostFunc::of_any_type(DynamicFn::<T>::Blocking(Arc::new(func)))
    }

    /// As [`dynamic`](HostFunc::dynamic), of a function that waits.
    #[cfg(feature = "async")]
    pub(crate) fn dynamic_async<T, F>(func: F) -> HostFunc
    where
        T: 'static,
        F: for<'a> Fn(
                StoreContextMut<'a, T>,
                ComponentFunc,
                &'a [Val],
                &'a mut [Val],
            ) -> Box<dyn Future<Output = Result<()>> + Send + 'a>
            + Send
            + Sync
            + 'static,
    {
        HostFunc::of_any_type(DynamicFn::<T>::Async(Arc::new(func)))
    }

    /// As [`dynamic`](HostFunc::dynamic), of a function that waits beside others.
    #[cfg(feature = "async")]
    pub(crate) fn dynamic_concurrent<T, F>(func: F) -> HostFunc
    where
        T: 'static,
        F: for<'a> Fn(
                &'a Accessor<T>,
                ComponentFunc,
                &'a [Val],
                &'a mut [Val],
            ) -> BoxedFuture<'a, ()>
            + Send
            + Sync
            + 'static,
    {
        HostFunc::of_any_type(DynamicFn::<T>::Concurrent(Arc::new(func)))
    }

    /// As [`typed`](HostFunc::typed), of an async function, whose futures run beside others.
    #[cfg(feature = "async")]
    pub(crate) fn typed_concurrent<T, F, P, R>(func: F) -> HostFunc
    where
        T: 'static,
        F: for<'a> Fn(&'a Accessor<T>, P) -> BoxedFuture<'a, R> + Send + Sync + 'static,
        P: ComponentNamedList + Lift + 'static,
        R: ComponentNamedList + Lower + 'static,
    {
        HostFunc(Kind::Typed {
            hash: const { signature::async_hash::<P, R>() },
            import: concurrent::Typed::<T, F, P, R>::import(func),
            signature: signature::of_async_rust::<P, R>,
            handles: signature::handles::<P, R>,
            is_borrow: &[],
        })
    }

    fn of_any_type<T: 'static>(func: DynamicFn<T>) -> HostFunc {
        HostFunc(Kind::Dynamic(Arc::new(move |unit, func_type| {
            let ty = dynamic::type_of(unit, func_type)?;
            #[cfg(feature = "async")]
            if ty.func().is_async && !matches!(func, DynamicFn::Async(_)) {
                return Ok(concurrent::Dynamic::import(func.clone(), ty));
            }
            Dynamic::<T>::import(func.clone(), ty)
        })))
    }

    /// Sets which of the handles in the function's type are borrowed.
    pub(crate) fn expect_borrows(&mut self, expected: &'static [bool]) {
        if let Kind::Typed { is_borrow, .. } = &mut self.0 {
            *is_borrow = expected;
        }
    }

    /// The function's type, for errors; `None` if it takes any.
    pub(crate) fn signature(&self) -> Option<String> {
        match &self.0 {
            Kind::Typed { signature, .. } => Some(signature()),
            Kind::Dynamic(_) => None,
        }
    }

    /// The import's slot, filled with this function.
    ///
    /// # Errors
    /// If this function cannot stand for the import: what it is instead.
    pub(crate) fn bind(
        &self,
        unit: &Unit,
        record: &ImportRecord,
        resources: &[Option<HostResource>],
    ) -> Result<HostImport, Mismatch> {
        let mismatch = |detail| Mismatch {
            found: ImportItem::Func(self.signature()),
            detail,
        };
        match &self.0 {
            Kind::Typed {
                hash,
                import,
                handles,
                is_borrow,
                ..
            } if *hash == record.hash => {
                let uses = unit.handle_uses(record.uses);
                let mut handles = handles();
                for (handle, is_borrow) in handles.iter_mut().zip(*is_borrow) {
                    *handle = handle.expect(*is_borrow);
                }
                let uses = uses.unwrap_or_default();
                match check_handles(uses, &handles, resources, unit) {
                    Ok(()) => Ok(import.clone()),
                    Err(detail) => Err(mismatch(Some(detail))),
                }
            }
            Kind::Typed { .. } => Err(mismatch(None)),
            Kind::Dynamic(bind) => {
                bind(unit, record.index).map_err(|detail| mismatch(Some(detail)))
            }
        }
    }
}

/// A host function as its shim calls it.
trait HostCall: Send + Sync + 'static {
    /// The host's data in the store.
    type Data: 'static;

    /// Lifts the arguments, runs the host's function and lowers the results: the flat result. The
    /// instance may be entered again while the host's function runs, and only then.
    ///
    /// # Safety
    /// - Compiled code of an instance of `store` calls: `options` are the instance's, and wasm has
    ///   stopped at the call.
    /// - The arguments are as many as the shim was made for.
    unsafe fn call(
        &self,
        store: &mut StoreContextMut<'_, Self::Data>,
        options: &CanonOptions,
        args: &[u64],
    ) -> Result<u64, Failure>;
}

/// A host function of this number of arguments as the address of its shim.
const fn shim<H: HostCall>(arg_count: usize) -> *const () {
    macro_rules! shims {
        ($($count:literal: $($arg:ident)*;)*) => {
            match arg_count {
                $($count => {
                    unsafe extern "C" fn shim<H: HostCall>(
                        data: NonNull<H>,
                        context: NonNull<VmContext>,
                        lower: NonNull<LowerRecord>,
                        $($arg: u64),*
                    ) -> RawReturn {
                        // SAFETY: called as the import was made for (the caller's contract).
                        unsafe { run(data, context, lower, &[$($arg),*]) }
                    }
                    shim::<H> as *const ()
                })*
                _ => panic!("more arguments than a function has"),
            }
        };
    }
    shims! {
        0: ;
        1: a;
        2: a b;
        3: a b c;
        4: a b c d;
        5: a b c d e;
        6: a b c d e f;
        7: a b c d e f g;
        8: a b c d e f g h;
        9: a b c d e f g h i;
        10: a b c d e f g h i j;
        11: a b c d e f g h i j k;
        12: a b c d e f g h i j k l;
        13: a b c d e f g h i j k l m;
        14: a b c d e f g h i j k l m n;
        15: a b c d e f g h i j k l m n o;
        16: a b c d e f g h i j k l m n o p;
        17: a b c d e f g h i j k l m n o p q;
    }
}

/// The body of a shim: calls the host function.
///
/// # Safety
/// - `data` is live, and what the shim was made for.
/// - `context` is that of an instance in a `Store<H::Data>` whose compiled code calls, and `lower`
///   is a record of its artifact.
/// - The arguments are as many as the shim was made for.
#[inline(always)]
unsafe fn run<H: HostCall>(
    data: NonNull<H>,
    context: NonNull<VmContext>,
    lower: NonNull<LowerRecord>,
    args: &[u64],
) -> RawReturn {
    // SAFETY: live (the caller's contract).
    let host = unsafe { data.as_ref() };
    // SAFETY: a record of a mapped artifact (the caller's contract).
    let lower = unsafe { lower.as_ref() };
    // SAFETY: a live context (the caller's contract).
    let text = || unsafe { InstanceData::of(context) }.text();
    // SAFETY: a live context; the plan has checked all lower records of the artifact before it was
    // instantiated.
    let options = unsafe { CanonOptions::new(context, text, &lower.options, lower.flags) };
    // SAFETY: the store of the instance; whoever called into wasm waits for us.
    let mut store = unsafe { StoreContextMut::<H::Data>::from_context(context) };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: compiled code called with these arguments (the caller's contract).
        unsafe { host.call(&mut store, &options, args) }
    }));
    match outcome {
        Ok(Ok(value)) => RawReturn { value, status: 0 },
        Ok(Err(failure)) => fail(store.opaque(), failure),
        Err(payload) => panicked(store.opaque(), payload),
    }
}

/// Runs a call that may have handles, and ends the loans to the host: those of the guest only if
/// the guest continues.
///
/// # Safety
/// - As for [`HostCall::call`].
#[inline(always)]
unsafe fn with_loans<T: 'static, R>(
    store: &mut StoreContextMut<'_, T>,
    options: &CanonOptions,
    call: impl FnOnce(&mut StoreContextMut<'_, T>) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let borrowed = store.opaque().resources.begin_host_call();
    // SAFETY: the instance is live and has stopped (the caller's contract).
    let table = || unsafe { options.handles() };
    let lent = table().map_or(0, |table| table.stack_len);
    let result = finally(store, call, |store| {
        store.opaque().resources.end_host_call(borrowed);
    })?;
    if let Some(table) = table() {
        handles::release(table, lent);
    }
    Ok(result)
}

/// A destructor of the host for resources, as compiled code calls it: given a resource's
/// representation.
pub(crate) fn destructor<T, F>(func: F) -> HostImport
where
    T: 'static,
    F: Fn(StoreContextMut<'_, T>, u32) -> Result<()> + Send + Sync + 'static,
{
    destructor_for(move |store, rep, _| func(store, rep))
}

/// As [`destructor`], of one that waits.
#[cfg(feature = "async")]
pub(crate) fn destructor_async<T, F>(func: F) -> HostImport
where
    T: 'static,
    F: for<'a> Fn(StoreContextMut<'a, T>, u32) -> Box<dyn Future<Output = Result<()>> + Send + 'a>
        + Send
        + Sync
        + 'static,
{
    let import = destructor_for(move |mut store: StoreContextMut<'_, T>, rep, caller| {
        let waiter = store.opaque().waiter(caller)?;
        waiter.wait_for_boxed(|| func(store, rep))?
    });
    HostImport {
        is_async: true,
        ..import
    }
}

/// A destructor that is told who calls it.
fn destructor_for<T, F>(func: F) -> HostImport
where
    T: 'static,
    F: Fn(StoreContextMut<'_, T>, u32, Caller) -> Result<()> + Send + Sync + 'static,
{
    unsafe extern "C" fn shim<T, F>(
        data: NonNull<F>,
        context: NonNull<VmContext>,
        rep: u64,
    ) -> RawReturn
    where
        T: 'static,
        F: Fn(StoreContextMut<'_, T>, u32, Caller) -> Result<()>,
    {
        // SAFETY: live, and what this was made for.
        let func = unsafe { data.as_ref() };
        // SAFETY: the store of the instance that calls, or for which the host does; whoever has it
        // waits for us.
        let mut store = unsafe { StoreContextMut::<T>::from_context(context) };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            if rep & DROPPED_BY_HOST != 0 {
                #[cfg(feature = "async")]
                let caller = match rep & DROPPED_BY_FIBER {
                    0 => Caller::Host,
                    _ => Caller::Fiber,
                };
                #[cfg(not(feature = "async"))]
                let caller = Caller::Host;
                let dtor = |store: StoreContextMut<'_, T>| func(store, rep as u32, caller);
                return drop_for_host(&mut store, dtor, caller);
            }
            // SAFETY: the context of an instance of the store.
            unsafe { store.begin_host_call(context) }?;
            let result = func(store.as_context_mut(), rep as u32, Caller::Guest);
            let result = result.map_err(Failure::Host);
            // SAFETY: as above.
            unsafe { store.end_host_call(context, result) }
        }));
        match outcome {
            Ok(Ok(())) => RawReturn::default(),
            Ok(Err(failure)) => fail(store.opaque(), failure),
            Err(payload) => panicked(store.opaque(), payload),
        }
    }
    import_of(func, shim::<T, F> as *const ())
}

/// Runs a destructor of the host for the host: no guest waits for it.
fn drop_for_host<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    dtor: impl FnOnce(StoreContextMut<'_, T>) -> Result<()>,
    caller: Caller,
) -> Result<(), Failure> {
    store.call_hook(CallHook::CallingHost, caller)?;
    let result = dtor(store.as_context_mut());
    let told = store.call_hook(CallHook::ReturningFromHost, caller);
    Ok(result.and(told)?)
}

/// An import whose shim was made for `host`.
fn import<H: HostCall>(host: H, shim: *const ()) -> HostImport {
    import_of(host, shim)
}

fn import_of<H: Send + Sync + 'static>(host: H, shim: *const ()) -> HostImport {
    let host = Arc::new(host);
    let data = Arc::as_ptr(&host);
    match (
        NonNull::new(shim.cast_mut().cast()),
        NonNull::new(data.cast_mut().cast()),
    ) {
        (Some(code), Some(data)) => HostImport {
            code,
            data,
            keep: host,
            #[cfg(feature = "async")]
            is_async: false,
        },
        _ => unreachable!("neither functions nor what is in an `Arc` is at 0"),
    }
}
