//! The end of what a guest does.

use std::future::poll_fn;
use std::task::Poll;

use cwasm::{Result, Store};

use crate::ctx::WasiCtx;

/// Waits until nothing of the guest's goes on: what has returned and still does something is over,
/// and what it has written is where it belongs; `get` finds the state in the store's data.
///
/// # Errors
/// A trap of a task, or an error of the host.
pub async fn finish<T: Send + 'static>(
    store: &mut Store<T>,
    get: fn(&mut T) -> &mut WasiCtx,
) -> Result<()> {
    let is_over =
        |store: &mut Store<T>| store.task_count() == 0 && !get(store.data_mut()).writes.any();
    poll_fn(|context| {
        if is_over(store) {
            return Poll::Ready(Ok(()));
        }
        let polled = store.poll(context);
        match is_over(store) {
            true => Poll::Ready(Ok(())),
            false => polled,
        }
    })
    .await
}
