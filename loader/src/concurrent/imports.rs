//! Host functions whose futures run beside each other.

use std::marker::PhantomData;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll};

use cwasm_format::concurrent::OpRecord;
use cwasm_format::vmctx::VmContext;

use super::accessor::with_store;
use super::calls::{self, progress};
use super::futures::{self, HostFuture, poll_one};
use super::values::given;
use super::{Accessor, Run};
use crate::error::{Error, Result};
use crate::values::{LiftContext, LowerContext};
use crate::vm::store_context::StoreContextMut;
use crate::vm::store_id::StoreId;
use crate::vm::tasks::SubtaskState;
use crate::vm::tasks::slab::Id;

/// How a kind of functions lifts parameters `P` and lowers results `R`.
pub(crate) trait Values {
    type Params;
    type Results;

    /// Lifts the parameters from flat values, or from a pointer if they would be more than `max`.
    ///
    /// # Errors
    /// If they are no such values.
    fn lift(&self, cx: &mut LiftContext<'_>, args: &[u64], max: usize) -> Result<Self::Params>;

    /// Lowers the results: flat, if that is allowed and one value, or to the pointer.
    ///
    /// # Errors
    /// If they cannot be.
    fn lower(
        &self,
        cx: &mut LowerContext<'_>,
        results: &Self::Results,
        is_flat: bool,
        pointer: u64,
    ) -> Result<u64>;
}

/// A call that runs.
struct Running<T: 'static, V: Values> {
    // Dropped before the store's id, which it borrows as an accessor.
    future: Pin<Box<dyn Future<Output = Result<V::Results>> + Send>>,
    _store: Arc<StoreId>,
    data: PhantomData<fn(T)>,
    values: V,
    subtask: Id,
    /// The host's borrows of what the guest has lent.
    borrowed: Box<[u32]>,
}

/// What a host function returns.
pub(crate) type BoxedFuture<'a, R> = Pin<Box<dyn Future<Output = Result<R>> + Send + 'a>>;

/// A guest calls a host function: the flat result, or the subtask's state and handle.
pub(crate) fn call_host<T, V>(
    store: &mut StoreContextMut<'_, T>,
    (context, op): (NonNull<VmContext>, NonNull<OpRecord>),
    args: &[u64],
    values: V,
    func: impl for<'a> FnOnce(&'a Accessor<T>, V::Params) -> BoxedFuture<'a, V::Results>,
) -> Result<u64>
where
    T: 'static,
    V: Values + Send + 'static,
    V::Results: 'static,
{
    let run = Run::new(store.opaque());
    // SAFETY: a record of the artifact of the calling code.
    let record = unsafe { op.as_ref() };
    let instance = run.enter_instance(context, record.instance)?;
    let subtask = calls::begin_subtask(run, instance, op, args)?;
    let (params, borrowed) = lift(run, subtask, &values)?;
    let store = run.futures().store(run.store().id());
    // SAFETY: the id stays where it is, and is dropped after the future.
    let id = unsafe { &*Arc::as_ptr(&store) };
    let future = with_store(run, || func(Accessor::of(id), params));
    let running = Running {
        future,
        _store: store,
        data: PhantomData::<fn(T)>,
        values,
        subtask,
        borrowed: borrowed.into(),
    };
    let id = run.futures().add(Box::new(running));
    if !poll_one(run, id)? {
        run.tasks().subtasks[subtask].host = Some(id);
    }
    calls::end_of_call(run, subtask, record.is_async != 0)
}

/// Lifts the parameters of a call.
fn lift<V: Values>(run: Run, subtask: Id, values: &V) -> Result<(V::Params, Vec<u32>)> {
    progress(run, subtask, SubtaskState::Started);
    let given = given(run, subtask);
    let begin = run.store().resources.begin_host_call();
    let mut loans = Vec::new();
    let params = {
        // SAFETY: an instance of the store, whose code does not run.
        let mut cx = unsafe { LiftContext::with_handles(&given.options, run.store(), 0) };
        cx.keep_loans(&mut loans);
        values.lift(&mut cx, given.args(), given.max_flat())
    };
    run.tasks().subtasks[subtask].lenders = loans.into();
    let borrowed = run.store().resources.keep_borrowed(begin);
    Ok((params?, borrowed))
}

impl<T: 'static, V: Values + Send> HostFuture for Running<T, V> {
    fn poll(
        &mut self,
        run: Run,
        context: &mut Context<'_>,
        is_wanted: &dyn Fn() -> bool,
    ) -> Poll<Result<()>> {
        let polled = with_store(run, || self.future.as_mut().poll(context));
        let Poll::Ready(results) = polled else {
            return Poll::Pending;
        };
        self.give_back(run);
        let found = run.tasks().subtasks.get(self.subtask);
        let Some(found) = found.filter(|_| is_wanted()) else {
            return Poll::Ready(Ok(()));
        };
        let caller = found.instance;
        Poll::Ready(run.closing(caller, || self.finish(run, &results?)))
    }

    fn give_back(&mut self, run: Run) {
        let borrowed = std::mem::take(&mut self.borrowed);
        run.store().resources.end_borrowed(&borrowed);
    }
}

impl<T: 'static, V: Values> Running<T, V> {
    /// Lowers the results.
    fn finish(&self, run: Run, results: &V::Results) -> Result<()> {
        if run.tasks().subtasks.get(self.subtask).is_none() {
            return Ok(());
        }
        let given = given(run, self.subtask);
        let context = given.options.context();
        // SAFETY: the context of an instance of the store.
        if unsafe { context.as_ref() }.closed != 0 {
            return Ok(());
        }
        // SAFETY: an instance of the store, whose code does not run.
        let mut cx = unsafe { LowerContext::new(run.store(), &given.options) };
        let (is_flat, pointer) = given.result_place();
        let value = self.values.lower(&mut cx, results, is_flat, pointer)?;
        let found = &mut run.tasks().subtasks[self.subtask];
        found.result = value;
        found.host = None;
        progress(run, self.subtask, SubtaskState::Returned);
        Ok(())
    }
}

/// The caller of a host function wants its result no more: the future is dropped.
pub(super) fn cancel(run: Run, subtask: Id, future: Id) {
    futures::end(run, future);
    run.tasks().subtasks[subtask].host = None;
    progress(run, subtask, SubtaskState::CancelledBeforeReturned);
}

/// The error of an operation whose host function is not there.
pub(super) fn missing() -> Error {
    Error::msg("an imported function that was not linked")
}
