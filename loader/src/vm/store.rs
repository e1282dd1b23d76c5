//! Stores: the host's data and all instances that may reach it.
//!
//! ```text
//! Store<T> -> StoreInner<T> { StoreOpaque { VmStore, id, instances, ... }, T }
//!                             ^ VmStore.host, for host functions
//! ```
//!
//! A store is reached from two sides: by the host's handle, and by host functions through the
//! context that compiled code passes. Both use the one pointer that the allocation began with and
//! make references from it for short times only, never across a call into wasm.
#![allow(
    unsafe_code,
    reason = "host functions come back to the store by its address"
)]

use std::any::Any;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use cwasm_format::TrapCode;
use cwasm_format::vmctx::{VmContext, VmStore};

use super::engine::Engine;
use crate::artifact::plan::Plan;
use crate::error::{Error, Result};
use crate::vm::builtins;
use crate::vm::hook::{CallHook, Hook};
use crate::vm::host_handles::HostHandles;
use crate::vm::instance::InstanceData;
use crate::vm::interrupt::{InterruptHandle, Interrupts};
use crate::vm::items::HostItems;
use crate::vm::limits::{StoreLimits, Usage};

/// Owns instances and the host's data `T` that host functions work on.
///
/// Instances live as long as their store. Dropping the store gives back all of their memory.
pub struct Store<T: 'static> {
    /// Invariant 1: from `Box::into_raw`, freed by `drop` alone.
    inner: NonNull<StoreInner<T>>,
}

/// A shared reference to a store.
pub struct StoreContext<'a, T: 'static> {
    /// Invariant 1: shared access is allowed for `'a`.
    inner: NonNull<StoreInner<T>>,
    lifetime: PhantomData<&'a T>,
}

/// An exclusive reference to a store; what host functions are given.
pub struct StoreContextMut<'a, T: 'static> {
    /// Invariant 1: exclusive access is allowed for `'a`.
    inner: NonNull<StoreInner<T>>,
    lifetime: PhantomData<&'a mut T>,
}

/// What gives shared access to a store: a [`Store`], or a reference to one.
pub trait AsContext {
    /// The host's data in the store.
    type Data: 'static;

    /// The store.
    fn as_context(&self) -> StoreContext<'_, Self::Data>;
}

/// What gives exclusive access to a store.
pub trait AsContextMut: AsContext {
    /// The store.
    fn as_context_mut(&mut self) -> StoreContextMut<'_, Self::Data>;
}

#[repr(C)]
struct StoreInner<T: 'static> {
    opaque: StoreOpaque,
    hook: Option<Box<Hook<T>>>,
    data: T,
}

/// The part of a store that does not depend on the host's data.
#[repr(C)]
pub(crate) struct StoreOpaque {
    /// Shared with compiled code. Must be the first field.
    pub(crate) vm: VmStore,
    id: StoreId,
    engine: Engine,
    pending: Option<Pending>,
    /// Each with what the store's instances had defined before.
    instances: Vec<(Arc<InstanceData>, Usage)>,
    usage: Usage,
    limits: StoreLimits,
    /// Made when someone first asks for it.
    interrupts: OnceLock<Arc<Interrupts>>,
    /// Core items that the host defined.
    pub(crate) host_items: HostItems,
    /// Resources that the host has.
    pub(crate) resources: HostHandles,
}

/// The number of a store: no two stores of a process have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StoreId(u64);

/// How a host function failed, kept until wasm has been left.
pub(crate) enum Pending {
    Error(Error),
    Panic(Box<dyn Any + Send>),
}

impl<T: 'static> Store<T> {
    /// An empty store with the host's data.
    pub fn new(engine: &Engine, data: T) -> Store<T> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let opaque = StoreOpaque {
            vm: VmStore {
                builtins: builtins::table_address(),
                stack_limit: u64::MAX,
                host: 0,
            },
            id: StoreId(NEXT_ID.fetch_add(1, Ordering::Relaxed)),
            engine: engine.clone(),
            pending: None,
            instances: Vec::new(),
            usage: Usage::default(),
            limits: StoreLimits::default(),
            interrupts: OnceLock::new(),
            host_items: HostItems::default(),
            resources: HostHandles::default(),
        };
        let inner = NonNull::from(Box::leak(Box::new(StoreInner {
            opaque,
            hook: None,
            data,
        })));
        let mut store = Store { inner };
        store.as_context_mut().opaque().vm.host = inner.as_ptr().expose_provenance() as u64;
        store
    }

    /// The host's data.
    pub fn data(&self) -> &T {
        // SAFETY: the pointer is valid (invariant 1), and the handle is borrowed for the reference.
        unsafe { &(*self.inner.as_ptr()).data }
    }

    /// The host's data.
    pub fn data_mut(&mut self) -> &mut T {
        // SAFETY: the pointer is valid (invariant 1), and the handle is borrowed for the reference.
        unsafe { &mut (*self.inner.as_ptr()).data }
    }

    /// Drops all instances and returns the host's data.
    pub fn into_data(self) -> T {
        let store = std::mem::ManuallyDrop::new(self);
        // SAFETY: the pointer is from a box (invariant 1), and `drop` does not run any more.
        let inner = unsafe { Box::from_raw(store.inner.as_ptr()) };
        inner.data
    }

    /// Sets what the store's guests may use, which holds for instances and calls from then on: memories
    /// and tables of instances that are there keep their limits.
    pub fn set_limits(&mut self, limits: StoreLimits) {
        self.as_context_mut().opaque().limits = limits;
    }

    /// What the store's guests may use.
    pub fn limits(&self) -> &StoreLimits {
        // SAFETY: the pointer is valid (invariant 1), and the handle is borrowed for the reference.
        unsafe { &(*self.inner.as_ptr()).opaque.limits }
    }

    /// Has `hook` told of each call of a component's exports and imports, when it begins and when it ends. If it fails, the call does: before a call of an export the guest is not
    /// entered, otherwise it is as if the host function or the call had failed. What the hook itself
    /// calls is not told of.
    pub fn set_call_hook(
        &mut self,
        hook: impl FnMut(StoreContextMut<'_, T>, CallHook) -> Result<()> + Send + Sync + 'static,
    ) {
        self.as_context_mut().restore_hook(Box::new(hook));
    }

    /// The engine of the store.
    pub fn engine(&self) -> &Engine {
        // SAFETY: the pointer is valid (invariant 1), and the handle is borrowed for the reference.
        unsafe { &(*self.inner.as_ptr()).opaque.engine }
    }

    /// What stops calls in this store, and instantiation, from other threads: see there for what
    /// can be stopped. It can be made before there are any instances.
    ///
    /// ```no_run
    /// # fn example(mut store: cwasm::Store<()>, run: cwasm::TypedFunc<(), ()>) -> cwasm::Result<()> {
    /// let handle = store.interrupt_handle();
    /// std::thread::spawn(move || {
    ///     std::thread::sleep(std::time::Duration::from_secs(1));
    ///     handle.interrupt()
    /// });
    /// if let Err(error) = run.call(&mut store, ()) {
    ///     assert_eq!(error.trap().unwrap().code(), cwasm::TrapCode::Interrupt);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn interrupt_handle(&self) -> InterruptHandle {
        let store = self.as_context();
        InterruptHandle::new(Arc::clone(store.opaque().interrupts()))
    }

    /// Withdraws requests to stop, of handles and the deadline, that have not stopped a call yet.
    pub fn clear_interrupt(&mut self) {
        self.as_context_mut().opaque().withdraw_interrupts();
    }

    /// Sets when what runs then, or the next call, is to be stopped as by
    /// [`InterruptHandle::interrupt`]; none, if `None`. Takes the place of the deadline before, and
    /// of the request that it has made, if it has passed and not stopped a call yet. A deadline stops one
    /// call: set the next one for others.
    ///
    /// A thread of the engine, started for its first deadline, waits for those of all its stores.
    ///
    /// # Errors
    /// If that thread cannot be started: there is no deadline.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.as_context_mut()
            .opaque()
            .interrupts()
            .set_deadline(deadline)
    }
}

impl<T: 'static> Drop for Store<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer is from a box, and only `drop` frees it (invariant 1).
        drop(unsafe { Box::from_raw(self.inner.as_ptr()) });
    }
}

impl<'a, T: 'static> StoreContext<'a, T> {
    /// The host's data.
    pub fn data(&self) -> &'a T {
        // SAFETY: shared access is allowed for `'a` (invariant 1).
        unsafe { &(*self.inner.as_ptr()).data }
    }

    /// The engine of the store.
    pub fn engine(&self) -> &'a Engine {
        &self.opaque().engine
    }

    pub(crate) fn opaque(&self) -> &'a StoreOpaque {
        // SAFETY: shared access is allowed for `'a` (invariant 1).
        unsafe { &(*self.inner.as_ptr()).opaque }
    }
}

impl<'a, T: 'static> StoreContextMut<'a, T> {
    /// The store that an instance belongs to, for a host function that the instance calls.
    ///
    /// # Safety
    /// - `context` is the context of an instance in a `Store<T>`.
    /// - For `'a`, nothing else uses that store.
    pub(crate) unsafe fn from_context(context: NonNull<VmContext>) -> StoreContextMut<'a, T> {
        // SAFETY: the context is live (the caller's contract).
        let store = unsafe { context.as_ref() }.store;
        // SAFETY: a context's store is the `VmStore` of its store (the same contract).
        unsafe { Self::from_vm_store(store) }
    }

    /// The store of this `VmStore`'s address.
    ///
    /// # Safety
    /// - `store` is the address of the `VmStore` of a `Store<T>`.
    /// - For `'a`, nothing else uses that store.
    pub(crate) unsafe fn from_vm_store(store: u64) -> StoreContextMut<'a, T> {
        let store = std::ptr::with_exposed_provenance::<VmStore>(store as usize);
        // SAFETY: the address is that of a live `VmStore` (the caller's contract).
        let host = unsafe { (*store).host };
        let inner = std::ptr::with_exposed_provenance_mut::<StoreInner<T>>(host as usize);
        // SAFETY: `Store::new` sets `host` to the address of the allocation, which is not null.
        let inner = unsafe { NonNull::new_unchecked(inner) };
        StoreContextMut {
            inner,
            lifetime: PhantomData,
        }
    }

    /// The host's data.
    pub fn data(&self) -> &T {
        // SAFETY: access is ours for `'a` (invariant 1), and `self` is borrowed.
        unsafe { &(*self.inner.as_ptr()).data }
    }

    /// The host's data.
    pub fn data_mut(&mut self) -> &mut T {
        // SAFETY: access is ours for `'a` (invariant 1), and `self` is borrowed.
        unsafe { &mut (*self.inner.as_ptr()).data }
    }

    /// The engine of the store.
    pub fn engine(&self) -> &Engine {
        // SAFETY: access is ours for `'a` (invariant 1), and `self` is borrowed.
        unsafe { &(*self.inner.as_ptr()).opaque.engine }
    }

    /// The same store, for as long as this is borrowed.
    pub(crate) fn reborrow(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut {
            inner: self.inner,
            lifetime: PhantomData,
        }
    }

    /// Whether somebody is told of calls.
    #[inline]
    pub(crate) fn has_hook(&self) -> bool {
        // SAFETY: access is ours for `'a` (invariant 1), and `self` is borrowed.
        unsafe { &(*self.inner.as_ptr()).hook }.is_some()
    }

    /// Takes the hook while it runs.
    pub(crate) fn take_hook(&mut self) -> Option<Box<Hook<T>>> {
        // SAFETY: access is ours for `'a` (invariant 1), and `self` is borrowed.
        unsafe { &mut (*self.inner.as_ptr()).hook }.take()
    }

    /// Sets the hook, or puts it back.
    pub(crate) fn restore_hook(&mut self, hook: Box<Hook<T>>) {
        // SAFETY: access is ours for `'a` (invariant 1), and `self` is borrowed.
        *unsafe { &mut (*self.inner.as_ptr()).hook } = Some(hook);
    }

    /// The part that does not depend on the data. The reference must not be used again after wasm
    /// has run: make a new one.
    pub(crate) fn opaque(&mut self) -> &mut StoreOpaque {
        // SAFETY: access is ours for `'a` (invariant 1), and `self` is borrowed.
        unsafe { &mut (*self.inner.as_ptr()).opaque }
    }
}

impl StoreOpaque {
    pub(crate) fn id(&self) -> StoreId {
        self.id
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The address that contexts hold.
    pub(crate) fn vm_address(&self) -> u64 {
        // `StoreInner` and `StoreOpaque` are `repr(C)`: all start at the same address, whose
        // provenance `Store::new` exposed.
        self.vm.host
    }

    /// The store of a context or host function at this address; `None` for 0. Safe in signal handlers.
    ///
    /// # Safety
    /// - `context` is 0, or the address of a [`VmContext`] or `VmHostFunc` whose store lives for
    ///   `'a`, and for `'a` nothing changes the store.
    pub(crate) unsafe fn of_context<'a>(context: usize) -> Option<&'a StoreOpaque> {
        // Both begin with the address of the store (checked in the format).
        let context = NonNull::new(std::ptr::with_exposed_provenance_mut::<u64>(context))?;
        // SAFETY: live (the caller's contract).
        let store = unsafe { context.read() };
        let store = std::ptr::with_exposed_provenance::<StoreOpaque>(store as usize);
        // SAFETY: `VmStore` is the start of the `StoreOpaque` (checked below), which is live and does
        // not change (the caller's contract).
        unsafe { store.as_ref() }
    }

    /// Whether code of the store can get to this address, by the kind of access that traps with
    /// `code`. Safe in signal handlers while wasm of the store runs.
    pub(crate) fn may_fault_at(&self, code: TrapCode, address: usize) -> bool {
        match code {
            TrapCode::Interrupt => self
                .interrupts
                .get()
                .is_some_and(|interrupts| interrupts.is_page(address)),
            _ => {
                let mut instances = self.instances.iter();
                instances.any(|(instance, _)| instance.reserves(address))
                    || self.host_items.contains(address)
            }
        }
    }

    /// What the store shares with its interruptible instances and its handles.
    pub(crate) fn interrupts(&self) -> &Arc<Interrupts> {
        self.interrupts
            .get_or_init(|| Arc::new(Interrupts::new(&self.engine)))
    }

    /// Withdraws all requests to stop: a call was stopped.
    pub(crate) fn withdraw_interrupts(&mut self) {
        if let Some(interrupts) = self.interrupts.get() {
            interrupts.withdraw_all();
        }
    }

    /// Keeps how a host function failed until wasm has been left.
    #[cold]
    pub(crate) fn set_pending(&mut self, pending: Pending) {
        self.pending = Some(pending);
    }

    pub(crate) fn take_pending(&mut self) -> Option<Pending> {
        self.pending.take()
    }

    /// The index that the next instance will have.
    pub(crate) fn next_instance(&self) -> u32 {
        // Each instance takes more than a page of memory: 2^32 of them do not fit.
        self.instances.len() as u32
    }

    pub(crate) fn limits(&self) -> &StoreLimits {
        &self.limits
    }

    /// What the store's instances define with one more by this plan.
    ///
    /// # Errors
    /// The limit that the instance would exceed.
    pub(crate) fn usage_with(&self, plan: &Plan) -> Result<Usage> {
        self.usage.with(plan, &self.limits)
    }

    pub(crate) fn push_instance(&mut self, instance: Arc<InstanceData>, usage: Usage) {
        let before = std::mem::replace(&mut self.usage, usage);
        self.instances.push((instance, before));
    }

    /// Drops the instance of this index if it is the youngest.
    pub(crate) fn pop_instance(&mut self, index: u32) {
        if self.instances.len() == index as usize + 1 {
            let youngest = self.instances.pop();
            self.usage = youngest.map(|(_, before)| before).unwrap_or_default();
        }
    }

    /// The instance of this index.
    ///
    /// # Panics
    /// If the store has no such instance.
    pub(crate) fn instance(&self, index: u32) -> &InstanceData {
        &self.instances[index as usize].0
    }
}

// SAFETY: the handle owns all that it points to, as a box would: the data, which may be sent, and
// `StoreOpaque`, all of whose parts may be (checked below; contexts are plain memory).
unsafe impl<T: Send> Send for Store<T> {}
// SAFETY: a shared store gives shared access to the data, the engine and the interrupts only, which
// may be shared themselves.
unsafe impl<T: Sync> Sync for Store<T> {}
// SAFETY: stands for a `&Store<T>`.
unsafe impl<T: Sync> Send for StoreContext<'_, T> {}
// SAFETY: stands for a `&mut Store<T>`.
unsafe impl<T: Send> Send for StoreContextMut<'_, T> {}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<StoreOpaque>();
    assert!(std::mem::offset_of!(StoreOpaque, vm) == 0);
    assert!(std::mem::offset_of!(StoreInner<u8>, opaque) == 0);
};

impl<T: 'static> AsContext for Store<T> {
    type Data = T;

    #[inline]
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext {
            inner: self.inner,
            lifetime: PhantomData,
        }
    }
}

impl<T: 'static> AsContextMut for Store<T> {
    #[inline]
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut {
            inner: self.inner,
            lifetime: PhantomData,
        }
    }
}

impl<T: 'static> AsContext for StoreContext<'_, T> {
    type Data = T;

    #[inline]
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext {
            inner: self.inner,
            lifetime: PhantomData,
        }
    }
}

impl<T: 'static> AsContext for StoreContextMut<'_, T> {
    type Data = T;

    #[inline]
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext {
            inner: self.inner,
            lifetime: PhantomData,
        }
    }
}

impl<T: 'static> AsContextMut for StoreContextMut<'_, T> {
    #[inline]
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut {
            inner: self.inner,
            lifetime: PhantomData,
        }
    }
}

impl<C: AsContext> AsContext for &C {
    type Data = C::Data;

    #[inline]
    fn as_context(&self) -> StoreContext<'_, C::Data> {
        C::as_context(self)
    }
}

impl<C: AsContext> AsContext for &mut C {
    type Data = C::Data;

    #[inline]
    fn as_context(&self) -> StoreContext<'_, C::Data> {
        C::as_context(self)
    }
}

impl<C: AsContextMut> AsContextMut for &mut C {
    #[inline]
    fn as_context_mut(&mut self) -> StoreContextMut<'_, C::Data> {
        C::as_context_mut(self)
    }
}
