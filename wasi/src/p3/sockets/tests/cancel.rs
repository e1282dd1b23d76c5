//! What a guest cancels or drops leaves no socket behind.

use std::fs::read_dir;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;

use cwasm::{Resource, StreamWriter};
use rustix::fs::fstat;
use rustix::net::{AddressFamily, SocketType, bind as bind_to, getsockname, socket};

use super::{
    ANY_PORT, Guest, INVALID_STATE, address, again, bind, both, code, connect, drop_tcp, listen,
    local_address, pair, pause, run, run_with, send, tcp,
};
use crate::bindings::wasi::sockets::network::IpSocketAddress;
use crate::ctx::{WasiCtx, WasiCtxBuilder};
use crate::p3::TcpSocket;
use crate::p3::bindings::wasi::sockets::types::{ErrorCode, HostTcpSocket};
use crate::p3::bytes::unless;

/// The system's number of a socket, which no other has.
fn number(guest: Guest<'_>, socket: &Resource<TcpSocket>) -> u64 {
    let socket = guest.with(|wasi| wasi.table.get(socket).cloned()).unwrap();
    let number = socket.with_options(|options| Ok(fstat(options.socket.as_fd())?.st_ino));
    number.unwrap()
}

/// Whether this process has the socket open.
fn is_open(number: u64) -> bool {
    let name = format!("socket:[{number}]");
    let descriptors = read_dir("/proc/self/fd").unwrap();
    let mut targets = descriptors.filter_map(|entry| entry.ok()?.path().read_link().ok());
    targets.any(|target| target.as_os_str() == name.as_str())
}

/// Whether the guest has nothing open, of at most so many.
fn has_places(guest: Guest<'_>, max: usize) -> bool {
    let open_files = guest.with(|wasi| wasi.open_files.clone());
    let places: Vec<_> = (0..max).map_while(|_| open_files.place().ok()).collect();
    places.len() == max
}

/// A listener that accepts nothing, and connections that are as many as wait for that: one more is
/// never answered.
fn silent() -> (Vec<rustix::fd::OwnedFd>, IpSocketAddress) {
    let listener = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind_to(&listener, &"127.0.0.1:0".parse::<SocketAddr>().unwrap()).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let address = SocketAddr::try_from(getsockname(&listener).unwrap()).unwrap();
    let mut all = vec![listener];
    for _ in 0..2 {
        let client = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::io::ioctl_fionbio(&client, true).unwrap();
        let _ = rustix::net::connect(&client, &address);
        all.push(client);
    }
    (all, address.into())
}

#[test]
fn nothing_else_is_done_while_a_socket_connects() {
    let (_all, remote) = silent();
    let builder = WasiCtxBuilder::new().inherit_network().max_open_files(1);
    run_with(builder, async |guest| {
        let socket = tcp(guest, remote);
        let number = number(guest, &socket);
        let others = async {
            pause().await;
            assert_eq!(code(connect(guest, &socket, remote).await), INVALID_STATE);
            let bound = bind(guest, &socket, address(ANY_PORT[0]));
            assert_eq!(code(bound), INVALID_STATE);
            let listened = <WasiCtx as HostTcpSocket>::listen(guest, again(&socket));
            assert_eq!(code(listened), INVALID_STATE);
            let sent = send(guest, &socket, b"x").await;
            assert!(matches!(sent, Err(ErrorCode::InvalidState)));
            assert_eq!(code(local_address(guest, &socket)), None);
            pause().await;
        };
        let connected = unless(connect(guest, &socket, remote), others).await;
        assert!(connected.is_none(), "it was answered");
        // The attempt is over, and with it the socket.
        assert_eq!(code(local_address(guest, &socket)), INVALID_STATE);
        assert!(!is_open(number));
        assert!(has_places(guest, 1));
    });
}

#[test]
fn a_call_that_connects_outlives_the_resource() {
    run(async |guest| {
        let listener = listen(guest, ANY_PORT[0]);
        let (_all, remote) = silent();
        for (remote, answers) in [(listener.address, true), (remote, false)] {
            let socket = tcp(guest, remote);
            let (number, handle) = (number(guest, &socket), again(&socket));
            let drops = async {
                drop_tcp(guest, socket);
                pause().await;
            };
            let connects = unless(connect(guest, &handle, remote), async {
                pause().await;
                pause().await;
            });
            let (connected, ()) = both(connects, drops).await;
            assert_eq!(connected.is_some_and(|result| result.is_ok()), answers);
            assert!(!is_open(number));
        }
    });
}

#[test]
fn a_failed_connection_is_closed() {
    let builder = WasiCtxBuilder::new().inherit_network().max_open_files(1);
    run_with(builder, async |guest| {
        let unused = std::net::TcpListener::bind(ANY_PORT[0]).unwrap();
        let remote = unused.local_addr().unwrap();
        drop(unused);
        let socket = tcp(guest, remote.into());
        let number = number(guest, &socket);
        connect(guest, &socket, remote.into()).await.unwrap_err();
        assert!(!is_open(number));
        assert!(has_places(guest, 1));
    });
}

#[test]
fn a_listener_is_there_as_long_as_its_stream_or_its_resource() {
    run(async |guest| {
        for resource_first in [true, false] {
            let listener = listen(guest, ANY_PORT[0]);
            let number = number(guest, &listener.socket);
            let mut connections = listener.connections;
            // A read that is cancelled while nobody connects.
            let read = connections.read(guest.accessor(), 1);
            assert!(unless(read, pause()).await.is_none());
            if resource_first {
                drop_tcp(guest, listener.socket);
                pause().await;
                assert!(is_open(number));
                guest
                    .accessor()
                    .with(|store| connections.close(store))
                    .unwrap();
            } else {
                guest
                    .accessor()
                    .with(|store| connections.close(store))
                    .unwrap();
                pause().await;
                assert!(is_open(number));
                drop_tcp(guest, listener.socket);
            }
            pause().await;
            assert!(!is_open(number));
        }
    });
}

#[test]
fn a_connection_that_nobody_takes_is_closed() {
    let builder = WasiCtxBuilder::new().inherit_network().max_open_files(2);
    run_with(builder, async |guest| {
        let mut listener = listen(guest, ANY_PORT[0]);
        let read = listener.connections.read(guest.accessor(), 1);
        assert!(unless(read, pause()).await.is_none());
        // Somebody has read, so that the next connection is accepted; nobody reads now.
        let client = std::net::TcpStream::connect(SocketAddr::from(listener.address)).unwrap();
        pause().await;
        guest
            .accessor()
            .with(|store| listener.connections.close(store))
            .unwrap();
        drop_tcp(guest, listener.socket);
        pause().await;
        assert!(has_places(guest, 2));
        assert!(guest.with(|wasi| wasi.table.is_empty()));
        drop(client);
    });
}

#[test]
fn streams_that_wait_end_with_their_other_end() {
    run(async |guest| {
        let accessor = guest.accessor();
        let [client, server] = pair(guest, ANY_PORT[0]).await;
        let number = number(guest, &client);
        let (mut writer, reader) = accessor.with(|store| StreamWriter::pair(store));
        let sent = <WasiCtx as HostTcpSocket>::send(guest, again(&client), reader).unwrap();
        let (mut bytes, received) =
            <WasiCtx as HostTcpSocket>::receive(guest, again(&client)).unwrap();
        drop_tcp(guest, client);
        // One waits for bytes, the other for room.
        let all = vec![0; 100 << 20];
        let writes = unless(writer.write_all(accessor, all), pause());
        let reads = unless(bytes.read(accessor, 1), pause());
        let (written, read) = both(writes, reads).await;
        assert!(written.is_none() && read.is_none());
        assert!(is_open(number));
        accessor.with(|mut store| {
            bytes.close(&mut store).unwrap();
            writer.close(&mut store).unwrap();
        });
        assert!(received.read(accessor).await.unwrap().unwrap().is_ok());
        assert!(sent.read(accessor).await.unwrap().unwrap().is_ok());
        pause().await;
        assert!(!is_open(number));
        drop_tcp(guest, server);
    });
}

#[test]
fn nothing_outlives_the_store() {
    let builder = WasiCtxBuilder::new().inherit_network();
    let numbers = run_with(builder, async |guest| {
        let accessor = guest.accessor();
        let [client, server] = pair(guest, ANY_PORT[0]).await;
        let mut listener = listen(guest, ANY_PORT[0]);
        let numbers = [&client, &server, &listener.socket].map(|socket| number(guest, socket));
        let (mut writer, reader) = accessor.with(|store| StreamWriter::pair(store));
        <WasiCtx as HostTcpSocket>::send(guest, client, reader).unwrap();
        let (mut bytes, _) = <WasiCtx as HostTcpSocket>::receive(guest, server).unwrap();
        let accepts = unless(listener.connections.read(accessor, 1), pause());
        let reads = unless(bytes.read(accessor, 9), pause());
        let writes = unless(writer.write_all(accessor, vec![0; 100 << 20]), pause());
        both(accepts, both(reads, writes)).await;
        assert!(numbers.iter().all(|number| is_open(*number)));
        numbers
    });
    assert!(!numbers.into_iter().any(is_open));
}
