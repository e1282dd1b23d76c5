//! Sockets (`wasi:sockets`): those of 0.2, which are waited for without the store.
//!
//! Streams and calls share the system's socket with the resource, so that it is open as long as one
//! of them is there; what the guest may do with it when is a state beside it. Each has one
//! registration of its readiness, for both directions.

mod accept;
mod names;
mod tcp;
mod tcp_host;
mod tcp_streams;
mod udp;
mod udp_host;
mod values;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use cwasm::Result;
use rustix::io::Errno;

use super::bindings::wasi::sockets::types::{ErrorCode, Host};
use crate::ctx::WasiCtx;
use crate::sockets::{Family, SocketError, code_of};

pub use tcp::TcpSocket;
pub use udp::UdpSocket;

impl Host for WasiCtx {
    fn convert_error_code(&mut self, error: SocketError) -> Result<ErrorCode> {
        error.code().map(values::code)
    }
}

/// Where a socket is bound that the guest has not bound: any address, and a port that the system
/// chooses.
fn unspecified(family: Family) -> SocketAddr {
    let ip: IpAddr = match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(ip, 0)
}

/// An error of registering or waiting.
fn of_io(error: std::io::Error) -> SocketError {
    code_of(Errno::from_io_error(&error).unwrap_or(Errno::IO)).into()
}
