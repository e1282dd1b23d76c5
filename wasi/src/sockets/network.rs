//! The network, and making sockets.

use cwasm::{Resource, Result};

use super::error::SocketError;
use super::tcp::TcpSocket;
use super::udp::UdpSocket;
use crate::bindings::wasi::sockets::network::{ErrorCode, IpAddressFamily};
use crate::bindings::wasi::sockets::{
    instance_network, network, tcp_create_socket, udp_create_socket,
};
use crate::ctx::WasiCtx;

/// A guest's handle of the network: there is one, and what it allows is the context's.
#[derive(Debug)]
pub struct Network(());

impl instance_network::Host for WasiCtx {
    fn instance_network(&mut self) -> Result<Resource<Network>> {
        Ok(self.table.push(Network(()))?)
    }
}

impl network::Host for WasiCtx {}

impl network::HostNetwork for WasiCtx {
    fn drop(&mut self, network: Resource<Network>) -> Result<()> {
        self.table.delete(network)?;
        Ok(())
    }
}

/// A socket can do nothing before it has an address, so that making one is always allowed.
impl tcp_create_socket::Host for WasiCtx {
    fn convert_error_code(&mut self, error: SocketError) -> Result<ErrorCode> {
        error.code()
    }

    fn create_tcp_socket(
        &mut self,
        family: IpAddressFamily,
    ) -> Result<Resource<TcpSocket>, SocketError> {
        let socket = TcpSocket::new(family.into(), self.open_files.place()?)?;
        Ok(self.table.push(socket)?)
    }
}

impl udp_create_socket::Host for WasiCtx {
    fn convert_error_code(&mut self, error: SocketError) -> Result<ErrorCode> {
        error.code()
    }

    fn create_udp_socket(
        &mut self,
        family: IpAddressFamily,
    ) -> Result<Resource<UdpSocket>, SocketError> {
        let socket = UdpSocket::new(family.into(), self.open_files.place()?)?;
        Ok(self.table.push(socket)?)
    }
}
