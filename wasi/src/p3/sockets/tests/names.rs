//! Names that guests look up.

use super::{code, run, run_with};
use crate::bindings::wasi::sockets::network::{ErrorCode as Code, IpAddress};
use crate::ctx::{WasiCtx, WasiCtxBuilder};
use crate::p3::bindings::wasi::sockets::ip_name_lookup::{ErrorCode, Host};

#[test]
fn names_are_found() {
    let is_loopback = |address: &IpAddress| match address {
        IpAddress::Ipv4(address) => address.0 == 127,
        IpAddress::Ipv6(address) => *address == (0, 0, 0, 0, 0, 0, 0, 1),
    };
    run(async |guest| {
        for name in ["localhost", "127.0.0.1", "::1", "[::1]", "::ffff:127.0.0.1"] {
            let found = <WasiCtx as Host>::resolve_addresses(guest, name.to_owned()).await;
            let addresses = found.unwrap();
            assert!(!addresses.is_empty());
            assert!(addresses.iter().all(is_loopback), "{name}: {addresses:?}");
        }
        for name in ["", " ", "a.b<&>", "127.0.0.1:80", "[::]:80", "http://a/"] {
            let found = <WasiCtx as Host>::resolve_addresses(guest, name.to_owned()).await;
            assert_eq!(code(found), Some(Code::InvalidArgument), "{name}");
        }
    });
}

#[test]
fn the_host_may_keep_names_to_itself() {
    let inherited = || WasiCtxBuilder::new().inherit_network();
    for (builder, expected) in [
        (WasiCtxBuilder::new(), ErrorCode::AccessDenied),
        (
            inherited().allow_ip_name_lookup(false),
            ErrorCode::AccessDenied,
        ),
        (
            inherited().max_open_files(0),
            ErrorCode::TemporaryResolverFailure,
        ),
    ] {
        run_with(builder, async |guest| {
            for name in ["localhost", "127.0.0.1"] {
                let found = <WasiCtx as Host>::resolve_addresses(guest, name.to_owned()).await;
                let error = found.unwrap_err();
                let error = guest.with(|wasi| Host::convert_error_code(wasi, error));
                let (error, expected) = (format!("{:?}", error.unwrap()), format!("{expected:?}"));
                assert_eq!(error, expected, "{name}");
            }
        });
    }
}
