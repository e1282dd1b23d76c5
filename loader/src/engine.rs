//! How engines are made, and their options.

use cwasm_format::read::Host;

use crate::error::Result;
use crate::sys;
pub use crate::vm::engine::Engine;
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
            target: sys::TARGET,
            cpu_features: sys::cpu::features(),
        };
        Ok(Engine::of(host, Pool::new(config.max_unused_slots)))
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
