//! Calls that the host makes of functions that are tasks.

use std::future::poll_fn;
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use cwasm_format::TrapCode;
use cwasm_format::vmctx::VmContext;

use super::{Accessor, Run, calls, drive, drive_to_end, futures};
use crate::error::{Error, Result};
use crate::finally::finally;
use crate::values::{LiftContext, LowerContext};
use crate::vm::caller;
use crate::vm::store_context::StoreContextMut;
use crate::vm::tasks::slab::Id;
use crate::vm::tasks::{self, Caller, RawHostCall};

/// A call: its parameters, and a place for its result.
pub(crate) trait HostCall: Sized {
    /// Lowers the parameters: how many arguments they are.
    ///
    /// # Errors
    /// If they cannot be lowered.
    fn lower(&mut self, cx: &mut LowerContext<'_>, args: &mut [u64; 17]) -> Result<usize>;

    /// Lifts the result from flat values, or from a pointer if they would be more than `max`.
    ///
    /// # Errors
    /// If they are no result.
    fn lift(&mut self, cx: &mut LiftContext<'_>, flat: &[u64], max: usize) -> Result<()>;

    /// Sets that it has ended without a result, and why.
    fn fail(&mut self, error: Error);

    /// Whether it has ended.
    fn is_over(&self) -> bool;
}

/// The functions of a type of calls, by their address.
struct Functions {
    lower: unsafe fn(NonNull<()>, &mut LowerContext<'_>, &mut [u64; 17]) -> Result<usize>,
    lift: unsafe fn(NonNull<()>, &mut LiftContext<'_>, &[u64], usize) -> Result<()>,
    fail: unsafe fn(NonNull<()>, Error),
}

/// A call of a caller that waits for it, in the caller's own memory.
struct Lent<C> {
    call: C,
    /// Whether the caller waits: what the parameters borrow is there. A future that is forgotten
    /// leaves its memory behind, but not that.
    is_waiting: bool,
}

impl<C: HostCall> Lent<C> {
    fn new(call: C) -> Lent<C> {
        Lent {
            call,
            is_waiting: false,
        }
    }

    unsafe fn lower(
        call: NonNull<()>,
        cx: &mut LowerContext<'_>,
        args: &mut [u64; 17],
    ) -> Result<usize> {
        // SAFETY: a call of this type, used by nobody else meanwhile (`erase_lent`).
        let lent = unsafe { call.cast::<Lent<C>>().as_mut() };
        match lent.is_waiting {
            true => lent.call.lower(cx, args),
            false => Err(Error::msg("the future of a call was forgotten")),
        }
    }

    unsafe fn lift(
        call: NonNull<()>,
        cx: &mut LiftContext<'_>,
        flat: &[u64],
        max: usize,
    ) -> Result<()> {
        // SAFETY: as above.
        let lent = unsafe { call.cast::<Lent<C>>().as_mut() };
        lent.call.lift(cx, flat, max)
    }

    unsafe fn fail(call: NonNull<()>, error: Error) {
        // SAFETY: as above.
        unsafe { call.cast::<Lent<C>>().as_mut() }.call.fail(error);
    }

    /// The call, for a task.
    ///
    /// # Safety
    /// - The call stays where it is, unused, until the task is over or [detached](detach).
    unsafe fn erase(call: NonNull<Lent<C>>) -> tasks::HostCall {
        let functions: &'static Functions = const {
            &Functions {
                lower: Lent::<C>::lower,
                lift: Lent::<C>::lift,
                fail: Lent::<C>::fail,
            }
        };
        tasks::HostCall {
            raw: RawHostCall {
                data: call.cast(),
                functions: NonNull::from(functions).cast(),
            },
            release: |_| {},
        }
    }
}

/// A call that its task and its caller share.
struct Owned<C>(Mutex<Waiting<C>>);

struct Waiting<C> {
    call: C,
    /// Wakes the caller.
    waker: Option<Waker>,
}

impl<C: HostCall> Owned<C> {
    fn new(call: C) -> Arc<Owned<C>> {
        Arc::new(Owned(Mutex::new(Waiting { call, waker: None })))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<C>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The call with this address.
    ///
    /// # Safety
    /// - It is of [`Owned::erase`], of this type.
    unsafe fn of<'a>(call: NonNull<()>) -> &'a Owned<C> {
        // SAFETY: the task has a reference to it (the caller's contract).
        unsafe { call.cast::<Owned<C>>().as_ref() }
    }

    unsafe fn lower(
        call: NonNull<()>,
        cx: &mut LowerContext<'_>,
        args: &mut [u64; 17],
    ) -> Result<usize> {
        // SAFETY: `erase` has the functions of its own type.
        unsafe { Owned::<C>::of(call) }.lock().call.lower(cx, args)
    }

    unsafe fn lift(
        call: NonNull<()>,
        cx: &mut LiftContext<'_>,
        flat: &[u64],
        max: usize,
    ) -> Result<()> {
        // SAFETY: as above.
        let mut waiting = unsafe { Owned::<C>::of(call) }.lock();
        waiting.call.lift(cx, flat, max)?;
        waiting.wake();
        Ok(())
    }

    unsafe fn fail(call: NonNull<()>, error: Error) {
        // SAFETY: as above.
        let mut waiting = unsafe { Owned::<C>::of(call) }.lock();
        waiting.call.fail(error);
        waiting.wake();
    }

    fn release(call: RawHostCall) {
        // SAFETY: the reference of `erase`, which a task releases once.
        drop(unsafe { Arc::from_raw(call.data.cast::<Owned<C>>().as_ptr()) });
    }

    /// The call, for a task.
    fn erase(call: Arc<Owned<C>>) -> tasks::HostCall {
        let functions: &'static Functions = const {
            &Functions {
                lower: Owned::<C>::lower,
                lift: Owned::<C>::lift,
                fail: Owned::<C>::fail,
            }
        };
        let Some(data) = NonNull::new(Arc::into_raw(call).cast_mut()) else {
            unreachable!("a reference is not null")
        };
        tasks::HostCall {
            raw: RawHostCall {
                data: data.cast(),
                functions: NonNull::from(functions).cast(),
            },
            release: Owned::<C>::release,
        }
    }
}

impl<C> Waiting<C> {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

fn functions(call: RawHostCall) -> &'static Functions {
    // SAFETY: those of `Lent` or `Owned`.
    unsafe { call.functions.cast::<Functions>().as_ref() }
}

pub(super) fn lower(
    call: RawHostCall,
    cx: &mut LowerContext<'_>,
    args: &mut [u64; 17],
) -> Result<usize> {
    // SAFETY: the call's own function, and the call is there as long as a task has it.
    unsafe { (functions(call).lower)(call.data, cx, args) }
}

pub(super) fn lift(
    call: RawHostCall,
    cx: &mut LiftContext<'_>,
    flat: &[u64],
    max: usize,
) -> Result<()> {
    // SAFETY: as above.
    unsafe { (functions(call).lift)(call.data, cx, flat, max) }
}

fn fail(call: &tasks::HostCall, error: Error) {
    // SAFETY: as above.
    unsafe { (functions(call.raw).fail)(call.raw.data, error) }
}

/// The task of a call was cancelled.
pub(super) fn cancelled(call: &tasks::HostCall) {
    fail(call, Error::msg("the task is cancelled"));
}

/// Nobody waits for the task of a call any more, unless another one has its number now.
fn detach(run: Run, id: Id, data: NonNull<()>) {
    if let Some(task) = run.tasks().tasks.get_mut(id)
        && let Caller::Host(call) = &task.caller
        && call.raw.data == data
    {
        task.caller = Caller::Nobody;
    }
}

/// Something has trapped: the tasks of all components that cannot be entered any more have ended,
/// and so have those of the host that they have called. The caller of the task that trapped gets
/// its trap, the others learn that their component cannot be entered.
pub(super) fn fail_closed(run: Run) {
    let is_closed = |instance: Id| {
        let context = run.instance(instance).context;
        // SAFETY: the context of an instance of the store.
        unsafe { context.as_ref() }.closed != 0
    };
    let failed = run.tasks().failed.take();
    let is_idle = run.tasks().current.is_none();
    let ids: Vec<Id> = run.tasks().tasks.ids().collect();
    for id in ids {
        let task = run.tasks().tasks.get_mut(id);
        let Some(task) = task.filter(|task| is_closed(task.instance)) else {
            continue;
        };
        if let Caller::Host(call) = std::mem::replace(&mut task.caller, Caller::Nobody) {
            let code = failed.filter(|(failed, _)| *failed == id);
            let code = code.map_or(TrapCode::CannotEnter, |(_, code)| code);
            fail(&call, Error::trapped(code));
        }
        // Those that run are over when the code that they have called returns; none runs any more,
        // if it has.
        if task.wait != tasks::Wait::Nothing || is_idle {
            calls::end(run, id);
        }
    }
    let ids: Vec<Id> = run.tasks().subtasks.ids().collect();
    for id in ids {
        let subtask = run.tasks().subtasks.get_mut(id);
        let subtask = subtask.filter(|subtask| is_closed(subtask.instance));
        if let Some(future) = subtask.and_then(|subtask| subtask.host.take()) {
            futures::end(run, future);
        }
    }
}

/// A function: the context of its instance, and its index among the tasks of the artifact.
#[derive(Clone, Copy)]
pub(crate) struct Target(NonNull<VmContext>, u32);

// SAFETY: an address; using it needs the store.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

impl Target {
    pub(crate) fn new(context: NonNull<VmContext>, index: u32) -> Target {
        Target(context, index)
    }
}

/// Calls a function, and runs tasks until it has returned: the call, which is over.
///
/// # Errors
/// The guest's trap; or it waits for the host.
pub(crate) fn call<T: 'static, C: HostCall>(
    store: &mut StoreContextMut<'_, T>,
    target: Target,
    call: C,
) -> Result<C> {
    // SAFETY: the context of an instance of this store.
    unsafe { store.begin_guest_call(target.0, caller::Caller::Host) }?;
    let run = Run::new(store.opaque());
    let mut lent = Lent::new(call);
    lent.is_waiting = true;
    let at = NonNull::from(&mut lent);
    let body = |task: &mut Option<Id>| {
        // SAFETY: detached below, also if something panics.
        let new = new_task(run, target, unsafe { Lent::erase(at) })?;
        *task = Some(new.0);
        start(run, new, &|| is_over(at))?;
        drive_to_end(run, &|| is_over(at))
    };
    let result = finally(&mut None, body, |task| {
        if let Some(task) = *task {
            detach(run, task, at.cast());
        }
    });
    if result.is_err() {
        fail_closed(run);
    }
    store.end_guest_call(result, caller::Caller::Host)?;
    Ok(lent.call)
}

/// Whether a call is over that is there.
fn is_over<C: HostCall>(call: NonNull<Lent<C>>) -> bool {
    // SAFETY: whoever calls this has lent it, and nobody uses it meanwhile.
    unsafe { call.as_ref() }.call.is_over()
}

/// A task of a call that has not begun, and whether it may wait.
fn new_task(run: Run, target: Target, call: tasks::HostCall) -> Result<(Id, bool)> {
    let Target(context, index) = target;
    calls::new_task(run, context, index, Caller::Host(call))
}

/// Starts a task.
fn start(run: Run, (id, may_wait): (Id, bool), is_over: &dyn Fn() -> bool) -> Result<()> {
    let instance = run.tasks().tasks[id].instance;
    run.closing(instance, || {
        calls::start(run, id)?;
        match may_wait {
            true => Ok(()),
            false => calls::finish_synchronously(run, instance, is_over),
        }
    })
}

/// The future of a call that has the store for itself.
pub(crate) struct Calling<'a, T: 'static, C: HostCall> {
    store: StoreContextMut<'a, T>,
    target: Target,
    lent: Lent<C>,
    state: Calls,
    /// The task knows where `lent` is.
    _pinned: PhantomPinned,
}

/// How far a call is.
#[derive(Clone, Copy)]
enum Calls {
    Waits,
    Runs(Id),
    Over,
}

// SAFETY: owns the call (`C: Send`) and has the store for itself (`T: Send`); the context is an
// address.
unsafe impl<T: Send, C: HostCall + Send> Send for Calling<'_, T, C> {}

/// The future of a call with this store.
pub(crate) fn poll_call<'a, T: 'static, C: HostCall>(
    store: StoreContextMut<'a, T>,
    target: Target,
    call: C,
) -> Calling<'a, T, C> {
    Calling {
        store,
        target,
        lent: Lent::new(call),
        state: Calls::Waits,
        _pinned: PhantomPinned,
    }
}

impl<T: 'static, C: HostCall> Calling<'_, T, C> {
    /// The call, which is over.
    pub(crate) fn take(self: Pin<&mut Self>) -> &mut C {
        // SAFETY: the call is not moved out, nor is anything pinned in it.
        &mut unsafe { self.get_unchecked_mut() }.lent.call
    }

    fn at(&mut self) -> NonNull<Lent<C>> {
        NonNull::from(&mut self.lent)
    }

    /// Nobody waits for the call any more.
    fn leave(&mut self) {
        let (at, run) = (self.at().cast(), Run::new(self.store.opaque()));
        if let Calls::Runs(id) = std::mem::replace(&mut self.state, Calls::Over) {
            detach(run, id, at);
        }
    }
}

impl<T: 'static, C: HostCall> Future for Calling<'_, T, C> {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        // SAFETY: nothing is moved out.
        let this = unsafe { self.get_unchecked_mut() };
        let run = Run::new(this.store.opaque());
        let started = match this.state {
            Calls::Waits => {
                let (target, caller) = (this.target, caller::Caller::Host);
                // SAFETY: the context of an instance of this store.
                unsafe { this.store.begin_guest_call(target.0, caller) }?;
                this.lent.is_waiting = true;
                let at = this.at();
                // SAFETY: pinned, and detached when it is dropped, or else never dropped.
                let task = new_task(run, target, unsafe { Lent::erase(at) });
                task.and_then(|task| {
                    this.state = Calls::Runs(task.0);
                    start(run, task, &|| is_over(at))
                })
            }
            Calls::Runs(_) | Calls::Over => Ok(()),
        };
        this.lent.is_waiting = true;
        let at = this.at();
        let polled = match started {
            Ok(()) => drive(run, context, &|| is_over(at)),
            Err(error) => Poll::Ready(Err(error)),
        };
        this.lent.is_waiting = false;
        let Poll::Ready(result) = polled else {
            return Poll::Pending;
        };
        this.leave();
        if result.is_err() {
            fail_closed(run);
        }
        Poll::Ready(this.store.end_guest_call(result, caller::Caller::Host))
    }
}

impl<T: 'static, C: HostCall> Drop for Calling<'_, T, C> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Calls a function beside others: the call, which is over.
///
/// # Errors
/// The guest's trap.
pub(crate) async fn call_concurrent<T: 'static, C: HostCall + Send>(
    accessor: &Accessor<T>,
    target: Target,
    call: C,
) -> Result<C> {
    let owned = Owned::new(call);
    accessor.with(|mut store| {
        // SAFETY: the context of an instance of this store.
        unsafe { store.begin_guest_call(target.0, caller::Caller::Host) }?;
        let run = Run::new(store.opaque());
        let is_over = || owned.lock().call.is_over();
        let task = new_task(run, target, Owned::erase(Arc::clone(&owned)));
        let started = task.and_then(|task| start(run, task, &is_over));
        if started.is_err() {
            fail_closed(run);
        }
        store.end_guest_call(started, caller::Caller::Host)
    })?;
    poll_fn(|context| {
        let mut waiting = owned.lock();
        if waiting.call.is_over() {
            return Poll::Ready(());
        }
        waiting.waker = Some(context.waker().clone());
        Poll::Pending
    })
    .await;
    let Some(Owned(waiting)) = Arc::into_inner(owned) else {
        return Err(Error::msg("a call that is over has no task"));
    };
    let waiting = waiting.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(waiting.call)
}
