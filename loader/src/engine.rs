//! Engines are made here, with their options.

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
    max_idle_reservations: usize,
    allow_reentrance: bool,
    max_wasm_stack: usize,
    max_mappings: Option<usize>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            max_idle_reservations: 64,
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

    /// Sets how many reservations of address space are kept of dropped instances for the next ones;
    /// 64 by default. Only address space is kept: its pages are given back to the operating system,
    /// and nothing of the instance is left in it. With 0, each instance reserves address space of
    /// its own.
    pub fn max_idle_reservations(&mut self, count: usize) -> &mut Config {
        self.max_idle_reservations = count;
        self
    }

    /// Sets whether a component may be entered while it is active, that is, while it waits for a
    /// call of its own; it may by default, as in the component model.
    ///
    /// If not, it is an error ([`TrapCode::CannotEnter`](crate::TrapCode::CannotEnter)) if a host
    /// function enters the component that called it, in any of its instances, and if an instance of
    /// a component calls one that it is nested in, or one that is nested in it: for guests whose
    /// libraries hold a lock while they call an import. Only hosts that forbid it pay for the
    /// check.
    pub fn allow_reentrance(&mut self, allow: bool) -> &mut Config {
        self.allow_reentrance = allow;
        self
    }

    /// Sets how many mappings of memory all instances of the engine may take together; by default
    /// half of those that the operating system lets a process have (`vm.max_map_count`, read once;
    /// 65,530 if it cannot be read), so that as many are left to the host. Two mappings each are
    /// taken by a memory, an instance without a memory, a large part of an image, which is mapped,
    /// and a reservation that is [kept](Config::max_idle_reservations). An instance that would
    /// exceed the limit is refused. Hosts with several engines divide the mappings among them.
    pub fn max_mappings(&mut self, count: usize) -> &mut Config {
        self.max_mappings = Some(count);
        self
    }

    /// Sets how many bytes of a thread's stack guests may use, 1 MiB by default: a guest that needs
    /// more traps with [`TrapCode::StackOverflow`](crate::TrapCode::StackOverflow). The stack of
    /// guests of the same store that wait on the thread for host functions counts, and so does the
    /// stack of these host functions. On a thread that has less, the guest gets the whole stack but
    /// for 128 KiB (a quarter of a small stack), which are left for host functions.
    pub fn max_wasm_stack(&mut self, bytes: usize) -> &mut Config {
        self.max_wasm_stack = bytes;
        self
    }
}

impl Engine {
    /// An engine with these options. The first one of a process installs the handlers of the
    /// signals that traps raise; the handlers that were installed before are called for all other
    /// signals.
    ///
    /// # Errors
    /// If the operating system refuses the signal handlers.
    pub fn new(config: &Config) -> Result<Engine> {
        fork::install(|| {
            parking::after_fork();
            deadline::after_fork();
        })?;
        // A fork must not leave the initialisation of a process half done in the child.
        let _held = fork::hold();
        sys::signals::install(unwind::on_fault)?;
        let host = Host {
            target: sys::TARGET,
            cpu_features: sys::cpu::features(),
        };
        let budget = Budget::new(config.max_mappings);
        let pool = Pool::new(config.max_idle_reservations, budget);
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
