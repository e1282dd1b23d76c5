//! TCP: both sides, and names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use wasip2::cli::{stdin::get_stdin, stdout::get_stdout};
use wasip2::io::streams::{InputStream, OutputStream};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use wasip2::sockets::tcp::{ShutdownType, TcpSocket};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

use components::{Copy, advance_all, copy, print};

use crate::Error;

/// Echoes what so many connections send, one after the other.
pub fn echo(address: SocketAddr, count: usize) -> Result<(), Error> {
    let socket = create_tcp_socket(family(address))?;
    socket.start_bind(&instance_network(), to_wasi(address))?;
    wait(&socket, TcpSocket::finish_bind)?;
    socket.start_listen()?;
    wait(&socket, TcpSocket::finish_listen)?;
    print(&format!("listening at {}\n", of_wasi(socket.local_address()?)))?;
    for _ in 0..count {
        let (connection, from, to) = wait(&socket, TcpSocket::accept)?;
        let count = copy(&from, &to)?;
        print(&format!("{count} bytes\n"))?;
        connection.shutdown(ShutdownType::Both)?;
    }
    Ok(())
}

/// Sends the standard input, and prints what comes.
pub fn client(address: SocketAddr) -> Result<(), Error> {
    let socket = create_tcp_socket(family(address))?;
    let (from, to) = connect(&socket, address)?;
    let (stdin, stdout) = (get_stdin(), get_stdout());
    let mut copies = vec![Copy::new(&from, &stdout), Copy::new(&stdin, &to)];
    if advance_all(&mut copies, None)? == Some(1) {
        to.blocking_flush().map_err(components::Failed::Write)?;
        socket.shutdown(ShutdownType::Send)?;
        copy(&from, &stdout)?;
    }
    Ok(())
}

fn connect(
    socket: &TcpSocket,
    address: SocketAddr,
) -> Result<(InputStream, OutputStream), ErrorCode> {
    socket.start_connect(&instance_network(), to_wasi(address))?;
    wait(socket, TcpSocket::finish_connect)
}

/// Calls a function until it no longer says that it would block.
fn wait<T>(
    socket: &TcpSocket,
    finish: impl Fn(&TcpSocket) -> Result<T, ErrorCode>,
) -> Result<T, ErrorCode> {
    loop {
        match finish(socket) {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            result => return result,
        }
    }
}

/// Prints the addresses of a name.
pub fn lookup(name: &str) -> Result<(), Error> {
    let stream = resolve_addresses(&instance_network(), name)?;
    loop {
        match stream.resolve_next_address() {
            Ok(Some(address)) => print(&format!("{}\n", of_wasi_ip(address)))?,
            Ok(None) => return Ok(()),
            Err(ErrorCode::WouldBlock) => stream.subscribe().block(),
            Err(error) => return Err(error.into()),
        }
    }
}

pub fn family(address: SocketAddr) -> IpAddressFamily {
    match address {
        SocketAddr::V4(_) => IpAddressFamily::Ipv4,
        SocketAddr::V6(_) => IpAddressFamily::Ipv6,
    }
}

pub fn to_wasi(address: SocketAddr) -> IpSocketAddress {
    let port = address.port();
    match address {
        SocketAddr::V4(v4) => {
            let [a, b, c, d] = v4.ip().octets();
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (a, b, c, d) })
        }
        SocketAddr::V6(v6) => {
            let [a, b, c, d, e, f, g, h] = v6.ip().segments();
            IpSocketAddress::Ipv6(Ipv6SocketAddress {
                port,
                flow_info: v6.flowinfo(),
                address: (a, b, c, d, e, f, g, h),
                scope_id: v6.scope_id(),
            })
        }
    }
}

pub fn of_wasi(address: IpSocketAddress) -> SocketAddr {
    match address {
        IpSocketAddress::Ipv4(v4) => (of_wasi_ip(IpAddress::Ipv4(v4.address)), v4.port).into(),
        IpSocketAddress::Ipv6(v6) => (of_wasi_ip(IpAddress::Ipv6(v6.address)), v6.port).into(),
    }
}

fn of_wasi_ip(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => Ipv4Addr::new(a, b, c, d).into(),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => Ipv6Addr::new(a, b, c, d, e, f, g, h).into(),
    }
}
