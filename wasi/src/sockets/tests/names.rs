//! Names that guests look up.

use super::{again, block, code, guest, guest_with};
use crate::bindings::wasi::sockets::ip_name_lookup::{Host as _, HostResolveAddressStream};
use crate::bindings::wasi::sockets::network::{ErrorCode, IpAddress};
use crate::ctx::WasiCtxBuilder;
use crate::sockets::SocketError;

/// All addresses of a name.
fn resolve(name: &str) -> Result<Vec<IpAddress>, SocketError> {
    let (mut wasi, network) = guest();
    let stream = wasi.resolve_addresses(network, name.to_owned())?;
    block(&mut wasi, &stream);
    let next = || HostResolveAddressStream::resolve_next_address(&mut wasi, again(&stream));
    let addresses = std::iter::from_fn({
        let mut next = next;
        move || next().transpose()
    });
    addresses.collect()
}

#[test]
fn names_are_found() {
    let is_loopback = |address: &IpAddress| match address {
        IpAddress::Ipv4(address) => address.0 == 127,
        IpAddress::Ipv6(address) => *address == (0, 0, 0, 0, 0, 0, 0, 1),
    };
    for name in ["localhost", "127.0.0.1", "::1", "[::1]", "::ffff:127.0.0.1"] {
        let addresses = resolve(name).unwrap();
        assert!(!addresses.is_empty());
        assert!(addresses.iter().all(is_loopback), "{name}: {addresses:?}");
    }
}

#[test]
fn what_is_no_name_is_refused_at_once() {
    let (mut wasi, network) = guest();
    for name in ["", " ", "a.b<&>", "127.0.0.1:80", "[::]:80", "http://a/"] {
        let result = wasi.resolve_addresses(again(&network), name.to_owned());
        assert_eq!(code(result), Some(ErrorCode::InvalidArgument), "{name}");
    }
}

#[test]
fn the_host_may_keep_names_to_itself() {
    for builder in [
        WasiCtxBuilder::new(),
        WasiCtxBuilder::new()
            .inherit_network()
            .allow_ip_name_lookup(false),
    ] {
        let (mut wasi, network) = guest_with(builder);
        let result = wasi.resolve_addresses(network, "localhost".to_owned());
        assert_eq!(code(result), Some(ErrorCode::PermanentResolverFailure));
    }
}
