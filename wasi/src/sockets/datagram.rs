//! Datagrams of the system's sockets, as both versions of WASI send and receive them.

use std::net::SocketAddr;

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags, bind, connect, connect_unspec, recvfrom, send, sendto};

use super::address::from_system;
use super::error::{SocketError, bind_code, code_of, connect_code};
use super::socket::Socket;
use super::{NetworkPolicy, SocketUse};
use crate::bindings::wasi::sockets::network::ErrorCode;

/// No datagram is larger.
pub(crate) const MAX_SIZE: usize = 64 << 10;

impl Socket {
    /// Binds it: where.
    pub(crate) fn bind_udp(
        &self,
        address: SocketAddr,
        policy: &NetworkPolicy,
    ) -> Result<SocketAddr, SocketError> {
        self.family.check_local(address)?;
        policy.check(address, SocketUse::UdpBind)?;
        bind(self, &address).map_err(bind_code)?;
        self.local_address()
    }

    /// Checks an address that is to be the only peer.
    pub(crate) fn check_peer(
        &self,
        remote: SocketAddr,
        policy: &NetworkPolicy,
    ) -> Result<(), SocketError> {
        self.family.check_remote(remote)?;
        Ok(policy.check(remote, SocketUse::UdpConnect)?)
    }

    /// Makes an address the only peer, which [`check_peer`](Socket::check_peer) has allowed. There
    /// is none yet.
    pub(crate) fn connect_udp(&self, remote: SocketAddr) -> Result<(), SocketError> {
        Ok(connect(self, &remote).map_err(|error| match error {
            Errno::CONNRESET => ErrorCode::RemoteUnreachable,
            error => connect_code(error),
        })?)
    }

    /// Makes datagrams of all peers come again, to the address that the socket was bound to.
    ///
    /// # Errors
    /// If another socket has that address now: the socket is bound no longer.
    pub(crate) fn disconnect_udp(&self, local: SocketAddr) -> Result<(), SocketError> {
        connect_unspec(self)?;
        // The system has given up a port that it chose itself.
        if self.local_address()?.port() == 0 {
            bind(self, &local).map_err(bind_code)?;
        }
        Ok(())
    }

    /// Receives a datagram of the peer, or of any if there is none, with an empty buffer: its
    /// sender; `None` if no datagram is there.
    pub(crate) fn receive_datagram(
        &self,
        buffer: &mut Vec<u8>,
        remote: Option<SocketAddr>,
    ) -> Result<Option<SocketAddr>, SocketError> {
        loop {
            buffer.clear();
            let receive = || recvfrom(self, spare_capacity(buffer), RecvFlags::empty());
            let sender = match retry_on_intr(receive) {
                Ok((_, _, sender)) => sender.ok_or(ErrorCode::Unknown)?,
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(datagram_code(error).into()),
            };
            let sender = from_system(sender)?;
            match remote {
                None => return Ok(Some(sender)),
                // Others' may have come before this was the only peer.
                Some(remote) if (remote.ip(), remote.port()) != (sender.ip(), sender.port()) => {}
                Some(remote) => return Ok(Some(remote)),
            }
        }
    }

    /// Checks where a datagram goes: `to`, or the peer, which must be the same if both are there.
    ///
    /// # Errors
    /// - [`ErrorCode::InvalidArgument`] if it can go nowhere.
    /// - [`ErrorCode::AccessDenied`]: a peer was checked when it became that.
    pub(crate) fn check_destination(
        &self,
        to: Option<SocketAddr>,
        remote: Option<SocketAddr>,
        policy: &NetworkPolicy,
    ) -> Result<(), SocketError> {
        match (remote, to) {
            (None, Some(address)) => {
                self.family.check_remote(address)?;
                Ok(policy.check(address, SocketUse::UdpOutgoingDatagram)?)
            }
            (Some(remote), address) if address.is_none_or(|address| address == remote) => Ok(()),
            _ => Err(ErrorCode::InvalidArgument.into()),
        }
    }

    /// Sends a datagram to a destination that was checked.
    ///
    /// # Errors
    /// [`ErrorCode::WouldBlock`] if there is no room; the system's.
    pub(crate) fn send_datagram(
        &self,
        data: &[u8],
        to: Option<SocketAddr>,
        remote: Option<SocketAddr>,
    ) -> Result<(), SocketError> {
        let flags = SendFlags::NOSIGNAL;
        let result = match to {
            Some(to) if remote.is_none() => retry_on_intr(|| sendto(self, data, flags, &to)),
            _ => retry_on_intr(|| send(self, data, flags)),
        };
        match result {
            Ok(_) => Ok(()),
            Err(error) => Err(datagram_code(error).into()),
        }
    }
}

/// The code of an error of sending or receiving.
fn datagram_code(error: Errno) -> ErrorCode {
    match error {
        Errno::CONNRESET => ErrorCode::RemoteUnreachable,
        Errno::AFNOSUPPORT => ErrorCode::InvalidArgument,
        // No port was free.
        Errno::ADDRNOTAVAIL => ErrorCode::AddressInUse,
        error => code_of(error),
    }
}
