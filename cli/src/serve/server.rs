//! Connections, from the first to the shutdown.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use cwasm::Result;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::guests::Guests;
use super::metrics::Metrics;
use super::observed::{Exchange, Observed};
use crate::args::ServeArgs;
use crate::output;

/// How long the head of a request may take, and a connection may be idle.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The most bytes of the head of a request, and of what is read ahead of its body.
const MAX_BUFFER: usize = 64 << 10;

/// How long idle connections stay open at the shutdown: a request may be on its way.
const LINGER: Duration = Duration::from_millis(500);

/// How long to wait when no more connections can be opened.
const RETRY: Duration = Duration::from_millis(50);

/// How far the shutdown is.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
enum Phase {
    Serving,
    /// Each answer is the last of its connection.
    Draining,
    /// Idle connections are closed.
    Closing,
}

/// Has requests answered.
pub(super) struct Server {
    guests: Arc<Guests>,
    metrics: Arc<Metrics>,
    log: bool,
    timeout: Duration,
    /// Connections that may be opened now.
    connections: Arc<Semaphore>,
    max_connections: u32,
    phase: watch::Sender<Phase>,
}

impl Server {
    pub(super) fn new(args: &ServeArgs, guests: Arc<Guests>, metrics: Arc<Metrics>) -> Server {
        let max_connections = args.max_connections.get().min(Semaphore::MAX_PERMITS);
        let max_connections = u32::try_from(max_connections).unwrap_or(u32::MAX);
        Server {
            guests,
            metrics,
            log: args.log,
            timeout: args.timeout,
            connections: Arc::new(Semaphore::new(max_connections as usize)),
            max_connections,
            phase: watch::Sender::new(Phase::Serving),
        }
    }

    /// Serves until SIGINT or SIGTERM, and then until the last request is answered.
    ///
    /// # Errors
    /// If the signals cannot be waited for.
    pub(super) async fn run(self, listener: TcpListener) -> Result<()> {
        let server = Arc::new(self);
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            () = server.accept_all(&listener) => {}
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        output::note("shutting down: requests that have come are answered");
        tokio::select! {
            () = server.shut_down(listener) => {}
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    }

    async fn accept_all(self: &Arc<Server>, listener: &TcpListener) {
        loop {
            let connections = Arc::clone(&self.connections);
            // Nobody closes the semaphore.
            let Ok(permit) = connections.acquire_owned().await else {
                return;
            };
            let stream = accept(listener).await;
            self.spawn(stream, permit);
        }
    }

    /// Answers what has come, and closes all connections.
    async fn shut_down(self: &Arc<Server>, listener: TcpListener) {
        self.phase.send_replace(Phase::Draining);
        // Clients that the system has accepted have perhaps sent a request.
        let _ = tokio::time::timeout(LINGER, self.accept_all(&listener)).await;
        drop(listener);
        self.phase.send_replace(Phase::Closing);
        let all = self.connections.acquire_many(self.max_connections);
        // Guests that cannot be stopped hold no one up.
        if tokio::time::timeout(self.timeout, all).await.is_err() {
            output::note("requests that were not answered in time are dropped");
        }
    }

    fn spawn(self: &Arc<Server>, stream: TcpStream, permit: OwnedSemaphorePermit) {
        // Without it, only slower: the client may be gone.
        let _ = stream.set_nodelay(true);
        let server = Arc::clone(self);
        tokio::spawn(async move {
            server.metrics.connections.add(1);
            server.connection(stream).await;
            server.metrics.connections.sub(1);
            drop(permit);
        });
    }

    async fn connection(self: &Arc<Server>, stream: TcpStream) {
        let mut phase = self.phase.subscribe();
        let service = service_fn(|request| self.answer(request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_BUFFER)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        // Errors of a connection are those of its client, which sees them.
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = phase.wait_for(|phase| *phase == Phase::Closing) => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }

    async fn answer(
        self: &Arc<Server>,
        request: Request<Incoming>,
    ) -> std::result::Result<Response<Observed>, Infallible> {
        let (head, body) = request.into_parts();
        let mut exchange = Exchange::start(&self.metrics, self.log, &head);
        let request = Request::from_parts(head, body);
        let answered = self.guests.answer(request).await;
        let response = match answered {
            Ok((response, held)) => {
                exchange.hold(held);
                response.map(Either::Left)
            }
            Err(status) => own_answer(status),
        };
        let status = response.status();
        let mut response = response.map(|body| exchange.sends(status, body));
        if *self.phase.borrow() >= Phase::Draining {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        Ok(response)
    }
}

/// An answer of the server's own. It tells nothing of the guest.
fn own_answer(status: StatusCode) -> Response<super::observed::Sent> {
    let text = status.canonical_reason().unwrap_or("error");
    let mut response = Response::new(Either::Right(Full::from(format!("{text}\n"))));
    *response.status_mut() = status;
    let format = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, format);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let seconds = HeaderValue::from_static("1");
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// The next connection; if there can be none now, one that comes later.
pub(super) async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // The client has gone, or the process has too many descriptors for now.
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}
