//! Engines: what all components of a process share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cwasm_format::read::Host;

use crate::error::Result;
use crate::sys;
use crate::vm::deadline::Timer;
use crate::vm::pool::Pool;
use crate::vm::unwind;

/// Options of an [`Engine`].
#[derive(Clone, Debug)]
pub struct Config {
    max_unused_slots: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            max_unused_slots: 64,
        }
    }
}

impl Config {
    /// The default options.
    pub fn new() -> Config {
        Config::default()
    }

    /// Sets how many slots of dropped instances are kept for the next ones; 64 by default. Only
    /// address space is kept: a slot's pages are given back to the operating system, and nothing
    /// of the instance is left in it. With 0, each instance reserves address space of its own.
    pub fn max_unused_slots(&mut self, count: usize) -> &mut Config {
        self.max_unused_slots = count;
        self
    }
}

/// What all components and stores share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine(Arc<EngineInner>);

#[derive(Debug)]
struct EngineInner {
    host: Host,
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
    /// An engine with these options. The first one of a process installs the handlers of the
    /// signals that traps raise; handlers that were there before are called for signals that are
    /// not ours.
    ///
    /// # Errors
    /// If the operating system refuses the signal handlers.
    pub fn new(config: &Config) -> Result<Engine> {
        sys::signals::install(unwind::on_fault)?;
        let host = Host {
            target: sys::cpu::TARGET,
            cpu_features: sys::cpu::features(),
        };
        Ok(Engine(Arc::new(EngineInner {
            host,
            types: Mutex::default(),
            pool: Pool::new(config.max_unused_slots),
            timer: Timer::default(),
        })))
    }

    pub(crate) fn host(&self) -> &Host {
        &self.0.host
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

impl Default for Engine {
    /// An engine with the default options.
    ///
    /// # Panics
    /// If the operating system refuses the signal handlers.
    fn default() -> Engine {
        match Engine::new(&Config::new()) {
            Ok(engine) => engine,
            Err(error) => panic!("cannot create an engine: {error:?}"),
        }
    }
}
