//! What an engine keeps of instances that were dropped, and how much it may be.
//!
//! Instances are kept where the next ones are made, on each CPU and for each component apart
//! ([`Home`](super::home::Home)). What they keep counts for the engine's budget. A home takes parts
//! of that budget when it must, and holds them: so in the steady state nothing here is written to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::fork;

/// What an engine has done to have instances ready, since it was made, and what it keeps now: see
/// [`Engine::instance_metrics`](crate::Engine::instance_metrics).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstanceMetrics {
    /// Instances that were made from the start.
    pub made: u64,
    /// Instances that were made of one that was kept.
    pub reused: u64,
    /// Instances whose memory was made clean without asking the system what they had written to,
    /// because all other pages were read-only: see
    /// [`Config::fence_pages`](crate::Config::fence_pages).
    pub fenced: u64,
    /// Dropped instances that were not kept, because there was no room or the system refused to
    /// make their memory clean.
    pub dropped: u64,
    /// Dropped instances whose memory was given back to the system, because they had written to
    /// much more than others; or the system has no `PAGEMAP_SCAN` (Linux 6.7).
    pub emptied: u64,
    /// Instances whose memory had grown and was given back to the system together with that of
    /// others: where threads on several CPUs drop such instances, none need wait for all others
    /// each time.
    pub gathered: u64,
    /// Bytes that were copied to make the memory of dropped instances clean.
    pub copied_bytes: u64,
    /// Instances that are kept now.
    pub idle: usize,
    /// Bytes of memory that they keep.
    pub idle_bytes: usize,
}

impl InstanceMetrics {
    /// Adds the figures of another part.
    fn add(&mut self, other: &InstanceMetrics) {
        let InstanceMetrics {
            made,
            reused,
            fenced,
            dropped,
            emptied,
            gathered,
            copied_bytes,
            idle,
            idle_bytes,
        } = other;
        self.made += made;
        self.reused += reused;
        self.fenced += fenced;
        self.dropped += dropped;
        self.emptied += emptied;
        self.gathered += gathered;
        self.copied_bytes += copied_bytes;
        self.idle += idle;
        self.idle_bytes += idle_bytes;
    }
}

/// A part of the budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) instances: usize,
    pub(crate) bytes: usize,
}

/// Room for memory is taken in such parts, if possible.
const BYTES_AT_ONCE: usize = 1 << 18;

/// Who keeps instances.
pub(crate) trait Keeper: Send + Sync {
    /// Gives back room: what it does not use, or else that of an instance, which it drops. Whether
    /// there was any.
    fn give_back(&self) -> bool;

    /// Drops all instances, and gives back all room.
    fn clear(&self);

    /// What it has done, and keeps.
    fn metrics(&self) -> InstanceMetrics;
}

/// The budget of an engine, and who has parts of it.
#[derive(Default)]
pub(crate) struct Kept {
    max: Room,
    instances: AtomicUsize,
    bytes: AtomicUsize,
    keepers: Mutex<Keepers>,
}

#[derive(Default)]
struct Keepers {
    /// By number; `None` for numbers that are free.
    all: Vec<Option<Weak<dyn Keeper>>>,
    free: Vec<usize>,
    /// Whose turn it is to give back room.
    turn: usize,
    /// What those have done that are gone.
    gone: InstanceMetrics,
}

impl Kept {
    pub(crate) fn new(max: Room) -> Arc<Kept> {
        Arc::new(Kept {
            max,
            instances: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            keepers: Mutex::default(),
        })
    }

    /// Bytes that one instance may keep.
    pub(crate) fn max_of_one(&self) -> usize {
        self.max.bytes / 4
    }

    /// Whether less than a half of what may be kept is taken.
    pub(crate) fn has_spare(&self) -> bool {
        self.instances.load(Ordering::Relaxed) < self.max.instances / 2
            && self.bytes.load(Ordering::Relaxed) < self.max.bytes / 2
    }

    /// Whether nothing is kept.
    pub(crate) fn is_off(&self) -> bool {
        self.max.instances == 0 || self.max_of_one() == 0
    }

    /// Takes room, or somewhat more, so that nothing need be taken for the next one: what was
    /// taken. If there is not as much, others have to give back some of theirs.
    pub(crate) fn take(&self, room: Room, taker: usize) -> Option<Room> {
        let more = Room {
            bytes: room.bytes.next_multiple_of(BYTES_AT_ONCE),
            ..room
        };
        let mut tries = [more, room].into_iter();
        let found = tries.find(|room| self.try_take(*room));
        found.or_else(|| (self.reclaim(taker) && self.try_take(room)).then_some(room))
    }

    fn try_take(&self, room: Room) -> bool {
        if !take(&self.instances, room.instances, self.max.instances) {
            return false;
        }
        let taken = take(&self.bytes, room.bytes, self.max.bytes);
        if !taken {
            self.instances.fetch_sub(room.instances, Ordering::Relaxed);
        }
        taken
    }

    /// Gives room back.
    pub(crate) fn give_back(&self, room: Room) {
        self.instances.fetch_sub(room.instances, Ordering::Relaxed);
        self.bytes.fetch_sub(room.bytes, Ordering::Relaxed);
    }

    /// Adds a keeper: its number.
    pub(crate) fn register(&self, keeper: Weak<dyn Keeper>) -> usize {
        let mut keepers = fork::lock(&self.keepers);
        match keepers.free.pop() {
            Some(number) => {
                keepers.all[number] = Some(keeper);
                number
            }
            None => {
                keepers.all.push(Some(keeper));
                keepers.all.len() - 1
            }
        }
    }

    /// Removes a keeper, which has done this and gives back its room.
    pub(crate) fn unregister(&self, number: usize, metrics: &InstanceMetrics, room: Room) {
        let mut keepers = fork::lock(&self.keepers);
        keepers.all[number] = None;
        keepers.free.push(number);
        keepers.gone.add(metrics);
        drop(keepers);
        self.give_back(room);
    }

    /// Makes another keeper than `taker` give back room, each in turn; whether one did.
    fn reclaim(&self, taker: usize) -> bool {
        let count = fork::lock(&self.keepers).all.len();
        (0..count).any(|_| {
            let keeper = {
                let mut keepers = fork::lock(&self.keepers);
                let turn = keepers.turn % keepers.all.len();
                keepers.turn = turn + 1;
                let keeper = keepers.all[turn].as_ref().filter(|_| turn != taker);
                keeper.and_then(Weak::upgrade)
            };
            // Not under the lock: an instance that is dropped may be the last that has a keeper.
            keeper.is_some_and(|keeper| keeper.give_back())
        })
    }

    /// Drops all that is kept.
    pub(crate) fn clear(&self) {
        self.keepers().iter().for_each(|keeper| keeper.clear());
    }

    /// What was done, and what is kept.
    pub(crate) fn metrics(&self) -> InstanceMetrics {
        let mut sum = fork::lock(&self.keepers).gone;
        self.keepers()
            .iter()
            .for_each(|keeper| sum.add(&keeper.metrics()));
        sum
    }

    fn keepers(&self) -> Vec<Arc<dyn Keeper>> {
        let keepers = fork::lock(&self.keepers);
        let there = keepers.all.iter().flatten();
        there.filter_map(Weak::upgrade).collect()
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept")
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

/// Takes `count` of what there are `max`; whether there are as many left.
fn take(used: &AtomicUsize, count: usize, max: usize) -> bool {
    let add = |used: usize| used.checked_add(count).filter(|sum| *sum <= max);
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
        .is_ok()
}
