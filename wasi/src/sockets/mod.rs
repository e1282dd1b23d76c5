//! Sockets (`wasi:sockets`).
//!
//! A socket is the system's, and never waits; what a guest may do with it when is a state beside
//! it. Each address is checked here first (`address`), then by the host ([`NetworkPolicy`]).

mod address;
mod datagram;
mod error;
mod lookup;
mod name;
mod network;
mod options;
mod socket;
mod tcp;
mod tcp_host;
mod tcp_stream;
mod udp;
mod udp_host;
mod udp_stream;

#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::bindings::wasi::sockets::network::ErrorCode;

#[cfg(feature = "p3")]
pub(crate) use address::Family;
#[cfg(feature = "p3")]
pub(crate) use datagram::MAX_SIZE;
#[cfg(feature = "p3")]
pub(crate) use error::{code_of, connect_code};
#[cfg(feature = "p3")]
pub(crate) use lookup::Name;
#[cfg(feature = "p3")]
pub(crate) use options::{SocketOptions, not_zero};
#[cfg(feature = "p3")]
pub(crate) use socket::{BACKLOG, Socket};

pub use error::SocketError;
pub use lookup::ResolvedAddresses;
pub use network::Network;
pub use tcp::TcpSocket;
pub use udp::UdpSocket;
pub use udp_stream::{IncomingDatagrams, OutgoingDatagrams};

/// What a guest wants to use an address for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketUse {
    /// To bind a TCP socket to it.
    TcpBind,
    /// To connect a TCP socket to it.
    TcpConnect,
    /// To bind a UDP socket to it.
    UdpBind,
    /// To receive datagrams from it only.
    UdpConnect,
    /// To send a datagram to it.
    UdpOutgoingDatagram,
}

/// What a guest may do with the network.
#[derive(Clone)]
pub(crate) struct NetworkPolicy {
    pub(crate) tcp: bool,
    pub(crate) udp: bool,
    pub(crate) name_lookup: bool,
    pub(crate) check: Arc<AddressCheck>,
}

type AddressCheck = dyn Fn(SocketAddr, SocketUse) -> bool + Send + Sync;

impl NetworkPolicy {
    /// Whether an address may be used for something.
    pub(crate) fn check(&self, address: SocketAddr, purpose: SocketUse) -> Result<(), ErrorCode> {
        let protocol = match purpose {
            SocketUse::TcpBind | SocketUse::TcpConnect => self.tcp,
            SocketUse::UdpBind | SocketUse::UdpConnect | SocketUse::UdpOutgoingDatagram => self.udp,
        };
        match protocol && (self.check)(address, purpose) {
            true => Ok(()),
            false => Err(ErrorCode::AccessDenied),
        }
    }
}

impl Default for NetworkPolicy {
    fn default() -> NetworkPolicy {
        NetworkPolicy {
            tcp: true,
            udp: true,
            name_lookup: false,
            check: Arc::new(|_, _| false),
        }
    }
}

impl fmt::Debug for NetworkPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkPolicy")
            .field("tcp", &self.tcp)
            .field("udp", &self.udp)
            .field("name_lookup", &self.name_lookup)
            .finish_non_exhaustive()
    }
}
