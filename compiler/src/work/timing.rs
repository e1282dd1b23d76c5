//! The time that each function takes: processor time of its thread, since threads share processors
//! with each other and with other programs.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The time of each step of compiling a function.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    /// From WebAssembly to IR, with validation and inlining.
    pub(crate) translate: Duration,
    /// Passes over the IR.
    pub(crate) optimize: Duration,
    /// From IR to machine code: selection of instructions, allocation of registers, encoding.
    pub(crate) generate: Duration,
}

/// Measures them, unless it is switched off: then it does not look at the clock.
pub(crate) struct Watch {
    last: Option<Duration>,
    times: Times,
}

impl Watch {
    pub(crate) fn start(is_on: bool) -> Watch {
        Watch {
            last: is_on.then(now),
            times: Times::default(),
        }
    }

    pub(crate) fn end_translate(&mut self) {
        self.times.translate = self.lap();
    }

    pub(crate) fn end_optimize(&mut self) {
        self.times.optimize = self.lap();
    }

    /// Ends the last step.
    pub(crate) fn end(mut self) -> Times {
        self.times.generate = self.lap();
        self.times
    }

    fn lap(&mut self) -> Duration {
        let Some(last) = &mut self.last else {
            return Duration::ZERO;
        };
        let now = now();
        now.saturating_sub(std::mem::replace(last, now))
    }
}

/// The processor time of this thread.
fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
