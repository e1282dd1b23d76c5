//! WASI 0.2 and 0.3 for hosts of [`cwasm`]: what the programs that people build import.
//!
//! A guest may do what its [`WasiCtx`] allows, and at first that is nothing: no files, no network,
//! no output. Operations of 0.2 block the thread that calls the guest; nothing starts a thread. 0.3
//! is in the module `p3`, a feature.
//!
//! ```no_run
//! use cwasm::{Component, Engine, Linker, Store};
//! use cwasm_wasi::{Command, WasiCtx, WasiCtxBuilder};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::default();
//! // SAFETY: the artifact is as the compiler wrote it, and nobody changes it.
//! let component = unsafe { Component::map(&engine, "app.cwasm") }?;
//! let mut linker = Linker::<WasiCtx>::new(&engine);
//! cwasm_wasi::add_to_linker(&mut linker, |wasi| wasi)?;
//! let wasi = WasiCtxBuilder::new().inherit_stdio().arg("app").build();
//! let mut store = Store::new(&engine, wasi);
//! let command = Command::instantiate(&mut store, &component, &linker)?;
//! let succeeded = command.wasi_cli_run().call_run(&mut store)?.is_ok();
//! # Ok(())
//! # }
//! ```

mod bindings;
mod cli;
mod clocks;
mod ctx;
mod filesystem;
#[cfg(feature = "http")]
pub mod http;
mod io;
mod link;
mod open_files;
#[cfg(feature = "p3")]
pub mod p3;
mod quota;
mod random;
mod sockets;

pub use bindings::command::Command;
pub use cli::{Exit, Stdin, Stdout, TerminalInput, TerminalOutput};
pub use clocks::{MonotonicClock, WallClock};
pub use ctx::{WasiCtx, WasiCtxBuilder};
pub use filesystem::{Descriptor, DirPerms, DirectoryEntries, FilePerms, FsError};
pub use io::{InputStream, IoError, OutputBuffer, OutputStream, Pollable, StreamError};
pub use link::{
    add_cli_to_linker, add_clocks_to_linker, add_filesystem_to_linker, add_io_to_linker,
    add_random_to_linker, add_sockets_to_linker, add_to_linker, interfaces,
};
pub use sockets::{
    IncomingDatagrams, Network, OutgoingDatagrams, ResolvedAddresses, SocketError, SocketUse,
    TcpSocket, UdpSocket,
};
