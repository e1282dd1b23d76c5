//! Components of WASI 0.2 that check themselves: what each is given is known by its name.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cwasm_wasi::{MonotonicClock, SocketUse, WallClock, WasiCtxBuilder};

use super::case::{Command, How};
use super::folder::Folder;

/// What a program may do with the network.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Network {
    /// Nothing.
    #[default]
    None,
    /// All addresses, and names.
    All,
    /// Addresses of this machine, and names.
    Loopback,
    /// The same without UDP.
    NoUdp,
    /// The same without names.
    NoNames,
}

impl Network {
    pub(super) fn allow(self, builder: WasiCtxBuilder) -> WasiCtxBuilder {
        match self {
            Network::None => builder,
            // On some machines a gateway answers for addresses that nobody has. Here they answer
            // late, as `http_outbound_request_timeout` expects.
            Network::All => builder
                .allow_ip_name_lookup(true)
                .socket_addr_check(|address, _| {
                    if !address.ip().is_loopback() {
                        std::thread::sleep(LATE);
                    }
                    true
                }),
            Network::Loopback | Network::NoUdp | Network::NoNames => builder
                .allow_tcp(true)
                .allow_udp(!matches!(self, Network::NoUdp))
                .allow_ip_name_lookup(!matches!(self, Network::NoNames))
                // Sockets are bound to all addresses, and to some that the machine does not have.
                .socket_addr_check(|address, usage| {
                    let is_bind = matches!(usage, SocketUse::TcpBind | SocketUse::UdpBind);
                    is_bind || address.ip().is_loopback() || address.ip().is_unspecified()
                }),
        }
    }
}

/// Longer than a program waits for an answer.
const LATE: Duration = Duration::from_secs(1);

const NO_NEWS: &str = "'Twas brillig, and the slithy toves.\n";

const NEWS: &str = "'Twas brillig, and the slithy toves.
Did gyre and gimble in the wabe;
All mimsy were the borogoves,
And the mome raths outgrabe.
";

const UNICODE: &str = "مرحبا بكم\n";

/// How a component is run.
///
/// # Errors
/// If its name is not known.
pub(super) fn how(file: &Path) -> Result<How, String> {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let (family, _) = name.split_once('_').unwrap_or((&name, ""));
    let command = match family {
        "preview1" => preview1(&name),
        "cli" => cli(&name),
        "preview2" => Command {
            args: words(&[&name]),
            network: Network::Loopback,
            ..Command::default()
        },
        "http" => Command {
            args: words(&[&name]),
            network: Network::All,
            servers: &["HTTP_SERVER"],
            ..Command::default()
        },
        "api" if name == "api_time" => Command {
            clocks: true,
            ..Command::default()
        },
        "api" if name == "api_reactor" => return Ok(How::Reactor),
        "api" => return Ok(How::Proxy),
        "proxy" => Command {
            args: words(&[&name]),
            network: Network::Loopback,
            servers: &[
                "HANDLER_API_PROXY_STREAMING1",
                "HANDLER_API_PROXY_STREAMING2",
            ],
            ..Command::default()
        },
        "piped" => return Ok(How::Piped),
        _ => return Err(format!("no suite has a component `{name}`")),
    };
    Ok(How::Command(Box::new(command)))
}

fn preview1(name: &str) -> Command {
    Command {
        args: words(&[name, "/"]),
        env: pairs(&[("ERRNO_MODE_UNIX", "1"), ("FS_TIME_PRECISION", "2000")]),
        folder: Some(Folder::Files(Vec::new())),
        stdout: (name == "preview1_unicode_output").then(|| UNICODE.into()),
        ..Command::default()
    }
}

fn cli(name: &str) -> Command {
    let arguments = ["hello", "this", "", "is an argument", "with 🚩 emoji"];
    let is_append = name == "cli_file_append";
    let bar = match is_append {
        true => NO_NEWS,
        false => "And stood awhile in thought",
    };
    let files = vec![
        ("foo.txt", "foo"),
        ("bar.txt", bar),
        ("baz.txt", "baz"),
        ("sub/wow.txt", "wow"),
        ("sub/yay.txt", "yay"),
    ];
    Command {
        args: words(&[&[name], &arguments[..]].concat()),
        env: pairs(&[("callooh", "callay"), ("frabjous", "day")]),
        folder: Some(Folder::Files(files)),
        stdin: match name {
            "cli_stdin" => b"So rested he by the Tumtum tree".to_vec(),
            _ => Vec::new(),
        },
        network: match name {
            "cli_no_udp" => Network::NoUdp,
            "cli_no_ip_name_lookup" => Network::NoNames,
            _ => Network::Loopback,
        },
        exit_code: u8::from(name == "cli_exit_failure"),
        file: is_append.then_some(("bar.txt", NEWS)),
        ..Command::default()
    }
}

pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| word.to_string()).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

/// The clocks that `api_time` expects.
pub(super) fn replace_clocks(builder: WasiCtxBuilder) -> WasiCtxBuilder {
    builder
        .monotonic_clock(Steps(AtomicU64::new(0)))
        .wall_clock(Standing)
}

/// Each reading is 42 seconds after the one before.
struct Steps(AtomicU64);

impl MonotonicClock for Steps {
    fn resolution(&self) -> u64 {
        1_000_000_000
    }

    fn now(&self) -> u64 {
        self.0.fetch_add(42 * 1_000_000_000, Ordering::Relaxed)
    }
}

struct Standing;

impl WallClock for Standing {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::new(1_431_648_000, 100)
    }
}
