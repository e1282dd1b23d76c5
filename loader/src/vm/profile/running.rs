//! The profile that runs in this process, and the threads that it samples.
//!
//! **Invariant:** units are dropped, and samples are resolved, with the lock of [`State`]: the unit
//! of a sample is still there, or is the one that is being dropped.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use super::collect::{Collected, Samples};
use super::data::{Profile, ProfileClock, ProfileConfig, ProfileThread};
use super::ring::Ring;
use super::threads::{self, Sampler, Thread, on_interrupt};
use super::walk::Frames;
use crate::artifact::{self, Unit};
use crate::error::{Context as _, Error, Result};
use crate::fork::{self, Locked};
use crate::sys;
use crate::sys::host_frames::{HostCache, HostFrames};
use crate::sys::sampling::{self, Clock, Ticks};

/// The threads that have entered wasm, and the profile that runs.
struct State {
    threads: Vec<Arc<Thread>>,
    running: Option<Running>,
}

static STATE: Mutex<State> = Mutex::new(State {
    threads: Vec::new(),
    running: None,
});

/// The profile that runs.
struct Running {
    config: ProfileConfig,
    started: SystemTime,
    began: Instant,
    /// The same, as the clock shows it that samples have.
    began_at: u64,
    hosts: Arc<HostFrames>,
    collected: Collected,
    threads: Vec<Sampled>,
    /// It was left behind by a fork: nothing is sampled.
    is_left: bool,
}

/// A thread, and its samples.
struct Sampled {
    thread: ProfileThread,
    samples: Samples,
    /// `None` when it has ended.
    live: Option<Live>,
}

/// A thread that is being sampled.
struct Live {
    thread: Arc<Thread>,
    ticks: Ticks,
    ring: Arc<Ring>,
}

fn state() -> Locked<'static, State> {
    fork::lock(&STATE)
}

/// Prepares the process: from now on, threads and units are known.
pub(crate) fn install() {
    sys::thread::on_ready(add_thread);
    artifact::before_drop(drop_unit);
}

/// In a child after a fork: only this thread is there, and no timers.
pub(crate) fn after_fork() {
    let mut state = state();
    let own = threads::current();
    state
        .threads
        .retain(|thread| own.as_ref().is_some_and(|own| Arc::ptr_eq(own, thread)));
    if let Some(own) = own {
        own.renew();
        own.set_sampler(None);
    }
    if let Some(running) = &mut state.running {
        running.is_left = true;
        for sampled in &mut running.threads {
            // The child has no such timer: perhaps it has another one of this number.
            if let Some(live) = sampled.live.take() {
                std::mem::forget(live.ticks);
            }
        }
    }
}

/// This thread is about to enter wasm.
fn add_thread() {
    let mut state = state();
    let Some(thread) = threads::add_current(remove_thread) else {
        return;
    };
    state.threads.push(Arc::clone(&thread));
    if let Some(running) = &mut state.running {
        // A thread that cannot be sampled is in the profile, without samples.
        let _ = running.add(&thread);
    }
}

/// A thread ends.
fn remove_thread(thread: &Arc<Thread>) {
    let mut state = state();
    state.threads.retain(|other| !Arc::ptr_eq(other, thread));
    if let Some(running) = &mut state.running {
        running.end(|other| Arc::ptr_eq(other, thread));
    }
}

/// Resolves samples of a unit that is dropped, and unregisters it.
fn drop_unit(unit: &Unit, unregister: &dyn Fn()) {
    let mut state = state();
    if let Some(running) = &mut state.running {
        running.collect(Some(unit));
        running.collected.forget(unit.id());
    }
    unregister();
}

/// Begins a profile.
///
/// # Errors
/// If one runs already, or the operating system refuses timers.
pub(super) fn start(config: &ProfileConfig) -> Result<()> {
    let hosts = Arc::new(HostFrames::new());
    let mut state = state();
    if state.running.is_some() {
        return Err(Error::msg("a profile of this process runs already"));
    }
    // With the lock: forks do not happen meanwhile.
    sampling::install(on_interrupt)?;
    let mut running = Running {
        config: config.clone(),
        started: SystemTime::now(),
        began: Instant::now(),
        began_at: Clock::WALL.now(),
        hosts,
        collected: Collected::default(),
        threads: Vec::new(),
        is_left: false,
    };
    for thread in &state.threads {
        let added = running.add(thread);
        if let Err(error) = added {
            running.end(|_| true);
            return Err(error);
        }
    }
    state.running = Some(running);
    Ok(())
}

/// Takes the samples that there are.
pub(super) fn collect() {
    if let Some(running) = &mut state().running {
        running.collect(None);
    }
}

/// Ends the profile that runs.
pub(super) fn stop() -> Option<Profile> {
    let mut state = state();
    let running = state.running.as_mut()?;
    let duration = running.began.elapsed();
    running.end(|_| true);
    let running = state.running.take()?;
    drop(state);
    Some(running.finish(duration))
}

impl Running {
    /// Samples a thread from now on.
    ///
    /// # Errors
    /// If the operating system refuses its timer.
    fn add(&mut self, thread: &Arc<Thread>) -> Result<()> {
        if self.is_left {
            return Ok(());
        }
        let id = thread.id();
        let clock = match self.config.clock {
            ProfileClock::Cpu => id.cpu_time,
            ProfileClock::Wall => Clock::WALL,
        };
        let ring = Arc::new(Ring::new());
        thread.set_sampler(Some(Sampler {
            ring: Arc::clone(&ring),
            hosts: Arc::clone(&self.hosts),
            clock,
            last: clock.now(),
            began: self.began_at,
            cache: HostCache::new(),
            frames: Frames::new(),
        }));
        let ticks = Ticks::start(id, clock, self.config.interval);
        let (live, result) = match ticks {
            Ok(ticks) => {
                let thread = Arc::clone(thread);
                (
                    Some(Live {
                        thread,
                        ticks,
                        ring,
                    }),
                    Ok(()),
                )
            }
            Err(error) => {
                thread.set_sampler(None);
                let name = thread.name.as_deref().unwrap_or("a thread");
                let context = format!("cannot make a timer for {name}");
                (None, Err(error).context(context))
            }
        };
        self.threads.push(Sampled {
            thread: ProfileThread {
                id: id.id,
                name: thread.name.clone(),
                ..ProfileThread::default()
            },
            samples: Samples::default(),
            live,
        });
        result
    }

    /// Ends the sampling of some threads.
    fn end(&mut self, which: impl Fn(&Arc<Thread>) -> bool) {
        for sampled in &mut self.threads {
            if let Some(live) = &sampled.live
                && which(&live.thread)
            {
                live.thread.set_sampler(None);
                sampled.take(&mut self.collected, self.config.max_samples, None);
                sampled.live = None;
            }
        }
    }

    /// Takes the samples of all threads.
    fn collect(&mut self, dropping: Option<&Unit>) {
        for sampled in &mut self.threads {
            sampled.take(&mut self.collected, self.config.max_samples, dropping);
        }
    }

    fn finish(self, duration: Duration) -> Profile {
        let threads = self.threads.into_iter().map(|sampled| ProfileThread {
            samples: sampled.samples.all,
            ..sampled.thread
        });
        Profile {
            started: self.started,
            duration,
            interval: self.config.interval,
            clock: self.config.clock,
            frames: self.collected.frames,
            stacks: self.collected.stacks,
            threads: threads.collect(),
        }
    }
}

impl Sampled {
    /// Takes the samples that there are.
    fn take(&mut self, collected: &mut Collected, max_samples: usize, dropping: Option<&Unit>) {
        let Some(Live { ring, .. }) = &self.live else {
            return;
        };
        let samples = &mut self.samples;
        let mut dropped = ring.dropped.swap(0, Ordering::Relaxed);
        ring.take(|head, pcs| {
            if !collected.add(samples, (head, pcs), max_samples, dropping) {
                dropped += head.weight;
            }
        });
        let time = |counter: &AtomicU64| Duration::from_nanos(counter.swap(0, Ordering::Relaxed));
        self.thread.outside += time(&ring.outside);
        self.thread.unknown += time(&ring.unknown);
        self.thread.dropped += Duration::from_nanos(dropped);
    }
}
