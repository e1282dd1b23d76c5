//! Bodies of messages, from guests and for them.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_io::Timer;
use bytes::{Buf as _, Bytes};
use cwasm::{
    Access, Accessor, FutureReader, FutureWriter, Resource, Result, StreamReader, StreamWriter,
};
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use crate::ctx::WasiCtx;
use crate::http::{
    AnyBody, BodyError, ErrorCode, Fields, Message, OutgoingBody, Pipe, SentBody, code_in, size_of,
};
use crate::p3::bytes::{Next, Sink, Source, Streaming, receive, send, unless};

/// Trailers, if there are any, or why the body is not whole.
pub(super) type Trailers = Result<Option<Resource<Fields>>, ErrorCode>;

/// Whether a message was transmitted.
pub(super) type Sent = Result<(), ErrorCode>;

/// The body of a message.
pub(super) enum Body {
    Guest(GuestBody),
    Received(ReceivedBody),
}

/// A body that a guest makes.
pub(super) struct GuestBody {
    pub(super) contents: Option<StreamReader<u8>>,
    pub(super) trailers: FutureReader<Trailers>,
    /// Tells the guest what became of it.
    pub(super) sent: FutureWriter<Sent>,
    /// Until that was told.
    pub(super) streaming: Streaming,
}

/// A body that the host has received.
pub(super) struct ReceivedBody(AnyBody);

impl ReceivedBody {
    /// `patience` is how long each next part may take, whoever waits for it.
    pub(super) fn new(body: AnyBody, patience: Option<Duration>) -> ReceivedBody {
        ReceivedBody(match patience {
            None => body,
            Some(patience) => Box::pin(Patient {
                body,
                patience,
                end: None,
            }),
        })
    }
}

/// A body of which each part comes in time, or an error in its place.
struct Patient {
    body: AnyBody,
    patience: Duration,
    /// When the part is late that somebody waits for.
    end: Option<Timer>,
}

impl http_body::Body for Patient {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Patient {
            body,
            patience,
            end,
        } = &mut *self;
        if let Poll::Ready(frame) = body.as_mut().poll_frame(context) {
            *end = None;
            return Poll::Ready(frame);
        }
        // A time that no clock can show is never reached.
        let end = end.get_or_insert_with(|| match Instant::now().checked_add(*patience) {
            Some(end) => Timer::at(end),
            None => Timer::never(),
        });
        Pin::new(end)
            .poll(context)
            .map(|_| Some(Err(BodyError(ErrorCode::ConnectionReadTimeout))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

impl Body {
    /// Closes what a guest has made: nobody wants it.
    pub(super) fn close<T: 'static>(self, accessor: &Accessor<T>) -> Result<()> {
        let Body::Guest(body) = self else {
            return Ok(());
        };
        accessor.with(|mut store| {
            if let Some(contents) = body.contents {
                contents.close(&mut store)?;
            }
            body.trailers.close(store)
        })?;
        let (sent, streaming) = (body.sent, body.streaming);
        accessor.spawn(move |accessor| {
            Box::pin(async move {
                let code = ErrorCode::ConnectionTerminated;
                let _ = sent.write(accessor, Err(code)).await;
                drop(streaming);
            })
        });
        Ok(())
    }

    /// The body as a connection sends it; a guest's is written by a spawned future.
    pub(super) fn send<T: 'static>(
        self,
        access: Access<'_, T, WasiCtx>,
        message: Message,
        headers: &HeaderMap,
    ) -> Result<SentBody> {
        let body = match self {
            Body::Received(ReceivedBody(body)) => return Ok(SentBody::received(body)),
            Body::Guest(body) => body,
        };
        let (outgoing, sent) = access.with(|ctx| ctx.outgoing_body(message, headers))?;
        let bodies = access.with(|ctx| ctx.bodies.clone());
        access.spawn(move |access| {
            Box::pin(async move {
                // The store is needed until it is sent.
                let _sending = bodies.begin();
                body.write_to(access, outgoing).await;
            })
        });
        Ok(sent)
    }

    /// Contents and trailers as a guest reads them; `handled` is what it says of them.
    pub(super) fn consume<T: 'static>(
        self,
        access: Access<'_, T, WasiCtx>,
        handled: FutureReader<Sent>,
    ) -> Result<(StreamReader<u8>, FutureReader<Trailers>)> {
        let accessor = access.accessor();
        match self {
            Body::Guest(body) => {
                let (sent, streaming) = (body.sent, body.streaming);
                accessor.spawn(move |accessor| {
                    Box::pin(async move {
                        let handled = handled.read(accessor).await;
                        let terminated = Err(ErrorCode::ConnectionTerminated);
                        let result = handled.ok().flatten().unwrap_or(terminated);
                        let _ = sent.write(accessor, result).await;
                        drop(streaming);
                    })
                });
                let contents = match body.contents {
                    Some(contents) => contents,
                    None => accessor.with(|mut store| {
                        let (writer, reader) = StreamWriter::pair(&mut store);
                        writer.close(store)?;
                        Ok::<_, cwasm::Error>(reader)
                    })?,
                };
                Ok((contents, body.trailers))
            }
            Body::Received(body) => {
                accessor.with(|store| handled.close(store))?;
                let (writer, contents) = accessor.with(|store| StreamWriter::pair(store));
                let (trailers_writer, trailers) = accessor.with(|store| FutureWriter::pair(store));
                let streaming = access.with(|ctx| ctx.streaming())?;
                access.spawn(move |access| {
                    Box::pin(async move {
                        body.read_to(access, writer, trailers_writer).await;
                        drop(streaming);
                    })
                });
                Ok((contents, trailers))
            }
        }
    }
}

impl GuestBody {
    /// Writes the body to a connection, and tells the guest what became of it.
    async fn write_to<T: 'static>(self, access: Access<'_, T, WasiCtx>, outgoing: OutgoingBody) {
        let accessor = access.accessor();
        let writes = &self.streaming.writes;
        let pipe = Arc::clone(outgoing.pipe());
        let written = match self.contents {
            None => Ok(()),
            Some(contents) => {
                let end = ended(&pipe);
                receive(accessor, contents, Piped(Arc::clone(&pipe)), writes, end).await
            }
        };
        let result = match written {
            Ok(()) => match unless(self.trailers.read(accessor), ended(&pipe)).await {
                Some(Ok(trailers)) => finish(access, outgoing, trailers),
                // Nobody reads the body any more, which is all right if nothing is left of it.
                Some(Err(_)) | None => Ok(()),
            },
            Err(error) => {
                let _ = accessor.with(|store| self.trailers.close(store));
                drop(outgoing);
                Err(code_in(&error).unwrap_or(ErrorCode::ConnectionTerminated))
            }
        };
        let result = match result {
            Ok(()) if pipe.done().await => Ok(()),
            Ok(()) => Err(ErrorCode::ConnectionTerminated),
            Err(code) => Err(code),
        };
        let _ = self.sent.write(accessor, result).await;
    }
}

/// Waits until a connection wants no more.
async fn ended(pipe: &Pipe) {
    pipe.done().await;
}

/// Ends a body with what the guest says of its trailers.
fn finish<T: 'static>(
    access: Access<'_, T, WasiCtx>,
    outgoing: OutgoingBody,
    trailers: Option<Trailers>,
) -> Sent {
    match trailers {
        Some(Ok(None)) => outgoing.finish(None),
        Some(Ok(Some(fields))) => {
            let fields = access.with(|ctx| ctx.table.delete(fields));
            let fields = fields.map_err(|error| ErrorCode::InternalError(Some(error.to_string())));
            let (map, _claim) = fields?.into_parts();
            outgoing.finish(Some(Arc::unwrap_or_clone(map)))
        }
        // The body is dropped, and so the connection is closed.
        Some(Err(code)) => Err(code),
        None => Err(ErrorCode::ConnectionTerminated),
    }
}

/// The buffer of a body.
struct Piped(Arc<Pipe>);

impl Sink for Piped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    async fn wait(&mut self) -> io::Result<Next> {
        self.0.ready().await;
        Ok(Next::Write)
    }
}

impl ReceivedBody {
    /// Writes the contents to a stream, and then the trailers.
    async fn read_to<T: 'static>(
        self,
        access: Access<'_, T, WasiCtx>,
        contents: StreamWriter<u8>,
        trailers: FutureWriter<Trailers>,
    ) {
        let accessor = access.accessor();
        let mut frames = Frames {
            body: self.0,
            data: Bytes::new(),
            trailers: None,
            is_over: false,
        };
        let sent = send(accessor, &mut frames, contents).await;
        let whole = match sent {
            // The guest may have closed the contents before their end.
            Ok(()) => match unless(frames.skip(), trailers.closed(accessor)).await {
                Some(skipped) => skipped,
                // Nobody wants any of it: the connection learns that as well.
                None => return,
            },
            Err(error) => Err(error),
        };
        let result = match (whole, frames.trailers) {
            (Err(error), _) => Err(code_in(&error).unwrap_or(ErrorCode::ConnectionTerminated)),
            (Ok(()), None) => Ok(None),
            (Ok(()), Some(map)) => access.with(|ctx| ctx.trailers(map)),
        };
        // The connection is free.
        drop(frames.body);
        let _ = trailers.write(accessor, result).await;
    }
}

impl WasiCtx {
    /// Trailers that were received, as the guest gets them.
    fn trailers(&mut self, mut map: HeaderMap) -> Trailers {
        self.http.remove_forbidden(&mut map);
        let size = size_of(&map);
        let too_large = |_| ErrorCode::HttpResponseTrailerSectionSize(u32::try_from(size).ok());
        let claim = self.http.claim_head(size).map_err(too_large)?;
        let fields = self.table.push(Fields::received(map, claim));
        let fields = fields.map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
        Ok(Some(fields))
    }
}

/// The frames of a body that is received.
struct Frames {
    body: AnyBody,
    /// What has come and is not read.
    data: Bytes,
    trailers: Option<HeaderMap>,
    is_over: bool,
}

impl Frames {
    /// Waits for the next frame, unless there are contents, or the end has come.
    async fn next(&mut self) -> io::Result<()> {
        while self.data.is_empty() && !self.is_over {
            let frame = poll_fn(|context| self.body.as_mut().poll_frame(context)).await;
            match frame.transpose() {
                Ok(frame) => self.take(frame),
                Err(error) => {
                    self.is_over = true;
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, frame: Option<Frame<Bytes>>) {
        match frame.map(Frame::into_data) {
            Some(Ok(data)) => self.data = data,
            Some(Err(frame)) => self.trailers = frame.into_trailers().ok(),
            None => self.is_over = true,
        }
    }

    /// Waits for the end, and drops what comes before.
    async fn skip(&mut self) -> io::Result<()> {
        while !self.is_over {
            self.data.clear();
            self.next().await?;
        }
        Ok(())
    }
}

impl Source for Frames {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.data.is_empty() && !self.is_over {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = bytes.len().min(self.data.len());
        bytes[..count].copy_from_slice(&self.data[..count]);
        self.data.advance(count);
        Ok(count)
    }

    async fn wait(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.next().await?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    /// A body of which some parts come, and no end.
    struct Endless(u32);

    impl http_body::Body for Endless {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            if self.0 == 0 {
                return Poll::Pending;
            }
            self.0 -= 1;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"part")))))
        }
    }

    #[test]
    fn a_body_that_is_handed_on_comes_in_time_as_well() {
        let received = ReceivedBody::new(Box::pin(Endless(2)), Some(Duration::from_millis(10)));
        let mut sent = SentBody::received(received.0);
        async_io::block_on(async {
            for _ in 0..2 {
                let frame = sent.frame().await.unwrap().unwrap();
                assert_eq!(frame.into_data().unwrap(), "part");
            }
            let Some(Err(BodyError(code))) = sent.frame().await else {
                panic!("it does not come");
            };
            assert!(matches!(code, ErrorCode::ConnectionReadTimeout), "{code:?}");
        });
    }
}
