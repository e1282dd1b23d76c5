//! Sockets that a guest may have open.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::{ANY_PORT, accept, address, again, both, code, drop_tcp, listen, pause, run_with, tcp};
use crate::bindings::wasi::sockets::network::{ErrorCode as Code, IpAddressFamily};
use crate::ctx::WasiCtxBuilder;
use crate::p3::bindings::wasi::sockets::types::{HostTcpSocket, HostUdpSocket};
use crate::p3::bytes::unless;

fn limited(max: usize) -> WasiCtxBuilder {
    WasiCtxBuilder::new().inherit_network().max_open_files(max)
}

#[test]
fn sockets_are_counted() {
    run_with(limited(2), async |guest| {
        let full = Some(Code::NewSocketLimit);
        let first = tcp(guest, address(ANY_PORT[0]));
        let udp = || guest.with(|wasi| HostUdpSocket::create(wasi, IpAddressFamily::Ipv4));
        let second = udp().unwrap();
        assert_eq!(code(udp()), full);
        let third = guest.with(|wasi| HostTcpSocket::create(wasi, IpAddressFamily::Ipv6));
        assert_eq!(code(third), full);
        drop_tcp(guest, first);
        assert_eq!(code(udp()), None);
        guest
            .with(|wasi| HostUdpSocket::drop(wasi, second))
            .unwrap();
    });
}

/// The time that this thread has computed.
fn computed() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn a_connection_waits_until_there_is_room_for_it() {
    run_with(limited(2), async |guest| {
        let mut listener = listen(guest, ANY_PORT[0]);
        let other = tcp(guest, address(ANY_PORT[0]));
        let _client = TcpStream::connect(SocketAddr::from(listener.address)).unwrap();
        let (began, before) = (Instant::now(), computed());
        for _ in 0..3 {
            assert!(
                unless(accept(guest, &mut listener), pause())
                    .await
                    .is_none()
            );
        }
        assert!(computed() - before < began.elapsed() / 4, "it spins");
        let drops = async {
            pause().await;
            drop_tcp(guest, other);
        };
        let (server, ()) = both(accept(guest, &mut listener), drops).await;
        let remote = guest.with(|wasi| HostTcpSocket::get_remote_address(wasi, again(&server)));
        remote.unwrap();
    });
}

#[test]
fn a_connection_waits_until_the_guest_has_a_handle_for_it() {
    let builder = WasiCtxBuilder::new().inherit_network().max_resources(2);
    run_with(builder, async |guest| {
        let mut listener = listen(guest, ANY_PORT[0]);
        let other = tcp(guest, address(ANY_PORT[0]));
        let _client = TcpStream::connect(SocketAddr::from(listener.address)).unwrap();
        assert!(
            unless(accept(guest, &mut listener), pause())
                .await
                .is_none()
        );
        drop_tcp(guest, other);
        accept(guest, &mut listener).await;
    });
}
