//! Running programs.

use cwasm::{Result, Store};

use super::Command;
use super::finish::{finish, written};
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
        match run.await.and_then(|result| result) {
            Ok(result) => {
                finish(store, get).await?;
                Ok(result)
            }
            Err(error) => {
                written(store, get).await;
                Err(error)
            }
        }
    }
}
