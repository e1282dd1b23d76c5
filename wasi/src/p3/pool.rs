//! Work that blocks its thread: calls of files, look-ups of names, the host's readers and writers.

use std::sync::Arc;

use async_lock::Semaphore;
use blocking::unblock;

/// The most threads that work for one guest: those of all guests are 500 (or as many as the
/// environment's `BLOCKING_MAX_THREADS` says), so that one cannot keep the others waiting.
const MAX_JOBS: usize = 16;

/// The threads that work for a guest.
#[derive(Clone, Debug)]
pub(crate) struct Pool(Arc<Semaphore>);

impl Default for Pool {
    fn default() -> Pool {
        Pool(Arc::new(Semaphore::new(MAX_JOBS)))
    }
}

impl Pool {
    /// Does work that blocks on another thread, once there is one.
    ///
    /// If the future is dropped, work that has begun goes on, and its result is dropped.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> R {
        let job = self.0.acquire_arc().await;
        unblock(move || {
            let result = work();
            drop(job);
            result
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use async_io::block_on;

    use super::*;

    #[test]
    fn a_guest_that_blocks_all_its_threads_leaves_others_to_others() {
        let (greedy, other) = (Pool::default(), Pool::default());
        let (release, blocked) = channel::<()>();
        let blocked = Arc::new(Mutex::new(blocked));
        let mut begun: Vec<_> = (0..1000)
            .map(|_| {
                let (greedy, blocked) = (greedy.clone(), Arc::clone(&blocked));
                Box::pin(async move { greedy.run(move || blocked.lock().unwrap().recv()).await })
            })
            .collect();
        block_on(async {
            for job in &mut begun {
                assert!(poll_once(job).await.is_pending());
            }
            assert_eq!(greedy.0.try_acquire().map(drop), None);
            assert_eq!(other.run(|| 7).await, 7);
        });
        // What was given up and has begun keeps its thread, and no more.
        drop(begun);
        drop(release);
        assert_eq!(block_on(greedy.run(|| 8)), 8);
    }

    /// Polls a future once.
    async fn poll_once<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context))
        })
        .await
    }
}
