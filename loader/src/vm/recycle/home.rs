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

use std::any::Any;
use std::sync::{Arc, Mutex, Weak};

use crate::artifact::plan::InstancePlan;
use crate::fork::{self, Locked};
use crate::spread::ByCpu;
use crate::vm::instance::InstanceData;
use crate::vm::limits::StoreLimits;
use crate::vm::recycle::kept::{InstanceMetrics, Keeper, Kept, Room};
use crate::vm::recycle::reset::Reset;

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
    kept: Arc<Kept>,
    /// Its number among those who keep something of the engine's.
    number: usize,
    _imports: Arc<dyn Any + Send + Sync>,
}

#[derive(Default)]
struct State {
    /// Clean, and with nothing that keeps the home. The one that was used last is at the back.
    idle: Vec<Idle>,
    /// Bytes that they keep.
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
}

impl State {
    /// The room that is missing for one more instance that keeps so many bytes.
    fn missing(&self, bytes: usize) -> Room {
        let bytes = (self.bytes + bytes).saturating_sub(self.room.bytes);
        Room {
            instances: (self.idle.len() + 1).saturating_sub(self.room.instances),
            bytes,
        }
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
        let found = home.take(plan, limits);
        let found = found.or_else(|| {
            let mut others = self.by_cpu.iter();
            others.find_map(|other| other.take(plan, limits))
        });
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
        match instance.reset() {
            Ok(reset) => self.keep(data, &reset),
            Err(_) => self.state().metrics.dropped += 1,
        }
    }

    fn state(&self) -> Locked<'_, State> {
        fork::lock(&self.state)
    }

    fn take(&self, plan: &InstancePlan, limits: &StoreLimits) -> Option<Arc<InstanceData>> {
        let mut state = self.state();
        let idle = state.idle.pop_if(|idle| idle.data.fits(plan, limits))?;
        state.bytes -= idle.bytes;
        state.metrics.reused += 1;
        Some(idle.data)
    }

    /// Keeps an instance that was reset, if there is room; drops it otherwise.
    fn keep(&self, data: Arc<InstanceData>, reset: &Reset) {
        let mut state = self.state();
        state.metrics.copied_bytes += reset.copied as u64;
        state.metrics.emptied += u64::from(reset.emptied);
        state.metrics.fenced += u64::from(reset.fenced);
        loop {
            let missing = state.missing(reset.resident);
            if missing == Room::default() {
                break;
            }
            // Others may have to give back room, which takes their locks.
            drop(state);
            let taken = self.kept.take(missing, self.number);
            state = self.state();
            let Some(taken) = taken else {
                state.metrics.dropped += 1;
                drop(state);
                drop(data);
                return;
            };
            state.room.instances += taken.instances;
            state.room.bytes += taken.bytes;
        }
        state.bytes += reset.resident;
        state.idle.push(Idle {
            data,
            bytes: reset.resident,
        });
    }
}

impl Keeper for Home {
    fn give_back(&self) -> bool {
        let mut state = self.state();
        // The one that was used longest ago.
        let oldest = match state.idle.len() {
            used if used != 0 && used >= state.room.instances => Some(state.idle.remove(0)),
            _ => None,
        };
        if let Some(oldest) = &oldest {
            state.bytes -= oldest.bytes;
        }
        let unused = Room {
            instances: state.room.instances.saturating_sub(state.idle.len()),
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
        state.bytes = 0;
        drop(state);
        drop(idle);
        self.kept.give_back(room);
    }

    fn metrics(&self) -> InstanceMetrics {
        let state = self.state();
        InstanceMetrics {
            idle: state.idle.len(),
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
