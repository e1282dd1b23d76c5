//! The command, run as users run it.

mod bench;
mod command;
mod coredump;
mod disassemble;
mod escapes;
mod files;
#[cfg(feature = "http")]
mod http;
mod limits;
mod needs;
mod profile;
mod programs;
mod sizes;
mod streams;
mod support;
mod symbolize;
mod time;
mod wit;
