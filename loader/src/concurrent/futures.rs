//! Futures of the host that tasks wait for, or that the host has spawned.
//!
//! Each has a waker of its own, which notes it in a list that is polled next: a store with many
//! futures polls those that were woken only.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake as _, Waker};

use super::waking::{Waking, Woken};
use super::{Run, accessor};
use crate::error::Result;
use crate::vm::store_id::StoreId;
use crate::vm::tasks::slab::{Id, Slab};

/// Something of the host that goes on when it is polled, and may use the store then.
pub(super) trait HostFuture: Send {
    /// Polls it, and does what follows when it is ready, if it is still wanted then.
    ///
    /// # Errors
    /// The host's, or of what follows.
    fn poll(
        &mut self,
        run: Run,
        context: &mut Context<'_>,
        is_wanted: &dyn Fn() -> bool,
    ) -> Poll<Result<()>>;

    /// Gives back what it has borrowed: nobody waits for it any more.
    fn give_back(&mut self, run: Run);
}

/// The futures of a store.
#[derive(Default)]
pub(super) struct Futures {
    futures: Slab<Entry>,
    woken: Arc<Woken>,
    /// The number of the store, which futures borrow.
    store: Option<Arc<StoreId>>,
}

struct Entry {
    /// Taken out while it is polled.
    future: Option<Box<dyn HostFuture>>,
    waking: Arc<Waking>,
    /// Whether it was woken again while it is polled, and nobody could.
    is_missed: bool,
}

impl Futures {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.futures.len() == 0
    }

    /// Adds one, which is polled next.
    pub(super) fn add(&mut self, future: Box<dyn HostFuture>) -> Id {
        let waking = Waking::new(self.futures.next_id().0, &self.woken);
        self.futures.add(Entry {
            future: Some(future),
            waking,
            is_missed: false,
        })
    }

    /// The number of the store of these futures, which is this, at a fixed place.
    pub(super) fn store(&mut self, id: StoreId) -> Arc<StoreId> {
        Arc::clone(self.store.get_or_insert_with(|| Arc::new(id)))
    }

    /// Wakes one.
    pub(super) fn wake(&self, id: Id) {
        if let Some(entry) = self.futures.get(id) {
            entry.waking.wake_by_ref();
        }
    }

    /// Takes all out.
    pub(super) fn clear(&mut self) -> impl Sized + use<> {
        std::mem::take(&mut self.futures)
    }

    /// Sets who is woken when one of them is.
    pub(super) fn set_waker(&self, waker: &Waker) {
        self.woken.set_waker(waker);
    }
}

/// Polls one future. Whether it is over.
///
/// # Errors
/// The future's.
pub(super) fn poll_one(run: Run, id: Id) -> Result<bool> {
    let Some(entry) = run.futures().futures.get_mut(id) else {
        return Ok(true);
    };
    let Some(mut future) = entry.future.take() else {
        entry.is_missed = true;
        return Ok(false);
    };
    entry.waking.reset();
    let waking = Arc::clone(&entry.waking);
    let waker = Waker::from(Arc::clone(&waking));
    // Not if it was ended meanwhile: then another one may have its number.
    let is_wanted = || {
        let entry = run.futures().futures.get(id);
        entry.is_some_and(|entry| Arc::ptr_eq(&entry.waking, &waking))
    };
    let polled = future.poll(run, &mut Context::from_waker(&waker), &is_wanted);
    match polled {
        Poll::Pending if is_wanted() => {
            let entry = &mut run.futures().futures[id];
            entry.future = Some(future);
            if std::mem::take(&mut entry.is_missed) {
                entry.waking.reset();
                entry.waking.wake_by_ref();
            }
            Ok(false)
        }
        Poll::Pending => {
            future.give_back(run);
            accessor::with_store(run, || drop(future));
            Ok(true)
        }
        Poll::Ready(result) => {
            if is_wanted() {
                run.futures().futures.remove(id);
            }
            accessor::with_store(run, || drop(future));
            result.map(|()| true)
        }
    }
}

/// Ends a future that nobody waits for any more; if it is polled, when that is over.
pub(super) fn end(run: Run, id: Id) {
    let removed = run.futures().futures.remove(id);
    if let Some(mut future) = removed.and_then(|entry| entry.future) {
        future.give_back(run);
        accessor::with_store(run, || drop(future));
    }
    // A guest may call and cancel any number of those that wake themselves while nobody polls.
    let Futures { futures, woken, .. } = run.futures();
    if woken.len() > 2 * futures.len() + MAX_ENDED {
        woken.retain(|number| futures.get(Id(number)).is_some());
    }
}

/// Futures that are over and may still be among the woken ones, beside as many as there are.
const MAX_ENDED: usize = 64;

/// Polls the futures that were woken: whether there were any.
///
/// # Errors
/// That of the first that fails.
pub(super) fn poll_woken(run: Run) -> Result<bool> {
    let woken = run.futures().woken.take();
    let mut result = Ok(!woken.is_empty());
    for number in woken {
        if let (Err(error), Ok(_)) = (poll_one(run, Id(number)), &result) {
            result = Err(error);
        }
    }
    result
}

/// A future without a result.
pub(super) struct Spawned(pub(super) Pin<Box<dyn Future<Output = ()> + Send>>);

impl HostFuture for Spawned {
    fn poll(
        &mut self,
        run: Run,
        context: &mut Context<'_>,
        _: &dyn Fn() -> bool,
    ) -> Poll<Result<()>> {
        accessor::with_store(run, || self.0.as_mut().poll(context)).map(Ok)
    }

    fn give_back(&mut self, _: Run) {}
}
