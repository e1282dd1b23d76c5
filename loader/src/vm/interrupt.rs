//! Interrupts: another thread stops the code that runs in a store.
//!
//! ```text
//! InterruptHandle::interrupt -> page inaccessible -> a check of compiled code faults -> trap
//!                            -> flag set          -> a builtin returns, its trampoline checks
//!                            -> waiter woken      -> the same
//! ```
//!
//! Code of interruptible artifacts reads a page of its store now and then; each context holds the
//! page's address. The page lies in [`Interrupts`], which store, instances and handles share, so a
//! handle never reaches into a store or a context.
//!
//! **Invariant:** whenever the flag is set, the page is inaccessible, so that what comes back early
//! because of the flag never runs on. Requests are withdrawn by the store's owner alone, while
//! nothing of the store runs.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
#[cfg(feature = "async")]
use std::time::Duration;
use std::time::Instant;

use cwasm_format::vmctx::INTERRUPT_PAGE_SIZE;

use super::engine::Engine;
use crate::error::{Context as _, Result};
use crate::fork::{self, Locked};
use crate::sys::PAGE_SIZE;
use crate::vm::deadline::Deadline;
use crate::vm::parking::Waiter;
use crate::vm::space::Space;

/// Stops the code that runs in a [`Store`](crate::Store), from any thread. Cheap to clone; does
/// nothing once the store is gone.
///
/// A request stops code of *interruptible* artifacts (`cwasm compile --interruptible`), with the
/// trap [`TrapCode::Interrupt`](crate::TrapCode::Interrupt): loops, recursion, start functions,
/// operations on much memory, strings and lists that pass from one component to another, and
/// waiting for another thread. Code of other artifacts is not stopped: see
/// [`Component::is_interruptible`](crate::Component::is_interruptible) and
/// [`Module::is_interruptible`](crate::Module::is_interruptible).
///
/// - While no code runs, or none that checks, the request stays: it stops the next call that
///   checks. (A call that neither loops nor calls anything may end without a check.)
/// - While a host function runs, the guest is stopped soon after it has returned. Host functions
///   themselves are not stopped, nor are values on their way between host and guest.
/// - One request stops one call, the innermost. If that was made by a host function, it gets the
///   error; the outer call continues, unless the host function fails as well or it is a call of the
///   same component.
/// - Several requests before a call is stopped count as one; all instances of a store share them.
/// - As after any trap, a component's instance that was stopped can never be entered again; an
///   instance of a core module can.
#[derive(Clone, Debug)]
pub struct InterruptHandle {
    interrupts: Arc<Interrupts>,
}

impl InterruptHandle {
    pub(crate) fn new(interrupts: Arc<Interrupts>) -> InterruptHandle {
        InterruptHandle { interrupts }
    }

    /// Stops the call that runs in the store, or the next one. Takes a lock for a moment: not for
    /// signal handlers.
    ///
    /// # Errors
    /// If the operating system refuses to protect a page: nothing is stopped.
    pub fn interrupt(&self) -> Result<()> {
        self.interrupts.request(Request::Handle)
    }
}

/// Who wants the store to stop: a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Request {
    /// An [`InterruptHandle`].
    Handle = 1,
    /// The store's deadline.
    Deadline = 2,
    /// The end of a time slice: code does not stop, but waits for the executor.
    #[cfg(feature = "async")]
    Slice = 4,
}

impl Request {
    /// Those that stop code.
    const STOPS: u8 = Request::Handle as u8 | Request::Deadline as u8;
}

/// The state that a store, its instances and its handles share.
#[derive(Debug)]
pub(crate) struct Interrupts {
    engine: Engine,
    /// The bits of the requests there are. A copy of what is in `state`.
    flag: AtomicU8,
    /// The address of the page in `state`, or 0: what signal handlers ask for.
    page: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    requests: u8,
    /// The page that code checks, and a guard after it; `None` until there is such code. It is
    /// inaccessible while there are requests.
    ///
    /// The guard makes sure that protecting the page never splits a mapping in more parts than
    /// there were before: a process may have so many only.
    page: Option<Space>,
    /// Where the store's thread waits.
    waiter: Option<Arc<Waiter>>,
    deadline: Option<Deadline>,
    /// When the time slice ends that runs.
    #[cfg(feature = "async")]
    slice: Option<Deadline>,
}

impl Interrupts {
    pub(crate) fn new(engine: &Engine) -> Interrupts {
        Interrupts {
            engine: engine.clone(),
            flag: AtomicU8::new(0),
            page: AtomicUsize::new(0),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> Locked<'_, State> {
        fork::lock(&self.state)
    }

    /// The address of the page that compiled code checks. Valid as long as this.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub(crate) fn page_address(&self) -> Result<u64> {
        let mut state = self.state();
        if state.page.is_none() {
            let accessible = if state.requests == 0 { PAGE_SIZE } else { 0 };
            let page = self.engine.pool().take(2 * PAGE_SIZE, accessible);
            let page = page.context("cannot allocate a page for interrupts")?;
            self.page
                .store(page.start().addr().get(), Ordering::Release);
            state.page = Some(page);
        }
        let address = state
            .page
            .as_ref()
            .map(|page| page.start().expose_provenance().get());
        Ok(address.unwrap_or_default() as u64)
    }

    /// Whether an address is in the page. Safe in signal handlers.
    pub(crate) fn is_page(&self, address: usize) -> bool {
        let page = self.page.load(Ordering::Acquire);
        page != 0 && address.wrapping_sub(page) < PAGE_SIZE
    }

    /// Whether the running code must stop. The page is inaccessible then.
    pub(crate) fn is_requested(&self) -> bool {
        self.flag.load(Ordering::Acquire) & Request::STOPS != 0
    }

    /// # Errors
    /// If the operating system refuses: nothing has changed.
    pub(crate) fn request(&self, request: Request) -> Result<()> {
        self.request_in(self.state(), request)
    }

    /// Requests a stop because of a deadline, unless the store has another one by now.
    pub(crate) fn expire(&self, deadline: Deadline) -> Result<()> {
        let mut state = self.state();
        #[cfg(feature = "async")]
        if state.slice == Some(deadline) {
            state.slice = None;
            return self.request_in(state, Request::Slice);
        }
        if state.deadline != Some(deadline) {
            return Ok(());
        }
        state.deadline = None;
        self.request_in(state, Request::Deadline)
    }

    fn request_in(&self, mut state: Locked<'_, State>, request: Request) -> Result<()> {
        if state.requests == 0
            && let Some(page) = &state.page
        {
            page.make_inaccessible(0, PAGE_SIZE)
                .context("cannot interrupt a store")?;
        }
        state.requests |= request as u8;
        self.flag.store(state.requests, Ordering::Release);
        let waiter = state
            .waiter
            .clone()
            .filter(|_| state.requests & Request::STOPS != 0);
        // Whoever waits takes the locks in the other order.
        drop(state);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
        Ok(())
    }

    /// A call was stopped, or the owner of the store does not want it to be: there are no requests
    /// any more.
    pub(crate) fn withdraw_all(&self) {
        withdraw(&self.flag, &mut self.state(), !0);
    }

    /// Sets the deadline.
    ///
    /// # Errors
    /// If the thread that waits for deadlines cannot be started: there is none.
    pub(crate) fn set_deadline(self: &Arc<Self>, at: Option<Instant>) -> Result<()> {
        let timer = self.engine.timer();
        let new = at.map(|at| timer.deadline(at));
        let old = {
            let mut state = self.state();
            withdraw(&self.flag, &mut state, Request::Deadline as u8);
            std::mem::replace(&mut state.deadline, new)
        };
        if let Some(old) = old {
            timer.remove(old);
        }
        match new {
            Some(new) => timer
                .add(new, Arc::downgrade(self))
                .context("cannot start a thread for deadlines"),
            None => Ok(()),
        }
    }

    /// Begins a time slice.
    ///
    /// # Errors
    /// If the thread that waits for its end cannot be started.
    #[cfg(feature = "async")]
    pub(crate) fn begin_slice(self: &Arc<Self>, length: Duration) -> Result<()> {
        // A time that is too far to be told never comes.
        let Some(end) = Instant::now().checked_add(length) else {
            return Ok(());
        };
        let timer = self.engine.timer();
        let end = timer.deadline(end);
        self.state().slice = Some(end);
        timer
            .add(end, Arc::downgrade(self))
            .context("cannot start a thread for time slices")
    }

    /// Whether a time slice runs, or its end has not been noticed yet.
    #[cfg(feature = "async")]
    pub(crate) fn has_slice(&self) -> bool {
        let state = self.state();
        state.slice.is_some() || state.requests & Request::Slice as u8 != 0
    }

    /// Ends the time slice, if one runs.
    #[cfg(feature = "async")]
    pub(crate) fn end_slice(&self) {
        let left = {
            let mut state = self.state();
            withdraw(&self.flag, &mut state, Request::Slice as u8);
            state.slice.take()
        };
        if let Some(left) = left {
            self.engine.timer().remove(left);
        }
    }

    /// Sets where the store's thread waits, or that it does not.
    pub(crate) fn set_waiter(&self, waiter: Option<Arc<Waiter>>) {
        self.state().waiter = waiter;
    }
}

/// Withdraws these requests.
fn withdraw(flag: &AtomicU8, state: &mut State, requests: u8) {
    let left = state.requests & !requests;
    if left == 0
        && state.requests != 0
        && let Some(page) = &state.page
        && page.make_accessible(0, PAGE_SIZE).is_err()
    {
        // The request stays with the page: the next call is stopped, and it is tried again.
        return;
    }
    state.requests = left;
    flag.store(left, Ordering::Release);
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(deadline) = state.deadline {
            self.engine.timer().remove(deadline);
        }
        if let Some(page) = state.page.take() {
            let accessible = if state.requests == 0 { PAGE_SIZE } else { 0 };
            self.engine.pool().give_back(page, accessible, false);
        }
    }
}

const _: () = assert!(INTERRUPT_PAGE_SIZE as usize == PAGE_SIZE);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_withdrawn_by_its_own_kind() {
        let interrupts = Arc::new(Interrupts::new(&Engine::default()));
        let requests = || interrupts.state().requests;
        interrupts.page_address().unwrap();
        interrupts.request(Request::Handle).unwrap();
        interrupts.request(Request::Deadline).unwrap();
        interrupts.set_deadline(None).unwrap();
        assert_eq!((requests(), interrupts.is_requested()), (1, true));
        interrupts.withdraw_all();
        assert_eq!((requests(), interrupts.is_requested()), (0, false));
    }

    #[test]
    fn only_the_latest_deadline_counts() {
        let interrupts = Arc::new(Interrupts::new(&Engine::default()));
        let far = Instant::now() + std::time::Duration::from_secs(3600);
        interrupts.set_deadline(Some(far)).unwrap();
        let first = interrupts.state().deadline.unwrap();
        interrupts.set_deadline(Some(far)).unwrap();
        let second = interrupts.state().deadline.unwrap();
        interrupts.expire(first).unwrap();
        assert!(!interrupts.is_requested());
        interrupts.expire(second).unwrap();
        assert!(interrupts.is_requested());
        interrupts.expire(second).unwrap();
        assert_eq!(interrupts.state().deadline, None);
    }
}
