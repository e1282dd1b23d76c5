//! What a thread needs before it may enter wasm: a stack for signal handlers, and the end of its
//! stack.
#![allow(unsafe_code, reason = "asks the C library about the thread's stacks")]

use std::cell::{Cell, OnceCell};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use crate::error::{Context as _, Result};

use super::memory::Reservation;
use crate::sys::PAGE_SIZE;

/// Bytes of stack that wasm leaves for the host functions it calls.
const HOST_STACK: usize = 128 << 10;

/// Bytes below which a signal stack that is already there is replaced: the kernel's frame alone
/// takes up to 11 KiB with all vector registers.
const MIN_SIGNAL_STACK: usize = 32 << 10;

/// Bytes of our own signal stacks, without the guard page.
const SIGNAL_STACK: usize = 64 << 10;

/// What is known of this thread; zeros before it was asked for.
struct Bounds {
    /// Lowest stack pointer with which the host may be called or wasm be entered.
    limit: Cell<usize>,
    /// Bytes between it and the highest address of the stack.
    room: Cell<usize>,
    /// Lowest address of the stack.
    low: Cell<usize>,
    /// Behind the highest address of the stack.
    high: Cell<usize>,
}

thread_local! {
    // Without destructor and lazy initialisation: signal handlers read it.
    static BOUNDS: Bounds = const {
        Bounds {
            limit: Cell::new(0),
            room: Cell::new(0),
            low: Cell::new(0),
            high: Cell::new(0),
        }
    };
    static OWN_SIGNAL_STACK: OnceCell<SignalStack> = const { OnceCell::new() };
}

/// The lowest stack pointer with which this thread may enter wasm or wasm may call the host, and how
/// many bytes of the stack are above it. Makes the thread ready for traps first, if it is not.
#[inline(always)]
pub(crate) fn stack_room() -> Result<(usize, usize)> {
    match BOUNDS.with(|bounds| (bounds.limit.get(), bounds.room.get())) {
        (0, _) => prepare(),
        known => Ok(known),
    }
}

/// The lowest address of this thread's stack and the one behind the highest, if the thread was made
/// ready. Safe in signal handlers.
pub(crate) fn stack_bounds() -> Option<(usize, usize)> {
    BOUNDS.with(|bounds| match (bounds.low.get(), bounds.high.get()) {
        (0, _) => None,
        bounds => Some(bounds),
    })
}

#[cold]
#[inline(never)]
fn prepare() -> Result<(usize, usize)> {
    ensure_signal_stack().with_context(|| "cannot install a signal stack")?;
    let (low, high) = find_stack().with_context(|| "cannot find the bounds of the stack")?;
    let limit = low + HOST_STACK.min((high - low) / 4);
    BOUNDS.with(|bounds| {
        bounds.low.set(low);
        bounds.high.set(high);
        bounds.room.set(high - limit);
        bounds.limit.set(limit);
    });
    Ok((limit, high - limit))
}

/// The lowest usable address of this thread's stack and the one behind the highest.
fn find_stack() -> io::Result<(usize, usize)> {
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
    // SAFETY: has no preconditions.
    let process = unsafe { libc::getpid() };
    // SAFETY: as above.
    let is_main = unsafe { libc::gettid() } == process;
    // Below the main thread's stack the kernel maps nothing. Others that have no guard were made by
    // someone who said where they are: what lies below is in use, and recursion would run into it.
    if guard == 0 && !is_main {
        return Err(io::Error::other("the thread's stack has no guard page"));
    }
    // Whether the guard is a part of the stack depends on the C library: leave it out.
    Ok((low.addr() + guard, low.addr() + size))
}

fn check(error: libc::c_int) -> io::Result<()> {
    if error == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(error))
    }
}

/// A stack for signal handlers, with a guard page below.
struct SignalStack(Reservation);

/// Sees to it that signal handlers of this thread run on a stack of their own, so that they can run
/// when the thread's stack is exhausted.
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
        BOUNDS.with(|bounds| bounds.limit.set(0));
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

    #[test]
    fn threads_know_their_stack() {
        for size in [64 << 10, 2 << 20] {
            let thread = std::thread::Builder::new().stack_size(size).spawn(move || {
                let (limit, room) = stack_room().unwrap();
                let (low, high) = stack_bounds().unwrap();
                let pointer = stack_pointer();
                assert!(low < limit && limit < pointer && pointer < high, "{size}");
                assert!(limit - low <= HOST_STACK && limit - low >= (size / 4).min(HOST_STACK) / 2);
                assert!(signal_stack().unwrap().ss_size >= MIN_SIGNAL_STACK);
                assert_eq!(limit + room, high);
                assert_eq!(stack_room().unwrap(), (limit, room));
            });
            thread.unwrap().join().unwrap();
        }
    }
}
