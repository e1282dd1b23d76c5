//! Programs that speak HTTP: a server for those that ask, a request for those that answer.

use std::convert::Infallible;
use std::fmt::Display;
use std::net::SocketAddr;
use std::thread;

use bytes::Bytes;
use cwasm::Component;
use cwasm_wasi::WasiCtxBuilder;
use cwasm_wasi::http::Proxy;
use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Either, Empty, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use super::guest;
use crate::artifact::Workshop;

/// The header that hosts forbid to programs.
pub(super) const FORBIDDEN: &str = "custom-forbidden-header";

/// The texts that `proxy_hash` knows, by their paths: SHA-256 in Base64.
const HASHES: [(&str, &str); 4] = [
    ("/a", "0iXCPYm+cLe9Bgon1Oc2edDcA6GikSEQZgRBGkpK9yc"),
    ("/b", "DEoP53vaa0BWaPDuCfB1jOlY4ipxUsngpAkoptzDmWQ"),
    ("/c", "Wc1k2KFjuCOirnihrQhxWUhcEjTDTaZywYDvL9wdXHQ"),
    ("/d", "edEGX2/HSqTqEF8yP/H6PhpYgpwDmcWlPHFBMJU+EgM"),
];

/// A server for programs that make requests. It ends when this is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    _runtime: Runtime,
}

impl Server {
    pub(super) fn start() -> std::io::Result<Server> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service_fn(async |request| Ok::<_, Infallible>(answer(request)));
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async { drop(connection.await) });
            }
        });
        Ok(Server {
            address,
            _runtime: runtime,
        })
    }
}

/// Answers `/hash-all` by the hashes of the URLs that its headers name; all else by what was sent,
/// with the method and the URI in headers.
fn answer(request: Request<Incoming>) -> Response<Either<Incoming, Full<Bytes>>> {
    let (head, body) = request.into_parts();
    if head.uri.path() == "/hash-all" {
        let urls = head.headers.get_all("url").iter();
        let lines = urls.filter_map(|url| {
            let url = url.to_str().ok()?;
            let (_, hash) = HASHES.iter().find(|(path, _)| url.ends_with(path))?;
            Some(format!("{url}: {hash}\n"))
        });
        return Response::new(Either::Right(Full::from(lines.collect::<String>())));
    }
    let mut response = Response::new(Either::Left(body));
    let headers = response.headers_mut();
    if let Some(kind) = head.headers.get(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, kind.clone());
    }
    let method = HeaderValue::from_str(head.method.as_str());
    let uri = HeaderValue::from_str(&head.uri.to_string());
    for (name, value) in [("method", method), ("uri", uri)] {
        let name = HeaderName::try_from(format!("x-wasmtime-test-{name}"));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.insert(name, value);
        }
    }
    response
}

/// Has a program answer a request: it must, and end its body.
pub(super) fn ask(workshop: &Workshop, component: &Component) -> Result<(), String> {
    let request = Request::builder()
        .uri("http://localhost:8080/test-path")
        .header(FORBIDDEN, "yes")
        .body(Empty::<Bytes>::new())
        .map_err(found)?;
    let builder = WasiCtxBuilder::new().http_forbidden_headers(|name| name == FORBIDDEN);
    let mut wasi = builder.build();
    let (outparam, receiver) = wasi.new_response_outparam().map_err(found)?;
    let request = wasi.new_incoming_request(Scheme::HTTP, request, None);
    let request = request.map_err(found)?;
    let handle = || {
        let (mut store, linker) = guest::store(workshop, wasi)?;
        let instance = linker.instantiate(&mut store, component)?;
        let proxy = Proxy::new(&mut store, &instance)?;
        let handler = proxy.wasi_http_incoming_handler();
        handler.call_handle(&mut store, request, outparam)
    };
    let receive = async || {
        let response = receiver.await.map_err(|_| "found no answer".to_owned())?;
        let response = response.map_err(|code| format!("found the error {code:?}"))?;
        let body = response.into_body().collect().await;
        body.map(drop)
            .map_err(|error| format!("found a body that ends with {error}"))
    };
    let runtime = Builder::new_current_thread().build().map_err(found)?;
    thread::scope(|scope| {
        let handled = scope.spawn(|| guest::in_thread(handle));
        let answered = runtime.block_on(receive());
        match handled.join() {
            Ok(Ok(Ok(()))) => answered,
            Ok(Ok(Err(error))) => Err(found(error)),
            Ok(Err(message)) => Err(message),
            Err(panic) => Err(super::message_of(&*panic)),
        }
    })
}

fn found(error: impl Display) -> String {
    format!("found {error}")
}
