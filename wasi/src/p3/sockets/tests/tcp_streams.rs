//! The streams of TCP connections.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use cwasm::{Resource, StreamWriter};

use super::{
    ANY_PORT, Guest, address, again, both, connect, drop_tcp, pair, pause, receive, run, send, tcp,
};
use crate::ctx::WasiCtx;
use crate::p3::TcpSocket;
use crate::p3::bindings::wasi::sockets::types::{ErrorCode, HostTcpSocket};

/// A connection to a peer that is no guest's.
async fn to_host(guest: Guest<'_>) -> (Resource<TcpSocket>, TcpStream) {
    let listener = TcpListener::bind(ANY_PORT[0]).unwrap();
    let remote = listener.local_addr().unwrap();
    let socket = tcp(guest, remote.into());
    connect(guest, &socket, remote.into()).await.unwrap();
    let (peer, _) = listener.accept().unwrap();
    (socket, peer)
}

#[test]
fn all_bytes_come_and_then_the_end() {
    let bytes: Vec<u8> = (0..3_000_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    run(async |guest| {
        for local in ANY_PORT {
            let [client, server] = pair(guest, local).await;
            for (from, to) in [(&client, &server), (&server, &client)] {
                let (sent, (received, outcome)) =
                    both(send(guest, from, &bytes), receive(guest, to)).await;
                assert!(sent.is_ok() && outcome.is_ok());
                assert!(received == bytes);
            }
        }
    });
}

#[test]
fn each_direction_is_taken_once() {
    run(async |guest| {
        let [client, server] = pair(guest, ANY_PORT[0]).await;
        send(guest, &client, b"once").await.unwrap();
        let again = send(guest, &client, b"twice").await;
        assert!(matches!(again, Err(ErrorCode::InvalidState)));
        assert_eq!(receive(guest, &server).await.0, b"once");
        let (bytes, again) = receive(guest, &server).await;
        assert!(bytes.is_empty() && matches!(again, Err(ErrorCode::InvalidState)));
    });
}

#[test]
fn streams_outlive_the_socket() {
    run(async |guest| {
        let accessor = guest.accessor();
        let [client, server] = pair(guest, ANY_PORT[0]).await;
        let (mut writer, reader) = accessor.with(|store| StreamWriter::pair(store));
        let sent = <WasiCtx as HostTcpSocket>::send(guest, again(&client), reader).unwrap();
        let (bytes, received) = <WasiCtx as HostTcpSocket>::receive(guest, again(&server)).unwrap();
        drop_tcp(guest, client);
        drop_tcp(guest, server);
        let left = writer.write_all(accessor, b"still here".to_vec()).await;
        assert!(left.unwrap().is_empty());
        accessor.with(|store| writer.close(store)).unwrap();
        assert_eq!(bytes.collect(accessor).await.unwrap(), b"still here");
        assert!(sent.read(accessor).await.unwrap().unwrap().is_ok());
        assert!(received.read(accessor).await.unwrap().unwrap().is_ok());
    });
}

#[test]
fn who_receives_no_more_still_sends() {
    run(async |guest| {
        let accessor = guest.accessor();
        let (socket, mut peer) = to_host(guest).await;
        let (bytes, outcome) = <WasiCtx as HostTcpSocket>::receive(guest, again(&socket)).unwrap();
        accessor.with(|store| bytes.close(store)).unwrap();
        assert!(outcome.read(accessor).await.unwrap().unwrap().is_ok());
        send(guest, &socket, b"answer").await.unwrap();
        let mut answer = Vec::new();
        peer.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"answer");
    });
}

#[test]
fn a_peer_that_is_gone_is_told() {
    run(async |guest| {
        let (socket, mut peer) = to_host(guest).await;
        peer.write_all(b"last").unwrap();
        rustix::net::sockopt::set_socket_linger(&peer, Some(std::time::Duration::ZERO)).unwrap();
        drop(peer);
        pause().await;
        let (_, outcome) = receive(guest, &socket).await;
        assert!(
            matches!(outcome, Err(ErrorCode::ConnectionReset)),
            "{outcome:?}"
        );
        let outcome = send(guest, &socket, b"too late").await;
        assert!(
            matches!(outcome, Err(ErrorCode::ConnectionBroken)),
            "{outcome:?}"
        );
    });
}

#[test]
fn who_does_not_read_stops_the_writer() {
    run(async |guest| {
        let accessor = guest.accessor();
        let (socket, mut peer) = to_host(guest).await;
        let (mut writer, reader) = accessor.with(|store| StreamWriter::pair(store));
        let outcome = <WasiCtx as HostTcpSocket>::send(guest, again(&socket), reader).unwrap();
        let all = vec![7; 100 << 20];
        let stopped = crate::p3::bytes::unless(writer.write_all(accessor, all), pause()).await;
        assert!(stopped.is_none(), "the system took all");
        // What was not sent is written no more.
        accessor.with(|store| writer.close(store)).unwrap();
        let reader = std::thread::spawn(move || {
            let mut received = Vec::new();
            peer.read_to_end(&mut received).unwrap();
            received.len()
        });
        assert!(outcome.read(accessor).await.unwrap().unwrap().is_ok());
        let received = reader.join().unwrap();
        assert!((1..100 << 20).contains(&received));
    });
}

#[test]
fn both_ends_have_each_others_addresses() {
    run(async |guest| {
        for local in ANY_PORT {
            let ends = pair(guest, local).await;
            let [client, server] = ends.map(|end| {
                let local = guest.with(|wasi| wasi.get_local_address(again(&end)));
                let remote = guest.with(|wasi| wasi.get_remote_address(again(&end)));
                [local, remote].map(|address| SocketAddr::from(address.unwrap()))
            });
            assert_eq!(client[0], server[1]);
            assert_eq!(client[1], server[0]);
            assert_eq!(client[0].ip(), SocketAddr::from(address(local)).ip());
        }
    });
}
