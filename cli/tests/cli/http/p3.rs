//! What servers of WASI 0.3 answer.

use std::io::Write as _;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::server::{Server, made};
use super::wire::{Answer, Connection};
use crate::support::cwasm;

/// Starts a server of `service.wasm`.
pub(super) fn service(options: &[&str]) -> Server {
    static MADE: OnceLock<(tempfile::TempDir, String)> = OnceLock::new();
    Server::of(made(&MADE, "p3/service"), options)
}

/// So many bytes without a short period.
fn bytes(count: usize) -> Vec<u8> {
    let scattered = |at: usize| ((at as u32).wrapping_mul(2_654_435_761) >> 24) as u8;
    (0..count).map(scattered).collect()
}

/// Sends a request with a body and reads the answer at the same time.
fn exchange(server: &Server, head: &str, body: &[u8]) -> Answer {
    let mut connection = server.open();
    connection.send(head);
    let mut writer = connection.stream.get_ref().try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || writer.write_all(body).unwrap());
        connection.answer()
    })
}

#[test]
fn requests_are_answered() {
    let server = service(&[]);
    let mut connection = server.open();
    for _ in 0..3 {
        let answer = connection.get("/");
        answer.is(200, "hello");
        assert_eq!(answer.header("content-type"), Some("text/plain"));
        assert!(answer.header("date").is_some());
    }
    connection.get("/no/such/page").is(404, "no such page\n");
    connection.post("/", b"abc").is(405, "expected GET\n");
    // A body that nobody has read may close the connection.
    let mut connection = server.open();
    connection.get("/slow?ms=20").is(200, "slow");
    // Each request has an instance of its own.
    for _ in 0..3 {
        connection.get("/count").is(200, "1");
    }
    connection.send("HEAD /no HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(connection.head().unwrap().status, 404);
    // Pipelined requests are answered in their order.
    connection.send("GET /count HTTP/1.1\r\nhost: a\r\n\r\n".repeat(3));
    connection.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    for _ in 0..3 {
        connection.answer().is(200, "1");
    }
    connection.answer().is(200, "hello");
}

#[test]
fn bodies_and_trailers_come_back() {
    let server = service(&[]);
    let body = bytes(10_000_000);
    for size in [0, 1, 1 << 10, 65_535, 65_536, 65_537, body.len()] {
        let body = &body[..size];
        let head = format!("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: {size}\r\n\r\n");
        let answer = exchange(&server, &head, body);
        assert_eq!((answer.status, answer.is_complete), (200, true), "{size}");
        assert!(answer.body == body, "{size}");
        assert_eq!(answer.header("content-length"), Some(&*size.to_string()));

        let head = "POST /echo HTTP/1.1\r\nhost: a\r\nte: trailers\r\ntrailer: x-a\r\n\
            transfer-encoding: chunked\r\n\r\n";
        let mut chunks = Vec::new();
        for piece in body.chunks(300_000) {
            chunks.extend(format!("{:x}\r\n", piece.len()).bytes());
            chunks.extend(piece);
            chunks.extend(b"\r\n");
        }
        chunks.extend(b"0\r\nx-a: 7\r\n\r\n");
        let answer = exchange(&server, head, &chunks);
        assert_eq!((answer.status, answer.is_complete), (200, true), "{size}");
        assert!(answer.body == body, "{size}");
        assert_eq!(answer.trailers, ["x-a: 7"], "{size}");
    }
    let answer = server.get("/bytes?n=10000000");
    let expected = (0..10_000_000).map(|at| (at % 251) as u8);
    assert!(answer.is_complete && answer.body.iter().copied().eq(expected));

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

    // A request that ends too early has an answer that does.
    let mut connection = server.open();
    connection.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc");
    assert_eq!(connection.head().unwrap().status, 200);
    connection
        .stream
        .get_ref()
        .shutdown(std::net::Shutdown::Write)
        .unwrap();
    assert!(connection.try_answer().is_none());
    server.reaches("cwasm_instances", 0.0);
}

#[test]
fn middleware_stands_before_a_service() {
    static MADE: OnceLock<(tempfile::TempDir, String)> = OnceLock::new();
    let server = Server::of(made(&MADE, "p3/composed"), &[]);
    let answer = server.get("/");
    answer.is(200, "hello");
    assert_eq!(answer.header("x-middleware"), Some("yes"));
    let body = bytes(10_000_000);
    let head = format!(
        "POST /echo HTTP/1.1\r\nhost: a\r\nte: trailers\r\nx-count: 1\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let answer = exchange(&server, &head, &body);
    assert_eq!((answer.status, answer.is_complete), (200, true));
    assert!(answer.body == body);
    assert_eq!(answer.trailers, [format!("x-bytes: {}", body.len())]);
    server.get("/trap").is(500, "Internal Server Error\n");
    server.get("/").is(200, "hello");
}

#[test]
fn requests_are_made_as_far_as_they_are_allowed() {
    let other = service(&[]);
    let port = other.address.port();
    let fetch = format!("/fetch?url=http://127.0.0.1:{port}");
    let denied = service(&[]).get(&fetch);
    assert_eq!(denied.status, 502, "{denied:?}");
    let reason = "HttpRequestDenied";
    let is_told = denied.text().contains(reason) || denied.text().contains("IpProhibited");
    assert!(is_told, "{denied:?}");
    let allowed = service(&["--net", &format!("127.0.0.1:{port}")]);
    allowed.get(&fetch).is(200, "hello");
    let answer = allowed.get(&format!("{fetch}/bytes?n=3000000"));
    let expected = (0..3_000_000).map(|at| (at % 251) as u8);
    assert!(answer.is_complete && answer.body.iter().copied().eq(expected));
    allowed
        .get(&format!("{fetch}/trap"))
        .is(500, "Internal Server Error\n");
    allowed
        .get(&format!("{fetch}/none"))
        .is(404, "no such page\n");
}

#[test]
fn an_instance_answers_as_many_as_it_is_said_to() {
    let server = service(&["--reuse", "5"]);
    let mut connection = server.open();
    for _ in 0..3 {
        for count in 1..=5 {
            connection.get("/count").is(200, &count.to_string());
        }
    }
    // One at a time: others get another one meanwhile.
    let server = service(&["--reuse", "5"]);
    let mut slow = server.open();
    slow.send("GET /slow?ms=500 HTTP/1.1\r\nhost: a\r\n\r\n");
    server.reaches("cwasm_instances", 1.0);
    server.get("/count").is(200, "1");
    slow.answer().is(200, "slow");

    // All at the same time, in one instance.
    let server = service(&["--reuse", "100", "--concurrent", "100"]);
    let mut connections: Vec<_> = (0..50).map(|_| server.open()).collect();
    for connection in &mut connections {
        connection.send("GET /slow?ms=1000 HTTP/1.1\r\nhost: a\r\n\r\n");
    }
    server.reaches("cwasm_http_requests_in_flight", 50.0);
    assert_eq!(server.metric("cwasm_instances"), 1.0);
    server.get("/count").is(200, "51");
    for connection in &mut connections {
        connection.answer().is(200, "slow");
    }
    // One that has nothing to do is not kept for ever.
    server.reaches("cwasm_instances", 0.0);
    server.get("/count").is(200, "1");
}

#[test]
fn instances_of_0_2_answer_one() {
    for option in ["--reuse", "--concurrent"] {
        cwasm(&["serve", super::server::artifact(), option, "2"])
            .fails(1, &["an instance of WASI 0.2 answers one request"]);
    }
}

#[test]
fn a_trap_ends_the_requests_of_its_instance() {
    let server = service(&["--reuse", "100", "--concurrent", "8"]);
    let mut others: Vec<_> = (0..7).map(|_| server.open()).collect();
    for (place, other) in others.iter_mut().enumerate() {
        other.send(format!(
            "GET /slow?ms={} HTTP/1.1\r\nhost: a\r\n\r\n",
            20_000 + place
        ));
    }
    server.reaches("cwasm_http_requests_in_flight", 7.0);
    assert_eq!(server.metric("cwasm_instances"), 1.0);
    let start = Instant::now();
    server.get("/trap").is(500, "Internal Server Error\n");
    for other in &mut others {
        other.answer().is(500, "Internal Server Error\n");
    }
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "they do not wait"
    );
    server.get("/count").is(200, "1");
    server.signal(Signal::TERM);
    let (_, said) = server.end();
    assert!(
        said.contains("error: GET /trap: wasm trap: unreachable"),
        "{said}"
    );
    for place in 0..7 {
        let line = format!(
            "error: GET /slow?ms={}: its instance has ended by another request",
            20_000 + place
        );
        assert!(said.contains(&line), "no `{line}` in {said}");
    }
}

/// Traps again and again, in instances that others use: nobody else waits, and all are answered.
#[test]
fn traps_under_load_end_no_requests_but_their_instances() {
    let server = service(&["--reuse", "10", "--concurrent", "4"]);
    let address = server.address;
    let ask = |path: &str, count: usize| {
        let mut connection = Connection::open(address);
        (0..count).map(|_| connection.get(path).status).collect()
    };
    thread::scope(|scope| {
        let traps = scope.spawn(move || -> Vec<u16> { ask("/trap", 100) });
        let others: Vec<_> = (0..4)
            .map(|_| scope.spawn(move || -> Vec<u16> { ask("/", 300) }))
            .collect();
        assert!(traps.join().unwrap().iter().all(|status| *status == 500));
        for other in others {
            let statuses = other.join().unwrap();
            assert!(statuses.iter().all(|it| matches!(it, 200 | 500)));
            assert!(statuses.contains(&200));
        }
    });
    server.get("/").is(200, "hello");
    server.reaches("cwasm_instances", 0.0);
}

#[test]
fn what_has_come_is_answered_before_the_end() {
    for options in [&[][..], &["--reuse", "10", "--concurrent", "4"]] {
        let server = service(options);
        let mut idle = server.open();
        idle.get("/").is(200, "hello");
        let mut slow = server.open();
        slow.send("GET /slow?ms=1000 HTTP/1.1\r\nhost: a\r\n\r\n");
        // More than what is buffered on the way.
        let mut large = server.open();
        large.send("GET /bytes?n=30000000 HTTP/1.1\r\nhost: a\r\n\r\n");
        server.reaches("cwasm_http_requests_in_flight", 2.0);
        server.signal(Signal::TERM);
        thread::sleep(Duration::from_millis(100));
        let late = idle.get("/");
        late.is(200, "hello");
        assert_eq!(late.header("connection"), Some("close"));
        slow.answer().is(200, "slow");
        let answer = large.answer();
        assert_eq!((answer.body.len(), answer.is_complete), (30_000_000, true));
        let (status, said) = server.end();
        assert_eq!(status.code(), Some(0), "{said}");
    }
}

#[test]
fn nothing_is_lost_under_load() {
    for options in [&[][..], &["--reuse", "7", "--concurrent", "3"]] {
        let server = service(options);
        let address = server.address;
        let ask = || {
            let mut connection = Connection::open(address);
            for count in 0.. {
                let answer = connection.get("/");
                answer.is(200, "hello");
                if answer.header("connection") == Some("close") {
                    return count;
                }
            }
            0
        };
        thread::scope(|scope| {
            let clients: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            thread::sleep(Duration::from_millis(700));
            server.signal(Signal::TERM);
            let answered: usize = clients.into_iter().map(|it| it.join().unwrap()).sum();
            assert!(answered > 100, "{answered}");
        });
        assert_eq!(server.end().0.code(), Some(0));
    }
}
