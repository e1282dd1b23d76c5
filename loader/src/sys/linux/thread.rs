//! Threads that enter wasm need a stack for signal handlers, signals that reach them, and a stack
//! of a known size.
//!
//! ```text
//! low           limit                  stack pointer         high
//! | HOST_STACK  | wasm that is entered | the host's frames    |
//! ```
//!
//! The stacks of threads have guard pages, and ends that stay. The main thread's has neither: the
//! kernel lets it grow where it is touched, until a limit or something else is in the way. So it is
//! made to grow as far as wasm and its host functions need *before* wasm is entered, and only that
//! counts.
#![allow(unsafe_code, reason = "asks the system about the thread's stacks")]

use std::cell::{Cell, OnceCell};
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;
#[cfg(feature = "profile")]
use std::sync::OnceLock;
#[cfg(feature = "profile")]
use std::sync::atomic::{Ordering, compiler_fence};

use crate::error::{Context as _, Error, Result};

use super::memory::Reservation;
use super::signals;
use crate::sys::PAGE_SIZE;
#[cfg(feature = "profile")]
use crate::sys::frames::read_word;
use crate::sys::registers::stack_pointer;

/// Bytes of stack that wasm leaves for the host functions it calls.
const HOST_STACK: usize = 128 << 10;

/// Bytes of stack that recursion of the host's leaves for what it calls then.
const RESERVE: usize = 32 << 10;

/// Bytes below which a signal stack that is already there is replaced: the kernel's frame alone
/// takes up to 11 KiB with all vector registers.
const MIN_SIGNAL_STACK: usize = 32 << 10;

/// Bytes of our own signal stacks, without the guard page.
const SIGNAL_STACK: usize = 64 << 10;

/// Bytes below the end of a stack that a fault may be at.
const GUARD_GAP: usize = 1 << 20;

/// The bounds of this thread's stack; zeros before they were asked for.
#[cfg_attr(feature = "async", derive(Clone))]
struct Bounds {
    /// Lowest stack pointer with which the host may be called or wasm be entered.
    limit: Cell<usize>,
    /// Bytes between it and the highest address of the stack.
    room: Cell<usize>,
    /// Lowest address of the stack that is known to be there.
    low: Cell<usize>,
    /// The end: one past its highest address.
    high: Cell<usize>,
    /// Bytes above `low` at which recursion of the host's ends.
    reserve: Cell<usize>,
    /// Whether the kernel may let it grow beyond: the main thread's.
    grows: Cell<bool>,
    /// Whether that was tried and refused.
    is_grown: Cell<bool>,
}

impl Bounds {
    /// Sets both ends. A profiler that interrupts this finds those from before, none, or the new
    /// ones.
    fn set_stack(&self, low: usize, high: usize) {
        #[cfg(feature = "profile")]
        {
            self.high.set(0);
            compiler_fence(Ordering::SeqCst);
        }
        self.low.set(low);
        #[cfg(feature = "profile")]
        compiler_fence(Ordering::SeqCst);
        self.high.set(high);
    }

    #[cfg(feature = "async")]
    fn set(&self, other: &Bounds) {
        self.limit.set(other.limit.get());
        self.room.set(other.room.get());
        self.set_stack(other.low.get(), other.high.get());
        self.reserve.set(other.reserve.get());
        self.grows.set(other.grows.get());
        self.is_grown.set(other.is_grown.get());
    }
}

thread_local! {
    // Without destructor and lazy initialisation: signal handlers read it.
    static BOUNDS: Bounds = const {
        Bounds {
            limit: Cell::new(0),
            room: Cell::new(0),
            low: Cell::new(0),
            high: Cell::new(0),
            reserve: Cell::new(0),
            grows: Cell::new(false),
            is_grown: Cell::new(false),
        }
    };
    static OWN_SIGNAL_STACK: OnceCell<SignalStack> = const { OnceCell::new() };
}

/// The lowest stack pointer for wasm that is entered now and may use `max` bytes of stack. It is
/// below the current one; `None` if too little stack is left. Makes the thread ready for traps
/// first, if it is not.
///
/// # Errors
/// If the thread cannot be made ready, or runs on another stack than its own.
#[inline(always)]
pub(crate) fn enter(max: usize) -> Result<Option<usize>> {
    let pointer = stack_pointer();
    let (lowest, room) = BOUNDS.with(|bounds| (bounds.limit.get(), bounds.room.get()));
    let left = pointer.wrapping_sub(lowest);
    // Before the thread is ready there is no room.
    if left < room && left >= max {
        return Ok(Some(pointer - max));
    }
    enter_slowly(pointer, max)
}

/// Whether the stack pointer is above this address, which is on this thread's stack; `None` if it
/// is on another one.
pub(crate) fn has_room_above(address: usize) -> Option<bool> {
    let stack = BOUNDS.with(|bounds| bounds.low.get()..bounds.high.get());
    let is_on_stack = stack.contains(&address);
    is_on_stack.then(|| address <= stack_pointer())
}

/// One past the highest address of this thread's stack, which must have entered wasm.
pub(crate) fn stack_end() -> usize {
    BOUNDS.with(|bounds| bounds.high.get())
}

/// Runs `body` with the stack of these addresses as this thread's: `body` switches to it, and back
/// before it returns.
///
/// # Errors
/// If the thread cannot be made ready for traps.
#[cfg(feature = "async")]
pub(crate) fn with_stack<R>(stack: Range<usize>, body: impl FnOnce() -> R) -> Result<R> {
    let before = BOUNDS.with(|bounds| {
        if bounds.room.get() == 0 {
            prepare(bounds)?;
        }
        let before = bounds.clone();
        bounds.grows.set(false);
        set_ends(bounds, stack.start, stack.end);
        Ok::<_, Error>(before)
    })?;
    let result = body();
    BOUNDS.with(|bounds| bounds.set(&before));
    Ok(result)
}

/// Addresses at which a fault near the stack pointer, up to `distance` above the end of the stack,
/// says that the stack is exhausted; none, if the thread was not made ready. Safe in signal
/// handlers.
pub(crate) fn overflow_range(distance: usize) -> Range<usize> {
    BOUNDS.with(|bounds| match (bounds.low.get(), bounds.grows.get()) {
        (0, _) => 0..0,
        // It may have grown since, or have been refused to at any place.
        (low, true) => 0..low + distance,
        (low, false) => low.saturating_sub(GUARD_GAP)..low + distance,
    })
}

/// Whether this thread has stack left for recursion that takes so many more bytes, and some for
/// what is called then. True where that is not known, as on the stack of a coroutine.
#[inline]
pub(crate) fn has_stack(bytes: usize) -> bool {
    let pointer = stack_pointer();
    let (low, reserve) = BOUNDS.with(|bounds| (bounds.low.get(), bounds.reserve.get()));
    let known = low != 0 && pointer >= low;
    (known && pointer - low >= reserve.saturating_add(bytes)) || has_stack_slowly(bytes)
}

#[cold]
#[inline(never)]
fn has_stack_slowly(bytes: usize) -> bool {
    BOUNDS.with(|bounds| {
        if bounds.low.get() == 0 {
            let Ok(stack) = find_stack() else { return true };
            bounds.grows.set(stack.grows);
            set_ends(bounds, stack.low, stack.high);
            // It is still not ready for traps.
            bounds.room.set(0);
        }
        let (pointer, high, room) = (stack_pointer(), bounds.high.get(), bounds.room.get());
        if bounds.grows.get() && pointer < high && is_mapped_from(pointer, bounds.low.get()) {
            grow(bounds, pointer, bytes);
            if room == 0 {
                bounds.room.set(0);
            }
        }
        let low = bounds.low.get();
        if !(low..high).contains(&pointer) {
            return true;
        }
        pointer - low >= bounds.reserve.get().saturating_add(bytes)
    })
}

/// Whether the stack pointer is in the stack that begins at `low`, or below it in the same.
fn is_mapped_from(pointer: usize, low: usize) -> bool {
    let page = pointer & !(PAGE_SIZE - 1);
    page >= low || is_mapped(page..low).unwrap_or(false)
}

#[inline(never)]
fn enter_slowly(pointer: usize, max: usize) -> Result<Option<usize>> {
    BOUNDS.with(|bounds| {
        if bounds.room.get() == 0 {
            prepare(bounds)?;
        }
        let high = bounds.high.get();
        if bounds.grows.get() && pointer < high && is_mapped_from(pointer, bounds.low.get()) {
            grow(bounds, pointer, max);
        }
        if pointer < bounds.low.get() || pointer >= high {
            return Err(Error::msg(OTHER_STACK));
        }
        let limit = pointer.saturating_sub(max).max(bounds.limit.get());
        Ok((limit <= pointer).then_some(limit))
    })
}

#[cold]
fn prepare(bounds: &Bounds) -> Result<()> {
    signals::check_unblocked()?;
    ensure_signal_stack().context("cannot install a signal stack")?;
    let stack = find_stack().context("cannot find the bounds of the stack")?;
    bounds.grows.set(stack.grows);
    bounds.is_grown.set(false);
    set_ends(bounds, stack.low, stack.high);
    #[cfg(feature = "profile")]
    if let Some(on_ready) = ON_READY.get() {
        on_ready();
    }
    Ok(())
}

/// What each thread calls when it is about to enter wasm for the first time.
#[cfg(feature = "profile")]
static ON_READY: OnceLock<fn()> = OnceLock::new();

/// Makes threads that enter wasm for the first time call this function, once in a process. It may
/// be called on a thread more than once.
#[cfg(feature = "profile")]
pub(crate) fn on_ready(function: fn()) {
    let _ = ON_READY.set(function);
}

/// The part of this thread's stack that is in use.
#[cfg(feature = "profile")]
pub(crate) struct StackInUse {
    /// Invariant 1: addresses of this thread's stack, all of which is mapped.
    range: Range<usize>,
}

#[cfg(feature = "profile")]
impl StackInUse {
    /// The stack above the stack pointer of code that this thread runs, or has interrupted; `None`
    /// if the thread has not entered wasm, or the code runs on another stack. Safe in signal
    /// handlers.
    pub(crate) fn above(pointer: usize) -> Option<StackInUse> {
        let stack = BOUNDS.with(|bounds| bounds.low.get()..bounds.high.get());
        let range = pointer..stack.end;
        stack.contains(&pointer).then_some(StackInUse { range })
    }

    /// The word at this address; `None` if it is not on the stack.
    pub(crate) fn word(&self, address: usize) -> Option<usize> {
        let end = address.checked_add(size_of::<usize>())?;
        if address < self.range.start || end > self.range.end {
            return None;
        }
        // SAFETY: mapped memory of this thread's stack (invariant 1).
        unsafe { read_word(address) }
    }
}

fn set_ends(bounds: &Bounds, low: usize, high: usize) {
    let limit = low + HOST_STACK.min((high - low) / 4);
    bounds.set_stack(low, high);
    bounds.reserve.set(RESERVE.min((limit - low) / 2));
    bounds.room.set(high - limit);
    bounds.limit.set(limit);
}

/// Lets the main thread's stack grow until `max` bytes below the stack pointer and what host
/// functions need are there, or as far as it can.
fn grow(bounds: &Bounds, pointer: usize, max: usize) {
    let page = |address: usize| address & !(PAGE_SIZE - 1);
    let high = bounds.high.get();
    // Pages in use are mapped, whoever made the stack grow.
    let mut low = bounds.low.get().min(page(pointer));
    let wanted = page(pointer.saturating_sub(max).saturating_sub(HOST_STACK));
    if wanted < low && !bounds.is_grown.get() {
        if touch(wanted, low) {
            low = wanted;
        } else {
            bounds.is_grown.set(true);
            let mut refused = wanted;
            while low - refused > PAGE_SIZE {
                let middle = page(refused + (low - refused) / 2);
                match touch(middle, low) {
                    true => low = middle,
                    false => refused = middle,
                }
            }
        }
    }
    set_ends(bounds, low, high);
}

/// Makes the kernel read what is below the stack pointer, where the stack grows as if the thread
/// did; but where it cannot, the kernel says so. Whether it has grown from `low` to `address`.
fn touch(address: usize, low: usize) -> bool {
    const SIGNAL_SET_SIZE: usize = 8;
    /// No way to change the mask of blocked signals: it is refused after the set has been read.
    const NOTHING: libc::c_int = -1;
    let (set, old) = (
        ptr::without_provenance::<u8>(address),
        ptr::null_mut::<u8>(),
    );
    // SAFETY: changes nothing, whether the kernel can read the set or not.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, NOTHING, set, old, SIGNAL_SET_SIZE) };
    let is_readable = io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL);
    // It may have been something else than the stack.
    is_readable && is_mapped(address..low).unwrap_or(false)
}

/// A thread's stack.
struct Stack {
    /// Lowest usable address.
    low: usize,
    /// One past the highest one.
    high: usize,
    /// Whether it grows.
    grows: bool,
}

/// The stack of this thread.
fn find_stack() -> io::Result<Stack> {
    // SAFETY: has no preconditions.
    let process = unsafe { libc::getpid() };
    // SAFETY: as above.
    let is_first = unsafe { libc::gettid() } == process;
    if is_first {
        let pointer = stack_pointer() & !(PAGE_SIZE - 1);
        let high = main_stack_end();
        if pointer < high && is_mapped(pointer..high)? {
            return Ok(Stack {
                low: pointer,
                high,
                grows: true,
            });
        }
        // The only thread of a process that another thread forked, or the main thread on another
        // stack.
    }
    find_pthread_stack()
}

/// The end of the highest page of the main thread's stack that is known to be one: where the kernel
/// put the program's name and random bytes. 0 if it did not.
fn main_stack_end() -> usize {
    let entries = [libc::AT_EXECFN, libc::AT_RANDOM, libc::AT_PLATFORM];
    let addresses = entries.map(|entry| {
        // SAFETY: has no preconditions.
        unsafe { libc::getauxval(entry) as usize }
    });
    let highest = addresses.into_iter().max().unwrap_or(0);
    highest.checked_next_multiple_of(PAGE_SIZE).unwrap_or(0)
}

/// Whether all pages of a range are mapped: for those above the stack pointer, whether they are the
/// same stack, because the kernel keeps a gap between a stack and what is below it.
fn is_mapped(range: Range<usize>) -> io::Result<bool> {
    let start = ptr::without_provenance_mut(range.start);
    // SAFETY: writes back nothing, because no data of a file is asked to be waited for.
    match unsafe { libc::msync(start, range.len(), libc::MS_ASYNC) } {
        0 => Ok(true),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENOMEM) => Ok(false),
            error => Err(error),
        },
    }
}

/// The stack of this thread as the C library knows it.
fn find_pthread_stack() -> io::Result<Stack> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: has no preconditions.
    let thread = unsafe { libc::pthread_self() };
    // SAFETY: asks about the calling thread; fills `attributes` when it succeeds.
    let error = unsafe { libc::pthread_getattr_np(thread, attributes.as_mut_ptr()) };
    check(error)?;
    let (mut low, mut size, mut guard) = (ptr::null_mut(), 0, 0);
    // SAFETY: `attributes` was filled above.
    let error =
        unsafe { libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut low, &raw mut size) };
    check(error)?;
    // SAFETY: as above.
    let error = unsafe { libc::pthread_attr_getguardsize(attributes.as_ptr(), &raw mut guard) };
    check(error)?;
    // SAFETY: `attributes` was filled above and is not used again.
    check(unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) })?;
    let high = low.addr() + size;
    // One that has no guard was made by someone who said where it is: what lies below is in use,
    // and recursion would run into it.
    if guard == 0 {
        return Err(io::Error::other(
            match (low.addr()..high).contains(&stack_pointer()) {
                true => "the thread's stack has no guard page",
                false => OTHER_STACK,
            },
        ));
    }
    // Whether the guard is a part of the stack depends on the C library: leave it out.
    Ok(Stack {
        low: low.addr() + guard,
        high,
        grows: false,
    })
}

/// The error of a call on another stack than the thread's own.
const OTHER_STACK: &str =
    "wasm can be entered on the thread's own stack only, and this is another one";

fn check(error: libc::c_int) -> io::Result<()> {
    if error == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(error))
    }
}

/// A stack for signal handlers, with a guard page below.
struct SignalStack(Reservation);

/// Makes signal handlers of this thread run on a stack of their own, so that they can run when the
/// thread's stack is exhausted.
fn ensure_signal_stack() -> io::Result<()> {
    let current = signal_stack()?;
    if current.ss_flags & libc::SS_DISABLE == 0 && current.ss_size >= MIN_SIGNAL_STACK {
        return Ok(());
    }
    let pages = Reservation::new(PAGE_SIZE + SIGNAL_STACK, 0)?;
    pages.make_accessible(PAGE_SIZE, SIGNAL_STACK)?;
    let stack = libc::stack_t {
        ss_sp: pages.start().as_ptr().wrapping_add(PAGE_SIZE).cast(),
        ss_flags: 0,
        ss_size: SIGNAL_STACK,
    };
    let kept = OWN_SIGNAL_STACK.try_with(|own| own.set(SignalStack(pages)).is_ok());
    if kept != Ok(true) {
        // The thread is ending, or someone replaced our stack by a smaller one.
        return Err(io::Error::other(
            "this thread's signal stack cannot be replaced",
        ));
    }
    // SAFETY: the stack is accessible memory that is kept until the thread ends.
    let result = unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn signal_stack() -> io::Result<libc::stack_t> {
    let mut current = MaybeUninit::<libc::stack_t>::uninit();
    // SAFETY: asks only; fills `current` when it succeeds.
    if unsafe { libc::sigaltstack(ptr::null(), current.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: filled above.
    Ok(unsafe { current.assume_init() })
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        // Other destructors of the thread might enter wasm after this: they must ask again.
        BOUNDS.with(|bounds| bounds.room.set(0));
        let ours = self.0.start().as_ptr().wrapping_add(PAGE_SIZE).cast();
        if signal_stack().is_ok_and(|current| current.ss_sp == ours) {
            let none = libc::stack_t {
                ss_sp: ptr::null_mut(),
                ss_flags: libc::SS_DISABLE,
                ss_size: 0,
            };
            // SAFETY: no handler runs on the stack: this is the thread itself.
            unsafe { libc::sigaltstack(&raw const none, ptr::null_mut()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::registers::stack_pointer;

    const MAX: usize = 1 << 20;

    #[test]
    fn threads_know_their_stack() {
        for size in [64 << 10, 2 << 20] {
            let thread = std::thread::Builder::new().stack_size(size).spawn(move || {
                let Some(limit) = enter(MAX).unwrap() else {
                    panic!("{size}")
                };
                let pointer = stack_pointer();
                let low = overflow_range(0).end;
                assert!(low < limit && limit < pointer, "{size}");
                assert!(limit - low >= HOST_STACK.min(size / 8), "{size}");
                assert!(pointer - limit <= MAX, "{size}");
                assert_eq!(pointer - limit > MAX / 2, size > MAX, "{size}");
                assert!(signal_stack().unwrap().ss_size >= MIN_SIGNAL_STACK);
            });
            thread.unwrap().join().unwrap();
        }
    }

    #[test]
    fn the_limit_is_below_the_stack_pointer() {
        let thread = std::thread::Builder::new().stack_size(4 << 20);
        let thread = thread.spawn(|| {
            let Some(first) = enter(MAX).unwrap() else {
                panic!("there is room")
            };
            assert_eq!(enter(MAX).unwrap(), Some(first));
            assert_eq!(stack_pointer(), first + MAX);
            let Some(smaller) = enter(MAX / 2).unwrap() else {
                panic!("there is room")
            };
            assert!(smaller > first + MAX / 4);
            assert_eq!(has_room_above(first), Some(true));
            assert_eq!(has_room_above(stack_pointer() + PAGE_SIZE), Some(false));
            assert_eq!(has_room_above(0), None);
            let other = std::thread::spawn(move || {
                assert!(matches!(enter(MAX), Ok(Some(_))));
                has_room_above(first)
            });
            assert_eq!(other.join().unwrap(), None);
        });
        thread.unwrap().join().unwrap();
    }
}
