//! Profiles: stacks of guests, and how long they ran.

use std::time::{Duration, SystemTime};

use crate::error::{Error, Result};

/// Options of a [`Profiler`](super::Profiler).
#[derive(Clone, Debug)]
pub struct ProfileConfig {
    pub(super) interval: Duration,
    pub(super) clock: ProfileClock,
    pub(super) max_samples: usize,
}

/// The shortest time between samples.
const MIN_INTERVAL: Duration = Duration::from_micros(100);

impl Default for ProfileConfig {
    fn default() -> ProfileConfig {
        ProfileConfig {
            interval: Duration::from_millis(1),
            clock: ProfileClock::default(),
            max_samples: 1 << 20,
        }
    }
}

impl ProfileConfig {
    /// The default options.
    pub fn new() -> ProfileConfig {
        ProfileConfig::default()
    }

    /// Sets the time between samples of a thread: 1 ms by default, and 100 µs at least.
    pub fn interval(&mut self, interval: Duration) -> &mut ProfileConfig {
        self.interval = interval;
        self
    }

    /// Sets the time that is measured: that of the CPU by default.
    pub fn clock(&mut self, clock: ProfileClock) -> &mut ProfileConfig {
        self.clock = clock;
        self
    }

    /// Sets how many samples are kept, of all threads together: 1,048,576 by default, of 24 bytes
    /// each. Those that come later are put together with earlier ones of the same thread and stack:
    /// the times of stacks are still right then, but not when they were.
    pub fn max_samples(&mut self, count: usize) -> &mut ProfileConfig {
        self.max_samples = count;
        self
    }

    /// # Errors
    /// If the interval is too short.
    pub(super) fn check(&self) -> Result<()> {
        if self.interval < MIN_INTERVAL {
            return Err(Error::msg(format_args!(
                "the interval of a profile is {:?}, expected at least {MIN_INTERVAL:?}",
                self.interval
            )));
        }
        Ok(())
    }
}

/// What guests did while a [`Profiler`](super::Profiler) ran.
///
/// A stack is a list of frames that [`stacks`](Profile::stacks) link; a sample is a stack with the
/// time that it stands for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Profile {
    /// When it began.
    pub started: SystemTime,
    /// How long it took.
    pub duration: Duration,
    /// The time between samples that was asked for.
    pub interval: Duration,
    /// The time that was measured.
    pub clock: ProfileClock,
    /// The functions, each once.
    pub frames: Vec<ProfileFrame>,
    /// The stacks: callers come before the stacks of what they call.
    pub stacks: Vec<ProfileStack>,
    /// The threads that have run guests.
    pub threads: Vec<ProfileThread>,
}

/// The time that a profile measures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProfileClock {
    /// The time that threads run. Nothing that waits is interrupted. The kernel samples it at its
    /// ticks, which on many systems are 4 ms apart (`CONFIG_HZ`), however short the interval is.
    #[default]
    Cpu,
    /// The time that passes, also while a thread waits. System calls that wait are interrupted:
    /// those that the kernel does not continue by itself, as `poll`, fail with `EINTR`.
    Wall,
}

/// A function on a stack.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProfileFrame {
    /// What kind of function it is.
    pub kind: FrameKind,
    /// Its name, in an artifact with names (`--debug`); else `core[INSTANCE].func[INDEX]`, with its
    /// core instance and its index in the core module. Of a host function it is the import. A guest
    /// may have chosen any text, but no more than 1003 bytes.
    pub name: String,
}

/// Kinds of functions on stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FrameKind {
    /// A core function.
    Guest,
    /// A function of the host that a guest calls, and all that it calls.
    Host,
    /// A function of the loader that compiled code calls, such as for `memory.grow`.
    Builtin,
    /// Code that connects components with each other and with the host, of the artifact.
    Glue,
    /// Signal handlers, while they find out about a trap.
    Trap,
    /// In place of callers that are not known, since the stack is too deep.
    Truncated,
}

/// A stack: a frame and its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProfileStack {
    /// The innermost frame: an index in [`Profile::frames`].
    pub frame: u32,
    /// The stack of the caller, an index in [`Profile::stacks`]; `None` if the host called.
    pub caller: Option<u32>,
}

/// A thread that has run guests.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ProfileThread {
    /// Its number (`gettid`).
    pub id: u32,
    /// Its name, if it had one when it first ran a guest.
    pub name: Option<String>,
    /// Stacks of guests, by time.
    pub samples: Vec<ProfileSample>,
    /// The time outside of guests.
    pub outside: Duration,
    /// The time in code whose stack could not be walked: of the host, in a guest's call or outside.
    pub unknown: Duration,
    /// The time of samples for which there was no room.
    pub dropped: Duration,
}

/// A stack, and the time that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileSample {
    /// An index in [`Profile::stacks`].
    pub stack: u32,
    /// When it was taken, in nanoseconds since the profile began. Of several samples of one stack
    /// that were put together, the last.
    pub time: u64,
    /// The time since the thread's sample before, in nanoseconds of the profile's clock.
    pub weight: u64,
}

/// A profile of no time.
impl Default for Profile {
    fn default() -> Profile {
        Profile {
            started: SystemTime::UNIX_EPOCH,
            duration: Duration::ZERO,
            interval: ProfileConfig::default().interval,
            clock: ProfileClock::default(),
            frames: Vec::new(),
            stacks: Vec::new(),
            threads: Vec::new(),
        }
    }
}

impl Profile {
    /// The frames of a stack, an index in [`Profile::stacks`], innermost first.
    ///
    /// # Panics
    /// If there is no such stack.
    pub fn frames_of(&self, stack: u32) -> impl Iterator<Item = &ProfileFrame> {
        let mut next = Some(stack);
        std::iter::from_fn(move || {
            let stack = self.stacks[next? as usize];
            next = stack.caller;
            Some(&self.frames[stack.frame as usize])
        })
    }
}
