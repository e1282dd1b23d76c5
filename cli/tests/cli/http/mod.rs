//! HTTP: `cwasm serve`, and programs that make requests.

mod client;
mod limits;
mod p3;
mod p3_limits;
mod serve;
mod server;
mod shutdown;
mod wire;
