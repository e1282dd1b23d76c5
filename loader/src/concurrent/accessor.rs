//! Access to a store for futures that run beside each other.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

use super::futures::Spawned;
use super::{Run, Turn, take_turn};
use crate::error::{Error, Result};
use crate::finally::finally;
use crate::vm::store::StoreOpaque;
use crate::vm::store_context::StoreContextMut;
use crate::vm::store_id::StoreId;

thread_local! {
    /// The store whose futures this thread polls, unless somebody uses it.
    static POLLED: Cell<Option<NonNull<StoreOpaque>>> = const { Cell::new(None) };
}

/// Lets the futures that `body` polls use the store.
#[inline(never)]
pub(super) fn with_store<R>(run: Run, body: impl FnOnce() -> R) -> R {
    let outer = POLLED.replace(Some(run.store));
    finally(&mut (), |()| body(), |()| POLLED.set(outer))
}

/// A way to a store, for a future that shares it with others: it has the store between two awaits
/// only.
#[repr(transparent)]
pub struct Accessor<T: 'static> {
    store: StoreId,
    data: PhantomData<fn(&mut T)>,
}

impl<T: 'static> fmt::Debug for Accessor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accessor").finish_non_exhaustive()
    }
}

impl<T: 'static> Accessor<T> {
    /// A way to this store, whose data are `T`.
    pub(crate) fn new(store: StoreId) -> Accessor<T> {
        Accessor {
            store,
            data: PhantomData,
        }
    }

    /// As [`new`](Accessor::new), as long as the number is there.
    pub(super) fn of(store: &StoreId) -> &Accessor<T> {
        // SAFETY: an accessor is a number of a store (`repr(transparent)`).
        unsafe { &*std::ptr::from_ref(store).cast() }
    }

    /// Gives the store to `body`.
    ///
    /// # Panics
    /// If the future is not being polled by its store, or its store is in use: in `body` of another
    /// call of this, for example.
    #[inline(never)]
    pub fn with<R>(&self, body: impl FnOnce(StoreContextMut<'_, T>) -> R) -> R {
        let Some(polled) = POLLED.take() else {
            panic!("the store of an accessor is in use, or does not poll its future");
        };
        finally(
            &mut (),
            |()| {
                // SAFETY: this thread polls the futures of the store, which nobody uses meanwhile.
                let opaque = unsafe { &mut *polled.as_ptr() };
                assert!(
                    opaque.id() == self.store,
                    "an accessor is used while another store polls its future"
                );
                let address = opaque.vm_address();
                // SAFETY: the store that this was made for, whose data are `T`; ours until the end.
                body(unsafe { StoreContextMut::from_vm_store(address) })
            },
            |()| POLLED.set(Some(polled)),
        )
    }

    /// Runs a future beside the others of the store, also when whoever spawned it is over. It is
    /// polled while the store runs tasks: in a call of the kind that waits, or in
    /// [`run_concurrent`](crate::Store::run_concurrent). It is dropped with the store.
    ///
    /// # Panics
    /// As [`with`](Accessor::with).
    pub fn spawn<F>(&self, body: F)
    where
        F: for<'a> FnOnce(&'a Accessor<T>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>
            + Send
            + 'static,
    {
        let accessor = Accessor::<T>::new(self.store);
        let future = Box::pin(async move { body(&accessor).await });
        self.with(|mut store| {
            let run = Run::new(store.opaque());
            let id = run.futures().add(Box::new(Spawned(future)));
            run.futures().wake(id);
        });
    }
}

impl<T: 'static> StoreContextMut<'_, T> {
    /// Gives `body` the store as futures have it: to make streams and spawn futures in a host
    /// function that does not wait.
    pub fn with_accessor<R>(&mut self, body: impl FnOnce(&Accessor<T>) -> R) -> R {
        let accessor = Accessor::new(self.opaque().id());
        with_store(Run::new(self.opaque()), || body(&accessor))
    }
}

/// A way to the host `H` in the data `T` of a store: what async functions of traits that
/// [`bindgen!`](crate::bindgen!) makes have instead of `&mut self`.
pub struct Access<'a, T: 'static, H: 'static> {
    accessor: &'a Accessor<T>,
    get: &'a dyn Get<T, H>,
}

/// Finds the host in the data of a store.
trait Get<T, H>: Send + Sync {
    fn get<'a>(&self, data: &'a mut T) -> &'a mut H;

    /// The same, for futures that outlive whoever has this.
    fn copy(&self) -> Box<dyn Get<T, H>>;
}

impl<T, H, F> Get<T, H> for F
where
    F: Fn(&mut T) -> &mut H + Copy + Send + Sync + 'static,
{
    fn get<'a>(&self, data: &'a mut T) -> &'a mut H {
        self(data)
    }

    fn copy(&self) -> Box<dyn Get<T, H>> {
        Box::new(*self)
    }
}

impl<T: 'static, H: 'static> Clone for Access<'_, T, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: 'static, H: 'static> Copy for Access<'_, T, H> {}

impl<T: 'static, H: 'static> fmt::Debug for Access<'_, T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

impl<'a, T: 'static, H: 'static> Access<'a, T, H> {
    /// The host that `get` finds in the data of the accessor's store.
    pub fn new(
        accessor: &'a Accessor<T>,
        get: &'a (impl Fn(&mut T) -> &mut H + Copy + Send + Sync + 'static),
    ) -> Access<'a, T, H> {
        Access { accessor, get }
    }

    /// The way to the store.
    pub fn accessor(self) -> &'a Accessor<T> {
        self.accessor
    }

    /// Gives the host to `body`.
    ///
    /// # Panics
    /// As [`Accessor::with`].
    pub fn with<R>(self, body: impl FnOnce(&mut H) -> R) -> R {
        self.accessor
            .with(|mut store| body(self.get.get(store.data_mut())))
    }

    /// As [`Accessor::spawn`], for a future that has the host as well.
    ///
    /// # Panics
    /// As [`Accessor::with`].
    pub fn spawn<F>(self, body: F)
    where
        F: for<'b> FnOnce(Access<'b, T, H>) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
            + Send
            + 'static,
    {
        let get = self.get.copy();
        self.accessor.spawn(move |accessor| {
            Box::pin(async move {
                let get = &*get;
                body(Access { accessor, get }).await;
            })
        });
    }
}

/// Runs `body` and the tasks of the store until `body` is over.
///
/// # Errors
/// A trap of a task, or an error of the host.
pub(crate) async fn run_concurrent<T: 'static, R>(
    mut store: StoreContextMut<'_, T>,
    body: impl AsyncFnOnce(&Accessor<T>) -> R,
) -> Result<R> {
    let accessor = Accessor::new(store.opaque().id());
    let future = body(&accessor);
    RunConcurrent {
        future: Some(future),
        store,
    }
    .await
}

/// The future of [`run_concurrent`].
struct RunConcurrent<'a, T: 'static, F> {
    /// Until it is over.
    future: Option<F>,
    store: StoreContextMut<'a, T>,
}

// SAFETY: has the store for itself (`T: Send`), and the future (`F: Send`).
unsafe impl<T: Send, F: Send> Send for RunConcurrent<'_, T, F> {}

impl<T: 'static, F: Future> Future for RunConcurrent<'_, T, F> {
    type Output = Result<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: the future is not moved out.
        let this = unsafe { self.get_unchecked_mut() };
        let run = Run::new(this.store.opaque());
        // SAFETY: pinned as this is.
        let mut future = unsafe { Pin::new_unchecked(&mut this.future) };
        let Some(polled) = future.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        run.futures().set_waker(context.waker());
        let result = match with_store(run, || polled.poll(context)) {
            Poll::Ready(output) => Ok(output),
            // Ends of calls that the future waits for wake it.
            Poll::Pending => match take_turns(run, context) {
                Ok(_) => return Poll::Pending,
                Err(error) => Err(error),
            },
        };
        with_store(run, || future.set(None));
        Poll::Ready(result)
    }
}

/// Lets tasks go on. It is ready when none can any more.
///
/// # Errors
/// A trap of a task, or an error of the host.
pub(crate) fn poll<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    context: &mut Context<'_>,
) -> Poll<Result<()>> {
    let run = Run::new(store.opaque());
    run.futures().set_waker(context.waker());
    match take_turns(run, context) {
        Ok(Turn::Deadlock) => Poll::Ready(Ok(())),
        Ok(Turn::Taken | Turn::Waits) => Poll::Pending,
        Err(error) => Poll::Ready(Err(error)),
    }
}

/// Lets tasks go on until all of them wait, or for so many turns: what the last turn was.
fn take_turns(run: Run, context: &mut Context<'_>) -> Result<Turn> {
    for _ in 0..super::TURNS {
        match take_turn(run, context) {
            Ok(Turn::Taken) if std::mem::take(&mut run.tasks().is_slice_over) => break,
            Ok(Turn::Taken) => {}
            Ok(turn @ (Turn::Waits | Turn::Deadlock)) => return Ok(turn),
            Err(error) => {
                super::host::fail_closed(run);
                return Err(error);
            }
        }
    }
    context.waker().wake_by_ref();
    Ok(Turn::Taken)
}

impl<T: 'static, F> Drop for RunConcurrent<'_, T, F> {
    fn drop(&mut self) {
        let run = Run::new(self.store.opaque());
        // SAFETY: pinned as this is, if it was polled.
        let mut future = unsafe { Pin::new_unchecked(&mut self.future) };
        with_store(run, || future.set(None));
    }
}

/// The error of a call that waits for the host, and whose caller does not.
pub(super) fn waits() -> Error {
    Error::msg("a task waits for a future of the host: `call_async` and the like are needed")
}
