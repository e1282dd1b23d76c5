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
//! comes before and after runs in frames of its own ([`apart`]). The frames that may be there are
//! those of compiled code, of this crate, and the host's futures, which are `Send`; never those of
//! a host function that is not a future: see [`SUSPENDABLE`].
//!
//! **Invariant:** a suspended fiber is resumed until it is over, before what its frames borrow is
//! gone: [`OnFiber`] resumes it when it is dropped, with word to stop. Nothing is unwound by force.
#![allow(unsafe_code, reason = "switches stacks")]

use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::{Context, Poll};

use corosensei::stack::{Stack as StackEnds, StackPointer};
use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::call::{Caller, apart};
use super::mappings::Budget;
use super::space::Space;
use super::store::StoreOpaque;
use super::store_context::StoreContextMut;
use crate::error::{Context as _, Error, Result};
use crate::fork;
use crate::sys::{self, PAGE_SIZE, PROBE_DISTANCE};

/// Set in a store's stack limit while the wasm that was entered last may wait: it was entered by a
/// call on a fiber, so that no frame of a host function is between. Stack pointers are compared
/// with the limit, and are multiples of 8.
pub(crate) const SUSPENDABLE: u64 = 1;

/// Bytes below a stack that nothing can be read from or written to: no function reaches farther
/// below its stack pointer.
const GUARD: usize = PROBE_DISTANCE;

/// Bytes at the high end of a stack that stay in memory while it waits for its next fiber.
const KEPT: usize = 32 << 10;

/// A stack for fibers, which grows down to a guard.
#[derive(Debug)]
pub(crate) struct Stack(Space);

impl Stack {
    /// A stack of at least `size` bytes.
    fn new(budget: &Arc<Budget>, size: usize) -> io::Result<Stack> {
        let size = sys::memory::round_up(size.max(PAGE_SIZE)).ok_or(io::ErrorKind::OutOfMemory)?;
        let all = size.checked_add(GUARD).ok_or(io::ErrorKind::OutOfMemory)?;
        let space = Space::new(budget, all, 0)?;
        space.make_accessible(GUARD, size)?;
        Ok(Stack(space))
    }

    /// The addresses that can be used.
    fn range(&self) -> Range<usize> {
        let start = self.0.start().addr().get();
        start + GUARD..start + self.0.size()
    }

    /// Gives back what a deep call has used.
    fn trim(&self) -> io::Result<()> {
        match self.0.size().checked_sub(KEPT) {
            Some(end) if end > GUARD => self.0.discard(GUARD, end - GUARD),
            _ => Ok(()),
        }
    }
}

/// Where a [`Stack`] is, for a coroutine: its fiber owns both.
struct Ends(Range<usize>);

// SAFETY: the ends of a `Stack`, whose pages are accessible and longer than a page, with a guard
// below.
unsafe impl StackEnds for Ends {
    fn base(&self) -> StackPointer {
        StackPointer::new(self.0.end).unwrap_or(StackPointer::MAX)
    }

    fn limit(&self) -> StackPointer {
        StackPointer::new(self.0.start - GUARD).unwrap_or(StackPointer::MIN)
    }
}

/// The stacks of an engine that no fiber uses.
#[derive(Debug)]
pub(crate) struct Stacks {
    free: Mutex<Vec<Stack>>,
    /// How many are kept.
    max: usize,
    /// Bytes of each.
    size: usize,
}

impl Stacks {
    pub(crate) fn new(max: usize, size: usize) -> Stacks {
        Stacks {
            free: Mutex::default(),
            max,
            size,
        }
    }

    fn take(&self, budget: &Arc<Budget>) -> Result<Stack> {
        let free = fork::lock(&self.free).pop();
        match free {
            Some(stack) => Ok(stack),
            None => Stack::new(budget, self.size).context("cannot make the stack of a fiber"),
        }
    }

    /// Keeps a stack for the next fiber.
    pub(crate) fn give_back(&self, stack: Stack) {
        if stack.trim().is_err() {
            return;
        }
        let mut free = fork::lock(&self.free);
        if free.len() < self.max {
            free.push(stack);
            return;
        }
        drop(free);
        drop(stack);
    }

    /// Gives back all.
    pub(crate) fn release(&self) {
        let free = std::mem::take(&mut *fork::lock(&self.free));
        drop(free);
    }
}

/// What a store knows of its fibers.
#[derive(Debug, Default)]
pub(crate) struct Fibers {
    /// Who suspends the fiber that runs; `None` on the thread's own stack.
    current: Option<NonNull<Suspender>>,
    /// The stack of the last call, for the next one.
    free: Option<Stack>,
}

// SAFETY: the pointer is followed on the fiber that it belongs to only.
unsafe impl Send for Fibers {}
// SAFETY: shared access does not follow it.
unsafe impl Sync for Fibers {}

/// Why a fiber is resumed.
#[derive(Clone, Copy)]
enum Resume {
    /// To go on, as far as it does not wait. The context is valid until it is suspended again.
    Poll(NonNull<Context<'static>>),
    /// To end: nobody waits for it any more.
    Cancel,
}

/// Suspends the fiber that it is on.
pub(crate) struct Suspender {
    /// Invariant 1: the yielder of the fiber, whose frame is below this one's.
    yielder: NonNull<Yielder<Resume, ()>>,
    resume: Cell<Resume>,
}

/// The call was dropped by who waited for it.
#[derive(Debug)]
pub(crate) struct Cancelled;

impl From<Cancelled> for Error {
    fn from(Cancelled: Cancelled) -> Error {
        Error::msg("the call is cancelled: its future was dropped")
    }
}

impl Suspender {
    /// Waits for a future.
    ///
    /// # Errors
    /// If the call is cancelled meanwhile, or was before: then the future is not polled again.
    pub(crate) fn wait_for<F: Future + Send + ?Sized>(
        &self,
        mut future: Pin<&mut F>,
    ) -> Result<F::Output, Cancelled> {
        loop {
            let Resume::Poll(context) = self.resume.get() else {
                return Err(Cancelled);
            };
            if let Poll::Ready(output) = poll(future.as_mut(), context) {
                return Ok(output);
            }
            self.suspend();
        }
    }

    /// Waits for a future that `make` makes.
    ///
    /// # Errors
    /// As [`wait_for`](Suspender::wait_for).
    pub(crate) fn wait_for_boxed<'a, R>(
        &self,
        make: impl FnOnce() -> Box<dyn Future<Output = R> + Send + 'a>,
    ) -> Result<R, Cancelled> {
        // The future's own code must not get into this frame, neither from `make` nor because the
        // compiler sees which future it is.
        let future = std::hint::black_box(apart(make));
        let mut future = Box::into_pin(future);
        let result = self.wait_for(future.as_mut());
        apart(|| drop(future));
        result
    }

    /// Suspends the fiber until it is polled or cancelled.
    #[inline(never)]
    fn suspend(&self) {
        // SAFETY: a part of this fiber's stack (invariant 1).
        let yielder = unsafe { self.yielder.as_ref() };
        self.resume.set(yielder.suspend(()));
    }
}

/// Polls in a frame of its own: it is the host's code, and the thread may be another one each time.
#[inline(never)]
fn poll<F: Future + ?Sized>(
    future: Pin<&mut F>,
    mut context: NonNull<Context<'static>>,
) -> Poll<F::Output> {
    // SAFETY: valid until this fiber is suspended (`Resume::Poll`), for this use alone.
    let context = unsafe { context.as_mut() };
    future.poll(context)
}

/// What a call on a fiber returns, or its panic.
type Outcome<R> = std::result::Result<R, Box<dyn Any + Send>>;

/// A call on a stack of its own.
struct Fiber<R> {
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
    unsafe fn new(
        store: NonNull<StoreOpaque>,
        stack: Stack,
        call: impl FnOnce() -> R,
    ) -> Fiber<R> {
        let body = move |yielder: &Yielder<Resume, ()>, resume| {
            let suspender = Suspender {
                yielder: NonNull::from(yielder),
                resume: Cell::new(resume),
            };
            // SAFETY: whoever has the store resumes this fiber (the caller's contract).
            unsafe { &mut *store.as_ptr() }.fibers.current = Some(NonNull::from(&suspender));
            catch_unwind(AssertUnwindSafe(call))
        };
        Fiber {
            // SAFETY: what `body` borrows lives long enough (the caller's contract).
            coroutine: unsafe { Coroutine::with_stack_unchecked(Ends(stack.range()), body) },
            stack,
            stack_limit: 0,
            suspender: None,
        }
    }

    /// Runs the fiber until it waits (`None`) or is over.
    ///
    /// # Errors
    /// If this thread cannot run it; it has not run.
    fn resume(&mut self, store: NonNull<StoreOpaque>, how: Resume) -> Result<Option<Outcome<R>>> {
        let range = self.stack.range();
        sys::thread::with_stack(range, || {
            self.exchange(store);
            let result = self.coroutine.resume(how);
            self.exchange(store);
            match result {
                CoroutineResult::Yield(()) => None,
                CoroutineResult::Return(outcome) => Some(outcome),
            }
        })
    }

    /// Exchanges what the store knows of the stack that runs.
    fn exchange(&mut self, store: NonNull<StoreOpaque>) {
        // SAFETY: the store is ours while the fiber is not running (the contract of `new`).
        let store = unsafe { &mut *store.as_ptr() };
        std::mem::swap(&mut store.vm.stack_limit, &mut self.stack_limit);
        std::mem::swap(&mut store.fibers.current, &mut self.suspender);
    }
}

impl StoreOpaque {
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

    fn take_stack(&mut self) -> Result<Stack> {
        match self.fibers.free.take() {
            Some(stack) => Ok(stack),
            None => self.engine().stacks().take(self.engine().pool().budget()),
        }
    }

    fn keep_stack(&mut self, stack: Stack) {
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
