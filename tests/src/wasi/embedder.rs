//! Guests that need a host of their own: two with a pipe between them, and one whose exports are
//! called.

use std::os::fd::OwnedFd;
use std::thread;

use cwasm::Component;
use cwasm_wasi::{OutputBuffer, Stdin, Stdout, WasiCtxBuilder};

use super::components::{Network, words};
use super::guest::{self, Setup};
use crate::artifact::Workshop;

use self::wasi::clocks::wall_clock::Datetime;
use self::wasi::filesystem::types::DescriptorType;

/// Two instances; the output of the producer is the input of the consumer.
pub(super) fn run_piped(workshop: &Workshop, component: &Component) -> Result<(), String> {
    let (reader, writer) = rustix::pipe::pipe().map_err(|error| format!("no pipe: {error}"))?;
    let side = |side: &'static str, stdin: Stdin, stdout: Option<OwnedFd>| {
        let setup = Setup {
            args: Vec::new(),
            env: vec![("PIPED_SIDE".to_owned(), side.to_owned())],
            folder: None,
            stdin,
            stdout: stdout.map(Stdout::from),
            clocks: false,
            network: Network::None,
        };
        let found = guest::run(workshop, component, setup)?;
        match found.exit_code {
            Ok(0) => Ok(()),
            _ => Err(format!(
                "{side}: {}",
                found.with_stderr("expected exit code 0".to_owned())
            )),
        }
    };
    thread::scope(|scope| {
        let producer = scope.spawn(|| side("PRODUCER", Stdin::Closed, Some(writer)));
        let consumed = side("CONSUMER", reader.into(), None);
        let produced = producer.join();
        let produced = produced.unwrap_or_else(|panic| Err(super::message_of(&*panic)));
        produced.and(consumed)
    })
}

cwasm::bindgen!({
    inline: "
        package test:reactor;

        world reactor {
            use wasi:filesystem/types@0.2.12.{descriptor-stat};
            use wasi:io/streams@0.2.12.{output-stream};
            export add-strings: func(s: list<string>) -> u32;
            export get-strings: func() -> list<string>;
            export write-strings-to: func(o: output-stream) -> result;
            export pass-an-imported-record: func(d: descriptor-stat) -> string;
        }
    ",
    path: "../wasi/wit",
    with: { "wasi:io/streams/output-stream": cwasm_wasi::OutputStream },
});

/// Calls of the exports of `api_reactor`.
pub(super) fn run_reactor(workshop: &Workshop, component: &Component) -> Result<(), String> {
    let called = guest::in_thread(|| call_reactor(workshop, component))?;
    called.map_err(|error| format!("found {error}"))?
}

fn expect<T: PartialEq + std::fmt::Debug>(name: &str, found: T, expected: T) -> Result<(), String> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{name}: found {found:?}, expected {expected:?}")),
    }
}

fn call_reactor(workshop: &Workshop, component: &Component) -> cwasm::Result<Result<(), String>> {
    let wasi = WasiCtxBuilder::new().env("GOOD_DOG", "gussie").build();
    let (mut store, linker) = guest::store(workshop, wasi)?;
    let reactor = Reactor::instantiate(&mut store, component, &linker)?;
    let added = reactor.call_add_strings(&mut store, &words(&["hello", "$GOOD_DOG"]))?;
    let strings = reactor.call_get_strings(&mut store)?;
    let output = OutputBuffer::new(1 << 12);
    let stream = Stdout::from(output.clone()).stream();
    let stream = store.data_mut().table().push(stream)?;
    let written = reactor.call_write_strings_to(&mut store, stream)?;
    let record = reactor.call_pass_an_imported_record(&mut store, stat())?;
    Ok(expect("add-strings", added, 2)
        .and_then(|()| expect("get-strings", strings, words(&["hello", "gussie"])))
        .and_then(|()| expect("write-strings-to", written, Ok(())))
        .and_then(|()| expect("written", output.take(), b"hellogussie".to_vec()))
        .and_then(|()| expect("pass-an-imported-record", &*record, RECORD)))
}

fn stat() -> DescriptorStat {
    let time = |seconds, nanoseconds| {
        Some(Datetime {
            seconds,
            nanoseconds,
        })
    };
    DescriptorStat {
        r#type: DescriptorType::RegularFile,
        link_count: 7,
        size: 8,
        data_access_timestamp: None,
        data_modification_timestamp: time(5, 6),
        status_change_timestamp: time(3, 4),
    }
}

/// [`stat`], as the guest prints it.
const RECORD: &str = "DescriptorStat { type: DescriptorType::RegularFile, link-count: 7, size: 8, \
    data-access-timestamp: None, \
    data-modification-timestamp: Some(Datetime { seconds: 5, nanoseconds: 6 }), \
    status-change-timestamp: Some(Datetime { seconds: 3, nanoseconds: 4 }) }";
