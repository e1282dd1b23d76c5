//! Sockets between programs and the host, as far as `--net` allows them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use super::{bash, script};
use crate::support::Folder;

/// A server that has said its address, at the end of its first line.
struct Server {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    address: SocketAddr,
}

impl Server {
    fn start(folder: &Folder, command: &str) -> Server {
        let mut bash = bash(folder, &format!("exec $run {command}"));
        let mut child = bash.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let address = line.split_whitespace().last().expect("it says its address");
        let address = address.parse().unwrap();
        Server {
            child,
            output,
            address,
        }
    }

    /// It ends well, and says this.
    #[track_caller]
    fn ends(mut self, expected: &str) {
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        assert!(self.child.wait().unwrap().success());
        assert_eq!(text, expected);
    }
}

/// More than the buffers of a connection hold.
fn bytes() -> Vec<u8> {
    (0..20 << 20).map(|at: u32| (at % 253) as u8).collect()
}

#[test]
fn a_program_serves_tcp() {
    let folder = Folder::new();
    let server = "--net 127.0.0.1:* $client -- tcp-echo-server 127.0.0.1:0 2";
    let server = Server::start(&folder, server);
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(b"text").unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"text");
    drop(stream);

    let mut stream = TcpStream::connect(server.address).unwrap();
    let mut sender = stream.try_clone().unwrap();
    let sending = thread::spawn(move || {
        sender.write_all(&bytes()).unwrap();
        sender.shutdown(Shutdown::Write).unwrap();
    });
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    sending.join().unwrap();
    assert!(answer == bytes());
    server.ends(&format!("4 bytes\n{} bytes\n", answer.len()));
}

#[test]
fn a_program_is_a_client_of_tcp() {
    let folder = Folder::new();
    folder.file("in", bytes());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&all).unwrap();
    });
    let client = format!("$run --net {address} $client -- tcp-client {address} < in > out");
    script(&folder, &client).prints("");
    serving.join().unwrap();
    script(&folder, "cmp in out").prints("");
}

#[test]
fn programs_talk_to_each_other() {
    let folder = Folder::new();
    folder.file("in", bytes());
    let server = "--net all $client -- tcp-echo-server 127.0.0.1:0 1";
    let server = Server::start(&folder, server);
    let address = server.address;
    let client = format!("$run --net {address} $client -- tcp-client {address} < in | cmp - in");
    script(&folder, &client).prints("");
    server.ends(&format!("{} bytes\n", bytes().len()));

    let server = "--net 127.0.0.1:* $client -- udp-echo 127.0.0.1:0 1";
    let server = Server::start(&folder, server);
    let address = server.address;
    let client = format!("$run --net {address} $client -- udp-client {address} größe");
    script(&folder, &client).prints("größe\n");
    server.ends("");
}

#[test]
fn a_program_sends_back_datagrams() {
    let folder = Folder::new();
    let server = "--net 127.0.0.1:* $client -- udp-echo 127.0.0.1:0 3";
    let server = Server::start(&folder, server);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    socket.connect(server.address).unwrap();
    for data in [&b"text"[..], b"", &[7; 60_000]] {
        socket.send(data).unwrap();
        let mut answer = vec![0; 1 << 16];
        let count = socket.recv(&mut answer).unwrap();
        assert!(answer[..count] == *data, "{count} of {}", data.len());
    }
    server.ends("");
}

#[test]
fn addresses_that_were_not_given_are_denied() {
    let folder = Folder::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let other = address.port() ^ 1;
    for net in [
        "".to_owned(),
        format!("--net 127.0.0.1:{other}"),
        "--net 127.0.0.2:*".to_owned(),
        "--net [::1]:*".to_owned(),
    ] {
        for command in [
            format!("tcp-client {address} < /dev/null"),
            format!("tcp-echo-server 127.0.0.1:{} 1", address.port()),
            "tcp-echo-server 127.0.0.1:0 1".to_owned(),
            format!("udp-echo 127.0.0.1:{} 1", address.port()),
            format!("udp-client {address} text"),
        ] {
            let ran = script(&folder, &format!("$run {net} $client -- {command}"));
            ran.fails(1, &["client: access-denied"]);
        }
    }
    // Nobody came.
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err());
    script(&folder, "$run $client -- lookup localhost").fails(1, &["permanent-resolver-failure"]);
    let lookup = script(
        &folder,
        "$run --net 127.0.0.1:1 $client -- lookup localhost",
    );
    assert!(
        lookup.stdout().contains("127.0.0.1\n"),
        "{}",
        lookup.stderr()
    );
}

#[test]
fn what_the_network_says_is_told() {
    let folder = Folder::new();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let client = format!("$run --net all $client -- tcp-client {free} < /dev/null");
    script(&folder, &client).fails(1, &["client: connection-refused"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = format!("$run --net all $client -- tcp-echo-server {address} 1");
    script(&folder, &server).fails(1, &["client: address-in-use"]);
}
