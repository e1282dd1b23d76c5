//! What guests call, without guests: the traits of the interfaces, on a store without a component.

mod cancel;
mod limits;
mod names;
mod policy;
mod tcp;
mod tcp_streams;
mod udp;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use async_io::{Timer, block_on};
use cwasm::{Access, Engine, Resource, Store, StreamReader, StreamWriter};

use super::TcpSocket;
use crate::bindings::wasi::sockets::network::{
    ErrorCode as Code, IpAddressFamily, IpSocketAddress,
};
use crate::ctx::{WasiCtx, WasiCtxBuilder};
use crate::p3::bindings::wasi::sockets::types::{ErrorCode, HostTcpSocket};
use crate::p3::bytes::unless;
use crate::sockets::SocketError;

/// Loopback addresses and a port that the system chooses.
const ANY_PORT: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

const INVALID_STATE: Option<Code> = Some(Code::InvalidState);
const INVALID_ARGUMENT: Option<Code> = Some(Code::InvalidArgument);

/// What a guest has.
type Guest<'a> = Access<'a, WasiCtx, WasiCtx>;

/// Runs what a guest does that may use all of the network.
fn run(body: impl AsyncFnOnce(Guest<'_>)) {
    run_with(WasiCtxBuilder::new().inherit_network(), body);
}

fn run_with<R>(builder: WasiCtxBuilder, body: impl AsyncFnOnce(Guest<'_>) -> R) -> R {
    let mut store = Store::new(&Engine::default(), builder.build());
    let get: fn(&mut WasiCtx) -> &mut WasiCtx = |wasi| wasi;
    let result = store.run_concurrent(async |accessor| {
        let body = body(Access::new(accessor, &get));
        unless(body, Timer::after(Duration::from_secs(20))).await
    });
    block_on(result).unwrap().expect("it takes too long")
}

/// The same handle, for another call.
fn again<T: 'static>(resource: &Resource<T>) -> Resource<T> {
    Resource::new_borrow(resource.rep())
}

fn address(text: &str) -> IpSocketAddress {
    text.parse::<SocketAddr>().unwrap().into()
}

fn family(address: IpSocketAddress) -> IpAddressFamily {
    match address {
        IpSocketAddress::Ipv4(_) => IpAddressFamily::Ipv4,
        IpSocketAddress::Ipv6(_) => IpAddressFamily::Ipv6,
    }
}

/// The code that a guest is told, in words of 0.2.
fn code<T>(result: Result<T, SocketError>) -> Option<Code> {
    match result {
        Ok(_) => None,
        Err(SocketError::Code(code)) => Some(code),
        Err(SocketError::Trap(error)) => panic!("{error:?}"),
    }
}

/// Waits for both.
async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut of_a, mut of_b) = (None, None);
    poll_fn(|context| {
        if of_a.is_none()
            && let Poll::Ready(result) = a.as_mut().poll(context)
        {
            of_a = Some(result);
        }
        if of_b.is_none()
            && let Poll::Ready(result) = b.as_mut().poll(context)
        {
            of_b = Some(result);
        }
        match (of_a.take(), of_b.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (of_a, of_b) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

/// Lets everything go on for a while.
async fn pause() {
    Timer::after(Duration::from_millis(60)).await;
}

fn tcp(guest: Guest<'_>, address: IpSocketAddress) -> Resource<TcpSocket> {
    let created = guest.with(|wasi| HostTcpSocket::create(wasi, family(address)));
    created.unwrap()
}

fn bind(
    guest: Guest<'_>,
    socket: &Resource<TcpSocket>,
    local: IpSocketAddress,
) -> Result<(), SocketError> {
    guest.with(|wasi| HostTcpSocket::bind(wasi, again(socket), local))
}

async fn connect(
    guest: Guest<'_>,
    socket: &Resource<TcpSocket>,
    remote: IpSocketAddress,
) -> Result<(), SocketError> {
    <WasiCtx as HostTcpSocket>::connect(guest, again(socket), remote).await
}

fn local_address(
    guest: Guest<'_>,
    socket: &Resource<TcpSocket>,
) -> Result<IpSocketAddress, SocketError> {
    guest.with(|wasi| HostTcpSocket::get_local_address(wasi, again(socket)))
}

fn drop_tcp(guest: Guest<'_>, socket: Resource<TcpSocket>) {
    guest
        .with(|wasi| HostTcpSocket::drop(wasi, socket))
        .unwrap();
}

/// A socket that listens, its connections, and its address.
struct Listener {
    socket: Resource<TcpSocket>,
    connections: StreamReader<Resource<TcpSocket>>,
    address: IpSocketAddress,
}

fn listen(guest: Guest<'_>, local: &str) -> Listener {
    let socket = tcp(guest, address(local));
    bind(guest, &socket, address(local)).unwrap();
    let connections = <WasiCtx as HostTcpSocket>::listen(guest, again(&socket)).unwrap();
    let address = local_address(guest, &socket).unwrap();
    Listener {
        socket,
        connections,
        address,
    }
}

/// The next connection.
async fn accept(guest: Guest<'_>, listener: &mut Listener) -> Resource<TcpSocket> {
    let mut accepted = listener
        .connections
        .read(guest.accessor(), 1)
        .await
        .unwrap();
    accepted.pop().unwrap()
}

/// Two ends of a connection: the one that was connected, the one that was accepted.
async fn pair(guest: Guest<'_>, local: &str) -> [Resource<TcpSocket>; 2] {
    let mut listener = listen(guest, local);
    let client = tcp(guest, listener.address);
    let remote = listener.address;
    let (connected, server) = both(
        connect(guest, &client, remote),
        accept(guest, &mut listener),
    )
    .await;
    connected.unwrap();
    drop_tcp(guest, listener.socket);
    guest
        .accessor()
        .with(|store| listener.connections.close(store))
        .unwrap();
    [client, server]
}

/// Sends bytes, and ends that direction.
async fn send(
    guest: Guest<'_>,
    socket: &Resource<TcpSocket>,
    bytes: &[u8],
) -> Result<(), ErrorCode> {
    let accessor = guest.accessor();
    let (writer, reader) = accessor.with(|store| StreamWriter::pair(store));
    let outcome = <WasiCtx as HostTcpSocket>::send(guest, again(socket), reader).unwrap();
    let written = writer.write_last(accessor, bytes.to_vec());
    let (_, outcome) = both(written, outcome.read(accessor)).await;
    outcome.unwrap().unwrap()
}

/// All bytes that come.
async fn receive(
    guest: Guest<'_>,
    socket: &Resource<TcpSocket>,
) -> (Vec<u8>, Result<(), ErrorCode>) {
    let accessor = guest.accessor();
    let (bytes, outcome) = <WasiCtx as HostTcpSocket>::receive(guest, again(socket)).unwrap();
    let (bytes, outcome) = both(bytes.collect(accessor), outcome.read(accessor)).await;
    (bytes.unwrap(), outcome.unwrap().unwrap())
}
