//! Clocks (`wasi:clocks`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cwasm::{Resource, Result};
use rustix::time::{ClockId, clock_getres};

use crate::bindings::wasi::clocks as wit;
use crate::ctx::WasiCtx;
use crate::io::{Pollable, now};

/// A clock that never goes back, as a guest sees it.
pub trait MonotonicClock: Send {
    /// The time between two readings that differ, in nanoseconds.
    fn resolution(&self) -> u64;

    /// The time from some beginning, in nanoseconds.
    fn now(&self) -> u64;
}

/// A clock of dates, as a guest sees it.
pub trait WallClock: Send {
    /// The time between two readings that differ.
    fn resolution(&self) -> Duration;

    /// The time since 1970-01-01T00:00:00Z.
    fn now(&self) -> Duration;
}

/// The system's clocks; the monotonic one begins with 0.
#[derive(Debug)]
pub(crate) struct SystemClocks {
    start: u64,
}

impl SystemClocks {
    pub(crate) fn new() -> SystemClocks {
        SystemClocks { start: now() }
    }
}

fn resolution(clock: ClockId) -> Duration {
    let resolution = clock_getres(clock);
    Duration::new(resolution.tv_sec as u64, resolution.tv_nsec as u32)
}

impl MonotonicClock for SystemClocks {
    fn resolution(&self) -> u64 {
        let resolution = resolution(ClockId::Monotonic);
        u64::try_from(resolution.as_nanos()).unwrap_or(u64::MAX)
    }

    fn now(&self) -> u64 {
        now() - self.start
    }
}

impl WallClock for SystemClocks {
    fn resolution(&self) -> Duration {
        resolution(ClockId::Realtime)
    }

    fn now(&self) -> Duration {
        // A date before 1970 is none that a guest could be told.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    }
}

impl wit::monotonic_clock::Host for WasiCtx {
    fn now(&mut self) -> Result<u64> {
        Ok(self.monotonic_clock.now())
    }

    fn resolution(&mut self) -> Result<u64> {
        Ok(self.monotonic_clock.resolution())
    }

    fn subscribe_instant(&mut self, when: u64) -> Result<Resource<Pollable>> {
        let duration = when.saturating_sub(self.monotonic_clock.now());
        self.subscribe_duration(duration)
    }

    fn subscribe_duration(&mut self, duration: u64) -> Result<Resource<Pollable>> {
        let pollable = Pollable::until(now().saturating_add(duration));
        Ok(self.table.push(pollable)?)
    }
}

impl wit::wall_clock::Host for WasiCtx {
    fn now(&mut self) -> Result<wit::wall_clock::Datetime> {
        Ok(datetime(self.wall_clock.now()))
    }

    fn resolution(&mut self) -> Result<wit::wall_clock::Datetime> {
        Ok(datetime(self.wall_clock.resolution()))
    }
}

fn datetime(time: Duration) -> wit::wall_clock::Datetime {
    wit::wall_clock::Datetime {
        seconds: time.as_secs(),
        nanoseconds: time.subsec_nanos(),
    }
}
