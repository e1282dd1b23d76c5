//! Host functions as compiled code calls them.
//!
//! ```text
//! wasm -> trampoline -> shim (one per number of arguments) -> lift -> the closure -> lower
//! ```
//!
//! While a host function runs, the instance that called it is active: it cannot be entered.
#![allow(unsafe_code, reason = "is called by machine code")]

use std::any::Any;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use cwasm_format::TrapCode;
use cwasm_format::abi::{MAX_FLAT_PARAMS, MAX_FLAT_RESULTS};
use cwasm_format::hash::TypeHash;
use cwasm_format::imports::{ImportRecord, LowerRecord};
use cwasm_format::types::{FuncType, Types};
use cwasm_format::vmctx::{RawReturn, VmContext};

use crate::artifact::Unit;
use crate::component::Component;
use crate::dynamic::{self, Check, Places};
use crate::error::{Error, Result};
use crate::hook::CallHook;
use crate::instance::InstanceData;
use crate::raw::{CanonOptions, HostImport};
use crate::resource::{HandleType, HostResource, check_handles};
use crate::signature;
use crate::store::{AsContextMut, Pending, StoreContextMut, StoreOpaque};
use crate::val::Val;
use crate::values::{ComponentNamedList, Lift, LiftContext, Lower, LowerContext};

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
type Bind = dyn Fn(&Arc<Unit>, u32) -> Result<HostImport, String> + Send + Sync;

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

    /// A function of whatever type an import has.
    pub(crate) fn dynamic<T, F>(func: F) -> HostFunc
    where
        T: 'static,
        F: Fn(StoreContextMut<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    {
        let func: Arc<DynamicFn<T>> = Arc::new(func);
        HostFunc(Kind::Dynamic(Arc::new(move |unit, func_type| {
            Dynamic::<T>::import(Arc::clone(&func), Arc::clone(unit), func_type)
        })))
    }

    /// Says which of the handles in the function's type are borrowed.
    pub(crate) fn expect_borrows(&mut self, expected: &'static [bool]) {
        if let Kind::Typed { is_borrow, .. } = &mut self.0 {
            *is_borrow = expected;
        }
    }

    /// What the slot of this import is filled with.
    ///
    /// # Errors
    /// Why this function cannot stand for the import: what was found and what was expected.
    pub(crate) fn bind(
        &self,
        component: &Component,
        record: &ImportRecord,
        resources: &[Option<HostResource>],
    ) -> Result<HostImport, String> {
        match &self.0 {
            Kind::Typed {
                hash,
                import,
                handles,
                is_borrow,
                ..
            } if *hash == record.hash => {
                let uses = component.unit().handle_uses(record.uses);
                let mut handles = handles();
                for (handle, is_borrow) in handles.iter_mut().zip(*is_borrow) {
                    *handle = handle.expect(*is_borrow);
                }
                let uses = uses.unwrap_or_default();
                check_handles(uses, &handles, resources, component.unit())?;
                Ok(import.clone())
            }
            Kind::Typed { signature, .. } => {
                let expected = match component.describe() {
                    Ok(description) => {
                        format!("`{}`", signature::of_component(description, record.index))
                    }
                    Err(error) => format!("a function of another type ({error})"),
                };
                Err(format!("expected {expected}, found `{}`", signature()))
            }
            Kind::Dynamic(bind) => bind(component.unit(), record.index),
        }
    }
}

/// What is behind a shim.
trait HostCall: Send + Sync + 'static {
    /// The host's data in the store.
    type Data: 'static;

    /// Lifts the arguments, runs the host's function and lowers the results: the flat result.
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

/// Why a host function did not return.
enum Failure {
    /// What the guest gave, or its `realloc`.
    Guest(Error),
    /// The host's function.
    Host(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Host(error)
    }
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

/// What a shim does.
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
        store.begin(CallHook::CallingHost)?;
        // SAFETY: compiled code called with these arguments (the caller's contract).
        let result = unsafe { host.call(&mut store, &options, args) };
        store.end(CallHook::ReturningFromHost, result)
    }));
    match outcome {
        Ok(Ok(value)) => RawReturn { value, status: 0 },
        Ok(Err(failure)) => fail(store.opaque(), failure),
        Err(payload) => panicked(store.opaque(), payload),
    }
}

/// Keeps what the caller of the guest gets to see, and returns what the trampoline raises.
#[cold]
#[inline(never)]
fn fail(store: &mut StoreOpaque, failure: Failure) -> RawReturn {
    let code = match failure {
        Failure::Guest(error) => {
            let trap = error
                .trap()
                .map(|trap| (trap.code(), trap.frames().is_empty()));
            // The trap that the trampoline raises says it all, but for where `realloc` was.
            if !matches!(trap, Some((_, true))) {
                store.set_pending(Pending::Error(error));
            }
            trap.map_or(TrapCode::HostError, |(code, _)| code)
        }
        Failure::Host(error) => {
            store.set_pending(Pending::Error(error));
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
fn panicked(store: &mut StoreOpaque, payload: Box<dyn Any + Send>) -> RawReturn {
    store.set_pending(Pending::Panic(payload));
    RawReturn {
        value: 0,
        status: TrapCode::HostError.number().into(),
    }
}

/// A destructor of the host for resources, as compiled code calls it: given what a resource stands
/// for.
pub(crate) fn destructor<T, F>(func: F) -> HostImport
where
    T: 'static,
    F: Fn(StoreContextMut<'_, T>, u32) -> Result<()> + Send + Sync + 'static,
{
    unsafe extern "C" fn shim<T, F>(
        data: NonNull<F>,
        context: NonNull<VmContext>,
        rep: u64,
    ) -> RawReturn
    where
        T: 'static,
        F: Fn(StoreContextMut<'_, T>, u32) -> Result<()>,
    {
        // SAFETY: live, and what this was made for.
        let func = unsafe { data.as_ref() };
        // SAFETY: the store of the instance that calls, or for which the host does; whoever has it
        // waits for us.
        let mut store = unsafe { StoreContextMut::<T>::from_context(context) };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            store.begin(CallHook::CallingHost)?;
            let result = func(store.as_context_mut(), rep as u32);
            store.end(CallHook::ReturningFromHost, result)
        }));
        match outcome {
            Ok(Ok(())) => RawReturn::default(),
            Ok(Err(error)) => fail(store.opaque(), Failure::Host(error)),
            Err(payload) => panicked(store.opaque(), payload),
        }
    }
    import_of(func, shim::<T, F> as *const ())
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
        },
        _ => unreachable!("neither functions nor what is in an `Arc` is at 0"),
    }
}

/// A function whose type is that of `P` and `R`.
struct Typed<T, F, P, R> {
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
    /// How many arguments the parameters are.
    const PARAM_COUNT: usize = if P::FLAT.fits() { P::FLAT.count() } else { 1 };
    /// Whether one more argument says where the results go.
    const HAS_OUT_POINTER: bool = R::FLAT.count() > MAX_FLAT_RESULTS;
    /// A constant, so that one shim is compiled and not all.
    const SHIM: *const () = shim::<Self>(Self::PARAM_COUNT + Self::HAS_OUT_POINTER as usize);

    fn import(func: F) -> HostImport {
        import(
            Typed::<T, F, P, R> {
                func,
                signature: PhantomData,
            },
            Self::SHIM,
        )
    }

    #[inline(always)]
    fn lift(cx: &mut LiftContext<'_>, args: &[u64]) -> Result<P> {
        if P::FLAT.fits() {
            return P::lift_flat(cx, &args[..P::FLAT.count()]);
        }
        let bytes = cx.pointed(args[0], P::LAYOUT)?;
        P::load(cx, bytes)
    }

    #[inline(always)]
    fn lower(cx: &mut LowerContext<'_>, results: &R, args: &[u64]) -> Result<u64> {
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
        let borrowed = store.opaque().resources.begin_host_call();
        // SAFETY: the caller's contract.
        let result = unsafe { self.run(store, options, args) };
        store.opaque().resources.end_host_call(borrowed);
        result
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
        let params = {
            // SAFETY: the instance is live and has stopped (the caller's contract); the context is
            // dropped before the host's function runs.
            let mut cx = unsafe { LiftContext::with_handles(options, store.opaque(), 0) };
            let params = Self::lift(&mut cx, args).map_err(Failure::Guest)?;
            if P::HANDLES != 0 {
                cx.release();
            }
            params
        };
        let results = (self.func)(store.as_context_mut(), params).map_err(Failure::Host)?;
        // SAFETY: the instance is one of the store, in which wasm is active.
        let mut cx = unsafe { LowerContext::at_place(store.opaque(), options, P::HANDLES) };
        Self::lower(&mut cx, &results, args).map_err(Failure::Guest)
    }
}

type DynamicFn<T> = dyn Fn(StoreContextMut<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync;

/// A function of any type, for one import.
struct Dynamic<T: 'static> {
    func: Arc<DynamicFn<T>>,
    unit: Arc<Unit>,
    /// Invariant 1: the index of a function type in the unit's descriptions.
    func_type: usize,
}

impl<T: 'static> Dynamic<T> {
    fn import(
        func: Arc<DynamicFn<T>>,
        unit: Arc<Unit>,
        func_type: u32,
    ) -> Result<HostImport, String> {
        let description = unit.description().map_err(|error| error.to_string())?;
        let func_type = func_type as usize;
        let Some(ty) = description.funcs.get(func_type) else {
            return Err("a function that the artifact does not describe".to_owned());
        };
        let shape = Shape::of(&description.types, ty);
        let shim = shim::<Dynamic<T>>(shape.param_count + usize::from(shape.has_out_pointer));
        Ok(import(
            Dynamic {
                func,
                unit,
                func_type,
            },
            shim,
        ))
    }

    fn lift(
        types: &Types,
        ty: &FuncType,
        cx: &mut LiftContext<'_>,
        args: &[u64],
    ) -> Result<Vec<Val>> {
        let params = ty.params.iter().map(|(_, ty)| *ty);
        let mut places = Places::new(cx.width());
        if types.params_flat(ty).fits() {
            let lift = |ty| dynamic::lift_flat(types, ty, cx, &args[places.next_flat(types, ty)]);
            return params.map(lift).collect();
        }
        let bytes = cx.pointed(args[0], types.params_layout(ty))?;
        params
            .map(|ty| dynamic::load(types, ty, cx, &bytes[places.next_bytes(types, ty)]))
            .collect()
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
        let abi = types.abi(ty);
        if shape.has_out_pointer {
            let offset = cx.out_pointer(args[shape.param_count], abi.layout)?;
            dynamic::store(types, ty, result, cx, offset)?;
            return Ok(0);
        }
        let mut value = [0; MAX_FLAT_RESULTS];
        dynamic::lower_flat(types, ty, result, cx, &mut value[..abi.flat.count()])?;
        Ok(value[0])
    }
}

impl<T: 'static> HostCall for Dynamic<T> {
    type Data = T;

    unsafe fn call(
        &self,
        store: &mut StoreContextMut<'_, T>,
        options: &CanonOptions,
        args: &[u64],
    ) -> Result<u64, Failure> {
        let borrowed = store.opaque().resources.begin_host_call();
        // SAFETY: the caller's contract.
        let result = unsafe { self.run(store, options, args) };
        store.opaque().resources.end_host_call(borrowed);
        result
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
        let description = self
            .unit
            .description()
            .map_err(|error| Failure::Host(error.into()))?;
        let types = &description.types;
        let ty = &description.funcs[self.func_type];
        let params = {
            // SAFETY: the instance is live and has stopped (the caller's contract); the context is
            // dropped before the host's function runs.
            let mut cx = unsafe { LiftContext::with_handles(options, store.opaque(), 0) };
            let params = Self::lift(types, ty, &mut cx, args).map_err(Failure::Guest)?;
            cx.release();
            params
        };
        // What the host's function does not set is refused, if it is not a bool that is asked for.
        let mut results = vec![Val::Bool(false); usize::from(ty.result.is_some())];
        (self.func)(store.as_context_mut(), &params, &mut results).map_err(Failure::Host)?;
        {
            let store = &*store.opaque();
            // SAFETY: the instance is live (the caller's contract).
            let instance = || unsafe { options.instance() };
            let check = Check {
                types,
                handle: &|handle, resource| resource.check(store, instance(), handle),
            };
            check
                .all(ty.result.iter().copied(), &results, "result")
                .map_err(Failure::Host)?;
        }
        // SAFETY: the instance is one of the store, in which wasm is active.
        let mut cx = unsafe { LowerContext::new(store.opaque(), options) };
        Self::lower(types, ty, &mut cx, &results, args).map_err(Failure::Guest)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::fake::Guest;
    use crate::values::WasmStr;

    /// Calls a host function as compiled code does, with up to three arguments.
    fn call(guest: &Guest, func: &HostFunc, args: &[u64]) -> RawReturn {
        let Kind::Typed { import, .. } = &func.0 else {
            panic!("not typed")
        };
        let (options, flags) = guest.record();
        let lower = LowerRecord {
            import: 0,
            flags,
            options,
        };
        type Shim = unsafe extern "C" fn(
            NonNull<u8>,
            NonNull<VmContext>,
            NonNull<LowerRecord>,
            u64,
            u64,
            u64,
        ) -> RawReturn;
        // SAFETY: shims of fewer arguments ignore the others, which are in registers.
        let shim = unsafe { std::mem::transmute::<NonNull<u8>, Shim>(import.code) };
        let arg = |index: usize| args.get(index).copied().unwrap_or(u64::MAX);
        let lower = NonNull::from(&lower);
        // SAFETY: the guest is live, and the store's data is of the type that the shim expects.
        unsafe { shim(import.data, guest.context(), lower, arg(0), arg(1), arg(2)) }
    }

    fn ok(value: u64) -> RawReturn {
        RawReturn { value, status: 0 }
    }

    fn trap(code: TrapCode) -> RawReturn {
        RawReturn {
            value: 0,
            status: code.number().into(),
        }
    }

    #[test]
    fn closures_are_called_with_lifted_arguments() {
        let mut guest = Guest::new();
        let add = HostFunc::typed(|mut store: StoreContextMut<'_, u32>, (a, b): (u32, i8)| {
            *store.data_mut() += 1;
            Ok((i64::from(a) + i64::from(b),))
        });
        assert_eq!(call(&guest, &add, &[7, 0xffff_ffff]), ok(6));
        assert_eq!(call(&guest, &add, &[0, 0xff]), ok(u64::MAX));
        assert_eq!(*guest.store.data(), 9);
        let nop = HostFunc::typed(|_: StoreContextMut<'_, u32>, (): ()| Ok(()));
        assert_eq!(call(&guest, &nop, &[]), ok(0));
        guest.memory()[64..67].copy_from_slice(b"abc");
        let text = HostFunc::typed(
            |store: StoreContextMut<'_, u32>, (owned, view): (Option<u8>, WasmStr)| {
                assert!(owned.is_none());
                Ok((view.to_str(&store)?.len() as u32,))
            },
        );
        let many = HostFunc::typed(|_: StoreContextMut<'_, u32>, (text,): (String,)| {
            assert_eq!(text, "abc");
            Ok((text == "abc",))
        });
        assert_eq!(call(&guest, &many, &[64, 3]), ok(1));
        let Kind::Typed { hash, .. } = text.0 else {
            panic!("not typed")
        };
        assert_eq!(hash, signature::hash::<(Option<u8>, &str), (u32,)>());
    }

    #[test]
    fn results_that_do_not_fit_go_where_the_guest_says() {
        let mut guest = Guest::new();
        let pair =
            HostFunc::typed(|_: StoreContextMut<'_, u32>, (a,): (u8,)| Ok(((a, u32::from(a)),)));
        assert_eq!(call(&guest, &pair, &[5, 64]), ok(0));
        assert_eq!(guest.memory()[64..72], [5, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!(
            call(&guest, &pair, &[5, 66]),
            trap(TrapCode::UnalignedPointer)
        );
        let end = guest.memory().len() as u64;
        assert_eq!(
            call(&guest, &pair, &[5, end - 4]),
            trap(TrapCode::MemoryOutOfBounds)
        );
        assert_eq!(call(&guest, &pair, &[5, end - 8]), ok(0));
        assert!(
            guest
                .store
                .as_context_mut()
                .opaque()
                .take_pending()
                .is_none()
        );
    }

    #[test]
    fn failures_are_kept_until_wasm_is_left() {
        let mut guest = Guest::new();
        let char = HostFunc::typed(|_: StoreContextMut<'_, u32>, (_,): (char,)| Ok(()));
        assert_eq!(call(&guest, &char, &[0xd800]), trap(TrapCode::InvalidChar));
        assert!(
            guest
                .store
                .as_context_mut()
                .opaque()
                .take_pending()
                .is_none()
        );
        let fails = HostFunc::typed(|_: StoreContextMut<'_, u32>, (): ()| -> Result<()> {
            Err(std::fmt::Error.into())
        });
        assert_eq!(call(&guest, &fails, &[]), trap(TrapCode::HostError));
        let Some(Pending::Error(error)) = guest.store.as_context_mut().opaque().take_pending()
        else {
            panic!("no error")
        };
        assert!(error.is::<std::fmt::Error>());
        let panics = HostFunc::typed(|_: StoreContextMut<'_, u32>, (): ()| -> Result<()> {
            std::panic::resume_unwind(Box::new(7))
        });
        assert_eq!(call(&guest, &panics, &[]), trap(TrapCode::HostError));
        let Some(Pending::Panic(payload)) = guest.store.as_context_mut().opaque().take_pending()
        else {
            panic!("no panic")
        };
        assert_eq!(payload.downcast_ref(), Some(&7));
    }
}
