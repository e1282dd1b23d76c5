//! A request of HTTP to a program, and what must come back.

use std::collections::BTreeMap;
use std::fmt::Display;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{HOST, TE};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Builder;

use super::{LIMIT, Request};

/// Sends a request to `address`.
///
/// # Errors
/// What came back, and what was expected.
pub(super) fn ask(address: &str, request: &Request) -> Result<(), String> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let answered = runtime.map_err(found)?.block_on(async {
        let answered = tokio::time::timeout(LIMIT, exchange(address, request)).await;
        answered.unwrap_or_else(|_| Err(format!("found no end after {} s", LIMIT.as_secs())))
    })?;
    answered.check(request)
}

/// A response, as far as it is compared.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
    trailers: HeaderMap,
}

async fn exchange(address: &str, request: &Request) -> Result<Answer, String> {
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|error| format!("{address}: found {error}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(found)?;
    tokio::spawn(async { drop(connection.await) });
    let mut sent = http::Request::builder()
        .method(request.method.as_str())
        .uri(&request.path)
        .header(HOST, address);
    for (name, value) in &request.headers {
        sent = sent.header(name, value);
    }
    if !request.response.trailers.is_empty() {
        // Servers may leave them out for clients that do not say that they take them.
        sent = sent.header(TE, "trailers");
    }
    let body = Full::new(Bytes::copy_from_slice(request.body.as_bytes()));
    let sent = sent
        .body(body)
        .map_err(|error| format!("no request: {error}"))?;
    let response = sender.send_request(sent).await.map_err(found)?;
    let (head, body) = response.into_parts();
    let body = body.collect().await;
    let body = body.map_err(|error| format!("found status {}, then {error}", head.status))?;
    Ok(Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        trailers: body.trailers().cloned().unwrap_or_default(),
        body: body.to_bytes(),
    })
}

impl Answer {
    fn check(&self, request: &Request) -> Result<(), String> {
        let expected = &request.response;
        let body = String::from_utf8_lossy(&self.body);
        if self.status != expected.status {
            return Err(format!(
                "found status {} and {body:?}, expected status {}",
                self.status, expected.status
            ));
        }
        contains("header", &self.headers, &expected.headers)?;
        if self.body != expected.body {
            return Err(format!(
                "body: found {body:?}, expected {:?}",
                expected.body
            ));
        }
        contains("trailer", &self.trailers, &expected.trailers)
    }
}

fn contains(
    what: &str,
    found: &HeaderMap,
    expected: &BTreeMap<String, String>,
) -> Result<(), String> {
    for (name, expected) in expected {
        let values: Vec<_> = found.get_all(name).iter().collect();
        if !matches!(values[..], [value] if value == expected.as_str()) {
            return Err(format!(
                "{what} {name}: found {values:?}, expected {expected:?}"
            ));
        }
    }
    Ok(())
}

fn found(error: impl Display) -> String {
    format!("found {error}")
}
