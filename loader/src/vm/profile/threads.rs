//! The threads that have entered wasm, and what interrupts do on them.

use std::cell::OnceCell;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ring::{Head, Ring};
use super::walk::{Frames, Walked, walk};
use crate::sys::host_frames::{HostCache, HostFrames};
use crate::sys::registers::Registers;
use crate::sys::sampling::{Clock, ThreadId};

/// A thread that has entered wasm.
pub(super) struct Thread {
    pub(super) name: Option<String>,
    /// Another one after a fork.
    id: Mutex<ThreadId>,
    /// Takes samples while a profile runs. The thread's own signal handler does not wait for it.
    sampler: Mutex<Option<Sampler>>,
}

/// What takes samples on a thread.
pub(super) struct Sampler {
    pub(super) ring: Arc<Ring>,
    pub(super) hosts: Arc<HostFrames>,
    /// The time that is measured, and what it showed at the last sample.
    pub(super) clock: Clock,
    pub(super) last: u64,
    /// The wall's time when the profile began.
    pub(super) began: u64,
    pub(super) cache: HostCache,
    pub(super) frames: Frames,
}

/// This thread's own record; dropped when the thread ends.
struct Own(Arc<Thread>, fn(&Arc<Thread>));

impl Drop for Own {
    fn drop(&mut self) {
        (self.1)(&self.0);
    }
}

thread_local! {
    static OWN: OnceCell<Own> = const { OnceCell::new() };
}

/// This thread, if it is new; `at_end` is called when it ends.
pub(super) fn add_current(at_end: fn(&Arc<Thread>)) -> Option<Arc<Thread>> {
    let is_known = OWN.try_with(|own| own.get().is_some());
    // A thread that ends is not sampled any more.
    if is_known != Ok(false) {
        return None;
    }
    let thread = Arc::new(Thread {
        name: std::thread::current().name().map(str::to_owned),
        id: Mutex::new(ThreadId::current().ok()?),
        sampler: Mutex::new(None),
    });
    let own = Own(Arc::clone(&thread), at_end);
    OWN.with(|place| place.set(own).is_ok()).then_some(thread)
}

/// This thread, if it has entered wasm.
pub(super) fn current() -> Option<Arc<Thread>> {
    let own = OWN.try_with(|own| own.get().map(|own| Arc::clone(&own.0)));
    own.ok().flatten()
}

impl Thread {
    pub(super) fn id(&self) -> ThreadId {
        *unpoisoned(&self.id)
    }

    /// After a fork: the thread is the child's only one.
    pub(super) fn renew(&self) {
        if let Ok(id) = ThreadId::current() {
            *unpoisoned(&self.id) = id;
        }
    }

    /// Sets what takes samples; none is taken any more by what did before.
    pub(super) fn set_sampler(&self, sampler: Option<Sampler>) {
        // Dropped when the lock is free: a signal handler finds it taken as shortly as can be.
        let before = std::mem::replace(&mut *unpoisoned(&self.sampler), sampler);
        drop(before);
    }
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a sample of this thread, which was interrupted with these registers. Runs in a signal
/// handler.
pub(super) fn on_interrupt(registers: &Registers) {
    let _ = OWN.try_with(|own| {
        let thread = own.get()?;
        // If it is being set, on this thread or another one, the next sample has the time.
        let mut sampler = thread.0.sampler.try_lock().ok()?;
        sampler.as_mut()?.take(registers);
        Some(())
    });
}

impl Sampler {
    /// Takes a sample.
    fn take(&mut self, registers: &Registers) {
        let now = self.clock.now();
        let weight = now.saturating_sub(self.last);
        self.last = now;
        let walked = walk(registers, &self.hosts, &mut self.cache, &mut self.frames);
        let counter = match walked {
            Walked::Guest(flags) => {
                let head = Head {
                    time: Clock::WALL.now().saturating_sub(self.began),
                    weight,
                    flags,
                };
                return self.ring.write(head, self.frames.pcs());
            }
            Walked::Outside => &self.ring.outside,
            Walked::Unknown => &self.ring.unknown,
        };
        counter.fetch_add(weight, Ordering::Relaxed);
    }
}
