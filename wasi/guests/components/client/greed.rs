//! Taking more than a host should give.

use std::any::Any;

use wasip2::clocks::monotonic_clock::{subscribe_duration, subscribe_instant};
use wasip2::cli::{stderr::get_stderr, stdin::get_stdin, stdout::get_stdout};
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};
use wasip2::http::types::{Fields, OutgoingRequest, OutgoingResponse};
use wasip2::io::poll::poll;
use wasip2::random::random::get_random_bytes;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::IpAddressFamily;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp_create_socket::create_udp_socket;

use components::{note, print};

use crate::Error;

/// Makes so many of something, all of which are held: how many there were before an error, and the
/// error's name. A thousand at a time are said on the standard error, for hosts that trap.
pub fn many(what: &str, count: usize) -> Result<(), Error> {
    let mut make = maker(what)?;
    let mut held = Vec::new();
    for index in 0..count {
        match make() {
            Ok(value) => held.push(value),
            Err(Error(error)) => {
                print(&format!("{index} {what}: {error}\n"))?;
                return Ok(());
            }
        }
        if held.len() % 1000 == 0 {
            note(&format!("{}", held.len()));
        }
    }
    print(&format!("{count} {what}\n"))?;
    Ok(())
}

type Held = Box<dyn Any>;

fn maker(what: &str) -> Result<Box<dyn FnMut() -> Result<Held, Error>>, Error> {
    fn always<T: 'static>(make: impl Fn() -> T + 'static) -> Box<dyn FnMut() -> Result<Held, Error>> {
        Box::new(move || Ok(Box::new(make())))
    }
    fn open(folder: &Descriptor, open_flags: OpenFlags) -> Result<Held, Error> {
        let flags = DescriptorFlags::READ;
        let path = if open_flags == OpenFlags::CREATE { "file" } else { "." };
        Ok(Box::new(folder.open_at(PathFlags::empty(), path, open_flags, flags)?))
    }
    let folder = || get_directories().into_iter().next().map(|(folder, _)| folder);
    let folder = || folder().ok_or_else(|| Error("no folder".to_owned()));
    Ok(match what {
        "input-streams" => always(get_stdin),
        "output-streams" => always(get_stdout),
        "error-streams" => always(get_stderr),
        "pollables" => always(|| subscribe_duration(1)),
        "stdin-pollables" => {
            let stdin = get_stdin();
            always(move || stdin.subscribe())
        }
        "preopens" => always(get_directories),
        "networks" => always(instance_network),
        "files" => {
            let folder = folder()?;
            Box::new(move || open(&folder, OpenFlags::CREATE))
        }
        "folders" => {
            let folder = folder()?;
            Box::new(move || open(&folder, OpenFlags::DIRECTORY))
        }
        "listings" => {
            let folder = folder()?;
            Box::new(move || Ok(Box::new(folder.read_directory()?)))
        }
        "file-streams" => {
            let folder = folder()?;
            let flags = DescriptorFlags::READ;
            let file = folder.open_at(PathFlags::empty(), "file", OpenFlags::CREATE, flags)?;
            Box::new(move || Ok(Box::new(file.read_via_stream(0)?)))
        }
        // The stream outlives the descriptor.
        "closed-file-streams" => {
            let folder = folder()?;
            let flags = DescriptorFlags::READ;
            Box::new(move || {
                let file = folder.open_at(PathFlags::empty(), "file", OpenFlags::CREATE, flags)?;
                Ok(Box::new(file.read_via_stream(0)?))
            })
        }
        "tcp-sockets" => Box::new(|| Ok(Box::new(create_tcp_socket(IpAddressFamily::Ipv4)?))),
        "udp-sockets" => Box::new(|| Ok(Box::new(create_udp_socket(IpAddressFamily::Ipv6)?))),
        "lookups" => {
            let network = instance_network();
            Box::new(move || Ok(Box::new(resolve_addresses(&network, "127.0.0.1")?)))
        }
        "fields" => always(Fields::new),
        "requests" => always(|| OutgoingRequest::new(Fields::new())),
        "responses" => always(|| OutgoingResponse::new(Fields::new())),
        _ => return Err(format!("what is {what}?").into()),
    })
}

/// Asks for so many random bytes at once.
pub fn random(bytes: u64) -> Result<(), Error> {
    let bytes = get_random_bytes(bytes);
    print(&format!("{} bytes\n", bytes.len()))?;
    Ok(())
}

/// Writes so many bytes at once, whatever the stream has room for.
pub fn write(bytes: usize) -> Result<(), Error> {
    let bytes = vec![b'a'; bytes];
    let written = get_stdout().write(&bytes);
    Ok(written.map_err(components::Failed::Write)?)
}

/// Writes so many zeroes at once, whatever the stream has room for.
pub fn write_zeroes(bytes: u64) -> Result<(), Error> {
    let written = get_stdout().write_zeroes(bytes);
    Ok(written.map_err(components::Failed::Write)?)
}

/// Waits for so many pollables in one call, and says how many are ready.
pub fn poll_many(count: usize) -> Result<(), Error> {
    let pollable = subscribe_instant(0);
    let ready = poll(&vec![&pollable; count]);
    print(&format!("{} ready\n", ready.len()))?;
    Ok(())
}
