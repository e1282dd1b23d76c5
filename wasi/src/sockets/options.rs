//! Options of sockets, TCP and UDP alike. Values that are out of bounds are moved to the nearest.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{Protocol, SocketFlags, SocketType, ipproto, socket_with, sockopt};

use super::address::Family;
use super::error::{SocketError, code_of};
use crate::bindings::wasi::sockets::network::ErrorCode;

/// The largest buffer that is asked for: the system takes twice the size, as an `int`.
const MAX_BUFFER: u64 = i32::MAX as u64 / 2;
/// The most seconds between probes that the system takes (`MAX_TCP_KEEPIDLE`).
const MAX_SECONDS: u64 = 32767;
/// The most probes that the system takes (`MAX_TCP_KEEPCNT`).
const MAX_PROBES: u32 = 127;

const SECOND: u64 = 1_000_000_000;

/// A new socket, which does not wait, and has nothing to do with the other version of IP.
pub(super) fn new_socket(family: Family, kind: SocketType) -> Result<OwnedFd, SocketError> {
    let protocol: Protocol = match kind {
        SocketType::STREAM => ipproto::TCP,
        _ => ipproto::UDP,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family.of_system(), kind, flags, Some(protocol))?;
    if family == Family::V6 {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    Ok(socket)
}

/// The options of a socket.
#[derive(Clone, Copy)]
pub(crate) struct SocketOptions<'a> {
    pub(crate) socket: BorrowedFd<'a>,
    pub(super) family: Family,
}

impl SocketOptions<'_> {
    pub(crate) fn hop_limit(self) -> Result<u8, SocketError> {
        match self.family {
            Family::V4 => {
                u8::try_from(sockopt::ip_ttl(self.socket)?).map_err(|_| ErrorCode::Unknown.into())
            }
            Family::V6 => Ok(sockopt::ipv6_unicast_hops(self.socket)?),
        }
    }

    pub(crate) fn set_hop_limit(self, value: u8) -> Result<(), SocketError> {
        let value = not_zero(value)?;
        match self.family {
            Family::V4 => sockopt::set_ip_ttl(self.socket, value.into())?,
            Family::V6 => sockopt::set_ipv6_unicast_hops(self.socket, Some(value))?,
        }
        Ok(())
    }

    pub(crate) fn receive_buffer_size(self) -> Result<u64, SocketError> {
        Ok(asked_for(sockopt::socket_recv_buffer_size(self.socket)?))
    }

    pub(crate) fn set_receive_buffer_size(self, value: u64) -> Result<(), SocketError> {
        let value = not_zero(value)?.min(MAX_BUFFER) as usize;
        never_fails(sockopt::set_socket_recv_buffer_size(self.socket, value))
    }

    pub(crate) fn send_buffer_size(self) -> Result<u64, SocketError> {
        Ok(asked_for(sockopt::socket_send_buffer_size(self.socket)?))
    }

    pub(crate) fn set_send_buffer_size(self, value: u64) -> Result<(), SocketError> {
        let value = not_zero(value)?.min(MAX_BUFFER) as usize;
        never_fails(sockopt::set_socket_send_buffer_size(self.socket, value))
    }

    pub(crate) fn keep_alive_enabled(self) -> Result<bool, SocketError> {
        Ok(sockopt::socket_keepalive(self.socket)?)
    }

    pub(crate) fn set_keep_alive_enabled(self, value: bool) -> Result<(), SocketError> {
        Ok(sockopt::set_socket_keepalive(self.socket, value)?)
    }

    pub(crate) fn keep_alive_idle_time(self) -> Result<u64, SocketError> {
        Ok(nanoseconds(sockopt::tcp_keepidle(self.socket)?))
    }

    pub(crate) fn set_keep_alive_idle_time(self, value: u64) -> Result<(), SocketError> {
        Ok(sockopt::set_tcp_keepidle(self.socket, seconds(value)?)?)
    }

    pub(crate) fn keep_alive_interval(self) -> Result<u64, SocketError> {
        Ok(nanoseconds(sockopt::tcp_keepintvl(self.socket)?))
    }

    pub(crate) fn set_keep_alive_interval(self, value: u64) -> Result<(), SocketError> {
        Ok(sockopt::set_tcp_keepintvl(self.socket, seconds(value)?)?)
    }

    pub(crate) fn keep_alive_count(self) -> Result<u32, SocketError> {
        Ok(sockopt::tcp_keepcnt(self.socket)?)
    }

    pub(crate) fn set_keep_alive_count(self, value: u32) -> Result<(), SocketError> {
        let value = not_zero(value)?.min(MAX_PROBES);
        Ok(sockopt::set_tcp_keepcnt(self.socket, value)?)
    }
}

/// A value that the guest chose, which may be anything but 0.
pub(crate) fn not_zero<T: Default + PartialEq>(value: T) -> Result<T, ErrorCode> {
    match value == T::default() {
        true => Err(ErrorCode::InvalidArgument),
        false => Ok(value),
    }
}

/// The size of a buffer that was asked for, of the size that the system tells: it doubles it, for
/// what it keeps beside the bytes.
fn asked_for(size: usize) -> u64 {
    size as u64 / 2
}

/// The size of a buffer is a wish.
fn never_fails(result: Result<(), Errno>) -> Result<(), SocketError> {
    match result {
        Ok(()) | Err(Errno::NOBUFS) => Ok(()),
        Err(error) => Err(code_of(error).into()),
    }
}

/// Nanoseconds as whole seconds, which the system counts in: at least one.
fn seconds(nanoseconds: u64) -> Result<Duration, ErrorCode> {
    let seconds = not_zero(nanoseconds)?.div_ceil(SECOND);
    Ok(Duration::from_secs(seconds.min(MAX_SECONDS)))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
