//! Begins what its first argument names and gives it up before it is over, a thousand times; then
//! prints `done`, and on standard error how many were over at once. Hosts see by it that nothing is
//! left of what guests give up.
//!
//! ```text
//! cancel NAME [FILE]    FILE is read, or written, by what is named file-..., default `file`
//! ```

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use futures::join;
use p3::{LOCALHOST, complain, no_trailers, open, print, received, text_of};
use wasip3::cli::{environment, stdin, stdout};
use wasip3::clocks::monotonic_clock;
use wasip3::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};
use wasip3::http::client;
use wasip3::http::types::{Fields, Request, Response, Scheme};
use wasip3::sockets::ip_name_lookup::resolve_addresses;
use wasip3::sockets::types::{IpAddressFamily, IpSocketAddress, TcpSocket, UdpSocket};
use wasip3::wit_bindgen::{StreamReader, yield_async};
use wasip3::wit_stream;

/// How many times.
const TIMES: usize = 1000;

/// Longer than anybody waits, in nanoseconds.
const HOUR: u64 = 3_600_000_000_000;

/// A piece of what is read or written.
const PIECE: usize = 64 << 10;

struct Cancel;

wasip3::cli::command::export!(Cancel);

impl wasip3::exports::cli::run::Guest for Cancel {
    async fn run() -> Result<(), ()> {
        let args = environment::get_arguments();
        let name = args.get(1).map_or("", String::as_str);
        let file = args.get(2).map_or("file", String::as_str);
        match cancel(name, file).await {
            Ok(over) => {
                complain(format!("{name}: {over} of {TIMES} were over at once\n")).await;
                print("done\n").await.map_err(drop)
            }
            Err(message) => {
                complain(format!("cancel: {name}: {message}\n")).await;
                Err(())
            }
        }
    }
}

/// How many were over at once.
#[derive(Default)]
struct Times {
    count: usize,
    over: usize,
}

impl Times {
    fn is_next(&mut self) -> bool {
        self.count += 1;
        self.count <= TIMES
    }

    /// Begins something, and gives it up.
    async fn begin<F: Future>(&mut self, future: F) {
        {
            let mut future = pin!(future);
            let begun = poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready()));
            self.over += usize::from(begun.await);
        }
        // The host may go on meanwhile.
        yield_async().await;
    }
}

async fn cancel(name: &str, file: &str) -> Result<usize, String> {
    let mut times = Times::default();
    match name {
        "wait-for" => {
            while times.is_next() {
                times.begin(monotonic_clock::wait_for(HOUR)).await;
            }
        }
        "wait-until" => {
            let end = monotonic_clock::now() + HOUR;
            while times.is_next() {
                times.begin(monotonic_clock::wait_until(end)).await;
            }
        }
        "stdin-read" => {
            while times.is_next() {
                let (mut bytes, _ending) = stdin::read_via_stream();
                times.begin(bytes.read(Vec::with_capacity(PIECE))).await;
            }
        }
        "stdin-ending" => {
            while times.is_next() {
                let (_bytes, ending) = stdin::read_via_stream();
                times.begin(ending.into_future()).await;
            }
        }
        "stdout-written" => {
            while times.is_next() {
                let (_sender, receiver) = wit_stream::new();
                times
                    .begin(stdout::write_via_stream(receiver).into_future())
                    .await;
            }
        }
        // Nobody is at the other end: of this component alone.
        "stream-read" => {
            while times.is_next() {
                let (_sender, mut receiver) = wit_stream::new::<u8>();
                times.begin(receiver.read(Vec::with_capacity(PIECE))).await;
            }
        }
        "stream-write" => {
            while times.is_next() {
                let (mut sender, _receiver) = wit_stream::new::<u8>();
                times.begin(sender.write(vec![0; PIECE])).await;
            }
        }
        _ if name.starts_with("file-") => files(name, file, &mut times).await?,
        _ if name.starts_with("tcp-") => tcp(name, &mut times).await?,
        _ if name.starts_with("http-") => http(name, &mut times).await?,
        "udp-receive" => {
            let socket = udp()?;
            while times.is_next() {
                times.begin(socket.receive()).await;
            }
        }
        "udp-send" => {
            let (socket, other) = (udp()?, udp()?);
            let to = other
                .get_local_address()
                .map_err(|error| error.to_string())?;
            while times.is_next() {
                times.begin(socket.send(vec![0; 512], Some(to))).await;
            }
        }
        "resolve" => {
            while times.is_next() {
                times.begin(resolve_addresses("localhost".to_owned())).await;
            }
        }
        _ => return Err("nothing is called so".to_owned()),
    }
    Ok(times.over)
}

async fn files(name: &str, path: &str, times: &mut Times) -> Result<(), String> {
    let how = match name {
        "file-write" => OpenFlags::CREATE | OpenFlags::TRUNCATE,
        _ => OpenFlags::empty(),
    };
    let flags = match name {
        "file-write" | "file-sync" => DescriptorFlags::WRITE,
        _ => DescriptorFlags::READ,
    };
    let file = open(path, how, flags).await?;
    let folder = || wasip3::filesystem::preopens::get_directories().remove(0).0;
    let folder: Descriptor = folder();
    while times.is_next() {
        match name {
            "file-read" => {
                let (mut bytes, _ending) = file.read_via_stream(0);
                times.begin(bytes.read(Vec::with_capacity(PIECE))).await;
            }
            "file-write" => {
                let (mut sender, receiver) = wit_stream::new();
                let _written = file.write_via_stream(receiver, 0);
                times.begin(sender.write(vec![0; PIECE])).await;
            }
            "file-written" => {
                let (_sender, receiver) = wit_stream::new();
                times
                    .begin(file.write_via_stream(receiver, 0).into_future())
                    .await;
            }
            "file-stat" => times.begin(file.stat()).await,
            "file-sync" => times.begin(file.sync()).await,
            "file-open" => {
                let (to, rest) = (PathFlags::empty(), path.trim_start_matches('/').to_owned());
                times.begin(folder.open_at(to, rest, how, flags)).await;
            }
            "file-list" => {
                let (mut entries, _ending) = folder.read_directory();
                times.begin(entries.read(Vec::with_capacity(1))).await;
            }
            _ => return Err("nothing is called so".to_owned()),
        }
    }
    Ok(())
}

fn udp() -> Result<UdpSocket, String> {
    let socket = UdpSocket::create(IpAddressFamily::Ipv4).map_err(|error| error.to_string())?;
    socket.bind(LOCALHOST).map_err(|error| error.to_string())?;
    Ok(socket)
}

/// A server on this machine: its socket, where it is, and who arrives.
struct Server {
    _socket: TcpSocket,
    address: IpSocketAddress,
    arrivals: StreamReader<TcpSocket>,
}

impl Server {
    fn new() -> Result<Server, String> {
        let failed = |error: wasip3::sockets::types::ErrorCode| error.to_string();
        let socket = TcpSocket::create(IpAddressFamily::Ipv4).map_err(failed)?;
        socket.bind(LOCALHOST).map_err(failed)?;
        Ok(Server {
            arrivals: socket.listen().map_err(failed)?,
            address: socket.get_local_address().map_err(failed)?,
            _socket: socket,
        })
    }

    /// Both ends of a connection: the client's, the server's.
    async fn pair(&mut self) -> Result<(TcpSocket, TcpSocket), String> {
        let client = tcp_socket()?;
        let (connected, server) = join!(client.connect(self.address), self.arrivals.next());
        connected.map_err(|error| error.to_string())?;
        Ok((client, server.ok_or("the listener has ended")?))
    }
}

fn tcp_socket() -> Result<TcpSocket, String> {
    TcpSocket::create(IpAddressFamily::Ipv4).map_err(|error| error.to_string())
}

async fn tcp(name: &str, times: &mut Times) -> Result<(), String> {
    let mut server = Server::new()?;
    match name {
        // The listener takes none: once its queue is full, they wait.
        "tcp-connect" => {
            while times.is_next() {
                let socket = tcp_socket()?;
                times.begin(socket.connect(server.address)).await;
            }
        }
        "tcp-accept" => {
            while times.is_next() {
                times
                    .begin(server.arrivals.read(Vec::with_capacity(1)))
                    .await;
            }
        }
        "tcp-receive" => {
            let (client, _other) = server.pair().await?;
            let (mut bytes, _ending) = client.receive();
            while times.is_next() {
                times.begin(bytes.read(Vec::with_capacity(PIECE))).await;
            }
        }
        // The other end reads nothing: once buffers are full, writes wait.
        "tcp-send" => {
            let (client, _other) = server.pair().await?;
            let (mut sender, receiver) = wit_stream::new();
            let _sent = client.send(receiver);
            while times.is_next() {
                times.begin(sender.write(vec![0; PIECE])).await;
            }
        }
        "tcp-sent" => {
            while times.is_next() {
                let (client, _other) = server.pair().await?;
                let (_sender, receiver) = wit_stream::new();
                times.begin(client.send(receiver).into_future()).await;
            }
        }
        _ => return Err("nothing is called so".to_owned()),
    }
    Ok(())
}

async fn http(name: &str, times: &mut Times) -> Result<(), String> {
    let mut server = Server::new()?;
    let authority = text_of(server.address);
    match name {
        // Nobody answers.
        "http-send" => {
            while times.is_next() {
                let (request, _sent) = request(&authority, None)?;
                times.begin(client::send(request)).await;
            }
        }
        // The request's body does not come.
        "http-upload" => {
            while times.is_next() {
                let (mut sender, body) = wit_stream::new();
                let (request, _sent) = request(&authority, Some(body))?;
                let send = async { join!(client::send(request), sender.write(vec![0; PIECE])) };
                times.begin(send).await;
            }
        }
        // The head of an answer comes, and nothing of its body.
        "http-body" | "http-trailers" => {
            let (request, _sent) = request(&authority, None)?;
            let answer = async {
                let other = server.arrivals.next().await?;
                // An answer that comes before the request is none.
                let (mut asked, asking) = other.receive();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(asked.next().await?);
                }
                let (mut sender, receiver) = wit_stream::new();
                let sent = other.send(receiver);
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                sender.write_all(head.into()).await;
                Some((other, asked, asking, sender, sent))
            };
            let (response, _answer) = join!(client::send(request), answer);
            let response = response.map_err(|error| format!("{error:?}"))?;
            let (mut body, trailers) = Response::consume_body(response, received());
            if name == "http-body" {
                while times.is_next() {
                    times.begin(body.read(Vec::with_capacity(PIECE))).await;
                }
            } else {
                let mut trailers = trailers;
                while times.is_next() {
                    let mut read = pin!(trailers.into_future());
                    times.begin(read.as_mut()).await;
                    // A read that is given up leaves the future as it was.
                    match read.as_mut().cancel() {
                        Err(unread) => trailers = unread,
                        Ok(_) => return Err("the body has ended".to_owned()),
                    }
                }
            }
        }
        _ => return Err("nothing is called so".to_owned()),
    }
    Ok(())
}

type Sent = wasip3::wit_bindgen::FutureReader<Result<(), wasip3::http::types::ErrorCode>>;

fn request(authority: &str, body: Option<StreamReader<u8>>) -> Result<(Request, Sent), String> {
    let (request, sent) = Request::new(Fields::new(), body, no_trailers(), None);
    let set = request
        .set_scheme(Some(&Scheme::Http))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some("/")));
    set.map_err(|()| format!("{authority}: no authority"))?;
    Ok((request, sent))
}
