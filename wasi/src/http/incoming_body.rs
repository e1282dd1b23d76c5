//! Bodies that a guest receives, and their trailers.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use cwasm::{Error, Resource, Result};
use http::HeaderMap;
use http_body::Body;

use super::ErrorCode;
use super::bindings::wasi::http::types;
use super::error::BodyError;
use super::fields::{Fields, size_of};
use crate::ctx::WasiCtx;
use crate::io::{InputStream, Interest, Pollable, Source, Subscribe, now};

/// A body of any kind.
pub(crate) type AnyBody = Pin<Box<dyn Body<Data = Bytes, Error = BodyError> + Send>>;

/// The body of a message that a guest receives.
#[derive(Debug)]
pub struct IncomingBody {
    shared: Arc<Mutex<Receiver>>,
    has_stream: bool,
}

/// The trailers of a message, which come after its body.
#[derive(Debug)]
pub struct FutureTrailers {
    shared: Arc<Mutex<Receiver>>,
    is_taken: bool,
}

/// Receives a body; it is asked for more when the guest asks.
struct Receiver {
    /// `None` at the end.
    body: Option<AnyBody>,
    /// What has come.
    data: Bytes,
    trailers: Option<HeaderMap>,
    /// Why the rest does not come.
    failure: Option<ErrorCode>,
    /// Wakes the guest.
    waker: Waker,
    /// How long the next part may take.
    patience: Option<Duration>,
    /// When the guest waits no longer for the next part.
    until: Option<u64>,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

fn lock(shared: &Mutex<Receiver>) -> MutexGuard<'_, Receiver> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Receiver {
    /// Asks for more, unless there is some, or the end has come: whether nothing can be said yet.
    fn is_pending(&mut self) -> bool {
        let waker = self.waker.clone();
        let mut context = Context::from_waker(&waker);
        while self.data.is_empty()
            && let Some(body) = &mut self.body
        {
            let Poll::Ready(frame) = body.as_mut().poll_frame(&mut context) else {
                return self.waits_on();
            };
            self.until = None;
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.data = data,
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Some(Err(BodyError(code))) => self.fail(code),
                None => self.body = None,
            }
        }
        false
    }

    /// Whether the time for the next part is not over.
    fn waits_on(&mut self) -> bool {
        let Some(patience) = self.patience else {
            return true;
        };
        let nanoseconds = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX);
        let until = *self
            .until
            .get_or_insert_with(|| now().saturating_add(nanoseconds));
        if now() < until {
            return true;
        }
        self.fail(ErrorCode::ConnectionReadTimeout);
        false
    }

    fn fail(&mut self, code: ErrorCode) {
        self.body = None;
        self.failure = Some(code);
    }

    fn interest(&mut self) -> Interest<'static> {
        match self.is_pending() {
            true => Interest::Change(self.until),
            false => Interest::Ready,
        }
    }

    /// Skips what is left of the contents: whether the trailers cannot be told yet.
    fn skips(&mut self) -> bool {
        loop {
            let is_pending = self.is_pending();
            if is_pending || self.data.is_empty() {
                return is_pending;
            }
            self.data.clear();
        }
    }
}

impl IncomingBody {
    pub(super) fn new(body: AnyBody, patience: Option<Duration>, waker: Waker) -> IncomingBody {
        let receiver = Receiver {
            body: Some(body),
            data: Bytes::new(),
            trailers: None,
            failure: None,
            waker,
            patience,
            until: None,
        };
        IncomingBody {
            shared: Arc::new(Mutex::new(receiver)),
            has_stream: false,
        }
    }
}

/// The contents of a body.
struct Contents(Arc<Mutex<Receiver>>);

impl Source for Contents {
    fn read(&mut self, bytes: &mut Vec<u8>, len: usize) -> io::Result<()> {
        let mut receiver = lock(&self.0);
        if receiver.is_pending() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if receiver.data.is_empty()
            && let Some(code) = &receiver.failure
        {
            return Err(BodyError(code.clone()).into());
        }
        let len = len.min(receiver.data.len());
        bytes.extend_from_slice(&receiver.data[..len]);
        receiver.data.advance(len);
        Ok(())
    }

    fn interest(&self) -> Interest<'_> {
        lock(&self.0).interest()
    }
}

impl Subscribe for FutureTrailers {
    fn interest(&self) -> Interest<'_> {
        let mut receiver = lock(&self.shared);
        match !self.is_taken && receiver.skips() {
            true => Interest::Change(receiver.until),
            false => Interest::Ready,
        }
    }
}

impl types::HostIncomingBody for WasiCtx {
    fn stream(
        &mut self,
        body: Resource<IncomingBody>,
    ) -> Result<Result<Resource<InputStream>, ()>> {
        let incoming = self.table.get_mut(&body)?;
        if std::mem::replace(&mut incoming.has_stream, true) {
            return Ok(Err(()));
        }
        let stream = InputStream::new(Contents(Arc::clone(&incoming.shared)));
        Ok(Ok(self.table.push_child(stream, &body)?))
    }

    fn finish(&mut self, body: Resource<IncomingBody>) -> Result<Resource<FutureTrailers>> {
        let IncomingBody { shared, .. } = self.table.delete(body)?;
        let trailers = FutureTrailers {
            shared,
            is_taken: false,
        };
        Ok(self.table.push(trailers)?)
    }

    fn drop(&mut self, body: Resource<IncomingBody>) -> Result<()> {
        self.table.delete(body)?;
        Ok(())
    }
}

/// Trailers, if there are any, or why they did not come.
type Received = Result<Option<Resource<Fields>>, ErrorCode>;

impl types::HostFutureTrailers for WasiCtx {
    fn subscribe(&mut self, trailers: Resource<FutureTrailers>) -> Result<Resource<Pollable>> {
        self.subscribe_to(&trailers)
    }

    fn get(&mut self, trailers: Resource<FutureTrailers>) -> Result<Option<Result<Received, ()>>> {
        let future = self.table.get_mut(&trailers)?;
        if future.is_taken {
            return Ok(Some(Err(())));
        }
        let mut receiver = lock(&future.shared);
        if receiver.skips() {
            return Ok(None);
        }
        let (received, failure) = (receiver.trailers.take(), receiver.failure.take());
        drop(receiver);
        future.is_taken = true;
        if let Some(code) = failure {
            return Ok(Some(Ok(Err(code))));
        }
        let Some(mut received) = received else {
            return Ok(Some(Ok(Ok(None))));
        };
        self.http.remove_forbidden(&mut received);
        let claim = self.http.claim_head(size_of(&received));
        let claim = claim.map_err(|error: Error| error.context("trailers"))?;
        let fields = Fields::received(received, claim);
        let fields = self.table.push_child(fields, &trailers)?;
        Ok(Some(Ok(Ok(Some(fields)))))
    }

    fn drop(&mut self, trailers: Resource<FutureTrailers>) -> Result<()> {
        self.table.delete(trailers)?;
        Ok(())
    }
}
