//! Profiles of guests, taken by the process itself.
//!
//! ```text
//! timer of a thread -> signal handler -> ring -> collector -> Profile
//!                      walks the stack   |       resolves functions
//!                      (`walk`)          one for each thread
//! ```
//!
//! Nothing is added to calls: threads are known since they were made ready for their first entry,
//! and what guests run is found by their frame pointers.

mod collect;
mod data;
mod frames;
mod ring;
mod running;
mod threads;
mod walk;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Context as _, Result};
use crate::fork;

pub use data::{
    FrameKind, Profile, ProfileClock, ProfileConfig, ProfileFrame, ProfileSample, ProfileStack,
    ProfileThread,
};
pub(crate) use running::{after_fork, install};

/// Takes samples of the stacks of guests, of all stores and engines of the process, on all threads
/// that have entered guests or will.
///
/// ```no_run
/// # fn example(mut store: cwasm::Store<()>, run: cwasm::TypedFunc<(), ()>) -> cwasm::Result<()> {
/// let profiler = cwasm::Profiler::start(&cwasm::ProfileConfig::new())?;
/// run.call(&mut store, ())?;
/// let profile = profiler.stop();
/// for thread in &profile.threads {
///     println!("{} samples of thread {}", thread.samples.len(), thread.id);
/// }
/// # Ok(())
/// # }
/// ```
///
/// Threads are interrupted by `SIGPROF`, which they must not block. A handler that was installed
/// before the first profiler of the process gets those signals that are not its own; one that is
/// installed later must pass on what it does not know.
///
/// A thread takes 300 KB while it is sampled. Dropping the profiler ends the profile. A child of a
/// fork is not sampled: [`stop`](Profiler::stop) gives it what there was until then.
#[derive(Debug)]
pub struct Profiler {
    is_over: Arc<AtomicBool>,
    /// Collects samples, so that rings do not fill up.
    collector: Option<JoinHandle<()>>,
    /// The [generation](fork::generation) of the process that has the collector.
    generation: u32,
}

impl Profiler {
    /// Begins a profile.
    ///
    /// # Errors
    /// If another profiler of this process runs, the interval is shorter than 100 µs, or the
    /// operating system refuses timers or threads.
    pub fn start(config: &ProfileConfig) -> Result<Profiler> {
        config.check()?;
        running::start(config)?;
        let mut profiler = Profiler {
            is_over: Arc::default(),
            collector: None,
            generation: fork::generation(),
        };
        // A ring has room for as many samples, even of the deepest stacks.
        let period = config.interval.saturating_mul(64);
        let period = period.min(Duration::from_millis(100));
        let is_over = Arc::clone(&profiler.is_over);
        let thread = std::thread::Builder::new().name("cwasm profiler".to_owned());
        let spawned = thread.spawn(move || {
            while !is_over.load(Ordering::Acquire) {
                std::thread::park_timeout(period);
                running::collect();
            }
        });
        profiler.collector = Some(spawned.context("cannot start a thread for the profile")?);
        Ok(profiler)
    }

    /// Ends the profile.
    pub fn stop(mut self) -> Profile {
        self.end()
            .unwrap_or_else(|| unreachable!("it runs until it is stopped"))
    }

    /// Ends the profile, the first time.
    fn end(&mut self) -> Option<Profile> {
        if self.is_over.swap(true, Ordering::AcqRel) {
            return None;
        }
        if let Some(collector) = self.collector.take()
            && self.generation == fork::generation()
        {
            collector.thread().unpark();
            // It does not panic.
            let _ = collector.join();
        }
        running::stop()
    }
}

impl Drop for Profiler {
    fn drop(&mut self) {
        self.end();
    }
}
