//! Bodies that a guest sends: a buffer between the guest and the connection.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use cwasm::{Error, Resource, Result};
use http::header::{CONTENT_LENGTH, HeaderMap};
use http_body::{Body, Frame, SizeHint};

use super::ErrorCode;
use super::bindings::wasi::http::types;
use super::error::{BodyError, HttpError};
use super::fields::Fields;
#[cfg(feature = "p3")]
use super::incoming_body::AnyBody;
use crate::ctx::WasiCtx;
use crate::io::{CHUNK, Interest, OutputStream, Sink};
use crate::quota::Claim;

/// The message that a body belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Message {
    Request,
    Response,
}

impl Message {
    /// The error of a body whose size is not the one that its headers say.
    fn wrong_size(self, size: u64) -> ErrorCode {
        match self {
            Message::Request => ErrorCode::HttpRequestBodySize(Some(size)),
            Message::Response => ErrorCode::HttpResponseBodySize(Some(size)),
        }
    }
}

/// The body of a message that a guest sends. Dropped before it is finished, it ends the message
/// with an error.
#[derive(Debug)]
pub struct OutgoingBody {
    pipe: Arc<Pipe>,
    has_stream: bool,
}

/// The end of a body that the connection reads. By default there is no body.
#[derive(Default)]
pub struct SentBody(Kind);

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    /// A guest writes it.
    Piped(Arc<Pipe>),
    /// It was received, and is passed on.
    #[cfg(feature = "p3")]
    Received(AnyBody),
}

impl SentBody {
    /// Whether there is a body.
    pub(super) fn is_some(&self) -> bool {
        !matches!(self.0, Kind::Empty)
    }

    /// A body that was received, and is passed on.
    #[cfg(feature = "p3")]
    pub(crate) fn received(body: AnyBody) -> SentBody {
        SentBody(Kind::Received(body))
    }
}

impl fmt::Debug for SentBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentBody").finish_non_exhaustive()
    }
}

/// A buffer that a guest fills and a connection empties.
#[derive(Debug)]
pub(crate) struct Pipe {
    state: Mutex<State>,
    message: Message,
    /// The size that the headers say.
    size: Option<u64>,
    _claim: Claim,
}

#[derive(Debug)]
struct State {
    data: BytesMut,
    /// Bytes that the guest has written, or tried to write beyond its size.
    written: u64,
    end: Option<End>,
    /// Bytes that the connection has taken.
    taken: u64,
    /// The connection has all of it.
    is_read: bool,
    /// Nobody reads any more.
    is_abandoned: bool,
    reader: Option<Waker>,
    /// The guest, which waits for room, or for the end.
    writer: Waker,
}

#[derive(Debug)]
enum End {
    /// With trailers that were not read yet.
    Finished(Option<HeaderMap>),
    Aborted,
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, end: End) {
        let mut state = self.lock();
        if state.end.is_none() {
            state.end = Some(end);
        }
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// The size that the headers of a message say.
///
/// # Errors
/// If it is no number, or there are several that differ.
pub(crate) fn declared_size(headers: &HeaderMap) -> Result<Option<u64>, ErrorCode> {
    let mut sizes = headers.get_all(CONTENT_LENGTH).iter().map(|value| {
        let digits = value
            .to_str()
            .ok()
            .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
        digits.and_then(|digits| digits.parse().ok())
    });
    let Some(first) = sizes.next() else {
        return Ok(None);
    };
    match first.is_some() && sizes.all(|size| size == first) {
        true => Ok(first),
        false => Err(ErrorCode::HttpProtocolError),
    }
}

impl OutgoingBody {
    /// Both ends of a body.
    pub(super) fn new(
        message: Message,
        size: Option<u64>,
        claim: Claim,
        writer: Waker,
    ) -> (OutgoingBody, SentBody) {
        let state = State {
            data: BytesMut::new(),
            written: 0,
            end: None,
            taken: 0,
            is_read: false,
            is_abandoned: false,
            reader: None,
            writer,
        };
        let pipe = Arc::new(Pipe {
            state: Mutex::new(state),
            message,
            size,
            _claim: claim,
        });
        let body = OutgoingBody {
            pipe: Arc::clone(&pipe),
            has_stream: false,
        };
        (body, SentBody(Kind::Piped(pipe)))
    }

    /// The buffer.
    #[cfg(feature = "p3")]
    pub(crate) fn pipe(&self) -> &Arc<Pipe> {
        &self.pipe
    }

    pub(crate) fn finish(&self, trailers: Option<HeaderMap>) -> Result<(), ErrorCode> {
        let (message, size, written) =
            (self.pipe.message, self.pipe.size, self.pipe.lock().written);
        if size.is_some_and(|size| size != written) {
            return Err(message.wrong_size(written));
        }
        self.pipe.end(End::Finished(trailers));
        Ok(())
    }
}

impl Drop for OutgoingBody {
    fn drop(&mut self) {
        self.pipe.end(End::Aborted);
    }
}

impl Pipe {
    /// Writes some of the bytes, which are not empty: how many.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if there is no room; [`io::ErrorKind::BrokenPipe`] if nobody
    /// reads any more; a [`BodyError`] if they are more than the headers say.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.lock();
        if state.is_abandoned {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let after = state.written.saturating_add(bytes.len() as u64);
        if self.size.is_some_and(|size| after > size) {
            // The body is wrong from now on, whatever is written after this.
            state.written = after;
            return Err(BodyError(self.message.wrong_size(after)).into());
        }
        if !Pipe::is_ready(&state) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // One chunk more than what makes it full, so that whole chunks pass.
        let count = bytes.len().min(2 * CHUNK - state.data.len());
        state.data.extend_from_slice(&bytes[..count]);
        state.written += count as u64;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(count)
    }

    /// Whether `write` takes something, or never will.
    fn is_ready(state: &State) -> bool {
        state.is_abandoned || state.data.len() < CHUNK
    }
}

/// For those who wait as futures do.
#[cfg(feature = "p3")]
impl Pipe {
    /// Waits until there is room, or nobody reads any more.
    pub(crate) async fn ready(&self) {
        self.wait(|state| Pipe::is_ready(state).then_some(())).await;
    }

    /// Waits until the connection has all of the body, or wants no more of it: whether it has all.
    pub(crate) async fn done(&self) -> bool {
        self.wait(|state| match (state.is_read, state.is_abandoned) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        })
        .await
    }

    async fn wait<R>(&self, ready: impl Fn(&State) -> Option<R>) -> R {
        std::future::poll_fn(|context| {
            let mut state = self.lock();
            if let Some(result) = ready(&state) {
                return Poll::Ready(result);
            }
            state.writer.clone_from(context.waker());
            Poll::Pending
        })
        .await
    }
}

/// The contents of a body.
struct Contents(Arc<Pipe>);

impl Sink for Contents {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn interest(&self) -> Interest<'_> {
        match Pipe::is_ready(&self.0.lock()) {
            true => Interest::Ready,
            false => Interest::Change(None),
        }
    }
}

impl Body for SentBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Piped(pipe) => pipe.poll_frame(context),
            #[cfg(feature = "p3")]
            Kind::Received(body) => body.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Piped(_) => false,
            #[cfg(feature = "p3")]
            Kind::Received(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            // Some have been read, perhaps; it is asked before.
            Kind::Piped(pipe) => pipe
                .size
                .map_or_else(SizeHint::default, SizeHint::with_exact),
            #[cfg(feature = "p3")]
            Kind::Received(body) => body.size_hint(),
        }
    }
}

impl Pipe {
    fn poll_frame(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = self.lock();
        if !state.data.is_empty() {
            let was_full = state.data.len() >= CHUNK;
            let data = state.data.split().freeze();
            state.taken += data.len() as u64;
            if was_full {
                state.writer.wake_by_ref();
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match state.end.take() {
            None => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
            Some(End::Aborted) => {
                state.end = Some(End::Aborted);
                let error = ErrorCode::InternalError(Some("the body was not finished".to_owned()));
                Poll::Ready(Some(Err(BodyError(error))))
            }
            Some(End::Finished(trailers)) => {
                state.end = Some(End::Finished(None));
                state.is_read = true;
                state.writer.wake_by_ref();
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
        }
    }
}

impl Drop for SentBody {
    fn drop(&mut self) {
        let Kind::Piped(pipe) = &self.0 else {
            return;
        };
        let mut state = pipe.lock();
        // Whoever knows the size need not ask for the end.
        state.is_read |= pipe.size == Some(state.taken);
        state.is_abandoned = true;
        state.data = BytesMut::new();
        state.writer.wake_by_ref();
    }
}

impl WasiCtx {
    /// A body of a message with these headers.
    pub(crate) fn outgoing_body(
        &self,
        message: Message,
        headers: &HeaderMap,
    ) -> Result<(OutgoingBody, SentBody)> {
        let claim = self.http.bodies.claim(1);
        let claim = claim.ok_or_else(|| Error::msg("more outgoing bodies than are allowed"))?;
        // What cannot be understood is an error when the message is sent.
        let size = declared_size(headers).unwrap_or(None);
        Ok(OutgoingBody::new(message, size, claim, self.signal.waker()))
    }
}

impl types::HostOutgoingBody for WasiCtx {
    fn write(
        &mut self,
        body: Resource<OutgoingBody>,
    ) -> Result<Result<Resource<OutputStream>, ()>> {
        let outgoing = self.table.get_mut(&body)?;
        if std::mem::replace(&mut outgoing.has_stream, true) {
            return Ok(Err(()));
        }
        let stream = OutputStream::new(Contents(Arc::clone(&outgoing.pipe)));
        Ok(Ok(self.table.push_child(stream, &body)?))
    }

    fn finish(
        &mut self,
        body: Resource<OutgoingBody>,
        trailers: Option<Resource<Fields>>,
    ) -> Result<(), HttpError> {
        let body = self.table.delete(body)?;
        let trailers = match trailers {
            Some(trailers) => {
                let (map, _claim) = self.table.delete(trailers)?.into_parts();
                Some(Arc::unwrap_or_clone(map))
            }
            None => None,
        };
        Ok(body.finish(trailers)?)
    }

    fn drop(&mut self, body: Resource<OutgoingBody>) -> Result<()> {
        self.table.delete(body)?;
        Ok(())
    }
}
