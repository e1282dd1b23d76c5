//! UDP: both sides.

use std::net::SocketAddr;

use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::ErrorCode;
use wasip2::sockets::udp::{
    IncomingDatagram, IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream, UdpSocket,
};
use wasip2::sockets::udp_create_socket::create_udp_socket;

use components::print;

use crate::Error;
use crate::tcp::{family, of_wasi, to_wasi};

/// Sends so many datagrams back to where they came from.
pub fn echo(address: SocketAddr, count: usize) -> Result<(), Error> {
    let socket = bound(address)?;
    print(&format!("bound to {}\n", of_wasi(socket.local_address()?)))?;
    let (incoming, outgoing) = socket.stream(None)?;
    for _ in 0..count {
        let datagram = receive(&incoming)?;
        let remote_address = Some(datagram.remote_address);
        send(&outgoing, OutgoingDatagram { data: datagram.data, remote_address })?;
    }
    Ok(())
}

/// Sends a text, and prints the answer.
pub fn client(address: SocketAddr, text: &str) -> Result<(), Error> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => "0.0.0.0:0".parse()?,
        SocketAddr::V6(_) => "[::]:0".parse()?,
    };
    let socket = bound(any)?;
    let (incoming, outgoing) = socket.stream(Some(to_wasi(address)))?;
    let data = text.as_bytes().to_vec();
    send(&outgoing, OutgoingDatagram { data, remote_address: None })?;
    let datagram = receive(&incoming)?;
    print(&format!("{}\n", String::from_utf8_lossy(&datagram.data)))?;
    Ok(())
}

fn bound(address: SocketAddr) -> Result<UdpSocket, ErrorCode> {
    let socket = create_udp_socket(family(address))?;
    socket.start_bind(&instance_network(), to_wasi(address))?;
    loop {
        match socket.finish_bind() {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            result => return result.map(|()| socket),
        }
    }
}

fn receive(incoming: &IncomingDatagramStream) -> Result<IncomingDatagram, ErrorCode> {
    loop {
        match incoming.receive(1)?.pop() {
            Some(datagram) => return Ok(datagram),
            None => incoming.subscribe().block(),
        }
    }
}

fn send(outgoing: &OutgoingDatagramStream, datagram: OutgoingDatagram) -> Result<(), ErrorCode> {
    while outgoing.check_send()? == 0 {
        outgoing.subscribe().block();
    }
    outgoing.send(&[datagram])?;
    Ok(())
}
