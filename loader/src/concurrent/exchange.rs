//! What a read or write of the host exchanges with the other end of a stream or future: payloads
//! pass between a buffer of the host and the memory of a guest in one copy.

use std::any::Any;
use std::cell::Cell;
use std::future::poll_fn;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use cwasm_format::TrapCode;

use super::Run;
use crate::error::{Error, Result};
use crate::values::{Lift, LiftContext, Lower, LowerContext, handles};
use crate::vm::tasks::streams::{CopyResult, Copying};

/// A Rust type whose values can pass through a stream or future.
///
/// Implemented for all types that own what they are.
pub trait Payload: Lift + Lower + Send + 'static {}

impl<T: Lift + Lower + Send + 'static> Payload for T {}

/// The payloads of a read or write of the host, of any type.
pub(super) trait Buffer: Send {
    /// How many payloads can pass still.
    fn remaining(&self) -> usize;
    /// Takes so many from a guest's memory.
    fn lift(&mut self, cx: &mut LiftContext<'_>, from: &Copying, count: usize) -> Result<()>;
    /// Gives so many to a guest's memory.
    fn lower(&mut self, cx: &mut LowerContext<'_>, to: &Copying, count: usize) -> Result<()>;
    /// Whether the host's end closes with what has passed.
    fn closes(&self) -> bool;
    /// All that are left, as a `Vec` of their type.
    fn take(&mut self) -> Box<dyn Any>;
    /// Gets all that fit of such a `Vec`: how many.
    fn put(&mut self, items: &mut dyn Any) -> Option<usize>;
    fn as_any(&mut self) -> &mut dyn Any;
}

/// The most bytes that pass at once between two ends of the host, where they lie.
const ROOM: usize = 64 << 10;

thread_local! {
    /// Room of that size, with bytes of earlier uses.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What is read.
pub(super) struct Reading<T> {
    pub(super) items: Vec<T>,
    pub(super) max: usize,
    /// Whether nothing is read after this.
    pub(super) is_last: bool,
}

/// What is written, the first one first.
pub(super) struct Writing<T> {
    pub(super) items: Vec<T>,
    /// Whether nothing is written after these.
    pub(super) is_last: bool,
}

/// A read or write of the host, which a guest's meets.
pub(super) struct Exchange(Mutex<State>);

struct State {
    buffer: Box<dyn Buffer>,
    result: Option<CopyResult>,
    waker: Option<Waker>,
}

impl Exchange {
    pub(super) fn new(buffer: Box<dyn Buffer>) -> Arc<Exchange> {
        Arc::new(Exchange(Mutex::new(State {
            buffer,
            result: None,
            waker: None,
        })))
    }

    /// Waits until it is over: what `finish` makes of the buffer, which is a `B`.
    pub(super) async fn wait<B: Buffer + 'static, R>(
        &self,
        finish: impl FnOnce(&mut B) -> R,
    ) -> Result<R> {
        poll_fn(|context| {
            let mut state = self.lock();
            if state.result.is_some() {
                return Poll::Ready(());
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
        match self.lock().buffer.as_any().downcast_mut() {
            Some(buffer) => Ok(finish(buffer)),
            None => Err(Error::msg("a buffer of another type")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn remaining(&self) -> usize {
        self.lock().buffer.remaining()
    }

    /// Whether the host's end closes with what has passed.
    pub(super) fn closes(&self) -> bool {
        self.lock().buffer.closes()
    }

    /// Takes payloads from a guest's memory.
    pub(super) fn lift(&self, run: Run, from: &Copying, count: usize) -> Result<()> {
        // SAFETY: an instance of the store, whose code does not run.
        let mut cx = unsafe { LiftContext::with_handles(&from.options, run.store(), 0) };
        self.lock().buffer.lift(&mut cx, from, count)
    }

    /// Gives payloads to a guest's memory.
    pub(super) fn lower(&self, run: Run, to: &Copying, count: usize) -> Result<()> {
        // SAFETY: an instance of the store, whose code does not run.
        let mut cx = unsafe { LowerContext::new(run.store(), &to.options) };
        self.lock().buffer.lower(&mut cx, to, count)
    }

    /// Passes payloads from the host to the host.
    pub(super) fn pass(&self, to: &Exchange) -> Result<()> {
        let mut items = self.lock().buffer.take();
        let passed = to.lock().buffer.put(&mut *items);
        let left = self.lock().buffer.put(&mut *items);
        match (passed, left) {
            (Some(_), Some(_)) => Ok(()),
            _ => Err(Error::msg(
                "both ends of a stream are the host's, with other Rust types",
            )),
        }
    }

    /// Gives the bytes that are written, or room for bytes that are read, to the other end, which
    /// uses the first ones: how many. `None` if the payloads are no bytes.
    pub(super) fn use_bytes(&self, body: impl FnOnce(&mut [u8]) -> usize) -> Result<Option<usize>> {
        let mut state = self.lock();
        let buffer = state.buffer.as_any();
        if let Some(Writing { items, .. }) = buffer.downcast_mut::<Writing<u8>>() {
            let used = body(items);
            if used > items.len() {
                return Err(too_many_used(used, items.len()));
            }
            items.drain(..used);
            return Ok(Some(used));
        }
        let Some(Reading { items, max, .. }) = buffer.downcast_mut::<Reading<u8>>() else {
            return Ok(None);
        };
        // Room that need not be made anew, since few use all of it.
        let mut room = SCRATCH.take();
        room.resize(ROOM, 0);
        let len = ROOM.min(*max);
        let used = body(&mut room[..len]);
        if used > len {
            return Err(too_many_used(used, len));
        }
        items.extend_from_slice(&room[..used]);
        SCRATCH.set(room);
        Ok(Some(used))
    }

    /// It is over.
    pub(super) fn end(&self, result: CopyResult) {
        let mut state = self.lock();
        state.result = Some(result);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

/// The error of a host that has used more bytes than there are.
pub(super) fn too_many_used(used: usize, len: usize) -> Error {
    Error::msg(format_args!(
        "found {used} used bytes of a stream, expected {len} at most"
    ))
}

/// The bytes of payloads in a guest's memory.
pub(super) fn bytes_of(at: &Copying, size: u32, count: usize) -> Result<Range<usize>> {
    // SAFETY: the instance is live, no code runs, and the slice is not kept.
    let len = unsafe { at.options.memory() }.len() as u64;
    let bytes = u64::from(size) * count as u64;
    match at.pointer.checked_add(bytes).filter(|end| *end <= len) {
        Some(end) => Ok(at.pointer as usize..end as usize),
        None if bytes == 0 => Ok(0..0),
        None => Err(Error::trapped(TrapCode::StreamOutOfBounds)),
    }
}

/// Checks that the handles in a guest's payloads are those of a `T`.
fn check_handles<T: Payload>(of: &Copying) -> Result<()> {
    if T::HANDLES == 0 {
        return Ok(());
    }
    let mut rust = Vec::with_capacity(T::HANDLES);
    T::handles(&mut rust);
    // SAFETY: the instance is live.
    let uses = unsafe { of.options.uses() };
    // SAFETY: as above.
    let instance = unsafe { of.options.instance() };
    handles::check_handles(uses, &rust, instance.host_resources(), instance.unit())
        .map_err(|error| Error::msg(format_args!("payloads of another type: {error}")))
}

impl<T: Payload> Buffer for Reading<T> {
    fn remaining(&self) -> usize {
        self.max - self.items.len()
    }

    fn closes(&self) -> bool {
        self.is_last
    }

    fn lift(&mut self, cx: &mut LiftContext<'_>, from: &Copying, count: usize) -> Result<()> {
        check_handles::<T>(from)?;
        let size = T::LAYOUT.at(cx.width()).size;
        if size == 0 {
            for _ in 0..count {
                self.items.push(T::load(cx, &[])?);
            }
            return Ok(());
        }
        let range = bytes_of(from, size, count)?;
        // SAFETY: as in `bytes_of`; lifting does not write.
        let memory = unsafe { from.options.memory() };
        let items = T::load_list(cx, &memory[range])?;
        match self.items.is_empty() {
            true => self.items = items,
            false => self.items.extend(items),
        }
        Ok(())
    }

    fn lower(&mut self, _: &mut LowerContext<'_>, _: &Copying, _: usize) -> Result<()> {
        Err(Error::msg("a read gives nothing"))
    }

    fn take(&mut self) -> Box<dyn Any> {
        Box::new(std::mem::take(&mut self.items))
    }

    fn put(&mut self, items: &mut dyn Any) -> Option<usize> {
        let items: &mut Vec<T> = items.downcast_mut()?;
        let count = self.remaining().min(items.len());
        self.items.extend(items.drain(..count));
        Some(count)
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

impl<T: Payload> Buffer for Writing<T> {
    fn remaining(&self) -> usize {
        self.items.len()
    }

    fn closes(&self) -> bool {
        self.is_last && self.items.is_empty()
    }

    fn lift(&mut self, _: &mut LiftContext<'_>, _: &Copying, _: usize) -> Result<()> {
        Err(Error::msg("a write takes nothing"))
    }

    fn lower(&mut self, cx: &mut LowerContext<'_>, to: &Copying, count: usize) -> Result<()> {
        check_handles::<T>(to)?;
        let size = T::LAYOUT.at(cx.width()).size;
        let range = bytes_of(to, size, count)?;
        T::store_list(&self.items[..count], cx, range.start)?;
        self.items.drain(..count);
        Ok(())
    }

    fn take(&mut self) -> Box<dyn Any> {
        Box::new(std::mem::take(&mut self.items))
    }

    fn put(&mut self, items: &mut dyn Any) -> Option<usize> {
        let items: &mut Vec<T> = items.downcast_mut()?;
        self.items.append(items);
        Some(self.items.len())
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}
