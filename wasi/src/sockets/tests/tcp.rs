//! States of TCP sockets, and their options.

use cwasm::Resource;

use super::{ANY_PORT, address, again, block, code, guest};
use crate::bindings::wasi::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress};
use crate::bindings::wasi::sockets::tcp::{HostTcpSocket as _, ShutdownType};
use crate::bindings::wasi::sockets::tcp_create_socket::Host as _;
use crate::ctx::WasiCtx;
use crate::io::{InputStream, OutputStream};
use crate::sockets::{Network, SocketError, TcpSocket};

const SECOND: u64 = 1_000_000_000;

/// One end of a connection.
pub(super) struct End {
    pub(super) socket: Resource<TcpSocket>,
    pub(super) input: Resource<InputStream>,
    pub(super) output: Resource<OutputStream>,
}

fn socket_for(wasi: &mut WasiCtx, address: IpSocketAddress) -> Resource<TcpSocket> {
    let family = match address {
        IpSocketAddress::Ipv4(_) => IpAddressFamily::Ipv4,
        IpSocketAddress::Ipv6(_) => IpAddressFamily::Ipv6,
    };
    wasi.create_tcp_socket(family).unwrap()
}

fn bind(
    wasi: &mut WasiCtx,
    network: &Resource<Network>,
    socket: &Resource<TcpSocket>,
    local: IpSocketAddress,
) -> Result<(), SocketError> {
    wasi.start_bind(again(socket), again(network), local)?;
    wasi.finish_bind(again(socket))
}

/// A socket that listens, and its address.
fn listener(
    wasi: &mut WasiCtx,
    network: &Resource<Network>,
    local: &str,
) -> (Resource<TcpSocket>, IpSocketAddress) {
    let local = address(local);
    let socket = socket_for(wasi, local);
    bind(wasi, network, &socket, local).unwrap();
    wasi.start_listen(again(&socket)).unwrap();
    wasi.finish_listen(again(&socket)).unwrap();
    let local = wasi.local_address(again(&socket)).unwrap();
    (socket, local)
}

fn connect(
    wasi: &mut WasiCtx,
    network: &Resource<Network>,
    socket: &Resource<TcpSocket>,
    remote: IpSocketAddress,
) -> Result<(Resource<InputStream>, Resource<OutputStream>), SocketError> {
    wasi.start_connect(again(socket), again(network), remote)?;
    loop {
        match wasi.finish_connect(again(socket)) {
            Err(SocketError::Code(ErrorCode::WouldBlock)) => block(wasi, socket),
            result => return result,
        }
    }
}

/// Two ends of a connection: the one that was connected, the one that was accepted.
pub(super) fn pair(wasi: &mut WasiCtx, network: &Resource<Network>, local: &str) -> (End, End) {
    let (listener, remote) = listener(wasi, network, local);
    let socket = socket_for(wasi, remote);
    let (input, output) = connect(wasi, network, &socket, remote).unwrap();
    let client = End {
        socket,
        input,
        output,
    };
    block(wasi, &listener);
    let (socket, input, output) = wasi.accept(listener).unwrap();
    let server = End {
        socket,
        input,
        output,
    };
    (client, server)
}

#[test]
fn both_ends_have_each_others_addresses() {
    let (mut wasi, network) = guest();
    for local in ANY_PORT {
        let (client, server) = pair(&mut wasi, &network, local);
        let mut addresses = |end: &End| {
            let local = wasi.local_address(again(&end.socket)).unwrap();
            let remote = wasi.remote_address(again(&end.socket)).unwrap();
            [format!("{local:?}"), format!("{remote:?}")]
        };
        let [local, remote] = addresses(&client);
        assert_eq!(addresses(&server), [remote, local]);
        for end in [&client, &server] {
            let is_listening = wasi.is_listening(again(&end.socket)).unwrap();
            assert!(!is_listening);
        }
    }
}

#[test]
fn an_unbound_socket_can_only_be_bound_or_connected() {
    let (mut wasi, network) = guest();
    let socket = wasi.create_tcp_socket(IpAddressFamily::Ipv4).unwrap();
    let again = || again(&socket);
    let (not_started, invalid) = (
        Some(ErrorCode::NotInProgress),
        Some(ErrorCode::InvalidState),
    );
    assert_eq!(code(wasi.finish_bind(again())), not_started);
    assert_eq!(code(wasi.finish_connect(again())), not_started);
    assert_eq!(code(wasi.finish_listen(again())), not_started);
    assert_eq!(code(wasi.start_listen(again())), invalid);
    assert_eq!(code(wasi.accept(again())), invalid);
    assert_eq!(code(wasi.local_address(again())), invalid);
    assert_eq!(code(wasi.remote_address(again())), invalid);
    assert_eq!(code(wasi.shutdown(again(), ShutdownType::Both)), invalid);
    assert!(!wasi.is_listening(again()).unwrap());
    block(&mut wasi, &socket);

    let local = address("127.0.0.1:0");
    let start_bind = |wasi: &mut WasiCtx| {
        let network = super::again(&network);
        code(wasi.start_bind(again(), network, local))
    };
    assert_eq!(start_bind(&mut wasi), None);
    let busy = Some(ErrorCode::ConcurrencyConflict);
    assert_eq!(start_bind(&mut wasi), busy);
    assert_eq!(code(wasi.start_listen(again())), busy);
    assert_eq!(code(wasi.local_address(again())), busy);
    assert_eq!(code(wasi.finish_bind(again())), None);
    assert_eq!(code(wasi.finish_bind(again())), not_started);
    assert_eq!(start_bind(&mut wasi), invalid);
    assert_eq!(code(wasi.local_address(again())), None);
}

#[test]
fn a_listener_accepts_and_does_nothing_else() {
    let (mut wasi, network) = guest();
    let (socket, local) = listener(&mut wasi, &network, ANY_PORT[0]);
    assert!(wasi.is_listening(again(&socket)).unwrap());
    assert_eq!(
        code(wasi.accept(again(&socket))),
        Some(ErrorCode::WouldBlock)
    );
    assert_eq!(
        code(wasi.finish_listen(again(&socket))),
        Some(ErrorCode::NotInProgress)
    );
    let invalid = Some(ErrorCode::InvalidState);
    assert_eq!(code(wasi.start_listen(again(&socket))), invalid);
    assert_eq!(code(connect(&mut wasi, &network, &socket, local)), invalid);
    assert_eq!(code(bind(&mut wasi, &network, &socket, local)), invalid);
    let other = socket_for(&mut wasi, local);
    let in_use = Some(ErrorCode::AddressInUse);
    assert_eq!(code(bind(&mut wasi, &network, &other, local)), in_use);
    // It may be tried again.
    assert_eq!(
        code(bind(&mut wasi, &network, &other, address(ANY_PORT[0]))),
        None
    );
}

#[test]
fn a_failed_connection_closes_the_socket() {
    let (mut wasi, network) = guest();
    let (unused, remote) = listener(&mut wasi, &network, ANY_PORT[0]);
    crate::bindings::wasi::sockets::tcp::HostTcpSocket::drop(&mut wasi, unused).unwrap();
    let socket = socket_for(&mut wasi, remote);
    let refused = Some(ErrorCode::ConnectionRefused);
    assert_eq!(code(connect(&mut wasi, &network, &socket, remote)), refused);
    let invalid = Some(ErrorCode::InvalidState);
    assert_eq!(code(connect(&mut wasi, &network, &socket, remote)), invalid);
    assert_eq!(
        code(wasi.finish_connect(again(&socket))),
        Some(ErrorCode::NotInProgress)
    );
    assert_eq!(code(wasi.local_address(again(&socket))), invalid);
    assert_eq!(code(wasi.hop_limit(again(&socket))), invalid);
    assert_eq!(
        code(wasi.set_listen_backlog_size(again(&socket), 1)),
        invalid
    );
}

#[test]
fn addresses_that_cannot_be_are_refused() {
    let (mut wasi, network) = guest();
    let v4 = wasi.create_tcp_socket(IpAddressFamily::Ipv4).unwrap();
    let v6 = wasi.create_tcp_socket(IpAddressFamily::Ipv6).unwrap();
    let invalid = Some(ErrorCode::InvalidArgument);
    for (socket, local) in [
        (&v4, "[::1]:0"),
        (&v4, "224.0.0.1:0"),
        (&v4, "255.255.255.255:0"),
        (&v6, "127.0.0.1:0"),
        (&v6, "[::ffff:127.0.0.1]:0"),
        (&v6, "[ff02::1]:0"),
    ] {
        let result = bind(&mut wasi, &network, socket, address(local));
        assert_eq!(code(result), invalid, "{local}");
    }
    for (socket, remote) in [
        (&v4, "127.0.0.1:0"),
        (&v4, "0.0.0.0:80"),
        (&v4, "[::1]:80"),
        (&v4, "224.0.0.1:80"),
        (&v6, "[::]:80"),
        (&v6, "[::ffff:127.0.0.1]:80"),
    ] {
        let result = connect(&mut wasi, &network, socket, address(remote));
        assert_eq!(code(result), invalid, "{remote}");
    }
    // A documentation address is no host's.
    let result = bind(&mut wasi, &network, &v4, address("192.0.2.1:0"));
    assert_eq!(code(result), Some(ErrorCode::AddressNotBindable));
}

#[test]
fn options_are_clamped_but_never_zero() {
    let (mut wasi, _) = guest();
    for family in [IpAddressFamily::Ipv4, IpAddressFamily::Ipv6] {
        let socket = wasi.create_tcp_socket(family).unwrap();
        let again = || again(&socket);
        for value in [0, 1, SECOND, u64::MAX] {
            let expected = (value == 0).then_some(ErrorCode::InvalidArgument);
            let short = value.min(255) as u8;
            assert_eq!(code(wasi.set_listen_backlog_size(again(), value)), expected);
            assert_eq!(
                code(wasi.set_keep_alive_idle_time(again(), value)),
                expected
            );
            assert_eq!(code(wasi.set_keep_alive_interval(again(), value)), expected);
            assert_eq!(
                code(wasi.set_keep_alive_count(again(), value as u32)),
                expected
            );
            assert_eq!(code(wasi.set_hop_limit(again(), short)), expected);
            assert_eq!(code(wasi.set_receive_buffer_size(again(), value)), expected);
            assert_eq!(code(wasi.set_send_buffer_size(again(), value)), expected);
            if value != 0 {
                assert_eq!(wasi.hop_limit(again()).unwrap(), short);
                assert!(wasi.keep_alive_count(again()).unwrap() > 0);
                assert!(wasi.receive_buffer_size(again()).unwrap() > 0);
                assert!(wasi.send_buffer_size(again()).unwrap() > 0);
            }
        }
        wasi.set_keep_alive_idle_time(again(), SECOND + 1).unwrap();
        assert_eq!(wasi.keep_alive_idle_time(again()).unwrap(), 2 * SECOND);
        wasi.set_keep_alive_interval(again(), 1).unwrap();
        assert_eq!(wasi.keep_alive_interval(again()).unwrap(), SECOND);
        wasi.set_keep_alive_enabled(again(), true).unwrap();
        assert!(wasi.keep_alive_enabled(again()).unwrap());
        wasi.set_receive_buffer_size(again(), 0x10000).unwrap();
        assert_eq!(wasi.receive_buffer_size(again()).unwrap(), 0x10000);
    }
}

#[test]
fn connections_inherit_the_options_of_the_listener() {
    let (mut wasi, network) = guest();
    for local in ANY_PORT {
        let (listener, remote) = listener(&mut wasi, &network, local);
        wasi.set_keep_alive_enabled(again(&listener), true).unwrap();
        wasi.set_keep_alive_count(again(&listener), 42).unwrap();
        wasi.set_hop_limit(again(&listener), 43).unwrap();
        wasi.set_send_buffer_size(again(&listener), 0x8000).unwrap();
        let client = socket_for(&mut wasi, remote);
        connect(&mut wasi, &network, &client, remote).unwrap();
        block(&mut wasi, &listener);
        let (accepted, ..) = wasi.accept(listener).unwrap();
        assert!(wasi.keep_alive_enabled(again(&accepted)).unwrap());
        assert_eq!(wasi.keep_alive_count(again(&accepted)).unwrap(), 42);
        assert_eq!(wasi.hop_limit(again(&accepted)).unwrap(), 43);
        assert_eq!(wasi.send_buffer_size(again(&accepted)).unwrap(), 0x8000);
    }
}
