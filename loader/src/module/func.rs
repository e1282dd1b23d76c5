//! Core functions and values as the host handles them.
#![allow(unsafe_code, reason = "calls machine code and is called by it")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use cwasm_format::TrapCode;
use cwasm_format::header::NONE;
use cwasm_format::imports::core_type::{HeapType, RefType, ValType};
use cwasm_format::vmctx::{RawReturn, VmFuncRef, VmHostFunc, VmStore};

use super::check_store;
use super::exception::{self, CoreException, CoreExnRef};
use crate::artifact::registry;
use crate::artifact::{Code, Unit};
use crate::core_types::FuncType;
use crate::error::{Error, Result};
use crate::trace;
use crate::vm::call::Ready;
use crate::vm::items::FuncItem;
use crate::vm::store::{HostFailure, StoreOpaque};
use crate::vm::store_context::{AsContext, AsContextMut};
use crate::vm::store_id::StoreId;

/// A core function in a store.
#[derive(Clone, Copy, Debug)]
pub struct CoreFunc {
    store: StoreId,
    item: FuncItem,
}

/// A core value.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names are WebAssembly's")]
pub enum CoreVal {
    I32(i32),
    I64(i64),
    /// The bits of the float.
    F32(u32),
    /// The bits of the float.
    F64(u64),
    V128(u128),
    FuncRef(Option<CoreFunc>),
    ExternRef(Option<u32>),
    ExnRef(Option<CoreExnRef>),
}

impl CoreVal {
    /// The value's type; of references, the type of all functions or values of the host.
    pub fn ty(&self) -> ValType {
        match self {
            CoreVal::I32(_) => ValType::I32,
            CoreVal::I64(_) => ValType::I64,
            CoreVal::F32(_) => ValType::F32,
            CoreVal::F64(_) => ValType::F64,
            CoreVal::V128(_) => ValType::V128,
            CoreVal::FuncRef(_) => ValType::FUNCREF,
            CoreVal::ExternRef(_) => ValType::EXTERNREF,
            CoreVal::ExnRef(_) => ValType::EXNREF,
        }
    }

    /// The bits of this value as wasm holds them.
    ///
    /// # Errors
    /// If it has another type than `ty`, or belongs to another store.
    pub(super) fn to_bits(self, ty: ValType, store: &StoreOpaque) -> Result<u128> {
        if !self.is_of(ty, store)? {
            return Err(Error::msg(format!(
                "expected a value of type {ty}, found {}",
                self.ty()
            )));
        }
        Ok(match self {
            CoreVal::I32(value) => (value as u32).into(),
            CoreVal::I64(value) => (value as u64).into(),
            CoreVal::F32(bits) => bits.into(),
            CoreVal::F64(bits) => bits.into(),
            CoreVal::V128(bits) => bits,
            CoreVal::FuncRef(None) | CoreVal::ExternRef(None) | CoreVal::ExnRef(None) => 0,
            CoreVal::ExnRef(Some(exception)) => exception.bits(store)?.into(),
            CoreVal::FuncRef(Some(func)) => func.reference(store)?.into(),
            CoreVal::ExternRef(Some(value)) => u128::from(value) + 1,
        })
    }

    /// Whether this is a value of type `ty`.
    ///
    /// # Errors
    /// If it belongs to another store.
    fn is_of(&self, ty: ValType, store: &StoreOpaque) -> Result<bool> {
        let ValType::Ref(ty) = ty else {
            return Ok(self.ty() == ty);
        };
        Ok(match (self, ty.heap) {
            (CoreVal::FuncRef(None), HeapType::Func | HeapType::Concrete(_))
            | (CoreVal::ExternRef(None), HeapType::Extern)
            | (CoreVal::ExnRef(None), HeapType::Exn | HeapType::NoExn) => ty.nullable,
            (CoreVal::FuncRef(Some(_)), HeapType::Func)
            | (CoreVal::ExternRef(Some(_)), HeapType::Extern)
            | (CoreVal::ExnRef(Some(_)), HeapType::Exn) => true,
            (CoreVal::FuncRef(Some(func)), HeapType::Concrete(_)) => {
                func.ty_in(store)?.reference(false).is_subtype_of(&ty)
            }
            _ => false,
        })
    }

    /// The value of these bits, which wasm of the store holds as a `ty`.
    pub(super) fn from_bits(ty: ValType, bits: u128, store: &StoreOpaque) -> CoreVal {
        match ty {
            ValType::I32 => CoreVal::I32(bits as u32 as i32),
            ValType::I64 => CoreVal::I64(bits as u64 as i64),
            ValType::F32 => CoreVal::F32(bits as u32),
            ValType::F64 => CoreVal::F64(bits as u64),
            ValType::V128 => CoreVal::V128(bits),
            ValType::Ref(RefType {
                heap: HeapType::Func | HeapType::Concrete(_),
                ..
            }) => {
                let func_ref = std::ptr::with_exposed_provenance_mut(bits as u64 as usize);
                CoreVal::FuncRef(
                    NonNull::new(func_ref).map(|func| CoreFunc::from_ref(store.id(), func)),
                )
            }
            ValType::Ref(RefType {
                heap: HeapType::Extern,
                ..
            }) => CoreVal::ExternRef((bits as u64).checked_sub(1).map(|v| v as u32)),
            ValType::Ref(RefType {
                heap: HeapType::Exn | HeapType::NoExn,
                ..
            }) => CoreVal::ExnRef(CoreExnRef::of_bits(bits as u64, store)),
        }
    }
}

/// A host function for core modules.
#[repr(C)]
struct HostFunc {
    /// The function's context, as wasm sees it. Must be the first field.
    vm: VmHostFunc,
    ty: FuncType,
    call: Box<HostCall>,
    /// A reference to this function in an instance that imports it: its value.
    func_ref: Option<NonNull<VmFuncRef>>,
}

/// The host's code.
type HostCall = dyn Fn(&[CoreVal]) -> Result<Vec<CoreVal>> + Send + Sync;

// SAFETY: the reference belongs to an instance of the store that the function belongs to.
unsafe impl Send for HostFunc {}

impl CoreFunc {
    /// A host function of this type, for core modules to import. `call` is given values of the
    /// types of the parameters, and must return values of the types of the results.
    pub fn new(
        mut store: impl AsContextMut,
        ty: FuncType,
        call: impl Fn(&[CoreVal]) -> Result<Vec<CoreVal>> + Send + Sync + 'static,
    ) -> CoreFunc {
        let mut context = store.as_context_mut();
        let store = context.opaque();
        let shim: unsafe extern "C" fn(_, _, _) -> RawReturn = host_shim;
        let vm = VmHostFunc {
            store: store.vm_address(),
            code: (shim as *const ()).expose_provenance() as u64,
            data: 0,
        };
        let func = store.host_items.add(HostFunc {
            vm,
            ty,
            call: Box::new(call),
            func_ref: None,
        });
        // SAFETY: just made, and nothing else refers to it yet.
        unsafe { (*func.as_ptr()).vm.data = func.as_ptr().expose_provenance() as u64 };
        CoreFunc {
            store: store.id(),
            item: FuncItem::Host(func.cast()),
        }
    }

    /// The function of a reference that lives as long as the store.
    pub(super) fn from_ref(store: StoreId, func_ref: NonNull<VmFuncRef>) -> CoreFunc {
        CoreFunc {
            store,
            item: FuncItem::Wasm(func_ref),
        }
    }

    /// The function of this store.
    pub(super) fn of_item(store: StoreId, item: FuncItem) -> CoreFunc {
        CoreFunc { store, item }
    }

    pub(super) fn item(&self) -> FuncItem {
        self.item
    }

    /// The type.
    ///
    /// # Errors
    /// If the function belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> Result<FuncType> {
        self.ty_in(store.as_context().opaque())
    }

    pub(super) fn ty_in(&self, store: &StoreOpaque) -> Result<FuncType> {
        check_store(self.store, store)?;
        match self.item {
            // SAFETY: lives as long as the store (as items do), which is borrowed.
            FuncItem::Host(func) => Ok(unsafe { host_func(func).as_ref() }.ty.clone()),
            FuncItem::Wasm(func_ref) => {
                // SAFETY: lives as long as the store (as items do), which is borrowed.
                let type_id = unsafe { func_ref.read() }.type_id;
                let bytes = store.engine().types().bytes(type_id as u32);
                match bytes.and_then(|bytes| FuncType::decode(&bytes)) {
                    Some(ty) => Ok(ty),
                    None => Err(Error::msg("the function has an unknown type")),
                }
            }
        }
    }

    /// Calls the function.
    ///
    /// # Errors
    /// If it traps, `args` are not as its type says, or something belongs to another store.
    pub fn call(&self, mut store: impl AsContextMut, args: &[CoreVal]) -> Result<Vec<CoreVal>> {
        let mut context = store.as_context_mut();
        trace::enter!(TRACE, "call");
        let store = context.opaque();
        let ty = self.ty_in(store)?;
        let params = ty.params();
        if args.len() != params.len() {
            let (expected, found) = (params.len(), args.len());
            return Err(Error::msg(format!(
                "expected {expected} arguments, found {found}"
            )));
        }
        let bits = args
            .iter()
            .zip(params)
            .map(|(arg, ty)| arg.to_bits(*ty, store));
        let mut values = bits.collect::<Result<Vec<u128>>>()?;
        values.resize(params.len().max(ty.results().len()), 0);
        match self.item {
            FuncItem::Host(func) => {
                // SAFETY: lives as long as the store (as items do).
                let func = unsafe { host_func(func).as_ref() };
                // SAFETY: there is one value for each parameter and result.
                unsafe { call_host(func, store, values.as_mut_ptr()) }?;
            }
            FuncItem::Wasm(func_ref) => {
                // SAFETY: lives as long as the store (as items do).
                let func_ref = unsafe { func_ref.read() };
                let thunk = find_array_thunk(&func_ref, &ty)?;
                let values = values.as_mut_ptr().expose_provenance() as u64;
                let callee = std::ptr::with_exposed_provenance_mut(func_ref.context as usize);
                let Some(callee) = NonNull::new(callee) else {
                    return Err(Error::msg("the function has no context"));
                };
                let ready = Ready::new(store)?;
                // SAFETY: an array thunk for functions of this type, which takes context, code and
                // values; there is one value for each parameter and result.
                let called = unsafe { ready.call(thunk, callee, &[func_ref.code, values]) };
                called.map_err(|error| exception::attach(store, error))?;
            }
        }
        let results = ty.results().iter().zip(values);
        Ok(results
            .map(|(ty, bits)| CoreVal::from_bits(*ty, bits, store))
            .collect())
    }

    /// The address of the `VmHostFunc` of a host function.
    pub(super) fn host_func(&self, _store: &StoreOpaque) -> Option<u64> {
        match self.item {
            FuncItem::Wasm(_) => None,
            FuncItem::Host(func) => Some(func.as_ptr().expose_provenance() as u64),
        }
    }

    /// The function as a value: the address of a reference to it.
    fn reference(&self, store: &StoreOpaque) -> Result<u64> {
        check_store(self.store, store)?;
        let func_ref = match self.item {
            FuncItem::Wasm(func_ref) => Some(func_ref),
            // SAFETY: lives as long as the store (as items do), which is borrowed.
            FuncItem::Host(func) => unsafe { host_func(func).as_ref() }.func_ref,
        };
        match func_ref {
            Some(func_ref) => Ok(func_ref.as_ptr().expose_provenance() as u64),
            None => Err(Error::msg(
                "a host function that no module imports cannot be a value",
            )),
        }
    }
}

/// The host function that starts with this: [`CoreFunc::new`] is the only place that makes one.
fn host_func(vm: NonNull<VmHostFunc>) -> NonNull<HostFunc> {
    vm.cast()
}

/// Makes `func_ref`, which lives as long as the store, the value of a host function of the store.
pub(super) fn set_host_ref(
    _store: &mut StoreOpaque,
    func: NonNull<VmHostFunc>,
    func_ref: NonNull<VmFuncRef>,
) {
    // SAFETY: lives as long as the store (as items do), which is exclusively ours.
    unsafe { host_func(func).as_mut() }.func_ref = Some(func_ref);
}

/// The thunk through which functions of this type are called, in the artifact of their code.
fn find_array_thunk(func_ref: &VmFuncRef, ty: &FuncType) -> Result<Code> {
    let bytes = ty.encode();
    let find = |unit: &Unit| {
        let artifact = unit.artifact();
        let mut types = artifact.core_types().iter();
        let found = types.find(|ty| artifact.string_bytes(ty.core_type) == Some(&bytes));
        let thunk = found
            .map(|ty| ty.array_thunk)
            .filter(|thunk| *thunk != NONE)?;
        // SAFETY: the plan, which instances are made from, has checked all types.
        Some(unsafe { unit.text().at(thunk) })
    };
    match registry::with_unit(func_ref.code as usize, find) {
        Some(Some(thunk)) => Ok(thunk),
        _ => Err(Error::msg(
            "the artifact has no way to call the function from outside",
        )),
    }
}

/// The entry that wasm calls.
///
/// # Safety
/// - `func` is live, `store` is the `VmStore` of its store, whose only user is the caller.
/// - `values` points to one value for each parameter and result.
unsafe extern "C" fn host_shim(
    func: NonNull<HostFunc>,
    store: NonNull<VmStore>,
    values: *mut u128,
) -> RawReturn {
    // SAFETY: the `VmStore` is the start of the `StoreOpaque` (checked in `store`), which nothing
    // else uses; the function does not know about the host's data.
    let store = unsafe { &mut *store.as_ptr().cast::<StoreOpaque>() };
    // SAFETY: live (the caller's contract).
    let func = unsafe { func.as_ref() };
    // SAFETY: the caller's contract.
    let call = |store: &StoreOpaque| unsafe { call_host(func, store, values) };
    let returned = catch_unwind(AssertUnwindSafe(|| call(store)));
    let failed = |code: TrapCode| RawReturn {
        value: 0,
        status: code.number().into(),
    };
    let pending = match returned {
        Ok(Ok(())) => return RawReturn::default(),
        Ok(Err(error)) => {
            let thrown = error.downcast_ref::<CoreException>();
            if thrown.is_some_and(|thrown| thrown.throw(store).is_ok()) {
                return failed(TrapCode::UncaughtException);
            }
            HostFailure::Error(error)
        }
        Err(payload) => HostFailure::Panic(payload),
    };
    store.set_host_failure(pending);
    failed(TrapCode::HostError)
}

/// Calls a host function with values as wasm holds them.
///
/// # Safety
/// - `values` points to one value for each parameter and result, which are of the store.
unsafe fn call_host(func: &HostFunc, store: &StoreOpaque, values: *mut u128) -> Result<()> {
    let (params, results) = (func.ty.params(), func.ty.results());
    let count = params.len().max(results.len());
    // SAFETY: the caller's contract.
    let values = unsafe { std::slice::from_raw_parts_mut(values, count) };
    let args = params.iter().zip(&*values);
    let args: Vec<_> = args
        .map(|(ty, bits)| CoreVal::from_bits(*ty, *bits, store))
        .collect();
    let returned = (func.call)(&args)?;
    if returned.len() != results.len() {
        let (expected, found) = (results.len(), returned.len());
        let message = format!("a host function returned {found} values, expected {expected}");
        return Err(Error::msg(message));
    }
    for ((value, ty), bits) in returned.into_iter().zip(results).zip(values) {
        *bits = value.to_bits(*ty, store)?;
    }
    Ok(())
}
