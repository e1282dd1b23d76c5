//! What the host does not allow: the same cases as those of 0.2.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::{address, again, bind, code, connect, run_with, tcp};
use crate::bindings::wasi::sockets::network::{ErrorCode as Code, IpAddressFamily};
use crate::ctx::{WasiCtx, WasiCtxBuilder};
use crate::p3::bindings::wasi::sockets::types::{HostTcpSocket, HostUdpSocket};
use crate::sockets::tests::policy::{Attempt, check};
use crate::sockets::{SocketError, SocketUse};

/// Tries it, with a socket that the guest has bound or not.
fn attempt(builder: WasiCtxBuilder, attempt: Attempt, binds: bool) -> Result<(), SocketError> {
    let (local, remote) = (address("127.0.0.1:0"), address("127.0.0.1:9"));
    run_with(builder, async |guest| {
        match attempt {
            Attempt::TcpBind if binds => return bind(guest, &tcp(guest, local), local),
            Attempt::TcpBind => {
                let socket = tcp(guest, local);
                return <WasiCtx as HostTcpSocket>::listen(guest, socket).map(drop);
            }
            Attempt::TcpConnect => return connect(guest, &tcp(guest, local), remote).await,
            _ => {}
        }
        let udp = guest.with(|wasi| HostUdpSocket::create(wasi, IpAddressFamily::Ipv4))?;
        if binds {
            guest.with(|wasi| HostUdpSocket::bind(wasi, again(&udp), local))?;
        }
        match attempt {
            Attempt::UdpConnect => guest.with(|wasi| HostUdpSocket::connect(wasi, udp, remote)),
            Attempt::UdpSend => {
                <WasiCtx as HostUdpSocket>::send(guest, udp, Vec::new(), Some(remote)).await
            }
            _ if binds => Ok(()),
            _ => guest.with(|wasi| HostUdpSocket::bind(wasi, udp, local)),
        }
    })
}

#[test]
fn a_guest_does_what_is_allowed() {
    check(|builder, tried| attempt(builder, tried, true));
}

#[test]
fn a_socket_that_is_bound_by_itself_is_bound_as_well() {
    check(|builder, tried| attempt(builder, tried, false));
}

#[test]
fn the_host_sees_each_address_and_its_use() {
    let seen = Arc::<Mutex<Vec<(SocketAddr, SocketUse)>>>::default();
    let log = Arc::clone(&seen);
    let builder = WasiCtxBuilder::new().socket_addr_check(move |address, purpose| {
        log.lock().unwrap().push((address, purpose));
        purpose == SocketUse::UdpBind
    });
    let remote = address("127.0.0.1:9");
    let denied = Some(Code::AccessDenied);
    run_with(builder, async |guest| {
        let create = || guest.with(|wasi| HostUdpSocket::create(wasi, IpAddressFamily::Ipv4));
        let udp = create().unwrap();
        let connected = guest.with(|wasi| HostUdpSocket::connect(wasi, again(&udp), remote));
        assert_eq!(code(connected), denied);
        let sent = <WasiCtx as HostUdpSocket>::send(guest, again(&udp), vec![], Some(remote));
        assert_eq!(code(sent.await), denied);
        // Nothing was bound for it.
        let local = guest.with(|wasi| HostUdpSocket::get_local_address(wasi, udp));
        assert_eq!(code(local), Some(Code::InvalidState));
        let socket = tcp(guest, remote);
        assert_eq!(code(connect(guest, &socket, remote).await), denied);
        let listened = <WasiCtx as HostTcpSocket>::listen(guest, again(&socket));
        assert_eq!(code(listened), denied);
    });
    let any = "0.0.0.0:0".parse().unwrap();
    let remote = remote.into();
    let expected = [
        (remote, SocketUse::UdpConnect),
        (remote, SocketUse::UdpOutgoingDatagram),
        (remote, SocketUse::TcpConnect),
        (any, SocketUse::TcpBind),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}
