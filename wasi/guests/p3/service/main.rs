//! A service of HTTP, to see how hosts carry requests, bodies and trailers.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | `hello` |
//! | `POST /echo` | the body and the trailers of the request, as they arrive |
//! | `GET /bytes?n=N` | N bytes, of which the one at the offset i is i mod 251 |
//! | `GET /trap` | none: the instance traps |
//! | `GET /slow?ms=N` | `slow`, N milliseconds later |
//! | `GET /fetch?url=URL` | the answer of another server; all that follows `url=` is the URL |
//! | `GET /count` | how many requests this instance has had, with this one |

use std::sync::atomic::{AtomicU64, Ordering};

use p3::{fields, no_trailers, received, text};
use wasip3::clocks::monotonic_clock;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme};
use wasip3::{spawn_local, wit_stream};

static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// How many bytes are written at once by `/bytes`: as the pattern repeats, each piece is the same.
const PIECE: usize = 251 << 8;

struct Service;

wasip3::http::service::export!(Service);

impl wasip3::exports::http::handler::Guest for Service {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let requests = 1 + REQUESTS.fetch_add(1, Ordering::Relaxed);
        let target = request.get_path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let expected = if path == "/echo" { "POST" } else { "GET" };
        let is_expected = match request.get_method() {
            Method::Get => expected == "GET",
            Method::Post => expected == "POST",
            _ => false,
        };
        Ok(match path {
            "/" | "/echo" | "/bytes" | "/trap" | "/slow" | "/fetch" | "/count" if !is_expected => {
                text(405, format!("expected {expected}\n"))
            }
            "/" => text(200, "hello"),
            "/echo" => echo(request),
            "/bytes" => match number(query, "n=") {
                Some(count) => bytes(count),
                None => text(400, "expected n=N\n"),
            },
            "/trap" => core::arch::wasm32::unreachable(),
            "/slow" => match number(query, "ms=") {
                Some(time) => {
                    monotonic_clock::wait_for(time.saturating_mul(1_000_000)).await;
                    text(200, "slow")
                }
                None => text(400, "expected ms=N\n"),
            },
            "/fetch" => match query.strip_prefix("url=") {
                Some(url) => fetch(url).await,
                None => text(400, "expected url=URL\n"),
            },
            "/count" => text(200, requests.to_string()),
            _ => text(404, "no such page\n"),
        })
    }
}

fn number(query: &str, prefix: &str) -> Option<u64> {
    query.strip_prefix(prefix)?.parse().ok()
}

/// The headers of an answer that has the content of something else.
fn same_content(headers: &Fields) -> Fields {
    let answer = Fields::new();
    for name in ["content-type", "content-length", "trailer"] {
        let values = headers.get(name);
        if !values.is_empty() {
            let set = answer.set(name, &values);
            set.expect("a header that came may go");
        }
    }
    answer
}

fn echo(request: Request) -> Response {
    let headers = same_content(&request.get_headers());
    let (body, trailers) = Request::consume_body(request, received());
    Response::new(headers, Some(body), trailers).0
}

fn bytes(mut count: u64) -> Response {
    let (mut sender, body) = wit_stream::new();
    spawn_local(async move {
        let whole: Vec<u8> = (0..PIECE).map(|place| (place % 251) as u8).collect();
        while count > 0 {
            let length = count.min(PIECE as u64);
            let piece = whole[..length as usize].to_vec();
            if !sender.write_all(piece).await.is_empty() {
                break; // Nobody reads any more.
            }
            count -= length;
        }
    });
    let headers = fields(&[("content-type", "application/octet-stream")]);
    Response::new(headers, Some(body), no_trailers()).0
}

async fn fetch(url: &str) -> Response {
    let (scheme, rest) = match url.split_once("://") {
        Some(("https", rest)) => (Scheme::Https, rest),
        Some(("http", rest)) => (Scheme::Http, rest),
        _ => (Scheme::Http, url),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let (request, _sent) = Request::new(Fields::new(), None, no_trailers(), None);
    let set = request
        .set_scheme(Some(&scheme))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(path)));
    if set.is_err() {
        return text(400, format!("{url}: no URL\n"));
    }
    match client::send(request).await {
        Ok(found) => {
            let (status, headers) = (found.get_status_code(), same_content(&found.get_headers()));
            let (body, trailers) = Response::consume_body(found, received());
            let (response, _sent) = Response::new(headers, Some(body), trailers);
            let set = response.set_status_code(status);
            set.expect("a status that came may go");
            response
        }
        Err(error) => text(502, format!("{url}: {error:?}\n")),
    }
}
