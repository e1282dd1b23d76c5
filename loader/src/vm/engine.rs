//! Engines: what all components of a process share.

use std::sync::Arc;

use cwasm_format::read::Host;

use super::deadline::Timer;
use super::pool::Pool;
#[cfg(feature = "recycle")]
use super::recycle::kept::{InstanceMetrics, Kept};
#[cfg(feature = "async")]
use super::stacks::Stacks;
use super::type_ids::TypeRegistry;
#[cfg(feature = "metrics")]
use crate::counters::Counters;
use crate::spread::Spread;

/// The state that components and stores share: options, address space, a timer. Cheap to clone,
/// also on many threads at once.
#[derive(Clone, Debug)]
pub struct Engine(Spread<EngineInner>);

#[derive(Debug)]
struct EngineInner {
    host: Host,
    types: Arc<TypeRegistry>,
    pool: Pool,
    timer: Timer,
    #[cfg(feature = "metrics")]
    counters: Arc<Counters>,
    #[cfg(feature = "async")]
    stacks: Stacks,
    rules: Rules,
}

/// Options that are looked at while instances are made and run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Whether instances may be entered while they are active.
    pub(crate) allows_reentrance: bool,
    /// Bytes of stack that the guests of a store may use.
    pub(crate) max_wasm_stack: usize,
    /// Bytes of the stack of a fiber.
    #[cfg(feature = "async")]
    pub(crate) async_stack_size: usize,
    /// Of the order in which tasks go on.
    #[cfg(feature = "async")]
    pub(crate) schedule_seed: Option<u64>,
    /// Stacks of fibers that are kept.
    #[cfg(feature = "async")]
    pub(crate) max_idle_stacks: usize,
    /// Whether the system is asked which pages were written to.
    #[cfg(feature = "recycle")]
    pub(crate) scans_pages: bool,
    /// Whether pages that instances do not write to are made read-only.
    #[cfg(feature = "recycle")]
    pub(crate) fences_pages: bool,
}

impl Engine {
    /// An engine for code of this host, with this pool.
    pub(crate) fn of(host: Host, pool: Pool, rules: Rules) -> Engine {
        Engine(Spread::new(EngineInner {
            host,
            types: Arc::default(),
            pool,
            timer: Timer::default(),
            #[cfg(feature = "metrics")]
            counters: Arc::default(),
            #[cfg(feature = "async")]
            stacks: Stacks::new(rules.max_idle_stacks, rules.async_stack_size),
            rules,
        }))
    }

    /// What was done to have instances ready, and what is kept for the next ones.
    #[cfg(feature = "recycle")]
    pub fn instance_metrics(&self) -> InstanceMetrics {
        self.kept().metrics()
    }

    /// Gives the memory and address space back to the system that are kept of dropped instances:
    /// for a host that has nothing to do for a while, or needs memory. The next instances take
    /// longer.
    pub fn release_unused(&self) {
        self.0.pool.release();
        #[cfg(feature = "async")]
        self.0.stacks.release();
    }

    pub(crate) fn host(&self) -> &Host {
        &self.0.host
    }

    /// The seed of the order in which tasks go on.
    #[cfg(feature = "async")]
    pub(crate) fn schedule_seed(&self) -> Option<u64> {
        self.0.rules.schedule_seed
    }

    /// Whether instances may be entered while they are active.
    pub(crate) fn allows_reentrance(&self) -> bool {
        self.0.rules.allows_reentrance
    }

    /// Address space for instances.
    pub(crate) fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// What is kept of dropped instances.
    #[cfg(feature = "recycle")]
    pub(crate) fn kept(&self) -> &Arc<Kept> {
        self.0.pool.kept()
    }

    /// Whether the system is asked which pages of an instance were written to.
    #[cfg(feature = "recycle")]
    pub(crate) fn scans_pages(&self) -> bool {
        self.0.rules.scans_pages
    }

    /// Whether pages that instances do not write to are made read-only.
    #[cfg(feature = "recycle")]
    pub(crate) fn fences_pages(&self) -> bool {
        self.0.rules.fences_pages
    }

    /// Stacks for fibers.
    #[cfg(feature = "async")]
    pub(crate) fn stacks(&self) -> &Stacks {
        &self.0.stacks
    }

    /// What is counted.
    #[cfg(feature = "metrics")]
    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.0.counters
    }

    /// The deadlines of stores.
    pub(crate) fn timer(&self) -> &Timer {
        &self.0.timer
    }

    /// Whether both are the same engine.
    pub(crate) fn same(&self, other: &Engine) -> bool {
        self.0.same(&other.0)
    }

    /// The core function types of the engine's instances.
    pub(crate) fn types(&self) -> &Arc<TypeRegistry> {
        &self.0.types
    }

    /// Bytes of stack that the guests of a store may use.
    pub(crate) fn max_wasm_stack(&self) -> usize {
        self.0.rules.max_wasm_stack
    }
}
