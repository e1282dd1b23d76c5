//! Futures that are pending a known number of times, and an executor that counts.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

/// Is ready at the poll of this number, and pending at those before.
pub(crate) struct After(pub(crate) u32);

impl Future for After {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Polls until it is ready, and says how often it was pending.
pub(crate) fn drive<R>(future: impl Future<Output = R>) -> (R, u32) {
    let mut context = Context::from_waker(Waker::noop());
    let mut future = pin!(future);
    let mut pending = 0;
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(result) => return (result, pending),
            Poll::Pending => pending += 1,
        }
    }
}

/// Requires what executors of many threads require.
pub(crate) fn sent<F: Future + Send>(future: F) -> F {
    future
}
