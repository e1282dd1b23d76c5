//! Counters, and their text for Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::convert::Infallible;
use std::fmt::{self, Display, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cwasm::Engine;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use super::engine_metrics::OfEngine;
use super::server::{HEAD_TIMEOUT, accept};

/// Upper bounds of the histogram's buckets, in microseconds.
const BOUNDS: [u64; 15] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// The lowest status.
const FIRST_STATUS: usize = 100;

/// A number that grows.
#[derive(Default)]
pub(super) struct Counter(AtomicU64);

/// A number that goes up and down.
#[derive(Default)]
pub(super) struct Gauge(AtomicI64);

impl Counter {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gauge {
    pub(super) fn add(&self, count: i64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Adds one if the number is below a limit: whether it was.
    pub(super) fn enter(&self, max: usize) -> bool {
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        let next = |number| (number < max).then_some(number + 1);
        let entered = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        entered.is_ok()
    }

    pub(super) fn sub(&self, count: i64) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }

    fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is counted.
pub(super) struct Metrics {
    /// Requests that ended, by status: from 100 to 999.
    by_status: [Counter; 900],
    /// Requests whose clients had gone before there was a status.
    abandoned: Counter,
    /// Requests that ended, by how long they took; the last has no bound.
    by_time: [Counter; BOUNDS.len() + 1],
    microseconds: Counter,
    pub(super) in_flight: Gauge,
    pub(super) queued: Gauge,
    pub(super) rejected: Counter,
    pub(super) instances: Gauge,
    pub(super) failures: Counter,
    pub(super) connections: Gauge,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            by_status: std::array::from_fn(|_| Counter::default()),
            abandoned: Counter::default(),
            by_time: Default::default(),
            microseconds: Counter::default(),
            in_flight: Gauge::default(),
            queued: Gauge::default(),
            rejected: Counter::default(),
            instances: Gauge::default(),
            failures: Counter::default(),
            connections: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Counts a request that has ended.
    pub(super) fn done(&self, status: Option<StatusCode>, took: Duration) {
        let Some(status) = status else {
            self.abandoned.add(1);
            return;
        };
        self.by_status[usize::from(status.as_u16()) - FIRST_STATUS].add(1);
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < took);
        self.by_time[bucket].add(1);
        self.microseconds.add(took);
    }
}

pub(super) fn head(f: &mut fmt::Formatter<'_>, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(f, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

pub(super) fn number(
    f: &mut fmt::Formatter<'_>,
    (name, kind, help): (&str, &str, &str),
    value: impl Display,
) -> fmt::Result {
    head(f, name, kind, help)?;
    writeln!(f, "{name} {value}")
}

/// Seconds, without the noise of binary fractions.
fn seconds(microseconds: u64) -> impl Display {
    microseconds as f64 / 1e6
}

impl Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = "cwasm_http_requests_total";
        head(
            f,
            name,
            "counter",
            "Requests that were answered, by status.",
        )?;
        for (place, counter) in self.by_status.iter().enumerate() {
            match counter.get() {
                0 => {}
                count => writeln!(f, "{name}{{code=\"{}\"}} {count}", place + FIRST_STATUS)?,
            }
        }
        let name = "cwasm_http_request_duration_seconds";
        head(
            f,
            name,
            "histogram",
            "From the head of a request to the end of its response.",
        )?;
        let mut sum = 0;
        for (place, counter) in self.by_time.iter().enumerate() {
            sum += counter.get();
            match BOUNDS.get(place) {
                Some(bound) => {
                    let bound = seconds(*bound);
                    writeln!(f, "{name}_bucket{{le=\"{bound}\"}} {sum}")?;
                }
                None => writeln!(f, "{name}_bucket{{le=\"+Inf\"}} {sum}")?,
            }
        }
        writeln!(
            f,
            "{name}_sum {}\n{name}_count {sum}",
            seconds(self.microseconds.get())
        )?;
        let counters = [
            (
                "abandoned",
                "Requests whose clients had gone before the answer.",
                &self.abandoned,
            ),
            (
                "rejected",
                "Requests that found no instance and were answered by 503.",
                &self.rejected,
            ),
        ];
        for (name, help, counter) in counters {
            let name = format!("cwasm_http_requests_{name}_total");
            number(f, (&name, "counter", help), counter.get())?;
        }
        let failures = "Instances that trapped, exited or ran out of time.";
        number(
            f,
            ("cwasm_instance_failures_total", "counter", failures),
            self.failures.get(),
        )?;
        let gauges = [
            (
                "cwasm_http_requests_in_flight",
                "Requests that are being answered.",
                &self.in_flight,
            ),
            (
                "cwasm_http_requests_queued",
                "Requests that wait for an instance.",
                &self.queued,
            ),
            (
                "cwasm_http_connections",
                "Connections of clients.",
                &self.connections,
            ),
            ("cwasm_instances", "Instances that run.", &self.instances),
        ];
        for (name, help, gauge) in gauges {
            number(f, (name, "gauge", help), gauge.get())?;
        }
        Ok(())
    }
}

/// Answers requests for the text.
pub(super) async fn serve(listener: TcpListener, metrics: Arc<Metrics>, engine: Engine) {
    loop {
        let stream = accept(&listener).await;
        let (metrics, engine) = (Arc::clone(&metrics), engine.clone());
        let service = service_fn(move |request| {
            let response = answer(&request, &metrics, &engine);
            async { Ok::<_, Infallible>(response) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        // Who asks sees its errors.
        tokio::spawn(async { drop(connection.await) });
    }
}

fn answer(
    request: &Request<Incoming>,
    metrics: &Metrics,
    engine: &Engine,
) -> Response<Full<Bytes>> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_read || request.uri().path() != "/metrics" {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write!(text, "{metrics}{}", OfEngine(engine));
    let mut response = Response::new(Full::from(text));
    let format = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, format);
    response
}
