//! Work that blocks its thread: calls of files, and the host's readers and writers.

use blocking::unblock;

/// Does work that blocks on another thread, of at most 500 that all stores share (or as many as the
/// environment's `BLOCKING_MAX_THREADS` says).
///
/// If the future is dropped, work that has begun goes on, and its result is dropped.
pub(crate) async fn run<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    unblock(work).await
}
