//! What needs no guest: fields, limits, TLS.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use cwasm::Resource;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::bindings::wasi::http::outgoing_handler::Host as _;
use super::bindings::wasi::http::types::{
    self, HeaderError, HostFields as _, HostIncomingBody as _, HostIncomingResponse as _,
    HostOutgoingRequest as _,
};
use super::{ErrorCode, Fields, FieldsError, HttpClient, HttpError, OutgoingRequest};
use crate::bindings::wasi::io::poll::HostPollable as _;
use crate::bindings::wasi::io::streams::{HostInputStream as _, HostOutputStream as _};
use crate::{StreamError, WasiCtx, WasiCtxBuilder};

fn ctx() -> WasiCtx {
    WasiCtxBuilder::new().inherit_network().build()
}

/// Another handle of the same thing.
fn again<T: 'static>(resource: &Resource<T>) -> Resource<T> {
    Resource::new_borrow(resource.rep())
}

#[track_caller]
fn kind<T: std::fmt::Debug>(result: Result<T, FieldsError>) -> HeaderError {
    match result {
        Err(FieldsError::Kind(kind)) => kind,
        other => panic!("{other:?}"),
    }
}

#[test]
fn fields_are_what_was_set() {
    let mut wasi = ctx();
    let entries = [("b", "1"), ("A", "2"), ("a", "3")];
    let entries = entries.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    let fields = wasi.from_list(entries.to_vec()).unwrap();
    let mut get = |name: &str| wasi.get(again(&fields), name.to_owned()).unwrap();
    assert_eq!(get("a"), [b"2", b"3"]);
    assert_eq!(get("B"), [b"1"]);
    assert!(get("c").is_empty() && get("not a name").is_empty());
    wasi.set(again(&fields), "A".to_owned(), vec![b"4".to_vec()])
        .unwrap();
    let copy = types::HostFields::clone(&mut wasi, again(&fields)).unwrap();
    wasi.delete(again(&fields), "a".to_owned()).unwrap();
    assert!(!wasi.has(again(&fields), "a".to_owned()).unwrap());
    assert!(wasi.has(again(&copy), "a".to_owned()).unwrap());
    wasi.append(again(&fields), "c".to_owned(), vec![0xff, b'\t'])
        .unwrap();
    let entries = wasi.entries(again(&fields)).unwrap();
    assert_eq!(
        entries,
        [
            ("b".to_owned(), b"1".to_vec()),
            ("c".to_owned(), vec![0xff, b'\t'])
        ]
    );
    wasi.set(again(&fields), "b".to_owned(), Vec::new())
        .unwrap();
    assert!(!wasi.has(again(&fields), "b".to_owned()).unwrap());
    for fields in [fields, copy] {
        let (map, claim) = wasi.table.delete(fields).unwrap().into_parts();
        let counted = claim.as_ref().map(|claim| claim.amount());
        assert_eq!(counted, Some(super::fields::size_of(&map)));
    }
}

/// A guest with many fields does not have the host count them all for each change.
#[test]
fn a_change_takes_as_long_however_many_there_are() {
    let mut wasi = ctx();
    let fields = types::HostFields::new(&mut wasi).unwrap();
    let mut add = |count: u32| {
        let start = std::time::Instant::now();
        for index in 0..count {
            let name = format!("n{index}");
            wasi.set(again(&fields), name, vec![Vec::new()]).unwrap();
        }
        start.elapsed()
    };
    let few = add(250);
    add(16_000);
    // The same names once more.
    let many = add(250);
    assert!(many < 20 * few, "{few:?}, then {many:?}");
}

#[test]
fn fields_that_cannot_be_are_refused() {
    let mut wasi = WasiCtxBuilder::new()
        .http_forbidden_headers(|name| name == "x-secret")
        .build();
    let fields = types::HostFields::new(&mut wasi).unwrap();
    for name in ["", "a b", "a\n", "é", ":a"] {
        let appended = wasi.append(again(&fields), name.to_owned(), Vec::new());
        assert!(
            matches!(kind(appended), HeaderError::InvalidSyntax),
            "{name:?}"
        );
        let deleted = wasi.delete(again(&fields), name.to_owned());
        assert!(
            matches!(kind(deleted), HeaderError::InvalidSyntax),
            "{name:?}"
        );
    }
    for value in [&b"a\nb"[..], b"\r", b"\0", b"\x7f"] {
        let appended = wasi.append(again(&fields), "a".to_owned(), value.to_vec());
        assert!(
            matches!(kind(appended), HeaderError::InvalidSyntax),
            "{value:?}"
        );
    }
    for name in [
        "Host",
        "connection",
        "Transfer-Encoding",
        "keep-alive",
        "upgrade",
        "X-Secret",
    ] {
        let appended = wasi.append(again(&fields), name.to_owned(), Vec::new());
        assert!(matches!(kind(appended), HeaderError::Forbidden), "{name}");
        let listed = wasi.from_list(vec![(name.to_owned(), Vec::new())]);
        assert!(matches!(kind(listed), HeaderError::Forbidden), "{name}");
    }
    let request = wasi_request(&mut wasi, fields);
    let headers = types::HostOutgoingRequest::headers(&mut wasi, again(&request)).unwrap();
    let appended = wasi.append(again(&headers), "a".to_owned(), Vec::new());
    assert!(matches!(kind(appended), HeaderError::Immutable));
    // The child is dropped first.
    assert!(types::HostOutgoingRequest::drop(&mut wasi, again(&request)).is_err());
    types::HostFields::drop(&mut wasi, headers).unwrap();
    types::HostOutgoingRequest::drop(&mut wasi, request).unwrap();
}

fn wasi_request(wasi: &mut WasiCtx, fields: Resource<Fields>) -> Resource<OutgoingRequest> {
    types::HostOutgoingRequest::new(wasi, fields).unwrap()
}

#[test]
fn memory_of_heads_is_bounded() {
    let mut wasi = ctx();
    let value = vec![b'a'; 1 << 20];
    let mut all = Vec::new();
    let error = loop {
        let fields = types::HostFields::new(&mut wasi).unwrap();
        match wasi.append(again(&fields), "a".to_owned(), value.clone()) {
            Ok(()) => all.push(fields),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, FieldsError::TooLarge(_)));
    assert_eq!(all.len(), 15);
    // Paths and authorities count, too; and what is dropped does not.
    let fields = types::HostFields::new(&mut wasi).unwrap();
    let request = wasi_request(&mut wasi, fields);
    let path = format!("/{}", "a".repeat(60_000));
    let mut requests = 0;
    let _requests: Vec<_> = std::iter::from_fn(|| {
        let fields = types::HostFields::new(&mut wasi).ok()?;
        let request = wasi_request(&mut wasi, fields);
        let set = wasi.set_path_with_query(again(&request), Some(path.clone()));
        set.ok()?.unwrap();
        requests += 1;
        Some(request)
    })
    .collect();
    assert!(requests < 20, "{requests}");
    types::HostFields::drop(&mut wasi, all.pop().unwrap()).unwrap();
    wasi.set_path_with_query(request, Some(path))
        .unwrap()
        .unwrap();
}

#[test]
fn bodies_are_taken_once_and_are_bounded() {
    let mut wasi = ctx();
    let mut bodies = Vec::new();
    let error = loop {
        let fields = types::HostFields::new(&mut wasi).unwrap();
        let response = types::HostOutgoingResponse::new(&mut wasi, fields).unwrap();
        match types::HostOutgoingResponse::body(&mut wasi, again(&response)) {
            Ok(Ok(body)) => bodies.push(body),
            Ok(Err(())) => panic!("the first time"),
            Err(error) => break error,
        }
        assert!(
            types::HostOutgoingResponse::body(&mut wasi, response)
                .unwrap()
                .is_err()
        );
    };
    assert_eq!(bodies.len(), 1024);
    assert!(error.to_string().contains("outgoing bodies"), "{error}");
    let body = bodies.pop().unwrap();
    let stream = types::HostOutgoingBody::write(&mut wasi, again(&body))
        .unwrap()
        .unwrap();
    assert!(
        types::HostOutgoingBody::write(&mut wasi, again(&body))
            .unwrap()
            .is_err()
    );
    // The stream is a child.
    let finished = types::HostOutgoingBody::finish(&mut wasi, again(&body), None);
    assert!(matches!(finished, Err(HttpError::Trap(_))));
    crate::bindings::wasi::io::streams::HostOutputStream::drop(&mut wasi, stream).unwrap();
    types::HostOutgoingBody::finish(&mut wasi, body, None).unwrap();
}

#[test]
fn bodies_have_the_size_that_they_say() {
    let mut wasi = ctx();
    for (size, written, expected) in [
        ("3", &b"abc"[..], Ok(())),
        ("4", b"abc", Err(3)),
        ("2", b"abc", Err(3)),
        ("0", b"", Ok(())),
    ] {
        let entries = vec![("content-length".to_owned(), size.as_bytes().to_vec())];
        let fields = wasi.from_list(entries).unwrap();
        let response = types::HostOutgoingResponse::new(&mut wasi, fields).unwrap();
        let body = types::HostOutgoingResponse::body(&mut wasi, again(&response));
        let body = body.unwrap().unwrap();
        let stream = types::HostOutgoingBody::write(&mut wasi, again(&body))
            .unwrap()
            .unwrap();
        let result = wasi.blocking_write_and_flush(again(&stream), written.to_vec());
        if expected == Err(3) && size == "2" {
            let Err(StreamError::Failed(error)) = result else {
                panic!("{result:?}");
            };
            let code = super::error::code_in(&error);
            assert!(matches!(
                code,
                Some(ErrorCode::HttpResponseBodySize(Some(3)))
            ));
        }
        crate::bindings::wasi::io::streams::HostOutputStream::drop(&mut wasi, stream).unwrap();
        let finished = types::HostOutgoingBody::finish(&mut wasi, body, None);
        match (finished, expected) {
            (Ok(()), Ok(())) => {}
            (Err(HttpError::Code(ErrorCode::HttpResponseBodySize(Some(found)))), Err(size)) => {
                assert_eq!(found, size);
            }
            (found, expected) => panic!("{found:?}, expected {expected:?}"),
        }
    }
}

/// A request to `https://HOST:PORT/` whose answer is a status and a body.
fn get(
    wasi: &mut WasiCtx,
    scheme: types::Scheme,
    authority: &str,
) -> Result<(u16, Vec<u8>), ErrorCode> {
    let fields = types::HostFields::new(wasi).unwrap();
    let request = wasi_request(wasi, fields);
    wasi.set_scheme(again(&request), Some(scheme))
        .unwrap()
        .unwrap();
    wasi.set_authority(again(&request), Some(authority.to_owned()))
        .unwrap()
        .unwrap();
    let future = match wasi.handle(request, None) {
        Ok(future) => future,
        Err(error) => return Err(error.code().unwrap()),
    };
    let pollable = types::HostFutureIncomingResponse::subscribe(wasi, again(&future)).unwrap();
    wasi.block(again(&pollable)).unwrap();
    crate::bindings::wasi::io::poll::HostPollable::drop(wasi, pollable).unwrap();
    let response = types::HostFutureIncomingResponse::get(wasi, again(&future));
    let response = response
        .unwrap()
        .expect("it is ready")
        .expect("the first time")?;
    let taken = types::HostFutureIncomingResponse::get(wasi, future).unwrap();
    assert!(matches!(taken, Some(Err(()))));
    let status = wasi.status(again(&response)).unwrap();
    let body = types::HostIncomingResponse::consume(wasi, again(&response))
        .unwrap()
        .unwrap();
    assert!(
        types::HostIncomingResponse::consume(wasi, response)
            .unwrap()
            .is_err()
    );
    let stream = wasi.stream(again(&body)).unwrap().unwrap();
    let mut all = Vec::new();
    loop {
        match wasi.blocking_read(again(&stream), 1000) {
            Ok(bytes) => all.extend(bytes),
            Err(StreamError::Closed) => return Ok((status, all)),
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// A server that speaks TLS and says hello, and what trusts it.
fn tls_server(runtime: &Runtime) -> (SocketAddr, Arc<ClientConfig>) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let service = service_fn(async |_| {
                    let body = Full::new(Bytes::from_static(b"hello"));
                    Ok::<_, Infallible>(http::Response::new(body))
                });
                let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                drop(served.await);
            });
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (address, Arc::new(client))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn servers_are_trusted_by_their_certificates() {
    let runtime = runtime();
    let (address, trust) = tls_server(&runtime);
    let client = || HttpClient::on(runtime.handle().clone());
    let with = |client: HttpClient| WasiCtxBuilder::new().inherit_network().http_client(client);
    let authority = format!("localhost:{}", address.port());
    let mut trusting = with(client().with_tls(trust)).build();
    let found = get(&mut trusting, types::Scheme::Https, &authority).unwrap();
    assert_eq!(found, (200, b"hello".to_vec()));
    // The certificate is for another name.
    let other = format!("127.0.0.1:{}", address.port());
    let found = get(&mut trusting, types::Scheme::Https, &other);
    assert!(
        matches!(found, Err(ErrorCode::TlsCertificateError)),
        "{found:?}"
    );
    let mut others = with(client()).build();
    let found = get(&mut others, types::Scheme::Https, &authority);
    assert!(
        matches!(found, Err(ErrorCode::TlsCertificateError)),
        "{found:?}"
    );
    // It speaks nothing but TLS.
    assert!(get(&mut others, types::Scheme::Http, &authority).is_err());
}

#[test]
fn connections_are_bounded() {
    let runtime = runtime();
    // Nobody answers: the system accepts.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let mut wasi = WasiCtxBuilder::new()
        .inherit_network()
        .http_client(HttpClient::on(runtime.handle().clone()))
        .max_http_connections(3)
        .build();
    let mut start = || {
        let fields = types::HostFields::new(&mut wasi).unwrap();
        let request = wasi_request(&mut wasi, fields);
        wasi.set_scheme(again(&request), Some(types::Scheme::Http))
            .unwrap()
            .unwrap();
        wasi.set_authority(again(&request), Some(authority.clone()))
            .unwrap()
            .unwrap();
        wasi.handle(request, None)
    };
    let futures: Vec<_> = (0..3).map(|_| start().unwrap()).collect();
    let refused = start();
    assert!(matches!(
        refused,
        Err(HttpError::Code(ErrorCode::ConnectionLimitReached))
    ));
    for future in futures {
        types::HostFutureIncomingResponse::drop(&mut wasi, future).unwrap();
    }
    // The runtime ends its tasks a little later.
    let start = std::time::Instant::now();
    while wasi.http.connections.claim(3).is_none() {
        assert!(start.elapsed().as_secs() < 20);
        std::thread::yield_now();
    }
}

#[test]
fn requests_that_cannot_be_made_are_refused_at_once() {
    let mut wasi = WasiCtxBuilder::new().allow_tcp(false).build();
    let found = get(&mut wasi, types::Scheme::Http, "localhost");
    assert!(
        matches!(found, Err(ErrorCode::HttpRequestDenied)),
        "{found:?}"
    );
    let mut wasi = ctx();
    let found = get(
        &mut wasi,
        types::Scheme::Other("ftp".to_owned()),
        "localhost",
    );
    assert!(
        matches!(found, Err(ErrorCode::HttpProtocolError)),
        "{found:?}"
    );
    let found = get(&mut wasi, types::Scheme::Http, "user@localhost");
    assert!(
        matches!(found, Err(ErrorCode::HttpRequestUriInvalid)),
        "{found:?}"
    );
    // Names are not looked up for whom that is not allowed.
    let mut wasi = WasiCtxBuilder::new().socket_addr_check(|_, _| true).build();
    let found = get(&mut wasi, types::Scheme::Http, "localhost:1");
    assert!(
        matches!(found, Err(ErrorCode::HttpRequestDenied)),
        "{found:?}"
    );
    let found = get(&mut wasi, types::Scheme::Http, "127.0.0.1:1");
    assert!(
        matches!(found, Err(ErrorCode::ConnectionRefused)),
        "{found:?}"
    );
}

#[test]
fn received_requests_show_what_came() {
    let mut wasi = ctx();
    let request = http::Request::builder()
        .method("BREW")
        .uri("/a?b")
        .header("host", "a.b")
        .header("connection", "close")
        .header("x", "1")
        .body(Full::new(Bytes::from_static(b"body")))
        .unwrap();
    let request = wasi
        .new_incoming_request(http::uri::Scheme::HTTPS, request, None)
        .unwrap();
    let method = types::HostIncomingRequest::method(&mut wasi, again(&request)).unwrap();
    assert!(matches!(method, types::Method::Other(name) if name == "BREW"));
    let authority = types::HostIncomingRequest::authority(&mut wasi, again(&request)).unwrap();
    assert_eq!(authority.as_deref(), Some("a.b"));
    let headers = types::HostIncomingRequest::headers(&mut wasi, again(&request)).unwrap();
    let entries = wasi.entries(again(&headers)).unwrap();
    assert_eq!(entries, [("x".to_owned(), b"1".to_vec())]);
    let body = types::HostIncomingRequest::consume(&mut wasi, again(&request))
        .unwrap()
        .unwrap();
    let stream = wasi.stream(again(&body)).unwrap().unwrap();
    assert!(wasi.stream(again(&body)).unwrap().is_err());
    assert_eq!(wasi.blocking_read(again(&stream), 2).unwrap(), b"bo");
    assert_eq!(wasi.blocking_read(again(&stream), 9).unwrap(), b"dy");
    assert!(matches!(
        wasi.blocking_read(again(&stream), 9),
        Err(StreamError::Closed)
    ));
    assert!(
        types::HostIncomingBody::finish(&mut wasi, body).is_err(),
        "a child is alive"
    );
}
