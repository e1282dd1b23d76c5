//! Stores: the host's data and all instances that may reach it.

use std::sync::Arc;
#[cfg(feature = "async")]
use std::task::{Context, Poll};
#[cfg(feature = "async")]
use std::time::Duration;
use std::time::Instant;

#[cfg(feature = "async")]
use crate::concurrent::{self, Accessor};
use crate::engine::Engine;
use crate::error::Result;
use crate::vm::builtins;
use crate::vm::hook::CallHook;
use crate::vm::interrupt::InterruptHandle;
use crate::vm::limits::StoreLimits;
use crate::vm::store_context::{
    AsContext, AsContextMut, Hook, StoreContext, StoreContextMut, StoreOwner,
};

/// Owns instances and the host's data `T` that host functions work on.
///
/// Instances live as long as their store. Dropping the store gives back all of their memory.
pub struct Store<T: 'static> {
    owner: StoreOwner<T>,
}

impl<T: 'static> Store<T> {
    /// An empty store with the host's data.
    pub fn new(engine: &Engine, data: T) -> Store<T> {
        Store {
            owner: StoreOwner::new(
                engine,
                builtins::table_address(),
                #[cfg(feature = "async")]
                concurrent::FUNCS,
                data,
            ),
        }
    }

    /// The host's data.
    pub fn data(&self) -> &T {
        self.owner.context().data()
    }

    /// The host's data.
    pub fn data_mut(&mut self) -> &mut T {
        self.owner.data_mut()
    }

    /// Drops all instances and returns the host's data.
    pub fn into_data(self) -> T {
        self.owner.into_data()
    }

    /// Sets the limits of the store's guests, for instances and calls from then on: the memories
    /// and tables of existing instances keep their limits.
    pub fn set_limits(&mut self, limits: StoreLimits) {
        self.as_context_mut().opaque().set_limits(limits);
    }

    /// The limits of the store's guests.
    pub fn limits(&self) -> &StoreLimits {
        self.owner.context().opaque().limits()
    }

    /// Calls `hook` before and after each call of a component's exports and imports. If it fails,
    /// the call fails: before a call of an export the guest is not entered, otherwise it is as if
    /// the host function or the call had failed. The hook is not called for calls of its own.
    pub fn set_call_hook(
        &mut self,
        hook: impl FnMut(StoreContextMut<'_, T>, CallHook) -> Result<()> + Send + Sync + 'static,
    ) {
        self.as_context_mut()
            .set_hook(Hook::Blocking(Box::new(hook)));
    }

    /// As [`set_call_hook`](Store::set_call_hook), with a hook that may wait. Then all calls must
    /// be of the kind that waits, as [`TypedFunc::call_async`](crate::TypedFunc::call_async):
    /// others fail.
    #[cfg(feature = "async")]
    pub fn set_call_hook_async<F>(&mut self, hook: F)
    where
        F: for<'a> FnMut(
                StoreContextMut<'a, T>,
                CallHook,
            ) -> Box<dyn Future<Output = Result<()>> + Send + 'a>
            + Send
            + Sync
            + 'static,
    {
        self.as_context_mut().set_hook(Hook::Async(Box::new(hook)));
    }

    /// Runs `body`, and beside it the calls that it makes
    /// ([`TypedFunc::call_concurrent`](crate::TypedFunc::call_concurrent)), the host functions that
    /// these wait for, and what was [spawned](Accessor::spawn), until `body` is over. What still
    /// runs then goes on in the next call of the kind that waits.
    ///
    /// ```no_run
    /// # use cwasm::{Result, Store, TypedFunc};
    /// # async fn example(
    /// #     mut store: Store<()>,
    /// #     fetch: TypedFunc<(String,), (String,)>,
    /// # ) -> Result<()> {
    /// # async fn heartbeat() {}
    /// let answer = store
    ///     .run_concurrent(async |accessor| {
    ///         accessor.spawn(|_| Box::pin(heartbeat()));
    ///         fetch.call_concurrent(accessor, ("page".to_owned(),)).await
    ///     })
    ///     .await??;
    /// # drop(answer);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A trap of a task that nobody waits for, or of one of a component that `body` calls: `body`
    /// is dropped.
    #[cfg(feature = "async")]
    pub async fn run_concurrent<R>(
        &mut self,
        body: impl AsyncFnOnce(&Accessor<T>) -> R,
    ) -> Result<R> {
        concurrent::run_concurrent(self.as_context_mut(), body).await
    }

    /// Lets tasks and futures of earlier calls go on, as a call that waits does: those whose
    /// callers have gone, those that have returned and still do something, and what was
    /// [spawned](Accessor::spawn). It is ready when nothing can go on any more: tasks that are left
    /// wait for what only another call does.
    ///
    /// # Errors
    /// A trap of a task, or an error of the host.
    #[cfg(feature = "async")]
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        concurrent::poll(&mut self.as_context_mut(), context)
    }

    /// How many tasks of guests there are: calls of the kind that waits which have not returned, or
    /// have and still do something.
    #[cfg(feature = "async")]
    pub fn task_count(&mut self) -> usize {
        concurrent::task_count(self.as_context_mut().opaque())
    }

    /// The engine of the store.
    pub fn engine(&self) -> &Engine {
        self.owner.context().engine()
    }

    /// A handle by which other threads stop calls and instantiations in this store: see
    /// [`InterruptHandle`] for the code that can be stopped. It can be made before there are any
    /// instances.
    ///
    /// ```no_run
    /// # use cwasm::{Result, Store, TypedFunc};
    /// # fn example(mut store: Store<()>, run: TypedFunc<(), ()>) -> Result<()> {
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

    /// Sets how long code runs in one poll of a call that can wait (`call_async`,
    /// `instantiate_async`, [`run_concurrent`](Store::run_concurrent)): then the poll is pending,
    /// and woken at once, so that a guest that computes does not keep its thread from other tasks
    /// of the executor. `None`, as at first: any time.
    ///
    /// Code of *interruptible* artifacts (`cwasm compile --interruptible`) gives way so, where it
    /// could be stopped by an [`InterruptHandle`]; host functions do not. Calls that can wait have
    /// stacks of their own then, whatever they call. To be set while nothing runs.
    ///
    /// A slice takes 100 µs at least, so that code goes on in each.
    ///
    /// One thread of the engine, which also waits for deadlines, waits for the ends of slices.
    ///
    /// # Errors
    /// If this machine cannot save the registers of code that it interrupts (`XSAVE`).
    #[cfg(feature = "async")]
    pub fn set_time_slice(&mut self, length: Option<Duration>) -> Result<()> {
        if length.is_some() && !crate::sys::detour::is_possible() {
            return Err(crate::Error::msg("time slices need a CPU with `xsave`"));
        }
        const LEAST: Duration = Duration::from_micros(100);
        let length = length.map(|length| length.max(LEAST));
        self.as_context_mut().opaque().fibers.slice = length;
        Ok(())
    }

    /// Sets whether an instance stays in the store that traps while it is instantiated, so that a
    /// [`CoreDump`](crate::CoreDump) can have it; by default one that no other code may refer to is
    /// dropped at once. It counts for the store's limits.
    #[cfg(feature = "coredump")]
    pub fn keep_failed_instances(&mut self, keep: bool) {
        self.as_context_mut().opaque().keeps_failed_instances = keep;
    }

    /// Withdraws requests to stop, of handles and the deadline, that have not stopped a call yet.
    pub fn clear_interrupt(&mut self) {
        self.as_context_mut().opaque().withdraw_interrupts();
    }

    /// Sets a deadline: the call that runs at that time, or else the next call, is stopped as by
    /// [`InterruptHandle::interrupt`]. With `None`, there is no deadline. Replaces the previous
    /// deadline, and its request if that has passed and has not stopped a call yet. A deadline
    /// stops one call: set the next one for others.
    ///
    /// One thread of the engine, started for its first deadline, waits for the deadlines of all its
    /// stores.
    ///
    /// # Errors
    /// If that thread cannot be started: there is no deadline.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.as_context_mut().set_deadline(deadline)
    }
}

impl<T: 'static> StoreContextMut<'_, T> {
    /// Sets a deadline: see [`Store::set_deadline`].
    ///
    /// # Errors
    /// As [`Store::set_deadline`].
    pub fn set_deadline(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.opaque().interrupts().set_deadline(deadline)
    }
}

impl<T: 'static> AsContext for Store<T> {
    type Data = T;

    #[inline]
    fn as_context(&self) -> StoreContext<'_, T> {
        self.owner.context()
    }
}

impl<T: 'static> AsContextMut for Store<T> {
    #[inline]
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        self.owner.context_mut()
    }
}
