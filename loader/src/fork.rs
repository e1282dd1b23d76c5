//! Locks and threads across `fork`: a child has one thread, and all else as it was at that moment.
//!
//! A lock that another thread held then would never be free again. So the loader's locks are taken
//! through [`lock`], which a fork waits for: in the child all of them are free, and what they
//! protect is whole. The same holds for values that are made once ([`Once`]). A thread of ours that
//! the child does not have is started again ([`generation`] says that it must be). Not covered: the
//! first call of [`install`] itself, libraries that make forks wait, too, for locks which they take
//! when memory is allocated, and stores that other threads use at that moment.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{
    Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

use crate::error::{Context as _, Result};
use crate::sys;
#[cfg(feature = "recycle")]
use crate::sys::cpu_number;

/// How many gates there are: one for each CPU, or so, where instances are made fast enough to wait
/// for each other.
const GATES: usize = if cfg!(feature = "recycle") { 16 } else { 1 };

/// One of them is shared by who holds a lock, all are held alone by who forks. Threads on different
/// CPUs use different ones, so that they do not wait for each other's cache lines.
static GATES_BY_CPU: [Gate; GATES] = [const { Gate(RwLock::new(())) }; GATES];

/// Alone in its cache line, and in the one that is fetched with it.
#[repr(align(128))]
struct Gate(RwLock<()>);

/// All gates, held alone.
type AllGates = [RwLockWriteGuard<'static, ()>; GATES];

/// How often the process and those before it have forked.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// More work to do in the child, on its only thread, when all locks are free.
static IN_CHILD: OnceLock<fn()> = OnceLock::new();

thread_local! {
    /// How many locks this thread holds.
    static HELD: Cell<u32> = const { Cell::new(0) };
    /// Set while this thread forks.
    static FORKING: Cell<Option<AllGates>> = const { Cell::new(None) };
}

/// Makes forks wait for locks, once in a process, and calls `in_child` in each child.
///
/// # Errors
/// If there is not enough memory.
pub(crate) fn install(in_child: fn()) -> Result<()> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _guard = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if IN_CHILD.get().is_none() {
        sys::fork::install(before, after, after_in_child).context("cannot prepare for forks")?;
        IN_CHILD.get_or_init(|| in_child);
    }
    Ok(())
}

/// The number of this process among those that come from one: another one after each fork.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// A lock that is held.
pub(crate) struct Locked<'a, T> {
    // Dropped first.
    guard: MutexGuard<'a, T>,
    _held: Held,
}

/// Takes a lock that panics do not poison, and that no fork comes between. It is not held while the
/// thread waits for anything but another lock, and no code of the host runs meanwhile.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> Locked<'_, T> {
    let held = Held::new();
    Locked {
        guard: mutex.lock().unwrap_or_else(PoisonError::into_inner),
        _held: held,
    }
}

/// A value that is made when it is first needed, and that no fork comes between: a child would wait
/// for ever for the thread that makes it.
#[derive(Debug)]
pub(crate) struct Once<T>(OnceLock<T>);

impl<T> Once<T> {
    pub(crate) const fn new() -> Once<T> {
        Once(OnceLock::new())
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.get()
    }

    /// The value, made by `new` if there is none. While `new` runs, forks wait.
    #[inline]
    pub(crate) fn get_or_init(&self, new: impl FnOnce() -> T) -> &T {
        match self.0.get() {
            Some(value) => value,
            None => self.init(new),
        }
    }

    #[cold]
    fn init(&self, new: impl FnOnce() -> T) -> &T {
        let _held = Held::new();
        self.0.get_or_init(new)
    }
}

/// Keeps forks out until this is dropped, while locks are taken that are not ours.
pub(crate) fn hold() -> impl Sized {
    Held::new()
}

/// That this thread holds a lock: only its first one waits for forks, so that none waits for
/// itself.
struct Held(Option<RwLockReadGuard<'static, ()>>);

impl Held {
    fn new() -> Held {
        let count = HELD.get();
        HELD.set(count + 1);
        Held((count == 0).then(|| {
            #[cfg(feature = "recycle")]
            let gate = &GATES_BY_CPU[cpu_number::current() % GATES];
            #[cfg(not(feature = "recycle"))]
            let [gate] = &GATES_BY_CPU;
            gate.0.read().unwrap_or_else(PoisonError::into_inner)
        }))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // In this order: a signal handler that forks in between does not wait for its own thread.
        drop(self.0.take());
        HELD.set(HELD.get() - 1);
    }
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for Locked<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

extern "C" fn before() {
    // A thread that forks with a lock of its own, in a signal handler, would wait for itself.
    if HELD.get() == 0 {
        let hold = |gate: &'static Gate| gate.0.write().unwrap_or_else(PoisonError::into_inner);
        // In one order, so that two threads that fork do not wait for each other.
        let gates = GATES_BY_CPU.each_ref().map(hold);
        // A destructor of a thread-local may fork after ours was dropped: then they are not held.
        let _ = FORKING.try_with(|forking| forking.set(Some(gates)));
    }
}

extern "C" fn after() {
    let _ = FORKING.try_with(Cell::take);
}

extern "C" fn after_in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    let _ = FORKING.try_with(Cell::take);
    // With a lock of its own (in a signal handler) it cannot use the loader, but can `exec`.
    if HELD.get() == 0
        && let Some(in_child) = IN_CHILD.get()
    {
        in_child();
    }
}
