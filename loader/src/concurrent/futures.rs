//! Futures of the host that tasks wait for, or that the host has spawned.
//!
//! Each has a waker of its own, which notes it in a list that is polled next: a store with many
//! futures polls those that were woken only.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::{Run, accessor};
use crate::error::Result;
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
}

struct Entry {
    /// Taken out while it is polled.
    future: Option<Box<dyn HostFuture>>,
    waker: Waker,
    of: Arc<Waking>,
    /// Whether it was woken again while it is polled, and nobody could.
    is_missed: bool,
}

/// The futures that were woken, and who is to be woken for them.
#[derive(Default)]
struct Woken {
    ids: Mutex<Vec<Id>>,
    outer: Mutex<Option<Waker>>,
}

/// Wakes one future.
struct Waking {
    id: Id,
    is_woken: AtomicBool,
    woken: Arc<Woken>,
}

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_woken.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut ids = self
            .woken
            .ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        ids.push(self.id);
        drop(ids);
        let outer = self.woken.outer.lock();
        let outer = outer.unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(outer) = outer {
            outer.wake();
        }
    }
}

impl Futures {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.futures.len() == 0
    }

    /// Adds one, which is polled next.
    pub(super) fn add(&mut self, future: Box<dyn HostFuture>) -> Id {
        // The number that it gets is known only when it is there.
        let placeholder = Arc::new(Waking {
            id: Id(u32::MAX),
            is_woken: AtomicBool::new(true),
            woken: Arc::clone(&self.woken),
        });
        let id = self.futures.add(Entry {
            future: Some(future),
            waker: Waker::noop().clone(),
            of: placeholder,
            is_missed: false,
        });
        let of = Arc::new(Waking {
            id,
            is_woken: AtomicBool::new(false),
            woken: Arc::clone(&self.woken),
        });
        let entry = &mut self.futures[id];
        entry.waker = Waker::from(Arc::clone(&of));
        entry.of = of;
        id
    }

    /// Wakes one.
    pub(super) fn wake(&self, id: Id) {
        if let Some(entry) = self.futures.get(id) {
            entry.waker.wake_by_ref();
        }
    }

    /// Takes all out.
    pub(super) fn clear(&mut self) -> impl Sized + use<> {
        std::mem::take(&mut self.futures)
    }

    /// Sets who is woken when one of them is.
    pub(super) fn set_waker(&self, waker: &Waker) {
        let outer = self.woken.outer.lock();
        let mut outer = outer.unwrap_or_else(PoisonError::into_inner);
        match &mut *outer {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// The futures that were woken.
    fn take_woken(&self) -> Vec<Id> {
        let ids = self.woken.ids.lock();
        std::mem::take(&mut *ids.unwrap_or_else(PoisonError::into_inner))
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
    entry.of.is_woken.store(false, Ordering::Release);
    let (waker, of) = (entry.waker.clone(), Arc::clone(&entry.of));
    // Not if it was ended meanwhile: then another one may have its number.
    let is_wanted = || {
        let entry = run.futures().futures.get(id);
        entry.is_some_and(|entry| Arc::ptr_eq(&entry.of, &of))
    };
    let polled = future.poll(run, &mut Context::from_waker(&waker), &is_wanted);
    match polled {
        Poll::Pending if is_wanted() => {
            let entry = &mut run.futures().futures[id];
            entry.future = Some(future);
            if std::mem::take(&mut entry.is_missed) {
                entry.of.is_woken.store(false, Ordering::Release);
                entry.waker.wake_by_ref();
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
}

/// Polls the futures that were woken: whether there were any.
///
/// # Errors
/// That of the first that fails.
pub(super) fn poll_woken(run: Run) -> Result<bool> {
    let woken = run.futures().take_woken();
    let mut result = Ok(!woken.is_empty());
    for id in woken {
        if let (Err(error), Ok(_)) = (poll_one(run, id), &result) {
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
