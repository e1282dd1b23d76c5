//! Addresses: as guests write them, and which of them a socket takes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use rustix::net::{AddressFamily, SocketAddrAny};

use crate::bindings::wasi::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};

/// The version of IP that a socket was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    /// The system's name of it.
    pub(super) fn of_system(self) -> AddressFamily {
        match self {
            Family::V4 => AddressFamily::INET,
            Family::V6 => AddressFamily::INET6,
        }
    }

    /// Whether an address is one of this family. IPv4 in the clothes of IPv6 is neither.
    fn contains(self, address: IpAddr) -> bool {
        match (self, address) {
            (Family::V4, IpAddr::V4(_)) => true,
            (Family::V6, IpAddr::V6(address)) => {
                address.to_ipv4_mapped().is_none() && !is_ipv4_compatible(address)
            }
            _ => false,
        }
    }

    /// Checks an address that a socket is to be bound to.
    pub(super) fn check_local(self, address: SocketAddr) -> Result<(), ErrorCode> {
        valid(self.contains(address.ip()))
    }

    /// Checks an address that a socket is to talk to.
    pub(super) fn check_remote(self, address: SocketAddr) -> Result<(), ErrorCode> {
        let is_specific = !address.ip().is_unspecified() && address.port() != 0;
        valid(is_specific && self.contains(address.ip()))
    }
}

/// Checks that an address is that of one host, as TCP needs it.
pub(super) fn check_unicast(address: SocketAddr) -> Result<(), ErrorCode> {
    valid(match address.ip() {
        IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_multicast(),
    })
}

fn valid(is_valid: bool) -> Result<(), ErrorCode> {
    match is_valid {
        true => Ok(()),
        false => Err(ErrorCode::InvalidArgument),
    }
}

/// Whether an address is one of `::/96`, which once stood for IPv4; systems disagree what it means.
fn is_ipv4_compatible(address: Ipv6Addr) -> bool {
    let special = address.is_unspecified() || address.is_loopback();
    address.segments()[..6] == [0; 6] && !special
}

/// The address of a socket as the system tells it.
///
/// # Errors
/// [`ErrorCode::Unknown`] if it is none of IP.
pub(super) fn from_system(address: SocketAddrAny) -> Result<SocketAddr, ErrorCode> {
    SocketAddr::try_from(address).map_err(|_| ErrorCode::Unknown)
}

impl From<IpAddressFamily> for Family {
    fn from(family: IpAddressFamily) -> Family {
        match family {
            IpAddressFamily::Ipv4 => Family::V4,
            IpAddressFamily::Ipv6 => Family::V6,
        }
    }
}

impl From<Family> for IpAddressFamily {
    fn from(family: Family) -> IpAddressFamily {
        match family {
            Family::V4 => IpAddressFamily::Ipv4,
            Family::V6 => IpAddressFamily::Ipv6,
        }
    }
}

impl From<IpSocketAddress> for SocketAddr {
    fn from(address: IpSocketAddress) -> SocketAddr {
        match address {
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address }) => {
                let ip = Ipv4Addr::from(<[u8; 4]>::from(address));
                SocketAddrV4::new(ip, port).into()
            }
            IpSocketAddress::Ipv6(address) => {
                let ip = Ipv6Addr::from(<[u16; 8]>::from(address.address));
                let (flow_info, scope_id) = (address.flow_info, address.scope_id);
                SocketAddrV6::new(ip, address.port, flow_info, scope_id).into()
            }
        }
    }
}

impl From<SocketAddr> for IpSocketAddress {
    fn from(address: SocketAddr) -> IpSocketAddress {
        match address {
            SocketAddr::V4(address) => IpSocketAddress::Ipv4(Ipv4SocketAddress {
                port: address.port(),
                address: address.ip().octets().into(),
            }),
            SocketAddr::V6(address) => IpSocketAddress::Ipv6(Ipv6SocketAddress {
                port: address.port(),
                flow_info: address.flowinfo(),
                address: address.ip().segments().into(),
                scope_id: address.scope_id(),
            }),
        }
    }
}

impl From<IpAddr> for IpAddress {
    fn from(address: IpAddr) -> IpAddress {
        match address {
            IpAddr::V4(address) => IpAddress::Ipv4(address.octets().into()),
            IpAddr::V6(address) => IpAddress::Ipv6(address.segments().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_remote(family: Family, address: &str) -> bool {
        family.check_remote(address.parse().unwrap()).is_ok()
    }

    #[test]
    fn a_socket_takes_addresses_of_its_family_only() {
        assert!(is_remote(Family::V4, "127.0.0.1:80"));
        assert!(!is_remote(Family::V4, "[::1]:80"));
        assert!(is_remote(Family::V6, "[::1]:80"));
        assert!(!is_remote(Family::V6, "127.0.0.1:80"));
        assert!(!is_remote(Family::V6, "[::ffff:127.0.0.1]:80"));
        assert!(!is_remote(Family::V6, "[::127.0.0.1]:80"));
    }

    #[test]
    fn the_other_end_is_a_host_and_a_port() {
        assert!(!is_remote(Family::V4, "0.0.0.0:80"));
        assert!(!is_remote(Family::V4, "127.0.0.1:0"));
        assert!(!is_remote(Family::V6, "[::]:80"));
        assert!(Family::V4.check_local("0.0.0.0:0".parse().unwrap()).is_ok());
        assert!(Family::V6.check_local("[::]:0".parse().unwrap()).is_ok());
    }

    #[test]
    fn groups_are_no_hosts() {
        let is_unicast = |address: &str| check_unicast(address.parse().unwrap()).is_ok();
        assert!(is_unicast("127.0.0.1:1"));
        assert!(!is_unicast("224.0.0.1:1"));
        assert!(!is_unicast("255.255.255.255:1"));
        assert!(!is_unicast("[ff02::1]:1"));
    }

    #[test]
    fn addresses_survive_the_way_to_a_guest_and_back() {
        for address in ["1.2.3.4:5", "[1:2:3:4:5:6:7:8]:9", "[fe80::1%3]:65535"] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(SocketAddr::from(IpSocketAddress::from(address)), address);
        }
        let address = SocketAddr::from(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 1, 2, 3));
        assert_eq!(SocketAddr::from(IpSocketAddress::from(address)), address);
    }
}
