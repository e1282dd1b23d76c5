//! `udp-socket` of `wasi:sockets/types`.

use cwasm::{Access, Resource, Result};

use super::udp::UdpSocket;
use crate::bindings::wasi::sockets::network::{IpAddressFamily, IpSocketAddress};
use crate::ctx::WasiCtx;
use crate::p3::bindings::wasi::sockets::types::HostUdpSocket;
use crate::sockets::SocketError;

impl HostUdpSocket for WasiCtx {
    /// A socket can do nothing before it has an address, so that making one is always allowed.
    fn create(&mut self, family: IpAddressFamily) -> Result<Resource<UdpSocket>, SocketError> {
        let socket = UdpSocket::new(family.into(), self.open_files.place()?)?;
        Ok(self.table.push(socket)?)
    }

    fn bind(
        &mut self,
        socket: Resource<UdpSocket>,
        address: IpSocketAddress,
    ) -> Result<(), SocketError> {
        self.table.get(&socket)?.bind(address.into(), &self.network)
    }

    fn connect(
        &mut self,
        socket: Resource<UdpSocket>,
        remote: IpSocketAddress,
    ) -> Result<(), SocketError> {
        let socket = self.table.get(&socket)?;
        socket.connect(remote.into(), &self.network)
    }

    fn disconnect(&mut self, socket: Resource<UdpSocket>) -> Result<(), SocketError> {
        self.table.get(&socket)?.disconnect()
    }

    async fn send<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        socket: Resource<UdpSocket>,
        data: Vec<u8>,
        to: Option<IpSocketAddress>,
    ) -> Result<(), SocketError> {
        let (socket, policy) = access.with(|ctx| {
            let socket = ctx.table.get(&socket)?.clone();
            Ok::<_, SocketError>((socket, ctx.network.clone()))
        })?;
        socket.send(data, to.map(Into::into), &policy).await
    }

    async fn receive<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        socket: Resource<UdpSocket>,
    ) -> Result<(Vec<u8>, IpSocketAddress), SocketError> {
        let socket = access.with(|ctx| ctx.table.get(&socket).cloned())?;
        let (data, sender) = socket.receive().await?;
        Ok((data, sender.into()))
    }

    fn get_local_address(
        &mut self,
        socket: Resource<UdpSocket>,
    ) -> Result<IpSocketAddress, SocketError> {
        Ok(self.table.get(&socket)?.local_address()?.into())
    }

    fn get_remote_address(
        &mut self,
        socket: Resource<UdpSocket>,
    ) -> Result<IpSocketAddress, SocketError> {
        Ok(self.table.get(&socket)?.remote_address()?.into())
    }

    fn get_address_family(&mut self, socket: Resource<UdpSocket>) -> Result<IpAddressFamily> {
        Ok(self.table.get(&socket)?.family().into())
    }

    fn get_unicast_hop_limit(&mut self, socket: Resource<UdpSocket>) -> Result<u8, SocketError> {
        self.table.get(&socket)?.options().hop_limit()
    }

    fn set_unicast_hop_limit(
        &mut self,
        socket: Resource<UdpSocket>,
        value: u8,
    ) -> Result<(), SocketError> {
        self.table.get(&socket)?.options().set_hop_limit(value)
    }

    fn get_receive_buffer_size(&mut self, socket: Resource<UdpSocket>) -> Result<u64, SocketError> {
        self.table.get(&socket)?.options().receive_buffer_size()
    }

    fn set_receive_buffer_size(
        &mut self,
        socket: Resource<UdpSocket>,
        value: u64,
    ) -> Result<(), SocketError> {
        let socket = self.table.get(&socket)?;
        socket.options().set_receive_buffer_size(value)
    }

    fn get_send_buffer_size(&mut self, socket: Resource<UdpSocket>) -> Result<u64, SocketError> {
        self.table.get(&socket)?.options().send_buffer_size()
    }

    fn set_send_buffer_size(
        &mut self,
        socket: Resource<UdpSocket>,
        value: u64,
    ) -> Result<(), SocketError> {
        let socket = self.table.get(&socket)?;
        socket.options().set_send_buffer_size(value)
    }

    fn drop(&mut self, socket: Resource<UdpSocket>) -> Result<()> {
        self.table.delete(socket)?;
        Ok(())
    }
}
