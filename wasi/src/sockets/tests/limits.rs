//! Sockets that a guest may have open.

use super::*;
use crate::bindings::wasi::sockets::network::IpAddressFamily;
use crate::bindings::wasi::sockets::tcp::HostTcpSocket as _;
use crate::bindings::wasi::sockets::tcp_create_socket::Host as _;
use crate::bindings::wasi::sockets::udp_create_socket::Host as _;
use crate::sockets::TcpSocket;

const FULL: Option<ErrorCode> = Some(ErrorCode::NewSocketLimit);

fn limited(max: usize) -> (WasiCtx, Resource<Network>) {
    guest_with(WasiCtxBuilder::new().inherit_network().max_open_files(max))
}

fn tcp(wasi: &mut WasiCtx) -> Result<Resource<TcpSocket>, SocketError> {
    wasi.create_tcp_socket(IpAddressFamily::Ipv4)
}

#[test]
fn sockets_are_counted() {
    let (mut wasi, _network) = limited(2);
    let first = tcp(&mut wasi).unwrap();
    let second = wasi.create_udp_socket(IpAddressFamily::Ipv4).unwrap();
    assert_eq!(code(tcp(&mut wasi)), FULL);
    assert_eq!(code(wasi.create_udp_socket(IpAddressFamily::Ipv4)), FULL);
    wasi.table.delete(second).unwrap();
    let third = tcp(&mut wasi).unwrap();
    assert_eq!(code(tcp(&mut wasi)), FULL);
    wasi.table.delete(first).unwrap();
    wasi.table.delete(third).unwrap();
    assert_eq!(code(wasi.create_udp_socket(IpAddressFamily::Ipv4)), None);
}

#[test]
fn connections_are_counted_until_their_streams_are_dropped() {
    let (mut wasi, network) = limited(3);
    let listener = tcp(&mut wasi).unwrap();
    let any = address(ANY_PORT[0]);
    wasi.start_bind(again(&listener), again(&network), any)
        .unwrap();
    wasi.finish_bind(again(&listener)).unwrap();
    wasi.start_listen(again(&listener)).unwrap();
    wasi.finish_listen(again(&listener)).unwrap();
    let server = wasi.local_address(again(&listener)).unwrap();

    let client = tcp(&mut wasi).unwrap();
    let to = server;
    wasi.start_connect(again(&client), again(&network), to)
        .unwrap();
    block(&mut wasi, &client);
    wasi.finish_connect(again(&client)).unwrap();
    block(&mut wasi, &listener);
    let (accepted, input, output) = wasi.accept(again(&listener)).unwrap();
    assert_eq!(code(wasi.accept(again(&listener))), FULL);
    wasi.table.delete(accepted).unwrap();
    assert_eq!(code(tcp(&mut wasi)), FULL);
    wasi.table.delete(input).unwrap();
    assert_eq!(code(tcp(&mut wasi)), FULL);
    wasi.table.delete(output).unwrap();
    assert_eq!(
        code(wasi.accept(again(&listener))),
        Some(ErrorCode::WouldBlock)
    );
    assert_eq!(code(tcp(&mut wasi)), None);
}
