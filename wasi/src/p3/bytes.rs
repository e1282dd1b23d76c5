//! Streams of bytes between a guest and what the host has: files, descriptors, sockets.
//!
//! ```text
//! Source -> memory of the guest that reads   (read_stream)
//! memory of the guest that writes -> Sink    (write_stream)
//! ```
//!
//! A source or sink moves bytes where they lie in the guest's memory, and never waits for it: if it
//! cannot go on, what it waits for is awaited without the store.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use cwasm::{Accessor, FutureReader, FutureWriter, Payload, StreamReader, StreamWriter};

use crate::ctx::WasiCtx;
use crate::io::CHUNK;
use crate::quota::Claim;

/// Where the bytes of a stream come from.
pub(crate) trait Source: Send + 'static {
    /// Reads some bytes without waiting: how many, 0 at the end. There is room for one at least.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if there are none yet; the system's.
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize>;

    /// Waits until [`read`](Source::read) can go on: `None`. Or reads by other means: the bytes,
    /// none at the end.
    ///
    /// # Errors
    /// The system's.
    fn wait(&mut self) -> impl Future<Output = io::Result<Option<Vec<u8>>>> + Send;
}

/// Where the bytes of a stream go.
pub(crate) trait Sink: Send + 'static {
    /// Writes some of the bytes, which are not empty, without waiting: how many.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if it takes nothing yet; the system's.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Waits until [`write`](Sink::write) can go on.
    ///
    /// # Errors
    /// The system's.
    fn wait(&mut self) -> impl Future<Output = io::Result<Next>> + Send;

    /// Writes all of the bytes, if [`wait`](Sink::wait) has asked for them: by default it does not.
    ///
    /// # Errors
    /// The system's.
    fn write_all(&mut self, bytes: Vec<u8>) -> impl Future<Output = io::Result<()>> + Send {
        drop(bytes);
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// All is written.
    fn finish(&mut self) {}
}

/// How a [`Sink`] goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// By [`Sink::write`].
    Write,
    /// By [`Sink::write_all`]: nothing can be written without waiting.
    WriteAll,
}

/// The end of a stream, and the future that says how it went.
pub(crate) type Reading<E> = (StreamReader<u8>, FutureReader<Result<(), E>>);

/// A stream of the bytes of `source`, or one that is over if there is none.
pub(crate) fn read_stream<T: 'static, E: Send + 'static>(
    accessor: &Accessor<T>,
    source: Result<impl Source, E>,
    code: fn(io::Error) -> E,
    streaming: Streaming,
) -> Reading<E>
where
    Result<(), E>: Payload,
{
    let (writer, bytes) = accessor.with(|store| StreamWriter::pair(store));
    let (outcome_writer, outcome) = accessor.with(|store| FutureWriter::pair(store));
    accessor.spawn(move |accessor| {
        Box::pin(async move {
            let result = match source {
                Ok(mut source) => send(accessor, &mut source, writer).await.map_err(code),
                Err(error) => {
                    let _ = accessor.with(|store| writer.close(store));
                    Err(error)
                }
            };
            // Whether somebody wants to know it is the guest's affair.
            let _ = outcome_writer.write(accessor, result).await;
            drop(streaming);
        })
    });
    (bytes, outcome)
}

/// How many writes, or other things that a guest has begun and need not wait for, are not over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writes(Arc<AtomicUsize>);

impl Writes {
    /// Whether there are such.
    pub(crate) fn any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }

    pub(crate) fn begin(&self) -> Write {
        self.0.fetch_add(1, Ordering::Relaxed);
        Write(Arc::clone(&self.0))
    }
}

/// The right to have a stream that the host reads or writes, and what it takes part in.
#[derive(Debug)]
pub(crate) struct Streaming {
    pub(crate) writes: Writes,
    _claim: Claim,
}

impl WasiCtx {
    /// The right to have one more stream of the host's.
    ///
    /// # Errors
    /// The guest has too many.
    pub(crate) fn streaming(&self) -> cwasm::Result<Streaming> {
        let claim = self.streams.claim(1);
        let claim = claim.ok_or_else(|| cwasm::Error::msg("more streams than are allowed"))?;
        Ok(Streaming {
            writes: self.writes.clone(),
            _claim: claim,
        })
    }
}

/// One of [`Writes`], until it is dropped.
pub(crate) struct Write(Arc<AtomicUsize>);

impl Drop for Write {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// Writes the bytes of a stream to `sink`, or closes it if there is none: the future that says how
/// it went.
pub(crate) fn write_stream<T: 'static, E: Send + 'static>(
    accessor: &Accessor<T>,
    bytes: StreamReader<u8>,
    sink: Result<impl Sink, E>,
    code: fn(io::Error) -> E,
    streaming: Streaming,
) -> FutureReader<Result<(), E>>
where
    Result<(), E>: Payload,
{
    let (outcome_writer, outcome) = accessor.with(|store| FutureWriter::pair(store));
    accessor.spawn(move |accessor| {
        Box::pin(async move {
            let result = match sink {
                Ok(sink) => {
                    let end = std::future::pending::<()>();
                    let received = receive(accessor, bytes, sink, &streaming.writes, end).await;
                    received.map_err(code)
                }
                Err(error) => {
                    let _ = accessor.with(|store| bytes.close(store));
                    Err(error)
                }
            };
            let _ = outcome_writer.write(accessor, result).await;
            drop(streaming);
        })
    });
    outcome
}

/// An error of the store: its component has failed meanwhile.
fn of_store(error: cwasm::Error) -> io::Error {
    io::Error::other(error.to_string())
}

/// What came of one try to move bytes.
enum Step {
    /// Some were moved, or nobody is there at the moment.
    Again,
    /// The other end is closed, or the source is at its end.
    Over,
    /// The source or sink waits.
    Blocked,
    /// The other end has asked for nothing, to know when there is something.
    Asked,
    Failed(io::Error),
}

impl Step {
    fn of(result: io::Result<usize>, is_over: bool) -> Step {
        match result {
            Ok(0) if is_over => Step::Over,
            Ok(_) => Step::Again,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Step::Blocked,
                io::ErrorKind::Interrupted => Step::Again,
                _ => Step::Failed(error),
            },
        }
    }
}

/// Writes the bytes of `source` to a stream until either is over; closes it.
///
/// # Errors
/// The source's.
pub(crate) async fn send<T: 'static>(
    accessor: &Accessor<T>,
    source: &mut impl Source,
    mut writer: StreamWriter<u8>,
) -> io::Result<()> {
    let result = send_all(accessor, source, &mut writer).await;
    let _ = accessor.with(|store| writer.close(store));
    result
}

async fn send_all<T: 'static>(
    accessor: &Accessor<T>,
    source: &mut impl Source,
    writer: &mut StreamWriter<u8>,
) -> io::Result<()> {
    loop {
        writer.ready(accessor).await.map_err(of_store)?;
        let bytes = match accessor.with(|mut store| send_some(&mut store, source, writer)) {
            Step::Again => continue,
            Step::Over => return Ok(()),
            Step::Failed(error) => return Err(error),
            Step::Asked => {
                // No more than tells that there is something: the rest is read when it is wanted,
                // perhaps by somebody else.
                let mut bytes = vec![0];
                let count = source.read(&mut bytes);
                bytes.truncate(*count.as_ref().unwrap_or(&0));
                match Step::of(count, true) {
                    Step::Over => return Ok(()),
                    Step::Failed(error) => return Err(error),
                    Step::Blocked => None,
                    Step::Again | Step::Asked => Some(bytes),
                }
            }
            Step::Blocked => None,
        };
        let bytes = match bytes {
            Some(bytes) => bytes,
            None => match unless(source.wait(), writer.closed(accessor)).await {
                None => return Ok(()),
                Some(Err(error)) => return Err(error),
                Some(Ok(None)) => continue,
                Some(Ok(Some(bytes))) if bytes.is_empty() => return Ok(()),
                Some(Ok(Some(bytes))) => bytes,
            },
        };
        let left = writer.write_all(accessor, bytes).await;
        if !left.map_err(of_store)?.is_empty() {
            return Ok(());
        }
    }
}

fn send_some(
    mut store: impl cwasm::AsContextMut,
    source: &mut impl Source,
    writer: &mut StreamWriter<u8>,
) -> Step {
    let mut step = Step::Again;
    let used = writer.write_with(&mut store, |room| {
        if room.is_empty() {
            step = Step::Asked;
            return 0;
        }
        let result = source.read(room);
        let count = *result.as_ref().unwrap_or(&0);
        step = Step::of(result, true);
        count
    });
    match (used, writer.is_closed(store)) {
        (Ok(None), Ok(true)) => Step::Over,
        (Err(error), _) | (_, Err(error)) => Step::Failed(of_store(error)),
        (Ok(_), Ok(_)) => step,
    }
}

/// Writes the bytes of a stream to `sink` until it is over, the sink fails, or `end` comes; closes
/// it.
///
/// # Errors
/// The sink's; [`io::ErrorKind::BrokenPipe`] if `end` comes first.
pub(crate) async fn receive<T: 'static>(
    accessor: &Accessor<T>,
    mut reader: StreamReader<u8>,
    mut sink: impl Sink,
    writes: &Writes,
    end: impl Future,
) -> io::Result<()> {
    let all = receive_all(accessor, &mut reader, &mut sink, writes);
    let result = unless(all, end).await;
    let result = result.unwrap_or(Err(io::ErrorKind::BrokenPipe.into()));
    let _ = accessor.with(|store| reader.close(store));
    result
}

async fn receive_all<T: 'static>(
    accessor: &Accessor<T>,
    reader: &mut StreamReader<u8>,
    sink: &mut impl Sink,
    writes: &Writes,
) -> io::Result<()> {
    let is_of_host = accessor.with(|store| reader.is_of_host(store));
    if is_of_host.map_err(of_store)? {
        return pass_all(accessor, reader, sink, writes).await;
    }
    loop {
        reader.ready(accessor).await.map_err(of_store)?;
        match accessor.with(|mut store| receive_some(&mut store, reader, sink)) {
            Step::Again => {}
            Step::Over => {
                sink.finish();
                return Ok(());
            }
            Step::Failed(error) => return Err(error),
            // Nothing is written: the next `ready` waits for more.
            Step::Asked => {}
            Step::Blocked => match unless(sink.wait(), reader.closed(accessor)).await {
                // What was being written is no longer: there is nothing to write.
                None => {}
                Some(Err(error)) => return Err(error),
                Some(Ok(Next::Write)) => {}
                Some(Ok(Next::WriteAll)) => {
                    let bytes = accessor.with(|mut store| take(&mut store, reader));
                    let bytes = bytes.map_err(of_store)?;
                    if !bytes.is_empty() {
                        let _write = writes.begin();
                        sink.write_all(bytes).await?;
                    }
                }
            },
        }
    }
}

/// As [`receive_all`], of a stream that passes from the host to the host: in a buffer.
async fn pass_all<T: 'static>(
    accessor: &Accessor<T>,
    reader: &mut StreamReader<u8>,
    sink: &mut impl Sink,
    writes: &Writes,
) -> io::Result<()> {
    loop {
        let bytes = reader.read(accessor, CHUNK).await.map_err(of_store)?;
        if bytes.is_empty() {
            sink.finish();
            return Ok(());
        }
        let _write = writes.begin();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match sink.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => match sink.wait().await? {
                        Next::Write => {}
                        Next::WriteAll => {
                            sink.write_all(rest.to_vec()).await?;
                            break;
                        }
                    },
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
    }
}

fn receive_some(
    mut store: impl cwasm::AsContextMut,
    reader: &mut StreamReader<u8>,
    sink: &mut impl Sink,
) -> Step {
    let mut step = Step::Again;
    let used = reader.read_with(&mut store, |bytes| {
        if bytes.is_empty() {
            step = Step::Asked;
            return 0;
        }
        let result = sink.write(bytes);
        let count = *result.as_ref().unwrap_or(&0);
        step = Step::of(result, false);
        count
    });
    match (used, reader.is_closed(store)) {
        (Ok(None), Ok(true)) => Step::Over,
        (Err(error), _) | (_, Err(error)) => Step::Failed(of_store(error)),
        (Ok(_), Ok(_)) => step,
    }
}

/// Takes a chunk of the bytes that are being written.
fn take(store: impl cwasm::AsContextMut, reader: &mut StreamReader<u8>) -> cwasm::Result<Vec<u8>> {
    let mut taken = Vec::new();
    reader.read_with(store, |bytes| {
        taken.extend_from_slice(&bytes[..bytes.len().min(CHUNK)]);
        taken.len()
    })?;
    Ok(taken)
}

/// Waits for `work`, unless `end` comes first.
pub(crate) async fn unless<R>(work: impl Future<Output = R>, end: impl Future) -> Option<R> {
    let (mut work, mut end) = (pin!(work), pin!(end));
    poll_fn(|context| {
        if let Poll::Ready(result) = work.as_mut().poll(context) {
            return Poll::Ready(Some(result));
        }
        end.as_mut().poll(context).map(|_| None)
    })
    .await
}
