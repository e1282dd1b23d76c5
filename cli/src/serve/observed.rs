//! Responses as they are sent, which are counted and logged at their end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use cwasm_wasi::http::SentBody;
use http::StatusCode;
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame, SizeHint};

use super::instances::Held;
use super::metrics::Metrics;
use super::name::RequestName;
use crate::output;

/// A request that is being answered. Dropping this ends it.
pub(super) struct Exchange {
    metrics: Arc<Metrics>,
    started: Instant,
    /// The name of the request, if there is a log.
    logged: Option<RequestName>,
    status: Option<StatusCode>,
    sent: u64,
    /// Given back at the end.
    held: Option<Held>,
}

impl Exchange {
    pub(super) fn start(
        metrics: &Arc<Metrics>,
        log: bool,
        request: &http::request::Parts,
    ) -> Exchange {
        metrics.in_flight.add(1);
        let logged = log.then(|| RequestName::new(&request.method, &request.uri));
        Exchange {
            metrics: Arc::clone(metrics),
            started: Instant::now(),
            logged,
            status: None,
            sent: 0,
            held: None,
        }
    }

    /// Keeps something until the end.
    pub(super) fn hold(&mut self, held: Option<Held>) {
        self.held = held;
    }

    /// The body of a response with this status, sent within this exchange.
    pub(super) fn sends(mut self, status: StatusCode, body: Sent) -> Observed {
        self.status = Some(status);
        Observed {
            body,
            exchange: self,
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        self.metrics.done(self.status, took);
        self.metrics.in_flight.sub(1);
        let Some(name) = &self.logged else {
            return;
        };
        let status = match &self.status {
            Some(status) => status.as_str(),
            // The client has gone before there was one.
            None => "-",
        };
        let (sent, took) = (self.sent, took.as_secs_f64() * 1e3);
        output::note(&format!("{name} {status} {sent} bytes {took:.3} ms"));
    }
}

/// A body of a guest's, or a text of the server's.
pub(super) type Sent = Either<SentBody, Full<Bytes>>;

/// A body whose end is that of the exchange.
pub(super) struct Observed {
    body: Sent,
    exchange: Exchange,
}

impl Body for Observed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.exchange.sent += data.len() as u64;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An error of a body.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
