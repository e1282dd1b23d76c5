//! How engines are made, and their options.

use cwasm_format::read::Host;

use crate::error::Result;
use crate::fork;
use crate::sys;
use crate::vm::deadline;
pub use crate::vm::engine::Engine;
use crate::vm::mappings::Budget;
use crate::vm::parking;
use crate::vm::pool::Pool;
use crate::vm::unwind;

/// Options of an [`Engine`].
#[derive(Clone, Debug)]
pub struct Config {
    max_unused_slots: usize,
    allow_reentrance: bool,
    max_wasm_stack: usize,
    max_mappings: Option<usize>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            max_unused_slots: 64,
            allow_reentrance: true,
            max_wasm_stack: 1 << 20,
            max_mappings: None,
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

    /// Sets how many mappings of memory all instances of the engine may take together; by default half of
    /// what the operating system lets a process have (`vm.max_map_count`, read once; 65,530 if it cannot
    /// be), so that as many are left to the host. A memory takes two, and so do a context that has none,
    /// each large part of an image, which is mapped, and what is [kept](Config::max_unused_slots). What
    /// would take more is refused. Hosts with several engines divide it.
    pub fn max_mappings(&mut self, count: usize) -> &mut Config {
        self.max_mappings = Some(count);
        self
    }

    /// Sets how many bytes of a thread's stack guests may use, 1 MiB by default: a guest that needs more
    /// traps with [`TrapCode::StackOverflow`](crate::TrapCode::StackOverflow). What guests use that wait
    /// on the same thread for host functions counts, and so does what these host functions use. On a
    /// thread that has less, the guest gets what there is, but for 128 KiB (a quarter of a small stack)
    /// that is left for host functions.
    pub fn max_wasm_stack(&mut self, bytes: usize) -> &mut Config {
        self.max_wasm_stack = bytes;
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
        fork::install(|| {
            parking::after_fork();
            deadline::after_fork();
        })?;
        // What is found out once in a process is not left half-way in a child.
        let _held = fork::hold();
        sys::signals::install(unwind::on_fault)?;
        let host = Host {
            target: sys::TARGET,
            cpu_features: sys::cpu::features(),
        };
        let budget = Budget::new(config.max_mappings);
        let pool = Pool::new(config.max_unused_slots, budget);
        Ok(Engine::of(
            host,
            pool,
            config.allow_reentrance,
            config.max_wasm_stack,
        ))
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
