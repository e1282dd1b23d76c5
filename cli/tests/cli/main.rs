//! The command, run as users run it.

mod command;
mod escapes;
mod files;
#[cfg(feature = "http")]
mod http;
mod limits;
mod needs;
mod streams;
mod support;
mod wit;
