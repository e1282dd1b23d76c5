//! The command `cwasm`: compiles components ahead of time, runs and inspects them.
#![allow(
    clippy::print_stdout,
    reason = "a command that answers on standard output"
)]

mod allocator;
mod args;
mod bench;
mod code;
mod compile;
mod coredump;
mod disassemble;
mod elf;
mod grants;
mod input;
mod inspect;
mod invoke;
mod limits;
mod load;
mod open_files;
mod outline;
mod output;
mod profile;
mod run;
#[cfg(feature = "http")]
mod serve;
mod sizes;
mod surface;
mod symbolize;
mod time;
mod value;
mod wasi;
mod world;

use std::process::ExitCode;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    let args = match Args::read() {
        Ok(args) => args,
        Err(error) => return output::usage(&error),
    };
    let result = match args.command {
        Command::Compile(args) => compile::compile(&args).map(|()| ExitCode::SUCCESS),
        Command::Run(args) => run::run(&args),
        #[cfg(feature = "http")]
        Command::Serve(args) => serve::serve(&args).map(|()| ExitCode::SUCCESS),
        Command::Inspect(args) => inspect::inspect(&args).map(|()| ExitCode::SUCCESS),
        Command::Symbolize(args) => symbolize::symbolize(&args).map(|()| ExitCode::SUCCESS),
        Command::Bench(args) => bench::bench(&args).map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        Err(error) => output::report(&error),
    }
}
