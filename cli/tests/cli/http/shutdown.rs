//! The end of a server: what has come is answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::server::Server;
use super::wire::Connection;

#[test]
fn requests_that_have_come_are_answered() {
    let server = Server::start(&[]);
    let mut idle = server.open();
    idle.get("/hello").is(200, "Hello, world!\n");
    let mut waiting = server.open();
    waiting.send("GET /wait/1000 HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut ticking = server.open();
    ticking.send("GET /ticks/5/200 HTTP/1.1\r\nhost: a\r\n\r\n");
    server.reaches("cwasm_instances", 2.0);
    server.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(100));
    // A request on its way when the signal came.
    let late = idle.get("/hello");
    late.is(200, "Hello, world!\n");
    assert_eq!(late.header("connection"), Some("close"));
    assert!(idle.try_answer().is_none());
    waiting.answer().is(200, "waited\n");
    ticking.answer().is(200, "0\n1\n2\n3\n4\n");
    let (status, said) = server.end();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("shutting down"), "{said}");
}

#[test]
fn nothing_is_lost_under_load() {
    let server = Server::start(&[]);
    let address = server.address;
    let answered = AtomicU64::new(0);
    // Each on one connection, as long as the server keeps it.
    let ask = || {
        let mut connection = Connection::open(address);
        loop {
            let answer = connection.get("/hello");
            answer.is(200, "Hello, world!\n");
            answered.fetch_add(1, Ordering::Relaxed);
            if answer.header("connection") == Some("close") {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        let start = Instant::now();
        while answered.load(Ordering::Relaxed) < 200 {
            assert!(start.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(5));
        }
        server.signal(Signal::TERM);
        for client in clients {
            client.join().unwrap();
        }
    });
    assert_eq!(server.end().0.code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let server = Server::start(&[]);
    let mut waiting = server.open();
    waiting.send("GET /wait/20000 HTTP/1.1\r\nhost: a\r\n\r\n");
    server.reaches("cwasm_instances", 1.0);
    let start = Instant::now();
    server.signal(Signal::INT);
    std::thread::sleep(Duration::from_millis(200));
    server.signal(Signal::INT);
    assert_eq!(server.end().0.code(), Some(0));
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
}
