//! Clocks (`wasi:clocks`).

use std::time::{Duration, Instant};

use async_io::Timer;
use cwasm::{Access, Result};

use super::bindings::wasi::clocks as wit;
use crate::ctx::WasiCtx;

impl wit::monotonic_clock::Host for WasiCtx {
    fn now(&mut self) -> Result<u64> {
        Ok(self.monotonic_clock.now())
    }

    fn get_resolution(&mut self) -> Result<u64> {
        Ok(self.monotonic_clock.resolution())
    }

    async fn wait_until<T: 'static>(access: Access<'_, T, WasiCtx>, when: u64) -> Result<()> {
        let how_long = access.with(|ctx| when.saturating_sub(ctx.monotonic_clock.now()));
        wait(how_long).await;
        Ok(())
    }

    async fn wait_for<T: 'static>(_: Access<'_, T, WasiCtx>, how_long: u64) -> Result<()> {
        wait(how_long).await;
        Ok(())
    }
}

/// Waits for so many nanoseconds by the system's clock.
async fn wait(nanoseconds: u64) {
    match Instant::now().checked_add(Duration::from_nanos(nanoseconds)) {
        Some(when) => Timer::at(when).await,
        // Centuries.
        None => Timer::never().await,
    };
}

impl wit::system_clock::Host for WasiCtx {
    fn now(&mut self) -> Result<wit::system_clock::Instant> {
        let time = self.wall_clock.now();
        Ok(wit::system_clock::Instant {
            seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: time.subsec_nanos(),
        })
    }

    fn get_resolution(&mut self) -> Result<u64> {
        let resolution = self.wall_clock.resolution().as_nanos();
        Ok(u64::try_from(resolution).unwrap_or(u64::MAX))
    }
}
