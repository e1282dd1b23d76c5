//! A program on WASI 0.2 itself: its first argument says what it does.

mod files;
mod greed;
mod requests;
mod tcp;
mod udp;

use std::num::ParseIntError;

use wasip2::cli::environment::get_arguments;
use wasip2::exports::cli::run::Guest;
use wasip2::{clocks, filesystem, sockets};

use components::{Failed, note, print};

struct Client;

wasip2::cli::command::export!(Client);

impl Guest for Client {
    fn run() -> Result<(), ()> {
        let args = get_arguments();
        let args: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
        run(&args).map_err(|Error(error)| note(&format!("client: {error}")))
    }
}

fn run(args: &[&str]) -> Result<(), Error> {
    match *args {
        ["get", url] => requests::get(url, false, None),
        ["get", "-i", url] => requests::get(url, true, None),
        ["get-with-timeout", connect, first_byte, between_bytes, url] => {
            let millis = [connect.parse()?, first_byte.parse()?, between_bytes.parse()?];
            requests::get(url, false, Some(millis))
        }
        ["post", url, file] => requests::post(url, file),
        ["open-many", folder, count] => files::open_many(folder, count.parse()?),
        ["touch", path] => files::touch(path),
        ["tcp-echo-server", address, count] => tcp::echo(address.parse()?, count.parse()?),
        ["tcp-client", address] => tcp::client(address.parse()?),
        ["udp-echo", address, count] => udp::echo(address.parse()?, count.parse()?),
        ["udp-client", address, text] => udp::client(address.parse()?, text),
        ["lookup", name] => tcp::lookup(name),
        ["many", what, count] => greed::many(what, count.parse()?),
        ["random", bytes] => greed::random(bytes.parse()?),
        ["write", bytes] => greed::write(bytes.parse()?),
        ["write-zeroes", bytes] => greed::write_zeroes(bytes.parse()?),
        ["poll", count] => greed::poll_many(count.parse()?),
        ["sleep-forever"] => {
            print("sleeping\n")?;
            loop {
                clocks::monotonic_clock::subscribe_duration(u64::MAX).block();
            }
        }
        _ => Err(Error(format!("what is {args:?}?"))),
    }
}

/// Why a command failed.
struct Error(String);

impl From<String> for Error {
    fn from(error: String) -> Error {
        Error(error)
    }
}

impl From<Failed> for Error {
    fn from(error: Failed) -> Error {
        Error(error.http().unwrap_or_else(|| error.to_string()))
    }
}

impl From<ParseIntError> for Error {
    fn from(error: ParseIntError) -> Error {
        Error(error.to_string())
    }
}

impl From<std::net::AddrParseError> for Error {
    fn from(error: std::net::AddrParseError) -> Error {
        Error(error.to_string())
    }
}

impl From<filesystem::types::ErrorCode> for Error {
    fn from(error: filesystem::types::ErrorCode) -> Error {
        Error(error.name().to_owned())
    }
}

impl From<sockets::network::ErrorCode> for Error {
    fn from(error: sockets::network::ErrorCode) -> Error {
        Error(error.name().to_owned())
    }
}
