//! Programs that make requests.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Folder, Ran, cwasm};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../wasi/guests/client.wasm");

/// A server that answers each connection by a function.
fn server(answer: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // Until the empty line.
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap_or(0) == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            answer(&mut stream);
        }
    });
    address
}

/// A server that answers with these bytes.
fn answers(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> SocketAddr {
    server(move |stream| {
        let _ = stream.write_all(bytes.as_ref());
    })
}

fn run(args: &[&str]) -> Ran {
    cwasm(
        &[
            &["run", CLIENT, "--net", "all", "--timeout", "30s", "--"],
            args,
        ]
        .concat(),
    )
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/path?query")
}

#[test]
fn responses_are_read_in_all_their_forms() {
    for (response, printed) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            "200\nhello",
        ),
        (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "404\n",
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", "204\n"),
        ("HTTP/1.0 200 OK\r\n\r\nto the end", "200\nto the end"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            "200\nabcde",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x\r\n\r\n1\r\na\r\n0\r\nx: y\r\n\r\n",
            "200\nax: y\n",
        ),
        (
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na",
            "200\na",
        ),
    ] {
        run(&["get", &url(answers(response))]).prints(printed);
    }
    let response = "HTTP/1.1 200 OK\r\nX-A: 1\r\nConnection: close\r\nKeep-Alive: 5\r\n\
        content-length: 0\r\n\r\n";
    run(&["get", "-i", &url(answers(response))]).prints("200\nx-a: 1\ncontent-length: 0\n\n");
}

#[test]
fn requests_are_what_was_asked_for() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        while !all.ends_with(b"0\r\n\r\n") {
            let mut bytes = [0; 1000];
            let count = stream.read(&mut bytes).unwrap();
            all.extend_from_slice(&bytes[..count]);
        }
        stream
            .write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n")
            .unwrap();
        sender.send(String::from_utf8(all).unwrap()).unwrap();
    });
    let folder = Folder::new();
    let file = folder.file("body", "the body");
    let dir = format!("{}::/dir", folder.path(""));
    let posted = cwasm(&[
        "run",
        CLIENT,
        "--net",
        &address.to_string(),
        "--dir",
        &dir,
        "--",
        "post",
        &url(address),
        "/dir/body",
    ]);
    posted.prints("201\n");
    let request = receiver.recv().unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut head: Vec<_> = head.lines().collect();
    head.sort_unstable();
    let host = format!("host: {address}");
    assert_eq!(
        head,
        [
            "POST /path?query HTTP/1.1",
            &host,
            "transfer-encoding: chunked"
        ]
    );
    assert_eq!(body, "8\r\nthe body\r\n0\r\n\r\n");
    let _ = file;
}

#[test]
fn failures_have_the_codes_of_the_specification() {
    for (response, code) in [
        (
            &b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhel"[..],
            "HTTP-response-incomplete",
        ),
        (b"", "HTTP-response-incomplete"),
        (b"not http at all\r\n\r\n", "HTTP-protocol-error"),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
            "HTTP-protocol-error",
        ),
    ] {
        let address = answers(response);
        let ran = run(&["get", &url(address)]);
        assert!(ran.stderr().contains(code), "{code}: {}", ran.stderr());
        assert_eq!(ran.0.status.code(), Some(1), "{}", ran.stderr());
    }
    let head = [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'a'; 200_000]].concat();
    run(&["get", &url(answers(head))]).fails(1, &["HTTP-response-header-section-size"]);

    // A port that nobody listens on.
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    run(&["get", &url(free)]).fails(1, &["connection-refused"]);
    run(&["get", "http://no-such-host.invalid/"]).fails(1, &["DNS-error"]);
    run(&["get", "ftp://127.0.0.1/"]).fails(1, &["HTTP-protocol-error"]);
    // It does not speak TLS.
    let plain = answers("HTTP/1.1 200 OK\r\n\r\n");
    run(&["get", &format!("https://{plain}/")]).fails(1, &["TLS-protocol-error"]);
}

#[test]
fn what_is_not_allowed_is_denied() {
    let address = answers("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let url = url(address);
    cwasm(&["run", CLIENT, "--", "get", &url]).fails(1, &["destination-IP-prohibited"]);
    let other = format!("127.0.0.1:{}", address.port() ^ 1);
    cwasm(&["run", CLIENT, "--net", &other, "--", "get", &url])
        .fails(1, &["destination-IP-prohibited"]);
    cwasm(&[
        "run",
        CLIENT,
        "--net",
        &address.to_string(),
        "--",
        "get",
        &url,
    ])
    .prints("200\n");
}

#[test]
fn each_part_has_its_timeout() {
    let late_head = server(|stream| {
        thread::sleep(Duration::from_secs(20));
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    });
    let start = Instant::now();
    run(&["get-with-timeout", "5000", "200", "5000", &url(late_head)])
        .fails(1, &["connection-read-timeout"]);
    let late_body = server(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc");
        thread::sleep(Duration::from_secs(20));
    });
    let ran = run(&["get-with-timeout", "5000", "5000", "200", &url(late_body)]);
    assert_eq!(ran.0.status.code(), Some(1));
    assert!(
        ran.stderr().contains("connection-read-timeout"),
        "{}",
        ran.stderr()
    );
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    // Slow, but never that slow.
    let drops = server(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n");
        for _ in 0..6 {
            thread::sleep(Duration::from_millis(100));
            let _ = stream.write_all(b"x");
        }
    });
    run(&["get-with-timeout", "5000", "5000", "5000", &url(drops)]).prints("200\nxxxxxx");
}

#[test]
fn a_response_without_end_is_ended_by_the_timeout() {
    let address = server(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    let ran = cwasm(&[
        "run",
        CLIENT,
        "--net",
        "all",
        "--timeout",
        "1s",
        "--",
        "get",
        &url(address),
    ]);
    assert_eq!(ran.0.status.code(), Some(124), "{}", ran.stderr());
    assert!(ran.0.stdout.len() > 4096);
}
