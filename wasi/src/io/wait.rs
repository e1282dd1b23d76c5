//! Waiting: one `ppoll` for descriptors and times.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

/// The condition that something waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Interest<'a> {
    /// It is ready.
    Ready,
    /// A descriptor is ready for one of these, or has failed.
    Descriptor(BorrowedFd<'a>, PollFlags),
    /// The system's monotonic clock shows so many nanoseconds.
    Until(u64),
    /// Another thread changes it, and sends the guest's signal then; or the clock shows so many
    /// nanoseconds.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "of `wasi:http`"))]
    Change(Option<u64>),
}

impl Interest<'_> {
    /// The time at which it is ready, whatever else happens.
    fn time(&self) -> Option<u64> {
        match self {
            Interest::Ready => Some(0),
            Interest::Until(until) => Some(*until),
            Interest::Descriptor(..) => None,
            Interest::Change(until) => *until,
        }
    }
}

/// The system's monotonic clock, in nanoseconds.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // 584 years.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Waits until something is ready: the places of all that is. At least one is, if `interests` is
/// not empty.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] at `deadline`, a time of [`now`]; the system's.
pub(crate) fn wait(interests: &[Interest<'_>], deadline: Option<u64>) -> io::Result<Vec<u32>> {
    let mut set = PollSet::default();
    for interest in interests {
        if let Interest::Descriptor(descriptor, events) = interest {
            set.add(*descriptor, *events);
        }
    }
    loop {
        let time = now();
        let next = interests.iter().filter_map(Interest::time);
        let next = next.chain(deadline).min();
        set.poll(next.map(|next| next.saturating_sub(time)))?;
        let time = now();
        let is_ready = |interest: &Interest<'_>| match interest {
            Interest::Descriptor(descriptor, events) => set.is_ready(*descriptor, *events),
            other => other.time().is_some_and(|until| until <= time),
        };
        let places = (0..).zip(interests);
        let ready: Vec<u32> = places
            .filter_map(|(place, interest)| is_ready(interest).then_some(place))
            .collect();
        if !ready.is_empty() {
            return Ok(ready);
        }
        if deadline.is_some_and(|deadline| deadline <= time) {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// Descriptors to wait for, each once: the system counts them, and refuses more than a process may
/// open.
#[derive(Default)]
struct PollSet<'a> {
    descriptors: Vec<PollFd<'a>>,
    /// The place and the events of each.
    places: BTreeMap<RawFd, (usize, PollFlags)>,
}

impl<'a> PollSet<'a> {
    fn add(&mut self, descriptor: BorrowedFd<'a>, events: PollFlags) {
        let (place, all) = self
            .places
            .entry(descriptor.as_raw_fd())
            .or_insert((self.descriptors.len(), PollFlags::empty()));
        *all |= events;
        let entry = PollFd::from_borrowed_fd(descriptor, *all);
        match self.descriptors.get_mut(*place) {
            Some(known) => *known = entry,
            None => self.descriptors.push(entry),
        }
    }

    /// Waits at most so many nanoseconds; for ever, if there is no number.
    fn poll(&mut self, nanoseconds: Option<u64>) -> io::Result<()> {
        let timeout = nanoseconds.map(|nanoseconds| Timespec {
            tv_sec: (nanoseconds / 1_000_000_000) as i64,
            tv_nsec: (nanoseconds % 1_000_000_000) as i64,
        });
        match poll(&mut self.descriptors, timeout.as_ref()) {
            // A signal came: the caller looks at the clock, and waits again.
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn is_ready(&self, descriptor: BorrowedFd<'_>, events: PollFlags) -> bool {
        let place = self.places.get(&descriptor.as_raw_fd());
        let failed = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
        place.is_some_and(|(place, _)| {
            self.descriptors[*place]
                .revents()
                .intersects(events | failed)
        })
    }
}
