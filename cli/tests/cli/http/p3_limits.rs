//! Clients and guests of WASI 0.3 that want too much: others are served.

use std::io::Read as _;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::p3::service;
use super::server::Server;
use super::wire::Connection;

/// Options for instances of one request, and for those of many.
const KINDS: [&[&str]; 2] = [&[], &["--reuse", "1000000", "--concurrent", "16"]];

fn start(options: &[&str], kind: &[&str]) -> Server {
    service(&[options, kind].concat())
}

fn asks(server: &Server, path: &str) -> Connection {
    let mut connection = server.open();
    connection.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
    connection
}

/// Guests that wait, and those that compute all the time.
#[test]
fn time_ends_guests() {
    for kind in KINDS {
        let server = start(&["--timeout", "1s", "--max-concurrent", "4"], kind);
        for _ in 0..2 {
            let begun = Instant::now();
            let mut waiting: Vec<_> = (0..4)
                .map(|_| asks(&server, "/slow?ms=1000000000"))
                .collect();
            for connection in &mut waiting {
                connection.answer().is(504, "Gateway Timeout\n");
            }
            assert!(begun.elapsed() > Duration::from_millis(900));
            // They hold nobody up, and do not go on.
            server.get("/").is(200, "hello");
            server.reaches("cwasm_instances", 0.0);
            assert!(begun.elapsed() < Duration::from_secs(10));
        }
        let mut large = asks(&server, "/bytes?n=18446744073709551615");
        let mut buffer = vec![0; 1 << 20];
        let begun = Instant::now();
        while large.stream.read(&mut buffer).is_ok_and(|count| count > 0) {
            assert!(begun.elapsed() < Duration::from_secs(10));
        }
        server.reaches("cwasm_instances", 0.0);
        server.signal(Signal::TERM);
        let (_, said) = server.end();
        let line = "error: GET /slow?ms=1000000000: ";
        assert_eq!(said.matches(line).count(), 8, "{said}");
    }
}

/// A request that is late is late, however many come after it: they make no instance live on.
#[test]
fn late_requests_end_though_others_come() {
    let server = service(&[
        "--timeout",
        "1s",
        "--max-concurrent",
        "4",
        "--reuse",
        "1000000",
        "--concurrent",
        "4",
    ]);
    let mut late: Vec<_> = (0..3)
        .map(|_| asks(&server, "/slow?ms=1000000000"))
        .collect();
    let begun = Instant::now();
    let mut others = server.open();
    while begun.elapsed() < Duration::from_secs(3) {
        others.get("/").is(200, "hello");
    }
    for late in &mut late {
        late.answer().is(504, "Gateway Timeout\n");
    }
    // Theirs has ended meanwhile.
    assert_eq!(server.metric("cwasm_instances"), 1.0);
    let count = others.get("/count");
    assert_eq!(count.status, 200);
}

#[test]
fn clients_that_read_nothing_take_bounded_memory() {
    for kind in KINDS {
        let server = start(&["--timeout", "60s", "--max-concurrent", "2000"], kind);
        server.get("/").is(200, "hello");
        let before = server.status("VmRSS");
        let clients: Vec<_> = (0..1000)
            .map(|_| asks(&server, "/bytes?n=1000000000000"))
            .collect();
        server.reaches("cwasm_http_requests_in_flight", 1000.0);
        for _ in 0..50 {
            server.get("/").is(200, "hello");
        }
        // A guest's memory, a piece of its body there and on the way.
        let (now, peak) = (server.status("VmRSS"), server.status("VmHWM"));
        assert!(peak < before + (1 << 20), "{before} to {now}, {peak} KiB");
        // Clients that go end their guests.
        drop(clients);
        server.reaches("cwasm_http_requests_in_flight", 0.0);
        server.reaches("cwasm_instances", 0.0);
        server.get("/").is(200, "hello");
        assert!(server.status("Threads") < 60);
    }
}

#[test]
fn clients_that_send_little_hold_nobody_up() {
    let server = service(&["--max-concurrent", "8", "--timeout", "3s"]);
    let mut heads: Vec<_> = (0..1000).map(|_| server.open()).collect();
    for head in &mut heads {
        head.send("GET / HTTP/1.1\r\nhos");
    }
    // Bodies take instances, until their time is over.
    let mut bodies: Vec<_> = (0..7).map(|_| server.open()).collect();
    for body in &mut bodies {
        body.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc");
    }
    server.reaches("cwasm_instances", 7.0);
    for _ in 0..50 {
        server.get("/").is(200, "hello");
    }
    for body in &mut bodies {
        let answer = body.try_answer();
        assert!(answer.is_none_or(|answer| !answer.is_complete));
    }
    server.reaches("cwasm_instances", 0.0);
    heads[0].send("t: a\r\n\r\n");
    heads[0].answer().is(200, "hello");
}

/// Clients go at any moment: nothing is left of their requests.
#[test]
fn clients_that_go_end_their_guests() {
    for kind in KINDS {
        let server = start(&[], kind);
        let rounds = |count: usize| {
            for round in 0..count {
                let mut reading = asks(&server, "/bytes?n=1000000000000");
                let mut bytes = vec![0; round * 1000];
                reading.stream.read_exact(&mut bytes).unwrap();
                let mut sending = server.open();
                sending.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n");
                sending.send(vec![0; round * 100]);
                drop((reading, sending));
            }
            server.reaches("cwasm_http_requests_in_flight", 0.0);
            server.reaches("cwasm_instances", 0.0);
            server.reaches("cwasm_http_connections", 0.0);
        };
        // By the first there is what the process waits for time with.
        rounds(10);
        let before = server.descriptors();
        rounds(100);
        // Connections for metrics are closed a little later.
        let begun = Instant::now();
        while server.descriptors() > before {
            let now = server.descriptors();
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "{before}, then {now}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn memory_of_instances_is_bounded() {
    let server = service(&["--max-memory", "64K"]);
    server.get("/").is(500, "Internal Server Error\n");
    let server = service(&["--max-memory", "4M"]);
    server.get("/").is(200, "hello");
}
