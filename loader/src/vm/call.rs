//! One call into wasm: the thread is made ready, the thunk is called, and a trap becomes an error.
#![allow(unsafe_code, reason = "enters machine code")]

use std::ptr::NonNull;

use cwasm_format::TrapCode;
use cwasm_format::vmctx::{RawReturn, VmContext};

use super::caller::Caller;
#[cfg(feature = "async")]
use super::caller::SUSPENDABLE;
use super::store::StoreOpaque;
use super::trap::take_trap;
use crate::artifact::Code;
use crate::error::{Error, Result};
use crate::sys;

/// This thread is ready to enter wasm of a store: traps can be caught, and the stack's end is
/// known.
///
/// It holds the store's address and not a reference, which would last while wasm runs.
#[derive(Clone, Copy)]
#[must_use]
pub(crate) struct Ready {
    /// Invariant 1: a store that outlives the call from the host which this is a part of.
    store: *mut StoreOpaque,
    /// The lowest stack pointer of the wasm.
    limit: u64,
    /// That of the store's wasm that waits for a host function, or 0.
    outer: u64,
}

impl Ready {
    /// As [`Ready::new`], for a call that `caller` makes.
    ///
    /// # Errors
    /// As [`Ready::new`].
    #[inline(always)]
    pub(crate) fn of(store: &mut StoreOpaque, caller: Caller) -> Result<Ready> {
        let ready = Ready::new(store)?;
        Ok(match caller {
            Caller::Host | Caller::Guest => ready,
            #[cfg(feature = "async")]
            Caller::Fiber => Ready {
                limit: ready.limit | SUSPENDABLE,
                ..ready
            },
        })
    }

    /// Makes this thread ready for wasm of `store`.
    ///
    /// # Errors
    /// [`TrapCode::StackOverflow`] if too little stack is left; or this is not the thread's own
    /// stack, it has no guard pages, or the thread blocks the signals of traps.
    #[inline(always)]
    pub(crate) fn new(store: &mut StoreOpaque) -> Result<Ready> {
        let limit = sys::thread::enter(store.max_wasm_stack)?;
        let mut limit = limit.ok_or_else(no_room)? as u64;
        let outer = store.vm.stack_limit;
        if outer != 0 {
            limit = limit_within(outer, limit)?;
        }
        // The provenance of all of a store's allocation was exposed when it was made.
        let address = std::ptr::from_mut(store).addr();
        Ok(Ready {
            store: std::ptr::with_exposed_provenance_mut(address),
            limit,
            outer,
        })
    }

    /// Calls a thunk, and returns the result of its function. Inlined, so that the match is decided
    /// where the number of arguments is known.
    ///
    /// # Errors
    /// The trap, or the error of a host function. A panic of one continues here.
    ///
    /// # Safety
    /// - `code` is a thunk of an artifact that takes this many arguments, and `context` is that of
    ///   a live instance of the artifact.
    /// - The instance is one of the store, which is ours alone, and this thread has been ready for
    ///   it since the call from the host began.
    /// - No reference into the store or its instances is used again afterwards, but for what was
    ///   borrowed for the call itself.
    #[inline(always)]
    pub(crate) unsafe fn call(
        self,
        code: Code,
        context: NonNull<VmContext>,
        args: &[u64],
    ) -> Result<u64> {
        macro_rules! arg {
            ($index:literal) => {
                u64
            };
        }
        macro_rules! arities {
            ($($count:literal: $($index:literal)*;)*) => {
                match args.len() {
                    $($count => {
                        type Thunk = unsafe extern "C" fn(NonNull<VmContext> $(, arg!($index))*) -> RawReturn;
                        // SAFETY: the address of a thunk of this signature (the caller's contract).
                        let thunk = unsafe { std::mem::transmute::<NonNull<u8>, Thunk>(code.address()) };
                        // SAFETY: as the caller's contract says.
                        unsafe { thunk(context $(, args[$index])*) }
                    })*
                    count => unreachable!("a thunk of {count} arguments"),
                }
            };
        }
        // For this thunk only: the host may call several.
        // SAFETY: the store is ours (the caller's contract), and lives (invariant 1).
        unsafe { (*self.store).vm.stack_limit = self.limit };
        let returned = arities! {
            0: ;
            1: 0;
            2: 0 1;
            3: 0 1 2;
            4: 0 1 2 3;
            5: 0 1 2 3 4;
            6: 0 1 2 3 4 5;
            7: 0 1 2 3 4 5 6;
            8: 0 1 2 3 4 5 6 7;
            9: 0 1 2 3 4 5 6 7 8;
            10: 0 1 2 3 4 5 6 7 8 9;
            11: 0 1 2 3 4 5 6 7 8 9 10;
            12: 0 1 2 3 4 5 6 7 8 9 10 11;
            13: 0 1 2 3 4 5 6 7 8 9 10 11 12;
            14: 0 1 2 3 4 5 6 7 8 9 10 11 12 13;
            15: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14;
            16: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15;
            17: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16;
        };
        // SAFETY: as above.
        unsafe { (*self.store).vm.stack_limit = self.outer };
        match returned.status {
            0 => Ok(returned.value),
            // SAFETY: the store is ours (the caller's contract), and lives (invariant 1).
            status => Err(take_trap(unsafe { &mut *self.store }, status)),
        }
    }
}

#[cold]
#[inline(never)]
fn no_room() -> Error {
    Error::trapped(TrapCode::StackOverflow)
}

/// The limit of wasm that is entered while other wasm of the store waits for a host function: on
/// the same thread it has the rest of that one's stack.
///
/// # Errors
/// [`TrapCode::StackOverflow`] if there is too little of it.
#[inline(never)]
fn limit_within(outer: u64, limit: u64) -> Result<u64> {
    // Wasm that a host function enters does not wait, even if the one below could.
    #[cfg(feature = "async")]
    let outer = outer & !SUSPENDABLE;
    match sys::thread::has_room_above(outer as usize) {
        None => Ok(limit),
        Some(true) => Ok(limit.max(outer)),
        Some(false) => Err(no_room()),
    }
}
