//! What guests call, without guests: the traits of the interfaces, on a context.

mod limits;
mod names;
pub(crate) mod policy;
mod tcp;
mod tcp_streams;
mod udp;

use std::net::SocketAddr;
use std::time::Duration;

use cwasm::Resource;

use super::{Network, SocketError};
use crate::bindings::wasi::io::poll::HostPollable as _;
use crate::bindings::wasi::sockets::instance_network::Host as _;
use crate::bindings::wasi::sockets::network::{ErrorCode, IpSocketAddress};
use crate::ctx::{WasiCtx, WasiCtxBuilder};
use crate::io::{Pollable, Subscribe};

/// Loopback addresses and a port that the system chooses.
const ANY_PORT: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

/// A guest that may use all of the network, and handles of it.
fn guest() -> (WasiCtx, Resource<Network>) {
    guest_with(WasiCtxBuilder::new().inherit_network())
}

fn guest_with(builder: WasiCtxBuilder) -> (WasiCtx, Resource<Network>) {
    let mut wasi = builder.build();
    wasi.set_deadline(Some(Duration::from_secs(20)));
    let network = wasi.instance_network().unwrap();
    (wasi, network)
}

/// The same handle, for another call.
fn again<T: 'static>(resource: &Resource<T>) -> Resource<T> {
    Resource::new_borrow(resource.rep())
}

fn address(text: &str) -> IpSocketAddress {
    text.parse::<SocketAddr>().unwrap().into()
}

/// The code that a guest is told.
fn code<T>(result: Result<T, SocketError>) -> Option<ErrorCode> {
    match result {
        Ok(_) => None,
        Err(SocketError::Code(code)) => Some(code),
        Err(SocketError::Trap(error)) => panic!("{error:?}"),
    }
}

/// Waits until something is ready.
fn block<T: Subscribe>(wasi: &mut WasiCtx, value: &Resource<T>) {
    let pollable: Resource<Pollable> = wasi.subscribe_to(value).unwrap();
    wasi.block(again(&pollable)).unwrap();
    wasi.drop(pollable).unwrap();
}
