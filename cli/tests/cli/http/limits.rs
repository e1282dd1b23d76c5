//! Clients and guests that want too much: others are served.

use std::io::Read as _;
use std::time::{Duration, Instant};

use super::server::Server;

#[test]
fn instances_and_the_queue_before_them_are_bounded() {
    let server = Server::start(&["--max-concurrent", "1", "--max-queued", "1"]);
    let mut first = server.open();
    first.send("GET /wait/600 HTTP/1.1\r\nhost: a\r\n\r\n");
    server.reaches("cwasm_instances", 1.0);
    let mut second = server.open();
    second.send("GET /hello HTTP/1.1\r\nhost: a\r\n\r\n");
    server.reaches("cwasm_http_requests_queued", 1.0);
    let rejected = server.get("/hello");
    rejected.is(503, "Service Unavailable\n");
    assert_eq!(rejected.header("retry-after"), Some("1"));
    first.answer().is(200, "waited\n");
    second.answer().is(200, "Hello, world!\n");
    server.reaches("cwasm_http_requests_rejected_total", 1.0);
    // Who goes leaves the queue.
    server.reaches("cwasm_instances", 0.0);
    first.send("GET /wait/600 HTTP/1.1\r\nhost: a\r\n\r\n");
    server.reaches("cwasm_instances", 1.0);
    second.send("GET /hello HTTP/1.1\r\nhost: a\r\n\r\n");
    server.reaches("cwasm_http_requests_queued", 1.0);
    drop(second);
    server.reaches("cwasm_http_requests_queued", 0.0);
    server.reaches("cwasm_http_requests_abandoned_total", 1.0);
}

#[test]
fn slow_clients_hold_nobody_up() {
    let server = Server::start(&["--max-concurrent", "8", "--timeout", "8s"]);
    // Heads that never end take no instance.
    let mut heads: Vec<_> = (0..200).map(|_| server.open()).collect();
    for head in &mut heads {
        head.send("GET /hello HTTP/1.1\r\nhos");
    }
    // Bodies do, until their time is over.
    let mut bodies: Vec<_> = (0..7).map(|_| server.open()).collect();
    for body in &mut bodies {
        body.send("POST /count HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc");
    }
    server.reaches("cwasm_instances", 7.0);
    for _ in 0..50 {
        server.get("/hello").is(200, "Hello, world!\n");
    }
    // Those are still there.
    server.reaches("cwasm_instances", 7.0);
    for body in &mut bodies {
        let answer = body.answer();
        assert!(matches!(answer.status, 400 | 500 | 504), "{answer:?}");
    }
    server.reaches("cwasm_instances", 0.0);
    // The rest of a head is still in time.
    heads[0].send("t: a\r\n\r\n");
    heads[0].answer().is(200, "Hello, world!\n");
}

#[test]
fn responses_without_end_take_bounded_memory() {
    let server = Server::start(&["--timeout", "3s"]);
    server.get("/hello").is(200, "Hello, world!\n");
    let before = server.status("VmRSS");
    // Nobody reads these: the guests wait.
    let mut clients: Vec<_> = (0..16).map(|_| server.open()).collect();
    for client in &mut clients {
        client.send("GET /forever HTTP/1.1\r\nhost: a\r\n\r\n");
    }
    server.reaches("cwasm_instances", 16.0);
    // This one reads as fast as it can.
    let mut reader = server.open();
    reader.send("GET /forever HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut buffer = vec![0; 1 << 16];
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(1) {
        count += reader.stream.read(&mut buffer).unwrap();
        server_is_small(&server, before);
    }
    assert!(count > 1 << 20, "{count}");
    server.get("/hello").is(200, "Hello, world!\n");
    // A client that goes ends its guest; the others are ended by the time.
    drop(reader);
    drop(clients.pop());
    server.reaches("cwasm_instances", 0.0);
    server_is_small(&server, before);
    let threads = server.status("Threads");
    assert!(threads < 60, "{threads}");
}

/// Within 64 MiB of what it was.
#[track_caller]
fn server_is_small(server: &Server, before: u64) {
    let now = server.status("VmRSS");
    assert!(now < before + (64 << 10), "{before} to {now} KiB");
}

#[test]
fn heads_are_bounded() {
    let server = Server::start(&[]);
    let mut connection = server.open();
    connection.send(format!(
        "GET /hello HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "a".repeat(30_000)
    ));
    connection.answer().is(200, "Hello, world!\n");
    for head in [
        format!(
            "GET /hello HTTP/1.1\r\nhost: a\r\nx: {}\r\n",
            "a".repeat(100_000)
        ),
        format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(100_000)),
        format!(
            "GET / HTTP/1.1\r\nhost: a\r\n{}\r\n",
            "x: 1\r\n".repeat(200)
        ),
    ] {
        let mut connection = server.open();
        connection.send(head);
        let status = connection.try_answer().map(|answer| answer.status);
        assert!(matches!(status, Some(414 | 431) | None), "{status:?}");
    }
    for head in [
        "GET\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
    ] {
        let mut connection = server.open();
        connection.send(head);
        let status = connection.try_answer().map(|answer| answer.status);
        assert!(
            matches!(status, Some(400 | 505) | None),
            "{head:?} {status:?}"
        );
    }
    server.get("/hello").is(200, "Hello, world!\n");
}

#[test]
fn memory_of_instances_is_bounded() {
    let server = Server::start(&["--max-memory", "16M"]);
    server.get("/hello").is(200, "Hello, world!\n");
    server.get("/grow").is(500, "Internal Server Error\n");
    server.get("/hello").is(200, "Hello, world!\n");
}
