//! UDP sockets.

use std::net::{SocketAddr, UdpSocket as StdSocket};

use cwasm::Resource;

use super::{
    ANY_PORT, Guest, INVALID_ARGUMENT, INVALID_STATE, address, again, both, code, family, pause,
    run,
};
use crate::bindings::wasi::sockets::network::{ErrorCode as Code, IpAddressFamily};
use crate::ctx::WasiCtx;
use crate::p3::UdpSocket;
use crate::p3::bindings::wasi::sockets::types::HostUdpSocket;
use crate::p3::bytes::unless;
use crate::sockets::SocketError;

fn udp(guest: Guest<'_>, at: &str) -> Resource<UdpSocket> {
    let created = guest.with(|wasi| HostUdpSocket::create(wasi, family(address(at))));
    created.unwrap()
}

fn bind(guest: Guest<'_>, socket: &Resource<UdpSocket>, at: &str) -> Result<(), SocketError> {
    guest.with(|wasi| HostUdpSocket::bind(wasi, again(socket), address(at)))
}

fn bound(guest: Guest<'_>, at: &str) -> (Resource<UdpSocket>, SocketAddr) {
    let socket = udp(guest, at);
    bind(guest, &socket, at).unwrap();
    let local = local(guest, &socket).unwrap();
    (socket, local)
}

fn local(guest: Guest<'_>, socket: &Resource<UdpSocket>) -> Result<SocketAddr, SocketError> {
    let local = guest.with(|wasi| HostUdpSocket::get_local_address(wasi, again(socket)));
    local.map(Into::into)
}

fn remote(guest: Guest<'_>, socket: &Resource<UdpSocket>) -> Result<SocketAddr, SocketError> {
    let remote = guest.with(|wasi| HostUdpSocket::get_remote_address(wasi, again(socket)));
    remote.map(Into::into)
}

fn connect(
    guest: Guest<'_>,
    socket: &Resource<UdpSocket>,
    to: SocketAddr,
) -> Result<(), SocketError> {
    guest.with(|wasi| HostUdpSocket::connect(wasi, again(socket), to.into()))
}

fn disconnect(guest: Guest<'_>, socket: &Resource<UdpSocket>) -> Result<(), SocketError> {
    guest.with(|wasi| HostUdpSocket::disconnect(wasi, again(socket)))
}

async fn send(
    guest: Guest<'_>,
    socket: &Resource<UdpSocket>,
    data: &[u8],
    to: Option<SocketAddr>,
) -> Result<(), SocketError> {
    let to = to.map(Into::into);
    <WasiCtx as HostUdpSocket>::send(guest, again(socket), data.to_vec(), to).await
}

async fn receive(
    guest: Guest<'_>,
    socket: &Resource<UdpSocket>,
) -> Result<(Vec<u8>, SocketAddr), SocketError> {
    let received = <WasiCtx as HostUdpSocket>::receive(guest, again(socket)).await;
    received.map(|(data, sender)| (data, sender.into()))
}

#[test]
fn datagrams_come_as_they_were_sent() {
    run(async |guest| {
        for at in ANY_PORT {
            let [(a, at_a), (b, at_b)] = [(); 2].map(|()| bound(guest, at));
            connect(guest, &b, at_a).unwrap();
            assert_eq!(remote(guest, &b).unwrap(), at_a);
            for data in [b"question".as_slice(), b"", &[7; 65000]] {
                // Who receives is there first.
                let (received, sent) = both(receive(guest, &a), send(guest, &b, data, None)).await;
                sent.unwrap();
                assert_eq!(received.unwrap(), (data.to_vec(), at_b));
            }
            send(guest, &b, b"same", Some(at_a)).await.unwrap();
            send(guest, &a, b"answer", Some(at_b)).await.unwrap();
            assert_eq!(
                receive(guest, &b).await.unwrap(),
                (b"answer".to_vec(), at_a)
            );
            let nowhere = send(guest, &a, b"", None).await;
            assert_eq!(code(nowhere), INVALID_ARGUMENT);
            let other = send(guest, &b, b"", Some(at_b)).await;
            assert_eq!(code(other), INVALID_ARGUMENT);
            for size in [65_536, 65_537, 70_000] {
                let huge = send(guest, &b, &vec![0; size], None).await;
                assert_eq!(code(huge), Some(Code::DatagramTooLarge), "{size}");
            }
        }
    });
}

#[test]
fn a_socket_is_bound_when_it_sends_and_not_when_it_receives() {
    run(async |guest| {
        for at in ANY_PORT {
            let (_peer, at_peer) = bound(guest, at);
            let socket = udp(guest, at);
            assert_eq!(code(receive(guest, &socket).await), INVALID_STATE);
            assert_eq!(code(local(guest, &socket)), INVALID_STATE);
            assert_eq!(code(remote(guest, &socket)), INVALID_STATE);
            assert_eq!(code(disconnect(guest, &socket)), INVALID_STATE);
            let nowhere = send(guest, &socket, b"", None).await;
            assert_eq!(code(nowhere), INVALID_ARGUMENT);
            assert_eq!(code(local(guest, &socket)), INVALID_STATE);
            send(guest, &socket, b"x", Some(at_peer)).await.unwrap();
            assert_ne!(local(guest, &socket).unwrap().port(), 0);
            assert_eq!(code(remote(guest, &socket)), INVALID_STATE);
            assert_eq!(code(bind(guest, &socket, at)), INVALID_STATE);
        }
        let v4 = udp(guest, ANY_PORT[0]);
        assert_eq!(code(bind(guest, &v4, "[::1]:0")), INVALID_ARGUMENT);
        let no_host = bind(guest, &v4, "192.0.2.1:0");
        assert_eq!(code(no_host), Some(Code::AddressNotBindable));
        let (_taken, at) = bound(guest, ANY_PORT[0]);
        let taken = bind(guest, &v4, &at.to_string());
        assert_eq!(code(taken), Some(Code::AddressInUse));
        for remote in ["[::1]:80", "0.0.0.0:80", "127.0.0.1:0"] {
            let remote = remote.parse().unwrap();
            assert_eq!(code(connect(guest, &v4, remote)), INVALID_ARGUMENT);
            let sent = send(guest, &v4, b"", Some(remote)).await;
            assert_eq!(code(sent), INVALID_ARGUMENT);
        }
    });
}

#[test]
fn peers_change_and_the_address_stays() {
    run(async |guest| {
        for (at, peers) in [("0.0.0.0:0", "127.0.0.1:0"), ("[::]:0", "[::1]:0")] {
            let (socket, bound) = bound(guest, at);
            let peers = [(); 2].map(|()| StdSocket::bind(peers).unwrap());
            let [first, second] = peers.each_ref().map(|peer| peer.local_addr().unwrap());
            let to_us = SocketAddr::new(first.ip(), bound.port());
            // What others had sent is not for the one who has a peer.
            peers[1].send_to(b"before", to_us).unwrap();
            connect(guest, &socket, first).unwrap();
            assert_eq!(local(guest, &socket).unwrap(), to_us);
            peers[0].send_to(b"first", to_us).unwrap();
            assert_eq!(receive(guest, &socket).await.unwrap().0, b"first");
            for peer in [Some(second), Some(first), Some(first), None] {
                match peer {
                    Some(peer) => connect(guest, &socket, peer).unwrap(),
                    None => disconnect(guest, &socket).unwrap(),
                }
                assert_eq!(remote(guest, &socket).ok(), peer);
                assert_eq!(local(guest, &socket).unwrap().port(), bound.port());
                let from = usize::from(peer == Some(second));
                peers[from].send_to(b"now", to_us).unwrap();
                let (_, sender) = receive(guest, &socket).await.unwrap();
                assert_eq!(sender.port(), [first, second][from].port());
            }
            assert_eq!(local(guest, &socket).unwrap(), bound);
            assert_eq!(code(disconnect(guest, &socket)), INVALID_STATE);
        }
    });
}

#[test]
fn a_peer_that_is_not_there_is_told() {
    run(async |guest| {
        let gone = StdSocket::bind(ANY_PORT[0]).unwrap().local_addr().unwrap();
        let socket = udp(guest, ANY_PORT[0]);
        connect(guest, &socket, gone).unwrap();
        send(guest, &socket, b"hello", None).await.unwrap();
        let received = receive(guest, &socket).await;
        assert_eq!(code(received), Some(Code::ConnectionRefused));
    });
}

#[test]
fn several_calls_wait_and_one_that_is_cancelled_loses_nothing() {
    run(async |guest| {
        let (socket, at) = bound(guest, ANY_PORT[0]);
        let peer = StdSocket::bind(ANY_PORT[0]).unwrap();
        assert!(unless(receive(guest, &socket), pause()).await.is_none());
        let sends = async {
            pause().await;
            peer.send_to(b"x", at).unwrap();
            peer.send_to(b"y", at).unwrap();
        };
        let receives = both(receive(guest, &socket), receive(guest, &socket));
        let ((one, other), ()) = both(receives, sends).await;
        let mut received = [one.unwrap().0, other.unwrap().0];
        received.sort();
        assert_eq!(received, [b"x", b"y"]);
    });
}

#[test]
fn a_call_outlives_the_resource() {
    run(async |guest| {
        let (socket, at) = bound(guest, ANY_PORT[0]);
        let peer = StdSocket::bind(ANY_PORT[0]).unwrap();
        let handle = again(&socket);
        let drops = async {
            pause().await;
            guest
                .with(|wasi| HostUdpSocket::drop(wasi, socket))
                .unwrap();
            peer.send_to(b"late", at).unwrap();
        };
        let (received, ()) = both(receive(guest, &handle), drops).await;
        assert_eq!(received.unwrap().0, b"late");
    });
}

#[test]
fn options_are_clamped_but_never_zero() {
    run(async |guest| {
        for family in [IpAddressFamily::Ipv4, IpAddressFamily::Ipv6] {
            let socket = guest
                .with(|wasi| HostUdpSocket::create(wasi, family))
                .unwrap();
            let again = || again(&socket);
            guest.with(|wasi: &mut WasiCtx| {
                for value in [0, 1, u64::MAX] {
                    let expected = (value == 0).then_some(Code::InvalidArgument);
                    let hops = value.min(255) as u8;
                    let hops = HostUdpSocket::set_unicast_hop_limit(wasi, again(), hops);
                    assert_eq!(code(hops), expected);
                    let size = HostUdpSocket::set_receive_buffer_size(wasi, again(), value);
                    assert_eq!(code(size), expected);
                    let size = HostUdpSocket::set_send_buffer_size(wasi, again(), value);
                    assert_eq!(code(size), expected);
                }
                let hops = HostUdpSocket::get_unicast_hop_limit(wasi, again());
                assert_eq!(hops.unwrap(), 255);
                assert!(HostUdpSocket::get_receive_buffer_size(wasi, again()).unwrap() > 0);
            });
        }
    });
}
