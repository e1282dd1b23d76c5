//! Servers: requests a second and their latencies, `cwasm serve` beside `wasmtime serve`.
//!
//! ```text
//! this process: CONNECTIONS connections, one `poll` -> loopback -> server (a process) -> http.wasm
//! ```
//!
//! Each connection sends its next request when the answer to the last has come. The two servers
//! are measured in turns.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, poll};

use crate::measure::Pair;
use crate::process::Commands;

/// Connections that are kept open.
const CONNECTIONS: usize = 16;

/// How long a server is asked in one turn.
const TURN: Duration = Duration::from_secs(1);

/// Turns of each server.
const TURNS: usize = 7;

/// How long a server may take to start.
const START: Duration = Duration::from_secs(10);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// A line of text.
    Hello,
    /// A body of 1 KiB, sent back.
    Echo1k,
    /// The same by a service of WASI 0.3.
    P3Hello,
    P3Echo1k,
    /// [`STREAMED`] bytes from one of WASI 0.3.
    P3Stream,
}

/// The bytes of a streamed answer.
const STREAMED: usize = 16 << 20;

/// Requests that an instance of WASI 0.3 answers, and at a time: what `wasmtime serve` does unless
/// it is told otherwise.
const REUSE: [&str; 4] = ["--reuse", "128", "--concurrent", "16"];

/// The figure of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Time for each request: one second by the number that a second has.
    PerRequest,
    /// The latency that one request of a hundred exceeds.
    P99,
}

impl Load {
    fn request(self) -> Vec<u8> {
        match self {
            Load::Hello => b"GET /hello HTTP/1.1\r\nhost: bench\r\n\r\n".to_vec(),
            Load::P3Hello => b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n".to_vec(),
            Load::P3Stream => {
                format!("GET /bytes?n={STREAMED} HTTP/1.1\r\nhost: bench\r\n\r\n").into_bytes()
            }
            Load::Echo1k | Load::P3Echo1k => {
                let head = "POST /echo HTTP/1.1\r\nhost: bench\r\ncontent-length: 1024\r\n\r\n";
                [head.as_bytes(), &body()].concat()
            }
        }
    }

    fn answer(self) -> Vec<u8> {
        match self {
            Load::Hello => b"Hello, world!\n".to_vec(),
            Load::P3Hello => b"hello".to_vec(),
            Load::Echo1k | Load::P3Echo1k => body(),
            // Only its end is looked at.
            Load::P3Stream => Vec::new(),
        }
    }

    /// Whether the guest is one of WASI 0.3.
    fn is_p3(self) -> bool {
        matches!(self, Load::P3Hello | Load::P3Echo1k | Load::P3Stream)
    }

    fn connections(self) -> usize {
        match self {
            // Their bytes keep both servers busy.
            Load::P3Stream => 2,
            _ => CONNECTIONS,
        }
    }
}

fn body() -> Vec<u8> {
    (0..1024).map(|place| b'a' + (place % 23) as u8).collect()
}

impl Commands {
    /// Asks both servers, in turns: the medians, in nanoseconds.
    ///
    /// # Errors
    /// If a server does not start, or answers wrongly.
    pub(crate) fn measure_servers(&self, load: Load, figure: Figure) -> Result<Pair> {
        let (wasm, compile, their_flags): (_, &[&str], &[&str]) = match load.is_p3() {
            false => ("http.wasm", &[], &[]),
            true => {
                let flags = &["-W", "component-model-async", "-S", "p3,cli"];
                ("p3/service.wasm", &flags[..2], flags)
            }
        };
        let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wasi/guests");
        let [ours, theirs] = self.compiled_with(&guests.join(wasm), "http", compile)?;
        let [our_port, their_port] = [free_port()?, free_port()?];
        let mut serve = self.our_command();
        serve
            .arg("serve")
            .arg(ours)
            .args(["--addr", &our_port.to_string()]);
        if load.is_p3() {
            serve.args(REUSE);
        }
        let ours = Server::start(serve, our_port)?;
        let mut serve = self.their_command()?;
        serve.args([
            "serve",
            "--allow-precompiled",
            "--addr",
            &their_port.to_string(),
        ]);
        serve.args(their_flags).arg(theirs);
        let theirs = Server::start(serve, their_port)?;
        let (mut our_figures, mut their_figures) = (Vec::new(), Vec::new());
        for turn in 0..=TURNS {
            let figures = [&ours, &theirs].map(|server| server.ask(load, figure));
            let [ours, theirs] = figures;
            // The first turn starts threads and fills caches.
            if turn > 0 {
                our_figures.push(ours?);
                their_figures.push(theirs?);
            }
        }
        Ok(Pair::of_samples(our_figures, their_figures))
    }
}

/// An address that nobody listens on.
fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A server, which is killed when this is dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(mut command: Command, address: SocketAddr) -> Result<Server> {
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.with_context(|| format!("cannot start {command:?}"))?;
        let mut server = Server { child, address };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = server.child.try_wait()?;
            ensure!(ended.is_none(), "{command:?} has ended: {ended:?}");
            ensure!(start.elapsed() < START, "{command:?} does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// One turn.
    fn ask(&self, load: Load, figure: Figure) -> Result<f64> {
        let (request, answer) = (load.request(), load.answer());
        let mut connections = Vec::new();
        for _ in 0..load.connections() {
            connections.push(Connection::open(self.address)?);
        }
        let start = Instant::now();
        for connection in &mut connections {
            connection.send(&request)?;
        }
        let mut times = Vec::new();
        while start.elapsed() < TURN {
            let mut waits: Vec<_> = connections
                .iter()
                .map(|connection| PollFd::new(&connection.stream, PollFlags::IN))
                .collect();
            poll(&mut waits, None)?;
            let ready: Vec<_> = waits
                .iter()
                .map(|wait| !wait.revents().is_empty())
                .collect();
            for (connection, _) in connections
                .iter_mut()
                .zip(ready)
                .filter(|(_, ready)| *ready)
            {
                let is_whole = match load {
                    Load::P3Stream => connection.receive_stream()?,
                    _ => connection.receive(&answer)?,
                };
                if is_whole {
                    times.push(connection.sent.elapsed().as_nanos() as f64);
                    connection.send(&request)?;
                }
            }
        }
        let time = start.elapsed().as_nanos() as f64;
        let least = if load == Load::P3Stream { 5 } else { 100 };
        ensure!(times.len() > least, "{} answers in a turn", times.len());
        Ok(match figure {
            Figure::PerRequest => time / times.len() as f64,
            Figure::P99 => {
                times.sort_by(f64::total_cmp);
                times[times.len() * 99 / 100]
            }
        })
    }
}

/// A connection, and what has come of an answer.
struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    /// Bytes that have come of a streamed answer.
    streamed: usize,
    sent: Instant,
}

impl Connection {
    fn open(address: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream,
            received: Vec::new(),
            streamed: 0,
            sent: Instant::now(),
        })
    }

    fn send(&mut self, request: &[u8]) -> Result<()> {
        self.sent = Instant::now();
        // It is small, and the last one was read: there is room.
        Ok(self.stream.write_all(request)?)
    }

    /// Receives what is there: whether the answer is complete. It must be the expected one.
    fn receive(&mut self, expected: &[u8]) -> Result<bool> {
        let mut bytes = [0; 8192];
        match self.stream.read(&mut bytes) {
            Ok(0) => bail!("the server has closed a connection"),
            Ok(count) => self.received.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let Some(body) = whole_body(&self.received)? else {
            return Ok(false);
        };
        ensure!(
            body == expected,
            "found {:?}",
            String::from_utf8_lossy(&self.received)
        );
        self.received.clear();
        Ok(true)
    }
}

impl Connection {
    /// Receives what is there of a streamed answer: whether it has all come.
    fn receive_stream(&mut self) -> Result<bool> {
        let mut bytes = vec![0; 256 << 10];
        let count = match self.stream.read(&mut bytes) {
            Ok(0) => bail!("the server has closed a connection"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let is_first = self.streamed == 0;
        ensure!(
            !is_first || bytes.starts_with(b"HTTP/1.1 200"),
            "another answer"
        );
        self.streamed += count;
        // The end alone is kept.
        self.received.extend_from_slice(&bytes[..count]);
        let kept = self.received.len().min(STREAM_END.len());
        self.received.drain(..self.received.len() - kept);
        if self.streamed < STREAMED || self.received != STREAM_END {
            return Ok(false);
        }
        self.streamed = 0;
        self.received.clear();
        Ok(true)
    }
}

/// The end of an answer in chunks.
const STREAM_END: &[u8] = b"\r\n0\r\n\r\n";

/// The body of an answer with status 200, once all of it has come.
fn whole_body(received: &[u8]) -> Result<Option<Vec<u8>>> {
    let end = received.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let Some(end) = end else {
        return Ok(None);
    };
    let (head, rest) = (&received[..end], &received[end + 4..]);
    let head = std::str::from_utf8(head)?.to_ascii_lowercase();
    ensure!(head.starts_with("http/1.1 200"), "found {head}");
    if let Some((_, length)) = head.split_once("content-length: ") {
        let length: usize = length.lines().next().unwrap_or_default().parse()?;
        return Ok(rest.get(..length).map(<[u8]>::to_vec));
    }
    let (mut body, mut rest) = (Vec::new(), rest);
    loop {
        let Some(end) = rest.windows(2).position(|bytes| bytes == b"\r\n") else {
            return Ok(None);
        };
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end])?, 16)?;
        // The chunk, or the empty line after the last one.
        let Some(piece) = rest.get(end + 2..end + 2 + size + 2) else {
            return Ok(None);
        };
        if size == 0 {
            return Ok(Some(body));
        }
        body.extend_from_slice(&piece[..size]);
        rest = &rest[end + 2 + size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_once_they_are_whole() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        ] {
            for length in 0..answer.len() {
                assert_eq!(
                    whole_body(&answer.as_bytes()[..length]).unwrap(),
                    None,
                    "{length}"
                );
            }
            assert_eq!(whole_body(answer.as_bytes()).unwrap().unwrap(), b"abc");
        }
        assert!(whole_body(b"HTTP/1.1 500 Oops\r\n\r\n").is_err());
    }
}
