//! What a server answers.

use std::io::Write as _;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::server::{Server, artifact};
use crate::support::{Folder, cwasm, greet};

#[test]
fn requests_are_answered_by_instances() {
    let server = Server::start(&[]);
    let mut connection = server.open();
    for _ in 0..3 {
        let answer = connection.get("/hello");
        answer.is(200, "Hello, world!\n");
        assert_eq!(answer.header("content-type"), Some("text/plain"));
        assert!(answer.header("date").is_some());
    }
    connection.get("/no/such/path").is(404, "no such path\n");
    connection.get("/status/418").is(418, "");
    // There is no body to be read.
    connection.send("HEAD /hello HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(connection.head().unwrap().status, 200);
    connection.send(
        "GET /headers?a=%20b HTTP/1.1\r\nHost: a.b:8\r\nX-One: 1\r\nx-one: 2\r\n\
        Connection: keep-alive\r\nUpgrade: h2c\r\n\r\n",
    );
    connection.answer().is(
        200,
        "method: Get\nscheme: http\nauthority: a.b:8\npath: /headers?a=%20b\nx-one: 1\nx-one: 2\n",
    );
    // Pipelined requests are answered in their order.
    connection.send("GET /status/201 HTTP/1.1\r\nhost: a\r\n\r\n".repeat(3));
    connection.send("GET /hello HTTP/1.1\r\nhost: a\r\n\r\n");
    for _ in 0..3 {
        connection.answer().is(201, "");
    }
    connection.answer().is(200, "Hello, world!\n");
    server.reaches("cwasm_http_requests_total{code=\"201\"}", 3.0);
    // The highest there is.
    connection.get("/status/999").is(999, "");
    server.reaches("cwasm_http_requests_total{code=\"999\"}", 1.0);
}

#[test]
fn bodies_are_streamed_both_ways() {
    let server = Server::start(&[]);
    let body: Vec<u8> = (0..3_000_000).map(|place| (place % 253) as u8).collect();
    for size in [0, 1, 65_535, 65_536, 65_537, body.len()] {
        let answer = server.open().post("/echo", &body[..size]);
        assert!(answer.is_complete);
        assert_eq!(answer.status, 200);
        assert!(answer.body == body[..size], "{size}");
    }
    let answer = server.get("/bytes/1000000");
    assert!(
        answer
            .body
            .iter()
            .enumerate()
            .all(|(at, byte)| *byte == (at % 251) as u8)
    );
    assert_eq!((answer.body.len(), answer.is_complete), (1_000_000, true));

    // Each piece comes back before the next is sent.
    let mut connection = server.open();
    connection.send("POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    assert_eq!(connection.head().unwrap().status, 200);
    for piece in ["one", "two", "three"] {
        connection.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
        assert_eq!(connection.chunk().unwrap(), piece.as_bytes());
    }
    connection.send("0\r\n\r\n");
    assert_eq!(connection.chunk().unwrap(), b"");

    // Pieces come when they are written.
    let mut connection = server.open();
    connection.send("GET /ticks/3/200 HTTP/1.1\r\nhost: a\r\n\r\n");
    connection.head().unwrap();
    assert_eq!(connection.chunk().unwrap(), b"0\n");
    let first = Instant::now();
    assert_eq!(connection.chunk().unwrap(), b"1\n");
    assert_eq!(connection.chunk().unwrap(), b"2\n");
    assert!(
        first.elapsed() > Duration::from_millis(200),
        "{:?}",
        first.elapsed()
    );

    // A body that is not read ends its connection, perhaps before the client has sent it all or has
    // read the answer.
    let mut connection = server.open();
    let length = body.len();
    connection.send(format!(
        "POST /ignore HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n"
    ));
    let _ = connection.stream.get_mut().write_all(&body);
    if let Some(answer) = connection.try_answer() {
        answer.is(200, "ignored\n");
    }
    server.get("/hello").is(200, "Hello, world!\n");
}

#[test]
fn trailers_come_after_bodies() {
    let server = Server::start(&[]);
    let mut connection = server.open();
    connection.send("GET /trailers HTTP/1.1\r\nhost: a\r\nte: trailers\r\n\r\n");
    let answer = connection.answer();
    answer.is(200, "a body\n");
    assert_eq!(answer.trailers, ["x-first: 1", "x-second: 2"]);
    connection.send(
        "POST /trailers HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\
        trailer: x-a\r\n\r\n3\r\nabc\r\n0\r\nx-a: 7\r\n\r\n",
    );
    connection.answer().is(200, "x-a: 7\n");
    connection
        .post("/trailers", b"abc")
        .is(200, "no trailers\n");
}

#[test]
fn failures_end_one_request() {
    let server = Server::start(&["--timeout", "2s"]);
    for path in ["/trap", "/nothing", "/error"] {
        let answer = server.get(path);
        answer.is(500, "Internal Server Error\n");
        server.get("/hello").is(200, "Hello, world!\n");
    }
    // The client is told that something is missing: the connection ends, perhaps before the head
    // was sent.
    for path in ["/trap-late", "/drop", "/short", "/long"] {
        let mut connection = server.open();
        connection.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
        let answer = connection.try_answer();
        assert!(
            answer.as_ref().is_none_or(|answer| !answer.is_complete),
            "{path} {answer:?}"
        );
        server.get("/hello").is(200, "Hello, world!\n");
    }
    for path in ["/spin", "/wait/1000000"] {
        let start = Instant::now();
        server.get(path).is(504, "Gateway Timeout\n");
        let took = start.elapsed();
        assert!(
            took > Duration::from_secs(1) && took < Duration::from_secs(15),
            "{took:?}"
        );
    }
    server.reaches("cwasm_instances", 0.0);
    server.get("/hello").is(200, "Hello, world!\n");
    server.signal(Signal::TERM);
    let (_, said) = server.end();
    assert!(said.contains("wasm trap: unreachable"), "{said}");
    assert!(said.contains("short: written true"), "{said}");
    assert!(said.contains("long: written false"), "{said}");
}

#[test]
fn requests_are_made_as_far_as_they_are_allowed() {
    let other = Server::start(&[]);
    let port = other.address.port();
    let url = format!("url=http://127.0.0.1:{port}");
    let denied = Server::start(&[]);
    denied
        .get(&format!("/fetch?{url}/hello"))
        .is(502, "destination-ip-prohibited\n");
    denied
        .get("/fetch?url=http://localhost/")
        .is(502, "http-request-denied\n");
    let allowed = Server::start(&["--net", &format!("127.0.0.1:{port}")]);
    allowed
        .get(&format!("/fetch?{url}/hello"))
        .is(200, "Hello, world!\n");
    allowed
        .get("/fetch?url=http://127.0.0.1:9/")
        .is(502, "destination-ip-prohibited\n");
    let body = vec![7; 1_000_000];
    let answer = allowed.open().post(&format!("/forward?{url}/echo"), &body);
    assert!(answer.is_complete && answer.body == body);
    // The head of that may be lost, too, here or there.
    let mut connection = allowed.open();
    connection.send(format!(
        "GET /fetch?{url}/trap-late HTTP/1.1\r\nhost: a\r\n\r\n"
    ));
    if let Some(answer) = connection.try_answer() {
        let is_told = answer.status == 502 && answer.text() == "http-response-incomplete\n";
        assert!(!answer.is_complete || is_told, "{answer:?}");
    }
}

#[test]
fn metrics_and_the_log_say_what_happened() {
    let server = Server::start(&["--log"]);
    for _ in 0..3 {
        server.get("/hello").is(200, "Hello, world!\n");
    }
    server.get("/trap");
    server.reaches("cwasm_http_requests_in_flight", 0.0);
    server.reaches("cwasm_instance_failures_total", 1.0);
    assert_eq!(
        server.metric("cwasm_http_requests_total{code=\"200\"}"),
        3.0
    );
    assert_eq!(
        server.metric("cwasm_http_requests_total{code=\"500\"}"),
        1.0
    );
    assert_eq!(
        server.metric("cwasm_http_request_duration_seconds_count"),
        4.0
    );
    let all = server.metric("cwasm_http_request_duration_seconds_bucket{le=\"+Inf\"}");
    assert_eq!(all, 4.0);
    let sum = server.metric("cwasm_http_request_duration_seconds_sum");
    assert!(sum > 0.0 && sum < 10.0, "{sum}");
    server.signal(Signal::INT);
    let (status, said) = server.end();
    assert_eq!(status.code(), Some(0));
    let lines = said
        .lines()
        .filter(|line| line.starts_with("GET /hello 200 14 bytes "));
    assert_eq!(lines.count(), 3, "{said}");
    assert!(said.contains("GET /trap 500 22 bytes "), "{said}");
}

#[test]
fn the_log_has_the_source_lines_of_a_trap() {
    let folder = Folder::new();
    let guests = concat!(env!("CARGO_MANIFEST_DIR"), "/../wasi/guests");
    let wasm = format!("{guests}/debug/service/service.wasm");
    for debug in ["--debug", "--debug=split"] {
        let artifact = folder.path("service.cwasm");
        cwasm(&["compile", debug, &wasm, "-o", &artifact]).prints("");
        let server = Server::of(&artifact, &["--log"]);
        for path in ["/first", "/second"] {
            server.get(path).is(500, "Internal Server Error\n");
        }
        server.signal(Signal::INT);
        let (_, said) = server.end();
        for path in ["/first", "/second"] {
            let error = format!(
                "error: GET {path}: wasm trap: integer divide by zero\n    \
                 0:     0x35 - service!answer\n               at ././service.wat:12:8\n    \
                 1:     0x2c - service!handle\n               at ././service.wat:10:8\n"
            );
            assert!(said.contains(&error), "{said}");
            assert!(
                said.contains(&format!("GET {path} 500 22 bytes ")),
                "{said}"
            );
        }
    }
}

#[test]
fn traps_leave_core_dumps_up_to_a_limit() {
    let folder = Folder::new();
    let path = folder.path("");
    let server = Server::start(&["--coredumps", &path, "--max-coredumps", "2"]);
    for failures in 1..=3 {
        server.get("/trap");
        server.get("/hello").is(200, "Hello, world!\n");
        server.reaches("cwasm_instance_failures_total", f64::from(failures));
    }
    assert_eq!(folder.names().len(), 2, "{:?}", folder.names());
    let core = folder.0.path().join(&folder.names()[0]);
    assert!(std::fs::read(core).unwrap().starts_with(b"\0asm\x01\0\0\0"));
    let reasons = server.metric("cwasm_traps_total{reason=\"unreachable\"}");
    assert_eq!(reasons, 3.0);
    assert_eq!(server.metric("cwasm_artifacts"), 1.0);
    assert!(server.metric("cwasm_mappings") <= server.metric("cwasm_mappings_max"));
    let instances =
        ["made", "reused"].map(|how| server.metric(&format!("cwasm_instances_{how}_total")));
    assert_eq!(instances.iter().sum::<f64>(), 6.0);

    let missing = folder.path("missing");
    let refused = cwasm(&["serve", artifact(), "--coredumps", &missing]);
    refused.fails(1, &["missing", "No such file"]);
}

#[test]
fn what_cannot_be_served_is_named() {
    let greet = greet();
    let greet = greet.to_str().unwrap();
    cwasm(&["serve", greet]).fails(
        1,
        &[
            "does not answer HTTP requests",
            "wasi:http/incoming-handler",
        ],
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    cwasm(&["serve", artifact(), "--addr", &address]).fails(1, &["cannot listen on", &address]);
    let folder = Folder::new();
    let missing = folder.path("missing");
    cwasm(&["serve", artifact(), "--dir", &missing])
        .fails(1, &["cannot open the folder", &missing]);
}

#[test]
fn a_component_is_compiled_first() {
    let wasm = concat!(env!("CARGO_MANIFEST_DIR"), "/../wasi/guests/http.wasm");
    let most = u64::MAX.to_string();
    let options = ["--max-concurrent", &most, "--max-connections", &most];
    let server = Server::of(wasm, &[&["--timeout", "1s"], &options[..]].concat());
    server.get("/hello").is(200, "Hello, world!\n");
    server.get("/spin").is(504, "Gateway Timeout\n");
}

#[test]
fn a_timeout_may_be_longer_than_clocks_can_show() {
    let server = Server::start(&["--timeout", "5000000000000000h"]);
    server.get("/hello").is(200, "Hello, world!\n");
    server.get("/wait/1").is(200, "waited\n");
}
