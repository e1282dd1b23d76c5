//! `cwasm serve` as a child process.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::wire::{Answer, Connection};
use crate::support::cwasm;

/// A server, which is killed when this is dropped.
pub(super) struct Server {
    child: Child,
    stderr: BufReader<ChildStderr>,
    pub(super) address: SocketAddr,
    pub(super) metrics: SocketAddr,
}

/// The artifact of `http.wasm`, made once.
pub(super) fn artifact() -> &'static str {
    static MADE: Made = Made::new();
    made(&MADE, "http")
}

type Made = OnceLock<(TempDir, String)>;

/// The artifact of a guest, made once.
pub(super) fn made(made: &'static Made, guest: &str) -> &'static str {
    let (_, path) = made.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("guest.cwasm");
        let path = path.to_str().unwrap().to_owned();
        let guests = concat!(env!("CARGO_MANIFEST_DIR"), "/../wasi/guests");
        let wasm = format!("{guests}/{guest}.wasm");
        cwasm(&["compile", "--interruptible", &wasm, "-o", &path]).prints("");
        (folder, path)
    });
    path
}

impl Server {
    /// Starts a server of `http.wasm`.
    pub(super) fn start(options: &[&str]) -> Server {
        Server::of(artifact(), options)
    }

    pub(super) fn of(file: &str, options: &[&str]) -> Server {
        let any = "127.0.0.1:0";
        let mut child = Command::new(cargo_bin("cwasm"))
            .args(["serve", file, "--addr", any, "--metrics", any])
            .args(options)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut address = |start: &str, end: &str| {
            let mut line = String::new();
            stderr.read_line(&mut line).unwrap();
            let address = line.trim_end().strip_prefix(start);
            let address = address.and_then(|address| address.strip_suffix(end));
            address.unwrap_or_else(|| panic!("{line}")).parse().unwrap()
        };
        let metrics = address("metrics on http://", "/metrics");
        let address = address("listening on http://", "");
        Server {
            child,
            stderr,
            address,
            metrics,
        }
    }

    pub(super) fn open(&self) -> Connection {
        Connection::open(self.address)
    }

    /// The answer to a request on a connection of its own.
    pub(super) fn get(&self, path: &str) -> Answer {
        self.open().get(path)
    }

    /// The value of a metric.
    pub(super) fn metric(&self, name: &str) -> f64 {
        let answer = Connection::open(self.metrics).get("/metrics");
        assert_eq!(answer.status, 200);
        let mut lines = answer.text().lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value
            .unwrap_or_else(|| panic!("no {name}"))
            .parse()
            .unwrap()
    }

    /// Waits until a metric has a value.
    #[track_caller]
    pub(super) fn reaches(&self, name: &str, value: f64) {
        let start = Instant::now();
        while self.metric(name) != value {
            let found = self.metric(name);
            assert!(start.elapsed() < Duration::from_secs(20), "{name}: {found}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// How many descriptors are open.
    pub(super) fn descriptors(&self) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        open.unwrap().count()
    }

    /// A number of `/proc/PID/status`.
    pub(super) fn status(&self, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(":"));
        let number = line.unwrap().split_whitespace().next().unwrap();
        number.parse().unwrap()
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end: the status, and what was said.
    pub(super) fn end(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap(), said)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
