//! Addresses of sockets, and their texts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use wasip3::sockets::ip_name_lookup::resolve_addresses;
use wasip3::sockets::types::{
    IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, TcpSocket,
};

/// This machine, and any port that is free.
pub const LOCALHOST: IpSocketAddress = IpSocketAddress::Ipv4(Ipv4SocketAddress {
    port: 0,
    address: (127, 0, 0, 1),
});

/// The form that sockets take.
pub fn socket_address(address: SocketAddr) -> IpSocketAddress {
    let port = address.port();
    match address {
        SocketAddr::V4(address) => {
            let [a, b, c, d] = address.ip().octets();
            IpSocketAddress::Ipv4(Ipv4SocketAddress {
                port,
                address: (a, b, c, d),
            })
        }
        SocketAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h] = address.ip().segments();
            IpSocketAddress::Ipv6(Ipv6SocketAddress {
                port,
                flow_info: address.flowinfo(),
                address: (a, b, c, d, e, f, g, h),
                scope_id: address.scope_id(),
            })
        }
    }
}

/// `HOST:PORT`, as people write it.
pub fn text_of(address: IpSocketAddress) -> String {
    let (ip, port) = match address {
        IpSocketAddress::Ipv4(address) => (ip(IpAddress::Ipv4(address.address)), address.port),
        IpSocketAddress::Ipv6(address) => (ip(IpAddress::Ipv6(address.address)), address.port),
    };
    SocketAddr::new(ip, port).to_string()
}

fn ip(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => Ipv4Addr::new(a, b, c, d).into(),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => Ipv6Addr::new(a, b, c, d, e, f, g, h).into(),
    }
}

/// Connects to `HOST:PORT`: to the first of the host's addresses that takes it.
pub async fn connect(target: &str) -> Result<TcpSocket, String> {
    let found = |error: &dyn std::fmt::Display| format!("{target}: {error}");
    let mut failure = found(&"expected HOST:PORT");
    for address in addresses(target).await? {
        let family = match address {
            SocketAddr::V4(_) => IpAddressFamily::Ipv4,
            SocketAddr::V6(_) => IpAddressFamily::Ipv6,
        };
        let socket = TcpSocket::create(family).map_err(|error| found(&error))?;
        match socket.connect(socket_address(address)).await {
            Ok(()) => return Ok(socket),
            Err(error) => failure = found(&error),
        }
    }
    Err(failure)
}

async fn addresses(target: &str) -> Result<Vec<SocketAddr>, String> {
    // An address needs no look-up, which a host may forbid.
    if let Ok(address) = target.parse() {
        return Ok(vec![address]);
    }
    let parts = target.rsplit_once(':');
    let parts = parts.and_then(|(name, port)| Some((name, port.parse().ok()?)));
    let (name, port) = parts.ok_or_else(|| format!("{target}: expected HOST:PORT"))?;
    let resolved = resolve_addresses(name.to_owned()).await;
    let resolved = resolved.map_err(|error| format!("{name}: {error}"))?;
    let resolved = resolved.into_iter();
    Ok(resolved
        .map(|address| SocketAddr::new(ip(address), port))
        .collect())
}
