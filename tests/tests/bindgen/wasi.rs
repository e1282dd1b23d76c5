//! `bindgen!` with large worlds as they are: those of `wasi:cli` and `wasi:http`.
#![deny(warnings)]

use crate::common;
use cwasm::{Linker, Resource, Result, Store};
use cwasm_tests::artifact::Workshop;

mod cli {
    cwasm::bindgen!({
        path: "../wasi/wit",
        world: "wasi:cli/command@0.2.12",
        with: { "wasi:io/streams/output-stream": crate::wasi::Output },
    });
}

/// Has the same interfaces in common with the other, as a host that offers both would.
mod http {
    cwasm::bindgen!({
        path: "../wasi/wit",
        world: "wasi:http/proxy@0.2.12",
        with: {
            "wasi:io/error": crate::wasi::cli::wasi::io::error,
            "wasi:io/poll": crate::wasi::cli::wasi::io::poll,
            "wasi:io/streams": crate::wasi::cli::wasi::io::streams,
        },
        trappable_error_type: { "wasi:http/types/header-error" => cwasm::Error },
        trappable_imports: true,
    });
}

use cli::wasi::cli::{environment, stdout};
use cli::wasi::io::error;
use cli::wasi::io::poll::Pollable;
use cli::wasi::io::streams::{self, InputStream, StreamError};

/// Writes its second argument to its standard output.
const ECHO: &str = r#"(module
  (import "wasi:cli/environment@0.2.12" "get-arguments" (func $args (param i32)))
  (import "wasi:cli/stdout@0.2.12" "get-stdout" (func $stdout (result i32)))
  (import "wasi:io/streams@0.2.12" "[method]output-stream.blocking-write-and-flush"
    (func $write (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.12" "[resource-drop]output-stream" (func $drop (param i32)))
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 4096))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get 3))))
  (func (export "wasi:cli/run@0.2.12#run") (result i32) (local $out i32) (local $arg i32)
    (call $args (i32.const 64))
    (local.set $arg (i32.add (i32.load (i32.const 64)) (i32.const 8)))
    (local.set $out (call $stdout))
    (call $write (local.get $out) (i32.load (local.get $arg))
      (i32.load offset=4 (local.get $arg)) (i32.const 80))
    (call $drop (local.get $out))
    (i32.load8_u (i32.const 80))))"#;

/// A standard output.
#[allow(unreachable_pub, reason = "what the macro makes exports it again")]
pub struct Output;

#[derive(Default)]
struct State {
    written: Vec<u8>,
    dropped: u32,
}

impl environment::Host for State {
    fn get_environment(&mut self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn get_arguments(&mut self) -> Vec<String> {
        vec!["echo".to_owned(), "größer".to_owned()]
    }

    fn initial_cwd(&mut self) -> Option<String> {
        None
    }
}

impl stdout::Host for State {
    fn get_stdout(&mut self) -> Resource<Output> {
        Resource::new_own(7)
    }
}

type StreamResult<T> = std::result::Result<T, StreamError>;

impl streams::HostOutputStream for State {
    fn check_write(&mut self, _: Resource<Output>) -> StreamResult<u64> {
        Ok(u64::MAX)
    }

    fn write(&mut self, self_: Resource<Output>, contents: Vec<u8>) -> StreamResult<()> {
        assert_eq!(self_.rep(), 7);
        self.written.extend(contents);
        Ok(())
    }

    fn blocking_write_and_flush(
        &mut self,
        self_: Resource<Output>,
        contents: Vec<u8>,
    ) -> StreamResult<()> {
        self.write(self_, contents)
    }

    fn flush(&mut self, _: Resource<Output>) -> StreamResult<()> {
        Ok(())
    }

    fn blocking_flush(&mut self, _: Resource<Output>) -> StreamResult<()> {
        Ok(())
    }

    fn subscribe(&mut self, self_: Resource<Output>) -> Resource<Pollable> {
        Resource::new_own(self_.rep())
    }

    fn write_zeroes(&mut self, self_: Resource<Output>, len: u64) -> StreamResult<()> {
        self.write(self_, vec![0; len as usize])
    }

    fn blocking_write_zeroes_and_flush(
        &mut self,
        self_: Resource<Output>,
        len: u64,
    ) -> StreamResult<()> {
        self.write(self_, vec![0; len as usize])
    }

    fn splice(
        &mut self,
        _: Resource<Output>,
        _: Resource<InputStream>,
        _: u64,
    ) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn blocking_splice(
        &mut self,
        _: Resource<Output>,
        _: Resource<InputStream>,
        _: u64,
    ) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn drop(&mut self, rep: Resource<Output>) -> Result<()> {
        assert_eq!(rep.rep(), 7);
        self.dropped += 1;
        Ok(())
    }
}

impl streams::HostInputStream for State {
    fn read(&mut self, _: Resource<InputStream>, _: u64) -> StreamResult<Vec<u8>> {
        Err(StreamError::Closed)
    }

    fn blocking_read(&mut self, _: Resource<InputStream>, _: u64) -> StreamResult<Vec<u8>> {
        Err(StreamError::Closed)
    }

    fn skip(&mut self, _: Resource<InputStream>, _: u64) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn blocking_skip(&mut self, _: Resource<InputStream>, _: u64) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn subscribe(&mut self, self_: Resource<InputStream>) -> Resource<Pollable> {
        Resource::new_own(self_.rep())
    }

    fn drop(&mut self, _: Resource<InputStream>) -> Result<()> {
        Ok(())
    }
}

impl streams::Host for State {}

impl error::HostError for State {
    fn to_debug_string(&mut self, _: Resource<error::Error>) -> String {
        "failed".to_owned()
    }

    fn drop(&mut self, _: Resource<error::Error>) -> Result<()> {
        Ok(())
    }
}

impl error::Host for State {}

#[test]
fn a_command_runs_with_the_interfaces_that_it_needs() {
    let workshop = Workshop::new();
    let guest = common::component_of_world("../wasi/wit", "wasi:cli/command@0.2.12", ECHO);
    let artifact = workshop.compile(&guest).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let mut linker = Linker::new(workshop.engine());
    let get: fn(&mut State) -> &mut State = |state| state;
    environment::add_to_linker(&mut linker, get).unwrap();
    stdout::add_to_linker(&mut linker, get).unwrap();
    streams::add_to_linker(&mut linker, get).unwrap();
    error::add_to_linker(&mut linker, get).unwrap();
    let mut store = Store::new(workshop.engine(), State::default());
    let command = cli::Command::instantiate(&mut store, &component, &linker).unwrap();
    assert_eq!(command.wasi_cli_run().call_run(&mut store).unwrap(), Ok(()));
    assert_eq!(store.data().written, "größer".as_bytes());
    assert_eq!(store.data().dropped, 1);
}
