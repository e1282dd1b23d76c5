//! `tcp-socket` of `wasi:sockets/types`.

use cwasm::{Access, FutureReader, Resource, Result, StreamReader};

use super::accept;
use super::tcp::TcpSocket;
use super::values::{code, stream_code};
use crate::bindings::wasi::sockets::network::{IpAddressFamily, IpSocketAddress};
use crate::ctx::WasiCtx;
use crate::p3::bindings::wasi::sockets::types::{ErrorCode, HostTcpSocket};
use crate::p3::bytes::{Reading, read_stream, write_stream};
use crate::sockets::SocketError;

/// What is found, or the code that a stream is told.
fn found<R>(result: Result<R, SocketError>) -> Result<Result<R, ErrorCode>> {
    match result {
        Ok(found) => Ok(Ok(found)),
        Err(error) => error.code().map(|error| Err(code(error))),
    }
}

impl HostTcpSocket for WasiCtx {
    /// A socket can do nothing before it has an address, so that making one is always allowed.
    fn create(&mut self, family: IpAddressFamily) -> Result<Resource<TcpSocket>, SocketError> {
        let socket = TcpSocket::new(family.into(), self.open_files.place()?)?;
        Ok(self.table.push(socket)?)
    }

    fn bind(
        &mut self,
        socket: Resource<TcpSocket>,
        address: IpSocketAddress,
    ) -> Result<(), SocketError> {
        self.table.get(&socket)?.bind(address.into(), &self.network)
    }

    async fn connect<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        socket: Resource<TcpSocket>,
        remote: IpSocketAddress,
    ) -> Result<(), SocketError> {
        let (socket, policy) = access.with(|ctx| {
            let socket = ctx.table.get(&socket)?.clone();
            Ok::<_, SocketError>((socket, ctx.network.clone()))
        })?;
        socket.connect(remote.into(), &policy).await
    }

    fn listen<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        socket: Resource<TcpSocket>,
    ) -> Result<StreamReader<Resource<TcpSocket>>, SocketError> {
        let listener = access.with(|ctx| ctx.table.get(&socket)?.listen(&ctx.network))?;
        Ok(accept::stream(access, listener))
    }

    fn send<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        socket: Resource<TcpSocket>,
        data: StreamReader<u8>,
    ) -> Result<FutureReader<Result<(), ErrorCode>>> {
        let (sink, streaming) = access.with(|ctx| {
            let streaming = ctx.streaming()?;
            let sink = ctx.table.get(&socket)?.sink();
            Ok::<_, cwasm::Error>((found(sink)?, streaming))
        })?;
        let accessor = access.accessor();
        Ok(write_stream(accessor, data, sink, stream_code, streaming))
    }

    fn receive<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        socket: Resource<TcpSocket>,
    ) -> Result<Reading<ErrorCode>> {
        let (source, streaming) = access.with(|ctx| {
            let streaming = ctx.streaming()?;
            let source = ctx.table.get(&socket)?.source();
            Ok::<_, cwasm::Error>((found(source)?, streaming))
        })?;
        let accessor = access.accessor();
        Ok(read_stream(accessor, source, stream_code, streaming))
    }

    fn get_local_address(
        &mut self,
        socket: Resource<TcpSocket>,
    ) -> Result<IpSocketAddress, SocketError> {
        Ok(self.table.get(&socket)?.local_address()?.into())
    }

    fn get_remote_address(
        &mut self,
        socket: Resource<TcpSocket>,
    ) -> Result<IpSocketAddress, SocketError> {
        Ok(self.table.get(&socket)?.remote_address()?.into())
    }

    fn get_is_listening(&mut self, socket: Resource<TcpSocket>) -> Result<bool> {
        Ok(self.table.get(&socket)?.is_listening())
    }

    fn get_address_family(&mut self, socket: Resource<TcpSocket>) -> Result<IpAddressFamily> {
        Ok(self.table.get(&socket)?.family().into())
    }

    fn set_listen_backlog_size(
        &mut self,
        socket: Resource<TcpSocket>,
        value: u64,
    ) -> Result<(), SocketError> {
        self.table.get(&socket)?.set_backlog(value)
    }

    fn get_keep_alive_enabled(&mut self, socket: Resource<TcpSocket>) -> Result<bool, SocketError> {
        let socket = self.table.get(&socket)?;
        socket.with_options(|options| options.keep_alive_enabled())
    }

    fn set_keep_alive_enabled(
        &mut self,
        socket: Resource<TcpSocket>,
        value: bool,
    ) -> Result<(), SocketError> {
        let socket = self.table.get(&socket)?;
        socket.with_options(|options| options.set_keep_alive_enabled(value))
    }

    fn get_keep_alive_idle_time(
        &mut self,
        socket: Resource<TcpSocket>,
    ) -> Result<u64, SocketError> {
        let socket = self.table.get(&socket)?;
        socket.with_options(|options| options.keep_alive_idle_time())
    }

    fn set_keep_alive_idle_time(
        &mut self,
        socket: Resource<TcpSocket>,
        value: u64,
    ) -> Result<(), SocketError> {
        let socket = self.table.get(&socket)?;
        socket.with_options(|options| options.set_keep_alive_idle_time(value))
    }

    fn get_keep_alive_interval(&mut self, socket: Resource<TcpSocket>) -> Result<u64, SocketError> {
        let socket = self.table.get(&socket)?;
        socket.with_options(|options| options.keep_alive_interval())
    }

    fn set_keep_alive_interval(
        &mut self,
        socket: Resource<TcpSocket>,
        value: u64,
    ) -> Result<(), SocketError> {
        let socket = self.table.get(&socket)?;
        socket.with_options(|options| options.set_keep_alive_interval(value))
    }

    fn get_keep_alive_count(&mut self, socket: Resource<TcpSocket>) -> Result<u32, SocketError> {
        let socket = self.table.get(&socket)?;
        socket.with_options(|options| options.keep_alive_count())
    }

    fn set_keep_alive_count(
        &mut self,
        socket: Resource<TcpSocket>,
        value: u32,
    ) -> Result<(), SocketError> {
        let socket = self.table.get(&socket)?;
        socket.with_options(|options| options.set_keep_alive_count(value))
    }

    fn get_hop_limit(&mut self, socket: Resource<TcpSocket>) -> Result<u8, SocketError> {
        let socket = self.table.get(&socket)?;
        socket.with_options(|options| options.hop_limit())
    }

    fn set_hop_limit(&mut self, socket: Resource<TcpSocket>, value: u8) -> Result<(), SocketError> {
        let socket = self.table.get(&socket)?;
        socket.with_options(|options| options.set_hop_limit(value))
    }

    fn get_receive_buffer_size(&mut self, socket: Resource<TcpSocket>) -> Result<u64, SocketError> {
        let socket = self.table.get(&socket)?;
        socket.with_options(|options| options.receive_buffer_size())
    }

    fn set_receive_buffer_size(
        &mut self,
        socket: Resource<TcpSocket>,
        value: u64,
    ) -> Result<(), SocketError> {
        let socket = self.table.get(&socket)?;
        socket.with_options(|options| options.set_receive_buffer_size(value))
    }

    fn get_send_buffer_size(&mut self, socket: Resource<TcpSocket>) -> Result<u64, SocketError> {
        let socket = self.table.get(&socket)?;
        socket.with_options(|options| options.send_buffer_size())
    }

    fn set_send_buffer_size(
        &mut self,
        socket: Resource<TcpSocket>,
        value: u64,
    ) -> Result<(), SocketError> {
        let socket = self.table.get(&socket)?;
        socket.with_options(|options| options.set_send_buffer_size(value))
    }

    fn drop(&mut self, socket: Resource<TcpSocket>) -> Result<()> {
        self.table.delete(socket)?;
        Ok(())
    }
}
