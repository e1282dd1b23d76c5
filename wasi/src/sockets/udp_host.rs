//! `wasi:sockets/udp`.

use cwasm::{Resource, Result};

use super::error::SocketError;
use super::network::Network;
use super::udp::UdpSocket;
use super::udp_stream::{IncomingDatagrams, OutgoingDatagrams};
use crate::bindings::wasi::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress};
use crate::bindings::wasi::sockets::udp::{self, IncomingDatagram, OutgoingDatagram};
use crate::ctx::WasiCtx;
use crate::io::Pollable;

impl udp::Host for WasiCtx {
    fn convert_error_code(&mut self, error: SocketError) -> Result<ErrorCode> {
        error.code()
    }
}

impl udp::HostUdpSocket for WasiCtx {
    fn start_bind(
        &mut self,
        socket: Resource<UdpSocket>,
        network: Resource<Network>,
        address: IpSocketAddress,
    ) -> Result<(), SocketError> {
        self.table.get(&network)?;
        let socket = self.table.get_mut(&socket)?;
        socket.start_bind(address.into(), &self.network)
    }

    fn finish_bind(&mut self, socket: Resource<UdpSocket>) -> Result<(), SocketError> {
        self.table.get_mut(&socket)?.finish_bind()
    }

    fn stream(
        &mut self,
        socket: Resource<UdpSocket>,
        remote: Option<IpSocketAddress>,
    ) -> Result<(Resource<IncomingDatagrams>, Resource<OutgoingDatagrams>), SocketError> {
        let socket = self.table.get_mut(&socket)?;
        let (incoming, outgoing) = socket.stream(remote.map(Into::into), &self.network)?;
        Ok((self.table.push(incoming)?, self.table.push(outgoing)?))
    }

    fn local_address(
        &mut self,
        socket: Resource<UdpSocket>,
    ) -> Result<IpSocketAddress, SocketError> {
        Ok(self.table.get(&socket)?.local_address()?.into())
    }

    fn remote_address(
        &mut self,
        socket: Resource<UdpSocket>,
    ) -> Result<IpSocketAddress, SocketError> {
        Ok(self.table.get(&socket)?.remote_address()?.into())
    }

    fn address_family(&mut self, socket: Resource<UdpSocket>) -> Result<IpAddressFamily> {
        Ok(self.table.get(&socket)?.family().into())
    }

    fn unicast_hop_limit(&mut self, socket: Resource<UdpSocket>) -> Result<u8, SocketError> {
        self.table.get(&socket)?.options().hop_limit()
    }

    fn set_unicast_hop_limit(
        &mut self,
        socket: Resource<UdpSocket>,
        value: u8,
    ) -> Result<(), SocketError> {
        self.table.get(&socket)?.options().set_hop_limit(value)
    }

    fn receive_buffer_size(&mut self, socket: Resource<UdpSocket>) -> Result<u64, SocketError> {
        self.table.get(&socket)?.options().receive_buffer_size()
    }

    fn set_receive_buffer_size(
        &mut self,
        socket: Resource<UdpSocket>,
        value: u64,
    ) -> Result<(), SocketError> {
        self.table
            .get(&socket)?
            .options()
            .set_receive_buffer_size(value)
    }

    fn send_buffer_size(&mut self, socket: Resource<UdpSocket>) -> Result<u64, SocketError> {
        self.table.get(&socket)?.options().send_buffer_size()
    }

    fn set_send_buffer_size(
        &mut self,
        socket: Resource<UdpSocket>,
        value: u64,
    ) -> Result<(), SocketError> {
        self.table
            .get(&socket)?
            .options()
            .set_send_buffer_size(value)
    }

    fn subscribe(&mut self, socket: Resource<UdpSocket>) -> Result<Resource<Pollable>> {
        self.subscribe_to(&socket)
    }

    fn drop(&mut self, socket: Resource<UdpSocket>) -> Result<()> {
        self.table.delete(socket)?;
        Ok(())
    }
}

impl udp::HostIncomingDatagramStream for WasiCtx {
    fn receive(
        &mut self,
        stream: Resource<IncomingDatagrams>,
        max_results: u64,
    ) -> Result<Vec<IncomingDatagram>, SocketError> {
        self.table.get(&stream)?.receive(max_results)
    }

    fn subscribe(&mut self, stream: Resource<IncomingDatagrams>) -> Result<Resource<Pollable>> {
        self.subscribe_to(&stream)
    }

    fn drop(&mut self, stream: Resource<IncomingDatagrams>) -> Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}

impl udp::HostOutgoingDatagramStream for WasiCtx {
    fn check_send(&mut self, stream: Resource<OutgoingDatagrams>) -> Result<u64, SocketError> {
        self.table.get_mut(&stream)?.check_send()
    }

    fn send(
        &mut self,
        stream: Resource<OutgoingDatagrams>,
        datagrams: Vec<OutgoingDatagram>,
    ) -> Result<u64, SocketError> {
        let stream = self.table.get_mut(&stream)?;
        stream.send(&datagrams, &self.network)
    }

    fn subscribe(&mut self, stream: Resource<OutgoingDatagrams>) -> Result<Resource<Pollable>> {
        self.subscribe_to(&stream)
    }

    fn drop(&mut self, stream: Resource<OutgoingDatagrams>) -> Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}
