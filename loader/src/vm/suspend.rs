//! Waiting for futures of the host, on fibers.
#![allow(unsafe_code, reason = "follows pointers to what is on a fiber's stack")]

use std::cell::Cell;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};
use std::time::Duration;

use corosensei::Yielder;

use super::caller::apart;
use super::stacks::Stack;
use crate::error::{Error, Result};
use crate::sys::registers;

/// What a store knows of its fibers.
#[derive(Debug, Default)]
pub(crate) struct Fibers {
    /// Who suspends the fiber that runs; `None` on the thread's own stack.
    pub(super) current: Option<NonNull<Suspender>>,
    /// The stack of the last call, for the next one.
    pub(super) free: Option<Stack>,
    /// How long code runs before the executor is asked whether there is something else to do.
    pub(crate) slice: Option<Duration>,
}

// SAFETY: the pointer is followed on the fiber that it belongs to only.
unsafe impl Send for Fibers {}
// SAFETY: shared access does not follow it.
unsafe impl Sync for Fibers {}

/// Why a fiber is resumed.
#[derive(Clone, Copy)]
pub(crate) enum Resume {
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
    /// The stack pointer when it has suspended the fiber.
    stack_pointer: Cell<usize>,
}

impl Suspender {
    /// Suspends the fiber of this yielder, which was resumed like this.
    pub(super) fn new(yielder: &Yielder<Resume, ()>, resume: Resume) -> Suspender {
        Suspender {
            yielder: NonNull::from(yielder),
            resume: Cell::new(resume),
            stack_pointer: Cell::new(0),
        }
    }
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

    /// Waits until the fiber is resumed.
    ///
    /// # Errors
    /// If it is resumed to end, or was before.
    pub(crate) fn pause(&self) -> Result<(), Cancelled> {
        for pauses in [true, false] {
            if let Resume::Cancel = self.resume.get() {
                return Err(Cancelled);
            }
            if pauses {
                self.suspend();
            }
        }
        Ok(())
    }

    /// Waits for the next poll, which is asked for.
    ///
    /// # Errors
    /// As [`pause`](Suspender::pause).
    pub(crate) fn give_way(&self) -> Result<(), Cancelled> {
        if let Resume::Poll(context) = self.resume.get() {
            wake(context);
        }
        self.pause()
    }

    /// The stack pointer of the suspended fiber.
    pub(super) fn stack_pointer(&self) -> usize {
        self.stack_pointer.get()
    }

    /// Suspends the fiber until it is polled or cancelled.
    #[inline(never)]
    fn suspend(&self) {
        // SAFETY: a part of this fiber's stack (invariant 1).
        let yielder = unsafe { self.yielder.as_ref() };
        self.stack_pointer.set(registers::stack_pointer());
        self.resume.set(yielder.suspend(()));
    }
}

/// Wakes in a frame of its own, as [`poll`].
#[inline(never)]
fn wake(context: NonNull<Context<'static>>) {
    // SAFETY: valid until the fiber is suspended (`Resume::Poll`).
    unsafe { context.as_ref() }.waker().wake_by_ref();
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
