//! What `cwasm run` and `cwasm serve` give to a guest: environment, folders, network.

use std::env;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use cwasm::{Error, Result};
use cwasm_wasi::{DirPerms, FilePerms, SocketUse, WasiCtxBuilder};

// Grants to a guest. (Documentation would become that of the command.)
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Grants {
    /// Open a folder for the program, which finds it at GUEST, by default at the same path; with
    /// `:ro`, for reading only.
    #[arg(long = "dir", value_name = "HOST[::GUEST][:ro]", value_parser = folder)]
    dirs: Vec<Folder>,
    /// Set a variable of the program's environment; without a value, to that of the command's.
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Let the program use the network: connect, listen and send to this address. `*` stands for
    /// all ports; `all` for all addresses.
    #[arg(long = "net", value_name = "HOST:PORT|all", value_parser = network)]
    net: Vec<Network>,
}

/// A folder of the host, as a program finds it.
#[derive(Clone, Debug, PartialEq)]
struct Folder {
    host: PathBuf,
    guest: String,
    is_read_only: bool,
}

/// Addresses that a program may use.
#[derive(Clone, Debug, PartialEq)]
enum Network {
    All,
    /// These addresses; all of their ports, if there is none.
    Some(Vec<IpAddr>, Option<u16>),
}

impl Grants {
    /// A builder of WASI's state with what is granted.
    ///
    /// # Errors
    /// If a folder cannot be opened.
    pub(crate) fn builder(&self) -> Result<WasiCtxBuilder> {
        let mut builder = WasiCtxBuilder::new().envs(self.env.iter().cloned());
        for folder in &self.dirs {
            let (dirs, files) = match folder.is_read_only {
                true => (DirPerms::READ, FilePerms::READ),
                false => (DirPerms::all(), FilePerms::all()),
            };
            let opened = builder.preopened_dir(&folder.host, &folder.guest, dirs, files);
            builder = opened.map_err(|error| {
                let folder = folder.host.display();
                Error::from(error).context(format!("cannot open the folder `{folder}` (--dir)"))
            })?;
        }
        if !self.net.is_empty() {
            let net = self.net.clone();
            builder =
                builder
                    .allow_ip_name_lookup(true)
                    .socket_addr_check(move |address, usage| {
                        net.iter().any(|allowed| allowed.allows(address, usage))
                    });
        }
        Ok(builder)
    }
}

impl Network {
    fn allows(&self, address: SocketAddr, usage: SocketUse) -> bool {
        let Network::Some(hosts, port) = self else {
            return true;
        };
        // A client's own end: any address, and a port that the system chooses.
        let is_own_end = usage == SocketUse::UdpBind && address.port() == 0;
        let is_port = port.is_none_or(|port| port == address.port());
        is_own_end || is_port && hosts.contains(&address.ip())
    }
}

fn folder(text: &str) -> Result<Folder, String> {
    let (text, is_read_only) = match text.strip_suffix(":ro") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let (host, guest) = text.split_once("::").unwrap_or((text, text));
    if host.is_empty() || guest.is_empty() {
        return Err("expected a folder, and `::` before another name for it".to_owned());
    }
    Ok(Folder {
        host: host.into(),
        guest: guest.to_owned(),
        is_read_only,
    })
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, value.to_owned()),
        None => {
            let value = env::var_os(text).ok_or("the environment has no such variable")?;
            let value = value.into_string();
            (text, value.map_err(|_| "its value is not UTF-8")?)
        }
    };
    match name.is_empty() {
        true => Err("expected a name before `=`".to_owned()),
        false => Ok((name.to_owned(), value)),
    }
}

fn network(text: &str) -> Result<Network, String> {
    if text == "all" {
        return Ok(Network::All);
    }
    let expected = "expected `HOST:PORT`, `HOST:*` or `all`";
    let (host, port) = text.rsplit_once(':').ok_or(expected)?;
    let port = match port {
        "*" => None,
        port => Some(port.parse().map_err(|_| expected)?),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = (host, 0).to_socket_addrs();
    let found = found.map_err(|error| format!("cannot find the host `{host}`: {error}"))?;
    Ok(Network::Some(found.map(|found| found.ip()).collect(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_have_names_and_modes() {
        let found = |text| {
            let folder = folder(text).unwrap();
            let host = folder.host.to_str().unwrap().to_owned();
            (host, folder.guest, folder.is_read_only)
        };
        let expected = |host: &str, guest: &str, ro| (host.to_owned(), guest.to_owned(), ro);
        assert_eq!(found("a"), expected("a", "a", false));
        assert_eq!(found("a:ro"), expected("a", "a", true));
        assert_eq!(found("a/b::/"), expected("a/b", "/", false));
        assert_eq!(found("a::/c:ro"), expected("a", "/c", true));
        for text in ["", ":ro", "::", "a::", "::a"] {
            assert!(folder(text).is_err(), "{text}");
        }
    }

    #[test]
    fn variables_have_names() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(variable("a=b=c"), pair("a", "b=c"));
        assert_eq!(variable("a="), pair("a", ""));
        assert!(variable("=b").is_err());
        assert!(variable("CWASM_NO_SUCH_VARIABLE").is_err());
    }

    #[test]
    fn networks_are_addresses() {
        let allows = |net: &str, address: &str| {
            let address = address.parse().unwrap();
            network(net).unwrap().allows(address, SocketUse::TcpConnect)
        };
        for (net, address, is_allowed) in [
            ("all", "10.0.0.1:1", true),
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:*", "127.0.0.1:9", true),
            ("[::1]:80", "[::1]:80", true),
            ("[::1]:80", "127.0.0.1:80", false),
        ] {
            assert_eq!(allows(net, address), is_allowed, "{net} {address}");
        }
        for net in [
            "",
            "80",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:x",
            "127.0.0.1:65536",
        ] {
            assert!(network(net).is_err(), "{net}");
        }
    }
}
