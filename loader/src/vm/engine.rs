//! Engines: what all components of a process share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cwasm_format::read::Host;

use super::deadline::Timer;
use super::pool::Pool;

/// What all components and stores share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine(Arc<EngineInner>);

#[derive(Debug)]
struct EngineInner {
    host: Host,
    allows_reentrance: bool,
    types: Mutex<Types>,
    pool: Pool,
    timer: Timer,
}

/// Core function types, in their encoding, and their numbers.
#[derive(Debug, Default)]
struct Types {
    ids: HashMap<Arc<[u8]>, u32>,
    bytes: Vec<Arc<[u8]>>,
}

impl Engine {
    /// An engine for code of this host, with this pool, whose instances may be entered while they are
    /// active or not.
    pub(crate) fn of(host: Host, pool: Pool, allows_reentrance: bool) -> Engine {
        Engine(Arc::new(EngineInner {
            host,
            allows_reentrance,
            types: Mutex::default(),
            pool,
            timer: Timer::default(),
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

    /// The number of a core function type, which equal types share.
    pub(crate) fn type_id(&self, core_type: &[u8]) -> u32 {
        let mut types = self.types();
        if let Some(id) = types.ids.get(core_type) {
            return *id;
        }
        let id = types.bytes.len() as u32;
        let bytes: Arc<[u8]> = core_type.into();
        types.bytes.push(Arc::clone(&bytes));
        types.ids.insert(bytes, id);
        id
    }

    /// The encoding of the core function type of this number.
    pub(crate) fn type_bytes(&self, id: u32) -> Option<Arc<[u8]>> {
        self.types().bytes.get(id as usize).cloned()
    }

    fn types(&self) -> MutexGuard<'_, Types> {
        self.0.types.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
