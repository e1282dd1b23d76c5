//! What guests give up and what they take too much of, called as a guest's calls arrive here.

mod dropped;
#[cfg(feature = "http")]
mod messages;

use std::ops::AsyncFnOnce;
use std::thread;
use std::time::{Duration, Instant};

use cwasm::{Access, Accessor, Engine, Store};

use super::block_on;
use crate::WasiCtx;
use crate::open_files::OpenFiles;

fn itself(ctx: &mut WasiCtx) -> &mut WasiCtx {
    ctx
}

/// The host, as functions of 0.3 get it.
fn access(accessor: &Accessor<WasiCtx>) -> Access<'_, WasiCtx, WasiCtx> {
    Access::new(accessor, &(itself as fn(&mut WasiCtx) -> &mut WasiCtx))
}

fn store(ctx: WasiCtx) -> Store<WasiCtx> {
    Store::new(&Engine::default(), ctx)
}

fn run<R>(store: &mut Store<WasiCtx>, body: impl AsyncFnOnce(&Accessor<WasiCtx>) -> R) -> R {
    block_on(store.run_concurrent(body)).unwrap()
}

/// Lets what is spawned go on, as far as it can at once.
fn poll(store: &mut Store<WasiCtx>) {
    let polled = std::future::poll_fn(|context| {
        let _ = store.poll(context);
        std::task::Poll::Ready(())
    });
    block_on(polled);
}

/// Waits until so many files can be opened: what threads do that is not wanted any more is over.
#[track_caller]
fn has_places(open_files: &OpenFiles, count: usize) {
    let start = Instant::now();
    loop {
        let places: Vec<_> = (0..count).map_while(|_| open_files.place().ok()).collect();
        if places.len() == count {
            return;
        }
        let found = places.len();
        assert!(start.elapsed() < Duration::from_secs(10), "{found}");
        drop(places);
        thread::sleep(Duration::from_millis(1));
    }
}
