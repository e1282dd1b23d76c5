//! Running programs.

use std::future::poll_fn;
use std::task::Poll;

use cwasm::{Result, Store};

use super::Command;
use crate::ctx::WasiCtx;

impl Command {
    /// Runs the program until it is over: `run` has returned, all that it has spawned is over, and
    /// what it has written is where it belongs; `get` finds the state in the store's data. An error
    /// is that the program says it has failed.
    ///
    /// # Errors
    /// A trap; [`Exit`](crate::Exit) if the guest has ended itself.
    pub async fn run<T: Send + 'static>(
        &self,
        store: &mut Store<T>,
        get: fn(&mut T) -> &mut WasiCtx,
    ) -> Result<Result<(), ()>> {
        let run =
            store.run_concurrent(async |accessor| self.wasi_cli_run().call_run(accessor).await);
        let result = run.await??;
        poll_fn(|context| {
            let is_over = |store: &mut Store<T>| {
                store.task_count() == 0 && !get(store.data_mut()).writes.any()
            };
            if is_over(store) {
                return Poll::Ready(Ok(()));
            }
            let polled = store.poll(context);
            match is_over(store) {
                true => Poll::Ready(Ok(())),
                false => polled,
            }
        })
        .await?;
        Ok(result)
    }
}
