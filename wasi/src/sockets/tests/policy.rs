//! What the host does not allow.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::{address, again, code, guest_with};
use crate::bindings::wasi::sockets::network::{ErrorCode, IpAddressFamily};
use crate::bindings::wasi::sockets::tcp::HostTcpSocket;
use crate::bindings::wasi::sockets::tcp_create_socket::Host as _;
use crate::bindings::wasi::sockets::udp::{
    HostOutgoingDatagramStream, HostUdpSocket, OutgoingDatagram,
};
use crate::bindings::wasi::sockets::udp_create_socket::Host as _;
use crate::ctx::WasiCtxBuilder;
use crate::sockets::SocketUse;

const DENIED: Option<ErrorCode> = Some(ErrorCode::AccessDenied);

#[test]
fn at_first_nothing_is_allowed() {
    let local = address("127.0.0.1:0");
    for builder in [
        WasiCtxBuilder::new(),
        WasiCtxBuilder::new()
            .inherit_network()
            .allow_tcp(false)
            .allow_udp(false),
    ] {
        let (mut wasi, network) = guest_with(builder);
        let tcp = wasi.create_tcp_socket(IpAddressFamily::Ipv4).unwrap();
        let result = HostTcpSocket::start_bind(&mut wasi, again(&tcp), again(&network), local);
        assert_eq!(code(result), DENIED);
        let remote = address("127.0.0.1:9");
        let result = HostTcpSocket::start_connect(&mut wasi, tcp, again(&network), remote);
        assert_eq!(code(result), DENIED);
        let udp = wasi.create_udp_socket(IpAddressFamily::Ipv6).unwrap();
        let local = address("[::1]:0");
        let result = HostUdpSocket::start_bind(&mut wasi, udp, network, local);
        assert_eq!(code(result), DENIED);
    }
}

#[test]
fn the_host_sees_each_address_and_its_use() {
    let seen = Arc::<Mutex<Vec<(SocketAddr, SocketUse)>>>::default();
    let log = Arc::clone(&seen);
    let builder = WasiCtxBuilder::new().socket_addr_check(move |address, purpose| {
        log.lock().unwrap().push((address, purpose));
        purpose == SocketUse::UdpBind
    });
    let (mut wasi, network) = guest_with(builder);
    let udp = wasi.create_udp_socket(IpAddressFamily::Ipv4).unwrap();
    let local = address("127.0.0.1:0");
    HostUdpSocket::start_bind(&mut wasi, again(&udp), again(&network), local).unwrap();
    HostUdpSocket::finish_bind(&mut wasi, again(&udp)).unwrap();
    let remote = address("127.0.0.1:9");
    let result = HostUdpSocket::stream(&mut wasi, again(&udp), Some(remote));
    assert_eq!(code(result), DENIED);
    let (_, outgoing) = HostUdpSocket::stream(&mut wasi, udp, None).unwrap();
    HostOutgoingDatagramStream::check_send(&mut wasi, again(&outgoing)).unwrap();
    let datagram = OutgoingDatagram {
        data: Vec::new(),
        remote_address: Some(remote),
    };
    let result = HostOutgoingDatagramStream::send(&mut wasi, outgoing, vec![datagram]);
    assert_eq!(code(result), DENIED);
    let tcp = wasi.create_tcp_socket(IpAddressFamily::Ipv4).unwrap();
    let result = HostTcpSocket::start_connect(&mut wasi, tcp, network, remote);
    assert_eq!(code(result), DENIED);

    let (local, remote) = (local.into(), remote.into());
    let expected = [
        (local, SocketUse::UdpBind),
        (remote, SocketUse::UdpConnect),
        (remote, SocketUse::UdpOutgoingDatagram),
        (remote, SocketUse::TcpConnect),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}
