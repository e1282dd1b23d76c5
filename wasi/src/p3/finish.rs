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
    poll_until(store, |store| {
        let has_tasks = store.task_count() > 0;
        let ctx = get(store.data_mut());
        #[cfg(feature = "http")]
        let sends = ctx.bodies.any();
        #[cfg(not(feature = "http"))]
        let sends = false;
        !has_tasks && !sends && !ctx.writes.any()
    })
    .await
}

/// Waits until what the guest has written is where it belongs, whatever else it does: it has ended
/// itself, or trapped. `get` finds the state in the store's data.
pub async fn written<T: Send + 'static>(store: &mut Store<T>, get: fn(&mut T) -> &mut WasiCtx) {
    // It has failed already.
    let _ = poll_until(store, |store| !get(store.data_mut()).writes.any()).await;
}

async fn poll_until<T: Send + 'static>(
    store: &mut Store<T>,
    is_over: impl Fn(&mut Store<T>) -> bool,
) -> Result<()> {
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
