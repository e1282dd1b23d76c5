//! Engines are made here, with their options.

use cwasm_format::read::Host;

use crate::error::Result;
use crate::fork;
use crate::sys;
use crate::vm::deadline;
pub use crate::vm::engine::Engine;
use crate::vm::engine::Rules;
use crate::vm::mappings::Budget;
use crate::vm::parking;
use crate::vm::pool::Pool;
#[cfg(feature = "profile")]
use crate::vm::profile;
#[cfg(feature = "recycle")]
use crate::vm::recycle::kept::{Kept, Room};
use crate::vm::unwind;

/// Options of an [`Engine`].
#[derive(Clone, Debug)]
pub struct Config {
    max_idle_instances: usize,
    #[cfg(feature = "recycle")]
    max_idle_memory: usize,
    #[cfg(feature = "recycle")]
    scan_pages: bool,
    #[cfg(feature = "recycle")]
    fence_pages: bool,
    allow_reentrance: bool,
    max_wasm_stack: usize,
    #[cfg(feature = "async")]
    async_stack_size: Option<usize>,
    #[cfg(feature = "async")]
    schedule_seed: Option<u64>,
    max_mappings: Option<usize>,
}

/// Bytes that the stack of a fiber has beyond what guests may use, if the host does not say more:
/// for host functions.
#[cfg(feature = "async")]
const HOST_STACK: usize = 512 << 10;

impl Default for Config {
    fn default() -> Config {
        Config {
            max_idle_instances: 256,
            #[cfg(feature = "recycle")]
            max_idle_memory: 256 << 20,
            #[cfg(feature = "recycle")]
            scan_pages: true,
            #[cfg(feature = "recycle")]
            fence_pages: true,
            allow_reentrance: true,
            max_wasm_stack: 1 << 20,
            #[cfg(feature = "async")]
            async_stack_size: None,
            #[cfg(feature = "async")]
            schedule_seed: None,
            max_mappings: None,
        }
    }
}

impl Config {
    /// The default options.
    pub fn new() -> Config {
        Config::default()
    }

    /// Sets how many dropped instances are kept for the next ones, of all components together; 256
    /// by default. Nothing of what they had is left in their memory. An instance made by an
    /// [`InstancePre`](crate::InstancePre) that another one has left costs a fraction of a new one.
    /// As many reservations of address space are kept that instances of any kind can use, which is
    /// all that is kept without the crate's feature `recycle`. With 0, nothing is kept but address
    /// space that instances share.
    pub fn max_idle_instances(&mut self, count: usize) -> &mut Config {
        self.max_idle_instances = count;
        self
    }

    /// Sets how many bytes of memory dropped instances may keep, all together; 256 MiB by default.
    /// Pages that an instance has written to stay in memory, so that the next one does not fault
    /// them in again: its image or zeros are copied over them. One instance keeps at most a quarter
    /// of this, and no more than a few times what the first one of its kind has written to; the
    /// rest is given back to the system when the instance is dropped. With 0, address space is all
    /// that is kept. [`Engine::release_unused`] gives back all.
    #[cfg(feature = "recycle")]
    pub fn max_idle_memory(&mut self, bytes: usize) -> &mut Config {
        self.max_idle_memory = bytes;
        self
    }

    /// Sets whether the system is asked which pages a dropped instance has written to
    /// (`PAGEMAP_SCAN`, Linux 6.7, through `/proc/self/pagemap`); it is by default, if it can tell.
    /// Otherwise the instance's memory is given back to the system: the address space is kept, and
    /// each page that the next instance touches is faulted in.
    #[cfg(feature = "recycle")]
    pub fn scan_pages(&mut self, scan: bool) -> &mut Config {
        self.scan_pages = scan;
        self
    }

    /// Sets whether pages are made read-only that kept instances of a component do not write to,
    /// once several of them have written to the same pages; they are by default, if
    /// [`scan_pages`](Config::scan_pages) is possible. Then nothing has to be asked of the system
    /// for an instance, which takes a fraction of the time. If one writes elsewhere after all, the
    /// loader's handler of `SIGSEGV` makes all its pages writable again.
    ///
    /// A host must not let this signal be blocked on threads that call guests, nor install a
    /// handler later that does not pass on what it does not know: as for traps, but here a guest's
    /// usual writes depend on it. In a debugger, `handle SIGSEGV nostop noprint pass` helps.
    #[cfg(feature = "recycle")]
    pub fn fence_pages(&mut self, fence: bool) -> &mut Config {
        self.fence_pages = fence;
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
    /// taken by a memory, a large part of an image, which is mapped, and a reservation that is
    /// [kept](Config::max_idle_instances); more are taken to keep instances ready, but no more than
    /// half of all. Many instances share two if they have no memory, or memories whose accesses are
    /// checked (`--bounds check`; Linux 6.13). An instance that would exceed the limit is refused.
    /// Hosts with several engines divide the mappings among them.
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

    /// Sets how many bytes of stack a call has that can wait for futures of the host
    /// ([`TypedFunc::call_async`](crate::TypedFunc::call_async)); by default 512 KiB more than
    /// [`max_wasm_stack`](Config::max_wasm_stack), for the host's functions. Only what is used
    /// takes memory; each stack takes two mappings. As many are kept for the next calls as
    /// [instances](Config::max_idle_instances).
    #[cfg(feature = "async")]
    pub fn async_stack_size(&mut self, bytes: usize) -> &mut Config {
        self.async_stack_size = Some(bytes);
        self
    }

    /// Chooses at random, by this seed, which of the tasks that can go on does: for tests, which
    /// repeat a schedule with its seed. Without, they take turns. The choice of a store depends on
    /// what runs in it only.
    #[cfg(feature = "async")]
    pub fn schedule_seed(&mut self, seed: u64) -> &mut Config {
        self.schedule_seed = Some(seed);
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
            #[cfg(feature = "profile")]
            profile::after_fork();
            #[cfg(feature = "recycle")]
            sys::pagemap::after_fork();
        })?;
        // A fork must not leave the initialisation of a process half done in the child.
        let _held = fork::hold();
        sys::signals::install(unwind::on_fault)?;
        #[cfg(feature = "profile")]
        profile::install();
        let host = Host {
            target: sys::TARGET,
            cpu_features: sys::cpu::features(),
        };
        let budget = Budget::new(config.max_mappings);
        let pool = Pool::new(config.max_idle_instances, budget);
        #[cfg(feature = "recycle")]
        let pool = {
            if config.scan_pages {
                sys::pagemap::open();
            }
            pool.with_kept(Kept::new(Room {
                instances: config.max_idle_instances,
                bytes: config.max_idle_memory,
            }))
        };
        let rules = Rules {
            allows_reentrance: config.allow_reentrance,
            max_wasm_stack: config.max_wasm_stack,
            #[cfg(feature = "async")]
            schedule_seed: config.schedule_seed,
            #[cfg(feature = "async")]
            async_stack_size: config
                .async_stack_size
                .unwrap_or_else(|| config.max_wasm_stack.saturating_add(HOST_STACK)),
            #[cfg(feature = "async")]
            max_idle_stacks: config.max_idle_instances,
            #[cfg(feature = "recycle")]
            scans_pages: config.scan_pages,
            #[cfg(feature = "recycle")]
            fences_pages: config.fence_pages && config.scan_pages,
        };
        Ok(Engine::of(host, pool, rules))
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
