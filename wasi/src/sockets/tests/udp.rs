//! UDP sockets.

use std::net::{SocketAddr, UdpSocket as StdSocket};

use cwasm::Resource;

use super::{ANY_PORT, address, again, block, code, guest};
use crate::bindings::wasi::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress};
use crate::bindings::wasi::sockets::udp::{
    HostIncomingDatagramStream as _, HostOutgoingDatagramStream as _, HostUdpSocket as _,
    OutgoingDatagram,
};
use crate::bindings::wasi::sockets::udp_create_socket::Host as _;
use crate::ctx::WasiCtx;
use crate::sockets::{IncomingDatagrams, Network, OutgoingDatagrams, SocketError, UdpSocket};

fn socket_at(wasi: &mut WasiCtx, network: &Resource<Network>, at: &str) -> Resource<UdpSocket> {
    let family = match address(at) {
        IpSocketAddress::Ipv4(_) => IpAddressFamily::Ipv4,
        IpSocketAddress::Ipv6(_) => IpAddressFamily::Ipv6,
    };
    let socket = wasi.create_udp_socket(family).unwrap();
    let (network, local) = (again(network), address(at));
    wasi.start_bind(again(&socket), network, local).unwrap();
    wasi.finish_bind(again(&socket)).unwrap();
    socket
}

fn local(wasi: &mut WasiCtx, socket: &Resource<UdpSocket>) -> SocketAddr {
    wasi.local_address(again(socket)).unwrap().into()
}

type Streams = (Resource<IncomingDatagrams>, Resource<OutgoingDatagrams>);

fn stream(
    wasi: &mut WasiCtx,
    socket: &Resource<UdpSocket>,
    remote: Option<SocketAddr>,
) -> Result<Streams, SocketError> {
    wasi.stream(again(socket), remote.map(Into::into))
}

fn send(
    wasi: &mut WasiCtx,
    stream: &Resource<OutgoingDatagrams>,
    data: &[u8],
    to: Option<SocketAddr>,
) -> Result<u64, SocketError> {
    wasi.check_send(again(stream))?;
    let datagram = OutgoingDatagram {
        data: data.to_vec(),
        remote_address: to.map(Into::into),
    };
    wasi.send(again(stream), vec![datagram])
}

/// The next datagram and its sender.
fn receive(wasi: &mut WasiCtx, stream: &Resource<IncomingDatagrams>) -> (Vec<u8>, SocketAddr) {
    block(wasi, stream);
    let mut datagrams = wasi.receive(again(stream), 1).unwrap();
    let datagram = datagrams.pop().unwrap();
    (datagram.data, datagram.remote_address.into())
}

#[test]
fn datagrams_come_as_they_were_sent() {
    let (mut wasi, network) = guest();
    for at in ANY_PORT {
        let [a, b] = [(); 2].map(|()| socket_at(&mut wasi, &network, at));
        let [at_a, at_b] = [&a, &b].map(|socket| local(&mut wasi, socket));
        let (from_all, to_all) = stream(&mut wasi, &a, None).unwrap();
        let (from_a, to_a) = stream(&mut wasi, &b, Some(at_a)).unwrap();
        assert_eq!(
            SocketAddr::from(wasi.remote_address(again(&b)).unwrap()),
            at_a
        );
        for data in [b"question".as_slice(), b"", &[7; 65000]] {
            assert_eq!(send(&mut wasi, &to_a, data, None).unwrap(), 1);
            assert_eq!(receive(&mut wasi, &from_all), (data.to_vec(), at_b));
        }
        assert_eq!(send(&mut wasi, &to_a, b"same", Some(at_a)).unwrap(), 1);
        assert_eq!(send(&mut wasi, &to_all, b"answer", Some(at_b)).unwrap(), 1);
        assert_eq!(receive(&mut wasi, &from_a), (b"answer".to_vec(), at_a));
        let invalid = Some(ErrorCode::InvalidArgument);
        assert_eq!(code(send(&mut wasi, &to_all, b"", None)), invalid);
        assert_eq!(code(send(&mut wasi, &to_a, b"", Some(at_b))), invalid);
        let huge = send(&mut wasi, &to_a, &[0; 70000], None);
        assert_eq!(code(huge), Some(ErrorCode::DatagramTooLarge));
    }
}

#[test]
fn a_socket_must_be_bound() {
    let (mut wasi, network) = guest();
    let socket = wasi.create_udp_socket(IpAddressFamily::Ipv4).unwrap();
    let invalid = Some(ErrorCode::InvalidState);
    assert_eq!(
        code(wasi.finish_bind(again(&socket))),
        Some(ErrorCode::NotInProgress)
    );
    assert_eq!(code(wasi.stream(again(&socket), None)), invalid);
    assert_eq!(code(wasi.local_address(again(&socket))), invalid);
    assert_eq!(code(wasi.remote_address(again(&socket))), invalid);
    let start = |wasi: &mut WasiCtx, at| {
        let network = again(&network);
        code(wasi.start_bind(again(&socket), network, address(at)))
    };
    assert_eq!(
        start(&mut wasi, "[::1]:0"),
        Some(ErrorCode::InvalidArgument)
    );
    assert_eq!(
        start(&mut wasi, "192.0.2.1:0"),
        Some(ErrorCode::AddressNotBindable)
    );
    assert_eq!(start(&mut wasi, "127.0.0.1:0"), None);
    assert_eq!(
        start(&mut wasi, "127.0.0.1:0"),
        Some(ErrorCode::ConcurrencyConflict)
    );
    assert_eq!(code(wasi.finish_bind(again(&socket))), None);
    assert_eq!(start(&mut wasi, "127.0.0.1:0"), invalid);
    let at = local(&mut wasi, &socket).to_string();
    let other = wasi.create_udp_socket(IpAddressFamily::Ipv4).unwrap();
    let result = wasi.start_bind(other, again(&network), address(&at));
    assert_eq!(code(result), Some(ErrorCode::AddressInUse));
}

#[test]
fn peers_change_and_the_address_stays() {
    let (mut wasi, network) = guest();
    for (at, peers) in [("0.0.0.0:0", "127.0.0.1:0"), ("[::]:0", "[::1]:0")] {
        let socket = socket_at(&mut wasi, &network, at);
        let bound = local(&mut wasi, &socket);
        let peers = [(); 2].map(|()| StdSocket::bind(peers).unwrap());
        let [first, second] = peers.each_ref().map(|peer| peer.local_addr().unwrap());
        let to_us = SocketAddr::new(first.ip(), bound.port());
        let (old, _) = stream(&mut wasi, &socket, None).unwrap();
        peers[1].send_to(b"before", to_us).unwrap();
        block(&mut wasi, &old);
        let (incoming, _) = stream(&mut wasi, &socket, Some(first)).unwrap();
        let connected = local(&mut wasi, &socket);
        assert_eq!(connected, to_us);
        // The streams of before are not good, nor is what others had sent.
        assert_eq!(
            code(wasi.receive(again(&old), 1)),
            Some(ErrorCode::InvalidState)
        );
        block(&mut wasi, &old);
        peers[0].send_to(b"first", to_us).unwrap();
        assert_eq!(wasi.receive(again(&incoming), 9).unwrap().len(), 1);
        for remote in [Some(second), Some(first), None] {
            let (incoming, _) = stream(&mut wasi, &socket, remote).unwrap();
            let found = wasi.remote_address(again(&socket)).ok();
            assert_eq!(found.map(SocketAddr::from), remote);
            assert_eq!(local(&mut wasi, &socket).port(), bound.port());
            let from = usize::from(remote == Some(second));
            peers[from].send_to(b"now", to_us).unwrap();
            let (_, sender) = receive(&mut wasi, &incoming);
            assert_eq!(sender.port(), [first, second][from].port());
        }
        assert_eq!(local(&mut wasi, &socket), bound);
        let nowhere = SocketAddr::new(first.ip(), 0);
        let result = stream(&mut wasi, &socket, Some(nowhere));
        assert_eq!(code(result), Some(ErrorCode::InvalidArgument));
    }
}

#[test]
fn a_call_moves_some_datagrams_only() {
    let (mut wasi, network) = guest();
    let socket = socket_at(&mut wasi, &network, ANY_PORT[0]);
    let at = local(&mut wasi, &socket);
    let (incoming, outgoing) = stream(&mut wasi, &socket, None).unwrap();
    assert!(wasi.receive(again(&incoming), u64::MAX).unwrap().is_empty());
    let datagrams = |count| {
        let datagram = OutgoingDatagram {
            data: vec![1],
            remote_address: Some(at.into()),
        };
        vec![datagram; count]
    };
    let is_trap = |result| matches!(result, Err(SocketError::Trap(_)));
    assert!(is_trap(wasi.send(again(&outgoing), datagrams(0))));
    let permit = wasi.check_send(again(&outgoing)).unwrap() as usize;
    assert!(is_trap(wasi.send(again(&outgoing), datagrams(permit + 1))));
    for count in [permit, permit, 0, 1] {
        wasi.check_send(again(&outgoing)).unwrap();
        let sent = wasi.send(again(&outgoing), datagrams(count)).unwrap();
        assert_eq!(sent, count as u64);
    }
    assert!(is_trap(wasi.send(again(&outgoing), datagrams(1))));
    assert!(wasi.receive(again(&incoming), 0).unwrap().is_empty());
    assert_eq!(wasi.receive(again(&incoming), 3).unwrap().len(), 3);
    let mut left = 2 * permit + 1 - 3;
    while left > 0 {
        let received = wasi.receive(again(&incoming), u64::MAX).unwrap().len();
        assert!((1..=16).contains(&received));
        left -= received;
    }
}

#[test]
fn a_peer_that_is_not_there_is_told() {
    let (mut wasi, network) = guest();
    let gone = StdSocket::bind(ANY_PORT[0]).unwrap().local_addr().unwrap();
    let socket = socket_at(&mut wasi, &network, ANY_PORT[0]);
    let (incoming, outgoing) = stream(&mut wasi, &socket, Some(gone)).unwrap();
    send(&mut wasi, &outgoing, b"hello", None).unwrap();
    block(&mut wasi, &incoming);
    let refused = Some(ErrorCode::ConnectionRefused);
    assert_eq!(code(wasi.receive(again(&incoming), 1)), refused);
}

#[test]
fn options_are_clamped_but_never_zero() {
    let (mut wasi, _) = guest();
    for family in [IpAddressFamily::Ipv4, IpAddressFamily::Ipv6] {
        let socket = wasi.create_udp_socket(family).unwrap();
        let again = || again(&socket);
        for value in [0, 1, u64::MAX] {
            let expected = (value == 0).then_some(ErrorCode::InvalidArgument);
            let hops = wasi.set_unicast_hop_limit(again(), value.min(255) as u8);
            assert_eq!(code(hops), expected);
            assert_eq!(code(wasi.set_receive_buffer_size(again(), value)), expected);
            assert_eq!(code(wasi.set_send_buffer_size(again(), value)), expected);
        }
        assert_eq!(wasi.unicast_hop_limit(again()).unwrap(), 255);
        assert!(wasi.receive_buffer_size(again()).unwrap() > 0);
        wasi.set_send_buffer_size(again(), 0x10000).unwrap();
        assert_eq!(wasi.send_buffer_size(again()).unwrap(), 0x10000);
    }
}
