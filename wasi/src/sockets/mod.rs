//! Sockets (`wasi:sockets`).

use std::fmt;
use std::net::SocketAddr;

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
pub(crate) struct NetworkPolicy {
    pub(crate) tcp: bool,
    pub(crate) udp: bool,
    pub(crate) name_lookup: bool,
    pub(crate) check: Box<AddressCheck>,
}

type AddressCheck = dyn Fn(SocketAddr, SocketUse) -> bool + Send + Sync;

impl Default for NetworkPolicy {
    fn default() -> NetworkPolicy {
        NetworkPolicy {
            tcp: true,
            udp: true,
            name_lookup: false,
            check: Box::new(|_, _| false),
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
