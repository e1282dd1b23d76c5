//! Looking up names (`wasi:sockets/ip-name-lookup`).

use std::io;
use std::net::{IpAddr, Ipv6Addr, ToSocketAddrs as _};
use std::vec;

use cwasm::{Resource, Result};
use rustix::io::Errno;

use super::NetworkPolicy;
use super::error::{SocketError, code_of};
use super::name::to_ascii;
use super::network::Network;
use crate::bindings::wasi::sockets::ip_name_lookup;
use crate::bindings::wasi::sockets::network::{ErrorCode, IpAddress};
use crate::ctx::WasiCtx;
use crate::io::{Interest, Pollable, Subscribe};

/// The addresses of a name, or why there are none, which the guest is told once.
#[derive(Debug)]
pub struct ResolvedAddresses(Result<vec::IntoIter<IpAddr>, ErrorCode>);

impl ResolvedAddresses {
    fn next(&mut self) -> Result<Option<IpAddr>, ErrorCode> {
        match &mut self.0 {
            Ok(addresses) => Ok(addresses.next()),
            Err(code) => {
                let code = *code;
                self.0 = Ok(Vec::new().into_iter());
                Err(code)
            }
        }
    }
}

/// All is known when a stream is made.
impl Subscribe for ResolvedAddresses {
    fn interest(&self) -> Interest<'_> {
        Interest::Ready
    }
}

/// What a guest wants the addresses of.
#[derive(Debug)]
pub(crate) enum Name {
    /// An address that is written in place of a name.
    Address(IpAddr),
    /// In ASCII.
    Host(String),
}

impl Name {
    /// A name, if it can be one and names may be looked up.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`], [`ErrorCode::AccessDenied`].
    pub(crate) fn new(name: &str, policy: &NetworkPolicy) -> Result<Name, ErrorCode> {
        let name = match literal(name) {
            Some(address) => Name::Address(address.to_canonical()),
            None => Name::Host(to_ascii(name).ok_or(ErrorCode::InvalidArgument)?),
        };
        match policy.name_lookup {
            true => Ok(name),
            false => Err(ErrorCode::AccessDenied),
        }
    }

    /// The addresses, one at least. The first is the best. Asks the system, which may take long.
    pub(crate) fn look_up(&self) -> Result<Vec<IpAddr>, ErrorCode> {
        let name = match self {
            Name::Address(address) => return Ok(vec![*address]),
            Name::Host(name) => name,
        };
        let found = (name.as_str(), 0).to_socket_addrs();
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found.map_err(|error| failure(&error))? {
            let address = address.ip().to_canonical();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        match addresses.is_empty() {
            true => Err(ErrorCode::NameUnresolvable),
            false => Ok(addresses),
        }
    }
}

/// An address; one of IPv6 may be in brackets, as in URLs.
fn literal(name: &str) -> Option<IpAddr> {
    let in_brackets = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    match in_brackets {
        Some(name) => name.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => name.parse().ok(),
    }
}

/// Why the system has found nothing: the library tells it in words only, those of glibc and musl.
fn failure(error: &io::Error) -> ErrorCode {
    if let Some(error) = Errno::from_io_error(error) {
        return match code_of(error) {
            ErrorCode::Unknown => ErrorCode::TemporaryResolverFailure,
            code => code,
        };
    }
    let text = error.to_string();
    let says = |words: &[&str]| words.iter().any(|words| text.contains(words));
    if says(&["Temporary failure", "Try again"]) {
        ErrorCode::TemporaryResolverFailure
    } else if says(&["Non-recoverable", "Unrecoverable"]) {
        ErrorCode::PermanentResolverFailure
    } else if says(&["Memory allocation", "Out of memory"]) {
        ErrorCode::OutOfMemory
    } else {
        ErrorCode::NameUnresolvable
    }
}

impl ip_name_lookup::Host for WasiCtx {
    fn convert_error_code(&mut self, error: SocketError) -> Result<ErrorCode> {
        error.code()
    }

    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Result<Resource<ResolvedAddresses>, SocketError> {
        self.table.get(&network)?;
        let name = Name::new(&name, &self.network).map_err(|code| match code {
            // To the guest the network has no names.
            ErrorCode::AccessDenied => ErrorCode::PermanentResolverFailure,
            code => code,
        })?;
        let addresses = name.look_up().map(Vec::into_iter);
        Ok(self.table.push(ResolvedAddresses(addresses))?)
    }
}

impl ip_name_lookup::HostResolveAddressStream for WasiCtx {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolvedAddresses>,
    ) -> Result<Option<IpAddress>, SocketError> {
        let address = self.table.get_mut(&stream)?.next()?;
        Ok(address.map(Into::into))
    }

    fn subscribe(&mut self, stream: Resource<ResolvedAddresses>) -> Result<Resource<Pollable>> {
        self.subscribe_to(&stream)
    }

    fn drop(&mut self, stream: Resource<ResolvedAddresses>) -> Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_names_of_themselves() {
        let address = |name| literal(name).map(|address| address.to_string());
        assert_eq!(address("127.0.0.1").as_deref(), Some("127.0.0.1"));
        assert_eq!(address("::1").as_deref(), Some("::1"));
        assert_eq!(address("[::1]").as_deref(), Some("::1"));
        assert_eq!(address("[127.0.0.1]"), None);
        assert_eq!(address("[::1"), None);
        assert_eq!(address("127.0.0.1:80"), None);
    }

    #[test]
    fn a_failure_is_told_once() {
        let mut addresses = ResolvedAddresses(Err(ErrorCode::NameUnresolvable));
        assert_eq!(addresses.next(), Err(ErrorCode::NameUnresolvable));
        assert_eq!(addresses.next(), Ok(None));
    }

    #[test]
    fn the_words_of_the_library_are_understood() {
        let code = |words| failure(&io::Error::other(words));
        let temporary =
            "failed to lookup address information: Temporary failure in name resolution";
        assert_eq!(code(temporary), ErrorCode::TemporaryResolverFailure);
        assert_eq!(
            code("Name or service not known"),
            ErrorCode::NameUnresolvable
        );
        assert_eq!(failure(&Errno::MFILE.into()), ErrorCode::NewSocketLimit);
    }
}
