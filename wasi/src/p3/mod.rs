//! WASI 0.3: the interfaces of programs that wait, on the state that 0.2 has.
//!
//! What a guest may do is said once, by the same [`WasiCtx`](crate::WasiCtx): its folders,
//! addresses, limits. A linker can have both versions, and a component import both.
//!
//! Nothing needs an executor of its own: any polls the guest, or [`block_on`] does. Descriptors and
//! timers are waited for by `async-io`, which has one thread; what blocks is done by threads of the
//! crate `blocking`.
//!
//! ```no_run
//! use cwasm::{Component, Engine, Linker, Store};
//! use cwasm_wasi::{WasiCtx, WasiCtxBuilder, p3};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::default();
//! // SAFETY: the artifact is as the compiler wrote it, and nobody changes it.
//! let component = unsafe { Component::map(&engine, "app.cwasm") }?;
//! let mut linker = Linker::<WasiCtx>::new(&engine);
//! cwasm_wasi::add_to_linker(&mut linker, |wasi| wasi)?;
//! p3::add_to_linker(&mut linker, |wasi| wasi)?;
//! let wasi = WasiCtxBuilder::new().inherit_stdio().arg("app").build();
//! let mut store = Store::new(&engine, wasi);
//! let command = p3::Command::instantiate_async(&mut store, &component, &linker).await?;
//! let succeeded = command.run(&mut store, |wasi| wasi).await?;
//! # Ok(())
//! # }
//! ```

pub(crate) mod bindings;
mod bytes;
mod cli;
mod clocks;
mod command;
mod descriptors;
mod filesystem;
mod finish;
#[cfg(feature = "http")]
pub mod http;
mod link;
mod pool;
mod random;
mod sockets;
#[cfg(test)]
mod tests;

pub(crate) use bytes::Writes;
pub(crate) use pool::Pool;

pub use async_io::block_on;
pub use bindings::command::Command;
pub use finish::{finish, written};
pub use link::{
    add_cli_to_linker, add_clocks_to_linker, add_filesystem_to_linker, add_random_to_linker,
    add_sockets_to_linker, add_to_linker, interfaces,
};
pub use sockets::{TcpSocket, UdpSocket};
