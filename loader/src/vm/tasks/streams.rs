//! Streams and futures, and their ends.

use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::Waker;

use cwasm_format::concurrent::OpRecord;
use cwasm_format::hash::TypeHash;

use cwasm_format::TrapCode;
use cwasm_format::vmctx::{VmHandle, VmHandles};

use super::Tasks;
use super::slab::Id;
use super::waitables::{Event, Waitable, event};
use crate::error::Error;
use crate::vm::canon::CanonOptions;
use crate::vm::handles;

/// What both ends of a stream or future share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) is_future: bool,
    /// The type of the payloads.
    pub(crate) payload: TypeHash,
    /// What tells it from others that had its number.
    pub(crate) serial: u64,
    /// Whether the host has the readable end.
    pub(crate) is_held: bool,
    /// Whether the host has the writable end.
    pub(crate) is_of_host: bool,
    /// How many ends there are.
    pub(crate) ends: u32,
    /// Whether one end is dropped.
    pub(crate) is_dropped: bool,
    /// A read or write that the other end has not met yet, or not in full.
    pub(crate) pending: Option<Pending>,
    /// The host, which waits until one end is dropped.
    pub(crate) watcher: Option<Waker>,
}

/// A read or write that waits for the other end.
#[derive(Debug)]
pub(crate) enum Pending {
    Guest(Copying),
    /// The host's, of a type that [`concurrent`](crate::concurrent) knows.
    Host(Arc<dyn Any + Send + Sync>),
}

/// A read or write of a guest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copying {
    pub(crate) end: Id,
    pub(crate) instance: Id,
    pub(crate) op: NonNull<OpRecord>,
    pub(crate) options: CanonOptions,
    /// Where the next payload is in the guest's memory.
    pub(crate) pointer: u64,
    /// How many payloads are left.
    pub(crate) remaining: u32,
}

/// An end of a stream or future, in the table of a component instance.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) waitable: Waitable,
    pub(crate) shared: Id,
    pub(crate) is_future: bool,
    pub(crate) is_readable: bool,
    pub(crate) state: EndState,
    pub(crate) handle: u32,
    /// How many payloads the read or write has copied.
    pub(crate) progress: u32,
    /// How it has ended.
    pub(crate) result: CopyResult,
    /// Whether the end is done with this event.
    pub(crate) is_over: bool,
    /// Whether the read or write is over when somebody sees the event: until then it may copy more.
    pub(crate) reclaims: bool,
}

/// The state of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndState {
    Idle,
    Copying,
    Cancelling,
    Done,
}

/// How a read or write has ended, by the specification's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum CopyResult {
    Completed = 0,
    Dropped = 1,
    Cancelled = 2,
}

impl End {
    /// An end that does nothing, whose handle is not known yet.
    pub(crate) fn new(shared: Id, is_future: bool, is_readable: bool) -> End {
        End {
            waitable: Waitable::default(),
            shared,
            is_future,
            is_readable,
            state: EndState::Idle,
            handle: 0,
            progress: 0,
            result: CopyResult::Completed,
            is_over: false,
            reclaims: false,
        }
    }

    /// Its event, which somebody sees now, and whether the read or write is over by that.
    pub(crate) fn deliver(&mut self) -> (Event, bool) {
        self.state = match self.is_over {
            true => EndState::Done,
            false => EndState::Idle,
        };
        let event = [self.code(), self.handle, self.payload()];
        (event, std::mem::take(&mut self.reclaims))
    }

    /// The code of its events.
    fn code(&self) -> u32 {
        match (self.is_future, self.is_readable) {
            (false, true) => event::STREAM_READ,
            (false, false) => event::STREAM_WRITE,
            (true, true) => event::FUTURE_READ,
            (true, false) => event::FUTURE_WRITE,
        }
    }

    /// What its event says.
    fn payload(&self) -> u32 {
        match self.is_future {
            true => self.result as u32,
            false => self.result as u32 | self.progress << 4,
        }
    }

    pub(crate) fn is_copying(&self) -> bool {
        matches!(self.state, EndState::Copying | EndState::Cancelling)
    }
}

/// Takes the readable end of a stream or future with such payloads out of a guest's table: its
/// number and serial.
///
/// # Errors
/// The traps of the specification.
pub(crate) fn take(
    tasks: &mut Tasks,
    table: &mut VmHandles,
    handle: u32,
    (is_future, payload): (bool, TypeHash),
) -> Result<(u32, u64), TrapCode> {
    let id = Id(handles::number(table, handle, VmHandle::END)?);
    let end = &tasks.ends[id];
    let shared = end.shared;
    if !end.is_readable || end.is_future != is_future || tasks.streams[shared].payload != payload {
        return Err(TrapCode::WrongHandleKind);
    }
    match end.state {
        EndState::Idle => {}
        EndState::Copying | EndState::Cancelling => return Err(TrapCode::EndBusy),
        EndState::Done => return Err(TrapCode::EndDone),
    }
    if end.waitable.is_in_set() {
        return Err(TrapCode::WaitableInUse);
    }
    handles::remove_number(table, handle);
    tasks.ends.remove(id);
    let found = &mut tasks.streams[shared];
    found.is_held = true;
    Ok((shared.0, found.serial))
}

impl Tasks {
    /// Gives an end that the host has to a guest, which expects such payloads: its number.
    ///
    /// # Errors
    /// If the host does not have it, or it is of other payloads.
    pub(crate) fn give(
        &mut self,
        (number, serial): (u32, u64),
        payload: TypeHash,
    ) -> crate::error::Result<u32> {
        let id = Id(number);
        let held = |found: &&mut Shared| found.serial == serial && found.is_held;
        let Some(found) = self.streams.get_mut(id).filter(held) else {
            return Err(Error::msg("a stream or future is used that was given away"));
        };
        if found.payload != payload {
            return Err(Error::msg(
                "a stream or future of other payloads is given to a guest",
            ));
        }
        found.is_held = false;
        let is_future = found.is_future;
        Ok(self.ends.add(End::new(id, is_future, true)).0)
    }

    /// Sets the handle of an end.
    pub(crate) fn set_handle(&mut self, end: u32, handle: u32) {
        if let Some(end) = self.ends.get_mut(Id(end)) {
            end.handle = handle;
        }
    }
}
