//! Engines: what all components of a process share.

use std::sync::Arc;

use cwasm_format::read::Host;

use super::deadline::Timer;
use super::pool::Pool;
use super::type_ids::TypeRegistry;

/// The state that components and stores share: options, address space, a timer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine(Arc<EngineInner>);

#[derive(Debug)]
struct EngineInner {
    host: Host,
    allows_reentrance: bool,
    types: Arc<TypeRegistry>,
    pool: Pool,
    timer: Timer,
    max_wasm_stack: usize,
}

impl Engine {
    /// An engine for code of this host, with this pool, whose instances may be entered while they
    /// are active or not, and whose guests may use so many bytes of stack.
    pub(crate) fn of(
        host: Host,
        pool: Pool,
        allows_reentrance: bool,
        max_wasm_stack: usize,
    ) -> Engine {
        Engine(Arc::new(EngineInner {
            host,
            allows_reentrance,
            types: Arc::default(),
            pool,
            timer: Timer::default(),
            max_wasm_stack,
        }))
    }

    pub(crate) fn host(&self) -> &Host {
        &self.0.host
    }

    /// Whether instances may be entered while they are active.
    pub(crate) fn allows_reentrance(&self) -> bool {
        self.0.allows_reentrance
    }

    /// Address space for instances.
    pub(crate) fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// The deadlines of stores.
    pub(crate) fn timer(&self) -> &Timer {
        &self.0.timer
    }

    /// Whether both are the same engine.
    pub(crate) fn same(&self, other: &Engine) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The core function types of the engine's instances.
    pub(crate) fn types(&self) -> &Arc<TypeRegistry> {
        &self.0.types
    }

    /// Bytes of stack that the guests of a store may use.
    pub(crate) fn max_wasm_stack(&self) -> usize {
        self.0.max_wasm_stack
    }
}
