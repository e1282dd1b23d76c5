//! How a store is reached: by the host's handle, and by host functions.
//!
//! ```text
//! Store<T> -> StoreInner<T> { StoreOpaque { VmStore, id, instances, ... }, hook, T }
//!                             ^ VmStore.host, for host functions
//! ```
//!
//! Host functions find the store through the context that compiled code passes. Both sides use the
//! one pointer that the allocation began with and make references from it for short times only,
//! never across a call into wasm.
#![allow(
    unsafe_code,
    reason = "host functions come back to the store by its address"
)]

use std::marker::PhantomData;
use std::ptr::NonNull;

use cwasm_format::vmctx::{VmContext, VmStore};

use super::caller::Caller;
use super::engine::Engine;
use super::hook::CallHook;
use super::store::StoreOpaque;
#[cfg(feature = "async")]
use super::store::TaskFuncs;
use crate::error::Result;
use crate::finally::finally;

/// Owns a store with the host's data `T`.
pub(crate) struct StoreOwner<T: 'static> {
    /// Invariant 1: from `Box::into_raw`, freed by `drop` or `into_data`.
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

/// Shared access to a store: implemented for [`Store`](crate::Store), for the references that host
/// functions get, and for references to these.
pub trait AsContext {
    /// The host's data in the store.
    type Data: 'static;

    /// The store.
    fn as_context(&self) -> StoreContext<'_, Self::Data>;
}

/// Exclusive access to a store: as [`AsContext`].
pub trait AsContextMut: AsContext {
    /// The store.
    fn as_context_mut(&mut self) -> StoreContextMut<'_, Self::Data>;
}

/// A host's function that is called before and after calls.
pub(crate) enum Hook<T: 'static> {
    /// It returns when it has done its work.
    Blocking(Box<BlockingHook<T>>),
    /// It may wait.
    #[cfg(feature = "async")]
    Async(Box<AsyncHook<T>>),
}

type BlockingHook<T> =
    dyn FnMut(StoreContextMut<'_, T>, CallHook) -> Result<()> + Send + Sync + 'static;

#[cfg(feature = "async")]
type AsyncHook<T> = dyn for<'a> FnMut(
        StoreContextMut<'a, T>,
        CallHook,
    ) -> Box<dyn Future<Output = Result<()>> + Send + 'a>
    + Send
    + Sync
    + 'static;

/// Calls a hook, which can wait if `caller` can.
///
/// # Errors
/// The hook's; or it waits, and `caller` does not.
fn call_with<T: 'static>(
    hook: &mut Hook<T>,
    store: StoreContextMut<'_, T>,
    event: CallHook,
    #[cfg_attr(
        not(feature = "async"),
        expect(unused_variables, reason = "nothing waits")
    )]
    caller: Caller,
) -> Result<()> {
    match hook {
        Hook::Blocking(hook) => hook(store, event),
        #[cfg(feature = "async")]
        Hook::Async(hook) => {
            let mut store = store;
            let waiter = store.opaque().waiter(caller);
            waiter?.wait_for_boxed(|| hook(store, event))?
        }
    }
}

#[repr(C)]
struct StoreInner<T: 'static> {
    opaque: StoreOpaque,
    hook: Option<Hook<T>>,
    data: T,
}

impl<T: 'static> StoreOwner<T> {
    /// An empty store, whose code finds the loader's functions in the table at `builtins`.
    pub(crate) fn new(
        engine: &Engine,
        builtins: u64,
        #[cfg(feature = "async")] task_funcs: TaskFuncs,
        data: T,
    ) -> StoreOwner<T> {
        let inner = NonNull::from(Box::leak(Box::new(StoreInner {
            opaque: StoreOpaque::new(
                engine,
                builtins,
                #[cfg(feature = "async")]
                task_funcs,
            ),
            hook: None,
            data,
        })));
        let mut store = StoreOwner { inner };
        store.context_mut().opaque().vm.host = inner.as_ptr().expose_provenance() as u64;
        store
    }

    /// The store, as long as this is borrowed.
    #[inline]
    pub(crate) fn context(&self) -> StoreContext<'_, T> {
        StoreContext {
            inner: self.inner,
            lifetime: PhantomData,
        }
    }

    /// The store, for this borrower alone.
    #[inline]
    pub(crate) fn context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut {
            inner: self.inner,
            lifetime: PhantomData,
        }
    }

    /// The host's data.
    pub(crate) fn data_mut(&mut self) -> &mut T {
        // SAFETY: the pointer is valid (invariant 1), and the owner is borrowed for the reference.
        unsafe { &mut (*self.inner.as_ptr()).data }
    }

    /// Drops all instances and returns the host's data.
    pub(crate) fn into_data(self) -> T {
        let store = std::mem::ManuallyDrop::new(self);
        // SAFETY: the pointer is from a box (invariant 1), and `drop` does not run any more.
        let inner = unsafe { Box::from_raw(store.inner.as_ptr()) };
        inner.data
    }
}

impl<T: 'static> Drop for StoreOwner<T> {
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
        self.opaque().engine()
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
        unsafe { &(*self.inner.as_ptr()).opaque }.engine()
    }

    /// The same store, for as long as this is borrowed.
    #[inline]
    pub(crate) fn reborrow(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut {
            inner: self.inner,
            lifetime: PhantomData,
        }
    }

    /// Sets the hook, or puts it back.
    pub(crate) fn set_hook(&mut self, hook: Hook<T>) {
        // SAFETY: access is ours for `'a` (invariant 1), and `self` is borrowed.
        *unsafe { &mut (*self.inner.as_ptr()).hook } = Some(hook);
        self.opaque().watch.set_hook();
    }

    /// The part that does not depend on the data. The reference must not be used again after wasm
    /// has run: make a new one.
    #[inline]
    pub(crate) fn opaque(&mut self) -> &mut StoreOpaque {
        // SAFETY: access is ours for `'a` (invariant 1), and `self` is borrowed.
        unsafe { &mut (*self.inner.as_ptr()).opaque }
    }
}

impl<T: 'static> StoreContextMut<'_, T> {
    /// Whether calls of an instance that can wait are on fibers.
    #[cfg(feature = "async")]
    pub(crate) fn uses_fiber(&mut self, instance: u32) -> bool {
        self.needs_fiber(instance) || self.opaque().fibers.slice.is_some()
    }

    /// Whether calls of an instance may wait for futures of the host.
    #[cfg(feature = "async")]
    pub(crate) fn needs_fiber(&mut self, instance: u32) -> bool {
        self.opaque().instance(instance).is_async() || self.has_async_hook()
    }

    /// Whether the hook may wait.
    #[cfg(feature = "async")]
    pub(crate) fn has_async_hook(&mut self) -> bool {
        // SAFETY: access is ours for `'a` (invariant 1), and `self` is borrowed.
        let hook = unsafe { &(*self.inner.as_ptr()).hook };
        matches!(hook, Some(Hook::Async(_)))
    }

    /// Calls the hook, if there is one, for a call that begins or ends.
    ///
    /// # Errors
    /// The hook's; or it waits, and `caller` does not.
    #[cold]
    pub(crate) fn call_hook(&mut self, event: CallHook, caller: Caller) -> Result<()> {
        // Taken out, so that it is not called for calls of its own.
        // SAFETY: access is ours for `'a` (invariant 1), and `self` is borrowed.
        let hook = unsafe { &mut (*self.inner.as_ptr()).hook }.take();
        finally(
            &mut (self, hook),
            |(store, hook)| match hook {
                Some(hook) => call_with(hook, store.reborrow(), event, caller),
                None => Ok(()),
            },
            |(store, hook)| {
                if let Some(hook) = hook.take() {
                    store.set_hook(hook);
                }
            },
        )
    }
}

// SAFETY: owns the store as a `Box` does. It consists of the data (`T: Send`), the hook (`Send`, by
// its type) and the `StoreOpaque` (`Send`, asserted there), whose contexts are plain memory.
unsafe impl<T: Send> Send for StoreOwner<T> {}
// SAFETY: a `&StoreOwner` gives shared access to the data (`T: Sync`) and to the engine and the
// interrupts (both `Sync`). All else is only read: nothing changes the `StoreOpaque` or the memory
// of its instances while the store is shared (of shared memories, no bytes are handed out).
unsafe impl<T: Sync> Sync for StoreOwner<T> {}
// SAFETY: gives the same access as a `&Store<T>`, which is `Send` if the store is `Sync`.
unsafe impl<T: Sync> Send for StoreContext<'_, T> {}
// SAFETY: gives the same access as a `&mut Store<T>`, which is `Send` if the store is.
unsafe impl<T: Send> Send for StoreContextMut<'_, T> {}

const _: () = assert!(std::mem::offset_of!(StoreInner<u8>, opaque) == 0);

macro_rules! views {
    ($($view:ident)*) => {$(
        impl<T: 'static> AsContext for $view<'_, T> {
            type Data = T;

            #[inline]
            fn as_context(&self) -> StoreContext<'_, T> {
                StoreContext {
                    inner: self.inner,
                    lifetime: PhantomData,
                }
            }
        }
    )*};
}

views! { StoreContext StoreContextMut }

impl<T: 'static> AsContextMut for StoreContextMut<'_, T> {
    #[inline]
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        self.reborrow()
    }
}

macro_rules! references {
    ($($reference:ty)*) => {$(
        impl<C: AsContext> AsContext for $reference {
            type Data = C::Data;

            #[inline]
            fn as_context(&self) -> StoreContext<'_, C::Data> {
                C::as_context(self)
            }
        }
    )*};
}

references! { &C &mut C }

impl<C: AsContextMut> AsContextMut for &mut C {
    #[inline]
    fn as_context_mut(&mut self) -> StoreContextMut<'_, C::Data> {
        C::as_context_mut(self)
    }
}
