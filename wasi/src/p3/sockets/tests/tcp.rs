//! States of TCP sockets.

use std::net::SocketAddr;

use cwasm::Resource;

use super::{
    ANY_PORT, Guest, INVALID_ARGUMENT, INVALID_STATE, accept, address, again, bind, both, code,
    connect, drop_tcp, listen, local_address, pair, receive, run, send, tcp,
};
use crate::bindings::wasi::sockets::network::{ErrorCode as Code, IpAddressFamily};
use crate::ctx::WasiCtx;
use crate::p3::TcpSocket;
use crate::p3::bindings::wasi::sockets::types::{ErrorCode, HostTcpSocket};
use crate::p3::bytes::unless;

/// Asserts that only what is named is not refused because of the state of the socket.
async fn allows(guest: Guest<'_>, socket: &Resource<TcpSocket>, allowed: &[&str]) {
    let remote = address("127.0.0.1:0");
    let is_streamed = |outcome| match outcome {
        Err(ErrorCode::InvalidState) => INVALID_STATE,
        _ => None,
    };
    let get = |what: fn(&mut WasiCtx, Resource<TcpSocket>) -> Option<Code>| {
        guest.with(|wasi| what(wasi, again(socket)))
    };
    let refused = [
        ("bind", code(bind(guest, socket, address("[::1]:0")))),
        ("connect", code(connect(guest, socket, remote).await)),
        ("local", code(local_address(guest, socket))),
        (
            "remote",
            get(|wasi, socket| code(wasi.get_remote_address(socket))),
        ),
        (
            "backlog",
            get(|wasi, socket| code(wasi.set_listen_backlog_size(socket, 9))),
        ),
        (
            "options",
            get(|wasi, socket| code(wasi.get_hop_limit(socket))),
        ),
    ];
    for (what, code) in refused {
        let is_allowed = allowed.contains(&what);
        assert_eq!(code != INVALID_STATE, is_allowed, "{what}");
    }
    if !allowed.contains(&"streams") {
        assert_eq!(is_streamed(send(guest, socket, b"x").await), INVALID_STATE);
        let (bytes, outcome) = receive(guest, socket).await;
        assert!(bytes.is_empty());
        assert_eq!(is_streamed(outcome), INVALID_STATE);
    }
    if !allowed.contains(&"listen") {
        let listened = <WasiCtx as HostTcpSocket>::listen(guest, again(socket));
        assert_eq!(code(listened), INVALID_STATE);
    }
}

#[test]
fn states_allow_what_they_should() {
    run(async |guest| {
        let socket = tcp(guest, address(ANY_PORT[0]));
        let unbound = ["bind", "connect", "listen", "backlog", "options"];
        allows(guest, &socket, &unbound).await;
        bind(guest, &socket, address(ANY_PORT[0])).unwrap();
        let bound = ["connect", "listen", "local", "backlog", "options"];
        allows(guest, &socket, &bound).await;
        let listener = listen(guest, ANY_PORT[0]);
        let listening = ["local", "backlog", "options"];
        allows(guest, &listener.socket, &listening).await;
        assert!(
            guest
                .with(|wasi| wasi.get_is_listening(again(&listener.socket)))
                .unwrap()
        );
        let [client, server] = pair(guest, ANY_PORT[0]).await;
        let connected = ["local", "remote", "options", "streams"];
        for socket in [&client, &server] {
            allows(guest, socket, &connected).await;
        }
        let unused = listen(guest, ANY_PORT[0]);
        drop_tcp(guest, unused.socket);
        guest
            .accessor()
            .with(|store| unused.connections.close(store))
            .unwrap();
        super::pause().await;
        let failed = connect(guest, &socket, unused.address).await;
        assert_eq!(code(failed), Some(Code::ConnectionRefused));
        allows(guest, &socket, &[]).await;
        let family = guest.with(|wasi| wasi.get_address_family(socket)).unwrap();
        assert!(matches!(family, IpAddressFamily::Ipv4));
    });
}

#[test]
fn addresses_that_cannot_be_are_refused_and_may_be_others() {
    run(async |guest| {
        let [v4, v6] = ANY_PORT.map(|local| tcp(guest, address(local)));
        for (socket, local) in [
            (&v4, "[::1]:0"),
            (&v4, "224.0.0.1:0"),
            (&v4, "255.255.255.255:0"),
            (&v6, "127.0.0.1:0"),
            (&v6, "[::ffff:127.0.0.1]:0"),
            (&v6, "[ff02::1]:0"),
        ] {
            let bound = bind(guest, socket, address(local));
            assert_eq!(code(bound), INVALID_ARGUMENT, "{local}");
        }
        for (socket, remote) in [
            (&v4, "127.0.0.1:0"),
            (&v4, "0.0.0.0:80"),
            (&v4, "[::1]:80"),
            (&v4, "224.0.0.1:80"),
            (&v6, "[::]:80"),
            (&v6, "[::ffff:127.0.0.1]:80"),
        ] {
            let connected = connect(guest, socket, address(remote)).await;
            assert_eq!(code(connected), INVALID_ARGUMENT, "{remote}");
        }
        let bound = bind(guest, &v4, address("192.0.2.1:0"));
        assert_eq!(code(bound), Some(Code::AddressNotBindable));
        let listener = listen(guest, ANY_PORT[0]);
        let bound = bind(guest, &v4, listener.address);
        assert_eq!(code(bound), Some(Code::AddressInUse));
        let other = tcp(guest, listener.address);
        bind(guest, &other, address(ANY_PORT[0])).unwrap();
        let bound = bind(guest, &v4, local_address(guest, &other).unwrap());
        assert_eq!(code(bound), Some(Code::AddressInUse));
        assert_eq!(code(connect(guest, &v4, listener.address).await), None);
    });
}

#[test]
fn a_listener_is_bound_by_itself_and_gives_its_options() {
    run(async |guest| {
        for any in ["127.0.0.1:0", "[::1]:0"].map(address) {
            let socket = tcp(guest, any);
            guest
                .with(|wasi| wasi.set_keep_alive_count(again(&socket), 42))
                .unwrap();
            guest
                .with(|wasi| wasi.set_hop_limit(again(&socket), 43))
                .unwrap();
            let listened = <WasiCtx as HostTcpSocket>::listen(guest, again(&socket));
            let at = SocketAddr::from(local_address(guest, &socket).unwrap());
            let mut listener = super::Listener {
                connections: listened.unwrap(),
                address: SocketAddr::new(SocketAddr::from(any).ip(), at.port()).into(),
                socket,
            };
            let (client, remote) = (tcp(guest, any), listener.address);
            let connect = connect(guest, &client, remote);
            let (connected, server) = both(connect, accept(guest, &mut listener)).await;
            connected.unwrap();
            let count = guest.with(|wasi| wasi.get_keep_alive_count(again(&server)));
            assert_eq!(count.unwrap(), 42);
            let hops = guest.with(|wasi| wasi.get_hop_limit(again(&server)));
            assert_eq!(hops.unwrap(), 43);
            let peer = guest.with(|wasi| wasi.get_remote_address(again(&server)));
            let ours = local_address(guest, &client).unwrap();
            assert_eq!(SocketAddr::from(peer.unwrap()), SocketAddr::from(ours));
        }
    });
}

#[test]
fn connections_that_are_not_quite_over_are_in_nobodys_way() {
    run(async |guest| {
        for local in ANY_PORT {
            let [client, server] = pair(guest, local).await;
            let address = local_address(guest, &server).unwrap();
            // Who ends first keeps the connection for a while.
            send(guest, &server, b"").await.unwrap();
            receive(guest, &client).await.1.unwrap();
            drop_tcp(guest, server);
            drop_tcp(guest, client);
            super::pause().await;
            bind(guest, &tcp(guest, address), address).unwrap();
        }
    });
}

#[test]
fn the_address_of_a_closed_listener_is_free_at_once() {
    run(async |guest| {
        for waits in [false, true] {
            let listener = listen(guest, ANY_PORT[0]);
            let mut connections = listener.connections;
            if waits {
                let read = connections.read(guest.accessor(), 1);
                assert!(unless(read, super::pause()).await.is_none());
            }
            let socket = tcp(guest, listener.address);
            let bound = bind(guest, &socket, listener.address);
            assert_eq!(code(bound), Some(Code::AddressInUse));
            drop_tcp(guest, listener.socket);
            let bound = bind(guest, &socket, listener.address);
            assert_eq!(code(bound), Some(Code::AddressInUse));
            // Nothing is waited for from here on.
            guest
                .accessor()
                .with(|store| connections.close(store))
                .unwrap();
            bind(guest, &socket, listener.address).unwrap();
        }
    });
}
