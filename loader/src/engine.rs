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
    allow_reentrance: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            max_unused_slots: 64,
            allow_reentrance: true,
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

    /// Sets whether a component may be entered while it is active, that is, while it waits for a call
    /// of its own; it may by default, as the component model says.
    ///
    /// Without, it is an error ([`TrapCode::CannotEnter`](crate::TrapCode::CannotEnter)) if a host
    /// function enters the component that called it, in whichever of its instances, and if an instance
    /// of a component calls one that it is nested in, or one that is nested in it: for guests whose
    /// libraries keep a lock while they call an import. What it costs is paid only if it is set.
    pub fn allow_reentrance(&mut self, allow: bool) -> &mut Config {
        self.allow_reentrance = allow;
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
        let pool = Pool::new(config.max_unused_slots);
        Ok(Engine::of(host, pool, config.allow_reentrance))
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
