//! Fibers: calls on stacks of their own, which wait for futures of the host while the thread does
//! something else.
//!
//! ```text
//! call_async -> poll -> OnFiber::poll -> Fiber::resume ~~> the call -> wasm -> host function
//!                                             ^                                   | its future
//!                                             |                                   | is pending
//!                                             +~~~~~~~~~~~~~~~~~~~~~~~~ Suspender::wait_for
//! ```
//!
//! What belongs to a stack is exchanged whenever a thread switches to it and back: the stack's ends
//! as the thread knows them, the store's stack limit, and who can suspend.
//!
//! A fiber may continue on another thread. So a function whose frame is on a fiber while it waits
//! has no place where a compiler could keep the address of a thread's variable from before: what
//! comes before and after runs in frames of its own ([`apart`](super::caller::apart)). The frames
//! that may be there are those of compiled code, of this crate, and the host's futures, which are
//! `Send`; never those of a host function that is not a future: see [`SUSPENDABLE`].
//!
//! **Invariant:** a suspended fiber is resumed until it is over, before what its frames borrow is
//! gone: [`OnFiber`] resumes it when it is dropped, with word to stop. Nothing is unwound by force.
#![allow(unsafe_code, reason = "switches stacks")]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::caller::{Caller, SUSPENDABLE, apart};
use super::interrupt::{Interrupts, Request};
use super::stacks::{Ends, Stack};
use super::store::StoreOpaque;
use super::store_context::StoreContextMut;
use super::suspend::{Resume, Suspender};
use crate::error::{Error, Result};
use crate::sys;
use crate::sys::detour::Detour;

/// What a call on a fiber returns, or its panic.
pub(crate) type Outcome<R> = std::result::Result<R, Box<dyn Any + Send>>;

/// A call on a stack of its own.
pub(crate) struct Fiber<R> {
    coroutine: Coroutine<Resume, (), Outcome<R>, Ends>,
    /// The stack of `coroutine`, which is dropped before.
    stack: Stack,
    /// While it is suspended: the stack limit of its wasm.
    stack_limit: u64,
    /// While it is suspended: who has suspended it.
    suspender: Option<NonNull<Suspender>>,
}

impl<R> Fiber<R> {
    /// A fiber that will run `call`.
    ///
    /// # Safety
    /// - It is resumed with the store at `store` only, or leaked, and is over before what `call`
    ///   borrows is gone.
    pub(crate) unsafe fn new(
        store: NonNull<StoreOpaque>,
        stack: Stack,
        call: impl FnOnce() -> R,
    ) -> Fiber<R> {
        let body = move |yielder: &Yielder<Resume, ()>, resume| {
            let suspender = Suspender::new(yielder, resume);
            // SAFETY: whoever has the store resumes this fiber (the caller's contract).
            unsafe { &mut *store.as_ptr() }.fibers.current = Some(NonNull::from(&suspender));
            catch_unwind(AssertUnwindSafe(call))
        };
        Fiber {
            // SAFETY: what `body` borrows lives long enough (the caller's contract).
            coroutine: unsafe { Coroutine::with_stack_unchecked(stack.ends(), body) },
            stack,
            stack_limit: 0,
            suspender: None,
        }
    }

    /// Runs the fiber until it waits (`None`) or is over.
    ///
    /// # Errors
    /// If this thread cannot run it; it has not run.
    pub(crate) fn resume(
        &mut self,
        store: NonNull<StoreOpaque>,
        how: Resume,
    ) -> Result<Option<Outcome<R>>> {
        // SAFETY: the store is ours while the fiber is not running (the contract of `new`).
        let slice = unsafe { store.as_ref() }.fibers.slice;
        match slice {
            None => self.switch(store, how),
            Some(length) => self.resume_for(store, how, length),
        }
    }

    /// As [`resume`](Fiber::resume), for a time slice.
    #[cold]
    fn resume_for(
        &mut self,
        store: NonNull<StoreOpaque>,
        how: Resume,
        length: Duration,
    ) -> Result<Option<Outcome<R>>> {
        let slice = Slice::begin(store, length)?;
        let resumed = self.switch(store, how);
        slice.end();
        resumed
    }

    /// Switches to the fiber, and back.
    fn switch(&mut self, store: NonNull<StoreOpaque>, how: Resume) -> Result<Option<Outcome<R>>> {
        // SAFETY: the store is ours while the fiber is not running (the contract of `new`).
        let has_exceptions = || unsafe { store.as_ref() }.exceptions_if_any().is_some();
        let were_there = has_exceptions();
        if were_there {
            self.note_resumed(store);
        }
        let range = self.stack.range();
        let switched = sys::thread::with_stack(range, || {
            self.exchange(store);
            let result = self.coroutine.resume(how);
            self.exchange(store);
            match result {
                CoroutineResult::Yield(()) => None,
                CoroutineResult::Return(outcome) => Some(outcome),
            }
        });
        if has_exceptions() {
            let waits = !matches!(switched, Ok(Some(_)));
            self.note_left(store, were_there, waits);
        }
        switched
    }

    /// References to exceptions may be on the stack that runs.
    #[cold]
    #[inline(never)]
    fn note_resumed(&self, store: NonNull<StoreOpaque>) {
        let end = self.stack.range().end;
        // SAFETY: the store is ours while the fiber is not running (the contract of `new`).
        let exceptions = unsafe { &mut *store.as_ptr() }.exceptions();
        exceptions.stacks.resume(end);
    }

    /// And on that of the fiber, if it waits.
    #[cold]
    #[inline(never)]
    fn note_left(&self, store: NonNull<StoreOpaque>, was_noted: bool, waits: bool) {
        let end = self.stack.range().end;
        // SAFETY: the store is ours while the fiber is not running (the contract of `new`).
        let stacks = &mut unsafe { &mut *store.as_ptr() }.exceptions().stacks;
        if was_noted {
            stacks.leave();
        }
        if waits && let Some(suspender) = self.suspender {
            // SAFETY: the fiber is suspended, so that who has suspended it is on its stack.
            let pointer = unsafe { suspender.as_ref() }.stack_pointer();
            stacks.suspend(end, pointer);
        }
    }

    /// The stack of a fiber that is over.
    pub(crate) fn into_stack(self) -> Stack {
        self.stack
    }

    /// Exchanges what the store knows of the stack that runs.
    fn exchange(&mut self, store: NonNull<StoreOpaque>) {
        // SAFETY: the store is ours while the fiber is not running (the contract of `new`).
        let store = unsafe { &mut *store.as_ptr() };
        std::mem::swap(&mut store.vm.stack_limit, &mut self.stack_limit);
        std::mem::swap(&mut store.fibers.current, &mut self.suspender);
    }
}

/// The time slice of a fiber.
struct Slice {
    interrupts: Arc<Interrupts>,
    length: Duration,
    /// Whether another fiber has resumed this one, whose slice it shares.
    is_nested: bool,
}

impl Slice {
    /// Begins that of a fiber that is resumed.
    fn begin(store: NonNull<StoreOpaque>, length: Duration) -> Result<Slice> {
        // SAFETY: the store is ours while the fiber is not running (the contract of `Fiber::new`).
        let store = unsafe { store.as_ref() };
        let slice = Slice {
            interrupts: Arc::clone(store.interrupts()),
            length,
            is_nested: store.fibers.current.is_some(),
        };
        if !slice.is_nested {
            slice.interrupts.begin_slice(length)?;
        }
        Ok(slice)
    }

    /// The fiber is suspended, or over.
    fn end(self) {
        if !self.is_nested {
            self.interrupts.end_slice();
        } else if !self.interrupts.has_slice() {
            // What goes on has a slice again, since the fiber has used it up. The thread that
            // waits for its end is there already.
            let _ = self.interrupts.begin_slice(self.length);
        }
    }
}

/// Called by compiled code in which a time slice is over: the store's address.
extern "C" fn end_slice(store: usize) {
    let Some(store) = NonNull::new(std::ptr::with_exposed_provenance_mut(store)) else {
        return;
    };
    if apart(|| give_way(store)).is_ok() {
        return;
    }
    // The check is executed again, and stops the code this time.
    // SAFETY: the store of the code that runs on this thread, which waits for us.
    let store = unsafe { store.cast::<StoreOpaque>().as_ref() };
    let _ = store.interrupts().request(Request::Handle);
}

/// Waits for the next poll, if the code that runs is on a fiber.
fn give_way(store: NonNull<StoreOpaque>) -> Result<()> {
    // SAFETY: the store of the code that runs on this thread, which waits for us; made anew after
    // others have run.
    let store_of = || unsafe { &mut *store.as_ptr() };
    let interrupts = Arc::clone(store_of().interrupts());
    interrupts.end_slice();
    let Ok(waiter) = store_of().waiter(Caller::Guest) else {
        // A function of the host that cannot wait is between: perhaps it has returned when the next
        // slice is over. The thread that waits for its end is there already.
        if let Some(length) = store_of().fibers.slice {
            let _ = interrupts.begin_slice(length);
        }
        return Ok(());
    };
    drop(interrupts);
    let turn = store_of().task_funcs.give_way;
    turn(store_of());
    Ok(waiter.give_way()?)
}

impl StoreOpaque {
    /// Whether code that has failed to read the page of the interrupts need not stop: its time
    /// slice is over, or somebody makes a request at this moment, and has protected the page
    /// already.
    /// Safe in signal handlers.
    pub(crate) fn is_slice_over(&self) -> bool {
        let interrupts = self.interrupts_if_any();
        let must_stop = interrupts.is_some_and(|interrupts| interrupts.is_requested());
        self.fibers.slice.is_some() && !must_stop
    }

    /// What code does whose time slice is over.
    pub(crate) fn detour(&self) -> Detour {
        // The provenance of all of a store's allocation was exposed when it was made.
        Detour::new(end_slice, std::ptr::from_ref(self).addr())
    }

    /// Who waits for futures of the host, if `caller` can. To be used before the caller goes on.
    ///
    /// # Errors
    /// If it cannot.
    pub(crate) fn waiter<'a>(&self, caller: Caller) -> Result<&'a Suspender> {
        let can_wait = match caller {
            Caller::Host => false,
            Caller::Fiber => true,
            Caller::Guest => self.vm.stack_limit & SUSPENDABLE != 0,
        };
        let suspender = self.fibers.current.filter(|_| can_wait);
        match suspender {
            // SAFETY: a part of the stack of the fiber that runs: this one.
            Some(suspender) => Ok(unsafe { suspender.as_ref() }),
            None => Err(Error::msg(
                "a function of the host waits, for a call that does not: `call_async` and the like \
                 are needed",
            )),
        }
    }

    pub(crate) fn take_stack(&mut self) -> Result<Stack> {
        match self.fibers.free.take() {
            Some(stack) => Ok(stack),
            None => self.engine().stacks().take(self.engine().pool().budget()),
        }
    }

    pub(crate) fn keep_stack(&mut self, stack: Stack) {
        if let Some(other) = self.fibers.free.replace(stack) {
            self.engine().stacks().give_back(other);
        }
    }

    /// Gives the store's stack back to the engine.
    pub(crate) fn retire_stack(&mut self) {
        if let Some(stack) = self.fibers.free.take() {
            self.engine().stacks().give_back(stack);
        }
    }
}

/// The future of a call that runs on a fiber.
pub(crate) struct OnFiber<'a, T: 'static, F, R> {
    store: StoreContextMut<'a, T>,
    state: State<F, R>,
}

enum State<F, R> {
    New(F),
    Running(Fiber<Result<R>>),
    Over,
}

// SAFETY: the frames of a suspended fiber hold the call (`F: Send`), its result (`R: Send`), the
// store (`T: Send`), futures of the host, which are `Send` (`Suspender::wait_for`), and plain data
// of this crate and of compiled code.
unsafe impl<T: Send, F: Send, R: Send> Send for OnFiber<'_, T, F, R> {}

// Nothing in it is pinned: the frames of the fiber are on the fiber's stack.
impl<T: 'static, F, R> Unpin for OnFiber<'_, T, F, R> {}

impl<'a, T: 'static, F, R> OnFiber<'a, T, F, R>
where
    F: FnOnce(StoreContextMut<'_, T>) -> Result<R>,
{
    /// The future of `call`, with the store.
    pub(crate) fn new(store: StoreContextMut<'a, T>, call: F) -> Self {
        OnFiber {
            store,
            state: State::New(call),
        }
    }

    /// Makes the fiber.
    ///
    /// # Errors
    /// If there is no stack for it.
    fn start(&mut self) -> Result<()> {
        let stack = self.store.opaque().take_stack()?;
        let opaque = NonNull::from(self.store.opaque());
        let State::New(call) = std::mem::replace(&mut self.state, State::Over) else {
            unreachable!("it starts once");
        };
        let store = self.store.reborrow();
        // SAFETY: the store is ours as long as this, and `drop` ends the fiber.
        self.state = State::Running(unsafe { Fiber::new(opaque, stack, move || call(store)) });
        Ok(())
    }
}

impl<T: 'static, F, R> OnFiber<'_, T, F, R> {
    /// Runs the fiber until it waits (`None`) or is over.
    ///
    /// # Errors
    /// If this thread cannot run it.
    fn resume(&mut self, how: Resume) -> Result<Option<Outcome<Result<R>>>> {
        let State::Running(fiber) = &mut self.state else {
            return Ok(None);
        };
        let store = NonNull::from(self.store.opaque());
        let outcome = fiber.resume(store, how)?;
        if outcome.is_some()
            && let State::Running(fiber) = std::mem::replace(&mut self.state, State::Over)
        {
            self.store.opaque().keep_stack(fiber.stack);
        }
        Ok(outcome)
    }
}

impl<T: 'static, F, R> Future for OnFiber<'_, T, F, R>
where
    F: FnOnce(StoreContextMut<'_, T>) -> Result<R>,
{
    type Output = Result<R>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<R>> {
        let this = self.get_mut();
        match this.state {
            State::New(_) => this.start()?,
            State::Running(_) => {}
            State::Over => panic!("a call is polled after it was over"),
        }
        match this.resume(Resume::Poll(NonNull::from(context).cast()))? {
            None => Poll::Pending,
            Some(Ok(result)) => Poll::Ready(result),
            Some(Err(payload)) => resume_unwind(payload),
        }
    }
}

impl<T: 'static, F, R> Drop for OnFiber<'_, T, F, R> {
    fn drop(&mut self) {
        let outcome = self.resume(Resume::Cancel);
        if let State::Running(fiber) = std::mem::replace(&mut self.state, State::Over) {
            // This thread cannot run it, as it blocks the signals of traps: what it holds is lost.
            std::mem::forget(fiber);
        }
        if let Ok(Some(Err(payload))) = outcome
            && !std::thread::panicking()
        {
            resume_unwind(payload);
        }
    }
}
