//! The host's ends of streams and futures.
//!
//! A read or write is an [`Exchange`], which meets the one of the other end at once, or waits in
//! what the ends share until that comes. It is over when anything has passed: a stream of the host
//! never waits for a buffer to be full.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::Poll;

use cwasm_format::abi::{Flat, FlatType, HANDLE_SIZE, Layout};
use cwasm_format::hash::{Tag, TypeHash};
use cwasm_format::types::{TypeDef, Types, ValueType};

use super::exchange::{Buffer, Exchange, Payload, Reading, Writing};
use super::{Accessor, Run, copies};
use crate::error::{Error, Result};
use crate::stream_any::StreamAny;
use crate::values::derive::Seal;
use crate::values::handles::HandleType;
use crate::values::{ComponentType, Lift, LiftContext, Lower, LowerContext};
use crate::vm::store_context::{AsContextMut, StoreContextMut};
use crate::vm::store_id::StoreId;
use crate::vm::tasks::slab::Id;
use crate::vm::tasks::streams::Shared;

/// Checks, when it is compiled, that values of a type can pass.
const fn check<T: Payload>() {
    assert!(
        !T::HOLDS_VIEWS,
        "a view of the guest's memory is gone when a stream is read"
    );
}

/// An end that the host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HostEnd {
    store: StoreId,
    shared: Id,
    serial: u64,
    is_readable: bool,
}

impl HostEnd {
    fn of(any: &StreamAny) -> HostEnd {
        HostEnd {
            store: any.store,
            shared: Id(any.number),
            serial: any.serial,
            is_readable: true,
        }
    }

    /// What it shares with the other end.
    fn shared<'a>(self, run: Run) -> Result<&'a mut Shared> {
        if run.store().id() != self.store {
            return Err(Error::msg(
                "a stream or future is used with another store than its own",
            ));
        }
        let found = run.tasks().streams.get_mut(self.shared);
        let is_ours = |shared: &&'a mut Shared| {
            shared.serial == self.serial && (shared.is_held || !self.is_readable)
        };
        match found.filter(is_ours) {
            Some(shared) => Ok(shared),
            None => Err(Error::msg("a stream or future is used that was given away")),
        }
    }

    fn close(self, run: Run) -> Result<()> {
        self.shared(run)?;
        copies::close(run, self.shared, self.is_readable);
        Ok(())
    }
}

/// Waits until the other end is closed.
async fn closed<D: 'static>(accessor: &Accessor<D>, end: HostEnd) -> Result<()> {
    poll_fn(|context| {
        accessor.with(|mut store| match end.shared(run_of(&mut store)) {
            Ok(shared) if shared.is_dropped => Poll::Ready(Ok(())),
            Ok(shared) => {
                shared.watcher = Some(context.waker().clone());
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        })
    })
    .await
}

/// Begins a read or write, and waits until it is over: what `finish` makes of its buffer.
async fn exchange<D: 'static, B: Buffer + 'static, R>(
    accessor: &Accessor<D>,
    end: HostEnd,
    buffer: B,
    finish: impl FnOnce(&mut B) -> R,
) -> Result<R> {
    // If this future is dropped, a guest that meets the exchange leaves it alone.
    let exchange = Exchange::new(Box::new(buffer));
    accessor.with(|mut store| {
        let run = Run::new(store.opaque());
        end.shared(run)?;
        copies::meet_host(run, end.shared, end.is_readable, Arc::clone(&exchange))
    })?;
    exchange.wait(finish).await
}

/// The host's readable end of a stream. It is given to guests as a parameter or a result, or read.
///
/// It is not closed when it is dropped, since that needs the store: close it, or the writer waits
/// until the store is dropped.
pub struct StreamReader<T> {
    any: StreamAny,
    payload: PhantomData<fn() -> T>,
}

/// The host's writable end of a stream: see [`StreamReader`].
pub struct StreamWriter<T> {
    end: HostEnd,
    payload: PhantomData<fn(T)>,
}

/// The host's readable end of a future. It is given to guests as a parameter or a result, or read.
pub struct FutureReader<T> {
    any: StreamAny,
    payload: PhantomData<fn() -> T>,
}

/// The host's writable end of a future.
pub struct FutureWriter<T> {
    end: HostEnd,
    payload: PhantomData<fn(T)>,
}

/// Makes a stream or future of the host: both ends.
fn make<T: Payload>(run: Run, is_future: bool) -> (HostEnd, StreamAny) {
    const { check::<T>() };
    let store = run.store().id();
    let tasks = run.tasks();
    tasks.serial += 1;
    let serial = tasks.serial;
    let shared = tasks.streams.add(Shared {
        serial,
        is_held: true,
        is_of_host: true,
        is_future,
        payload: T::HASH,
        is_dropped: false,
        pending: None,
        watcher: None,
        ends: 2,
    });
    let writable = HostEnd {
        store,
        shared,
        serial,
        is_readable: false,
    };
    let readable = StreamAny {
        store,
        number: shared.0,
        serial,
        is_future,
    };
    (writable, readable)
}

fn run_of<T: 'static>(store: &mut StoreContextMut<'_, T>) -> Run {
    Run::new(store.opaque())
}

impl<T: Payload> StreamReader<T> {
    /// Reads payloads: one to `max`, as many as are written at once, or none if the writer is
    /// closed. Waits until there are any.
    ///
    /// If the future is dropped, nothing is read.
    ///
    /// # Errors
    /// - A payload is not a `T`: the writer's component can never be entered again.
    /// - The end was given away, or is of another store.
    /// - `max` is 0.
    ///
    /// # Panics
    /// As [`Accessor::with`].
    pub async fn read<D: 'static>(&mut self, accessor: &Accessor<D>, max: usize) -> Result<Vec<T>> {
        read(accessor, &self.any, max, false).await
    }

    /// As [`read`](StreamReader::read), and closes this end with it: the writer sees that it has
    /// written the last payloads, not only that they are written.
    ///
    /// # Errors
    /// As [`read`](StreamReader::read).
    ///
    /// # Panics
    /// As [`Accessor::with`].
    pub async fn read_last<D: 'static>(self, accessor: &Accessor<D>, max: usize) -> Result<Vec<T>> {
        let items = read(accessor, &self.any, max, true).await?;
        if items.is_empty() {
            accessor.with(|store| self.close(store))?;
        }
        Ok(items)
    }

    /// Waits until something can be read, or the writer is closed: a read of nothing.
    ///
    /// # Errors
    /// The end was given away, or is of another store.
    ///
    /// # Panics
    /// As [`Accessor::with`].
    pub async fn ready<D: 'static>(&mut self, accessor: &Accessor<D>) -> Result<()> {
        let buffer = Reading::<T> {
            items: Vec::new(),
            max: 0,
            is_last: false,
        };
        exchange(accessor, HostEnd::of(&self.any), buffer, |_| ()).await
    }

    /// Waits until the writer is closed. Something else may be done meanwhile: a read goes on.
    ///
    /// # Errors
    /// The end was given away, or is of another store.
    ///
    /// # Panics
    /// As [`Accessor::with`].
    pub fn closed<'a, D: 'static>(
        &self,
        accessor: &'a Accessor<D>,
    ) -> impl Future<Output = Result<()>> + use<'a, D, T> {
        closed(accessor, HostEnd::of(&self.any))
    }

    /// Reads all payloads, until the writer is closed; closes this end.
    ///
    /// # Errors
    /// As [`read`](StreamReader::read).
    ///
    /// # Panics
    /// As [`Accessor::with`].
    pub async fn collect<D: 'static>(mut self, accessor: &Accessor<D>) -> Result<Vec<T>> {
        let mut all = Vec::new();
        loop {
            let mut items = self.read(accessor, usize::MAX).await?;
            if items.is_empty() {
                break;
            }
            all.append(&mut items);
        }
        accessor.with(|store| self.close(store))?;
        Ok(all)
    }

    /// Closes the end: what is written is dropped.
    ///
    /// # Errors
    /// The end was given away, or is of another store.
    pub fn close(self, store: impl AsContextMut) -> Result<()> {
        self.any.close(store)
    }
}

impl StreamReader<u8> {
    /// Gives the bytes that are written now to `body`, where they lie in the guest's memory; `body`
    /// says how many of the first ones it has used. `None` if nothing is being written: that is so
    /// until [`ready`](StreamReader::ready) has waited for it, or if the writer is closed. There
    /// are none in a write of nothing.
    ///
    /// # Errors
    /// - `body` has used more bytes than there are.
    /// - The end was given away, or is of another store.
    pub fn read_with(
        &mut self,
        mut store: impl AsContextMut,
        body: impl FnOnce(&[u8]) -> usize,
    ) -> Result<Option<usize>> {
        let run = run_of(&mut store.as_context_mut());
        let end = HostEnd::of(&self.any);
        end.shared(run)?;
        copies::use_memory(run, (end.shared, true), |bytes| body(bytes))
    }

    /// Whether the writer is an end of the host's, so that no guest has the bytes in its memory:
    /// then [`read`](StreamReader::read) is the way to read it, which the writer fills in one copy,
    /// and [`read_with`](StreamReader::read_with) has nothing before somebody writes.
    ///
    /// # Errors
    /// The end was given away, or is of another store.
    pub fn is_of_host(&self, mut store: impl AsContextMut) -> Result<bool> {
        let run = run_of(&mut store.as_context_mut());
        Ok(HostEnd::of(&self.any).shared(run)?.is_of_host)
    }

    /// Whether the writer is closed, so that nothing more can be read.
    ///
    /// # Errors
    /// The end was given away, or is of another store.
    pub fn is_closed(&self, mut store: impl AsContextMut) -> Result<bool> {
        let run = run_of(&mut store.as_context_mut());
        Ok(HostEnd::of(&self.any).shared(run)?.is_dropped)
    }
}

impl StreamWriter<u8> {
    /// Has `body` write bytes to where they are read now, in the guest's memory; `body` says how
    /// many it has written, from the first on. `None` if nothing is being read: that is so until
    /// [`ready`](StreamWriter::ready) has waited for it, or if the reader is closed. There is no
    /// room in a read of nothing, which waits for bytes to be written by other means.
    ///
    /// # Errors
    /// - `body` has written more bytes than there is room for.
    /// - The end is of another store.
    pub fn write_with(
        &mut self,
        mut store: impl AsContextMut,
        body: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<Option<usize>> {
        let run = run_of(&mut store.as_context_mut());
        self.end.shared(run)?;
        copies::use_memory(run, (self.end.shared, false), body)
    }

    /// Whether the reader is closed, so that nothing more is read.
    ///
    /// # Errors
    /// The end is of another store.
    pub fn is_closed(&self, mut store: impl AsContextMut) -> Result<bool> {
        let run = run_of(&mut store.as_context_mut());
        Ok(self.end.shared(run)?.is_dropped)
    }
}

impl<T: Payload> StreamWriter<T> {
    /// A stream of the host: its two ends.
    pub fn pair(mut store: impl AsContextMut) -> (StreamWriter<T>, StreamReader<T>) {
        let (end, any) = make::<T>(run_of(&mut store.as_context_mut()), false);
        let writer = StreamWriter {
            end,
            payload: PhantomData,
        };
        let reader = StreamReader {
            any,
            payload: PhantomData,
        };
        (writer, reader)
    }

    /// Writes payloads, as many as are read at once: what is left. Waits until some are read. If
    /// the reader is closed, all are left.
    ///
    /// If the future is dropped, the payloads are dropped with it.
    ///
    /// # Errors
    /// - The reader's `realloc` fails: its component can never be entered again.
    /// - The end is of another store.
    ///
    /// # Panics
    /// As [`Accessor::with`].
    pub async fn write<D: 'static>(
        &mut self,
        accessor: &Accessor<D>,
        items: Vec<T>,
    ) -> Result<Vec<T>> {
        self.write_once(accessor, items, false).await
    }

    /// Waits until something is to be read, or the reader is closed: a write of nothing.
    ///
    /// # Errors
    /// The end is of another store.
    ///
    /// # Panics
    /// As [`Accessor::with`].
    pub async fn ready<D: 'static>(&mut self, accessor: &Accessor<D>) -> Result<()> {
        let buffer = Writing::<T> {
            items: Vec::new(),
            is_last: false,
        };
        exchange(accessor, self.end, buffer, |_| ()).await
    }

    /// Waits until the reader is closed. Something else may be done meanwhile: a write goes on.
    ///
    /// One future at a time waits so, the last that was polled. Its waker is called while the guest
    /// closes the reader, also if the future was dropped.
    ///
    /// # Errors
    /// The end is of another store.
    ///
    /// # Panics
    /// As [`Accessor::with`].
    pub fn closed<'a, D: 'static>(
        &self,
        accessor: &'a Accessor<D>,
    ) -> impl Future<Output = Result<()>> + use<'a, D, T> {
        closed(accessor, self.end)
    }

    async fn write_once<D: 'static>(
        &mut self,
        accessor: &Accessor<D>,
        items: Vec<T>,
        is_last: bool,
    ) -> Result<Vec<T>> {
        if items.is_empty() {
            return Ok(items);
        }
        let buffer = Writing { items, is_last };
        let finish = |buffer: &mut Writing<T>| std::mem::take(&mut buffer.items);
        exchange(accessor, self.end, buffer, finish).await
    }

    /// Writes payloads until all are read, or the reader is closed: what is left then.
    ///
    /// # Errors
    /// As [`write`](StreamWriter::write).
    ///
    /// # Panics
    /// As [`Accessor::with`].
    pub async fn write_all<D: 'static>(
        &mut self,
        accessor: &Accessor<D>,
        items: Vec<T>,
    ) -> Result<Vec<T>> {
        self.write_pieces(accessor, items, false).await
    }

    /// As [`write_all`](StreamWriter::write_all), and closes this end with the last payload: who
    /// reads it sees that there is no more, and need not read again.
    ///
    /// # Errors
    /// As [`write`](StreamWriter::write).
    ///
    /// # Panics
    /// As [`Accessor::with`].
    pub async fn write_last<D: 'static>(
        mut self,
        accessor: &Accessor<D>,
        items: Vec<T>,
    ) -> Result<Vec<T>> {
        let closes_with_them = !items.is_empty();
        let left = self.write_pieces(accessor, items, true).await?;
        if !closes_with_them || !left.is_empty() {
            accessor.with(|store| self.close(store))?;
        }
        Ok(left)
    }

    async fn write_pieces<D: 'static>(
        &mut self,
        accessor: &Accessor<D>,
        mut items: Vec<T>,
        is_last: bool,
    ) -> Result<Vec<T>> {
        while !items.is_empty() {
            let before = items.len();
            items = self.write_once(accessor, items, is_last).await?;
            if items.len() == before {
                break;
            }
        }
        Ok(items)
    }

    /// Closes the end: the reader sees that there is no more.
    ///
    /// # Errors
    /// The end is of another store.
    pub fn close(self, mut store: impl AsContextMut) -> Result<()> {
        self.end.close(run_of(&mut store.as_context_mut()))
    }
}

impl<T: Payload> FutureReader<T> {
    /// Waits for the value; `None` if there will be none. Closes this end.
    ///
    /// # Errors
    /// As [`StreamReader::read`].
    ///
    /// # Panics
    /// As [`Accessor::with`].
    pub async fn read<D: 'static>(self, accessor: &Accessor<D>) -> Result<Option<T>> {
        let value = read(accessor, &self.any, 1, false).await?.pop();
        accessor.with(|store| self.any.close(store))?;
        Ok(value)
    }

    /// Closes the end: what is written is dropped.
    ///
    /// # Errors
    /// The end was given away, or is of another store.
    pub fn close(self, store: impl AsContextMut) -> Result<()> {
        self.any.close(store)
    }
}

impl<T: Payload> FutureWriter<T> {
    /// A future of the host: its two ends.
    pub fn pair(mut store: impl AsContextMut) -> (FutureWriter<T>, FutureReader<T>) {
        let (end, any) = make::<T>(run_of(&mut store.as_context_mut()), true);
        let writer = FutureWriter {
            end,
            payload: PhantomData,
        };
        let reader = FutureReader {
            any,
            payload: PhantomData,
        };
        (writer, reader)
    }

    /// Waits until the reader is closed.
    ///
    /// # Errors
    /// The end is of another store.
    ///
    /// # Panics
    /// As [`Accessor::with`].
    pub fn closed<'a, D: 'static>(
        &self,
        accessor: &'a Accessor<D>,
    ) -> impl Future<Output = Result<()>> + use<'a, D, T> {
        closed(accessor, self.end)
    }

    /// Writes the value, and waits until it is read: the value, if the reader is closed. Closes
    /// this end.
    ///
    /// # Errors
    /// As [`StreamWriter::write`].
    ///
    /// # Panics
    /// As [`Accessor::with`].
    pub async fn write<D: 'static>(self, accessor: &Accessor<D>, value: T) -> Result<Option<T>> {
        let buffer = Writing {
            items: vec![value],
            is_last: false,
        };
        let finish = |buffer: &mut Writing<T>| buffer.items.pop();
        let left = exchange(accessor, self.end, buffer, finish).await?;
        accessor.with(|mut store| self.end.close(run_of(&mut store)))?;
        Ok(left)
    }
}

async fn read<D: 'static, T: Payload>(
    accessor: &Accessor<D>,
    any: &StreamAny,
    max: usize,
    is_last: bool,
) -> Result<Vec<T>> {
    const { check::<T>() };
    if max == 0 {
        return Err(Error::msg("a read of no payloads"));
    }
    let buffer = Reading {
        items: Vec::new(),
        max,
        is_last,
    };
    let finish = |buffer: &mut Reading<T>| std::mem::take(&mut buffer.items);
    exchange(accessor, HostEnd::of(any), buffer, finish).await
}

impl StreamAny {
    /// The end, of a stream of `T`.
    ///
    /// # Errors
    /// If it is of a future or of other payloads, was given away, or is of another store.
    pub fn try_into_stream<T: Payload>(self, store: impl AsContextMut) -> Result<StreamReader<T>> {
        self.check::<T>(store, false)?;
        Ok(StreamReader {
            any: self,
            payload: PhantomData,
        })
    }

    /// The end, of a future of `T`.
    ///
    /// # Errors
    /// If it is of a stream or of other payloads, was given away, or is of another store.
    pub fn try_into_future<T: Payload>(self, store: impl AsContextMut) -> Result<FutureReader<T>> {
        self.check::<T>(store, true)?;
        Ok(FutureReader {
            any: self,
            payload: PhantomData,
        })
    }

    fn check<T: Payload>(&self, mut store: impl AsContextMut, is_future: bool) -> Result<()> {
        const { check::<T>() };
        let run = run_of(&mut store.as_context_mut());
        let shared = HostEnd::of(self).shared(run)?;
        match (shared.is_future, shared.payload) == (is_future, T::HASH) {
            true => Ok(()),
            false => Err(Error::msg("a stream or future of another type")),
        }
    }

    /// Closes the end: what is written is dropped.
    ///
    /// # Errors
    /// If it was given away, or is of another store.
    pub fn close(self, mut store: impl AsContextMut) -> Result<()> {
        HostEnd::of(&self).close(run_of(&mut store.as_context_mut()))
    }
}

macro_rules! ends {
    ($($name:ident, $tag:ident, $is_future:literal;)*) => {$(
        impl<T> From<$name<T>> for StreamAny {
            fn from(end: $name<T>) -> StreamAny {
                end.any
            }
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.any).finish()
            }
        }

        impl<T: Payload> ComponentType for $name<T> {
            // The constants are those of a handle.
            const SEAL: Seal = Seal::KEPT;
            const HASH: TypeHash = TypeHash::of_parts(Tag::$tag, &[T::HASH]);
            const LAYOUT: Layout = Layout::scalar(HANDLE_SIZE);
            const FLAT: Flat = Flat::one(FlatType::I32);
            const HAS_POINTERS: bool = true;
            const HANDLES: usize = T::HANDLES;

            fn handles(found: &mut Vec<HandleType>) {
                T::handles(found);
            }

            fn describe(types: &mut Types) -> Option<ValueType> {
                const { check::<T>() };
                let payload = T::describe(types);
                Some(ValueType::Def(types.push(TypeDef::$tag(payload))))
            }
        }

        impl<T: Payload> Lower for $name<T> {
            // Writes a handle that the guest has.
            const SEAL: Seal = Seal::KEPT;

            fn lower_flat(&self, cx: &mut LowerContext<'_>, out: &mut [u64]) -> Result<()> {
                out[0] = cx.add_end(&self.any, T::HASH)?.into();
                Ok(())
            }

            fn store(&self, cx: &mut LowerContext<'_>, offset: usize) -> Result<()> {
                let handle = cx.add_end(&self.any, T::HASH)?;
                cx.write(offset, &handle.to_le_bytes());
                Ok(())
            }
        }

        impl<T: Payload> Lift for $name<T> {
            // Takes handles that the guest has.
            const SEAL: Seal = Seal::KEPT;

            fn lift_flat(cx: &mut LiftContext<'_>, flat: &[u64]) -> Result<Self> {
                let any = cx.take_end($is_future, T::HASH, flat[0] as u32)?;
                Ok($name { any, payload: PhantomData })
            }

            fn load(cx: &mut LiftContext<'_>, bytes: &[u8]) -> Result<Self> {
                match bytes.first_chunk() {
                    Some(bytes) => Self::lift_flat(cx, &[u32::from_le_bytes(*bytes).into()]),
                    None => unreachable!("a handle has four bytes"),
                }
            }
        }
    )*};
}

ends! {
    StreamReader, Stream, false;
    FutureReader, Future, true;
}

impl<T> fmt::Debug for StreamWriter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamWriter").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for FutureWriter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FutureWriter").finish_non_exhaustive()
    }
}
