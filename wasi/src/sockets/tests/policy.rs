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
use crate::sockets::{SocketError, SocketUse};

const DENIED: Option<ErrorCode> = Some(ErrorCode::AccessDenied);

/// What a guest does, in either version of WASI, with a socket that is new or bound to any port.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attempt {
    TcpBind,
    TcpConnect,
    UdpBind,
    UdpConnect,
    UdpSend,
}

/// What the host allows.
#[derive(Clone, Copy, Debug)]
enum Grant {
    /// What a builder allows at first.
    Nothing,
    NoTcp,
    NoUdp,
    Uses(&'static [SocketUse]),
}

impl Grant {
    fn builder(self) -> WasiCtxBuilder {
        let builder = WasiCtxBuilder::new();
        match self {
            Grant::Nothing => builder,
            Grant::NoTcp => builder.inherit_network().allow_tcp(false),
            Grant::NoUdp => builder.inherit_network().allow_udp(false),
            Grant::Uses(uses) => builder.socket_addr_check(|_, purpose| uses.contains(&purpose)),
        }
    }
}

/// What is allowed, and which of all attempts are not denied then.
const CASES: [(Grant, &[Attempt]); 9] = [
    (Grant::Nothing, &[]),
    (
        Grant::NoTcp,
        &[Attempt::UdpBind, Attempt::UdpConnect, Attempt::UdpSend],
    ),
    (Grant::NoUdp, &[Attempt::TcpBind, Attempt::TcpConnect]),
    (Grant::Uses(&[SocketUse::TcpBind]), &[Attempt::TcpBind]),
    (
        Grant::Uses(&[SocketUse::TcpConnect]),
        &[Attempt::TcpConnect],
    ),
    (Grant::Uses(&[SocketUse::UdpBind]), &[Attempt::UdpBind]),
    // A socket is bound before it has a peer or sends.
    (
        Grant::Uses(&[SocketUse::UdpConnect, SocketUse::UdpOutgoingDatagram]),
        &[],
    ),
    (
        Grant::Uses(&[SocketUse::UdpBind, SocketUse::UdpConnect]),
        &[Attempt::UdpBind, Attempt::UdpConnect],
    ),
    (
        Grant::Uses(&[SocketUse::UdpBind, SocketUse::UdpOutgoingDatagram]),
        &[Attempt::UdpBind, Attempt::UdpSend],
    ),
];

/// Has a guest try all in all cases: `attempt` says how that went.
pub(crate) fn check(attempt: impl Fn(WasiCtxBuilder, Attempt) -> Result<(), SocketError>) {
    for (grant, allowed) in CASES {
        for tried in [
            Attempt::TcpBind,
            Attempt::TcpConnect,
            Attempt::UdpBind,
            Attempt::UdpConnect,
            Attempt::UdpSend,
        ] {
            let is_denied = code(attempt(grant.builder(), tried)) == DENIED;
            let expected = !allowed.iter().any(|allowed| *allowed as u8 == tried as u8);
            assert_eq!(is_denied, expected, "{tried:?} with {grant:?}");
        }
    }
}

fn attempt(builder: WasiCtxBuilder, attempt: Attempt) -> Result<(), SocketError> {
    let (mut wasi, network) = guest_with(builder);
    let (local, remote) = (address("127.0.0.1:0"), address("127.0.0.1:9"));
    if let Attempt::TcpBind | Attempt::TcpConnect = attempt {
        let tcp = wasi.create_tcp_socket(IpAddressFamily::Ipv4)?;
        return match attempt {
            Attempt::TcpBind => HostTcpSocket::start_bind(&mut wasi, tcp, network, local),
            _ => HostTcpSocket::start_connect(&mut wasi, tcp, network, remote),
        };
    }
    let udp = wasi.create_udp_socket(IpAddressFamily::Ipv4)?;
    HostUdpSocket::start_bind(&mut wasi, again(&udp), network, local)?;
    HostUdpSocket::finish_bind(&mut wasi, again(&udp))?;
    match attempt {
        Attempt::UdpConnect => HostUdpSocket::stream(&mut wasi, udp, Some(remote)).map(drop),
        Attempt::UdpSend => {
            let (_, outgoing) = HostUdpSocket::stream(&mut wasi, udp, None)?;
            HostOutgoingDatagramStream::check_send(&mut wasi, again(&outgoing))?;
            let datagram = OutgoingDatagram {
                data: Vec::new(),
                remote_address: Some(remote),
            };
            HostOutgoingDatagramStream::send(&mut wasi, outgoing, vec![datagram]).map(drop)
        }
        _ => Ok(()),
    }
}

#[test]
fn a_guest_does_what_is_allowed() {
    check(attempt);
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
