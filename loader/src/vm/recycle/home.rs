//! Where instances go when they are dropped, and where the next ones come from.
//!
//! ```text
//! InstancePre -> Homes -> Home of CPU 0 -> instances that nobody uses
//!                          ^
//! an instance in a store --'
//! ```
//!
//! Each linked component has a home on each CPU. An instance that is made there comes back to it,
//! so that threads on different CPUs share nothing that is written, and an instance of the same
//! component finds its images, types and imports in place.
//!
//! Some are not clean yet: where threads on several CPUs drop instances whose memory has grown, a
//! home gathers some before it makes all of them clean (`marks`). For that it needs as many.

use std::any::Any;
use std::sync::{Arc, Mutex, Weak};

use crate::artifact::plan::InstancePlan;
use crate::fork::{self, Locked};
use crate::spread::ByCpu;
use crate::trace;
use crate::vm::instance::InstanceData;
use crate::vm::limits::StoreLimits;
use crate::vm::recycle::crowd::Crowd;
use crate::vm::recycle::kept::{InstanceMetrics, Keeper, Kept, Room};
use crate::vm::recycle::marks::gather;
use crate::vm::recycle::reset::Reset;

/// Instances that are gathered.
const GATHERED: usize = 16;
/// Bytes that they keep, at most.
const GATHERED_BYTES: usize = 4 << 20;

/// The homes of one linked component.
pub(crate) struct Homes {
    /// Owner of what the imports of instances point to.
    imports: Arc<dyn Any + Send + Sync>,
    kept: Arc<Kept>,
    by_cpu: ByCpu<Arc<Home>>,
}

/// The home of instances on one CPU. Aligned so that no two share a cache line.
#[repr(align(128))]
pub(crate) struct Home {
    state: Mutex<State>,
    crowd: Crowd,
    kept: Arc<Kept>,
    /// Its number among those who keep something of the engine's.
    number: usize,
    _imports: Arc<dyn Any + Send + Sync>,
}

#[derive(Default)]
struct State {
    /// Clean, and with nothing that keeps the home. The one that was used last is at the back.
    idle: Vec<Idle>,
    /// Clean but for the memory that they have grown by.
    grown: Vec<Idle>,
    /// Bytes that both keep.
    bytes: usize,
    /// What was taken of the engine's budget.
    room: Room,
    metrics: InstanceMetrics,
}

/// An instance that nobody uses.
struct Idle {
    data: Arc<InstanceData>,
    /// Bytes that it keeps.
    bytes: usize,
    /// Those among them that are not clean.
    left_grown: usize,
}

/// What a home has for who makes an instance.
enum Taken {
    Instance(Arc<InstanceData>),
    /// Nothing yet: with a new one, there are more to gather.
    More,
    Nothing,
}

impl State {
    /// The room that is missing for one more instance that keeps so many bytes.
    fn missing(&self, bytes: usize) -> Room {
        let bytes = (self.bytes + bytes).saturating_sub(self.room.bytes);
        Room {
            instances: (self.count() + 1).saturating_sub(self.room.instances),
            bytes,
        }
    }

    fn count(&self) -> usize {
        self.idle.len() + self.grown.len()
    }

    /// Takes those that are gathered.
    fn take_grown(&mut self) -> Vec<Idle> {
        let grown = std::mem::take(&mut self.grown);
        self.bytes -= grown.iter().map(|idle| idle.bytes).sum::<usize>();
        grown
    }
}

impl Homes {
    /// Homes for instances whose imports point to what `imports` owns.
    pub(crate) fn new(imports: Arc<dyn Any + Send + Sync>, kept: &Arc<Kept>) -> Homes {
        Homes {
            imports,
            kept: Arc::clone(kept),
            by_cpu: ByCpu::new(),
        }
    }

    /// The home on this CPU.
    pub(crate) fn current(&self) -> &Arc<Home> {
        self.by_cpu.current(|| Home::new(&self.imports, &self.kept))
    }

    /// An instance that was kept in `home`, or else in another one, if it can have these limits.
    pub(crate) fn take(
        &self,
        home: &Home,
        plan: &InstancePlan,
        limits: &StoreLimits,
    ) -> Option<Arc<InstanceData>> {
        let found = match home.take(plan, limits, true) {
            Taken::Instance(data) => Some(data),
            Taken::More => None,
            Taken::Nothing => {
                let mut others = self.by_cpu.iter();
                others.find_map(|other| match other.take(plan, limits, false) {
                    Taken::Instance(data) => Some(data),
                    Taken::More | Taken::Nothing => None,
                })
            }
        };
        if found.is_none() {
            home.state().metrics.made += 1;
        }
        found
    }
}

impl Home {
    fn new(imports: &Arc<dyn Any + Send + Sync>, kept: &Arc<Kept>) -> Arc<Home> {
        Arc::new_cyclic(|home: &Weak<Home>| Home {
            state: Mutex::default(),
            crowd: Crowd::default(),
            kept: Arc::clone(kept),
            number: kept.register(Weak::clone(home) as _),
            _imports: Arc::clone(imports),
        })
    }

    /// Keeps an instance that its store does not need any more, if there may be more of its kind;
    /// drops it otherwise.
    pub(crate) fn retire(self: Arc<Home>, mut data: Arc<InstanceData>) {
        // Without others that have the home, nobody makes instances there.
        if self.kept.is_off() || Arc::strong_count(&self) == 1 {
            return;
        }
        let Some(instance) = Arc::get_mut(&mut data) else {
            return;
        };
        match instance.reset(&self.crowd) {
            Ok(reset) => {
                if self.keep(data, &reset) {
                    let grown = self.state().take_grown();
                    self.clean(grown);
                }
            }
            Err(_) => {
                self.state().metrics.dropped += 1;
                trace::event!(DEBUG, "instance dropped");
            }
        }
    }

    fn state(&self) -> Locked<'_, State> {
        fork::lock(&self.state)
    }

    /// An instance that is clean. If there is none, `may_gather` says whether there may be a new
    /// one instead of one of those that are gathered.
    fn take(&self, plan: &InstancePlan, limits: &StoreLimits, may_gather: bool) -> Taken {
        let mut state = self.state();
        if state.idle.is_empty() && !state.grown.is_empty() {
            if may_gather && self.is_gathering(&state) {
                return Taken::More;
            }
            let grown = state.take_grown();
            drop(state);
            self.clean(grown);
            state = self.state();
        }
        let idle = state.idle.pop_if(|idle| idle.data.fits(plan, limits));
        let Some(idle) = idle else {
            return Taken::Nothing;
        };
        state.bytes -= idle.bytes;
        state.metrics.reused += 1;
        Taken::Instance(idle.data)
    }

    /// Whether there should be more instances before those that have grown are made clean.
    #[cold]
    fn is_gathering(&self, state: &State) -> bool {
        let bytes: usize = state.grown.iter().map(|idle| idle.bytes).sum();
        let has_room = |idle: &Idle| idle.data.memory().has_spare();
        self.crowd.is_there()
            && state.grown.len() < GATHERED
            && bytes < GATHERED_BYTES
            && self.kept.has_spare()
            && state.grown.last().is_some_and(has_room)
    }

    /// Makes instances clean whose memory has grown, all together, and keeps them.
    #[cold]
    fn clean(&self, grown: Vec<Idle>) {
        gather(grown.iter().map(|idle| &*idle.data));
        for mut idle in grown {
            let instance = Arc::get_mut(&mut idle.data);
            let is_clean = instance.is_some_and(|instance| instance.cover().is_ok());
            let mut state = self.state();
            if !is_clean {
                state.metrics.dropped += 1;
                drop(state);
                continue;
            }
            state.metrics.gathered += 1;
            drop(state);
            let clean = Reset {
                resident: idle.bytes - idle.left_grown,
                ..Reset::default()
            };
            // As it is clean, it makes none of those complete that are not.
            self.keep(idle.data, &clean);
        }
    }

    /// Keeps an instance that was reset, if there is room; drops it otherwise. Whether those that
    /// are gathered are to be made clean now.
    fn keep(&self, data: Arc<InstanceData>, reset: &Reset) -> bool {
        trace::event!(
            TRACE,
            copied = reset.copied,
            resident = reset.resident,
            emptied = reset.emptied,
            fenced = reset.fenced,
            "instance recycled"
        );
        let mut state = self.state();
        state.metrics.copied_bytes += reset.copied as u64;
        state.metrics.emptied += u64::from(reset.emptied);
        state.metrics.fenced += u64::from(reset.fenced);
        let idle = Idle {
            data,
            bytes: reset.resident,
            left_grown: reset.left_grown,
        };
        loop {
            let missing = state.missing(idle.bytes);
            if missing == Room::default() {
                break;
            }
            // Others may have to give back room, which takes their locks.
            drop(state);
            let taken = self.kept.take(missing, self.number);
            state = self.state();
            let Some(taken) = taken else {
                if idle.left_grown != 0 {
                    // At once: those that are clean keep less.
                    state.bytes += idle.bytes;
                    state.grown.push(idle);
                    return true;
                }
                state.metrics.dropped += 1;
                drop(state);
                drop(idle);
                trace::event!(TRACE, "instance dropped");
                return false;
            };
            state.room.instances += taken.instances;
            state.room.bytes += taken.bytes;
        }
        state.bytes += idle.bytes;
        if idle.left_grown == 0 {
            state.idle.push(idle);
            return false;
        }
        state.grown.push(idle);
        state.grown.len() >= GATHERED
    }
}

impl Keeper for Home {
    fn give_back(&self) -> bool {
        let mut state = self.state();
        // The one that was used longest ago.
        let is_full = state.count() != 0 && state.count() >= state.room.instances;
        let oldest = match state.idle.is_empty() {
            _ if !is_full => None,
            true => Some(state.grown.remove(0)),
            false => Some(state.idle.remove(0)),
        };
        if let Some(oldest) = &oldest {
            state.bytes -= oldest.bytes;
        }
        let unused = Room {
            instances: state.room.instances.saturating_sub(state.count()),
            bytes: state.room.bytes.saturating_sub(state.bytes),
        };
        state.room.instances -= unused.instances;
        state.room.bytes -= unused.bytes;
        drop(state);
        drop(oldest);
        self.kept.give_back(unused);
        unused != Room::default()
    }

    fn clear(&self) {
        let mut state = self.state();
        let room = std::mem::take(&mut state.room);
        let idle = std::mem::take(&mut state.idle);
        let grown = std::mem::take(&mut state.grown);
        state.bytes = 0;
        drop(state);
        drop((idle, grown));
        self.kept.give_back(room);
    }

    fn metrics(&self) -> InstanceMetrics {
        let state = self.state();
        InstanceMetrics {
            idle: state.count(),
            idle_bytes: state.bytes,
            ..state.metrics
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        let state = state.unwrap_or_else(std::sync::PoisonError::into_inner);
        self.kept
            .unregister(self.number, &state.metrics, state.room);
    }
}
