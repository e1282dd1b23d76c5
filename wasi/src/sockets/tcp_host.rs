//! `wasi:sockets/tcp`.

use cwasm::{Resource, Result};

use super::error::SocketError;
use super::network::Network;
use super::tcp::TcpSocket;
use crate::bindings::wasi::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress};
use crate::bindings::wasi::sockets::tcp::{self, ShutdownType};
use crate::ctx::WasiCtx;
use crate::io::{InputStream, OutputStream, Pollable};

impl tcp::Host for WasiCtx {
    fn convert_error_code(&mut self, error: SocketError) -> Result<ErrorCode> {
        error.code()
    }
}

impl tcp::HostTcpSocket for WasiCtx {
    fn start_bind(
        &mut self,
        socket: Resource<TcpSocket>,
        network: Resource<Network>,
        address: IpSocketAddress,
    ) -> Result<(), SocketError> {
        self.table.get(&network)?;
        let socket = self.table.get_mut(&socket)?;
        socket.start_bind(address.into(), &self.network)
    }

    fn finish_bind(&mut self, socket: Resource<TcpSocket>) -> Result<(), SocketError> {
        self.table.get_mut(&socket)?.finish_bind()
    }

    fn start_connect(
        &mut self,
        socket: Resource<TcpSocket>,
        network: Resource<Network>,
        address: IpSocketAddress,
    ) -> Result<(), SocketError> {
        self.table.get(&network)?;
        let socket = self.table.get_mut(&socket)?;
        socket.start_connect(address.into(), &self.network)
    }

    fn finish_connect(
        &mut self,
        socket: Resource<TcpSocket>,
    ) -> Result<(Resource<InputStream>, Resource<OutputStream>), SocketError> {
        let (input, output) = self.table.get_mut(&socket)?.finish_connect()?;
        Ok((self.table.push(input)?, self.table.push(output)?))
    }

    fn start_listen(&mut self, socket: Resource<TcpSocket>) -> Result<(), SocketError> {
        self.table.get_mut(&socket)?.start_listen()
    }

    fn finish_listen(&mut self, socket: Resource<TcpSocket>) -> Result<(), SocketError> {
        self.table.get_mut(&socket)?.finish_listen()
    }

    fn accept(&mut self, socket: Resource<TcpSocket>) -> Result<Accepted, SocketError> {
        let place = self.open_files.place()?;
        let accepted = self.table.get(&socket)?.accept(place)?;
        let (input, output) = accepted.streams();
        let accepted = self.table.push(accepted)?;
        Ok((accepted, self.table.push(input)?, self.table.push(output)?))
    }

    fn local_address(
        &mut self,
        socket: Resource<TcpSocket>,
    ) -> Result<IpSocketAddress, SocketError> {
        Ok(self.table.get(&socket)?.local_address()?.into())
    }

    fn remote_address(
        &mut self,
        socket: Resource<TcpSocket>,
    ) -> Result<IpSocketAddress, SocketError> {
        Ok(self.table.get(&socket)?.remote_address()?.into())
    }

    fn is_listening(&mut self, socket: Resource<TcpSocket>) -> Result<bool> {
        Ok(self.table.get(&socket)?.is_listening())
    }

    fn address_family(&mut self, socket: Resource<TcpSocket>) -> Result<IpAddressFamily> {
        Ok(self.table.get(&socket)?.family().into())
    }

    fn set_listen_backlog_size(
        &mut self,
        socket: Resource<TcpSocket>,
        value: u64,
    ) -> Result<(), SocketError> {
        self.table.get_mut(&socket)?.set_backlog(value)
    }

    fn keep_alive_enabled(&mut self, socket: Resource<TcpSocket>) -> Result<bool, SocketError> {
        self.table.get(&socket)?.options()?.keep_alive_enabled()
    }

    fn set_keep_alive_enabled(
        &mut self,
        socket: Resource<TcpSocket>,
        value: bool,
    ) -> Result<(), SocketError> {
        self.table
            .get(&socket)?
            .options()?
            .set_keep_alive_enabled(value)
    }

    fn keep_alive_idle_time(&mut self, socket: Resource<TcpSocket>) -> Result<u64, SocketError> {
        self.table.get(&socket)?.options()?.keep_alive_idle_time()
    }

    fn set_keep_alive_idle_time(
        &mut self,
        socket: Resource<TcpSocket>,
        value: u64,
    ) -> Result<(), SocketError> {
        self.table
            .get(&socket)?
            .options()?
            .set_keep_alive_idle_time(value)
    }

    fn keep_alive_interval(&mut self, socket: Resource<TcpSocket>) -> Result<u64, SocketError> {
        self.table.get(&socket)?.options()?.keep_alive_interval()
    }

    fn set_keep_alive_interval(
        &mut self,
        socket: Resource<TcpSocket>,
        value: u64,
    ) -> Result<(), SocketError> {
        self.table
            .get(&socket)?
            .options()?
            .set_keep_alive_interval(value)
    }

    fn keep_alive_count(&mut self, socket: Resource<TcpSocket>) -> Result<u32, SocketError> {
        self.table.get(&socket)?.options()?.keep_alive_count()
    }

    fn set_keep_alive_count(
        &mut self,
        socket: Resource<TcpSocket>,
        value: u32,
    ) -> Result<(), SocketError> {
        self.table
            .get(&socket)?
            .options()?
            .set_keep_alive_count(value)
    }

    fn hop_limit(&mut self, socket: Resource<TcpSocket>) -> Result<u8, SocketError> {
        self.table.get(&socket)?.options()?.hop_limit()
    }

    fn set_hop_limit(&mut self, socket: Resource<TcpSocket>, value: u8) -> Result<(), SocketError> {
        self.table.get(&socket)?.options()?.set_hop_limit(value)
    }

    fn receive_buffer_size(&mut self, socket: Resource<TcpSocket>) -> Result<u64, SocketError> {
        self.table.get(&socket)?.options()?.receive_buffer_size()
    }

    fn set_receive_buffer_size(
        &mut self,
        socket: Resource<TcpSocket>,
        value: u64,
    ) -> Result<(), SocketError> {
        self.table
            .get(&socket)?
            .options()?
            .set_receive_buffer_size(value)
    }

    fn send_buffer_size(&mut self, socket: Resource<TcpSocket>) -> Result<u64, SocketError> {
        self.table.get(&socket)?.options()?.send_buffer_size()
    }

    fn set_send_buffer_size(
        &mut self,
        socket: Resource<TcpSocket>,
        value: u64,
    ) -> Result<(), SocketError> {
        self.table
            .get(&socket)?
            .options()?
            .set_send_buffer_size(value)
    }

    fn subscribe(&mut self, socket: Resource<TcpSocket>) -> Result<Resource<Pollable>> {
        self.subscribe_to(&socket)
    }

    fn shutdown(
        &mut self,
        socket: Resource<TcpSocket>,
        directions: ShutdownType,
    ) -> Result<(), SocketError> {
        self.table.get(&socket)?.shutdown(directions)
    }

    fn drop(&mut self, socket: Resource<TcpSocket>) -> Result<()> {
        self.table.delete(socket)?;
        Ok(())
    }
}

/// A connection that was accepted, and its streams.
type Accepted = (
    Resource<TcpSocket>,
    Resource<InputStream>,
    Resource<OutputStream>,
);
