//! Waking a guest that waits, from other threads.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, read, write};

/// The wake-ups of one guest: values that change in other threads share it. The descriptor that it
/// waits on is made when it waits for the first time.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    event: OnceLock<OwnedFd>,
}

impl Signal {
    /// Wakes the guest, which looks at all that it waits for again.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "of `wasi:http`"))]
    pub(crate) fn waker(self: &Arc<Signal>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    /// What to wait on, and whether it is new: wake-ups before that are not seen by it.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn event(&self) -> io::Result<(BorrowedFd<'_>, bool)> {
        if let Some(event) = self.event.get() {
            return Ok((event.as_fd(), false));
        }
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok((self.event.get_or_init(|| event).as_fd(), true))
    }

    /// Forgets the wake-ups so far.
    pub(super) fn clear(&self) {
        if let Some(event) = self.event.get() {
            // Fails if there were none.
            let _ = read(event, &mut [0; 8]);
        }
    }

    fn send(&self) {
        if let Some(event) = self.event.get() {
            while write(event, &1_u64.to_ne_bytes()) == Err(Errno::INTR) {}
        }
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Signal>) {
        self.send();
    }

    fn wake_by_ref(self: &Arc<Signal>) {
        self.send();
    }
}
